//! All that reports, alerts and exports are made of: operations, the queue, agents, calls to Claude.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Latency, Summary, Window};
use crate::domain::agent::Known;
use crate::domain::work::{Found, State};

/// What is known about a window of time, and about the moment at its end.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The operations.
    pub operations: Summary,
    /// When the first operation was noted that is still kept, in the window or before it; nothing
    /// without any.
    pub since: Option<DateTime<Utc>>,
    /// Lines of telemetry that could not be read.
    pub bad_lines: u64,
    /// The queue as it is now.
    pub queue: Queue,
    /// The agents as they are now.
    pub agents: Roster,
    /// What became of work in the window.
    pub flow: Flow,
    /// The calls to Claude in the window.
    pub claude: Calls,
}

/// The queue at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Queue {
    /// Items by state, priority and team (empty for none).
    pub items: BTreeMap<(&'static str, &'static str, String), u64>,
    /// The age of the oldest ready item: since it was added, to whatever program if it was imported.
    pub oldest_ready: Option<Duration>,
}

impl Queue {
    /// Takes in an item.
    pub fn add(&mut self, found: &Found, now: DateTime<Utc>) {
        let item = &found.item;
        let team = item.team.as_ref().map(ToString::to_string).unwrap_or_default();
        *self.items.entry((found.state().as_str(), item.priority.as_str(), team)).or_default() += 1;
        if found.state() == State::Pending {
            let age = (now - item.created_at).to_std().unwrap_or_default();
            self.oldest_ready = self.oldest_ready.max(Some(age));
        }
    }

    /// Items in a state.
    #[must_use]
    pub fn count(&self, state: State) -> u64 {
        self.items.iter().filter(|((s, _, _), _)| *s == state.as_str()).map(|(_, n)| n).sum()
    }

    /// All items.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.items.values().sum()
    }
}

/// The agents at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Roster {
    /// Holding work and heard of lately.
    pub at_work: u64,
    /// Without work and heard of lately.
    pub idle: u64,
    /// Not heard of for longer than an agent may be silent.
    pub silent: u64,
}

impl Roster {
    /// Takes in an agent.
    pub fn add(&mut self, agent: &Known, now: DateTime<Utc>, silent_after: Duration) {
        let silent = agent
            .seen_at
            .is_none_or(|seen| (now - seen).to_std().is_ok_and(|silence| silence > silent_after));
        let place = match (silent, agent.held) {
            (true, _) => &mut self.silent,
            (false, 0) => &mut self.idle,
            (false, _) => &mut self.at_work,
        };
        *place += 1;
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.at_work + self.idle + self.silent
    }
}

/// What became of work in a window.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    /// Items added.
    pub added: u64,
    /// Items done.
    pub done: u64,
    /// Items that failed or died.
    pub failed: u64,
    /// The points of those that were done: velocity.
    pub points: u64,
    /// Lease expirations.
    pub expired: u64,
    /// Lead time of those done, from being added to being done.
    pub lead: Latency,
    /// Cycle time of those done, from their last claim to being done.
    pub cycle: Latency,
}

impl Flow {
    /// Takes in an item as it is now: each is finished once.
    pub fn add(&mut self, found: &Found, window: Window) {
        let item = &found.item;
        self.added += u64::from(window.holds(item.created_at));
        let Some(finished) = item.finished_at.filter(|at| window.holds(*at)) else { return };
        match found.state() {
            State::Done => {
                self.done += 1;
                self.points += u64::from(item.points.unwrap_or(0));
                let since = |at: DateTime<Utc>| {
                    let us = (finished - at).num_microseconds().unwrap_or(i64::MAX);
                    u64::try_from(us).unwrap_or(0)
                };
                self.lead.record(since(item.created_at));
                if let Some(claimed) = item.claimed_at {
                    self.cycle.record(since(claimed));
                }
            }
            State::Failed | State::Dead => self.failed += 1,
            _ => {}
        }
    }

    /// Flow efficiency: the share of lead time in which somebody worked, 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    pub fn efficiency(&self) -> Option<f64> {
        let lead = self.lead.sum_us();
        (lead > 0).then(|| self.cycle.sum_us() as f64 / lead as f64)
    }
}

/// Calls to Claude in a window.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// By who answered (`api`, `cli`, `cache`, `stale`, `heuristic`, empty for nobody) and outcome.
    pub by: BTreeMap<(&'static str, String), u64>,
    /// Calls that asked Claude, offline ones and fresh answers from the cache not counted.
    pub asked: u64,
    /// Those of them that Claude answered.
    pub answered: u64,
    /// How long calls took that asked Claude.
    pub duration: Latency,
    /// From the first failure of a call to its answer or fallback.
    pub recovery: Latency,
    /// What they cost in US dollars, as far as it is known.
    pub cost_usd: f64,
}

impl Calls {
    /// The share that Claude answered, 0 to 1; nothing without calls.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
    pub fn success(&self) -> Option<f64> {
        (self.asked > 0).then(|| self.answered as f64 / self.asked as f64)
    }
}
