//! Tables of proofs as text: for a terminal, and as the page `docs/VALIDATION.md`.

use std::fmt::Write as _;

use super::{Effort, Holds, Proof, Table};

/// What the page says about how it came about.
#[derive(Debug, Clone)]
pub struct Made {
    pub version: &'static str,
    /// Commit the program was built from, where the build could tell.
    pub commit: &'static str,
    /// Day in UTC, `2026-11-25`.
    pub day: String,
    /// The command line that writes the page again.
    pub command: String,
    pub effort: Effort,
}

const INTRODUCTION: &str = "\
The product is a measuring instrument; this page shows what it can be trusted with. Each table tries \
one claim against a truth that is known because it was put in. **Nearly every number here comes from \
simulation:** machines, clocks and noise are drawn from random generators with fixed seeds, and what \
is tried is the code that plans, stops and judges real runs. Two tables are of another kind: `parity` \
holds formulas to numbers that other people's programs made of stored data, and `guard_recorded` \
replays counters that were recorded once on a real machine. None comes from a clock of the machine \
that wrote this page, a model or another process; the tests of the project hold those parts (`tests/`), \
and `docs/PERFORMANCE.md` holds what was measured on real machines. The same build gives the same \
tables on every machine with the same mathematical library. `docs/METHODOLOGY.md` says what the words mean.";

/// The whole page in Markdown.
pub fn markdown(made: &Made, found: &[(&Proof, Table)]) -> String {
    let mut out = String::from("# Validation: what the instrument can be trusted with\n\n");
    let effort = match made.effort {
        Effort::Quick => "quick: few repetitions, to see that everything works; not for citing",
        Effort::Full => "full",
    };
    let broken = found.iter().filter(|(_, table)| !table.holds()).count();
    let verdict = match broken {
        0 => format!("All {} hold.", found.len()),
        n => format!("**{n} of {} do not hold**, see below.", found.len()),
    };
    let _ = write!(
        out,
        "{INTRODUCTION}\n\nWritten by a command, never by hand:\n\n```sh\n{}\n```\n\n\
         | engine | commit | day (UTC) | effort | seeds |\n|---|---|---|---|---|\n\
         | {} | `{}` | {} | {effort} | fixed, in `engine/prove/` |\n\n\
         {verdict} Rows without a verdict are shown for comparison.\n\n\
         | proof | claim | verdict |\n|---|---|---|\n",
        made.command, made.version, made.commit, made.day,
    );
    for (proof, table) in found {
        let verdict = Holds::of(table.holds());
        let _ = writeln!(out, "| [`{0}`](#{0}) | {1} | {verdict} |", proof.id, proof.claim);
    }
    for (proof, table) in found {
        let _ = write!(out, "\n## {}\n\n**{}**\n\n{}\n\n", proof.id, proof.claim, proof.method);
        line(&mut out, table.columns.iter().copied().chain(["verdict"]));
        let _ = writeln!(out, "|{}", "---|".repeat(table.columns.len() + 1));
        for row in &table.rows {
            let verdict = row.verdict.to_string();
            line(&mut out, row.cells.iter().map(String::as_str).chain([&*verdict]));
        }
        for remark in &table.remarks {
            let _ = write!(out, "\n{remark}\n");
        }
    }
    out
}

fn line<'a>(out: &mut String, cells: impl Iterator<Item = &'a str>) {
    let escaped: Vec<String> = cells.map(|cell| cell.replace('|', "\\|")).collect();
    let _ = writeln!(out, "| {} |", escaped.join(" | "));
}

/// One proof for a terminal: claim, aligned table, remarks.
pub fn plain(proof: &Proof, table: &Table) -> String {
    let mut out = format!("{}  {}\n", proof.id, proof.claim);
    let head = table.columns.iter().map(ToString::to_string).chain(["verdict".into()]).collect();
    let rows = table.rows.iter().map(|row| {
        let verdict = row.verdict.to_string().replace("**", "");
        row.cells.iter().cloned().chain([verdict]).collect()
    });
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..=table.columns.len()).map(width).collect();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(out, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    for remark in &table.remarks {
        let _ = writeln!(out, "  {remark}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prove::Row;

    fn table(verdict: Holds) -> Table {
        let rows = vec![Row { cells: vec!["a|b".into(), "0.95".into()], verdict }];
        Table { columns: vec!["cell", "found"], rows, remarks: vec!["The worst cell.".into()] }
    }

    const PROOF: Proof = Proof {
        id: "cover",
        claim: "Intervals cover.",
        method: "Two thousand sessions.",
        run: |_| table(Holds::Yes),
    };

    fn made() -> Made {
        Made {
            version: "0.1.0",
            commit: "abc",
            day: "2026-11-25".into(),
            command: "engine prove".into(),
            effort: Effort::Full,
        }
    }

    #[test]
    fn a_page_says_what_was_claimed_how_it_was_tried_and_what_was_found() {
        let page = markdown(&made(), &[(&PROOF, (PROOF.run)(Effort::Full))]);
        for part in [
            "engine prove",
            "2026-11-25",
            "`abc`",
            "| [`cover`](#cover) | Intervals cover. | holds |",
            "## cover\n\n**Intervals cover.**\n\nTwo thousand sessions.\n",
            "| a\\|b | 0.95 | holds |",
            "The worst cell.",
            "All 1 hold.",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
    }

    #[test]
    fn a_row_that_does_not_hold_is_told_at_the_head() {
        let page = markdown(&made(), &[(&PROOF, table(Holds::No))]);
        assert!(page.contains("**1 of 1 do not hold**"), "{page}");
        assert!(page.contains("| a\\|b | 0.95 | **does not hold** |"), "{page}");
    }

    #[test]
    fn a_terminal_sees_aligned_columns() {
        let text = plain(&PROOF, &table(Holds::Yes));
        assert!(text.contains("\n  cell  found  verdict\n  a|b   0.95   holds\n"), "{text}");
    }
}
