//! Gathers what reports, alerts and exports are made of, from everything that is recorded.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::{Context, claude, from_store};
use crate::client::claude::{Line, LineKind, Source};
use crate::domain::telemetry::{Calls, Dimension, Flow, Observed, Queue, Roster, Summary, Window};
use crate::domain::time::parse_rfc3339;
use crate::domain::work::{Query, Sort};
use crate::error::Result;
use crate::store::journal::Journal;

/// What is known about a window, its operations by `dimension` and in `parts`. A store that is not
/// there is an error, telemetry that is not there is empty.
pub(super) fn observe(
    cx: &mut Context,
    window: Window,
    dimension: Dimension,
    parts: u32,
) -> Result<Observed> {
    let (operations, since, bad_lines) = operations(cx, window, dimension, parts)?;
    let claude = calls(cx, window);
    let now = cx.clock.wall();
    let silent_after = cx.settings()?.silent_after();
    let store = cx.reader()?;
    let all = Query { all: true, sort: Sort::Added, ..Query::default() };
    let (mut queue, mut flow) = (Queue::default(), Flow::default());
    for found in store.find(&all).map_err(from_store)?.items {
        queue.add(&found, now);
        flow.add(&found, window);
    }
    let mut agents = Roster::default();
    for agent in store.agents().map_err(from_store)? {
        agents.add(&agent, now, silent_after);
    }
    store.events(0, &mut |event| {
        flow.expired += u64::from(event.verb == "expire" && window.holds(event.at));
        true
    })?;
    Ok(Observed { operations, since, bad_lines, queue, agents, flow, claude })
}

/// The operations of a window alone; when the first of all began; and how many lines cannot be read.
pub(super) fn operations(
    cx: &mut Context,
    window: Window,
    dimension: Dimension,
    parts: u32,
) -> Result<(Summary, Option<DateTime<Utc>>, u64)> {
    let mut summary = Summary::new(window, dimension, parts);
    let mut first: Option<DateTime<Utc>> = None;
    let dir = cx.place()?.dir;
    let Some(journal) = open(&dir, cx.flags.trust_dir)? else { return Ok((summary, None, 0)) };
    let read = journal.operations(None, &mut |op| {
        first = Some(first.map_or(op.at, |first| first.min(op.at)));
        summary.add(&op);
    })?;
    Ok((summary, first, read.bad))
}

fn open(dir: &Path, trusted: bool) -> Result<Option<Journal>> {
    Journal::open(dir, trusted).map_err(from_store)
}

/// The calls to Claude of a window. Without any, its layer is not set up only to look.
fn calls(cx: &mut Context, window: Window) -> Calls {
    let mut calls = Calls::default();
    for line in claude::ledger(cx) {
        if parse_rfc3339(&line.at).is_some_and(|at| window.holds(at)) {
            count(&mut calls, &line);
        }
    }
    calls
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
