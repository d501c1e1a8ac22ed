//! `engine cell`: one job of a run, in this process. Started by `engine run`, never by people.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::base::files::replace_file;
use crate::machine;
use crate::run::{CLEAN_FAILURE, JOB_FILE, RESULT_FILE, Reply};
use crate::stage::Job;

#[derive(Debug, Args)]
pub struct Cell {
    /// Folder with the job's description; gets the result.
    folder: PathBuf,
}

impl Cell {
    /// Not a `Result`: whatever happens must reach the parent as a reply or as this process's death.
    pub fn execute(self) -> u8 {
        let reply = match self.perform() {
            Ok(reply) => reply,
            Err(what) => Reply::Failed { what, hint: None },
        };
        let failed = matches!(reply, Reply::Failed { .. });
        let bytes = match serde_json::to_vec(&reply) {
            Ok(bytes) => bytes,
            Err(error) => {
                eprintln!("cannot describe the result: {error}");
                return 1;
            }
        };
        if let Err(error) = replace_file(&self.folder.join(RESULT_FILE), &bytes) {
            eprintln!("{}", crate::base::chain(&error));
            return 1;
        }
        if failed { CLEAN_FAILURE as u8 } else { 0 }
    }

    fn perform(&self) -> Result<Reply, String> {
        let path = self.folder.join(JOB_FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        let job: Job = serde_json::from_str(&text)
            .map_err(|error| format!("`{}` is no job: {error}", path.display()))?;
        let progress = |share: f64| {
            // Nobody listens any more only when the parent is gone, and then so is this process.
            let _ = writeln!(std::io::stdout(), "{share:.4}");
        };
        Ok(match job.perform(&progress) {
            Ok(done) => Reply::Done { done: Box::new(done), peak_memory: machine::peak_memory() },
            Err(error) => Reply::Failed { what: error.what, hint: error.hint },
        })
    }
}
