//! Blocks of weights in 4 or 8 bits: levels, one scale for each block, perhaps a zero point.

/// How a block becomes levels `0..2^bits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// 4 or 8.
    pub bits: u32,
    /// Levels around the middle one instead of a zero point of each block.
    pub symmetric: bool,
    /// Search the scale with the least squared error instead of taking the one that spans the
    /// block.
    pub search: bool,
}

/// One quantized block: `value ≈ (level − zero) · scale`.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pub scale: f32,
    pub zero: u8,
    pub levels: Vec<u8>,
}

/// Spans are narrowed in this many steps of this share, from above and from below.
const STEPS: u32 = 10;
const STEP: f32 = 0.03;

impl Grid {
    fn top(self) -> f32 {
        ((1_u32 << self.bits) - 1) as f32
    }

    fn middle(self) -> f32 {
        (1_u32 << (self.bits - 1)) as f32
    }

    /// Quantizes one block.
    ///
    /// Symmetric: scale = w* / −2^(bits−1) with w* the value of largest magnitude, which so gets
    /// the outermost level; zero = 2^(bits−1). Otherwise: scale = (max(w, 0) − min(w, 0)) /
    /// (2^bits − 1), zero = round(−min(w, 0) / scale).
    pub fn quantize(self, values: &[f32]) -> Block {
        let low = values.iter().fold(0.0_f32, |low, &v| low.min(v));
        let high = values.iter().fold(0.0_f32, |high, &v| high.max(v));
        if self.search {
            return self.search(values, low, high);
        }
        let (scale, zero) = self.span(low, high);
        self.block(values, scale, zero)
    }

    /// Scale and zero point that span `low` to `high`, which include 0.
    fn span(self, low: f32, high: f32) -> (f32, f32) {
        let (scale, zero) = if self.symmetric {
            let outermost = if -low > high { low } else { high };
            (outermost / -self.middle(), self.middle())
        } else {
            let scale = (high - low) / self.top();
            (scale, if scale > 0.0 { (-low / scale).round_ties_even() } else { 0.0 })
        };
        // A scale that is no normal number cannot be divided by.
        (if scale.is_normal() { scale } else { 1.0 }, zero)
    }

    fn level(self, value: f32, scale: f32, zero: f32) -> f32 {
        ((value * (1.0 / scale)).round_ties_even() + zero).clamp(0.0, self.top())
    }

    fn block(self, values: &[f32], scale: f32, zero: f32) -> Block {
        let levels = values.iter().map(|&v| self.level(v, scale, zero) as u8).collect();
        Block { scale, zero: zero as u8, levels }
    }

    /// Tries narrower spans and fits the scale to the levels of each by least squares, as the
    /// searches of llama.cpp's k-quants do (`make_qx_quants`, `make_qkx2_quants` in
    /// `ggml-quants.c`). All weights count alike: their inputs are not known.
    fn search(self, values: &[f32], low: f32, high: f32) -> Block {
        let (spanning, zero) = self.span(low, high);
        let mut best = (self.fit(values, spanning, zero), spanning, zero);
        let shares = (0..=STEPS).map(|step| 1.0 - step as f32 * STEP);
        for of_high in shares.clone() {
            for of_low in shares.clone() {
                if self.symmetric && of_low < 1.0 {
                    continue;
                }
                let low = if self.symmetric { low * of_high } else { low * of_low };
                let (scale, zero) = self.span(low, high * of_high);
                let found = self.fit(values, scale, zero);
                if found.0 < best.0.0 {
                    best = (found, scale, zero);
                }
            }
        }
        let ((_, fitted), scale, zero) = best;
        Block { scale: fitted, ..self.block(values, scale, zero) }
    }

    /// Squared error with the levels that `scale` gives and the scale that then fits best, and
    /// that scale.
    fn fit(self, values: &[f32], scale: f32, zero: f32) -> (f32, f32) {
        let (mut products, mut squares, mut sum) = (0.0_f32, 0.0_f32, 0.0_f32);
        for &value in values {
            let level = self.level(value, scale, zero) - zero;
            products += value * level;
            squares += level * level;
            sum += value * value;
        }
        let fitted = if squares > 0.0 { products / squares } else { scale };
        let fitted = if fitted.is_normal() { fitted } else { scale };
        (sum - 2.0 * fitted * products + fitted * fitted * squares, fitted)
    }

    /// Bytes of levels: for 4 bits two in a byte, the first in the low half; a lone last one
    /// leaves the high half empty.
    pub fn pack(self, levels: &[u8]) -> Vec<u8> {
        match self.bits {
            4 => levels
                .chunks(2)
                .map(|pair| pair[0] | (pair.get(1).copied().unwrap_or(0) << 4))
                .collect(),
            _ => levels.to_vec(),
        }
    }

    /// The formula in words, with `block` weights sharing a scale.
    pub fn formula(self, block: usize) -> String {
        let (bits, half, top) = (self.bits, self.middle() as u32, self.top() as u32);
        let scale = match self.symmetric {
            true => format!(
                "scale = w* / −{half} with w* the weight of largest magnitude, zero point {half}"
            ),
            false => format!(
                "scale = (max(w, 0) − min(w, 0)) / {top}, zero point round(−min(w, 0) / scale)"
            ),
        };
        let search = match self.search {
            true => format!(
                "; of spans up to {:.0} % narrower the one with the least squared error, its scale fitted by least squares",
                STEPS as f32 * STEP * 100.0
            ),
            false => String::new(),
        };
        format!("weights in {bits} bits, blocks of {block}: {scale}{search}; round to nearest even")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(values: &[f32], block: &Block) -> f32 {
        let back = |level: u8| (f32::from(level) - f32::from(block.zero)) * block.scale;
        values.iter().zip(&block.levels).map(|(v, &l)| (v - back(l)).powi(2)).sum()
    }

    fn values(seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.4
        };
        (0..32).map(|_| next() * next()).collect()
    }

    #[test]
    fn levels_give_values_back_within_half_a_step() {
        for bits in [4, 8] {
            for symmetric in [true, false] {
                let grid = Grid { bits, symmetric, search: false };
                for seed in 0..50 {
                    let values = values(seed);
                    let block = grid.quantize(&values);
                    for (value, &level) in values.iter().zip(&block.levels) {
                        let back = (f32::from(level) - f32::from(block.zero)) * block.scale;
                        // The side of a symmetric block away from its outermost value has one
                        // level less.
                        let allowed = if symmetric { 1.001 } else { 0.501 };
                        assert!((back - value).abs() <= block.scale.abs() * allowed);
                    }
                }
            }
        }
    }

    #[test]
    fn the_search_never_makes_a_block_worse() {
        for symmetric in [true, false] {
            let plain = Grid { bits: 4, symmetric, search: false };
            let searched = Grid { search: true, ..plain };
            let (mut before, mut after) = (0.0, 0.0);
            for seed in 0..200 {
                let values = values(seed);
                let (a, b) = (
                    error(&values, &plain.quantize(&values)),
                    error(&values, &searched.quantize(&values)),
                );
                assert!(b <= a * 1.0001, "{a} {b}");
                before += a;
                after += b;
            }
            assert!(after < 0.93 * before, "{before} {after}");
        }
    }

    #[test]
    fn blocks_of_zeros_and_of_tiny_values_stay_finite() {
        for search in [false, true] {
            for symmetric in [true, false] {
                let grid = Grid { bits: 4, symmetric, search };
                for value in [0.0, 1e-44, -1e-44] {
                    let block = grid.quantize(&[value; 16]);
                    assert!(block.scale.is_normal());
                    let back = (f32::from(block.levels[0]) - f32::from(block.zero)) * block.scale;
                    assert!((back - value).abs() < 1e-3);
                }
            }
        }
    }

    #[test]
    fn pairs_of_levels_share_a_byte_low_half_first() {
        let grid = Grid { bits: 4, symmetric: true, search: false };
        assert_eq!(grid.pack(&[1, 2, 15]), [0x21, 0x0f]);
    }
}
