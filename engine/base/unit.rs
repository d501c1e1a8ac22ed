//! Quantities with their unit in the type: `5ms`, `512MiB`, `2%`.
//!
//! In a spec a quantity is always text with its unit; a bare number is an error, because `5`
//! may mean seconds to one reader and milliseconds to the next.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time in nanoseconds. In a spec: `250ms`, `1.5s`, `2m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Nanos(pub u64);

/// A number of bytes. In a spec: `512MiB`, `2GB`, `4096B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub u64);

/// A share, held as a fraction: `2%` is 0.02.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Percent(pub f64);

const TIME: &[(&str, f64)] =
    &[("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];
const SIZE: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("KiB", 1024.0),
    ("MB", 1e6),
    ("MiB", 1_048_576.0),
    ("GB", 1e9),
    ("GiB", 1_073_741_824.0),
];

/// The patterns below are what the JSON schema shows; they accept exactly what parsing accepts.
const TIME_PATTERN: &str = r"^[0-9]{1,9}(\.[0-9]{1,9})?(ns|us|µs|ms|s|m|h)$";
const SIZE_PATTERN: &str = r"^[0-9]{1,9}(\.[0-9]{1,9})?(B|kB|KiB|MB|MiB|GB|GiB)$";
const PERCENT_PATTERN: &str = r"^[0-9]{1,9}(\.[0-9]{1,9})?%$";

impl Nanos {
    pub const fn seconds(s: u64) -> Self {
        Self(s * 1_000_000_000)
    }

    pub fn as_secs(self) -> f64 {
        self.0 as f64 / 1e9
    }

    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }

    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(scaled(text, TIME)?.round() as u64))
    }
}

impl Bytes {
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(scaled(text, SIZE)?.round() as u64))
    }
}

impl Percent {
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(scaled(text, &[("%", 1.0)])? / 100.0))
    }
}

fn scaled(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if [whole, fraction].iter().any(|digits| digits.is_empty() || digits.len() > 9) {
        return None;
    }
    Some(number.parse::<f64>().ok()? * factor)
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(
            f,
            self.0 as f64,
            &[("h", 3600e9), ("m", 60e9), ("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1.0)],
        )
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(
            f,
            self.0 as f64,
            &[("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("KiB", 1024.0), ("B", 1.0)],
        )
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0 * 100.0, &[("%", 1.0)])
    }
}

/// Writes in the largest unit that gives at least 1, with at most three decimals.
fn show(f: &mut fmt::Formatter<'_>, value: f64, units: &[(&str, f64)]) -> fmt::Result {
    let last = units[units.len() - 1];
    let (unit, factor) = units.iter().copied().find(|(_, factor)| value >= *factor).unwrap_or(last);
    let text = format!("{:.3}", value / factor);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    f.pad(&format!("{text}{unit}"))
}

macro_rules! unit_in_specs {
    ($type:ident, $pattern:expr, $what:expr, $examples:expr, $exact:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Self::parse(&text)
                    .ok_or_else(|| serde::de::Error::custom(concat!("expected ", $what)))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                #[allow(clippy::redundant_closure_call)]
                s.serialize_str(&$exact(self))
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": $pattern,
                    "title": $what,
                    "examples": $examples,
                })
            }
        }
    };
}

/// The text of a quantity in the first unit of `units` (largest first) that loses nothing.
fn exactly(value: u64, units: &[(&str, u64)]) -> String {
    let (unit, factor) = units
        .iter()
        .find(|(_, factor)| value.is_multiple_of(*factor) && value > 0)
        .unwrap_or(&units[units.len() - 1]);
    format!("{}{unit}", value / factor)
}

unit_in_specs!(
    Nanos,
    TIME_PATTERN,
    "a time with its unit, such as `5ms` or `2m`",
    ["5ms", "1.5s", "2m"],
    |n: &Nanos| {
        exactly(
            n.0,
            &[
                ("h", 3_600_000_000_000),
                ("m", 60_000_000_000),
                ("s", 1_000_000_000),
                ("ms", 1_000_000),
                ("us", 1000),
                ("ns", 1),
            ],
        )
    }
);
unit_in_specs!(
    Bytes,
    SIZE_PATTERN,
    "a size with its unit, such as `512MiB`",
    ["512MiB", "2GB"],
    |b: &Bytes| { exactly(b.0, &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)]) }
);
unit_in_specs!(
    Percent,
    PERCENT_PATTERN,
    "a percentage, such as `2%`",
    ["2%", "0.5%"],
    |p: &Percent| { p.to_string() }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_parse_with_their_unit_only() {
        assert_eq!(Nanos::parse("1.5s"), Some(Nanos(1_500_000_000)));
        assert_eq!(Nanos::parse("2m"), Some(Nanos::seconds(120)));
        assert_eq!(Bytes::parse("512MiB"), Some(Bytes::mib(512)));
        assert_eq!(Percent::parse("2%"), Some(Percent(0.02)));
        for bad in
            ["", "5", "ms", "-1s", "1e3s", "5 ms", "5MS", "1.s", ".5s", "1.2.3s", "99999999999s"]
        {
            assert_eq!(Nanos::parse(bad), None, "{bad}");
        }
        assert_eq!(Percent::parse("2"), None);
        assert_eq!(Bytes::parse("5mb"), None);
    }

    #[test]
    fn quantities_survive_a_round_trip_through_text() {
        for text in ["250ms", "2m", "1500us", "7h"] {
            let parsed = Nanos::parse(text).unwrap();
            let json = serde_json::to_value(parsed).unwrap();
            assert_eq!(serde_json::from_value::<Nanos>(json).unwrap(), parsed);
        }
        assert_eq!(Nanos(1_500_000_000).to_string(), "1.5s");
        assert_eq!(Bytes(8_912_896).to_string(), "8.5MiB");
        assert_eq!(Percent(0.025).to_string(), "2.5%");
    }
}
