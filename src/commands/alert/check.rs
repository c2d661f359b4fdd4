//! `coord alert check`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::deliver::{self, Delivery};
use super::row::{self, Row};
use super::rules::Given;
use super::{change, config, files, origin, readings, remembered};
use crate::commands::{Context, Verb};
use crate::domain::alert::{Change, Record, Seen, Severity};
use crate::domain::time::rfc3339;
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, plural};

/// Evaluate all alert rules; exit code 10 while a critical one fires
///
/// Each rule's value is measured over the rule's window from what was recorded. What is true becomes
/// pending, fires when it has been true for the rule's `for` (over several checks), and resolves at
/// the first check that finds it untrue: run this every minute. Too few samples are `no-data`, which is
/// neither well nor firing. If no check was made for longer than window and `for`, what was pending
/// begins anew.
///
/// That a rule begins to fire is told once, and once that it ceases: by the webhook, the command
/// and the file of the settings `alert.*`. It is written down before it is told, so that nothing is
/// lost if this process is killed; then it may be told twice, with the same `id`. What cannot be
/// delivered is kept for `coord alert redeliver`.
///
/// A silenced rule is evaluated, but not told of, and does not count for the exit code. Exit code 5 if
/// somebody could not be told.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord alert check
  coord alert check -q || page-somebody              The names of what fires
  coord alert check --rules ci-rules.toml --dry-run  Remember and tell nothing
  coord alert check --json | jq '.data.rules[] | select(.state == \"firing\")'")]
pub(in crate::commands) struct Args {
    #[command(flatten)]
    given: Given,

    /// Evaluate, but remember nothing and tell nobody
    #[arg(long)]
    dry_run: bool,
}

#[derive(JsonSchema, Serialize)]
struct Checked {
    /// When, RFC 3339.
    at: String,
    rules: Vec<Row>,
    /// Names of rules that began to fire.
    fired: Vec<String>,
    /// Names of rules that ceased to fire.
    resolved: Vec<String>,
    /// Critical rules that fire and are not silenced.
    critical: u64,
    /// How telling people went.
    deliveries: Vec<Delivery>,
    dry_run: bool,
}

impl View for Checked {
    const SCHEMA: &'static str = "coord.alert.check/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        row::table(&self.rules, out, screen)
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let firing = self.rules.iter().filter(|row| row.state == "firing");
        firing.map(|row| &row.name).try_for_each(|name| writeln!(out, "{name}"))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.rules.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}

/// What a check came to.
pub(in crate::commands) struct Outcome {
    /// The rules.
    pub(in crate::commands) seen: Vec<Seen>,
    /// How telling people went.
    deliveries: Vec<Delivery>,
    /// When it was made.
    at: chrono::DateTime<chrono::Utc>,
    /// What must be typed to have the same rules elsewhere.
    flag: String,
}

impl Outcome {
    /// Critical rules that fire and are not silenced.
    fn critical(&self) -> u64 {
        let counts = |seen: &&Seen| {
            seen.state.is_firing()
                && seen.rule.severity == Severity::Critical
                && seen.silenced.is_none()
        };
        self.seen.iter().filter(counts).count() as u64
    }

    /// That critical rules fire, if one does.
    pub(in crate::commands) fn critical_words(&self) -> Option<String> {
        let critical = self.critical();
        let verb = if critical == 1 { "fires" } else { "fire" };
        (critical > 0).then(|| format!("{} {verb}", plural(critical, "critical alert")))
    }

    /// The error with which a check ends that has found something.
    fn error(&self) -> Option<Error> {
        if let Some(what) = self.critical_words() {
            let flag = &self.flag;
            return Some(Error::new(Kind::Problems, what).hint(format!(
                "`coord alert show NAME{flag}` tells more; \
                 `coord alert silence NAME{flag} --for 2h --reason TEXT` takes it out of this",
            )));
        }
        let failed = self.deliveries.iter().filter(|delivery| !delivery.delivered).count() as u64;
        (failed > 0).then(|| {
            let what = format!("{} could not be delivered", plural(failed, "notice"));
            Error::new(Kind::External, what)
                .undelivered()
                .hint("`coord alert test NAME` tries the ways without an alert")
        })
    }
}

/// Evaluates all rules, remembers it, and tells people; with `dry_run` only the first.
pub(in crate::commands) fn check(cx: &mut Context, args: &Args) -> Result<Outcome> {
    let rules = args.given.load(cx)?;
    let config = config::read(cx)?;
    let readings = readings(cx, &rules.all)?;
    let found: Vec<_> = rules.all.into_iter().zip(readings).collect();
    let (targets, origin, sources) = (config.targets(), origin(cx)?, rules.sources);
    let flag = rules.flag;
    let at = cx.clock.wall();
    let evaluate = |record: &mut Record| record.evaluate(&found, &sources, &targets, &origin, at);
    if args.dry_run {
        let (_, mut record) = remembered(cx)?;
        let seen = evaluate(&mut record);
        return Ok(Outcome { seen, deliveries: Vec::new(), at, flag });
    }
    let alerts = files(cx)?;
    let (seen, due) = change(cx, &alerts, |record| {
        let before = (record.rules.clone(), record.due.len());
        let seen = evaluate(record);
        let durable = (&record.rules, record.due.len()) != (&before.0, before.1);
        ((seen, !record.due.is_empty()), durable)
    })?;
    let deliveries = if due { deliver::deliver(cx, &alerts, &config)? } else { Some(Vec::new()) };
    if deliveries.is_none() {
        cx.ui.warning("another process is delivering notices; what is due is left to it");
    }
    Ok(Outcome { seen, deliveries: deliveries.unwrap_or_default(), at, flag })
}

impl Args {
    /// As nobody asked for anything special.
    pub(in crate::commands) fn plain() -> Self {
        Self { given: Given::default(), dry_run: false }
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Checked>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let outcome = check(cx, &self)?;
        let changed = |change| {
            let seen = outcome.seen.iter().filter(move |seen| seen.change == Some(change));
            seen.map(|seen| seen.rule.name.to_string()).collect()
        };
        let row =
            |seen: &Seen| Row::new(&seen.rule, seen.reading, seen.state, seen.silenced, outcome.at);
        cx.ui.emit(&Checked {
            at: rfc3339(outcome.at),
            rules: outcome.seen.iter().map(row).collect(),
            fired: changed(Change::Fired),
            resolved: changed(Change::Resolved),
            critical: outcome.critical(),
            deliveries: outcome.deliveries.clone(),
            dry_run: self.dry_run,
        })?;
        outcome.error().map_or(Ok(()), Err)
    }
}
