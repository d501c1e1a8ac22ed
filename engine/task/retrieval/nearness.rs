//! Cosines of embeddings.

use crate::task::judge::JudgeError;
use crate::task::rows::Rows;

/// Cosine of every item to every class: the scores of a classifier that is told its classes as
/// texts, one row of classes for each item.
///
/// # Errors
/// Embeddings that are not finite or of different widths.
pub fn nearness(items: Rows<'_>, classes: Rows<'_>) -> Result<Vec<f32>, JudgeError> {
    let width = items.width();
    if classes.width() != width {
        return Err(JudgeError::Widths { items: width, texts: classes.width() });
    }
    let all = |rows: Rows<'_>| (0..rows.len()).collect::<Vec<_>>();
    let left = normalised(items, &all(items), "item")?;
    let right = normalised(classes, &all(classes), "text")?;
    let pairs = left
        .chunks_exact(width)
        .flat_map(|item| right.chunks_exact(width).map(move |class| dot(item, class)));
    Ok(pairs.collect())
}

/// The rows `kept` of `rows` with length 1; a row of zeros stays one, and is as near to everything.
pub(super) fn normalised(
    rows: Rows<'_>,
    kept: &[usize],
    what: &'static str,
) -> Result<Vec<f32>, JudgeError> {
    // Rows that another stands for are looked at too: a broken one must not hide.
    for row in 0..rows.len() {
        if !rows.row(row).iter().all(|value| value.is_finite()) {
            return Err(JudgeError::Embedding { what, row });
        }
    }
    let mut out = Vec::with_capacity(kept.len() * rows.width());
    for &row in kept {
        let row = rows.row(row);
        let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let scale = if length > 0.0 { length.recip() } else { 0.0 };
        out.extend(row.iter().map(|x| (f64::from(*x) * scale) as f32));
    }
    Ok(out)
}

const LANES: usize = 16;

/// Sum of products, in an order that does not depend on the machine.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a.zip(b) {
        for (sum, (x, y)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_classes_are_cosines() {
        let items = [3.0, 4.0, 0.0, -2.0, 0.0, 0.0];
        let classes = [1.0, 0.0, 0.0, 5.0];
        let rows = |values| Rows::new(values, 2).unwrap();
        let found = nearness(rows(&items), rows(&classes)).unwrap();
        for (found, expected) in found.iter().zip([0.6, 0.8, 0.0, -1.0, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!(found.len(), 6);
        assert!(nearness(rows(&items), Rows::new(&classes, 4).unwrap()).is_err());
        assert!(nearness(rows(&[f32::NAN, 0.0]), rows(&classes)).is_err());
    }
}
