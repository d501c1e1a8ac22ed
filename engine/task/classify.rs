//! Quality of classifiers: whether a right class is among the best.
//!
//! Each item is one document of the record with one position: 1 where a right class is among the
//! first k of the variant's scores, and the same for the reference. What is compared later are
//! these answers, paired item by item; scores themselves are judged by distance elsewhere.

use super::judge::JudgeError;
use super::rows::Rows;
use crate::record::DocumentScore;

/// How many of the best classes the metric `id` looks at; `None` for another metric.
pub fn best_classes(id: &str) -> Option<usize> {
    match id {
        "top1" => Some(1),
        "top5" => Some(5),
        _ => None,
    }
}

/// Whether a class of `right` is among the first of each item's scores, for the metric `id`, which
/// is `top1` or `top5`.
///
/// Classes are ordered by their score, equal ones by their number. `right` holds the classes that
/// count as right for each item, at least one. `reference` is `None` when the variant is its own.
///
/// # Errors
/// Scores that are not numbers, labels that name no class, numbers of items or classes that differ,
/// and as many classes as the metric looks at, of which each answer would be right.
pub fn judge_classes(
    id: &str,
    variant: Rows<'_>,
    reference: Option<Rows<'_>>,
    right: &[Vec<usize>],
) -> Result<Vec<DocumentScore>, JudgeError> {
    let first = best_classes(id).ok_or_else(|| JudgeError::Foreign { metric: id.to_owned() })?;
    let reference = reference.unwrap_or(variant);
    let classes = variant.width();
    if reference.width() != classes {
        return Err(JudgeError::Classes { variant: classes, reference: reference.width() });
    }
    if classes <= first {
        return Err(JudgeError::TooFew {
            metric: id.to_owned(),
            more_than: first,
            what: "classes",
            found: classes,
        });
    }
    if right.is_empty() {
        return Err(JudgeError::NoItems);
    }
    for items in [variant.len(), reference.len()] {
        if items != right.len() {
            return Err(JudgeError::Items { outputs: items, items: right.len() });
        }
    }
    let score = |(item, right): (usize, &Vec<usize>)| {
        let hit = |rows: Rows<'_>| {
            let scores = rows.row(item);
            if scores.iter().any(|score| score.is_nan()) {
                return Err(JudgeError::NotANumber { item });
            }
            Ok(f64::from(u8::from(place(scores, right) < first)))
        };
        if let Some(class) = right.iter().find(|class| **class >= classes) {
            return Err(JudgeError::Item {
                item,
                what: format!("its class is {class}, and the model has {classes}"),
            });
        }
        if right.is_empty() {
            return Err(JudgeError::Item { item, what: "it has no class".to_owned() });
        }
        Ok(DocumentScore { positions: 1, sum: hit(variant)?, reference_sum: hit(reference)? })
    };
    right.iter().enumerate().map(score).collect()
}

/// How many classes stand before the best one of `right`, which names at least one.
fn place(scores: &[f32], right: &[usize]) -> usize {
    let before = |a: usize, b: usize| scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
    let best =
        right.iter().copied().reduce(|best, class| if before(class, best) { class } else { best });
    best.map_or(scores.len(), |best| (0..scores.len()).filter(|&class| before(class, best)).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[f32], width: usize) -> Rows<'_> {
        Rows::new(values, width).unwrap()
    }

    fn sums(found: &[DocumentScore]) -> Vec<(f64, f64)> {
        found.iter().map(|score| (score.sum, score.reference_sum)).collect()
    }

    #[test]
    fn hits_of_variant_and_reference_are_paired_item_by_item() {
        let variant = [0.1, 0.9, 0.0, 0.2, 0.3, 0.9, 5.0, 1.0, 2.0];
        let reference = [0.9, 0.1, 0.0, 0.2, 0.3, 0.9, 1.0, 5.0, 2.0];
        let right = [vec![0], vec![2], vec![0, 2]];
        let found =
            judge_classes("top1", rows(&variant, 3), Some(rows(&reference, 3)), &right).unwrap();
        assert_eq!(sums(&found), [(0.0, 1.0), (1.0, 1.0), (1.0, 0.0)]);
        assert!(found.iter().all(|score| score.positions == 1));
        let alone = judge_classes("top1", rows(&variant, 3), None, &right).unwrap();
        assert_eq!(sums(&alone), [(0.0, 0.0), (1.0, 1.0), (1.0, 1.0)]);
    }

    #[test]
    fn the_lowest_class_wins_a_tie() {
        let equal = [1.0; 7];
        let hit = |id: &str, class: usize| {
            judge_classes(id, rows(&equal, 7), None, &[vec![class]]).unwrap()[0].sum
        };
        assert_eq!([0, 1].map(|class| hit("top1", class)), [1.0, 0.0]);
        assert_eq!([4, 5].map(|class| hit("top5", class)), [1.0, 0.0]);
        assert_eq!(place(&[2.0, 3.0, 3.0, f32::NEG_INFINITY, f32::INFINITY], &[3, 2]), 2);
    }

    #[test]
    fn five_of_the_best_are_found_wherever_they_stand() {
        let scores = [0.6, 0.1, 0.5, 0.2, 0.4, 0.3];
        for class in 0..6 {
            let found = judge_classes("top5", rows(&scores, 6), None, &[vec![class]]).unwrap();
            assert_eq!(found[0].sum, f64::from(u8::from(class != 1)), "{class}");
        }
    }

    #[test]
    fn what_cannot_be_judged_is_named() {
        let good = [0.0, 1.0, 2.0, 3.0];
        let bad = [0.0, 1.0, f32::NAN, 3.0];
        let right = [vec![0], vec![1]];
        let told = |id, variant, reference, right: &[Vec<usize>]| {
            judge_classes(id, variant, reference, right).unwrap_err().to_string()
        };
        let two = rows(&good, 2);
        for (variant, reference) in [(rows(&bad, 2), None), (two, Some(rows(&bad, 2)))] {
            let text = told("top1", variant, reference, &right);
            assert!(text.contains("item 1") && text.contains("not a number"), "{text}");
        }
        let text = told("top5", two, None, &right);
        assert!(text.contains("more than 5 classes") && text.contains("found 2"), "{text}");
        assert!(told("top1", two, None, &[vec![0], vec![2]]).contains("item 1"));
        assert!(told("top1", two, None, &[vec![0], vec![]]).contains("item 1"));
        assert!(told("top1", two, None, &right[..1]).contains("2 rows"));
        assert!(told("top1", two, Some(rows(&good, 4)), &right).contains("2 and 4 classes"));
        assert!(told("cosine", two, None, &right).contains("`cosine`"));
        let none = judge_classes("top1", rows(&[], 2), None, &[]);
        assert!(matches!(none, Err(JudgeError::NoItems)));
    }
}
