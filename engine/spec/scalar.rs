//! What a scalar means: the JSON subset of YAML, and nothing that two readers may read differently.

use serde_json::{Number, Value};

/// Why a plain scalar has no safe meaning, and how to write it instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trap {
    pub what: String,
    pub hint: String,
}

/// The value of a scalar.
///
/// Quoted text is text. Plain text is `null` (or nothing), `true`, `false`, a number in JSON's
/// grammar, or text. What YAML 1.1 or 1.2 readers turn into something else (`~`, `True`, `0x1F`,
/// `.inf`, `+1`) and numbers that do not fit are refused instead of guessed.
pub(crate) fn resolve(text: &str, plain: bool) -> Result<Value, Trap> {
    if !plain {
        return Ok(text.into());
    }
    match text {
        "" | "null" => return Ok(Value::Null),
        "true" => return Ok(true.into()),
        "false" => return Ok(false.into()),
        "~" | "Null" | "NULL" => return Err(trap(text, "write `null`, or quotes for text")),
        "True" | "TRUE" => return Err(trap(text, "write `true`, or quotes for text")),
        "False" | "FALSE" => return Err(trap(text, "write `false`, or quotes for text")),
        _ => {}
    }
    if is_json_number(text) {
        return number(text).ok_or_else(|| Trap {
            what: format!("the number `{}` is too large to be kept exactly", shortened(text)),
            hint: "write a smaller number, or quotes for text".into(),
        });
    }
    match odd_number(text) {
        Some(plainly) => {
            Err(trap(text, &format!("write `{plainly}` for the number, or quotes for text")))
        }
        None if is_special_float(text) => {
            Err(trap(text, "write a finite number, or quotes for text"))
        }
        None => Ok(text.into()),
    }
}

fn trap(text: &str, hint: &str) -> Trap {
    Trap {
        what: format!("`{}` means different things to different YAML readers", shortened(text)),
        hint: hint.into(),
    }
}

/// At most 40 characters, for messages.
pub(crate) fn shortened(text: &str) -> String {
    let mut out: String = text.chars().take(40).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    crate::base::text::inert(&out)
}

/// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`
fn is_json_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((m, e)) => (m, e.strip_prefix(['+', '-']).unwrap_or(e)),
        None => (unsigned, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && digits(exponent)
        && (whole == "0" || !whole.starts_with('0'))
}

fn number(text: &str) -> Option<Value> {
    if text.contains(['.', 'e', 'E']) {
        let float: f64 = text.parse().ok()?;
        return Number::from_f64(float).map(Value::Number);
    }
    text.parse::<u64>().map(Value::from).or_else(|_| text.parse::<i64>().map(Value::from)).ok()
}

/// The decimal form of a number that is not written in JSON's grammar, such as `0x1F`, `+1`, `.5`.
fn odd_number(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = unsigned.strip_prefix(prefix) {
            let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
            return all.then(|| u64::from_str_radix(digits, radix).unwrap_or(u64::MAX).to_string());
        }
    }
    let leading_zero = unsigned.len() > 1 && unsigned.bytes().all(|b| b.is_ascii_digit());
    if leading_zero && unsigned.starts_with('0') {
        return None; // YAML 1.2 and its readers agree that `017` is text.
    }
    let float: f64 = text.parse().ok()?;
    float.is_finite().then(|| float.to_string())
}

fn is_special_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned.to_ascii_lowercase().as_str(), ".inf" | ".nan")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_text_is_a_json_value_or_exact_text() {
        for (text, value) in [
            ("", json!(null)),
            ("null", json!(null)),
            ("true", json!(true)),
            ("12", json!(12)),
            ("-3", json!(-3)),
            ("0.5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("18446744073709551615", json!(u64::MAX)),
        ] {
            assert_eq!(resolve(text, true), Ok(value), "{text}");
        }
        for text in ["no", "on", "1_000", "017", "2024-01-01", "1:30", "inf", "1.2.3", "0xZZ", "-"]
        {
            assert_eq!(resolve(text, true), Ok(json!(text)));
        }
        assert_eq!(resolve("0x1F", false), Ok(json!("0x1F")));
    }

    #[test]
    fn text_that_readers_disagree_about_is_refused_with_the_way_out() {
        for text in [
            "~",
            "Null",
            "True",
            "FALSE",
            "0x1F",
            "0o17",
            "0b11",
            "+1",
            ".5",
            "1.",
            ".inf",
            "-.INF",
            ".nan",
            "1e999",
            "18446744073709551616",
            "+0x1",
        ] {
            assert!(resolve(text, true).is_err(), "{text}");
        }
        assert_eq!(
            resolve("0x1F", true).unwrap_err().hint,
            "write `31` for the number, or quotes for text"
        );
    }
}
