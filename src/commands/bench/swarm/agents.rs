//! Agents that work: each a thread that does what an agent's script does, one real process after
//! another, and keeps every answer as a receipt.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::SLICES;
use super::receipts::Receipt;
use crate::commands::bench::latency::Latency;
use crate::commands::bench::stage::{Coord, failed};
use crate::error::{Error, Result};
use crate::sys::Clock;
use crate::sys::measure::run;

/// How the agents work.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manner {
    /// Each begins a cycle every so often, for so long, and works on each item for so long. The
    /// cycle is claim, progress, heartbeat, completion, and an item added for the next.
    Paced {
        /// From the beginning of one cycle to that of the next.
        every: Duration,
        /// How long they go on.
        time: Duration,
        /// How long an item takes.
        work: Duration,
    },
    /// Claim and complete, one after the other without a pause, until nothing is left.
    FlatOut,
}

/// How long operations took, for all agents together: a histogram takes some 100 KiB, and a thousand
/// agents with several each would be the largest process of the run.
#[derive(Debug, Default)]
struct Times {
    latency: BTreeMap<&'static str, Latency>,
    claims: Vec<Latency>,
}

/// What the agents did.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Times by operation.
    pub(super) latency: BTreeMap<&'static str, Latency>,
    /// Times of claims by slice of a paced run.
    pub(super) claims: Vec<Latency>,
    /// When each cycle was over, since the start.
    pub(super) ends: Vec<Duration>,
    /// What the agents were told.
    pub(super) receipts: Vec<Receipt>,
    /// Ids of items that they added.
    pub(super) added: Vec<String>,
    /// Operations that failed, by operation and how they ended.
    pub(super) errors: BTreeMap<(&'static str, String), u64>,
    /// How long it took.
    pub(super) time: Duration,
    /// Why the agents stopped before their time, if they did.
    pub(super) gave_up: Option<String>,
}

impl Done {
    fn extend(&mut self, other: Self) {
        self.ends.extend(other.ends);
        self.gave_up = self.gave_up.take().or(other.gave_up);
        self.receipts.extend(other.receipts);
        self.added.extend(other.added);
        for (what, count) in other.errors {
            *self.errors.entry(what).or_default() += count;
        }
    }

    /// How many operations went well.
    pub(super) fn operations(&self) -> u64 {
        self.latency.values().filter_map(|l| Some(l.percentiles()?.runs)).sum()
    }
}

/// After so many failures in a row an agent gives up, and so do all others.
const PATIENCE: u32 = 20;

/// How often the waiting thread looks whether an end was asked for.
const LOOK: Duration = Duration::from_millis(50);

/// Stacks hold little: there may be a thousand of them.
const STACK: usize = 256 << 10;

/// Lets `count` agents work. `look` hears how many cycles are done, and ends it all with an error.
pub(super) fn work(
    coord: &Coord,
    count: u64,
    manner: Manner,
    clock: &dyn Clock,
    mut look: impl FnMut(u64) -> Result<()>,
) -> Result<Done> {
    let (cycles, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let all: Mutex<(Done, Option<Error>)> = Mutex::default();
    let times: Mutex<Times> = Mutex::default();
    let start = clock.monotonic();
    let mut stopped = Ok(());
    std::thread::scope(|scope| -> Result<()> {
        let mut threads = Vec::new();
        for number in 0..count {
            let agent = Agent {
                name: format!("agent-{number}"),
                coord,
                clock,
                start,
                cycles: &cycles,
                times: &times,
                stop: &stop,
                in_a_row: 0,
                done: Done::default(),
            };
            let (all, stop) = (&all, &stop);
            let first = offset(manner, number, count);
            let live = move || {
                let (done, result) = agent.live(manner, first);
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                all.0.extend(done);
                if let Err(error) = result {
                    stop.store(true, Ordering::Relaxed);
                    all.1.get_or_insert(error);
                }
            };
            let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, live);
            threads.push(thread.map_err(failed)?);
        }
        while threads.iter().any(|thread| !thread.is_finished()) {
            if stopped.is_ok() {
                stopped = look(cycles.load(Ordering::Relaxed));
            }
            if stopped.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            clock.sleep(LOOK);
        }
        Ok(())
    })?;
    stopped?;
    let (mut done, error) = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = error {
        return Err(error);
    }
    Times { latency: done.latency, claims: done.claims } =
        times.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.ends.sort_unstable();
    done.time = clock.monotonic().saturating_sub(start);
    Ok(done)
}

/// When an agent begins: paced ones spread over the time between two cycles.
fn offset(manner: Manner, number: u64, count: u64) -> Duration {
    match manner {
        Manner::Paced { every, .. } => {
            let share = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
            every * share(number) / share(count).max(1)
        }
        Manner::FlatOut => Duration::ZERO,
    }
}

struct Agent<'a> {
    name: String,
    coord: &'a Coord,
    clock: &'a dyn Clock,
    start: Duration,
    cycles: &'a AtomicU64,
    times: &'a Mutex<Times>,
    stop: &'a AtomicBool,
    in_a_row: u32,
    done: Done,
}

/// How a command ended that was not well.
enum Not {
    /// There is nothing to claim.
    Empty,
    /// It failed, and is counted.
    Failed,
}

impl Agent<'_> {
    fn live(mut self, manner: Manner, first: Duration) -> (Done, Result<()>) {
        let result = match manner {
            Manner::Paced { every, time, work } => self.paced(first, every, time, work),
            Manner::FlatOut => self.flat_out(),
        };
        (self.done, result)
    }

    fn with_times(&self, note: impl FnOnce(&mut Times)) {
        note(&mut self.times.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn now(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.start)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Sleeps until then, in pieces, so that an end is noticed.
    fn sleep_until(&self, then: Duration) {
        while let Some(left) = then.checked_sub(self.now()).filter(|left| !left.is_zero()) {
            if self.stopped() {
                return;
            }
            self.clock.sleep(left.min(LOOK));
        }
    }

    fn paced(
        &mut self,
        first: Duration,
        every: Duration,
        time: Duration,
        work: Duration,
    ) -> Result<()> {
        let mut due = first;
        while due < time && !self.stopped() {
            self.sleep_until(due);
            // From when it was due: if the machine pauses, everybody who had to wait says so.
            let claimed = self.operation("claim", due, &["claim"])?;
            let slice = due.as_nanos() * SLICES as u128 / time.as_nanos().max(1);
            let took = self.clock.monotonic().saturating_sub(self.start + due);
            self.with_times(|times| {
                times.claims.resize_with(SLICES, Latency::default);
                let at = usize::try_from(slice).ok();
                if let Some(slice) = at.and_then(|at| times.claims.get_mut(at)) {
                    slice.record(took);
                }
            });
            due += every;
            let Ok(claimed) = claimed else { continue };
            let at = self.keep(&claimed);
            let id = text(&claimed, "id");
            let begun = self.now();
            self.sleep_until(begun + work / 2);
            let _ = self.operation("progress", self.now(), &["progress", &id, "50"])?;
            let name = self.name.clone();
            let _ = self.operation("heartbeat", self.now(), &["agent", "heartbeat", &name])?;
            self.sleep_until(begun + work);
            if self.operation("complete", self.now(), &["complete", &id])?.is_ok() {
                self.finish(at);
            }
            if let Ok(added) = self.operation("add", self.now(), &["add", "One more"])? {
                let items = added["items"].as_array().map(Vec::as_slice).unwrap_or_default();
                self.done.added.extend(items.iter().map(|item| text(item, "id")));
            }
        }
        Ok(())
    }

    fn flat_out(&mut self) -> Result<()> {
        while !self.stopped() {
            let claimed = match self.operation("claim", self.now(), &["claim"])? {
                Ok(claimed) => claimed,
                Err(Not::Empty) => break,
                Err(Not::Failed) => continue,
            };
            let at = self.keep(&claimed);
            let id = text(&claimed, "id");
            if self.operation("complete", self.now(), &["complete", &id])?.is_ok() {
                self.finish(at);
            }
        }
        Ok(())
    }

    /// Keeps the receipt of a claim.
    fn keep(&mut self, claimed: &Value) -> usize {
        self.done.receipts.push(Receipt {
            id: text(claimed, "id"),
            agent: self.name.clone(),
            token: claimed["token"].as_u64().unwrap_or(0),
            done: false,
        });
        self.done.receipts.len() - 1
    }

    /// Keeps the receipt of a completion.
    fn finish(&mut self, at: usize) {
        if let Some(receipt) = self.done.receipts.get_mut(at) {
            receipt.done = true;
        }
        self.done.ends.push(self.now());
        self.cycles.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs a command as this agent and gives the `data` of its answer; its time counts from `since`.
    fn operation(
        &mut self,
        name: &'static str,
        since: Duration,
        words: &[&str],
    ) -> Result<std::result::Result<Value, Not>> {
        let mut program = self.coord.whole(words).args(["--json"]);
        if name != "heartbeat" {
            program = program.args(["--agent", &self.name]);
        }
        let ran = run(&program, self.clock).map_err(failed)?;
        if ran.code == Some(0) {
            let took = self.now().saturating_sub(since);
            self.with_times(|times| times.latency.entry(name).or_default().record(took));
            self.in_a_row = 0;
            let mut answer: Value = serde_json::from_str(&ran.answer).map_err(failed)?;
            return Ok(Ok(answer["data"].take()));
        }
        if name == "claim" && ran.code == Some(6) {
            return Ok(Err(Not::Empty));
        }
        let how = ran.code.map_or_else(|| "a signal".to_owned(), |c| format!("exit code {c}"));
        *self.done.errors.entry((name, how.clone())).or_default() += 1;
        self.in_a_row += 1;
        if self.in_a_row < PATIENCE {
            return Ok(Err(Not::Failed));
        }
        self.stop.store(true, Ordering::Relaxed);
        let message = format!("`{}` ended with {how}, again and again", program.words());
        self.done.gave_up.get_or_insert(message);
        Ok(Err(Not::Failed))
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
