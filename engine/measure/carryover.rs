//! Whether a launch feels which variant ran before it.
//!
//! Orders let each variant follow each other equally often, so such an effect does not favour
//! anybody on average; but it is a sign that launches are not independent, and that a variant
//! would look different in other company.

use super::estimate::f_upper_p;

/// One launch among those of its setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    pub block: u32,
    /// Place within the block.
    pub position: u32,
    /// Which program ran; two launches of the same program in a block have the same number.
    pub variant: usize,
    /// Which program ran just before; `None` where that is not known.
    pub after: Option<usize>,
    /// Logarithm of the launch's value.
    pub log: f64,
}

/// The F test of "it does not matter which variant ran before".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CarryOver {
    pub f: f64,
    pub p_value: f64,
    /// Degrees of freedom of effects and of noise.
    pub effects: u32,
    pub noise: u32,
}

/// Below this a carry-over is worth a remark.
pub const NOTICED: f64 = 0.01;

/// With fewer degrees of freedom of the noise nothing is tested.
const LEAST_NOISE: usize = 5;

/// What is left of a column of this part of its length is taken for rounding.
const DEPENDENT: f64 = 1e-9;

/// Tests for effects of the previous variant beside those of block, position and variant.
///
/// Two linear models of the logarithms are fitted by least squares, one without and one with an
/// effect for each previous variant (first-order carry-over, Jones & Kenward, Design and Analysis
/// of Cross-Over Trials, 3rd ed., chapter 4); `F` is the usual ratio of what that explains to what is
/// left. Blocks are fixed effects. Launches with no known predecessor are left out. `None` where too
/// few launches are left, a value is not finite, or nothing varies.
pub fn carry_over(rows: &[Row]) -> Option<CarryOver> {
    let mut rows: Vec<(Row, usize)> =
        rows.iter().filter_map(|row| Some((*row, row.after?))).collect();
    rows.sort_by_key(|(row, _)| (row.block, row.position));
    if rows.iter().any(|(row, _)| !row.log.is_finite()) {
        return None;
    }
    let blocks: Vec<u32> = rows.iter().map(|(row, _)| row.block).collect();
    let column = |of: &dyn Fn(&(Row, usize)) -> f64| {
        within_blocks(&rows.iter().map(of).collect::<Vec<_>>(), &blocks)
    };
    let most = |of: &dyn Fn(&(Row, usize)) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for variant in 1..=most(&|(row, _)| row.variant) {
        extend(&mut basis, column(&|(row, _)| indicator(row.variant == variant)));
    }
    for position in 1..=most(&|(row, _)| row.position as usize) {
        extend(&mut basis, column(&|(row, _)| indicator(row.position as usize == position)));
    }
    let without = basis.len();
    for before in 1..=most(&|(_, after)| *after) {
        extend(&mut basis, column(&|(_, after)| indicator(*after == before)));
    }
    let effects = basis.len() - without;
    let mut groups = blocks.clone();
    groups.dedup();
    let noise = rows.len().checked_sub(groups.len() + basis.len())?;
    if effects == 0 || noise < LEAST_NOISE {
        return None;
    }
    let all = column(&|(row, _)| row.log);
    let total = squares(&all);
    let rest = residual(&basis[..without], all);
    let before = squares(&rest);
    let left = squares(&residual(&basis[without..], rest));
    // Differences of the size of rounding are none.
    if !(total > 0.0 && left > total * DEPENDENT * DEPENDENT) {
        return None;
    }
    let (q, n) = (effects as f64, noise as f64);
    let f = ((before - left).max(0.0) / q) / (left / n);
    Some(CarryOver {
        f,
        p_value: f_upper_p(f, q, n),
        effects: u32::try_from(effects).ok()?,
        noise: u32::try_from(noise).ok()?,
    })
}

fn indicator(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// The values without the mean of their block; values of a block stand together.
fn within_blocks(values: &[f64], blocks: &[u32]) -> Vec<f64> {
    let mut out = Vec::with_capacity(values.len());
    let mut begin = 0;
    for same in blocks.chunk_by(|a, b| a == b) {
        let own = &values[begin..begin + same.len()];
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        out.extend(own.iter().map(|value| value - mean));
        begin += same.len();
    }
    out
}

/// Adds the part of `column` that is new to an orthonormal `basis`, if there is one.
fn extend(basis: &mut Vec<Vec<f64>>, column: Vec<f64>) {
    let length = squares(&column).sqrt();
    // Twice, so that rounding leaves nothing of the others.
    let new = residual(basis, residual(basis, column));
    let left = squares(&new).sqrt();
    if length > 0.0 && left > length * DEPENDENT.sqrt() {
        basis.push(new.into_iter().map(|x| x / left).collect());
    }
}

/// What an orthonormal `basis` does not explain of `values`.
fn residual(basis: &[Vec<f64>], mut values: Vec<f64>) -> Vec<f64> {
    for unit in basis {
        let along: f64 = unit.iter().zip(&values).map(|(u, v)| u * v).sum();
        values.iter_mut().zip(unit).for_each(|(v, u)| *v -= along * u);
    }
    values
}

fn squares(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::design::orders;

    /// Launches of `variants` variants in balanced order, each `own` slower by its number, by
    /// `place` for each position and by `carry` after variant 1; `noise` stirs them.
    fn rows(variants: usize, blocks: usize, carry: f64, noise: f64) -> Vec<Row> {
        let mut out = Vec::new();
        let mut after = None;
        for (block, order) in orders(variants, blocks, 5).iter().enumerate() {
            for (position, &variant) in order.iter().enumerate() {
                let stirred = noise * ((out.len() as f64 * 12.989).sin() * 43_758.545).fract();
                let felt = if after == Some(1) { carry } else { 0.0 };
                let log = 0.3 * variant as f64 + 0.1 * position as f64 + block as f64 * 0.05;
                let log = log + felt + stirred;
                out.push(Row {
                    block: block as u32,
                    position: position as u32,
                    variant,
                    after,
                    log,
                });
                after = Some(variant);
            }
        }
        out
    }

    #[test]
    fn a_launch_that_feels_its_predecessor_is_noticed_and_drift_is_not() {
        for variants in [2, 3, 5] {
            let felt = carry_over(&rows(variants, 20, 0.05, 0.02)).unwrap();
            assert!(felt.p_value < NOTICED, "{variants}: {felt:?}");
            assert_eq!(felt.effects as usize, variants - 1);
            let none = carry_over(&rows(variants, 20, 0.0, 0.02)).unwrap();
            assert!(none.p_value > NOTICED, "{variants}: {none:?}");
        }
    }

    #[test]
    fn degrees_of_freedom_are_counted() {
        // 39 launches with a predecessor, 20 blocks, variant, position and predecessor.
        let found = carry_over(&rows(2, 20, 0.0, 0.1)).unwrap();
        assert_eq!((found.effects, found.noise), (1, 39 - 20 - 3));
    }

    #[test]
    fn too_little_to_tell_tells_nothing() {
        assert_eq!(carry_over(&[]), None);
        assert_eq!(carry_over(&rows(2, 6, 0.1, 0.1)), None, "too few blocks");
        assert_eq!(carry_over(&rows(1, 30, 0.1, 0.1)), None, "one variant has one predecessor");
        assert_eq!(carry_over(&rows(2, 20, 0.0, 0.0)), None, "nothing is left to be noise");
        let mut broken = rows(2, 20, 0.0, 0.1);
        broken[5].log = f64::NAN;
        assert_eq!(carry_over(&broken), None);
    }

    #[test]
    fn the_order_of_rows_and_a_common_factor_do_not_matter() {
        let found = carry_over(&rows(3, 20, 0.01, 0.05)).unwrap();
        let mut turned = rows(3, 20, 0.01, 0.05);
        turned.reverse();
        for row in &mut turned {
            row.log += 7.0;
        }
        let again = carry_over(&turned).unwrap();
        assert!((found.f / again.f - 1.0).abs() < 1e-6 && found.noise == again.noise);
    }
}
