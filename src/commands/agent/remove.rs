//! `coord agent remove`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use crate::commands::work::ItemView;
use crate::commands::{Context, Verb, from_store};
use crate::domain::name::AgentId;
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line, plural};
use crate::store;

/// Remove an agent; what it holds, and what is kept for it, goes back to the queue
///
/// What it has done stays in the history.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord agent remove nova           Its items go back; the attempt is not counted
  coord agent remove nova --json | jq -r .data.items[].id")]
pub(super) struct Args {
    /// The agent
    id: AgentId,
}

#[derive(JsonSchema, Serialize)]
struct Gone {
    agent: String,
    registered: bool,
    items: Vec<ItemView>,
}

impl View for Gone {
    const SCHEMA: &'static str = "coord.agent.remove/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let count = plural(self.items.len() as u64, "item");
        writeln!(out, "removed {}; {count} went back to the queue", self.agent)?;
        for item in &self.items {
            writeln!(out, "{}\t{}\t{}", item.id, item.status, line(&item.title))?;
        }
        Ok(())
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.items.iter().try_for_each(|item| writeln!(out, "{}", item.id))
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Gone>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let op = cx.op(None)?;
        let store = cx.reader()?;
        let removed = match store.remove_agent(&self.id, &op) {
            Err(store::Error::NoAgent { id }) => return Err(unknown(store, &id)),
            other => other?,
        };
        if !removed.items.is_empty() {
            cx.about_many(&op);
        }
        let items = removed.items.into_iter().map(|found| ItemView::new(found, op.now)).collect();
        let (agent, registered) = (self.id.to_string(), removed.registered);
        cx.ui.emit(&Gone { agent, registered, items })?;
        Ok(())
    }
}

/// There is no such agent; perhaps one with almost this name.
fn unknown(store: &dyn store::Store, id: &str) -> Error {
    let known = match store.agents() {
        Ok(known) => known,
        Err(error) => return from_store(error),
    };
    let near = known.iter().map(|k| (strsim::jaro_winkler(k.id.as_str(), id), &k.id));
    let best = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.8);
    let error = Error::new(Kind::User, format!("no agent `{id}`"));
    match best {
        Some((_, name)) => error.hint(format!("did you mean `{name}`?")),
        None => error.hint("`coord agent list` shows every agent"),
    }
}
