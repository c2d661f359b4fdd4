//! Gathers what reports, alerts and exports are made of, from everything that is recorded.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::{Context, claude, from_store};
use crate::client::claude::{Line, LineKind, Source};
use crate::domain::telemetry::{
    Calls, Counters, Dimension, Flow, Observed, Queue, Roster, Summary, Window,
};
use crate::domain::time::parse_rfc3339;
use crate::domain::work::{Query, Sort};
use crate::error::{Error, Kind, Result};
use crate::store::journal::Journal;

/// What is known about a window, its operations by `dimension` and in `parts`. A store that is not
/// there is an error, telemetry that is not there is empty.
pub(super) fn observe(
    cx: &mut Context,
    window: Window,
    dimension: Dimension,
    parts: u32,
) -> Result<Observed> {
    let mut all = observe_each(cx, &[window], dimension, parts)?;
    all.pop().ok_or_else(|| Error::new(Kind::Bug, "a window was not observed"))
}

/// The same for many windows, which may overlap, in one reading: one for each, in their order.
pub(super) fn observe_each(
    cx: &mut Context,
    windows: &[Window],
    dimension: Dimension,
    parts: u32,
) -> Result<Vec<Observed>> {
    let operations = operations_each(cx, windows, dimension, parts)?;
    observe_rest(cx, windows, operations)
}

/// What is exported: what is known about all time, the last of `window` about it by command, and every
/// operation ever noted as counts.
pub(super) fn observe_exported(
    cx: &mut Context,
    window: Window,
) -> Result<(Observed, Summary, Counters)> {
    let all = Window { from: DateTime::<Utc>::MIN_UTC, to: window.to };
    let mut lately = Summary::new(window, Dimension::Command, 0);
    let mut operations = (vec![Summary::new(all, Dimension::Command, 0)], None, 0);
    let mut counters = Counters::default();
    let dir = cx.place()?.dir;
    if let Some(journal) = open(&dir, cx.flags.trust_dir)? {
        let counted = journal.count(&mut |op| lately.add(op)).map_err(from_store)?;
        if counted.damaged {
            cx.ui.warning(
                "the counts of telemetry that was removed cannot be read and count as none: counters fall",
            );
        }
        operations.2 = counted.read.bad;
        counters = counted.counters;
    }
    let seen = observe_rest(cx, &[all], operations)?.pop();
    let seen = seen.ok_or_else(|| Error::new(Kind::Bug, "a window was not observed"))?;
    Ok((seen, lately, counters))
}

/// All but the operations of each window, which are known.
fn observe_rest(
    cx: &mut Context,
    windows: &[Window],
    (summaries, since, bad_lines): Operations,
) -> Result<Vec<Observed>> {
    let mut calls = calls(cx, windows);
    let now = cx.clock.wall();
    let silent_after = cx.settings()?.silent_after();
    let store = cx.reader()?;
    let all = Query { all: true, sort: Sort::Added, ..Query::default() };
    let (mut queue, mut flows) = (Queue::default(), vec![Flow::default(); windows.len()]);
    for found in store.find(&all).map_err(from_store)?.items {
        queue.add(&found, now);
        for (flow, window) in flows.iter_mut().zip(windows) {
            flow.add(&found, *window);
        }
    }
    let mut agents = Roster::default();
    for agent in store.agents().map_err(from_store)? {
        agents.add(&agent, now, silent_after);
    }
    store.events(0, &mut |event| {
        if event.verb == "expire" {
            for (flow, window) in flows.iter_mut().zip(windows) {
                flow.expired += u64::from(window.holds(event.at));
            }
        }
        true
    })?;
    let together = summaries.into_iter().zip(flows).zip(calls.drain(..));
    let observed = together.map(|((operations, flow), claude)| Observed {
        operations,
        since,
        bad_lines,
        queue: queue.clone(),
        agents,
        flow,
        claude,
    });
    Ok(observed.collect())
}

/// The operations of each window; when the first of all began; and how many lines cannot be read.
type Operations = (Vec<Summary>, Option<DateTime<Utc>>, u64);

/// Reads them.
fn operations_each(
    cx: &mut Context,
    windows: &[Window],
    dimension: Dimension,
    parts: u32,
) -> Result<Operations> {
    let mut summaries: Vec<Summary> =
        windows.iter().map(|window| Summary::new(*window, dimension, parts)).collect();
    let mut first: Option<DateTime<Utc>> = None;
    let dir = cx.place()?.dir;
    let Some(journal) = open(&dir, cx.flags.trust_dir)? else { return Ok((summaries, None, 0)) };
    for strange in journal.strange().map_err(from_store)? {
        cx.ui.warning(&strange);
    }
    let read = journal.operations(None, &mut |op| {
        first = Some(first.map_or(op.at, |first| first.min(op.at)));
        for summary in &mut summaries {
            summary.add(&op);
        }
    })?;
    Ok((summaries, first, read.bad))
}

fn open(dir: &Path, trusted: bool) -> Result<Option<Journal>> {
    Journal::open(dir, trusted).map_err(from_store)
}

/// The calls to Claude of each window. Without any, its layer is not set up only to look.
fn calls(cx: &mut Context, windows: &[Window]) -> Vec<Calls> {
    let mut all = vec![Calls::default(); windows.len()];
    for line in claude::ledger(cx) {
        let Some(at) = parse_rfc3339(&line.at) else { continue };
        for (calls, _) in all.iter_mut().zip(windows).filter(|(_, window)| window.holds(at)) {
            count(calls, &line);
        }
    }
    all
}

fn count(calls: &mut Calls, line: &Line) {
    if line.kind == LineKind::Attempt {
        calls.cost_usd += line.cost_usd.unwrap_or_default().dollars();
        return;
    }
    let source = line.source.map_or("", Source::as_str);
    *calls.by.entry((source, line.outcome.clone())).or_default() += 1;
    if line.source == Some(Source::Cache) || line.outcome == "offline" {
        return;
    }
    calls.asked += 1;
    calls.answered += u64::from(matches!(line.source, Some(Source::Api | Source::Cli)));
    calls.duration.record(line.duration_ms.saturating_mul(1000));
    if let Some(ms) = line.recovery_ms {
        calls.recovery.record(ms.saturating_mul(1000));
    }
}
