//! The work of judging pictures against texts.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Artifact;
use super::job::{Done, JobError, threads};
use super::tensors::{beside, open};
use crate::backend::{OpenOptions, Runner, Session};
use crate::model::family::{IMAGE, TEXT};
use crate::task::{InputPort, Matter, MetricRequest, Side, TensorInputs, judge_matching};

fn side(parts: &mut [Box<dyn Session>; 2]) -> Side<'_> {
    let [image, text] = parts;
    Side { image: image.as_mut(), text: text.as_mut() }
}

/// Quality of a model of two parts against another, picture part first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchingJudge {
    pub variant: [Artifact; 2],
    pub backend: Runner,
    /// `None` when the variant is its own reference.
    pub reference: Option<([Artifact; 2], Runner)>,
    pub runtime: Option<PathBuf>,
    pub images: TensorInputs,
    /// Inputs of the text part, and most tokens of a text.
    pub texts: Vec<InputPort>,
    pub longest: usize,
    /// What a class is called in words; captions are compared where there is none.
    pub prompt: Option<String>,
    pub metrics: Vec<MetricRequest>,
}

pub(super) fn judge(job: &MatchingJudge, progress: &dyn Fn(f64)) -> Result<Done, JobError> {
    let both =
        |artifacts: &[Artifact; 2], backend: &Runner| -> Result<[Box<dyn Session>; 2], JobError> {
            let one = |part: &str, artifact| {
                let (threads, runtime) = (threads(), job.runtime.clone());
                let part = Some(part.to_owned());
                open(
                    artifact,
                    backend,
                    &OpenOptions { threads, part, runtime, ..OpenOptions::default() },
                )
            };
            Ok([one(IMAGE, &artifacts[0])?, one(TEXT, &artifacts[1])?])
        };
    let mut own = both(&job.variant, &job.backend)?;
    let mut other = match &job.reference {
        Some((artifacts, backend)) => Some(both(artifacts, backend)?),
        None => None,
    };
    let matter = Matter {
        images: (&job.images, beside(&job.variant[0])),
        texts: (&job.texts, job.longest, beside(&job.variant[1])),
        prompt: job.prompt.as_deref(),
    };
    let (judged, note) =
        judge_matching(side(&mut own), other.as_mut().map(side), &matter, &job.metrics, progress)?;
    Ok(Done::Judged { judged, notes: note.into_iter().collect() })
}
