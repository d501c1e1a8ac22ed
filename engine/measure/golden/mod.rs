//! Parity with scipy, statsmodels and diptest on fixed data.
//!
//! The numbers come from `tests/golden/make_golden.py`, which names the versions that made them.
//! Part of the program and not only of its tests, so that `engine prove` shows how far each
//! function strays on the machine it runs on. Where no library has a function, the script
//! computes it another way: by enumeration, by searching a likelihood, as roots of a quadratic.

mod dependence;
mod distributions;
mod intervals;
mod quantiles;
mod tests_of;

use serde_json::Value;

/// How far one function strays from its reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Parity {
    pub function: &'static str,
    /// What made the reference numbers.
    pub reference: &'static str,
    /// Numbers compared.
    pub numbers: usize,
    /// The largest relative error; infinite where one side has a number and the other none.
    pub worst: f64,
    pub bar: f64,
}

impl Parity {
    pub fn holds(&self) -> bool {
        self.worst <= self.bar
    }
}

/// Relative error allowed to estimators.
const ESTIMATOR: f64 = 1e-9;
/// Relative error allowed to special functions.
const SPECIAL: f64 = 1e-12;

/// Versions of the packages that made the references.
pub fn versions() -> Vec<(String, String)> {
    let all = golden();
    let versions = all["versions"].as_object().into_iter().flatten();
    versions.map(|(name, v)| (name.clone(), v.as_str().unwrap_or("?").to_owned())).collect()
}

/// Every function with a reference.
pub fn parities() -> Vec<Parity> {
    let all = golden();
    let mut out = distributions::parities(&all);
    out.extend(intervals::parities(&all));
    out.extend(quantiles::parities(&all));
    out.extend(tests_of::parities(&all));
    out.extend(dependence::parities(&all));
    out
}

fn golden() -> Value {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/estimates.json"));
    serde_json::from_str(text).expect("the committed file is JSON")
}

/// Found and expected, where either may have no number.
type Pair = (Option<f64>, Option<f64>);

/// Compares what `of` makes of every case of the section `key`.
fn parity(
    all: &Value,
    key: &str,
    (function, reference, bar): (&'static str, &'static str, f64),
    of: impl Fn(&Value) -> Vec<Pair>,
) -> Parity {
    let pairs: Vec<Pair> = cases(all, key).iter().flat_map(of).collect();
    let worst = pairs.iter().map(error).fold(0.0, f64::max);
    // A section that is missing has shown nothing.
    let worst = if pairs.is_empty() { f64::INFINITY } else { worst };
    Parity { function, reference, numbers: pairs.len(), worst, bar }
}

/// Relative, and absolute where the reference is 0.
fn error(pair: &Pair) -> f64 {
    match *pair {
        (None, None) => 0.0,
        (Some(found), Some(expected)) if found == expected => 0.0,
        (Some(found), Some(expected)) => {
            let off = (found - expected).abs();
            let error = if expected == 0.0 { off } else { off / expected.abs() };
            if error.is_nan() { f64::INFINITY } else { error }
        }
        _ => f64::INFINITY,
    }
}

fn cases<'a>(all: &'a Value, key: &str) -> &'a [Value] {
    all[key].as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().map(number).collect()
}

fn runs(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().into_iter().flatten().map(numbers).collect()
}

/// Point and bounds beside those of the case.
fn interval(found: Option<(f64, f64, f64)>, case: &Value) -> Vec<Pair> {
    let found = found.map_or([None; 3], |(p, l, h)| [Some(p), Some(l), Some(h)]);
    let expected = ["point", "low", "high"].map(|key| case[key].as_f64());
    found.into_iter().zip(expected).collect()
}

/// Two bounds that may be missing beside those of the case.
fn bounds(found: Option<(f64, f64)>, case: &Value) -> Vec<Pair> {
    let found = found.map_or([None; 2], |(l, h)| [Some(l), Some(h)]);
    found.into_iter().zip([case["bounds"][0].as_f64(), case["bounds"][1].as_f64()]).collect()
}

/// Values of a case; without them the data are what `of` makes of 1, 2, …, n.
fn data(case: &Value, of: fn(f64) -> f64) -> Vec<f64> {
    match &case["values"] {
        Value::Null => (1..=case["n"].as_u64().unwrap_or(0)).map(|i| of(i as f64)).collect(),
        values => numbers(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_agrees_with_its_reference() {
        let all = parities();
        let table = all.iter().map(|p| format!("{p:?}")).collect::<Vec<_>>().join("\n");
        assert!(all.iter().all(Parity::holds), "{table}");
        assert!(all.len() >= 27 && all.iter().all(|p| p.numbers > 0), "{table}");
    }

    #[test]
    fn a_wrong_number_and_a_missing_one_are_noticed() {
        let all = golden();
        let off = |case: &Value| vec![(Some(number(&case[2]) * (1.0 + 1e-8)), case[2].as_f64())];
        assert!(!parity(&all, "t_quantiles", ("", "", ESTIMATOR), off).holds());
        let gone = |case: &Value| vec![(None, case[2].as_f64())];
        assert!(!parity(&all, "t_quantiles", ("", "", ESTIMATOR), gone).holds());
        assert!(!parity(&all, "no such section", ("", "", ESTIMATOR), off).holds());
    }
}
