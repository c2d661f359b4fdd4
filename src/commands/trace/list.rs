//! `coord trace list`.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::view::{Arrived, SpanView, ago, length, millis};
use super::{follow, source};
use crate::commands::{Context, Verb, values};
use crate::domain::time::{Moment, parse_duration, rfc3339};
use crate::domain::trace::{Filter, Known, Outcome};
use crate::error::{Error, Kind, Result};
use crate::output::{Column, Format, Screen, Shape, Table, View, plural};

/// List spans: what was done, when, by whom, for how long; the newest first
///
/// Every filter that is given must be met. On a pipe the columns are start, trace, span, parent,
/// milliseconds, status, agent, item and name, separated by tabs; with `--traces` they are start, trace,
/// milliseconds, spans, errors, agents, items and name. A span that failed its caller has the status
/// `error`: an answer such as that nothing is to be done is none.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  coord trace list                             The newest 50 spans
  coord trace list --since 1h --status error   What failed in the last hour
  coord trace list --item w-7 --all            All about an item
  coord trace list --min-duration 100ms --json | jq .data.spans[].name
  coord trace list --traces --since 1d         A line for each trace of a day
  coord trace list --follow --format jsonl     What is done from now on, a line each")]
pub(super) struct Args {
    /// Only what ended since: a time ago (`2h`), a date, or a time in RFC 3339
    #[arg(long, value_name = "WHEN", value_parser = values::moment)]
    since: Option<Moment>,

    /// Only what began before
    #[arg(long, value_name = "WHEN", value_parser = values::moment, conflicts_with = "follow")]
    until: Option<Moment>,

    /// Only what has this text in its name, such as `work claim`
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,

    /// Only what this agent did
    #[arg(long, value_name = "ID")]
    agent: Option<String>,

    /// Only what was about this item
    #[arg(long, value_name = "ID")]
    item: Option<String>,

    /// Only what ended so
    #[arg(long, value_name = "STATUS", value_parser = ["ok", "error", "unset"])]
    status: Option<String>,

    /// Only what took at least so long
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    min_duration: Option<Duration>,

    /// A line for each trace that has such a span
    #[arg(long, conflicts_with = "follow")]
    traces: bool,

    /// At most so many [default: 50]
    #[arg(long, short = 'n', value_name = "N", value_parser = values::count,
        allow_negative_numbers = true, conflicts_with = "follow")]
    limit: Option<usize>,

    /// All of them
    #[arg(long, conflicts_with_all = ["limit", "follow"])]
    all: bool,

    /// Show what comes from now on (with `--since`: from then on) as it comes, until stopped
    #[arg(long)]
    follow: bool,
}

/// How many are shown unless somebody says otherwise.
const LIMIT: usize = 50;

#[derive(JsonSchema, Serialize)]
struct List {
    spans: Vec<SpanView>,
    shown: usize,
    total: u64,
    #[serde(skip)]
    now: DateTime<Utc>,
}

impl View for List {
    const SCHEMA: &'static str = "coord.trace.list/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if screen.width.is_none() {
            let mut table = Table::new(Vec::new());
            self.spans.iter().for_each(|span| table.row(span.plain()));
            return table.write(out, screen);
        }
        if self.spans.is_empty() {
            return writeln!(out, "nothing recorded that fits");
        }
        let mut table = Table::new(vec![
            Column::new("START"),
            Column::new("TRACE"),
            Column::new("TIME").right(),
            Column::new("STATUS"),
            Column::new("AGENT").shrinks(),
            Column::new("NAME").shrinks(),
        ]);
        self.spans.iter().for_each(|span| table.row(span.columns(self.now)));
        table.write(out, screen)
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.spans
            .iter()
            .try_for_each(|span| writeln!(out, "{}", crate::output::line(&span.trace_id)))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.spans.iter().map(|span| serde_json::to_value(span).ok()).collect()
    }
}

/// A trace as a whole.
#[derive(JsonSchema, Serialize)]
struct Whole {
    trace_id: String,
    start_at: Option<String>,
    /// From its first beginning to its last end.
    duration_ms: Option<f64>,
    /// What began it, or what is known of it first.
    name: String,
    spans: u64,
    errors: u64,
    agents: BTreeSet<String>,
    items: BTreeSet<String>,
    imported: bool,
    #[serde(skip)]
    start: Option<DateTime<Utc>>,
}

#[derive(JsonSchema, Serialize)]
struct ByTrace {
    traces: Vec<Whole>,
    shown: usize,
    total: u64,
    #[serde(skip)]
    now: DateTime<Utc>,
}

impl View for ByTrace {
    const SCHEMA: &'static str = "coord.trace.traces/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if self.traces.is_empty() && screen.width.is_some() {
            return writeln!(out, "nothing recorded that fits");
        }
        let mut table = Table::new(vec![
            Column::new("START"),
            Column::new("TRACE"),
            Column::new("TIME").right(),
            Column::new("SPANS").right(),
            Column::new("ERRORS").right(),
            Column::new("AGENTS").shrinks(),
            Column::new("ITEMS").shrinks(),
            Column::new("FIRST").shrinks(),
        ]);
        let joined = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(" ");
        for trace in &self.traces {
            let (at, took) = if screen.width.is_some() {
                (ago(trace.start, self.now), length(trace.duration_ms))
            } else {
                let took = trace.duration_ms.map(|ms| ms.to_string());
                (trace.start_at.clone().unwrap_or_default(), took.unwrap_or_default())
            };
            table.row([
                at,
                trace.trace_id.clone(),
                took,
                trace.spans.to_string(),
                trace.errors.to_string(),
                joined(&trace.agents),
                joined(&trace.items),
                trace.name.clone(),
            ]);
        }
        table.write(out, screen)
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.traces.iter().try_for_each(|t| writeln!(out, "{}", crate::output::line(&t.trace_id)))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.traces.iter().map(|trace| serde_json::to_value(trace).ok()).collect()
    }
}

impl Args {
    fn filter(&self, cx: &mut Context) -> Filter {
        let now = cx.clock.wall();
        let item = self.item.as_ref().and_then(|item| item.parse().ok());
        let outcome = self.status.as_deref().map(|word| match word {
            "ok" => Outcome::Ok,
            "error" => Outcome::Error,
            _ => Outcome::Unset,
        });
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Filter {
            since: self.since.map(|when| when.when(now)),
            until: self.until.map(|when| when.when(now)),
            name: self.name.clone(),
            agent: self.agent.clone(),
            item: self.item.clone(),
            store_ops: item.map(|id| source::store_ops(cx, &id)).unwrap_or_default(),
            outcome,
            min_duration_us: self.min_duration.map(micros),
        }
    }

    fn most(&self) -> usize {
        if self.all { usize::MAX } else { self.limit.unwrap_or(LIMIT) }
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] =
        &[Shape::of::<List>(), Shape::of::<ByTrace>(), Shape::of::<Arrived>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let filter = self.filter(cx);
        if filter.since.zip(filter.until).is_some_and(|(since, until)| until <= since) {
            return Err(Error::new(Kind::Usage, "the window ends before it begins")
                .hint("`--until` must be later than `--since`: 2 hours ago is earlier than 1"));
        }
        if self.follow {
            return follow::run(cx, &filter);
        }
        if self.traces {
            return traces(cx, &filter, self.most());
        }
        let (most, mut total) = (self.most(), 0);
        let mut newest: Vec<Known> = Vec::new();
        source::each(cx, filter.since, &mut |span| {
            if filter.fits(&span) {
                total += 1;
                newest.push(span);
                // Memory must not grow with what is not shown.
                if newest.len() >= most.saturating_mul(2).max(1000) {
                    keep(&mut newest, most);
                }
            }
        })?;
        keep(&mut newest, most);
        let spans: Vec<SpanView> = newest.into_iter().map(SpanView::from).collect();
        let shown = spans.len();
        let now = cx.clock.wall();
        cx.ui.emit(&List { spans, shown, total, now })?;
        tell_hidden(cx, total, shown, "span");
        Ok(())
    }
}

/// Keeps the newest.
fn keep(spans: &mut Vec<Known>, most: usize) {
    spans.sort_by(|a, b| b.start.cmp(&a.start).then_with(|| a.span.cmp(&b.span)));
    spans.truncate(most);
}

fn tell_hidden(cx: &mut Context, total: u64, shown: usize, what: &str) {
    let hidden = total.saturating_sub(shown as u64);
    if hidden > 0 && cx.ui.format() == Format::Human && cx.ui.is_attended() {
        cx.ui.status(&format!(
            "{} not shown; `--all` shows all",
            plural(hidden, &format!("more {what}"))
        ));
    }
}

/// What is gathered of a trace.
struct Gathered {
    whole: Whole,
    end: Option<DateTime<Utc>>,
    /// Whether the name is that of a beginning, and when that was.
    named: (bool, Option<DateTime<Utc>>),
    fits: bool,
}

fn traces(cx: &mut Context, filter: &Filter, most: usize) -> Result<()> {
    let mut all: HashMap<String, Gathered> = HashMap::new();
    source::each(cx, None, &mut |span| {
        let trace = all.entry(span.trace.clone()).or_insert_with(|| Gathered {
            whole: Whole {
                trace_id: span.trace.clone(),
                start_at: None,
                duration_ms: None,
                name: String::new(),
                spans: 0,
                errors: 0,
                agents: BTreeSet::new(),
                items: BTreeSet::new(),
                imported: span.imported,
                start: None,
            },
            end: None,
            named: (false, None),
            fits: false,
        });
        trace.fits |= filter.fits(&span);
        trace.whole.spans += 1;
        trace.whole.errors += u64::from(span.outcome == Outcome::Error);
        trace.whole.agents.extend(span.agent().map(str::to_owned));
        trace.whole.items.extend(span.item().map(str::to_owned));
        let begins = span.parent.is_none();
        let earlier = match (span.start, trace.named.1) {
            (Some(this), Some(other)) => this < other,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if trace.whole.spans == 1
            || (begins && !trace.named.0)
            || (begins == trace.named.0 && earlier)
        {
            (trace.whole.name, trace.named) = (span.name.clone(), (begins, span.start));
        }
        trace.whole.start = trace.whole.start.into_iter().chain(span.start).min();
        trace.end = trace.end.max(span.end());
    })?;
    let mut found: Vec<Gathered> = all.into_values().filter(|trace| trace.fits).collect();
    found.sort_by(|a, b| {
        let newest = b.whole.start.cmp(&a.whole.start);
        newest.then_with(|| a.whole.trace_id.cmp(&b.whole.trace_id))
    });
    let total = found.len() as u64;
    found.truncate(most);
    let traces: Vec<Whole> = found
        .into_iter()
        .map(|Gathered { mut whole, end, .. }| {
            let start = whole.start;
            let took = start.zip(end).and_then(|(start, end)| (end - start).num_microseconds());
            whole.start_at = start.map(rfc3339);
            whole.duration_ms = took.map(|us| millis(us.unsigned_abs()));
            whole
        })
        .collect();
    let shown = traces.len();
    let now = cx.clock.wall();
    cx.ui.emit(&ByTrace { traces, shown, total, now })?;
    tell_hidden(cx, total, shown, "trace");
    Ok(())
}
