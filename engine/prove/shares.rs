//! Intervals of quality: shares of right answers, and means over skewed items.

use super::draws::Draws;
use super::repeat::{Rate, repeat};
use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::bootstrap::mean_bca;
use crate::measure::proportion::{paired_difference, wilson};

pub const SHARES: Proof = Proof {
    id: "shares",
    claim: "Wilson's interval of a share and Tango's of a paired difference cover the truth in 92 % of cases at least where 95 % is asked, near 0 and 1 too as long as several hits or misses are expected.",
    method: "Items that a reference answers rightly with a known chance, and a variant that loses and gains answers with known chances; 20,000 sets of items each. \
        Hits are whole numbers, so coverage waves about the level. Shown without a bar: a share so near 0 that a single hit moves the whole interval past it.",
    run: shares,
};

pub const ITEM_MEANS: Proof = Proof {
    id: "item_means",
    claim: "The bootstrapped interval of a mean over skewed items covers the truth in 88 % of cases from 16 items on and in 91 % from 60 on, where 95 % is asked.",
    method: "Errors of items drawn log-normal with deviations of the logarithm of 0.25, 0.5 and 1; the true mean is known. 2,000 sets of items each.",
    run: item_means,
};

fn shares(effort: Effort) -> Table {
    let sets = if effort == Effort::Quick { 500 } else { 20_000 };
    let mut table = Table {
        columns: vec![
            "items",
            "reference right",
            "lost",
            "gained",
            "share covered",
            "difference covered",
        ],
        ..Table::default()
    };
    // The last one is where Wilson's interval is at its worst: its lower bound at one hit.
    let cases = [
        (50, 0.9, 0.05, 0.1, true),
        (200, 0.98, 0.01, 0.5, true),
        (400, 0.7, 0.02, 0.05, true),
        (100, 0.5, 0.1, 0.1, true),
        (1000, 0.95, 0.01, 0.1, true),
        (200, 0.03, 0.3, 0.01, true),
        (1000, 0.01, 0.2, 0.002, true),
        (50, 0.003_5, 0.0, 0.0, false),
    ];
    for (study, (items, right, lost, gained, held)) in cases.into_iter().enumerate() {
        let share = right * (1.0 - lost) + (1.0 - right) * gained;
        let found = repeat(sets, |seed| {
            let mut draws = Draws::new(6_000 + study as u64, seed);
            let (mut hits, mut better, mut worse) = (0.0, 0.0, 0.0);
            for _ in 0..items {
                let reference = draws.uniform() <= right;
                let turned = draws.uniform() <= if reference { lost } else { gained };
                hits += f64::from(u8::from(reference != turned));
                better += f64::from(u8::from(turned && !reference));
                worse += f64::from(u8::from(turned && reference));
            }
            let own = wilson(hits, items, 0.95).expect("there are items");
            let change = paired_difference(better, worse, items, 0.95).expect("there are items");
            let truth = share - right;
            (own.low <= share && share <= own.high, change.low <= truth && truth <= change.high)
        });
        let own = Rate::of(found.iter().map(|found| found.0));
        let change = Rate::of(found.iter().map(|found| found.1));
        let enough = |rate: Rate| rate.at_least(0.92);
        let cells = [
            items.to_string(),
            right.to_string(),
            lost.to_string(),
            gained.to_string(),
            own.text(),
            change.text(),
        ];
        let verdict = match held {
            true => Holds::of(enough(own) && enough(change)),
            false => Holds::Shown,
        };
        table.rows.push(Row { cells: cells.into(), verdict });
    }
    table
}

fn item_means(effort: Effort) -> Table {
    let sets = if effort == Effort::Quick { 20 } else { 2000 };
    let mut table = Table {
        columns: vec!["items", "deviation of the logarithm", "covered", "bar"],
        ..Table::default()
    };
    for (items, deviation, bar) in [
        (16, 0.25, Some(0.88)),
        (16, 0.5, Some(0.88)),
        (60, 0.25, Some(0.91)),
        (60, 0.5, Some(0.91)),
        (200, 0.5, Some(0.91)),
        (16, 1.0, None),
        (60, 1.0, None),
        (200, 1.0, None),
    ] {
        // The slow part is the bootstrap: what no bar applies to is left out of the quick run.
        if effort == Effort::Quick && (bar.is_none() || items > 60) {
            continue;
        }
        let truth = (0.5_f64 * deviation * deviation).exp();
        let covered = Rate::of(repeat(sets, |seed| {
            let mut draws = Draws::new(6_100 + items, seed);
            let values: Vec<f64> = (0..items).map(|_| (deviation * draws.normal()).exp()).collect();
            let found = mean_bca(&values, 0.95).expect("values are finite");
            found.low <= truth && truth <= found.high
        }));
        let verdict = bar.map_or(Holds::Shown, |bar| Holds::of(covered.at_least(bar)));
        let bar = bar.map_or_else(String::new, |bar| format!("≥ {:.1} %", bar * 100.0));
        let cells = vec![items.to_string(), deviation.to_string(), covered.text(), bar];
        table.rows.push(Row { cells, verdict });
    }
    table.remarks.push("Very skewed items (deviation 1: a mean of 1.65 beside a median of 1) are covered less; the rows without a bar say how much.".into());
    table
}
