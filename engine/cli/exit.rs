//! Exit codes, and errors on their way to stderr.

use crate::base::text::inert_lines;
use crate::base::{Problems, chain};
use crate::spec;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    Done,
    /// A gate could not be decided.
    Undecided,
    /// A gate failed.
    GateFailed,
    /// A stage or a cell failed.
    StageFailed,
    /// The spec or the command line is invalid.
    Invalid,
    /// The engine or the machine failed.
    Broken,
    /// A signal asked to stop; the code says which.
    Interrupted(u8),
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Broken => 1,
            Self::Invalid => 2,
            Self::StageFailed => 3,
            Self::GateFailed => 4,
            Self::Undecided => 5,
            Self::Interrupted(code) => code,
        }
    }
}

/// A command that could not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Problems have places in a file.
    Located(Problems),
    Plain {
        text: String,
        hint: Option<String>,
    },
}

impl Failure {
    /// The input is at fault.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self { exit: Exit::Invalid, what: What::Plain { text: text.into(), hint: None } }
    }

    /// The machine or this program is at fault.
    pub fn broken(text: impl Into<String>) -> Self {
        Self { exit: Exit::Broken, what: What::Plain { text: text.into(), hint: None } }
    }

    pub fn hint(mut self, way_out: impl Into<String>) -> Self {
        if let What::Plain { hint, .. } = &mut self.what {
            *hint = Some(way_out.into());
        }
        self
    }

    /// Prints the failure and gives the exit code.
    pub fn report(self, colour: bool) -> u8 {
        match self.what {
            What::Located(problems) => {
                eprint!("{}", spec::show::text(&problems, colour));
            }
            What::Plain { text, hint } => {
                let (red, plain) = if colour { ("\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "") };
                eprintln!("{red}error{plain}: {}", inert_lines(&text));
                if let Some(hint) = hint {
                    eprintln!("  = hint: {}", inert_lines(&hint));
                }
            }
        }
        self.exit.code()
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self { exit: Exit::Invalid, what: What::Located(problems) }
    }
}

macro_rules! broken {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::broken(chain(&error))
            }
        }
    )*};
}

broken!(
    crate::store::StoreError,
    crate::report::ReportError,
    std::io::Error,
    crate::base::files::FileError
);

impl From<crate::run::RunError> for Failure {
    fn from(error: crate::run::RunError) -> Self {
        let failure = Self::broken(chain(&error));
        match error {
            crate::run::RunError::Store(store) if store.is_full() => {
                failure.hint("free some space, or look at `engine store gc`; then `engine resume`")
            }
            _ => failure,
        }
    }
}

impl From<crate::record::RecordError> for Failure {
    fn from(error: crate::record::RecordError) -> Self {
        Self::invalid(chain(&error))
    }
}
