//! `coord work add`.

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{ItemView, input};
use crate::commands::{By, Context, Verb, explain, values};
use crate::domain::name::{AgentId, ItemId, Team, Word};
use crate::domain::time::parse_duration;
use crate::domain::work::{Draft, NewItem, Priority};
use crate::error::{Error, Kind, Result};
use crate::output::{Format, Screen, Shape, View, line, plural};

/// Queue an item, or many from standard input
///
/// Without a TITLE, items come from standard input, one JSON object a line, or as a YAML list. All
/// of them are queued or none. With `--key` (or `key`) adding the same thing twice adds it once.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
#[command(after_help = "\
Examples:
  coord add \"Fix the login\" --priority high --type bug
  coord add \"Ship it\" --needs w-7 --needs w-8         Ready when both are done
  echo '{\"title\":\"One\",\"labels\":[\"ui\"]}' | coord add    Many at once, all or nothing
  coord add --input yaml < backlog.yaml")]
pub(crate) struct Args {
    /// What is to be done, in a line [default: items from standard input]
    pub(crate) title: Option<String>,

    /// What kind of work it is, such as `bug`
    #[arg(long = "type", value_name = "NAME")]
    pub(crate) kind: Option<Word>,

    /// How urgent it is [default: medium]
    #[arg(long, short, value_name = "PRIORITY", value_parser = values::priority())]
    pub(crate) priority: Option<Priority>,

    /// Whose work it is
    #[arg(long, value_name = "NAME")]
    pub(crate) team: Option<Team>,

    /// A word to find it by; may be given more than once
    #[arg(long = "label", value_name = "NAME")]
    pub(crate) labels: Vec<Word>,

    /// What an agent must be able to do to take it; may be given more than once
    #[arg(long = "capability", value_name = "NAME")]
    pub(crate) capabilities: Vec<Word>,

    /// How much work it is
    #[arg(long, value_name = "N", value_parser = values::number, allow_negative_numbers = true)]
    pub(crate) points: Option<u32>,

    /// How long it is thought to take
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) estimate: Option<Duration>,

    /// An item that must be done first; may be given more than once
    #[arg(long, value_name = "ID")]
    pub(crate) needs: Vec<ItemId>,

    /// What is to be done, at length
    #[arg(long, short, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) description: Option<String>,

    /// The agent it is kept for
    #[arg(long, value_name = "AGENT")]
    pub(crate) assignee: Option<AgentId>,

    /// How many attempts it has before it is dead [default: 3]
    #[arg(long, value_name = "N", value_parser = values::number, allow_negative_numbers = true)]
    pub(crate) max_attempts: Option<u32>,

    /// A key of your own: adding it twice adds one item
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,

    /// The id to use [default: the next `w-N`]
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<ItemId>,

    /// How standard input is written [default: jsonl]
    #[arg(long, value_name = "FORM", value_parser = ["jsonl", "yaml"], conflicts_with = "title")]
    pub(crate) input: Option<String>,

    #[command(flatten)]
    pub(crate) by: By,
}

#[derive(JsonSchema, Serialize)]
struct Queued {
    added: usize,
    existing: usize,
    repeated: bool,
    items: Vec<ItemView>,
}

impl View for Queued {
    const SCHEMA: &'static str = "coord.work.add/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        match self.items.as_slice() {
            [] => writeln!(out, "nothing to add"),
            [item] => writeln!(out, "{}\t{}", item.id, line(&item.title)),
            items => {
                for item in items {
                    writeln!(out, "{}\t{}", item.id, line(&item.title))?;
                }
                Ok(())
            }
        }
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        for item in &self.items {
            writeln!(out, "{}", item.id)?;
        }
        Ok(())
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.items.iter().map(|item| serde_json::to_value(item).ok()).collect()
    }
}

impl Args {
    /// Whether flags describe one item, which makes no sense for items from standard input.
    fn describes(&self) -> bool {
        let Self { title: _, input: _, by: _, labels, capabilities, needs, .. } = self;
        !(labels.is_empty() && capabilities.is_empty() && needs.is_empty())
            || self.kind.is_some()
            || self.priority.is_some()
            || self.team.is_some()
            || self.points.is_some()
            || self.estimate.is_some()
            || self.description.is_some()
            || self.assignee.is_some()
            || self.max_attempts.is_some()
            || self.key.is_some()
            || self.id.is_some()
    }

    fn items(&mut self, cx: &mut Context) -> Result<Vec<NewItem>> {
        let Some(title) = self.title.take() else {
            if self.describes() {
                return Err(Error::new(Kind::Usage, "a title is missing")
                    .hint("say what is to be done: coord add TITLE [OPTIONS]")
                    .hint("items from standard input say everything themselves"));
            }
            let yaml = match self.input.as_deref() {
                Some(form) => form == "yaml",
                None => cx.ui.format() == Format::Yaml,
            };
            return if yaml { input::yaml(cx) } else { input::jsonl(cx) };
        };
        let draft = Draft {
            title,
            description: self.description.take(),
            id: self.id.take(),
            kind: self.kind.take(),
            priority: self.priority,
            team: self.team.take(),
            labels: std::mem::take(&mut self.labels),
            capabilities: std::mem::take(&mut self.capabilities),
            needs: self.needs.iter().map(ToString::to_string).collect(),
            points: self.points,
            estimate_s: self.estimate.map(|e| e.as_secs()),
            assignee: self.assignee.take(),
            max_attempts: Some(match self.max_attempts {
                Some(max) => max,
                None => cx.settings()?.max_attempts(),
            }),
            key: self.key.take(),
            trace_id: None,
        };
        Ok(vec![NewItem::try_from(draft).map_err(|why| explain(&why, None))?])
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Queued>()];

    fn run(mut self, cx: &mut Context) -> Result<()> {
        let one = self.title.is_some();
        let op = cx.op(self.by.agent.as_ref())?;
        let items = self.items(cx)?;
        if items.is_empty() {
            cx.ui.emit(&Queued { added: 0, existing: 0, repeated: false, items: Vec::new() })?;
            return Ok(());
        }
        let added = cx.store()?.add(items, &op)?;
        match added.items.as_slice() {
            [only] => cx.about(&only.item),
            _ => cx.about_many(&op),
        }
        let (existing, repeated) = (added.existing, added.repeated);
        let view = Queued {
            added: if repeated { 0 } else { added.items.len().saturating_sub(existing) },
            existing,
            repeated,
            items: added.items.into_iter().map(|found| ItemView::new(found, op.now)).collect(),
        };
        let count = view.added as u64;
        cx.ui.emit(&view)?;
        if repeated {
            cx.ui.status("this operation was done before: nothing was added");
        } else if existing > 0 {
            let existing = plural(existing as u64, "item");
            cx.ui.status(&format!("{existing} with the same key there already, {count} added"));
        } else if !one {
            cx.ui.status(&format!("added {}", plural(count, "item")));
        }
        Ok(())
    }
}
