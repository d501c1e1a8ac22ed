//! Rules for prices: above nothing, and of a day that exists.

use time::{Date, Month};

use super::check::Rules;
use super::locate::dotted;

pub(crate) fn check(rules: &mut Rules<'_>) {
    let Some(cost) = &rules.spec.cost else { return };
    if cost.per_hour <= 0.0 {
        let pointer = "/cost/per_hour";
        let what = format!("{} must be above 0, found {}", dotted(pointer), cost.per_hour);
        rules.report("spec/out-of-range", pointer, what).hint =
            Some("leave `cost` out where the machine costs nothing".into());
    }
    if !exists(&cost.as_of) {
        let pointer = "/cost/as_of";
        let what = format!("{} is `{}`, which is no day", dotted(pointer), cost.as_of);
        rules.report("spec/out-of-range", pointer, what);
    }
}

/// Whether `YYYY-MM-DD` is a day of the calendar.
fn exists(text: &str) -> bool {
    let day = || {
        let mut parts = text.split('-');
        let year: i32 = parts.next()?.parse().ok()?;
        let month = Month::try_from(parts.next()?.parse::<u8>().ok()?).ok()?;
        Date::from_calendar_date(year, month, parts.next()?.parse().ok()?).ok()
    };
    day().is_some()
}

#[cfg(test)]
mod tests {
    use super::exists;

    #[test]
    fn days_of_the_calendar_exist_and_others_do_not() {
        for (day, yes) in [
            ("2026-11-01", true),
            ("2028-02-29", true),
            ("2026-02-29", false),
            ("2026-13-01", false),
            ("2026-11-31", false),
            ("2026-00-10", false),
        ] {
            assert_eq!(exists(day), yes, "{day}");
        }
    }
}
