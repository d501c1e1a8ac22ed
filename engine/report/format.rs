//! Numbers for people: digits that follow the interval, one unit per number.

use crate::measure::{Estimate, Unit};

const TIME: &[(f64, &str)] = &[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")];
const SIZE: &[(f64, &str)] =
    &[(1_073_741_824.0, "GiB"), (1_048_576.0, "MiB"), (1024.0, "KiB"), (1.0, "B")];
const ENERGY: &[(f64, &str)] = &[(1000.0, "kJ"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ")];

/// With so many decimals a number below this is a power of ten.
const MANY_DECIMALS: usize = 7;
const LEAST_PLAIN: f64 = 1e-5;

/// Ratios below are told as that.
const LEAST_RATIO: f64 = 1e-6;

/// Unit in which `value` reads best: its factor and its name, empty for a number without a unit.
fn scale(unit: Unit, value: f64) -> (f64, &'static str) {
    let largest = |units: &[(f64, &'static str)]| {
        let last = units[units.len() - 1];
        units.iter().copied().find(|(factor, _)| value.abs() >= *factor).unwrap_or(last)
    };
    match unit {
        Unit::Seconds => largest(TIME),
        Unit::Bytes => largest(SIZE),
        Unit::Joules => largest(ENERGY),
        Unit::Watts => (1.0, "W"),
        Unit::TokensPerSecond => (1.0, "tok/s"),
        Unit::ItemsPerSecond => (1.0, "items/s"),
        Unit::Plain => (1.0, ""),
        Unit::Nats => (1.0, "nats"),
        Unit::Decibels => (1.0, "dB"),
        Unit::Share => (0.01, "%"),
    }
}

/// Decimals at which an interval of half-width `half` keeps one significant digit, two below 1.5.
fn decimals(half: f64) -> usize {
    if !half.is_finite() || half <= 0.0 {
        return 3;
    }
    (-(half / 1.5).log10()).ceil().clamp(0.0, 9.0) as usize
}

/// Decimals that leave `value` with `digits` significant digits; none for what has no magnitude.
fn reaching(value: f64, digits: u32) -> usize {
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    (f64::from(digits) - 1.0 - value.abs().log10().floor()).clamp(0.0, 9.0) as usize
}

/// `value` with `decimals` decimals and thousands set apart, never `-0`.
fn plain(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "unbounded".into();
    }
    if decimals >= MANY_DECIMALS && value.abs() < LEAST_PLAIN {
        return tiny(value);
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::new();
    if value < 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b)) {
        out.push('\u{2212}');
    }
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// `4.2e-10`, or `0`.
fn tiny(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let sign = if value < 0.0 { "\u{2212}" } else { "" };
    format!("{sign}{}", format!("{:.1e}", value.abs()).replace(".0e", "e"))
}

/// `value` with about `digits` significant digits.
pub fn significant(value: f64, digits: u32) -> String {
    if value == 0.0 {
        return "0".into();
    }
    plain(value, reaching(value, digits))
}

/// A number without an interval, with three significant digits and no needless zeros: `12.5`.
pub fn rough(value: f64) -> String {
    without_zeros(&significant(value, 3)).to_owned()
}

/// A value without an interval: `8.5 MiB`, `12.34 ms`.
pub fn exact(value: f64, unit: Unit) -> String {
    let (factor, name) = scale(unit, value);
    let whole = unit == Unit::Bytes && factor == 1.0;
    let text = if whole { plain(value, 0) } else { significant(value / factor, 4) };
    with_unit(without_zeros(&text), name)
}

fn with_unit(text: &str, name: &str) -> String {
    match name {
        "" => text.to_owned(),
        "%" => format!("{text}\u{a0}%"),
        _ => format!("{text}\u{a0}{name}"),
    }
}

/// A measured value with its interval: `12.3 ms [12.1, 12.5]`.
pub fn measured(estimate: &Estimate, unit: Unit) -> String {
    let (factor, name) = scale(unit, estimate.point);
    format!("{} {}", with_unit(&point_of(estimate, factor), name), bounds_of(estimate, factor))
}

/// The point alone, with the digits its interval warrants.
pub fn point(estimate: &Estimate, unit: Unit) -> String {
    let (factor, name) = scale(unit, estimate.point);
    with_unit(&point_of(estimate, factor), name)
}

/// The interval alone, in the unit of the point: `[12.1, 12.5]`.
pub fn bounds(estimate: &Estimate, unit: Unit) -> String {
    bounds_of(estimate, scale(unit, estimate.point).0)
}

fn places(estimate: &Estimate, factor: f64) -> usize {
    let half = (estimate.high - estimate.low) / 2.0 / factor;
    if half > 0.0 { decimals(half) } else { decimals(estimate.point.abs() / factor / 100.0) }
}

/// As [`places`], with one more where the point would be left with a single digit.
fn places_of_value(estimate: &Estimate, factor: f64) -> usize {
    let places = places(estimate, factor);
    places.max(reaching(estimate.point / factor, 2).min(places + 1))
}

fn point_of(estimate: &Estimate, factor: f64) -> String {
    plain(estimate.point / factor, places_of_value(estimate, factor))
}

fn bounds_of(estimate: &Estimate, factor: f64) -> String {
    interval(estimate, factor, places_of_value(estimate, factor))
}

/// Both bounds with `places` decimals; one that is not zero gets more before it looks like zero.
fn interval(estimate: &Estimate, factor: f64, places: usize) -> String {
    let text = |bound: f64| plain(bound, places.max(reaching(bound, 1).min(places + 3)));
    format!("[{}, {}]", text(estimate.low / factor), text(estimate.high / factor))
}

/// `1.82×`.
pub fn times(estimate: &Estimate) -> String {
    format!("{}×", factor_text(estimate.point, times_places(estimate)))
}

/// The interval of a ratio: `[1.79, 1.85]`.
pub fn times_bounds(estimate: &Estimate) -> String {
    let places = times_places(estimate);
    format!("[{}, {}]", factor_text(estimate.low, places), factor_text(estimate.high, places))
}

/// Distance on a ratio is relative, so each of its numbers keeps two significant digits.
fn factor_text(value: f64, places: usize) -> String {
    if value > 0.0 && value < LEAST_RATIO {
        return format!("<{}", plain(LEAST_RATIO, 6));
    }
    plain(value, places.max(reaching(value, 2)))
}

/// Ratios have three decimals at most, unless the interval would vanish.
fn times_places(estimate: &Estimate) -> usize {
    let vanishes = (estimate.high - estimate.low) < 0.001;
    places(estimate, 1.0).min(if vanishes { 5 } else { 3 })
}

/// A bare ratio such as a threshold: `1.2×`.
pub fn ratio(value: f64) -> String {
    format!("{}×", trimmed(value, reaching(value, 2).max(3)))
}

/// A ratio without an interval, with three significant digits: `0.277×`.
pub fn ratio_rough(value: f64) -> String {
    format!("{}×", rough(value))
}

/// A change in percent with sign: `+0.31 %`, from a fraction.
pub fn change(estimate: &Estimate) -> String {
    let text = plain(estimate.point / 0.01, places(estimate, 0.01));
    let sign = if estimate.point > 0.0 { "+" } else { "" };
    format!("{sign}{text}\u{a0}%")
}

/// A difference of shares in percentage points, from a fraction: `1.5 pp`.
pub fn change_in_points(estimate: &Estimate) -> String {
    format!("{}\u{a0}pp", plain(estimate.point / 0.01, places(estimate, 0.01).max(1)))
}

/// The interval of such a difference. Of hundreds of items one is worth tenths of a point.
pub fn points_bounds(estimate: &Estimate) -> String {
    interval(estimate, 0.01, places(estimate, 0.01).max(1))
}

/// A bare difference of shares such as a threshold: `2 pp`.
pub fn points(share: f64) -> String {
    percent(share).replace('%', "pp")
}

/// The interval of a change in percent.
pub fn change_bounds(estimate: &Estimate) -> String {
    interval(estimate, 0.01, places(estimate, 0.01))
}

/// A share such as a confidence level, without needless zeros: `95 %`.
pub fn percent(share: f64) -> String {
    format!("{}\u{a0}%", trimmed(share * 100.0, reaching(share * 100.0, 1).max(2)))
}

/// A share with two significant digits, for sentences: `46 %`, `0.31 %`.
pub fn percent_rough(share: f64) -> String {
    let digits = if share.abs() >= 1.0 { 3 } else { 2 };
    format!("{}\u{a0}%", significant(share * 100.0, digits))
}

/// At most `decimals` decimals, no trailing zeros.
pub fn trimmed(value: f64, decimals: usize) -> String {
    without_zeros(&plain(value, decimals)).to_owned()
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A count with thousands set apart.
pub fn count(n: u64) -> String {
    plain(n as f64, 0)
}

/// Wall time of a step or run: `4 min 12 s`, `3.2 s`, `41 ms`.
pub fn span(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".into();
    }
    let whole = seconds.round() as u64;
    match whole {
        0..=9 if seconds < 1.0 => format!("{}\u{a0}ms", plain(seconds * 1e3, 0)),
        0..=59 => format!("{}\u{a0}s", plain(seconds, 1)),
        60..=3599 => format!("{}\u{a0}min {}\u{a0}s", whole / 60, whole % 60),
        _ => format!("{}\u{a0}h {}\u{a0}min", whole / 3600, whole % 3600 / 60),
    }
}

/// Blocks as ranges: `0-2, 5`.
pub fn ranges(sorted: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for &n in sorted {
        match parts.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(n) => *end = n,
            _ => parts.push((n, n)),
        }
    }
    let texts = parts.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Method;

    fn estimate(point: f64, low: f64, high: f64) -> Estimate {
        Estimate { point, low, high, level: 0.95, n: 12, method: Method::StudentT }
    }

    #[test]
    fn digits_follow_the_interval() {
        let wide = estimate(1.823_456, 1.79, 1.85);
        assert_eq!(format!("{} {}", times(&wide), times_bounds(&wide)), "1.82× [1.79, 1.85]");
        let narrow = estimate(1.823_456, 1.8228, 1.8241);
        assert_eq!(times(&narrow), "1.823×");
        assert_eq!(
            measured(&estimate(182.31, 179.2, 185.4), Unit::TokensPerSecond),
            "182\u{a0}tok/s [179, 185]"
        );
    }

    #[test]
    fn a_wide_interval_leaves_no_number_without_digits() {
        let text = |e: &Estimate| format!("{} {}", times(e), times_bounds(e));
        assert_eq!(text(&estimate(0.128, 0.0181, 1.31)), "0.13× [0.018, 1.3]");
        assert_eq!(text(&estimate(1.06, 0.312, 4.17)), "1.1× [0.31, 4.2]");
        assert_eq!(text(&estimate(12.2, 9.1, 16.3)), "12× [9.1, 16]");
        assert_eq!(text(&estimate(0.5, 1e-8, 1e8)), "0.50× [<0.000001, 100,000,000]");
        let speed = estimate(5.13, 1.2, 9.06);
        assert_eq!(measured(&speed, Unit::TokensPerSecond), "5.1\u{a0}tok/s [1.2, 9.1]");
        assert_eq!(measured(&estimate(3.4, 0.02, 6.78), Unit::Plain), "3.4 [0.02, 6.8]");
        assert_eq!(change_bounds(&estimate(0.003, 0.0001, 0.0059)), "[0.01, 0.6]");
        assert_eq!((ratio(0.0004), percent(0.000_01)), ("0.0004×".into(), "0.001\u{a0}%".into()));
    }

    #[test]
    fn point_and_bounds_share_the_unit_of_the_point() {
        assert_eq!(
            measured(&estimate(0.0123, 0.0121, 0.0125), Unit::Seconds),
            "12.3\u{a0}ms [12.1, 12.5]"
        );
        assert_eq!(
            measured(&estimate(1.01, 0.98, 1.04), Unit::Seconds),
            "1.01\u{a0}s [0.98, 1.04]"
        );
        assert_eq!(exact(8_912_896.0, Unit::Bytes), "8.5\u{a0}MiB");
        assert_eq!(exact(512.0, Unit::Bytes), "512\u{a0}B");
    }

    #[test]
    fn signs_and_extremes_are_spelled_out() {
        assert_eq!(change(&estimate(0.0031, 0.0011, 0.0051)), "+0.3\u{a0}%");
        assert_eq!(change(&estimate(-0.0031, -0.0051, -0.0011)), "\u{2212}0.3\u{a0}%");
        assert_eq!(plain(-0.0001, 2), "0.00");
        assert_eq!(plain(f64::INFINITY, 2), "unbounded");
        let nats = estimate(4.2e-10, 1e-10, 7.4e-10);
        assert_eq!(measured(&nats, Unit::Nats), "4.2e-10\u{a0}nats [1e-10, 7.4e-10]");
        let tiny = estimate(2e-9, -6e-9, 1e-8);
        assert_eq!(change(&tiny), "+2e-7\u{a0}%");
        assert_eq!(change_bounds(&tiny), "[\u{2212}6e-7, 1e-6]");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(percent(0.95), "95\u{a0}%");
        assert_eq!(ranges(&[0, 1, 2, 5]), "0-2, 5");
        assert_eq!(span(252.4), "4\u{a0}min 12\u{a0}s");
        assert_eq!(span(0.041), "41\u{a0}ms");
    }
}
