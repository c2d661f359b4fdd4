//! A worker: takes items one after the other and runs a program on each.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use schemars::JsonSchema;
use serde::Serialize;

use super::run::{Handled, Report, Wishes};
use crate::commands::guard::{self, Limits, Over, Renewal};
use crate::commands::record::running;
use crate::commands::work::ItemView;
use crate::commands::{Context, Step, from_store};
use crate::domain::name::AgentId;
use crate::domain::work::transition::Holder;
use crate::domain::work::{Change, Found, Item, Op, Status, Want};
use crate::error::{Error, Kind, Result};
use crate::output::plural;
use crate::store::{self, Changed, Claimed};
use crate::sys::process::{Ended, Output, Program, Streams};
use crate::sys::signal::{Signals, Stop};

/// What became of an item in this worker's hands.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// The program ended well.
    Done,
    /// It did not.
    Failed,
    /// It took too long, which is a failure too.
    TimedOut,
    /// It was given back untouched.
    Released,
    /// Somebody else has it or decided on it.
    Lost,
}

/// The end that was asked for, and what it did to the item at hand.
type Asked = (Stop, String);

/// How many items the report names.
const NAMED: usize = 100;
/// However quiet it is, signals and limits are looked at after this time.
const TICK: Duration = Duration::from_millis(500);
/// An idle worker gives a sign of life this often.
const BEAT: Duration = Duration::from_mins(1);
/// How often in a row the store may be locked for too long.
const PATIENCE: u32 = 5;

/// How much of what a program printed becomes the result of its item.
const LINES: usize = 10;
const BYTES: usize = 2000;

/// What the span of all its work on an item is called.
const WHOLE: &str = "work on item";

/// A worker.
pub(super) struct Worker {
    agent: AgentId,
    want: Want,
    limits: Limits,
    command: Vec<OsString>,
    dir: PathBuf,
    show: bool,
    signals: Signals,
    started: Duration,
    counts: [u64; 4],
    taken: u64,
    items: VecDeque<Handled>,
}

impl Worker {
    /// A worker that has not begun yet.
    pub(super) fn new(
        cx: &mut Context,
        agent: AgentId,
        wishes: Wishes,
        command: Vec<OsString>,
        show: bool,
    ) -> Result<Self> {
        let dir = cx.place()?.dir;
        // The program may have another working directory by the time it uses this.
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        let Wishes { team, kind, labels, capabilities, lease, timeout, grace } = wishes;
        let want = Want { agent: agent.clone(), id: None, team, kind, labels, capabilities, lease };
        Ok(Self {
            agent,
            want,
            limits: Limits { lease, timeout, grace, leave_interrupts: false },
            command,
            dir,
            show,
            signals: guard::signals()?,
            started: cx.clock.monotonic(),
            counts: [0; 4],
            taken: 0,
            items: VecDeque::new(),
        })
    }

    /// Works until there is a reason to end; tells if it was asked for from outside.
    pub(super) fn work(
        &mut self,
        cx: &mut Context,
        once: bool,
        until_empty: bool,
        max: Option<u64>,
        idle_timeout: Option<Duration>,
    ) -> Result<Option<Asked>> {
        let (mut idle_since, mut beat) = (cx.clock.monotonic(), cx.clock.monotonic());
        let (mut busy, mut full) = (0, false);
        let this = cx.step();
        // Else each item's work is a trace of its own, and nothing is a part of this command.
        if this.here.told().is_some() {
            let name = cx.command.clone();
            // They say whether anything is noted.
            cx.settings()?;
            cx.record_begun(&this, &name, [("coord.agent", self.agent.as_str().into())]);
        }
        loop {
            if let Some(stop) = self.signals.take_stop() {
                return Ok(Some((stop, String::new())));
            }
            if self.signals.take_down() || max.is_some_and(|max| self.taken >= max) {
                return Ok(None);
            }
            let since = cx.clock.monotonic();
            let op = guard::fresh_op(cx, &self.agent)?;
            let whole = Step::begin(cx.piece(), cx.clock.as_ref());
            let claim = Step::begin(whole.here.below(cx.ids.as_ref()), cx.clock.as_ref());
            let bound = match cx.store()?.claim(&self.want, &op) {
                Ok(Claimed::Taken(changed)) => {
                    (busy, full) = (0, false);
                    let item = changed.found.item.clone();
                    let (whole, claim) = (whole.of(&item), claim.of(&item));
                    let about = self.about(&item);
                    cx.record_begun(&whole, WHOLE, about.clone());
                    cx.record_step(&claim, "work claim", self.agent.as_str(), Some(&item), None);
                    let handled = self.handle(cx, changed.found, since, &whole);
                    let failure = handled.as_ref().err().map(ToString::to_string);
                    cx.record_span(&whole, WHOLE, failure, about);
                    if let Some(stop) = handled? {
                        return Ok(Some(stop));
                    }
                    Self::tidy(cx, &op)?;
                    idle_since = cx.clock.monotonic();
                    continue;
                }
                Ok(Claimed::Nothing { .. }) if once => return Err(nothing()),
                // While a lease runs, its item may come back; without one, nothing will.
                Ok(Claimed::Nothing { next_lease_end: None, open }) if until_empty => {
                    if open > 0 {
                        let left = plural(open, "open item");
                        cx.ui.status(&format!("{left} left that this worker cannot take"));
                    }
                    return Ok(None);
                }
                Ok(Claimed::Nothing { next_lease_end, .. }) => next_lease_end,
                Ok(Claimed::Full { held, capacity }) => {
                    let held = plural(held.into(), "item");
                    let what =
                        format!("`{}` holds {held} and registered for {capacity}", self.agent);
                    if once {
                        return Err(Error::new(Kind::User, what).hint(
                            "finish or release one, or register with a larger `--capacity`",
                        ));
                    }
                    if !full {
                        cx.ui.warning(&format!("{what}: waiting until one is finished"));
                    }
                    full = true;
                    None
                }
                Err(error) if guard::is_passing(&error) && busy < PATIENCE => {
                    busy += 1;
                    cx.ui.warning(&error.to_string());
                    None
                }
                Err(error) => return Err(from_store(error)),
            };
            let now = cx.clock.monotonic();
            if idle_timeout.is_some_and(|limit| now.saturating_sub(idle_since) >= limit) {
                return Ok(None);
            }
            if now.saturating_sub(beat) >= BEAT {
                beat = now;
                cx.store()?.heartbeat(&self.agent, &op)?;
            }
            let bound = bound.map_or(TICK, |end| end.max(Duration::from_millis(10)));
            cx.store()?.wait(bound.min(TICK))?;
        }
    }

    /// Runs the program on an item and records how it ended.
    fn handle(
        &mut self,
        cx: &mut Context,
        found: Found,
        since: Duration,
        whole: &Step,
    ) -> Result<Option<Asked>> {
        self.taken += 1;
        let item = found.item.clone();
        let holder = Holder { agent: self.agent.clone(), token: item.token };
        let started = cx.clock.monotonic();
        let run = Step::begin(whole.here.below(cx.ids.as_ref()), cx.clock.as_ref());
        let mut program = self.program(cx, found)?;
        for (name, value) in cx.handed_on(&run) {
            program = program.env(name, value);
        }
        let name = self.command.first().map(|p| p.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let mut child = match program.start() {
            Ok(child) => child,
            Err(source) => {
                let note = Some("the worker could not start its program".to_owned());
                self.settle(cx, &item.id, &Change::Release { holder, note })?;
                return Err(Error::new(Kind::External, format!("cannot run `{name}`"))
                    .caused_by(source)
                    .hint(format!("`{}` was given back", item.id)));
            }
        };
        let about = self.about(&item);
        cx.record_begun(&run, &running(&name), about.clone());
        cx.ui.status(&format!("{} {}", item.id, crate::output::line(&item.title)));
        let mut renew = |cx: &mut Context| {
            let op = match guard::fresh_op(cx, &holder.agent) {
                Ok(op) => op,
                Err(error) => return Renewal::Later(error),
            };
            let change =
                Change::Progress { holder: holder.clone(), percent: None, note: None, lease: None };
            let renewed = cx.store().map(|store| match store.change(&item.id, &change, &op) {
                Err(why) if is_lost(&why) => Renewal::Lost(why.to_string()),
                Err(why) => Renewal::Later(from_store(why)),
                Ok(_) => Renewal::Kept,
            });
            renewed.unwrap_or_else(Renewal::Later)
        };
        let over = guard::watch(cx, &self.signals, &mut child, &self.limits, since, &mut renew)?;
        cx.record_program(&run, &name, &over, about);
        let (out, err) = child.output();
        let (outcome, ended, change) = match &over {
            Over::Ended(ended) if ended.is_success() => {
                let result = Some(guard::last_lines(&out.text, LINES, BYTES).to_owned());
                let result = result.filter(|text| !text.is_empty());
                (Outcome::Done, Some(*ended), Change::Complete { holder, result, points: None })
            }
            Over::Ended(ended) => {
                let result = Some(failure(&ended.words(), &out, &err));
                (Outcome::Failed, Some(*ended), Change::Fail { holder, result, retry: true })
            }
            Over::TimedOut => {
                let limit = self.limits.timeout.unwrap_or_default();
                let words = format!("ended after {}", crate::domain::time::human_duration(limit));
                let result = Some(failure(&words, &out, &err));
                (Outcome::TimedOut, None, Change::Fail { holder, result, retry: true })
            }
            Over::Stopped(stop) => {
                let note = Some(format!("the worker was stopped by {}", stop.name()));
                (Outcome::Released, None, Change::Release { holder, note })
            }
            Over::Lost(why) => {
                cx.ui.warning(&format!("the claim was lost and the program killed: {why}"));
                self.note(cx, &item, Outcome::Lost, None, None, started, out.cut + err.cut);
                return Ok(None);
            }
        };
        let cut = out.cut + err.cut;
        let last = Step::begin(whole.here.below(cx.ids.as_ref()), cx.clock.as_ref());
        let settled = self.settle(cx, &item.id, &change)?;
        let verb = match change {
            Change::Release { .. } => "work release",
            _ => "work complete",
        };
        let refusal = settled.is_none().then(|| Error::new(Kind::Conflict, "the claim was lost"));
        cx.record_step(&last, verb, self.agent.as_str(), Some(&item), refusal.as_ref());
        let now = settled.as_ref().map(|changed| &changed.found);
        let outcome = if now.is_some() { outcome } else { Outcome::Lost };
        self.note(cx, &item, outcome, ended, now, started, cut);
        let Over::Stopped(stop) = over else { return Ok(None) };
        let what = match outcome {
            Outcome::Released => format!("; `{}` was given back", item.id),
            _ => format!("; `{}` was lost", item.id),
        };
        Ok(Some((stop, what)))
    }

    /// What the spans of its work on an item tell.
    fn about(&self, item: &Item) -> [(&'static str, serde_json::Value); 2] {
        [("coord.agent", self.agent.as_str().into()), ("coord.item", item.id.as_str().into())]
    }

    /// The program as it is to be run on an item. Text of the item is data: it reaches the program
    /// by its input and its environment only.
    fn program(&self, cx: &Context, found: Found) -> Result<Program> {
        let item = &found.item;
        let set = [
            ("COORD_ITEM_ID", OsString::from(item.id.as_str())),
            // The environment cannot hold a NUL.
            ("COORD_ITEM_TITLE", item.title.replace('\0', "\u{fffd}").into()),
            ("COORD_TOKEN", item.token.unwrap_or_default().to_string().into()),
            ("COORD_AGENT", self.agent.as_str().into()),
            ("COORD_ATTEMPT", item.attempt.to_string().into()),
            ("COORD_DIR", self.dir.clone().into_os_string()),
        ];
        let mut input =
            serde_json::to_vec(&ItemView::new(found, cx.stamp())).map_err(|source| {
                Error::new(Kind::Bug, "the item cannot be written as JSON").caused_by(source)
            })?;
        input.push(b'\n');
        let streams = if self.show { Streams::Shown } else { Streams::Kept };
        let program = Program::new(self.command.clone())
            .stdin(input)
            .streams(streams)
            .die_with_us(Signal::KILL);
        Ok(set.into_iter().fold(program, |program, (name, value)| program.env(name, value)))
    }

    /// Records how an item ended; nothing if it is no longer ours. The operation keeps its id, so
    /// that trying again can do no harm.
    fn settle(
        &self,
        cx: &mut Context,
        id: &crate::domain::name::ItemId,
        change: &Change,
    ) -> Result<Option<Changed>> {
        let mut op = guard::fresh_op(cx, &self.agent)?;
        let mut tried = 0;
        loop {
            match cx.store()?.change(id, change, &op) {
                Ok(changed) => return Ok(Some(changed)),
                Err(why) if is_lost(&why) => {
                    cx.ui.warning(&format!("how it ended was not recorded: {why}"));
                    return Ok(None);
                }
                Err(why) if guard::is_passing(&why) && tried < PATIENCE => {
                    tried += 1;
                    cx.ui.warning(&format!("{why}; trying again"));
                    cx.clock.sleep(Duration::from_millis(100));
                    (op.now, op.given) = (cx.stamp(), true);
                }
                Err(why) => return Err(from_store(why)),
            }
        }
    }

    /// Housekeeping between two items.
    fn tidy(cx: &mut Context, op: &Op) -> Result<()> {
        let now = cx.stamp();
        let store = cx.store()?;
        store.tidy(&Op { now, ..op.clone() })?;
        for note in store.notes() {
            cx.ui.warning(&note);
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one row of the report")]
    fn note(
        &mut self,
        cx: &mut Context,
        item: &Item,
        outcome: Outcome,
        ended: Option<Ended>,
        now: Option<&Found>,
        started: Duration,
        cut: u64,
    ) {
        let at = match outcome {
            Outcome::Done => 0,
            Outcome::Failed | Outcome::TimedOut => 1,
            Outcome::Released => 2,
            Outcome::Lost => 3,
        };
        self.counts[at] += 1;
        if self.items.len() == NAMED {
            self.items.pop_front();
        }
        let status = now.map(|found| found.state().as_str());
        if now.is_some_and(|found| found.item.status == Status::Dead) {
            cx.ui.warning(&format!("`{}` has no attempts left and is dead", item.id));
        }
        self.items.push_back(Handled {
            id: item.id.to_string(),
            attempt: item.attempt,
            outcome,
            status,
            exit_code: ended.map(Ended::exit_code),
            duration_s: cx.clock.monotonic().saturating_sub(started).as_secs_f64(),
            output_cut_bytes: cut,
            result: now.and_then(|found| found.item.result.clone()),
        });
    }

    /// What it did so far.
    pub(super) fn report(&mut self, cx: &Context) -> Report {
        let [done, failed, released, lost] = self.counts;
        Report {
            agent: self.agent.to_string(),
            taken: self.taken,
            done,
            failed,
            released,
            lost,
            elapsed_s: cx.clock.monotonic().saturating_sub(self.started).as_secs_f64(),
            items: std::mem::take(&mut self.items).into(),
        }
    }
}

fn nothing() -> Error {
    Error::new(Kind::Empty, "nothing to do: no item is ready that fits")
        .hint("`coord work list` shows what there is; without `--once` the worker waits")
}

/// Whether the claim is over, so that nothing can be said about the item any more.
fn is_lost(error: &store::Error) -> bool {
    matches!(error, store::Error::Transition(_) | store::Error::NotFound { .. })
}

/// The result of a failure: how it ended and the end of what it printed.
fn failure(words: &str, out: &Output, err: &Output) -> String {
    let printed = [err, out].map(|o| guard::last_lines(&o.text, LINES, BYTES));
    match printed.into_iter().find(|text| !text.is_empty()) {
        Some(text) => format!("{words}: {text}"),
        None => words.to_owned(),
    }
}
