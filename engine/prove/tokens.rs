//! Times of generated text from scripted streams of chunks, against values computed by hand.

use super::{Effort, Holds, Proof, Row, Table};
use crate::measure::{Timeline, tokens};

pub static TOKENS: Proof = Proof {
    id: "load_token_times",
    claim: "Times of generated text follow from the instants and tokens of chunks as defined.",
    method: "Scripted streams with several tokens a chunk, an empty first chunk, a single token and nothing, compared with values computed by hand; exact to a nanosecond.",
    run,
};

/// Times are in milliseconds.
struct Script {
    name: &'static str,
    /// To be sent, which is also when it is queued, and sent.
    begin: (Option<u64>, u64),
    /// Instant and tokens of each chunk.
    chunks: &'static [(u64, u32)],
    ttft: Option<f64>,
    tpot: Option<f64>,
    compat: Option<f64>,
    itl: &'static [f64],
    icl: &'static [f64],
}

impl Script {
    fn timeline(&self) -> Timeline {
        let nanos = |t: u64| t * 1_000_000;
        Timeline {
            scheduled: self.begin.0.map(nanos),
            queued: self.begin.0.map(nanos),
            sent: nanos(self.begin.1),
            tokens: self.chunks.iter().map(|(at, _)| nanos(*at)).collect(),
            counts: Some(self.chunks.iter().map(|(_, n)| *n).collect()),
            prompt_tokens: Some(16),
            batch: 1,
            ..Timeline::default()
        }
    }
}

fn scripts() -> Vec<Script> {
    vec![
        Script {
            name: "one token a chunk, closed loop: from sending",
            begin: (None, 100),
            chunks: &[(150, 1), (170, 1), (200, 1), (210, 1)],
            ttft: Some(50.0),
            tpot: Some(20.0),
            compat: Some(20.0),
            itl: &[20.0, 30.0, 10.0],
            icl: &[20.0, 30.0, 10.0],
        },
        Script {
            name: "open loop: from the schedule",
            begin: (Some(40), 100),
            chunks: &[(150, 1), (170, 1)],
            ttft: Some(110.0),
            tpot: Some(20.0),
            compat: Some(20.0),
            itl: &[20.0],
            icl: &[20.0],
        },
        Script {
            // After the first chunk of 2: 1 + 3 tokens in 100 ms; other tools divide by 5.
            name: "several tokens a chunk",
            begin: (None, 0),
            chunks: &[(100, 2), (140, 1), (200, 3)],
            ttft: Some(100.0),
            tpot: Some(25.0),
            compat: Some(20.0),
            itl: &[40.0, 20.0, 20.0, 20.0],
            icl: &[40.0, 60.0],
        },
        Script {
            name: "empty chunks first, between and last",
            begin: (None, 0),
            chunks: &[(10, 0), (100, 1), (120, 0), (160, 2), (900, 0)],
            ttft: Some(100.0),
            tpot: Some(30.0),
            compat: Some(30.0),
            itl: &[30.0, 30.0],
            icl: &[60.0],
        },
        Script {
            name: "a single token",
            begin: (None, 0),
            chunks: &[(80, 1)],
            ttft: Some(80.0),
            tpot: None,
            compat: None,
            itl: &[],
            icl: &[],
        },
        Script {
            name: "one chunk of four tokens",
            begin: (None, 0),
            chunks: &[(80, 4)],
            ttft: Some(80.0),
            tpot: None,
            compat: Some(0.0),
            itl: &[],
            icl: &[],
        },
        Script {
            name: "nothing but an empty chunk",
            begin: (None, 0),
            chunks: &[(80, 0)],
            ttft: None,
            tpot: None,
            compat: None,
            itl: &[],
            icl: &[],
        },
    ]
}

fn run(_: Effort) -> Table {
    let same = |seconds: Option<f64>, ms: Option<f64>| match (seconds, ms) {
        (Some(seconds), Some(ms)) => (seconds - ms * 1e-3).abs() < 1e-12,
        (seconds, ms) => seconds == ms,
    };
    let all = |found: Vec<f64>, expected: &[f64]| {
        found.len() == expected.len()
            && found.iter().zip(expected).all(|(a, b)| same(Some(*a), Some(*b)))
    };
    let row = |script: &Script| {
        let t = script.timeline();
        let kept = same(tokens::ttft(&t), script.ttft)
            && same(tokens::tpot(&t), script.tpot)
            && same(tokens::tpot_compat(&t), script.compat)
            && all(tokens::itl(&t).collect(), script.itl)
            && all(tokens::icl(&t).collect(), script.icl);
        let shown = |value: Option<f64>| {
            value.map_or_else(|| "none".to_owned(), |v| format!("{:.0} ms", v * 1e3))
        };
        let itl: Vec<String> = tokens::itl(&t).map(|v| format!("{:.0}", v * 1e3)).collect();
        Row {
            cells: vec![
                script.name.to_owned(),
                shown(tokens::ttft(&t)),
                shown(tokens::tpot(&t)),
                shown(tokens::tpot_compat(&t)),
                itl.join(", "),
            ],
            verdict: Holds::of(kept),
        }
    };
    Table {
        columns: vec!["stream", "TTFT", "TPOT", "TPOT of other tools", "ITL (ms)"],
        rows: scripts().iter().map(row).collect(),
        remarks: Vec::new(),
    }
}
