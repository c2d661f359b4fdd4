//! `coord util schema`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::commands::{Context, Entry, NOUNS, Reference, Then, Verb};
use crate::error::{Error, Kind, Result};
use crate::output::{MESSAGES, Screen, Shape, View};

/// Print the JSON Schema of what a command prints under `--json`, or the names of all
///
/// The names are those that stand in the answers, such as `coord.work.list/v1`; `work.list` is
/// enough.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord util schema                 The names of all
  coord util schema work.list       One of them
  coord util schema error           What stands on standard error when a command fails")]
pub(super) struct Args {
    /// The name of the schema
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

#[derive(JsonSchema, Serialize)]
struct Names {
    names: Vec<&'static str>,
}

#[derive(JsonSchema, Serialize)]
struct One {
    name: &'static str,
    document: Value,
}

impl View for Names {
    const SCHEMA: &'static str = "coord.util.schemas/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        self.names.iter().try_for_each(|name| writeln!(out, "{name}"))
    }

    fn rows(&self) -> Option<Vec<Value>> {
        Some(self.names.iter().map(|name| Value::from(*name)).collect())
    }
}

impl View for One {
    const SCHEMA: &'static str = "coord.util.schema/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, &self.document)?;
        writeln!(out)
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Names>(), Shape::of::<One>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let all = shapes(cx.reference);
        let Some(wanted) = self.name else {
            cx.ui.emit(&Names { names: all.iter().map(|shape| shape.name).collect() })?;
            return Ok(());
        };
        let dotted = wanted.replace(' ', ".");
        let fits = |shape: &&Shape| {
            let short = shape.name.strip_prefix("coord.").unwrap_or(shape.name);
            let bare = short.split('/').next().unwrap_or(short);
            [shape.name, short, bare].contains(&dotted.as_str())
                || shape.name.split('/').next() == Some(dotted.as_str())
        };
        let Some(shape) = all.iter().find(fits) else {
            let unknown = Error::new(Kind::User, format!("there is no schema `{wanted}`"));
            let near = all.iter().map(|s| (strsim::jaro_winkler(s.name, &dotted), s.name));
            let best = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.7);
            let unknown = match best {
                Some((_, name)) => unknown.hint(format!("did you mean `{name}`?")),
                None => unknown,
            };
            return Err(unknown.hint("`coord util schema` lists the names"));
        };
        cx.ui.emit(&One { name: shape.name, document: shape.document() })?;
        Ok(())
    }
}

/// The machine forms of everything that any command prints, by name.
pub(super) fn shapes(reference: Reference) -> Vec<Shape> {
    fn gather(entries: &[Entry], all: &mut Vec<Shape>) {
        for entry in entries {
            all.extend(entry.views);
            if let Then::Noun(verbs, _) = entry.then {
                gather(verbs, all);
            }
        }
    }
    let mut all = MESSAGES.to_vec();
    all.extend(reference.views);
    gather(NOUNS, &mut all);
    all.sort_unstable_by_key(|shape| shape.name);
    all.dedup_by_key(|shape| shape.name);
    all
}
