//! Quality of embeddings: whether what belongs together is found among the nearest.
//!
//! Items are pictures or queries; each has one or more texts. Both directions are asked: an item
//! looks for its texts, a text for its item. Nearness is the cosine.
//!
//! **What counts as right.** Equal texts are one candidate, and right answers of every item that
//! has one of them; an item is a right answer of every text that equals one of its own. So a
//! caption that describes several pictures makes no misses. Items that are texts themselves are
//! treated alike. A wrong candidate that is exactly as near as the best right one stands before
//! it: a model that says the same of everything finds nothing.

mod nearness;
mod truth;

pub use self::nearness::nearness;
use self::truth::{Ranks, Truth};
use super::judge::JudgeError;
use super::rows::Rows;
use crate::record::DocumentScore;

/// Which texts belong to which items.
#[derive(Debug, Clone, Copy)]
pub struct Pairs<'a> {
    /// The item of every text, in the order of the text embeddings.
    pub owners: &'a [usize],
    /// What every text says.
    pub texts: &'a [String],
    /// What every item says, where items are texts: queries. `None` for pictures, of which each is
    /// one of its own.
    pub items: Option<&'a [String]>,
}

/// What one model made of items and texts.
#[derive(Debug, Clone, Copy)]
pub struct Embedded<'a> {
    pub items: Rows<'a>,
    pub texts: Rows<'a>,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToText,
    ToImage,
    Both,
}

/// Direction and depth of a metric such as `recall@5`, `recall_to_text@1` or `recall_to_image@10`;
/// `None` for another metric.
pub fn depth(id: &str) -> Option<(Direction, usize)> {
    let (name, depth) = id.split_once('@')?;
    let direction = match name {
        "recall" => Direction::Both,
        "recall_to_text" => Direction::ToText,
        "recall_to_image" => Direction::ToImage,
        _ => return None,
    };
    Some((direction, depth.parse().ok().filter(|depth| *depth > 0)?))
}

/// The scores of every item under each of the metrics `ids`, in their order.
///
/// An item has one position in each direction it is asked in. To text, 1 where a right text is
/// among the nearest k; to image, the share of the item's texts that find a right item so.
/// `reference` is `None` when the variant is its own.
///
/// # Errors
/// Embeddings that are not finite or of different widths, items without a text, numbers of rows
/// that do not fit, and as few candidates as the metric looks at, of which each would be found.
pub fn judge_retrieval(
    ids: &[&str],
    variant: &Embedded<'_>,
    reference: Option<&Embedded<'_>>,
    pairs: &Pairs<'_>,
) -> Result<Vec<Vec<DocumentScore>>, JudgeError> {
    let truth = Truth::of(pairs, variant.items.len())?;
    let own = truth.ranks(variant)?;
    let other = reference.map(|reference| truth.ranks(reference)).transpose()?;
    let judge = |id: &&str| {
        let foreign = || JudgeError::Foreign { metric: (*id).to_owned() };
        let (direction, first) = depth(id).ok_or_else(foreign)?;
        for (candidates, what, asked) in [
            (truth.texts.first.len(), "different texts", direction != Direction::ToImage),
            (truth.items.first.len(), "items", direction != Direction::ToText),
        ] {
            if asked && candidates <= first {
                return Err(JudgeError::TooFew {
                    metric: (*id).to_owned(),
                    more_than: first,
                    what,
                    found: candidates,
                });
            }
        }
        let score = |item| {
            let hits = |ranks: &Ranks| truth.hits(ranks, item, direction, first);
            let sum = hits(&own);
            DocumentScore {
                positions: if direction == Direction::Both { 2 } else { 1 },
                sum,
                reference_sum: other.as_ref().map_or(sum, hits),
            }
        };
        Ok((0..truth.items.of.len()).map(score).collect())
    };
    ids.iter().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(of: &[&str]) -> Vec<String> {
        of.iter().map(|word| (*word).to_owned()).collect()
    }

    pub fn embedded<'a>(items: &'a [f32], texts: &'a [f32], width: usize) -> Embedded<'a> {
        Embedded {
            items: Rows::new(items, width).unwrap(),
            texts: Rows::new(texts, width).unwrap(),
        }
    }

    fn sums(found: &[DocumentScore]) -> Vec<(f64, f64)> {
        found.iter().map(|score| (score.sum, score.reference_sum)).collect()
    }

    const IDS: [&str; 3] = ["recall@1", "recall_to_text@1", "recall_to_image@1"];

    #[test]
    fn both_directions_are_counted_item_by_item() {
        // Picture 0 is nearest to text 1; text 0 is nearest to picture 0 all the same.
        let pictures = [1.0, 0.5, 0.0, 1.0, -1.0, 0.0];
        let texts = [1.0, -0.2, 1.0, 1.0, -3.0, 0.1];
        let said = words(&["a", "b", "c"]);
        let pairs = Pairs { owners: &[0, 1, 2], texts: &said, items: None };
        let perfect = [1.0, 0.0, 0.0, 1.0, -1.0, 0.0];
        let reference = embedded(&perfect, &perfect, 2);
        let variant = embedded(&pictures, &texts, 2);
        let found = judge_retrieval(&IDS, &variant, Some(&reference), &pairs).unwrap();
        assert_eq!(sums(&found[1]), [(0.0, 1.0), (1.0, 1.0), (1.0, 1.0)]);
        assert_eq!(sums(&found[2]), [(1.0, 1.0), (0.0, 1.0), (1.0, 1.0)]);
        assert_eq!(sums(&found[0]), [(1.0, 2.0), (1.0, 2.0), (2.0, 2.0)]);
        let positions = |found: &[DocumentScore]| found.iter().map(|d| d.positions).sum::<u32>();
        assert_eq!((positions(&found[0]), positions(&found[1])), (6, 3));
    }

    #[test]
    fn equal_texts_are_right_answers_of_each_other() {
        let same = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        let said = words(&["red", "red", "blue"]);
        let pairs = Pairs { owners: &[0, 1, 2], texts: &said, items: None };
        let found = judge_retrieval(&IDS, &embedded(&same, &same, 2), None, &pairs).unwrap();
        assert_eq!(sums(&found[0]), [(2.0, 2.0); 3]);
        // Were they different, the tie would hide either behind the other.
        let said = words(&["red", "pink", "blue"]);
        let pairs = Pairs { texts: &said, ..pairs };
        let found = judge_retrieval(&IDS, &embedded(&same, &same, 2), None, &pairs).unwrap();
        assert_eq!(sums(&found[0]), [(0.0, 0.0), (0.0, 0.0), (2.0, 2.0)]);
    }

    #[test]
    fn a_model_that_says_the_same_of_everything_finds_nothing() {
        for values in [[0.0_f32; 6], [1.0; 6]] {
            let said = words(&["a", "b", "c"]);
            let pairs = Pairs { owners: &[0, 1, 2], texts: &said, items: None };
            let found =
                judge_retrieval(&IDS, &embedded(&values, &values, 2), None, &pairs).unwrap();
            assert!(found.iter().flatten().all(|score| score.sum == 0.0));
        }
    }

    #[test]
    fn several_texts_of_an_item_count_by_their_share() {
        let pictures = [1.0, 0.0, 0.0, 1.0];
        // Of the three texts of picture 0 the second points to picture 1.
        let texts = [1.0, 0.1, 0.1, 1.0, 1.0, 0.0, 0.0, 1.0];
        let said = words(&["a", "b", "c", "d"]);
        let pairs = Pairs { owners: &[0, 0, 0, 1], texts: &said, items: None };
        let found = judge_retrieval(&IDS, &embedded(&pictures, &texts, 2), None, &pairs).unwrap();
        assert!((found[2][0].sum - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(found[1][0].sum, 1.0);
        assert!((found[0][0].sum - 5.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn equal_queries_share_their_answers() {
        let queries = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        let passages = [0.5, 0.4, 1.0, 0.0, 0.0, 1.0];
        let asked = words(&["who", "who", "where"]);
        let said = words(&["a", "b", "c"]);
        let pairs = Pairs { owners: &[0, 1, 2], texts: &said, items: Some(&asked) };
        let found = judge_retrieval(&IDS, &embedded(&queries, &passages, 2), None, &pairs).unwrap();
        assert_eq!(sums(&found[0]), [(2.0, 2.0); 3]);
    }

    #[test]
    fn what_cannot_be_judged_is_named() {
        let good = [1.0, 0.0, 0.0, 1.0];
        let bad = [1.0, 0.0, f32::INFINITY, 1.0];
        let said = words(&["a", "b"]);
        let pairs = Pairs { owners: &[0, 1], texts: &said, items: None };
        let told = |ids: &[&str], e: &Embedded<'_>, pairs: &Pairs<'_>| {
            judge_retrieval(ids, e, None, pairs).unwrap_err().to_string()
        };
        let fine = embedded(&good, &good, 2);
        let text = told(&["recall@1"], &embedded(&good, &bad, 2), &pairs);
        assert!(text.contains("text 1") && text.contains("finite"), "{text}");
        let text = told(&["recall@5"], &fine, &pairs);
        assert!(text.contains("more than 5 different texts") && text.contains("found 2"), "{text}");
        let text = told(&["recall_to_image@5"], &fine, &pairs);
        assert!(text.contains("more than 5 items"), "{text}");
        let text = told(&["recall@1"], &fine, &Pairs { owners: &[0, 0], ..pairs });
        assert!(text.contains("item 1") && text.contains("no text"), "{text}");
        assert!(told(&["recall@1"], &fine, &Pairs { owners: &[0, 7], ..pairs }).contains("item 7"));
        assert!(told(&["recall@1"], &fine, &Pairs { owners: &[0], ..pairs }).contains('2'));
        let wide = Embedded { texts: Rows::new(&good, 4).unwrap(), ..fine };
        let text = told(&["recall@1"], &wide, &pairs);
        assert!(text.contains("1 row"), "{text}");
        let eight = [1.0; 8];
        let wide = Embedded { texts: Rows::new(&eight, 4).unwrap(), ..fine };
        assert!(told(&["recall@1"], &wide, &pairs).contains("have 2 numbers and those of texts 4"));
        assert!(told(&["recall@1"], &embedded(&[], &[], 2), &pairs).contains("no item"));
        assert!(told(&["recall@0"], &fine, &pairs).contains("`recall@0`"));
        assert_eq!(depth("recall_to_text@10"), Some((Direction::ToText, 10)));
        assert_eq!((depth("recall"), depth("recall@x"), depth("top@1")), (None, None, None));
    }
}
