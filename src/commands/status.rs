//! `coord status`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Context, Verb};
use crate::domain::time::{human_duration, rfc3339};
use crate::domain::work::{Query, Sort, State};
use crate::error::Result;
use crate::output::style::{DIM, LITERAL};
use crate::output::{Screen, Shape, View, line, plural};

/// Sum up the queue: counts by state, agents at work, the ready item that has been there longest
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord status            A few lines for people
  coord status --json     The same for programs")]
pub(crate) struct Args {}

#[derive(JsonSchema, Serialize)]
struct Status {
    total: u64,
    pending: u64,
    active: u64,
    blocked: u64,
    done: u64,
    failed: u64,
    dead: u64,
    points: u64,
    agents: Agents,
    /// The ready item that came into this store first. One that was imported may be older: the age of
    /// the oldest stands in `coord telemetry report`.
    oldest_ready: Option<Oldest>,
    n: u64,
    dir: String,
}

#[derive(JsonSchema, Serialize)]
struct Agents {
    known: usize,
    at_work: usize,
    silent: usize,
}

#[derive(JsonSchema, Serialize)]
struct Oldest {
    id: String,
    title: String,
    created_at: String,
    age_s: u64,
}

impl View for Status {
    const SCHEMA: &'static str = "coord.status/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        if self.total == 0 {
            writeln!(out, "no work recorded")?;
        } else {
            writeln!(
                out,
                "{}: {} ready, {} active, {} blocked, {} done, {} failed, {} dead",
                plural(self.total, "item"),
                self.pending,
                self.active,
                self.blocked,
                self.done,
                self.failed,
                self.dead
            )?;
        }
        if self.agents.known == 0 {
            writeln!(out, "no agents recorded")?;
        } else {
            writeln!(
                out,
                "{}: {} at work, {} silent",
                plural(self.agents.known as u64, "agent"),
                self.agents.at_work,
                self.agents.silent
            )?;
        }
        if self.points > 0 {
            writeln!(out, "{} done", plural(self.points, "point"))?;
        }
        if let Some(oldest) = &self.oldest_ready {
            let age = human_duration(std::time::Duration::from_secs(oldest.age_s));
            let (id, title) = (&oldest.id, line(&oldest.title));
            writeln!(
                out,
                "longest ready in this store: {LITERAL}{id}{LITERAL:#} {title} {DIM}{age} old{DIM:#}"
            )?;
        }
        Ok(())
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Status>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let silent_after = cx.settings()?.silent_after();
        let now = cx.clock.wall();
        let dir = cx.place()?.dir.display().to_string();
        let store = cx.reader()?;
        let summary = store.summary()?;
        let agents = store.agents()?;
        let oldest = if summary.count(State::Pending) > 0 {
            store.find(&Query {
                states: vec![State::Pending],
                sort: Sort::Added,
                limit: Some(1),
                ..Query::default()
            })?
        } else {
            crate::domain::work::Page::default()
        };
        let is_silent = |seen: Option<chrono::DateTime<chrono::Utc>>| {
            seen.is_none_or(|s| (now - s).to_std().is_ok_and(|age| age > silent_after))
        };
        let status = Status {
            total: summary.total(),
            pending: summary.count(State::Pending),
            active: summary.count(State::Active),
            blocked: summary.count(State::Blocked),
            done: summary.count(State::Done),
            failed: summary.count(State::Failed),
            dead: summary.count(State::Dead),
            points: summary.points,
            agents: Agents {
                known: agents.len(),
                at_work: agents.iter().filter(|a| a.held > 0).count(),
                silent: agents.iter().filter(|a| is_silent(a.seen_at)).count(),
            },
            oldest_ready: oldest.items.into_iter().next().map(|found| Oldest {
                id: found.item.id.to_string(),
                created_at: rfc3339(found.item.created_at),
                age_s: (now - found.item.created_at).num_seconds().max(0).unsigned_abs(),
                title: found.item.title,
            }),
            n: summary.n,
            dir,
        };
        cx.ui.emit(&status)?;
        Ok(())
    }
}
