//! What a waiting person sees: bars on a terminal, plain lines elsewhere. Always on stderr.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::base::text::inert;

/// Where progress goes. Nothing is drawn while a child measures.
pub struct Progress {
    bars: MultiProgress,
    /// Lines instead of bars: standard error is no terminal.
    plain: bool,
    quiet: bool,
}

impl Progress {
    /// Bars when standard error is a terminal, one line per finished step otherwise.
    pub fn stderr(quiet: bool) -> Self {
        let plain = !std::io::stderr().is_terminal();
        let target = match plain || quiet {
            true => ProgressDrawTarget::hidden(),
            // Two draws a second keep the parent's share of a core far below 1 %.
            false => ProgressDrawTarget::stderr_with_hz(2),
        };
        Self { bars: MultiProgress::with_draw_target(target), plain, quiet }
    }

    /// A bar for one step.
    pub fn step(&self, label: &str) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(1000));
        let style =
            ProgressStyle::with_template("  {msg:38!} {bar:12} {percent:>3} % {elapsed:>4}");
        bar.set_style(style.expect("the template is constant").progress_chars("━━╌"));
        bar.set_message(inert(label));
        bar
    }

    /// A bar for the launches of one setting.
    pub fn launches(&self, label: &str, most: u64, done: u64) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(most));
        let style =
            ProgressStyle::with_template("  {prefix:38!} {bar:12} {pos}/{len} ≤ {eta} left {msg}");
        bar.set_style(style.expect("the template is constant").progress_chars("━━╌"));
        bar.set_prefix(inert(label));
        bar.set_position(done);
        bar.reset_eta();
        bar
    }

    /// Ends a bar and leaves one line behind.
    pub fn finish(&self, bar: &ProgressBar, mark: &str, label: &str, detail: &str, took: Duration) {
        self.clear(bar);
        let seconds = took.as_secs_f64();
        let time = if seconds >= 0.05 { format!("  {seconds:.1} s") } else { String::new() };
        let detail = if detail.is_empty() { String::new() } else { format!("  {}", inert(detail)) };
        self.line(&format!("{mark} {}{detail}{time}", inert(label)));
    }

    /// Ends a bar and leaves nothing behind.
    pub fn clear(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.bars.remove(bar);
    }

    /// A line above the bars.
    pub fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        if self.plain {
            eprintln!("{text}");
        } else {
            // A terminal that went away is no reason to stop measuring.
            let _ = self.bars.println(text);
        }
    }
}
