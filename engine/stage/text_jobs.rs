//! Jobs on text that are not measured: tokenizing, judging, and going on with a prompt.

use std::path::Path;

use super::Artifact;
use super::job::{Done, JobError, generator};
use crate::backend::{OpenOptions, Runner};
use crate::data::{TOKENS_FILE, Texts, TokenFile};
use crate::task::{self, Finish, JudgeJob, Sampling, Tokens};

/// Tokens of every document, the first `longest` of each.
pub(super) fn tokenize(
    model: &Artifact,
    texts: &Texts,
    longest: Option<u32>,
    out: &Path,
) -> Result<Done, JobError> {
    let tokens = Tokens::open(model.kind, &model.path)?;
    let longest = longest.map_or(usize::MAX, |n| n as usize);
    let mut documents = Vec::with_capacity(texts.documents.len());
    for document in &texts.documents {
        let mut ids = tokens.encode(&document.text)?;
        ids.truncate(longest);
        documents.push(ids);
    }
    let file = TokenFile { bos: tokens.bos(), documents };
    let count = file.documents.iter().map(Vec::len).sum();
    let text = serde_json::to_string(&file).expect("numbers always serialize");
    std::fs::write(out.join(TOKENS_FILE), text)?;
    Ok(Done::Tokenized { documents: file.documents.len(), tokens: count })
}

/// Scores of a variant on token files, against a reference where there is one.
pub(super) fn judge(
    variant: &Artifact,
    backend: &Runner,
    reference: Option<&(Artifact, Runner)>,
    tokens: &Path,
    judge: &JudgeJob,
    how: &OpenOptions,
    progress: &dyn Fn(f64),
) -> Result<Done, JobError> {
    let documents = TokenFile::read(tokens).map_err(JobError::new)?.with_bos();
    let mut own = generator(variant, backend, how)?;
    let mut other = match reference {
        Some((artifact, runner)) => Some(generator(artifact, runner, how)?),
        None => None,
    };
    let judged = match &mut other {
        Some(other) => {
            task::judge(own.as_mut(), Some(other.as_mut()), &documents, judge, progress)?
        }
        None => task::judge(own.as_mut(), None, &documents, judge, progress)?,
    };
    Ok(Done::Judged { judged, notes: Vec::new() })
}

/// Goes on with a prompt.
pub(super) fn continuation(
    artifact: &Artifact,
    backend: &Runner,
    prompt: &str,
    new_tokens: usize,
    sampling: Sampling,
    how: OpenOptions,
) -> Result<Done, JobError> {
    let tokens = Tokens::open(artifact.kind, &artifact.path)?;
    let mut ids: Vec<u32> = tokens.bos().into_iter().collect();
    ids.extend(tokens.encode(prompt)?);
    if ids.is_empty() {
        return Err(JobError::new("the prompt has no tokens"));
    }
    let how = OpenOptions { capacity: ids.len() + new_tokens, ..how };
    let mut generator = generator(artifact, backend, &how)?;
    let (new, finish) =
        task::continuation(generator.as_mut(), &ids, new_tokens, tokens.eos(), sampling)?;
    let stopped = finish == Finish::Stop;
    Ok(Done::Continued { text: tokens.decode(&new)?, tokens: new.len(), stopped })
}
