//! What all processes of a user know together: breakers, when to call again, how many call now, what
//! was spent. One small file under a lock; if it cannot be read it counts as empty, and that is told.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::breaker::{Admission, Breaker, Rules};
use super::lock::{self, Held, Wait};
use super::{Claude, Config, Ledger, Usd};
use crate::sys::fs::{Access, Dir, OpenError};
use crate::sys::{Boot, Clock, Ids};

const FILE: &str = "state.json";
const TEMP: &str = "state.json.new";
const LOCK: &str = "state.lock";
/// More than this in the file is no state of ours.
const MOST: u64 = 1 << 20;
/// How long the lock of the file is waited for; it is held for a moment only.
const PATIENCE: Duration = Duration::from_secs(2);
/// No word of a service stops all calls for longer.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// What is known of a host and model line.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
struct Line {
    breaker: Breaker,
    /// No call before then, in milliseconds since boot.
    not_before: u64,
}

/// Money that a running call may spend.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Reserved {
    usd: Usd,
    until: u64,
}

/// What was spent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Spent {
    /// The day, `2026-11-22` (UTC).
    day: String,
    in_day: Usd,
    in_month: Usd,
}

/// The file.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct State {
    version: u32,
    boot: u64,
    lines: BTreeMap<String, Line>,
    spent: Option<Spent>,
    reserved: BTreeMap<String, Reserved>,
}

/// Whether a call may go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Gate {
    Go,
    /// The breaker is open, for so long.
    Open(Duration),
    /// The service wants to be left alone for so long.
    NotBefore(Duration),
}

/// How an attempt went, for those who come after.
pub(super) enum Report {
    Answered,
    Outage { floor: Option<Duration> },
    Undecided,
}

/// A line as shown to people.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct LineState {
    /// Host and model line.
    pub line: String,
    /// `closed`, `open` or `half-open`.
    pub breaker: &'static str,
    /// How long it stays open.
    pub open_s: Option<f64>,
    /// Failures since the last success.
    pub failures_in_a_row: u32,
    /// How long the service wants to be left alone.
    pub not_before_s: Option<f64>,
}

/// What was spent, as shown to people. Days and months are UTC's.
#[derive(Clone, Debug, Default, JsonSchema, PartialEq, Serialize)]
pub struct Spending {
    /// Today.
    pub today_usd: Usd,
    /// This month.
    pub month_usd: Usd,
    /// What running calls may still spend.
    pub reserved_usd: Usd,
    /// The limit for a day.
    pub daily_budget_usd: Option<Usd>,
    /// The limit for a month.
    pub monthly_budget_usd: Option<Usd>,
}

/// The shared state.
pub(super) struct Shared<'a> {
    pub(super) dir: Option<&'a Dir>,
    pub(super) config: &'a Config,
    pub(super) clock: &'a dyn Clock,
    pub(super) ids: &'a dyn Ids,
    pub(super) ledger: &'a Ledger,
    pub(super) claude: &'a Claude,
}

impl Shared<'_> {
    /// Asks whether a call may go.
    pub(super) fn gate(&self, line: &str) -> Gate {
        let rules = self.rules();
        let gate = self.change(|state, now| {
            let line = state.lines.entry(line.to_owned()).or_default();
            if line.not_before > now {
                return Gate::NotBefore(Duration::from_millis(line.not_before - now));
            }
            match line.breaker.admit(now, &rules) {
                Admission::Go | Admission::Probe => Gate::Go,
                Admission::Open(time) => Gate::Open(time),
            }
        });
        gate.unwrap_or(Gate::Go)
    }

    /// Whether one of these lines would let a call through within `time`. It takes nobody's turn.
    pub(super) fn any_ready(&self, lines: &[String], time: Duration) -> bool {
        let ready = self.change(|state, now| {
            let until = now.saturating_add(millis(time));
            lines.iter().any(|line| {
                let known = state.lines.get(line);
                known.is_none_or(|line| line.breaker.lets_through(now) && line.not_before <= until)
            })
        });
        ready.unwrap_or(true)
    }

    /// Tells how an attempt went and what it cost.
    pub(super) fn report(
        &self,
        line: &str,
        report: &Report,
        pause: Option<Duration>,
        cost: Option<Usd>,
    ) {
        let rules = self.rules();
        let random = self.ids.bits();
        let today = self.clock.wall();
        let _ = self.change(|state, now| {
            let entry = state.lines.entry(line.to_owned()).or_default();
            match report {
                Report::Answered => entry.breaker.succeeded(now),
                Report::Outage { floor } => {
                    let floor = floor.map(|floor| floor.min(LONGEST_PAUSE));
                    entry.breaker.failed(now, random, floor, &rules);
                }
                Report::Undecided => entry.breaker.undecided(),
            }
            if let Some(pause) = pause {
                let until = now.saturating_add(millis(pause.min(LONGEST_PAUSE)));
                entry.not_before = entry.not_before.max(until);
            }
            if let Some(cost) = cost.filter(|cost| cost.0 > 0) {
                let spent = self.spent(state, today);
                spent.in_day = spent.in_day + cost;
                spent.in_month = spent.in_month + cost;
            }
        });
    }

    /// Sets money aside for a call; the error tells which budget has no room for it.
    pub(super) fn reserve(&self, call: &str, usd: Usd, time: Duration) -> Result<(), String> {
        let today = self.clock.wall();
        let done = self.change(|state, now| {
            state.reserved.retain(|_, reserved| reserved.until > now);
            let others: Usd = state.reserved.iter().filter(|(id, _)| *id != call).map(|(_, r)| r.usd).sum();
            let spent = self.spent(state, today).clone();
            for (name, limit, used) in [
                ("daily", self.config.daily_budget, spent.in_day),
                ("monthly", self.config.monthly_budget, spent.in_month),
            ] {
                let Some(limit) = limit else { continue };
                if used + others + usd > limit {
                    return Err(format!(
                        "the {name} budget of {limit} is used up: {used} spent, {others} set aside, this call may cost {usd}"
                    ));
                }
            }
            let until = now.saturating_add(millis(time));
            state.reserved.insert(call.to_owned(), Reserved { usd, until });
            Ok(())
        });
        done.unwrap_or_else(|| Err("what was spent cannot be read".to_owned()))
    }

    /// Gives back what was set aside.
    pub(super) fn release(&self, call: &str) {
        let _ = self.change(|state, _| state.reserved.remove(call));
    }

    /// Takes one of the places for calls.
    pub(super) fn slot(&self, wait: &Wait<'_>) -> Result<Option<Held>, OpenError> {
        let Some(dir) = self.dir else { return Ok(None) };
        let slots = dir.subdir("slots", true)?;
        let count = u64::from(self.config.max_in_flight.max(1));
        // Everybody begins somewhere else, so that they do not all try the same one.
        let first = self.ids.bits() % count;
        let names: Vec<String> = (0..count).map(|n| ((first + n) % count).to_string()).collect();
        lock::take(&slots, &names, wait)
    }

    /// What is known, for people.
    pub(super) fn look(&self) -> (Vec<LineState>, Spending) {
        let today = self.clock.wall();
        let seen = self.change(|state, now| {
            let seconds = |time: Duration| time.as_secs_f64();
            let lines = state.lines.iter().map(|(name, line)| {
                let open = line.breaker.open_for(now);
                let left = line.not_before.saturating_sub(now);
                LineState {
                    line: name.clone(),
                    breaker: match open {
                        None => "closed",
                        Some(Duration::ZERO) => "half-open",
                        Some(_) => "open",
                    },
                    open_s: open.filter(|open| !open.is_zero()).map(seconds),
                    failures_in_a_row: line.breaker.in_a_row(),
                    not_before_s: (left > 0).then(|| seconds(Duration::from_millis(left))),
                }
            });
            let lines = lines.collect();
            let reserved = state.reserved.values().filter(|r| r.until > now).map(|r| r.usd).sum();
            let spent = self.spent(state, today);
            let spending = Spending {
                today_usd: spent.in_day,
                month_usd: spent.in_month,
                reserved_usd: reserved,
                daily_budget_usd: self.config.daily_budget,
                monthly_budget_usd: self.config.monthly_budget,
            };
            (lines, spending)
        });
        seen.unwrap_or_default()
    }

    /// What was spent; a new day or month begins at 0, and what is not known is read from the ledger.
    fn spent<'s>(&self, state: &'s mut State, today: DateTime<Utc>) -> &'s mut Spent {
        let day = today.format("%Y-%m-%d").to_string();
        let ledger = || {
            let (in_day, in_month) = self.ledger.spent(&day);
            Spent { day: day.clone(), in_day, in_month }
        };
        let spent = state.spent.get_or_insert_with(ledger);
        if spent.day != day {
            let same_month = spent.day.get(..7) == day.get(..7);
            spent.in_month = if same_month { spent.in_month } else { Usd::default() };
            spent.in_day = Usd::default();
            spent.day = day;
        }
        spent
    }

    fn rules(&self) -> Rules {
        Rules {
            failures: self.config.breaker_failures.max(1),
            open: self.config.breaker_open,
            lease: self.config.attempt_timeout + Duration::from_secs(1),
        }
    }

    /// Reads, changes and writes the state under its lock. Without the lock nothing is known, and a
    /// call goes on without it.
    fn change<T>(&self, change: impl FnOnce(&mut State, u64) -> T) -> Option<T> {
        let dir = self.dir?;
        let ended = || false;
        let until = self.clock.monotonic() + PATIENCE;
        let wait = Wait { clock: self.clock, ids: self.ids, until, ended: &ended };
        let held = match lock::take(dir, &[LOCK.to_owned()], &wait) {
            Ok(Some(held)) => held,
            Ok(None) => {
                self.claude.warn(
                    "the shared state of the calls to Claude is locked: going on without it"
                        .to_owned(),
                );
                return None;
            }
            Err(e) => {
                self.claude
                    .warn(format!("going on without the shared state of the calls to Claude: {e}"));
                return None;
            }
        };
        let Boot { id, ms } = self.clock.boot();
        let mut state = self.read(dir);
        if state.boot != id {
            // Times of another boot say nothing.
            (state.boot, state.version) = (id, 1);
            state.lines.clear();
            state.reserved.clear();
        }
        let before = state.clone();
        let result = change(&mut state, ms);
        if state != before
            && let Err(e) = Self::write(dir, &state)
        {
            self.claude
                .warn(format!("the shared state of the calls to Claude was not written: {e}"));
        }
        drop(held);
        Some(result)
    }

    fn read(&self, dir: &Dir) -> State {
        let file = match dir.file(FILE, Access::Read) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => return State::default(),
            Err(e) => {
                self.claude
                    .warn(format!("the shared state of the calls to Claude counts as empty: {e}"));
                return State::default();
            }
        };
        let mut bytes = Vec::new();
        let read = file.take(MOST).read_to_end(&mut bytes);
        let state = read.ok().and_then(|_| serde_json::from_slice::<State>(&bytes).ok());
        state.filter(|state| state.version == 1).unwrap_or_else(|| {
            self.claude.warn(
                "the shared state of the calls to Claude is damaged and counts as empty".to_owned(),
            );
            State::default()
        })
    }

    fn write(dir: &Dir, state: &State) -> Result<(), String> {
        let bytes = serde_json::to_vec(state).map_err(|e| e.to_string())?;
        dir.replace(FILE, TEMP, &bytes, false).map_err(|e| e.to_string())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
