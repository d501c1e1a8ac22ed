//! `engine cell`: one job of a run, in this process. Started by `engine run`, never by people.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::base::files::replace_file;
use crate::run::{CLEAN_FAILURE, JOB_FILE, READY, RESULT_FILE, Reply};
use crate::stage::{Done, Job, JobError, reside};

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
        match (self.write(&reply), reply) {
            (false, _) => 1,
            (true, Reply::Failed { .. }) => CLEAN_FAILURE as u8,
            (true, Reply::Done { .. }) => 0,
        }
    }

    /// Leaves the reply where the parent looks for it; false where that cannot be done.
    fn write(&self, reply: &Reply) -> bool {
        let written = match serde_json::to_vec(reply) {
            Ok(bytes) => replace_file(&self.folder.join(RESULT_FILE), &bytes)
                .map_err(|error| crate::base::chain(&error)),
            Err(error) => Err(format!("cannot describe the result: {error}")),
        };
        if let Err(why) = &written {
            eprintln!("{why}");
        }
        written.is_ok()
    }

    /// Makes a burst for every seed that the parent writes, and leaves the reply to each.
    fn stay(&self, bench: &Job) -> Result<Done, JobError> {
        let mut lines = io::stdin().lines();
        reside(bench, &mut |done| {
            if let Some(done) = done
                && !self.write(&Reply::done(done))
            {
                return None;
            }
            // A library may have left a line unfinished.
            let _ = writeln!(io::stdout(), "\n{READY}");
            lines.next()?.ok()?.trim().parse().ok()
        })?;
        Ok(Done::Nothing)
    }

    fn perform(&self) -> Result<Reply, String> {
        let path = self.folder.join(JOB_FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        let job: Job = serde_json::from_str(&text)
            .map_err(|error| format!("`{}` is no job: {error}", path.display()))?;
        let progress = |share: f64| {
            // Nobody listens any more only when the parent is gone, and then so is this process.
            let _ = writeln!(io::stdout(), "{share:.4}");
        };
        let done = match &job {
            Job::Reside(bench) => self.stay(bench),
            job => job.perform(&progress),
        };
        Ok(match done {
            Ok(done) => Reply::done(done),
            Err(error) => Reply::Failed { what: error.what, hint: error.hint },
        })
    }
}
