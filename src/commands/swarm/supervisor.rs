//! The supervisor of a swarm: starts workers, restarts what dies, scales, stops.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;

use super::run::{Report, Row, Worker};
use crate::commands::{Context, guard};
use crate::domain::agent::Known;
use crate::domain::name::AgentId;
use crate::domain::work::transition::Holder;
use crate::domain::work::{Change, State};
use crate::error::{Error, Kind, Result};
use crate::output::{line, plural};
use crate::store::Summary;
use crate::sys::process::{Ended, Program, Running};
use crate::sys::signal::{Signals, Stop};

/// The most workers of one swarm.
pub(super) const MOST: usize = 1000;
/// How often the workers are looked at.
const TICK: Duration = Duration::from_millis(20);
/// How often the store is asked how far it is.
const LOOK: Duration = Duration::from_millis(200);
/// Who lives shorter than this has died at once.
const AT_ONCE: Duration = Duration::from_secs(2);
/// How often in a row a worker may die at once.
const PATIENCE: u32 = 5;
/// The first pause before a restart, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Where a worker is.
enum Life {
    /// It runs.
    Up(Running, Duration),
    /// It died and is started again at this time.
    Waits(Duration),
    /// It has ended as it should, or was given up.
    Over,
}

/// One place in the swarm.
struct Seat {
    agent: AgentId,
    life: Life,
    /// Deaths at once, in a row.
    deaths: u32,
    restarts: u64,
    leaving: bool,
    given_up: bool,
}

/// The supervisor.
pub(super) struct Supervisor {
    prefix: String,
    worker: Worker,
    grace: Duration,
    seats: Vec<Seat>,
    signals: Signals,
    before: Summary,
    known: BTreeMap<AgentId, Known>,
    started: Duration,
    elapsed: Duration,
    last_words: String,
}

impl Supervisor {
    /// A swarm with this many places, none of them taken yet.
    pub(super) fn new(
        cx: &mut Context,
        prefix: String,
        worker: Worker,
        grace: Duration,
        count: usize,
    ) -> Result<Self> {
        let signals = guard::signals()?;
        let store = cx.store()?;
        let before = store.summary()?;
        let known = store.agents()?.into_iter().map(|k| (k.id.clone(), k)).collect();
        let started = cx.clock.monotonic();
        let mut swarm = Self {
            prefix,
            worker,
            grace,
            seats: Vec::new(),
            signals,
            before,
            known,
            started,
            elapsed: Duration::ZERO,
            last_words: String::new(),
        };
        for _ in 0..count {
            swarm.seat(started)?;
        }
        Ok(swarm)
    }

    /// Adds a place.
    fn seat(&mut self, now: Duration) -> Result<()> {
        let name = format!("{}-{}", self.prefix, self.seats.len() + 1);
        let agent = name.parse().map_err(|why| {
            Error::new(Kind::Usage, format!("`{name}` is no agent id: {why}"))
                .hint("give a shorter `--prefix`")
        })?;
        self.seats.push(Seat {
            agent,
            life: Life::Waits(now),
            deaths: 0,
            restarts: 0,
            leaving: false,
            given_up: false,
        });
        Ok(())
    }

    /// Supervises until all have ended or the end is asked for.
    pub(super) fn run(&mut self, cx: &mut Context) -> Result<Option<Stop>> {
        let mut bar = cx.ui.progress(open(&self.before), "items", self.started);
        let mut looked = self.started;
        let stop = loop {
            if let Some(stop) = self.signals.take_stop() {
                break Some(stop);
            }
            let now = cx.clock.monotonic();
            self.scale(cx, now)?;
            for at in 0..self.seats.len() {
                self.attend(cx, at, now)?;
            }
            if self.seats.iter().all(|seat| matches!(seat.life, Life::Over)) {
                break None;
            }
            if now.saturating_sub(looked) >= LOOK {
                looked = now;
                let summary = cx.store()?.summary()?;
                let finished = ended(&summary).saturating_sub(ended(&self.before));
                bar.set(finished, finished + open(&summary), now);
            }
            cx.clock.sleep(TICK);
        };
        bar.finish();
        if stop.is_some() {
            self.stop(cx)?;
        }
        self.elapsed = cx.clock.monotonic().saturating_sub(self.started);
        Ok(stop)
    }

    /// One more, or one less, if a signal asked for it.
    fn scale(&mut self, cx: &mut Context, now: Duration) -> Result<()> {
        let active = |seat: &&mut Seat| !seat.leaving && !matches!(seat.life, Life::Over);
        if self.signals.take_up() && self.seats.len() < MOST {
            self.seat(now)?;
            cx.ui.status(&format!("one worker more: {}", self.seats.len()));
        }
        if self.signals.take_down()
            && let Some(seat) = self.seats.iter_mut().rev().find(active)
        {
            seat.leaving = true;
            match &seat.life {
                Life::Up(running, _) => running.signal_alone(Signal::USR2),
                _ => seat.life = Life::Over,
            }
            cx.ui.status(&format!("`{}` finishes its item and ends", seat.agent));
        }
        Ok(())
    }

    /// Starts the worker of a place if it is time, and sees to it if it has died.
    fn attend(&mut self, cx: &mut Context, at: usize, now: Duration) -> Result<()> {
        let failed = |source| Error::new(Kind::External, "cannot run a worker").caused_by(source);
        let seat = &mut self.seats[at];
        match &mut seat.life {
            Life::Over => {}
            Life::Waits(until) if *until > now => {}
            Life::Waits(_) => {
                // What the worker itself cannot tell any more, its supervisor hears: its death
                // reaches the worker, which then gives its item back.
                let program = Program::new(self.worker.argv(&seat.agent))
                    .stdin(Vec::new())
                    .die_with_us(Signal::TERM);
                seat.life = Life::Up(program.start().map_err(failed)?, now);
            }
            Life::Up(running, since) => {
                let Some(ended) = running.look().map_err(failed)? else { return Ok(()) };
                let lived = now.saturating_sub(*since);
                let words = running.output().1.text;
                if ended.is_success() {
                    seat.life = Life::Over;
                } else {
                    self.died(cx, at, ended, lived, &words)?;
                }
            }
        }
        Ok(())
    }

    fn died(
        &mut self,
        cx: &mut Context,
        at: usize,
        ended: Ended,
        lived: Duration,
        words: &str,
    ) -> Result<()> {
        let seat = &mut self.seats[at];
        let agent = seat.agent.clone();
        give_back(cx, &agent, &format!("the worker died: {}", ended.words()))?;
        seat.deaths = if lived < AT_ONCE { seat.deaths + 1 } else { 1 };
        let words = guard::last_lines(words, 3, 500);
        words.clone_into(&mut self.last_words);
        let said = if words.is_empty() { String::new() } else { format!(": {}", line(words)) };
        if seat.leaving {
            seat.life = Life::Over;
        } else if seat.deaths >= PATIENCE {
            (seat.life, seat.given_up) = (Life::Over, true);
            cx.ui.warning(&format!(
                "`{agent}` died at once {PATIENCE} times in a row ({}) and is given up{said}",
                ended.words()
            ));
        } else {
            let pause = (PAUSE * 2u32.pow(seat.deaths - 1)).min(LONGEST);
            seat.life = Life::Waits(cx.clock.monotonic() + pause);
            seat.restarts += 1;
            cx.ui
                .warning(&format!("`{agent}` died ({}) and is started again{said}", ended.words()));
        }
        Ok(())
    }

    /// Hands the end down and waits for it.
    fn stop(&mut self, cx: &mut Context) -> Result<()> {
        let up = |seat: &mut Seat| match &mut seat.life {
            Life::Up(running, _) => running.look().ok().flatten().is_none(),
            _ => false,
        };
        for seat in &self.seats {
            if let Life::Up(running, _) = &seat.life {
                running.signal_alone(Signal::TERM);
            }
        }
        // A worker gives its program the same grace, and then has to write.
        let until = cx.clock.monotonic() + self.grace + Duration::from_secs(5);
        while self.seats.iter_mut().any(up) {
            if cx.clock.monotonic() >= until || self.signals.take_stop().is_some() {
                break;
            }
            cx.clock.sleep(TICK);
        }
        for at in 0..self.seats.len() {
            let agent = self.seats[at].agent.clone();
            if up(&mut self.seats[at])
                && let Life::Up(running, _) = &mut self.seats[at].life
            {
                cx.ui.warning(&format!("`{agent}` did not end in time and is killed"));
                let mut hurry = || true;
                let _ = running.stop(&*cx.clock, Duration::ZERO, &mut hurry);
                give_back(cx, &agent, "the worker did not end in time")?;
            }
        }
        Ok(())
    }

    /// What it did, read from the store.
    pub(super) fn report(&self, cx: &mut Context, stop: Option<Stop>) -> Result<Report> {
        let store = cx.store()?;
        let after = store.summary()?;
        let agents = store.agents()?;
        let gained = |state| after.count(state).saturating_sub(self.before.count(state));
        let done = gained(State::Done);
        let rows = self.seats.iter().map(|seat| {
            let now = agents.iter().find(|known| known.id == seat.agent);
            let old = self.known.get(&seat.agent);
            let grown = |count: fn(&Known) -> u64| {
                now.map_or(0, count).saturating_sub(old.map_or(0, count))
            };
            Row {
                agent: seat.agent.to_string(),
                done: grown(|known| known.done),
                failed: grown(|known| known.failed),
                points: grown(|known| known.points),
                restarts: seat.restarts,
                given_up: seat.given_up,
            }
        });
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = done as f64 / self.elapsed.as_secs_f64();
        Ok(Report {
            agents: self.seats.len(),
            done,
            failed: gained(State::Failed),
            dead: gained(State::Dead),
            open: open(&after),
            restarts: self.seats.iter().map(|seat| seat.restarts).sum(),
            given_up: self.seats.iter().filter(|seat| seat.given_up).count(),
            elapsed_s: self.elapsed.as_secs_f64(),
            items_per_s: rate.is_finite().then_some(rate),
            stopped_by: stop.map(Stop::name),
            workers: rows.collect(),
        })
    }

    /// The error that ends a swarm some of whose workers could not live.
    pub(super) fn gave_up(&self) -> Error {
        let count = self.seats.iter().filter(|seat| seat.given_up).count() as u64;
        let error = Error::new(Kind::External, format!("gave up {}", plural(count, "worker")));
        match self.last_words.as_str() {
            "" => error.hint("try one alone to see why: `coord agent run --once -- CMD`"),
            words => error.hint(format!("the last one said: {}", line(words))),
        }
    }
}

/// Puts what a dead worker held back into the queue. The attempt counts: an item that kills its
/// workers must come to an end.
fn give_back(cx: &mut Context, agent: &AgentId, why: &str) -> Result<()> {
    for found in cx.store()?.held(agent)? {
        let holder = Holder { agent: agent.clone(), token: found.item.token };
        let change = Change::Fail { holder, result: Some(why.to_owned()), retry: true };
        let op = guard::fresh_op(cx, agent)?;
        if let Err(error) = cx.store()?.change(&found.item.id, &change, &op) {
            // Its lease will end in any case.
            cx.ui.warning(&format!("`{}` was not put back yet: {error}", found.item.id));
        }
    }
    Ok(())
}

fn open(summary: &Summary) -> u64 {
    [State::Pending, State::Active, State::Blocked].iter().map(|s| summary.count(*s)).sum()
}

fn ended(summary: &Summary) -> u64 {
    summary.total() - open(summary)
}
