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

use std::collections::HashMap;

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

/// Rows that say the same are of one class.
struct Classes {
    /// The class of every row.
    of: Vec<usize>,
    /// The first row of every class, which stands for it.
    first: Vec<usize>,
}

impl Classes {
    fn of(keys: &[String]) -> Self {
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut first = Vec::new();
        let of = keys.iter().enumerate().map(|(row, key)| {
            *known.entry(key.as_str()).or_insert_with(|| {
                first.push(row);
                first.len() - 1
            })
        });
        Self { of: of.collect(), first }
    }

    fn all_different(rows: usize) -> Self {
        Self { of: (0..rows).collect(), first: (0..rows).collect() }
    }
}

struct Truth {
    items: Classes,
    texts: Classes,
    /// Classes of texts that are right for every class of items, ascending.
    right: Vec<Vec<usize>>,
    /// Texts of every item.
    own: Vec<Vec<usize>>,
}

/// How many wrong candidates stand before the best right one, by class.
struct Ranks {
    of_items: Vec<usize>,
    of_texts: Vec<usize>,
}

/// Texts whose embeddings are kept at hand while all items pass by.
const BLOCK: usize = 64;

impl Truth {
    fn of(pairs: &Pairs<'_>, items: usize) -> Result<Self, JudgeError> {
        if items == 0 {
            return Err(JudgeError::NoItems);
        }
        let counts = [Some(pairs.texts.len()), pairs.items.map(|_| items)];
        let said = [Some(pairs.owners.len()), pairs.items.map(<[String]>::len)];
        for (outputs, said) in counts.into_iter().zip(said) {
            if let (Some(outputs), Some(items)) = (outputs, said)
                && outputs != items
            {
                return Err(JudgeError::Items { outputs, items });
            }
        }
        let texts = Classes::of(pairs.texts);
        let classes = pairs.items.map_or_else(|| Classes::all_different(items), Classes::of);
        let mut right = vec![Vec::new(); classes.first.len()];
        let mut own = vec![Vec::new(); items];
        for (text, &item) in pairs.owners.iter().enumerate() {
            let Some(known) = own.get_mut(item) else {
                let what = format!("text {text} belongs to it, and there are {items} items");
                return Err(JudgeError::Item { item, what });
            };
            known.push(text);
            right[classes.of[item]].push(texts.of[text]);
        }
        if let Some(item) = own.iter().position(Vec::is_empty) {
            return Err(JudgeError::Item { item, what: "it has no text".to_owned() });
        }
        for classes in &mut right {
            classes.sort_unstable();
            classes.dedup();
        }
        Ok(Self { items: classes, texts, right, own })
    }

    fn hits(&self, ranks: &Ranks, item: usize, direction: Direction, first: usize) -> f64 {
        let found = |rank: usize| f64::from(u8::from(rank < first));
        let to_text = || found(ranks.of_items[self.items.of[item]]);
        let to_image = || {
            let texts = &self.own[item];
            let of = |&text: &usize| found(ranks.of_texts[self.texts.of[text]]);
            texts.iter().map(of).sum::<f64>() / texts.len() as f64
        };
        match direction {
            Direction::ToText => to_text(),
            Direction::ToImage => to_image(),
            Direction::Both => to_text() + to_image(),
        }
    }

    /// Compares every item with every different text: n·m·width multiplications, in blocks of texts
    /// that stay in the processor's cache.
    fn ranks(&self, embedded: &Embedded<'_>) -> Result<Ranks, JudgeError> {
        let (items, texts) = (embedded.items, embedded.texts);
        for (rows, expected) in [(items, self.items.of.len()), (texts, self.texts.of.len())] {
            if rows.len() != expected {
                return Err(JudgeError::Items { outputs: rows.len(), items: expected });
            }
        }
        let width = items.width();
        if texts.width() != width {
            return Err(JudgeError::Widths { items: width, texts: texts.width() });
        }
        let left = normalised(items, &self.items.first, "item")?;
        let right = normalised(texts, &self.texts.first, "text")?;
        let row = |at: usize| at * width..(at + 1) * width;
        let near = |item: usize, text: usize| dot(&left[row(item)], &right[row(text)]);
        let mut best_of_items = vec![f32::NEG_INFINITY; self.items.first.len()];
        let mut best_of_texts = vec![f32::NEG_INFINITY; self.texts.first.len()];
        for (item, right) in self.right.iter().enumerate() {
            for &text in right {
                let near = near(item, text);
                best_of_items[item] = best_of_items[item].max(near);
                best_of_texts[text] = best_of_texts[text].max(near);
            }
        }
        let mut ranks = Ranks {
            of_items: vec![0; best_of_items.len()],
            of_texts: vec![0; best_of_texts.len()],
        };
        for start in (0..best_of_texts.len()).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(best_of_texts.len());
            for (item, best_of_item) in best_of_items.iter().enumerate() {
                for text in block.clone() {
                    let near = near(item, text);
                    let before = (near >= *best_of_item, near >= best_of_texts[text]);
                    if before == (false, false) || self.right[item].binary_search(&text).is_ok() {
                        continue;
                    }
                    ranks.of_items[item] += usize::from(before.0);
                    ranks.of_texts[text] += usize::from(before.1);
                }
            }
        }
        Ok(ranks)
    }
}

/// The rows `kept` of `rows` with length 1; a row of zeros stays one, and is as near to everything.
fn normalised(rows: Rows<'_>, kept: &[usize], what: &'static str) -> Result<Vec<f32>, JudgeError> {
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
fn dot(a: &[f32], b: &[f32]) -> f32 {
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
    use rand::RngExt as _;
    use rand_pcg::Pcg64Mcg;

    use super::*;

    fn words(of: &[&str]) -> Vec<String> {
        of.iter().map(|word| (*word).to_owned()).collect()
    }

    fn embedded<'a>(items: &'a [f32], texts: &'a [f32], width: usize) -> Embedded<'a> {
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

    /// Sorts all candidates of every query, wrong ones first among equals.
    fn by_sorting(
        e: &Embedded<'_>,
        owners: &[usize],
        texts: &[String],
        first: usize,
    ) -> Vec<(f64, f64)> {
        let cosine = |a: &[f32], b: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
            };
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let has = |item: usize, text: &str| {
            owners.iter().zip(texts).any(|(owner, own)| *owner == item && own == text)
        };
        let mut different: Vec<usize> = (0..texts.len()).collect();
        different.retain(|&t| texts.iter().position(|own| *own == texts[t]) == Some(t));
        let hit = |mut near: Vec<(f64, bool)>| {
            near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            f64::from(u8::from(near[..first].iter().any(|(_, right)| *right)))
        };
        let to_text = |item: usize| {
            let near = different
                .iter()
                .map(|&t| (cosine(e.items.row(item), e.texts.row(t)), has(item, &texts[t])));
            hit(near.collect())
        };
        let to_image = |text: usize| {
            let t = texts.iter().position(|own| *own == texts[text]).unwrap();
            let near = (0..e.items.len())
                .map(|item| (cosine(e.items.row(item), e.texts.row(t)), has(item, &texts[text])));
            hit(near.collect())
        };
        let of = |item: usize| {
            let own: Vec<usize> = (0..texts.len()).filter(|&t| owners[t] == item).collect();
            let found = own.iter().map(|&t| to_image(t)).sum::<f64>();
            (to_text(item), found / own.len() as f64)
        };
        (0..e.items.len()).map(of).collect()
    }

    #[test]
    fn ranks_agree_with_sorting_all_candidates() {
        let mut rng = Pcg64Mcg::new(11);
        for width in [3, 16, 37] {
            let (items, most) = (90, 3);
            let owners: Vec<usize> =
                (0..items).flat_map(|item| vec![item; rng.random_range(1..=most)]).collect();
            let said: Vec<String> =
                owners.iter().map(|_| format!("text {}", rng.random_range(0..120))).collect();
            let mut numbers =
                |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random::<f32>() - 0.5).collect() };
            let pictures = numbers(items * width);
            let mut texts = numbers(owners.len() * width);
            // Near enough to their items that some are found, and of one voice where they are equal.
            for (t, &owner) in owners.iter().enumerate() {
                for i in 0..width {
                    texts[t * width + i] = 0.5 * texts[t * width + i] + pictures[owner * width + i];
                }
            }
            for (t, text) in said.iter().enumerate() {
                let first = said.iter().position(|own| own == text).unwrap();
                texts.copy_within(first * width..(first + 1) * width, t * width);
            }
            let e = embedded(&pictures, &texts, width);
            let pairs = Pairs { owners: &owners, texts: &said, items: None };
            for first in [1, 5, 10] {
                let ids = ["recall_to_text", "recall_to_image"].map(|id| format!("{id}@{first}"));
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                let found = judge_retrieval(&ids, &e, None, &pairs).unwrap();
                let expected = by_sorting(&e, &owners, &said, first);
                for (item, (to_text, to_image)) in expected.into_iter().enumerate() {
                    assert_eq!(found[0][item].sum, to_text, "{width} {first} {item}");
                    assert!((found[1][item].sum - to_image).abs() < 1e-12, "{width} {first}");
                }
            }
        }
    }

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
