//! Start-up: what the program adds, logging, the command line, the exit code.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use super::exit::Failure;
use super::{Cli, LogFormat};
use crate::base::chain;
use crate::catalog::Extensions;

/// The engine's command line with what `extensions` add; to be called first thing in `main`.
///
/// Processes that it starts are this program again, so that they have the same extensions.
/// Extensions that cannot be added end it with a message and exit code 1.
pub fn run_with(extensions: Extensions) -> ExitCode {
    // A reader that went away ends the program like any other tool in a pipe.
    // SAFETY: restores the default action of a signal before the engine starts a thread.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    if let Err(error) = extensions.register() {
        let failure = Failure::broken(chain(&error)).hint(error.hint());
        return ExitCode::from(failure.report(false));
    }
    let cli = Cli::parse();
    start_logging(&cli);
    ExitCode::from(cli.execute())
}

fn start_logging(cli: &Cli) {
    let level = ["warn", "info", "debug", "trace"][usize::from(cli.verbose.min(3))];
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    match cli.log_format {
        LogFormat::Text => logs.with_target(false).init(),
        LogFormat::Json => logs.json().init(),
    }
}
