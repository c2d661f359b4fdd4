//! The ladder: who is asked in which order, and the one loop that tries again.
//!
//! Two bounds hold at once: the deadline of the whole call, and the recovery time from the first
//! failure on. A wait that leaves no time for an attempt is not begun.

mod attempt;
mod fallback;
#[cfg(test)]
mod tests;

use std::time::Duration;

use self::attempt::Missed;
use super::cache::Lead;
use super::classify::{Verdict, classify, concerns_host};
use super::ledger::{Line, LineKind};
use super::lock::Wait;
use super::prices;
use super::shared::Gate;
use super::structure::Schema;
use super::{
    Answer, Ask, Attempt, Backend, BackendName, Cause, Claude, Failure, FailureKind, Fault, Reply,
    Request, Source, Usage, Usd,
};
use crate::client::backoff::{delay, scale, worth};
use crate::domain::time::rfc3339;
use crate::sys::signal::Stop;

/// No call has more attempts, whatever is configured.
const MOST_ATTEMPTS: u32 = 5;
/// How often one model is tried while there is another.
const TRIES: u32 = 3;
/// The same for a model that has no room.
const TRIES_OVERLOADED: u32 = 2;
/// The program is slow; trying it again seldom helps.
const TRIES_PROGRAM: u32 = 2;
/// How often a wait looks whether the end was asked for.
const LOOK: Duration = Duration::from_millis(50);
/// Time left below which an attempt gets all of it.
const SHORT: Duration = Duration::from_secs(2);

/// One way to an answer: a model of a backend.
pub(super) struct Rung<'c> {
    pub(super) backend: &'c dyn Backend,
    pub(super) usable: bool,
    pub(super) model: String,
    pub(super) key: String,
}

impl Rung<'_> {
    /// What breakers and limits are told apart by.
    pub(super) fn line(&self) -> String {
        format!("{}/{}/{}", self.backend.name(), self.backend.host(), prices::line(&self.model))
    }
}

/// What a rung came to.
enum Outcome {
    Answer(Box<(Reply, Option<serde_json::Value>)>),
    /// On to the next rung; with `true` past the rungs of this backend.
    Next(bool),
    /// No rung can help.
    Failed(Failure),
}

/// A call under way.
pub(super) struct Run<'c, 'a, 'b> {
    claude: &'c Claude,
    ask: &'b mut Ask<'a>,
    request: Request,
    schema: Option<Schema>,
    rungs: Vec<Rung<'c>>,
    id: String,
    /// Times on the monotonic clock.
    start: Duration,
    deadline: Option<Duration>,
    failed_at: Option<Duration>,
    attempts: Vec<Attempt>,
    last: Option<Fault>,
    usage: Option<Usage>,
    /// The sum so far; none once a part is not known.
    cost: Option<Usd>,
    reasks: u32,
    /// How long to wait before the next attempt.
    wait: Duration,
}

impl<'c, 'a, 'b> Run<'c, 'a, 'b> {
    pub(super) fn new(claude: &'c Claude, ask: &'b mut Ask<'a>) -> Result<Self, Failure> {
        let request = claude.fill(&ask.request)?;
        let schema = request.schema.as_ref().map(Schema::new).transpose()?;
        let rungs = claude.rungs(&request);
        let start = claude.clock.monotonic();
        let default = ask.sink.is_none().then_some(claude.config.deadline);
        let deadline = ask.switches.deadline.or(default).map(|time| start + time);
        Ok(Self {
            claude,
            ask,
            request,
            schema,
            rungs,
            id: claude.ids.hex(),
            start,
            deadline,
            failed_at: None,
            attempts: Vec::new(),
            last: None,
            usage: None,
            cost: Some(Usd::default()),
            reasks: 0,
            wait: Duration::ZERO,
        })
    }

    /// Climbs.
    pub(super) fn climb(mut self) -> Result<Answer, Failure> {
        let result = self.climb_rungs();
        let result = match result {
            Ok(answer) => Ok(answer),
            Err(failure) => self.fall_back(failure),
        };
        let result = match result {
            Ok(answer) if answer.degraded && self.ask.switches.require_fresh => {
                let message = format!(
                    "only {} answer was to be had",
                    if answer.source == Source::Stale { "a stale" } else { "a heuristic" }
                );
                Err(self
                    .failure(FailureKind::NotFresh, message)
                    .hint("without `--require-fresh` it is given, and labelled"))
            }
            other => other,
        };
        self.claude.shared().release(&self.id);
        self.book(&result);
        result
    }

    fn climb_rungs(&mut self) -> Result<Answer, Failure> {
        let switches = self.ask.switches;
        let since = self.claude.clock.boot().ms;
        if let Some(answer) = self.cached_now(0, None) {
            return Ok(answer);
        }
        if switches.offline {
            let message = "no answer is cached, and no call is made offline";
            return Err(self.failure(FailureKind::Offline, message));
        }
        if !self.rungs.iter().any(|rung| rung.usable) {
            return Err(self.claude.no_backend());
        }
        let lead = self.lead()?;
        if let Some(lead) = &lead
            && lead.waited()
        {
            if let Some(answer) = self.cached_now(0, Some(since)) {
                return Ok(answer);
            }
            if let Some(fault) = lead.failure(&*self.claude.clock, since) {
                // The one we waited for has tried all this just now.
                self.fail();
                let message =
                    format!("another process asked the same at the same time and failed: {fault}");
                self.last = Some(fault);
                return Err(self.failure(FailureKind::Unavailable, message));
            }
        }
        let result = self.walk();
        if let Some(lead) = lead {
            let ended = matches!(&result, Err(f) if matches!(f.kind, FailureKind::Interrupted | FailureKind::Terminated | FailureKind::Deadline | FailureKind::Budget | FailureKind::SinkClosed));
            let word = if result.is_err() && !ended { self.last.as_ref() } else { None };
            lead.done(&*self.claude.clock, word);
        }
        result
    }

    /// Waits until nobody else asks the same. Without a cache nobody can hand anything over.
    fn lead(&self) -> Result<Option<Lead>, Failure> {
        if self.ask.switches.no_cache || self.claude.cache.is_off() {
            return Ok(None);
        }
        let stop = self.ask.stop;
        let asked = std::cell::Cell::new(None);
        let ended = || {
            asked.set(asked.get().or_else(stop));
            asked.get().is_some()
        };
        let until = self.deadline.unwrap_or(self.start + self.claude.config.deadline);
        let wait =
            Wait { clock: &*self.claude.clock, ids: &*self.claude.ids, until, ended: &ended };
        match self.claude.cache.lead(&self.rungs[0].key, &wait) {
            Ok(Some(lead)) => Ok(Some(lead)),
            Ok(None) => Err(match asked.get() {
                Some(stop) => self.stopped(stop),
                None => self.failure(
                    FailureKind::Deadline,
                    "another process asks the same and has no answer yet",
                ),
            }),
            Err(e) => {
                self.claude.warn(format!("going on without the cache: {e}"));
                Ok(None)
            }
        }
    }

    /// Tries the rungs in turn.
    fn walk(&mut self) -> Result<Answer, Failure> {
        let mut at = 0;
        while at < self.rungs.len() {
            if !self.rungs[at].usable {
                at += 1;
                continue;
            }
            if at > 0
                && let Some(answer) = self.cached_now(at, None)
            {
                return Ok(answer);
            }
            match self.rung(at) {
                Outcome::Answer(both) => return Ok(self.answered(at, *both)),
                Outcome::Failed(failure) => return Err(failure),
                Outcome::Next(past) => {
                    let backend = self.rungs[at].backend.name();
                    at += 1;
                    while past && at < self.rungs.len() && self.rungs[at].backend.name() == backend
                    {
                        at += 1;
                    }
                }
            }
        }
        Err(self.unavailable())
    }

    /// One model of one backend, as often as it makes sense.
    fn rung(&mut self, at: usize) -> Outcome {
        let line = self.rungs[at].line();
        let mut tries = 0;
        loop {
            if let Some(stop) = (self.ask.stop)() {
                return Outcome::Failed(self.stopped(stop));
            }
            let left = self.left(at);
            let Some(wait) = worth(self.wait, left) else {
                return self.next_or_late();
            };
            if let Some(stop) = self.pause(wait) {
                return Outcome::Failed(self.stopped(stop));
            }
            let gate_wait = match self.claude.shared().gate(&line) {
                Gate::Go => Duration::ZERO,
                Gate::Open(time) => {
                    self.skip(
                        at,
                        &format!("the breaker is open for {:.1} s more", time.as_secs_f64()),
                    );
                    return Outcome::Next(false);
                }
                Gate::NotBefore(time) => {
                    // They who wait for the same moment should not all come at it.
                    let time = time + scale(LOOK * 4, self.claude.ids.bits());
                    let left = self.left(at).min(self.claude.config.recovery);
                    if worth(time, left).is_none() {
                        self.skip(
                            at,
                            &format!("the service wants no call for {:.1} s", time.as_secs_f64()),
                        );
                        return Outcome::Next(false);
                    }
                    time
                }
            };
            if !gate_wait.is_zero() {
                self.wait = gate_wait;
                continue;
            }
            let result = self.attempt(at, wait);
            self.wait = Duration::ZERO;
            tries += 1;
            let fault = match result {
                Ok(both) => return Outcome::Answer(both),
                Err(Missed::Failure(failure)) => return Outcome::Failed(failure),
                Err(Missed::Reask(request)) => {
                    self.request = *request;
                    tries -= 1;
                    continue;
                }
                Err(Missed::Fault(fault)) => fault,
            };
            let verdict = classify(&fault);
            if fault.began && verdict != Verdict::End {
                let message = format!("the stream broke after its text had begun: {fault}");
                self.last = Some(*fault);
                return Outcome::Failed(self.failure(FailureKind::Broken, message));
            }
            let (cause, floor) = (fault.cause, fault.retry_after);
            self.last = Some(*fault);
            let spent = self.attempts.len() >= self.most_attempts();
            match verdict {
                Verdict::End => return Outcome::Failed(self.ended(cause)),
                Verdict::GiveUp => return Outcome::Failed(self.rejected()),
                _ if spent => return Outcome::Failed(self.unavailable()),
                Verdict::NextModel => return Outcome::Next(false),
                Verdict::NextBackend => return Outcome::Next(true),
                Verdict::Retry | Verdict::Overloaded if self.enough(at, tries, verdict, cause) => {
                    return Outcome::Next(concerns_host(cause));
                }
                Verdict::Retry | Verdict::Overloaded => {
                    self.wait = delay(tries - 1, self.claude.ids.bits(), floor);
                }
            }
        }
    }

    /// No time for the wait and an attempt on this rung: another may have some, if any is left.
    fn next_or_late(&mut self) -> Outcome {
        self.wait = Duration::ZERO;
        if self.left_in_all().is_zero() {
            return Outcome::Failed(self.unavailable());
        }
        let host = self.last.as_ref().is_some_and(|fault| concerns_host(fault.cause));
        Outcome::Next(host)
    }

    fn most_attempts(&self) -> usize {
        self.claude.config.max_attempts.clamp(1, MOST_ATTEMPTS) as usize
    }

    /// Whether a rung was tried as often as makes sense.
    fn enough(&self, at: usize, tries: u32, verdict: Verdict, cause: Cause) -> bool {
        match (self.rungs[at].backend.name(), verdict) {
            (BackendName::Cli, _) => tries >= TRIES_PROGRAM,
            (_, Verdict::Overloaded) => tries >= TRIES_OVERLOADED && self.later(at, cause),
            _ => tries >= TRIES && self.later(at, cause),
        }
    }

    /// Whether a later rung could help after such a fault. One whose breaker is open cannot: giving
    /// this rung up for it would end the call early.
    fn later(&self, at: usize, cause: Cause) -> bool {
        let name = self.rungs[at].backend.name();
        let could = |rung: &&Rung<'_>| {
            rung.usable && (rung.backend.name() != name || !concerns_host(cause))
        };
        let lines: Vec<String> =
            self.rungs[at + 1..].iter().filter(could).map(Rung::line).collect();
        !lines.is_empty() && self.claude.shared().any_ready(&lines, self.left_in_all())
    }

    /// The time for this rung: what is left, less what the program needs if its turn is still to come.
    fn left(&self, at: usize) -> Duration {
        let left = self.left_in_all();
        let program = self.rungs[at].backend.name() == BackendName::Api
            && self.rungs[at + 1..]
                .iter()
                .any(|r| r.usable && r.backend.name() == BackendName::Cli);
        if self.failed_at.is_some() && program {
            left.saturating_sub(self.claude.config.recovery * 3 / 5)
        } else {
            left
        }
    }

    fn left_in_all(&self) -> Duration {
        let now = self.claude.clock.monotonic();
        let recovery = self.failed_at.map(|at| at + self.claude.config.recovery);
        let until = [self.deadline, recovery].into_iter().flatten().min();
        until.map_or(Duration::MAX, |until| until.saturating_sub(now))
    }

    /// Waits, and tells if the end was asked for.
    fn pause(&self, time: Duration) -> Option<Stop> {
        let until = self.claude.clock.monotonic() + time;
        loop {
            let left = until.saturating_sub(self.claude.clock.monotonic());
            if left.is_zero() {
                return None;
            }
            self.claude.clock.sleep(left.min(LOOK));
            if let Some(stop) = (self.ask.stop)() {
                return Some(stop);
            }
        }
    }

    /// From now on the recovery time runs.
    fn fail(&mut self) {
        self.failed_at = self.failed_at.or(Some(self.claude.clock.monotonic()));
    }

    /// A rung that is not tried at all.
    fn skip(&mut self, at: usize, why: &str) {
        if self.last.is_none() {
            let rung = &self.rungs[at];
            let text = format!("{} {}: {why}", rung.backend.name(), rung.model);
            self.last = Some(Fault::new(Cause::Skipped, text));
        }
    }

    fn failure(&self, kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure {
            attempts: self.attempts.clone(),
            fault: self.last.clone().map(Box::new),
            ..Failure::new(kind, message)
        }
    }

    fn stopped(&self, stop: Stop) -> Failure {
        let kind = match stop {
            Stop::Interrupt => FailureKind::Interrupted,
            Stop::Terminate => FailureKind::Terminated,
        };
        self.failure(kind, format!("stopped by {}", stop.name()))
    }

    fn ended(&self, cause: Cause) -> Failure {
        match cause {
            Cause::Interrupted => self.stopped(Stop::Interrupt),
            Cause::Terminated => self.stopped(Stop::Terminate),
            _ => self.failure(FailureKind::SinkClosed, "the reader has gone"),
        }
    }

    fn rejected(&self) -> Failure {
        self.failure(FailureKind::Rejected, "the request was not accepted")
    }

    /// Every rung was tried, or there is no time for another.
    fn unavailable(&self) -> Failure {
        let now = self.claude.clock.monotonic();
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return self
                .failure(FailureKind::Deadline, "no answer of Claude before the deadline")
                .hint("allow more with `--deadline`");
        }
        let tried = match self.attempts.len() {
            0 => "Claude is not asked now".to_owned(),
            1 => "Claude gave no answer, tried once".to_owned(),
            n => format!("Claude gave no answer, tried {n} times"),
        };
        let failure = self.failure(FailureKind::Unavailable, tried);
        match self.last.as_ref().map(|fault| (fault.cause, fault.status)) {
            Some((Cause::NotLoggedIn, _) | (_, Some(401))) => {
                failure.hint("check the key: `coord claude check` tells where it comes from")
            }
            Some((Cause::Tls, _)) => failure
                .hint("a private authority is trusted with `claude.ca-file` or `SSL_CERT_FILE`"),
            Some((Cause::Insecure, _)) => {
                failure.hint("give an `https` address in `claude.base-url`")
            }
            Some((Cause::Redirect, _)) => {
                failure.hint("give the address that it leads to in `claude.base-url`")
            }
            Some((Cause::Proxy, _)) => {
                failure.hint("`HTTPS_PROXY` names the proxy, `NO_PROXY` where it is not used")
            }
            Some((Cause::NoProgram, _)) => failure.hint("name it in `claude.program`"),
            Some((Cause::Skipped, _)) => {
                failure.hint("`coord claude check` tells when it is asked again")
            }
            _ => failure.hint("`coord claude check` tells more; a retry later may work"),
        }
    }

    /// The line for the whole call.
    fn book(&self, result: &Result<Answer, Failure>) {
        // Where nobody could be asked there is nothing to count.
        if self.ask.switches.offline || !self.rungs.iter().any(|rung| rung.usable) {
            return;
        }
        let now = self.claude.clock.monotonic();
        let (outcome, source, model, request_id) = match result {
            Ok(answer) => (
                "ok".to_owned(),
                Some(answer.source),
                answer.model.clone(),
                answer.request_id.clone(),
            ),
            Err(failure) => (failure.kind.as_str().to_owned(), None, None, None),
        };
        self.write(&Line {
            kind: LineKind::Call,
            at: rfc3339(self.claude.clock.wall()),
            call: self.id.clone(),
            command: self.ask.command.to_owned(),
            store: self.claude.config.store.clone(),
            backend: None,
            model,
            number: u32::try_from(self.attempts.len()).unwrap_or(u32::MAX),
            status: None,
            outcome,
            source,
            request_id,
            wait_ms: self.attempts.iter().map(|attempt| attempt.wait_ms).sum(),
            duration_ms: millis(now.saturating_sub(self.start)),
            recovery_ms: self.failed_at.map(|at| millis(now.saturating_sub(at))),
            usage: self.usage,
            cost_usd: self.cost,
        });
    }

    fn write(&self, line: &Line) {
        if let Err(e) = self.claude.ledger.write(line) {
            self.claude.warn(format!("the ledger of the calls to Claude was not written: {e}"));
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
