//! `coord work show`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::ItemView;
use crate::commands::{Context, Verb, values};
use crate::domain::name::ItemId;
use crate::domain::time::rfc3339;
use crate::domain::work::{Query, Status};
use crate::error::Result;
use crate::output::style::{DIM, HEADER};
use crate::output::{Screen, Shape, View, line};
use crate::store::Event;

/// Show an item: everything about it, whom it waits for, who waits for it, its history
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  coord work show w-7                The item and its last 20 events
  coord work show w-7 --events 1000  With more of its history
  coord work show w-7 --json | jq .data.events")]
pub(crate) struct Args {
    /// The item, or an unambiguous beginning of its id
    id: ItemId,

    /// How many of the last events to show
    #[arg(long, value_name = "N", value_parser = values::number, default_value = "20",
        allow_negative_numbers = true)]
    events: u32,
}

#[derive(JsonSchema, Serialize)]
struct Shown {
    #[serde(flatten)]
    item: ItemView,
    waits_for: Vec<Other>,
    waited_for_by: Vec<Other>,
    events: Vec<Happened>,
    events_total: usize,
}

/// Another item, in short.
#[derive(JsonSchema, Serialize)]
struct Other {
    id: String,
    status: &'static str,
    title: String,
}

/// One event of the history.
#[derive(JsonSchema, Serialize)]
struct Happened {
    n: u64,
    at: String,
    verb: String,
    by: String,
    op: String,
    status: &'static str,
    agent: Option<String>,
    progress: u8,
    note: Option<String>,
    result: Option<String>,
}

impl From<Event> for Happened {
    fn from(event: Event) -> Self {
        let item = event.item;
        Self {
            n: event.n,
            at: rfc3339(event.at),
            verb: event.verb,
            by: event.by.to_string(),
            op: event.op.to_string(),
            status: item.status.as_str(),
            agent: item.agent.map(|a| a.to_string()),
            progress: item.progress,
            note: item.note,
            result: item.result,
        }
    }
}

impl View for Shown {
    const SCHEMA: &'static str = "coord.work.show/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        self.item.heading(out)?;
        self.item.facts(out)?;
        for (title, others) in
            [("Waits for", &self.waits_for), ("Waited for by", &self.waited_for_by)]
        {
            if !others.is_empty() {
                writeln!(out, "\n{HEADER}{title}{HEADER:#}")?;
            }
            for other in others {
                writeln!(out, "  {}  {}  {}", other.id, other.status, line(&other.title))?;
            }
        }
        let hidden = self.events_total - self.events.len();
        if !self.events.is_empty() {
            writeln!(out, "\n{HEADER}History{HEADER:#}")?;
        }
        if hidden > 0 {
            writeln!(out, "  {DIM}… {hidden} earlier{DIM:#}")?;
        }
        for event in &self.events {
            let (at, verb, by) = (&event.at, line(&event.verb), &event.by);
            write!(out, "  {DIM}{at}{DIM:#}  {verb} by {by}: {}", event.status)?;
            if event.progress > 0 && event.status == "active" {
                write!(out, ", {} %", event.progress)?;
            }
            let word = if event.verb == "progress" { &event.note } else { &event.result };
            match word.as_ref().or(event.note.as_ref()) {
                Some(word) => writeln!(out, ", {}", line(word))?,
                None => writeln!(out)?,
            }
        }
        Ok(())
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Shown>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let now = cx.stamp();
        let store = cx.reader()?;
        let found = store.get(self.id.as_str())?;
        let id = found.item.id.clone();
        let mut waits_for = Vec::new();
        for need in &found.item.needs {
            // A need that was merged away in another branch is shown by its id alone.
            let other = store.get(need.as_str()).ok().filter(|f| f.item.id == *need);
            waits_for.push(Other {
                id: need.to_string(),
                status: other.as_ref().map_or("missing", |f| f.state().as_str()),
                title: other.map(|f| f.item.title).unwrap_or_default(),
            });
        }
        let mut waited_for_by = Vec::new();
        if found.item.status != Status::Done {
            let blocked = Query { states: WAITING.to_vec(), ..Query::default() };
            for other in store.find(&blocked)?.items {
                if other.item.needs.contains(&id) {
                    waited_for_by.push(Other {
                        id: other.item.id.to_string(),
                        status: other.state().as_str(),
                        title: other.item.title,
                    });
                }
            }
        }
        let history = store.history(&id)?;
        let events_total = history.len();
        let skip = events_total.saturating_sub(self.events as usize);
        let events = history.into_iter().skip(skip).map(Happened::from).collect();
        cx.about(&found.item);
        let item = ItemView::new(found, now);
        cx.ui.emit(&Shown { item, waits_for, waited_for_by, events, events_total })?;
        Ok(())
    }
}

/// The states in which something can wait for an item that is not done.
const WAITING: [crate::domain::work::State; 1] = [crate::domain::work::State::Blocked];
