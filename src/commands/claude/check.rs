//! `coord claude check`.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::client::claude::{
    Ask, Claude, Line, LineKind, Request, Source, State, Stats, Switches, Usd,
};
use crate::commands::{Context, Verb, guard, values};
use crate::domain::time::human_duration;
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line, plural};

/// Show how the calls to Claude stand: who is asked, breakers, budgets, success, cost
///
/// The success rate counts calls that Claude answered, now and in time; fresh answers from the cache
/// are no calls, stale ones and those by rules are counted apart. With `--probe N` it makes N small
/// calls and exits with 10 if one fails.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord claude check                   Without calling anybody
  coord claude check --probe 3         With three small calls
  coord claude check --last 1000 --json | jq .data.calls.success_rate")]
pub(super) struct Args {
    /// Make so many small calls
    #[arg(long, value_name = "N", value_parser = values::within::<u32, 1, 1000>)]
    probe: Option<u32>,

    /// How many of the last calls count for the success rate
    #[arg(long, value_name = "N", value_parser = values::count, default_value = "100",
        allow_negative_numbers = true)]
    last: usize,
}

#[derive(JsonSchema, Serialize)]
struct Checked {
    #[serde(flatten)]
    state: State,
    calls: Calls,
    usage: Vec<Used>,
    cache: Stats,
    reports: Vec<Report>,
    probe: Option<Probe>,
}

/// The last calls in the ledger.
#[derive(Default, JsonSchema, Serialize)]
struct Calls {
    counted: u64,
    answered: u64,
    cached: u64,
    degraded: u64,
    failed: u64,
    success_rate: Option<f64>,
    recovery_max_ms: Option<u64>,
    since: Option<String>,
}

/// What one command used on one day (UTC).
#[derive(JsonSchema, Serialize)]
struct Used {
    day: String,
    command: String,
    attempts: u64,
    input_tokens: u64,
    output_tokens: u64,
    cost_usd: Usd,
    unknown_costs: u64,
}

/// A cached answer.
#[derive(JsonSchema, Serialize)]
struct Report {
    key: String,
    age_s: u64,
    model: String,
}

#[derive(JsonSchema, Serialize)]
struct Probe {
    calls: u32,
    succeeded: u32,
    /// The slowest of those that were answered; null without any.
    slowest_ms: Option<u64>,
    errors: Vec<String>,
}

/// The most rows of usage and of cached answers that are shown.
const ROWS: usize = 20;

impl View for Checked {
    const SCHEMA: &'static str = "coord.claude.check/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let state = &self.state;
        writeln!(out, "key        {}", line(state.key_source.as_deref().unwrap_or("none")))?;
        for backend in &state.backends {
            let usable = if backend.usable { "usable" } else { "cannot be used" };
            writeln!(out, "backend    {}, {}: {usable}", backend.backend, line(&backend.host))?;
        }
        writeln!(out, "models     {}", line(&state.models.join(", ")))?;
        for row in &state.lines {
            write!(out, "breaker    {}: {}", line(&row.line), row.breaker)?;
            if row.failures_in_a_row > 0 {
                write!(out, ", {} failures in a row", row.failures_in_a_row)?;
            }
            match row.open_s {
                Some(left) => writeln!(out, ", for {left:.0} s more")?,
                None => writeln!(out)?,
            }
        }
        let of = |budget: Option<Usd>| {
            budget.map_or_else(|| "no budget".to_owned(), |budget| format!("of {budget}"))
        };
        let spent = &state.spending;
        writeln!(out, "today      {} {}", spent.today_usd, of(spent.daily_budget_usd))?;
        writeln!(out, "month      {} {}", spent.month_usd, of(spent.monthly_budget_usd))?;
        let calls = &self.calls;
        match calls.success_rate {
            Some(rate) => writeln!(
                out,
                "calls      {:.2} % of {} answered; {} degraded, {} failed, {} from the cache",
                rate * 100.0,
                calls.counted - calls.cached,
                calls.degraded,
                calls.failed,
                calls.cached
            )?,
            None => writeln!(out, "calls      nothing recorded")?,
        }
        for row in &self.usage {
            writeln!(
                out,
                "used       {} {}: {}, {} in, {} out, {}",
                line(&row.day),
                line(&row.command),
                plural(row.attempts, "attempt"),
                row.input_tokens,
                row.output_tokens,
                row.cost_usd
            )?;
        }
        let cache = &self.cache;
        writeln!(out, "cache      {}, {} fresh", plural(cache.entries, "answer"), cache.fresh)?;
        for report in &self.reports {
            let age = human_duration(Duration::from_secs(report.age_s));
            let key = report.key.get(..12).unwrap_or(&report.key);
            writeln!(out, "cached     {key} {age} {}", line(&report.model))?;
        }
        if let Some(probe) = &self.probe {
            write!(out, "probe      {} of {} answered", probe.succeeded, probe.calls)?;
            match probe.slowest_ms {
                Some(slowest) => writeln!(out, ", the slowest in {slowest} ms")?,
                None => writeln!(out)?,
            }
            for error in &probe.errors {
                writeln!(out, "           {}", line(error))?;
            }
        }
        Ok(())
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Checked>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let claude = super::layer(cx)?;
        let probe = self.probe.map(|calls| probe(cx, &claude, calls)).transpose()?;
        let lines = claude.ledger().lines();
        let now = cx.clock.wall();
        let (mut entries, _) = claude.cache().list();
        entries.sort_by_key(|(entry, _)| entry.age(now));
        let report = |(entry, _): (crate::client::claude::Entry, u64)| Report {
            age_s: entry.age(now).as_secs(),
            key: entry.key,
            model: entry.model,
        };
        let view = Checked {
            state: claude.state(),
            calls: Calls::of(&lines, self.last),
            usage: used(&lines),
            cache: claude.cache().stats(now),
            reports: entries.into_iter().take(ROWS).map(report).collect(),
            probe,
        };
        super::tell(cx, &claude);
        let lost = view.probe.as_ref().map_or(0, |probe| probe.calls - probe.succeeded);
        cx.ui.emit(&view)?;
        if lost > 0 {
            return Err(Error::new(
                Kind::Problems,
                format!("{} failed", plural(lost.into(), "probe")),
            )
            .hint("`coord claude ask --dry-run x` shows what is sent where"));
        }
        Ok(())
    }
}

/// Makes small calls, none of them from the cache.
fn probe(cx: &mut Context, claude: &Claude, calls: u32) -> Result<Probe> {
    let signals = guard::signals()?;
    let mut told = Probe { calls, succeeded: 0, slowest_ms: None, errors: Vec::new() };
    let clock = std::sync::Arc::clone(&cx.clock);
    for n in 1..=calls {
        let request = Request {
            system: Some("Answer with the one word ok.".to_owned()),
            max_tokens: Some(512),
            ..Request::new(format!("Probe {n}"))
        };
        let stop = || signals.take_stop();
        let switches = Switches { no_cache: true, require_fresh: true, ..Switches::default() };
        let ask = Ask { switches, stop: &stop, ..Ask::new(request, "claude check") };
        let begun = clock.monotonic();
        match super::ask(cx, claude, ask) {
            Ok(_) => {
                told.succeeded += 1;
                let took = clock.monotonic().saturating_sub(begun).as_millis();
                let took = u64::try_from(took).unwrap_or(u64::MAX);
                told.slowest_ms = told.slowest_ms.max(Some(took));
            }
            Err(failure) => {
                let error = super::failed(failure);
                if matches!(error.kind(), Kind::Interrupted | Kind::Terminated) {
                    return Err(error);
                }
                if told.errors.len() < 5 {
                    told.errors.push(error.to_string());
                }
            }
        }
    }
    Ok(told)
}

impl Calls {
    #[expect(clippy::cast_precision_loss, reason = "a ratio; counts stay far below 2^52")]
    fn of(lines: &[Line], last: usize) -> Self {
        let calls: Vec<&Line> = lines.iter().filter(|line| line.kind == LineKind::Call).collect();
        let mut told = Self::default();
        for call in &calls[calls.len().saturating_sub(last)..] {
            told.counted += 1;
            told.since.get_or_insert_with(|| call.at.clone());
            told.recovery_max_ms = told.recovery_max_ms.max(call.recovery_ms);
            match call.source {
                Some(Source::Api | Source::Cli) => told.answered += 1,
                Some(Source::Cache) => told.cached += 1,
                Some(Source::Stale | Source::Heuristic) => told.degraded += 1,
                None => told.failed += 1,
            }
        }
        let made = told.counted - told.cached;
        told.success_rate = (made > 0).then(|| told.answered as f64 / made as f64);
        told
    }
}

/// Usage by day and command, the newest first.
fn used(lines: &[Line]) -> Vec<Used> {
    let mut rows: BTreeMap<(String, String), Used> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.kind == LineKind::Attempt) {
        let day = line.at.get(..10).unwrap_or_default().to_owned();
        let row = rows.entry((day.clone(), line.command.clone())).or_insert_with(|| Used {
            day,
            command: line.command.clone(),
            attempts: 0,
            input_tokens: 0,
            output_tokens: 0,
            cost_usd: Usd::default(),
            unknown_costs: 0,
        });
        row.attempts += 1;
        if let Some(usage) = &line.usage {
            row.input_tokens += usage.total_input();
            row.output_tokens += usage.output_tokens;
            row.unknown_costs += u64::from(line.cost_usd.is_none());
        }
        row.cost_usd = row.cost_usd + line.cost_usd.unwrap_or_default();
    }
    rows.into_values().rev().take(ROWS).collect()
}
