//! Who belongs to whom, and how many wrong candidates stand before the right ones.

use std::collections::HashMap;

use super::nearness::{dot, normalised};
use super::{Direction, Embedded, Pairs};
use crate::task::judge::JudgeError;

/// Rows that say the same are of one class.
pub(super) struct Classes {
    /// The class of every row.
    pub of: Vec<usize>,
    /// The first row of every class, which stands for it.
    pub first: Vec<usize>,
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

/// What is right, and what counts as one.
pub(super) struct Truth {
    pub items: Classes,
    pub texts: Classes,
    /// Classes of texts that are right for every class of items, ascending.
    right: Vec<Vec<usize>>,
    /// Texts of every item.
    own: Vec<Vec<usize>>,
}

/// How many wrong candidates stand before the best right one, by class.
pub(super) struct Ranks {
    of_items: Vec<usize>,
    of_texts: Vec<usize>,
}

/// Texts whose embeddings are kept at hand while all items pass by.
const BLOCK: usize = 64;

impl Truth {
    pub fn of(pairs: &Pairs<'_>, items: usize) -> Result<Self, JudgeError> {
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

    pub fn hits(&self, ranks: &Ranks, item: usize, direction: Direction, first: usize) -> f64 {
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
    pub fn ranks(&self, embedded: &Embedded<'_>) -> Result<Ranks, JudgeError> {
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

#[cfg(test)]
mod tests {
    use rand::RngExt as _;
    use rand_pcg::Pcg64Mcg;

    use super::super::judge_retrieval;
    use super::super::tests::embedded;
    use super::*;

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
}
