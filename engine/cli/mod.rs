//! The command line: one file per subcommand. The only room that prints results and chooses exit
//! codes. Data goes to stdout, progress and messages to stderr.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

mod cell;
mod common;
mod compare;
mod doctor;
mod exit;
mod generate;
mod history;
mod init;
mod init_graph;
mod list;
mod plan;
mod prove;
mod report;
mod run;
mod runs;
mod runtime;
mod schema;
mod start;
mod store;
mod validate;
mod why;

pub use crate::catalog::Extensions;
pub use exit::Exit;
pub use start::run_with;

/// Declarative pipelines for ML inference optimization, and benchmarks that say when they do not know.
#[derive(Debug, Parser)]
#[command(name = "engine", version, max_term_width = 100, propagate_version = true)]
#[command(after_help = "Examples:
  engine run specs/llama_int8.yaml          validate, plan, measure, report
  engine plan specs/llama_int8.yaml         what would run, and why
  engine validate specs/                    every mistake, nothing executed
  engine init path/to/model > my.yaml       a first spec for a model
  engine report results/llama_int8/RUN      render a run again
  engine compare OLD NEW                    what changed between two runs

Exit codes: 0 done · 1 engine or machine failed · 2 spec or command line invalid
  3 a stage or cell failed · 4 a gate failed · 5 a gate could not be decided · 130 or 143 interrupted")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// More log messages on stderr: -v info, -vv debug, -vvv trace; `RUST_LOG` wins.
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = COMMON)]
    pub verbose: u8,
    /// How log messages look.
    #[arg(long, value_enum, default_value = "text", global = true, help_heading = COMMON)]
    pub log_format: LogFormat,
    /// When to use colour. `NO_COLOR` is honoured.
    #[arg(long, value_enum, default_value = "auto", global = true, help_heading = COMMON)]
    color: Color,
    /// Folder for finished work [default: `ENGINE_STORE`, else `engine` in the user's cache folder].
    #[arg(long, global = true, value_name = "DIR", help_heading = COMMON)]
    store: Option<PathBuf>,
}

/// Heads the options that every subcommand has.
const COMMON: &str = "Options of every command";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Validate, plan, execute, judge and report.
    Run(run::Run),
    /// Check specs, their files and their chains; run nothing.
    Validate(validate::Validate),
    /// Show the steps of a spec, what the store already has, and why the rest would run.
    Plan(plan::Plan),
    /// Render stored runs again, one or several side by side.
    Report(report::Report),
    /// Hold one stored run against another: what differs, what regressed.
    Compare(compare::Compare),
    /// Show how the speed-ups of a spec have moved from run to run, and where they changed.
    History(history::History),
    /// Go on with an interrupted run.
    Resume(run::Resume),
    /// Explain which fact of a step's key made it run in a run.
    Why(why::Why),
    /// Try the instrument against simulated machines whose truth is known.
    Prove(prove::Prove),
    /// Write a first spec for a model from its detected signature.
    Init(init::Init),
    /// Continue a text with a model, to see what it says.
    Generate(generate::Generate),
    /// Print the JSON schema of the spec language.
    Schema(schema::SchemaCommand),
    /// List what is registered: passes, backends, models, tasks, scenarios, metrics, formats.
    List(list::List),
    /// Show the machine, what can run on it, and the health of the store.
    Doctor(doctor::Doctor),
    /// Verify, prune or measure the store.
    Store(store::StoreCommand),
    /// Carry out one job of a run in this process.
    #[command(hide = true)]
    Cell(cell::Cell),
}

/// What every subcommand may need from the options that all share.
struct Shared {
    store: Option<PathBuf>,
    /// For stdout.
    colour: bool,
    /// For stderr.
    colour_errors: bool,
}

impl Cli {
    /// Runs the command and gives the process's exit code.
    pub fn execute(self) -> u8 {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = |terminal: bool| match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !plain,
        };
        let shared = Shared {
            store: self.store,
            colour: colour(std::io::stdout().is_terminal()),
            colour_errors: colour(std::io::stderr().is_terminal()),
        };
        let result = match self.command {
            Command::Run(command) => command.execute(&shared),
            Command::Validate(command) => command.execute(&shared),
            Command::Plan(command) => command.execute(&shared),
            Command::Report(command) => command.execute(&shared),
            Command::Compare(command) => command.execute(&shared),
            Command::History(command) => command.execute(&shared),
            Command::Resume(command) => command.execute(&shared),
            Command::Why(command) => command.execute(&shared),
            Command::Prove(command) => command.execute(),
            Command::Init(command) => command.execute(),
            Command::Generate(command) => command.execute(&shared),
            Command::Schema(command) => command.execute(),
            Command::List(command) => command.execute(),
            Command::Doctor(command) => command.execute(&shared),
            Command::Store(command) => command.execute(&shared),
            Command::Cell(command) => return command.execute(),
        };
        match result {
            Ok(exit) => exit.code(),
            Err(failure) => failure.report(shared.colour_errors),
        }
    }
}
