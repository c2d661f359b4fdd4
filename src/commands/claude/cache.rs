//! `coord claude cache`.

use std::io;
use std::time::Duration;

use clap::Command;
use schemars::JsonSchema;
use serde::Serialize;

use crate::client::claude::{Entry as Cached, Stats};
use crate::commands::{Context, Entry, Verb};
use crate::domain::time::{human_duration, parse_duration};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line, plural, text};

/// The verbs of `coord claude cache`.
pub(super) const VERBS: &[Entry] = &[
    Entry::verb::<StatsArgs>("stats"),
    Entry::verb::<Show>("show"),
    Entry::verb::<Purge>("purge"),
    Entry::verb::<Verify>("verify"),
];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    crate::commands::verbs(command, VERBS)
}

/// Count the cached answers: fresh, stale, expired, their size
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord claude cache stats
  coord claude cache stats --json | jq .data.bytes")]
pub(super) struct StatsArgs {}

#[derive(JsonSchema, Serialize)]
#[serde(transparent)]
struct Counted(Stats);

impl View for Counted {
    const SCHEMA: &'static str = "coord.claude.cache.stats/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let stats = &self.0;
        if stats.entries == 0 && stats.unreadable == 0 {
            return writeln!(out, "nothing cached");
        }
        writeln!(out, "entries     {}", stats.entries)?;
        writeln!(out, "fresh       {}", stats.fresh)?;
        writeln!(out, "stale       {}", stats.stale)?;
        writeln!(out, "expired     {}", stats.expired)?;
        writeln!(out, "unreadable  {}", stats.unreadable)?;
        writeln!(out, "bytes       {} of {}", stats.bytes, stats.max_bytes)?;
        writeln!(out, "place       {}", stats.dir.as_deref().unwrap_or("none"))
    }
}

impl Verb for StatsArgs {
    const VIEWS: &'static [Shape] = &[Shape::of::<Counted>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let claude = super::layer(cx)?;
        let stats = claude.cache().stats(cx.clock.wall());
        super::tell(cx, &claude);
        cx.ui.emit(&Counted(stats))?;
        Ok(())
    }
}

/// Show a cached answer, or list them, the newest first
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord claude cache show              Key, age, model and beginning of each
  coord claude cache show 3f9a         The answer whose key begins so")]
pub(super) struct Show {
    /// The key, or an unambiguous beginning of it [default: list them]
    key: Option<String>,
}

#[derive(JsonSchema, Serialize)]
struct List {
    entries: Vec<Row>,
    unreadable: u64,
}

#[derive(JsonSchema, Serialize)]
struct Row {
    age_s: u64,
    bytes: u64,
    #[serde(flatten)]
    entry: Cached,
}

impl View for List {
    const SCHEMA: &'static str = "coord.claude.cache.show/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if self.entries.is_empty() && screen.width.is_some() {
            return writeln!(out, "nothing cached");
        }
        for row in &self.entries {
            let beginning: String = row.entry.text.chars().take(50).collect();
            let key = row.entry.key.get(..12).unwrap_or(&row.entry.key);
            let age = human_duration(Duration::from_secs(row.age_s));
            let (model, beginning) = (line(&row.entry.model), line(&beginning));
            writeln!(out, "{key}\t{age}\t{model}\t{beginning}")?;
        }
        Ok(())
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.entries.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}

#[derive(JsonSchema, Serialize)]
#[serde(transparent)]
struct One(Row);

impl View for One {
    const SCHEMA: &'static str = "coord.claude.cache.entry/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let entry = &self.0.entry;
        writeln!(out, "key      {}", entry.key)?;
        writeln!(out, "created  {}", line(&entry.created))?;
        writeln!(out, "from     {}, {}", entry.backend, line(&entry.model))?;
        writeln!(out, "\n{}", text(entry.text.trim_end()))
    }
}

impl Verb for Show {
    const VIEWS: &'static [Shape] = &[Shape::of::<List>(), Shape::of::<One>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let claude = super::layer(cx)?;
        let now = cx.clock.wall();
        let (entries, unreadable) = claude.cache().list();
        super::tell(cx, &claude);
        let row =
            |(entry, bytes): (Cached, u64)| Row { age_s: entry.age(now).as_secs(), bytes, entry };
        let mut rows: Vec<Row> = entries.into_iter().map(row).collect();
        rows.sort_by(|a, b| (a.age_s, &a.entry.key).cmp(&(b.age_s, &b.entry.key)));
        let Some(key) = self.key else {
            cx.ui.emit(&List { entries: rows, unreadable })?;
            return Ok(());
        };
        rows.retain(|row| row.entry.key.starts_with(&key));
        let key = key.escape_debug();
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(cx.ui.emit(&One(row))?),
            (Some(_), false) => Err(Error::new(Kind::User, format!("`{key}` fits several keys"))
                .hint("give more of it: `coord claude cache show` lists them")),
            (None, _) => Err(Error::new(Kind::User, format!("no cached answer `{key}`"))
                .hint("`coord claude cache show` lists them")),
        }
    }
}

/// Remove cached answers
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord claude cache purge                    All of them
  coord claude cache purge --older-than 7d    Those older than a week")]
pub(super) struct Purge {
    /// Only those older than this
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    older_than: Option<Duration>,
}

#[derive(JsonSchema, Serialize)]
struct Purged {
    removed: u64,
    bytes: u64,
}

impl View for Purged {
    const SCHEMA: &'static str = "coord.claude.cache.purge/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        writeln!(out, "removed {}, {} bytes", plural(self.removed, "answer"), self.bytes)
    }
}

impl Verb for Purge {
    const VIEWS: &'static [Shape] = &[Shape::of::<Purged>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let claude = super::layer(cx)?;
        let (removed, bytes) = claude.cache().purge(self.older_than, cx.clock.wall());
        super::tell(cx, &claude);
        cx.ui.emit(&Purged { removed, bytes })?;
        Ok(())
    }
}

/// Check every cached answer against its checksum; exit 10 if one is damaged
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord claude cache verify            Name what cannot be read
  coord claude cache verify --repair   Remove it: it counts as not cached anyway")]
pub(super) struct Verify {
    /// Remove what cannot be read
    #[arg(long)]
    repair: bool,
}

#[derive(JsonSchema, Serialize)]
struct Verified {
    entries: u64,
    problems: Vec<String>,
    removed: bool,
}

impl View for Verified {
    const SCHEMA: &'static str = "coord.claude.cache.verify/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        for problem in &self.problems {
            writeln!(out, "{}", line(problem))?;
        }
        let what = if self.removed { " removed" } else { " damaged" };
        writeln!(out, "{} readable, {}{what}", self.entries, self.problems.len())
    }
}

impl Verb for Verify {
    const VIEWS: &'static [Shape] = &[Shape::of::<Verified>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let claude = super::layer(cx)?;
        let problems = claude.cache().verify(self.repair);
        let entries = claude.cache().stats(cx.clock.wall()).entries;
        super::tell(cx, &claude);
        let damaged = !problems.is_empty() && !self.repair;
        let count = problems.len() as u64;
        cx.ui.emit(&Verified { entries, problems, removed: self.repair })?;
        if damaged {
            let message = format!("{} damaged", plural(count, "cached answer"));
            return Err(Error::new(Kind::Problems, message)
                .hint("they count as not cached; `--repair` removes them"));
        }
        Ok(())
    }
}
