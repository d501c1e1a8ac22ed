//! Columns of a terminal, or a list where they do not fit.

use super::escape;
use super::terminal::{bold, line, painted};
use super::view::Tone;

/// Columns between two fields.
const GAP: usize = 2;

/// A table whose cells are plain text; the last column may be toned.
pub struct Columns {
    heads: Vec<String>,
    rows: Vec<(Vec<String>, Tone)>,
}

impl Columns {
    pub fn new(heads: &[&str]) -> Self {
        let heads = heads.iter().map(|head| escape::terminal(head)).collect();
        Self { heads, rows: Vec::new() }
    }

    /// As many cells as there are heads; `tone` is that of the last one.
    pub fn row(&mut self, cells: &[String], tone: Tone) {
        let safe = |cell: &String| escape::terminal(&cell.replace('\u{a0}', " "));
        self.rows.push((cells.iter().map(safe).collect(), tone));
    }

    /// Writes the table, or row for row a list where `width` columns are too few.
    pub fn write(&self, out: &mut String, colour: bool, width: usize) {
        let of = |i: usize| {
            let cells = self.rows.iter().map(|(cells, _)| cells[i].chars().count());
            cells.max().unwrap_or(0).max(self.heads[i].chars().count())
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(of).collect();
        let whole: usize = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let last = self.heads.len() - 1;
        if whole > width {
            for (cells, tone) in &self.rows {
                line(
                    out,
                    &format!(
                        "{}  {}",
                        bold(&cells[0], colour),
                        painted(&cells[last], *tone, colour)
                    ),
                );
                for (head, cell) in self.heads.iter().zip(cells).take(last).skip(1) {
                    line(out, &format!("  {head}: {cell}"));
                }
            }
            return;
        }
        let text = |cells: &[String], end: &str| {
            let padded = |i: usize| format!("{:<1$}", cells[i], widths[i] + GAP);
            format!("{}{end}", (0..last).map(padded).collect::<String>())
        };
        line(out, &bold(&text(&self.heads, &self.heads[last]), colour));
        for (cells, tone) in &self.rows {
            line(out, &text(cells, &painted(&cells[last], *tone, colour)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_give_way_to_a_list() {
        let mut table = Columns::new(&["variant", "n", "verdict"]);
        table.row(&["fp32".into(), "1\u{a0}µs".into(), "fine".into()], Tone::Good);
        table.row(&["a\u{1b}[1m".into(), "200 ms".into(), "bad".into()], Tone::Bad);
        let mut wide = String::new();
        table.write(&mut wide, false, 80);
        let lines: Vec<&str> = wide.lines().collect();
        assert!(!wide.contains('\u{1b}'), "{wide}");
        let at = |line: &str, what: &str| line[..line.find(what).unwrap()].chars().count();
        assert_eq!(at(lines[0], "verdict"), at(lines[1], "fine"));
        assert_eq!(at(lines[1], "1 µs"), at(lines[2], "200 ms"));
        let mut narrow = String::new();
        table.write(&mut narrow, false, 20);
        assert!(narrow.starts_with("fp32  fine\n  n: 1 µs\n"), "{narrow}");
    }
}
