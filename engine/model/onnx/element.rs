//! ONNX's numbers for element types.

use crate::data::ElementType;

/// Number and name of every element type of `TensorProto.DataType`.
const TYPES: &[(i32, &str, Option<ElementType>)] = &[
    (1, "f32", Some(ElementType::F32)),
    (2, "u8", Some(ElementType::U8)),
    (3, "i8", Some(ElementType::I8)),
    (4, "u16", Some(ElementType::U16)),
    (5, "i16", Some(ElementType::I16)),
    (6, "i32", Some(ElementType::I32)),
    (7, "i64", Some(ElementType::I64)),
    (8, "string", Some(ElementType::String)),
    (9, "bool", Some(ElementType::Bool)),
    (10, "f16", Some(ElementType::F16)),
    (11, "f64", Some(ElementType::F64)),
    (12, "u32", Some(ElementType::U32)),
    (13, "u64", Some(ElementType::U64)),
    (14, "complex64", None),
    (15, "complex128", None),
    (16, "bf16", Some(ElementType::Bf16)),
    (17, "f8e4m3fn", None),
    (18, "f8e4m3fnuz", None),
    (19, "f8e5m2", None),
    (20, "f8e5m2fnuz", None),
    (21, "u4", None),
    (22, "i4", None),
    (23, "f4e2m1", None),
    (24, "f8e8m0", None),
    (25, "u2", None),
    (26, "i2", None),
];

/// The element type with this number, if tensors here can hold it.
pub fn element_type(code: i32) -> Option<ElementType> {
    TYPES.iter().find(|(number, ..)| *number == code)?.2
}

/// The number of an element type.
pub fn type_code(element: ElementType) -> i32 {
    let known = TYPES.iter().find(|(.., known)| *known == Some(element));
    known.map_or(0, |(number, ..)| *number)
}

/// Name of the element type with this number, also of those that tensors here cannot hold.
pub fn type_name(code: i32) -> Option<&'static str> {
    TYPES.iter().find(|(number, ..)| *number == code).map(|(_, name, _)| *name)
}

/// Bits that one stored element has; `None` for strings and unknown numbers.
pub fn bits(code: i32) -> Option<u64> {
    Some(match code {
        25 | 26 => 2,
        21..=23 => 4,
        2 | 3 | 9 | 17..=20 | 24 => 8,
        4 | 5 | 10 | 16 => 16,
        1 | 6 | 12 => 32,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_types_agree_both_ways() {
        for element in ElementType::ALL {
            let code = type_code(element);
            assert_eq!(element_type(code), Some(element));
            assert_eq!(type_name(code), Some(element.name()));
            let fixed = (!element.is_text()).then_some(8 * element.bytes() as u64);
            assert_eq!(bits(code), fixed);
        }
        assert_eq!((type_name(22), element_type(22), type_name(99)), (Some("i4"), None, None));
    }
}
