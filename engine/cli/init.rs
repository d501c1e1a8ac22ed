//! `engine init MODEL`: a first spec from what the model says about itself.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Exit, Failure};
use super::init_graph::Graph;
use crate::base::chain;
use crate::base::files::publish_file;
use crate::model::{self, Kind};
use crate::stage::Source;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  engine init examples/models/story_llama > my_model.yaml
  engine init model.onnx -o specs/my_graph.yaml
  engine init model.gguf --data heldout.jsonl -o specs/my_model.yaml
  engine init random://llama-3.2-1b?seed=7")]
pub struct Init {
    /// A checkpoint folder, a .gguf file, an .onnx graph, or a source such as `hf://org/name`.
    #[arg(value_name = "MODEL")]
    model: String,
    /// Held-out text (.jsonl or .txt) for quality and prompts; for a graph, recorded inputs.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Write to a new file instead of stdout; an existing one is not replaced.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What the spec is written from.
struct Found {
    source: String,
    kind: Kind,
    comment: Vec<String>,
    context: u64,
    random: bool,
    graph: Option<Graph>,
}

impl Init {
    pub fn execute(self) -> Result<Exit, Failure> {
        let found = self.detect()?;
        let text = self.write(&found);
        let Some(path) = &self.output else {
            print!("{text}");
            return Ok(Exit::Done);
        };
        if path.exists() {
            return Err(Failure::invalid(format!("`{}` exists already", path.display()))
                .hint("choose another name, or remove the file first"));
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        publish_file(folder, path, |file| std::io::Write::write_all(file, text.as_bytes()))?;
        eprintln!("wrote {}; next: engine run {}", path.display(), path.display());
        Ok(Exit::Done)
    }

    fn detect(&self) -> Result<Found, Failure> {
        let source = match self.model.contains("://") {
            true => self.model.clone(),
            false => format!("file://{}", self.model),
        };
        let parsed =
            Source::parse(&source, None).map_err(|error| Failure::invalid(chain(&error)))?;
        let Source::File(path) = &parsed else {
            let random = matches!(parsed, Source::Random(_));
            let mut context = 2048;
            if random {
                let model = model::RandomModel::parse(&source)
                    .map_err(|error| Failure::invalid(chain(&error)))?;
                context = model.config().context().unwrap_or(2048);
            }
            let comment =
                vec!["not looked at yet: the model is made or fetched when it runs".into()];
            return Ok(Found {
                source,
                kind: Kind::Checkpoint,
                comment,
                context,
                random,
                graph: None,
            });
        };
        let facts = model::facts(Path::new(path)).map_err(|error| {
            let failure = Failure::invalid(chain(&error));
            match error.hint() {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })?;
        let graph = Graph::of(&facts);
        let comment = match &graph {
            Some(graph) => graph.comment.clone(),
            None => vec![
                format!(
                    "{} with {} parameters, mostly {}, context of {} tokens",
                    facts.architecture,
                    facts.parameters,
                    facts.dtype,
                    facts.context_length.unwrap_or(0)
                ),
                format!("task {}: {}", facts.task, facts.signature),
            ],
        };
        Ok(Found {
            source,
            kind: facts.kind,
            comment,
            context: facts.context_length.unwrap_or(2048),
            random: facts.random_weights,
            graph,
        })
    }

    fn write(&self, found: &Found) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let stem = found.source.split(['?', '#']).next().unwrap_or_default();
        let stem = stem.trim_end_matches('/').rsplit('/').next().unwrap_or("model");
        let mut name: String = stem
            .to_ascii_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .take(60)
            .collect();
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            name.insert_str(0, "m_");
        }
        let mut out = String::from("version: 1\n");
        let mut line = |text: &str| {
            out.push_str(text);
            out.push('\n');
        };
        line(&format!("name: {name}"));
        line("why: Which precision makes this model faster, and what does it cost in quality?");
        line("");
        for comment in &found.comment {
            line(&format!("# {}", crate::base::text::inert(comment)));
        }
        line("model:");
        line(&format!("  source: {}", quoted(&found.source)));
        line("");
        if let Some(graph) = &found.graph {
            graph.write(self.data.as_deref(), &mut line);
            return out;
        }
        let data = self.data.as_ref().filter(|_| !found.random);
        if let Some(data) = data {
            let file = quoted(&format!("file://{}", data.display()));
            let window = found.context.min(512);
            line("data:");
            line(&format!(
                "  heldout: {{source: {file}, window: {window}, stride: {}}}",
                window / 2
            ));
            line(&format!("  prompts: {{source: {file}}}"));
            line("");
        }
        line("variants:");
        match found.kind {
            Kind::Checkpoint => {
                line("  f32: {stages: [{cast: {to: f32}}]}");
                line("  q8_0: {stages: [{quantize: {method: gguf, format: q8_0}}]}");
            }
            Kind::Gguf | Kind::Onnx => line("  as_is: {}"),
        }
        line("");
        if data.is_some() && found.kind == Kind::Checkpoint {
            line("quality:");
            line("  metrics:");
            for metric in ["perplexity", "kl", "top1_agreement"] {
                line(&format!("    - {metric}: {{data: heldout}}"));
            }
            line("");
        }
        line("bench:");
        if data.is_some() {
            line("  data: prompts");
        }
        let prompt = found.context.saturating_sub(32).clamp(1, 128);
        line(&format!("  matrix: {{prompt_tokens: [{prompt}], new_tokens: [32]}}"));
        out
    }
}
