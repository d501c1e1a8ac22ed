//! `engine prove`: sessions with a known truth, and whether the instrument finds it.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use time::OffsetDateTime;
use time::macros::format_description;

use super::exit::{Exit, Failure};
use crate::base::files::replace_file;
use crate::base::suggest::closest;
use crate::prove::{Effort, Made, PROOFS, Proof, markdown, plain};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  engine prove                              every proof at full size, minutes
  engine prove --quick                      every proof with few repetitions, seconds
  engine prove coverage power               only these
  engine prove --list                       what is claimed
  engine prove --out docs/VALIDATION.md     also as a page

Exit codes: 0 everything holds · 1 something does not hold")]
pub struct Prove {
    /// Proofs to run; all when left out.
    #[arg(value_name = "PROOF")]
    proofs: Vec<String>,
    /// Few repetitions: shows that everything works, not how well.
    #[arg(long)]
    quick: bool,
    /// Say what is claimed; run nothing.
    #[arg(long)]
    list: bool,
    /// Write the page with every table to this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Prove {
    pub fn execute(self) -> Result<Exit, Failure> {
        let chosen = self.chosen()?;
        if self.list {
            let width = chosen.iter().map(|proof| proof.id.len()).max().unwrap_or(0);
            for proof in chosen {
                println!("{:<width$}  {}", proof.id, proof.claim);
            }
            return Ok(Exit::Done);
        }
        let effort = if self.quick { Effort::Quick } else { Effort::Full };
        let mut found = Vec::with_capacity(chosen.len());
        for (number, proof) in chosen.iter().enumerate() {
            eprint!("{}/{} {} … ", number + 1, chosen.len(), proof.id);
            let begin = Instant::now();
            let table = (proof.run)(effort);
            let verdict = if table.holds() { "holds" } else { "does not hold" };
            eprintln!("{verdict}  {:.1} s", begin.elapsed().as_secs_f64());
            println!("{}", plain(proof, &table));
            found.push((*proof, table));
        }
        if let Some(path) = &self.out {
            replace_file(path, markdown(&self.made(effort)?, &found).as_bytes())?;
        }
        let broken: Vec<&str> =
            found.iter().filter(|(_, table)| !table.holds()).map(|(proof, _)| proof.id).collect();
        if broken.is_empty() {
            return Ok(Exit::Done);
        }
        Err(Failure::broken(format!("does not hold: {}", broken.join(", "))))
    }

    fn chosen(&self) -> Result<Vec<&'static Proof>, Failure> {
        let known = || PROOFS.iter().map(|proof| proof.id);
        if let Some(id) = self.proofs.iter().find(|id| !known().any(|known| known == **id)) {
            let failure = Failure::invalid(format!("there is no proof `{id}`"));
            return Err(failure.hint(match closest(id, known()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("proofs: {}", known().collect::<Vec<_>>().join(", ")),
            }));
        }
        let wanted =
            |proof: &&Proof| self.proofs.is_empty() || self.proofs.iter().any(|id| id == proof.id);
        Ok(PROOFS.iter().filter(wanted).collect())
    }

    fn made(&self, effort: Effort) -> Result<Made, Failure> {
        let day = OffsetDateTime::now_utc().format(format_description!("[year]-[month]-[day]"));
        let day = day.map_err(|error| Failure::broken(error.to_string()))?;
        let mut command = String::from("cargo run --release -- prove");
        for word in
            self.quick.then_some("--quick").into_iter().chain(self.proofs.iter().map(|p| &**p))
        {
            command.push(' ');
            command.push_str(word);
        }
        command.push_str(" --out docs/VALIDATION.md");
        let version = env!("CARGO_PKG_VERSION");
        let commit = option_env!("ENGINE_COMMIT").unwrap_or("unknown");
        Ok(Made { version, commit, day, command, effort })
    }
}
