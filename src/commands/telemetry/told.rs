//! What `coord telemetry report` tells.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::telemetry::{Calls, Dimension, Flow, Group, Latency, Observed, Queue, Roster};
use crate::domain::time::{human_duration, rfc3339};
use crate::domain::work::State;
use crate::output::chart::{bar, spark};
use crate::output::style::{DIM, HEADER};
use crate::output::{Column, Screen, Table, View, plural};

/// A report on a window of time.
#[derive(JsonSchema, Serialize)]
pub(super) struct Told {
    pub(super) from: String,
    pub(super) to: String,
    /// By what the groups are told apart: `command`, `team` or `agent`.
    pub(super) by: &'static str,
    pub(super) operations: Operations,
    /// The busiest first.
    pub(super) groups: Vec<Named>,
    /// The window in parts of equal length, oldest first.
    pub(super) parts: Vec<Part>,
    pub(super) queue: Items,
    pub(super) agents: Agents,
    pub(super) flow: Moved,
    pub(super) claude: Claude,
    /// The window of the same length right before, if it was asked for.
    pub(super) before: Option<Before>,
    /// When the oldest operation was that is still kept.
    pub(super) recorded_since: Option<String>,
    /// Lines of telemetry that cannot be read.
    pub(super) bad_lines: u64,
}

/// Operations taken together.
#[derive(JsonSchema, Serialize)]
pub(super) struct Operations {
    pub(super) count: u64,
    /// Over the part of the window of which operations are recorded, an hour of it at least; null for a
    /// group.
    pub(super) per_hour: Option<f64>,
    /// Ends that `coord` is to blame for.
    pub(super) faults: u64,
    /// The share without fault, 0 to 1.
    pub(super) availability: Option<f64>,
    pub(super) outcomes: BTreeMap<&'static str, u64>,
    /// How long those took that answer at once.
    pub(super) duration: Times,
    /// Those that last by design, such as workers, and are left out of `duration`.
    pub(super) lasting: u64,
    pub(super) lock_wait: Times,
    /// Processor time of the processes that did them.
    pub(super) cpu_s: f64,
    /// The most that one process had; null where none was measured.
    pub(super) memory_peak_bytes: Option<u64>,
}

/// Lengths of time, in milliseconds; null without any.
#[derive(JsonSchema, Serialize)]
#[expect(clippy::struct_field_names, reason = "the unit is part of the name")]
pub(super) struct Times {
    pub(super) mean_ms: Option<f64>,
    pub(super) p50_ms: Option<f64>,
    pub(super) p95_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    pub(super) max_ms: Option<f64>,
}

/// Operations with something in common.
#[derive(JsonSchema, Serialize)]
pub(super) struct Named {
    /// Null for those that belong to no team, or in which no agent acted.
    pub(super) name: Option<String>,
    #[serde(flatten)]
    pub(super) operations: Operations,
}

/// A part of the window.
#[derive(JsonSchema, Serialize)]
pub(super) struct Part {
    pub(super) from: String,
    pub(super) count: u64,
    pub(super) faults: u64,
    pub(super) p95_ms: Option<f64>,
}

/// The queue as it is now.
#[derive(JsonSchema, Serialize)]
pub(super) struct Items {
    pub(super) total: u64,
    pub(super) states: BTreeMap<&'static str, u64>,
    pub(super) oldest_ready_age_s: Option<f64>,
}

/// The agents as they are now.
#[derive(JsonSchema, Serialize)]
pub(super) struct Agents {
    pub(super) at_work: u64,
    pub(super) idle: u64,
    pub(super) silent: u64,
}

/// What became of work in the window.
#[derive(JsonSchema, Serialize)]
pub(super) struct Moved {
    pub(super) added: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
    /// The points of what was done.
    pub(super) velocity: u64,
    pub(super) lease_expirations: u64,
    pub(super) lead_time: Times,
    pub(super) cycle_time: Times,
    /// The share of lead time in which somebody worked, 0 to 1.
    pub(super) flow_efficiency: Option<f64>,
}

/// Calls to Claude in the window.
#[derive(JsonSchema, Serialize)]
pub(super) struct Claude {
    /// Calls that asked Claude.
    pub(super) asked: u64,
    /// Those that Claude answered.
    pub(super) answered: u64,
    pub(super) success_rate: Option<f64>,
    pub(super) duration: Times,
    pub(super) cost_usd: f64,
}

/// The window before.
#[derive(JsonSchema, Serialize)]
pub(super) struct Before {
    pub(super) from: String,
    /// Whether operations were recorded all that time.
    pub(super) complete: bool,
    pub(super) operations: Operations,
    pub(super) flow: Moved,
    /// How this window compares: 0.1 is a tenth more than before; null where there was nothing before.
    pub(super) change: Change,
}

#[derive(JsonSchema, Serialize)]
pub(super) struct Change {
    pub(super) count: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) done: Option<f64>,
    pub(super) velocity: Option<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "a length of time in milliseconds")]
fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

impl Times {
    fn new(times: &Latency) -> Self {
        let quantile = |share| times.quantile_us(share).map(ms);
        Self {
            mean_ms: times.mean_us().map(|us| us.round() / 1000.0),
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            max_ms: times.max_us().map(ms),
        }
    }
}

impl Operations {
    #[expect(clippy::cast_precision_loss, reason = "a length of time")]
    fn new(group: &Group, per_hour: Option<f64>) -> Self {
        Self {
            count: group.count(),
            per_hour,
            faults: group.faults(),
            availability: group.availability(),
            outcomes: group.outcomes.iter().map(|(outcome, n)| (outcome.as_str(), *n)).collect(),
            duration: Times::new(&group.duration),
            lasting: group.lasting,
            lock_wait: Times::new(&group.lock_wait),
            cpu_s: group.cpu_us as f64 / 1e6,
            memory_peak_bytes: group.memory_kib.map(|kib| kib.saturating_mul(1024)),
        }
    }
}

impl Items {
    fn new(queue: &Queue) -> Self {
        Self {
            total: queue.total(),
            states: State::ALL.iter().map(|s| (s.as_str(), queue.count(*s))).collect(),
            oldest_ready_age_s: queue.oldest_ready.map(|age| age.as_secs_f64()),
        }
    }
}

impl From<Roster> for Agents {
    fn from(agents: Roster) -> Self {
        let Roster { at_work, idle, silent } = agents;
        Self { at_work, idle, silent }
    }
}

impl Moved {
    fn new(flow: &Flow) -> Self {
        Self {
            added: flow.added,
            done: flow.done,
            failed: flow.failed,
            velocity: flow.points,
            lease_expirations: flow.expired,
            lead_time: Times::new(&flow.lead),
            cycle_time: Times::new(&flow.cycle),
            flow_efficiency: flow.efficiency(),
        }
    }
}

impl Claude {
    fn new(calls: &Calls) -> Self {
        Self {
            asked: calls.asked,
            answered: calls.answered,
            success_rate: calls.success(),
            duration: Times::new(&calls.duration),
            cost_usd: calls.cost_usd,
        }
    }
}

impl Told {
    pub(super) fn new(seen: &Observed, before: Option<&Observed>) -> Self {
        let summary = &seen.operations;
        let mut groups: Vec<_> = summary
            .groups
            .iter()
            .map(|(name, group)| Named {
                name: Some(name.clone()).filter(|name| !name.is_empty()),
                operations: Operations::new(group, None),
            })
            .collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.operations.count));
        let operations = Operations::new(&summary.total, per_hour(seen));
        let flow = Moved::new(&seen.flow);
        let before = before.map(|b| Before::new(b, &operations, &flow));
        Self {
            from: rfc3339(summary.window.from),
            to: rfc3339(summary.window.to),
            by: match summary.dimension {
                Dimension::Command => "command",
                Dimension::Team => "team",
                Dimension::Agent => "agent",
            },
            operations,
            groups,
            parts: summary
                .slices
                .iter()
                .map(|slice| Part {
                    from: rfc3339(slice.window.from),
                    count: slice.group.count(),
                    faults: slice.group.faults(),
                    p95_ms: slice.group.duration.quantile_us(0.95).map(ms),
                })
                .collect(),
            queue: Items::new(&seen.queue),
            agents: seen.agents.into(),
            flow,
            claude: Claude::new(&seen.claude),
            before,
            recorded_since: seen.since.map(rfc3339),
            bad_lines: seen.bad_lines,
        }
    }

    /// The name of a group for people; no agent and no team has a name with a space.
    pub(super) fn named(&self, group: &Named) -> String {
        group.name.clone().unwrap_or_else(|| format!("no {}", self.by))
    }

    /// The share of the busiest group that a group has.
    fn share(&self, count: u64) -> f64 {
        ratio(count, self.groups.first().map_or(0, |g| g.operations.count)).unwrap_or(0.0)
    }
}

/// Operations per hour since they are recorded; less than an hour of records shows no more than an hour's.
#[expect(clippy::cast_precision_loss, reason = "a rate of counts")]
fn per_hour(seen: &Observed) -> Option<f64> {
    let window = seen.operations.window;
    let from = window.from.max(seen.since?);
    let recorded = (window.to - from).to_std().ok()?;
    let time = recorded.max(window.length().min(Duration::from_hours(1)));
    (!time.is_zero()).then(|| seen.operations.total.count() as f64 * 3600.0 / time.as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Before {
    fn new(seen: &Observed, operations: &Operations, flow: &Moved) -> Self {
        let was = Operations::new(&seen.operations.total, per_hour(seen));
        let moved = Moved::new(&seen.flow);
        let counts = |now: u64, was: u64| ratio(now, was).map(|r| r - 1.0);
        let times = |now: Option<f64>, was: Option<f64>| {
            was.filter(|was| *was > 0.0).and_then(|was| Some(now? / was - 1.0))
        };
        let window = seen.operations.window;
        let complete = seen.since.is_some_and(|since| since <= window.from);
        let change = Change {
            count: counts(operations.count, was.count).filter(|_| complete),
            p95: times(operations.duration.p95_ms, was.duration.p95_ms),
            p99: times(operations.duration.p99_ms, was.duration.p99_ms),
            done: counts(flow.done, moved.done),
            velocity: counts(flow.velocity, moved.velocity),
        };
        Self { from: rfc3339(window.from), complete, operations: was, flow: moved, change }
    }
}

/// Milliseconds for people.
pub(super) fn time(ms: Option<f64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.2} ms"),
        Some(ms) if ms < 1000.0 => format!("{ms:.0} ms"),
        Some(ms) => human_duration(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()),
    }
}

/// A share for people, in percent.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.2} %", share * 100.0))
}

/// A change for people.
pub(super) fn change(change: Option<f64>) -> String {
    change.map_or_else(|| "-".to_owned(), |change| format!("{:+.0} %", change * 100.0))
}

/// A moment without its microseconds.
pub(super) fn short(moment: &str) -> String {
    match moment.split_once('.') {
        Some((seconds, _)) => format!("{}Z", seconds.replace('T', " ")),
        None => moment.to_owned(),
    }
}

/// Memory for people.
pub(super) fn memory(bytes: Option<u64>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    bytes.map_or_else(|| "-".to_owned(), |b| format!("{:.1} MiB", b as f64 / f64::from(1 << 20)))
}

impl View for Told {
    const SCHEMA: &'static str = "coord.telemetry.report/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let ops = &self.operations;
        writeln!(out, "{} to {}", short(&self.from), short(&self.to))?;
        if ops.count == 0 {
            writeln!(out, "operations  nothing recorded")?;
        } else {
            if let Some(since) = self.recorded_since.as_ref().filter(|since| **since > self.from) {
                writeln!(out, "recorded    since {}", short(since))?;
            }
            writeln!(
                out,
                "operations  {} ({:.0} per hour), {}, {} available",
                ops.count,
                ops.per_hour.unwrap_or(0.0),
                plural(ops.faults, "fault"),
                percent(ops.availability),
            )?;
            let times = &ops.duration;
            writeln!(
                out,
                "duration    p50 {}, p95 {}, p99 {}, longest {}",
                time(times.p50_ms),
                time(times.p95_ms),
                time(times.p99_ms),
                time(times.max_ms)
            )?;
            if ops.lasting > 0 {
                writeln!(out, "            {} that last by design are left out", ops.lasting)?;
            }
            writeln!(
                out,
                "lock wait   p95 {}, longest {}",
                time(ops.lock_wait.p95_ms),
                time(ops.lock_wait.max_ms)
            )?;
            writeln!(
                out,
                "resources   {:.1} s of processor time, at most {} in one process",
                ops.cpu_s,
                memory(ops.memory_peak_bytes)
            )?;
            if screen.width.is_some() {
                #[expect(clippy::cast_precision_loss, reason = "the height of a column")]
                let counts: Vec<_> = self.parts.iter().map(|p| Some(p.count as f64)).collect();
                let slow: Vec<_> = self.parts.iter().map(|p| p.p95_ms).collect();
                writeln!(out, "over time   {} operations", spark(&counts))?;
                writeln!(out, "            {} p95 duration", spark(&slow))?;
            }
        }
        self.work(out)?;
        if let Some(before) = &self.before {
            let change_of = &before.change;
            write!(out, "{DIM}before{DIM:#}      ")?;
            match before.operations.count {
                0 if !before.complete => write!(out, "no operations recorded")?,
                count => write!(
                    out,
                    "{count} operations ({}), p95 {} ({})",
                    change(change_of.count),
                    time(before.operations.duration.p95_ms),
                    change(change_of.p95),
                )?,
            }
            writeln!(
                out,
                ", {} done ({}), since {}",
                before.flow.done,
                change(change_of.done),
                short(&before.from),
            )?;
        }
        if self.bad_lines > 0 {
            writeln!(out, "{} of telemetry cannot be read", plural(self.bad_lines, "line"))?;
        }
        self.table(out, screen)
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.groups.iter().map(|group| serde_json::to_value(group).ok()).collect()
    }
}

/// No bar on a narrower terminal: names count more.
const BAR_FROM: usize = 100;

impl Told {
    fn work(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let state = |state: State| self.queue.states.get(state.as_str()).copied().unwrap_or(0);
        if self.queue.total == 0 {
            writeln!(out, "work        nothing recorded")?;
        } else {
            let age = self.queue.oldest_ready_age_s.map(|age| {
                let age = Duration::try_from_secs_f64(age).unwrap_or_default();
                format!(", the oldest ready one {} old", human_duration(age))
            });
            writeln!(
                out,
                "work        {} added, {} done, {} points, {} failed; now {} ready, {} active, {} blocked{}",
                self.flow.added,
                self.flow.done,
                self.flow.velocity,
                self.flow.failed,
                state(State::Pending),
                state(State::Active),
                state(State::Blocked),
                age.unwrap_or_default(),
            )?;
        }
        if self.flow.done > 0 {
            writeln!(
                out,
                "flow        lead time p50 {}, cycle time p50 {}, efficiency {}",
                time(self.flow.lead_time.p50_ms),
                time(self.flow.cycle_time.p50_ms),
                percent(self.flow.flow_efficiency),
            )?;
        }
        let agents = &self.agents;
        if agents.at_work + agents.idle + agents.silent > 0 {
            let Agents { at_work, idle, silent } = agents;
            writeln!(out, "agents      {at_work} at work, {idle} idle, {silent} silent")?;
        }
        if self.claude.asked > 0 {
            writeln!(
                out,
                "claude      {}, {} answered ({}), {:.4} $",
                plural(self.claude.asked, "call"),
                self.claude.answered,
                percent(self.claude.success_rate),
                self.claude.cost_usd,
            )?;
        }
        Ok(())
    }

    fn table(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if self.groups.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        if screen.width.is_some() {
            writeln!(out, "{HEADER}By {}{HEADER:#}", self.by)?;
        }
        let mut columns = vec![
            Column::new("NAME").shrinks(),
            Column::new("COUNT").right(),
            Column::new("FAULTS").right(),
            Column::new("P50").right(),
            Column::new("P95").right(),
            Column::new("P99").right(),
            Column::new("LONGEST").right(),
        ];
        let wide = screen.width.is_some_and(|width| width >= BAR_FROM);
        if wide {
            columns.push(Column::new("SHARE"));
        }
        let mut table = Table::new(columns);
        for group in &self.groups {
            let (ops, times) = (&group.operations, &group.operations.duration);
            let mut row = vec![self.named(group), ops.count.to_string(), ops.faults.to_string()];
            let all = [times.p50_ms, times.p95_ms, times.p99_ms, times.max_ms];
            match screen.width {
                Some(_) => {
                    row.extend(all.map(time));
                    if wide {
                        row.push(bar(self.share(ops.count), 16));
                    }
                }
                None => row.extend(all.map(|ms| ms.map(|ms| ms.to_string()).unwrap_or_default())),
            }
            table.row(row);
        }
        table.write(out, screen)
    }
}
