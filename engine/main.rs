//! The engine with nothing added.

use std::process::ExitCode;

use engine::cli;

fn main() -> ExitCode {
    cli::run_with(cli::Extensions::default())
}
