//! The only door to minijinja: templates compiled in, each replaceable from a folder.
//!
//! Values are text and never template source. HTML and Markdown are escaped here, for every
//! value, by the suffix of the template's name; a template cannot forget it.

use std::fmt;
use std::io::Write;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, ObjectRepr, Serde};
use minijinja::{
    AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value, escape_formatter,
};
use serde::{Serialize, Serializer};

use super::{ReportError, escape};
use crate::base::text;

/// A template's name and its text, as shipped.
const SHIPPED: &[(&str, &str)] = &[
    ("report.md.j2", include_str!("../../templates/report.md.j2")),
    ("compare.md.j2", include_str!("../../templates/compare.md.j2")),
    ("history.md.j2", include_str!("../../templates/history.md.j2")),
    ("report.html.j2", include_str!("../../templates/report.html.j2")),
    ("parts/study.html.j2", include_str!("../../templates/parts/study.html.j2")),
    ("parts/macros.html.j2", include_str!("../../templates/parts/macros.html.j2")),
    ("parts/style.css", include_str!("../../templates/parts/style.css")),
    ("parts/script.js", include_str!("../../templates/parts/script.js")),
];

/// Steps a template may take: enough for tens of thousands of cells, far from for ever.
const FUEL: u64 = 400_000_000;

/// Renders the template `name` with `context`.
pub fn render(
    name: &str,
    context: impl Serialize,
    folder: Option<&Path>,
) -> Result<String, ReportError> {
    let mut out = Vec::new();
    render_to(name, context, folder, &mut out)?;
    Ok(String::from_utf8(out).expect("templates write text"))
}

/// Writes the template `name` with `context`, which is gone before rendering begins: a page of ten
/// thousand cells is large in every form.
pub fn render_to(
    name: &str,
    context: impl Serialize,
    folder: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), ReportError> {
    let fail = |error: Error| ReportError::Template { name: name.into(), detail: chain(&error) };
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    env.set_syntax(
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(fail)?,
    );
    env.set_auto_escape_callback(|name| {
        if name.contains(".html") {
            AutoEscape::Html
        } else {
            AutoEscape::Custom("markdown".into())
        }
    });
    env.set_formatter(formatted);
    // The body of a fenced block: nothing is markup there, only the fence must be longer.
    env.add_filter("quoted", |raw: &str| Value::from_safe_string(text::inert_lines(raw)));
    for (name, _) in SHIPPED {
        env.add_template_owned(*name, source(name, folder)?).map_err(fail)?;
    }
    let template = env.get_template(name).map_err(fail)?;
    template.render_captured_to(Value::from(Serde(context)), out).map_err(fail)?;
    Ok(())
}

/// The text of a template or a part, from `folder` where it has one of that name.
pub fn source(name: &str, folder: Option<&Path>) -> Result<String, ReportError> {
    if let Some(folder) = folder {
        let path = folder.join(name);
        if path.is_file() {
            return std::fs::read_to_string(&path)
                .map_err(|source| ReportError::ReadTemplate { path, source });
        }
    }
    let shipped = SHIPPED.iter().find(|(shipped, _)| *shipped == name);
    shipped.map(|(_, text)| (*text).to_owned()).ok_or_else(|| ReportError::Template {
        name: name.into(),
        detail: "no template of this name is shipped".into(),
    })
}

/// A long list whose items become values of a template one by one, when a loop comes to them, and
/// are gone after it.
pub struct Lazy<T>(Arc<Items<T>>);

struct Items<T>(Vec<T>);

impl<T> From<Vec<T>> for Lazy<T> {
    fn from(items: Vec<T>) -> Self {
        Self(Arc::new(Items(items)))
    }
}

impl<T> Deref for Lazy<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0.0
    }
}

impl<T: Serialize + Send + Sync + 'static> Serialize for Lazy<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Value::from_dyn_object(Arc::clone(&self.0)).serialize(serializer)
    }
}

impl<T> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} items", self.0.len())
    }
}

impl<T: Serialize + Send + Sync + 'static> Object for Items<T> {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).map(|item| Value::from(Serde(item)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }
}

fn formatted(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_safe() {
        return out.write_str(value.as_str().unwrap_or_default()).map_err(Error::from);
    }
    let Some(raw) = value.as_str() else {
        return out.write_str(&value.to_string()).map_err(Error::from);
    };
    if matches!(state.auto_escape(), AutoEscape::Html) {
        return escape_formatter(out, state, &Value::from(text::inert_lines(raw)));
    }
    out.write_str(&escape::markdown(raw)).map_err(Error::from)
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
