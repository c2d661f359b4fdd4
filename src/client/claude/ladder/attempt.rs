//! One attempt: sent, judged, told to everybody, booked.

use std::time::Duration;

use super::super::cache::{self, Entry};
use super::super::classify::{Verdict, classify, is_outage};
use super::super::ledger::{Line, LineKind};
use super::super::lock::Wait;
use super::super::shared::Report;
use super::super::structure::{REASKS, ask_again};
use super::super::{
    Answer, Call, Cause, Exact, Failure, FailureKind, Fault, Reply, Request, Source, StopReason,
    Usd,
};
use super::{Attempt, Run, SHORT, millis};
use crate::domain::time::rfc3339;

/// Why an attempt gave no answer.
pub(super) enum Missed {
    Fault(Box<Fault>),
    /// Ask this instead.
    Reask(Box<Request>),
    Failure(Failure),
}

impl Run<'_, '_, '_> {
    /// Makes one attempt, tells everybody how it went, and books it.
    pub(super) fn attempt(
        &mut self,
        at: usize,
        wait: Duration,
    ) -> Result<Box<(Reply, Option<serde_json::Value>)>, Missed> {
        let claude = self.claude;
        let shared = claude.shared();
        let (backend, model) = (self.rungs[at].backend, self.rungs[at].model.clone());
        let line = self.rungs[at].line();
        let timeout = self.attempt_time(at);
        // The breaker may have let us through alone: every way out from here must report.
        if let Err(failure) = self.reserve(&model, timeout) {
            shared.report(&line, &Report::Undecided, None, None);
            return Err(Missed::Failure(failure));
        }
        let stop = self.ask.stop;
        let asked = std::cell::Cell::new(None);
        let ended = || {
            asked.set(asked.get().or_else(stop));
            asked.get().is_some()
        };
        let until = claude.clock.monotonic() + timeout.unwrap_or(claude.config.deadline);
        let patience = Wait { clock: &*claude.clock, ids: &*claude.ids, until, ended: &ended };
        let slot = match shared.slot(&patience) {
            Ok(Some(slot)) => Some(slot),
            Ok(None) => {
                shared.report(&line, &Report::Undecided, None, None);
                return Err(Missed::Failure(match asked.get() {
                    Some(stop) => self.stopped(stop),
                    None => self.failure(
                        FailureKind::Unavailable,
                        format!("{} calls are running already", claude.config.max_in_flight),
                    ),
                }));
            }
            Err(e) => {
                claude.warn(format!("the number of calls at once is not limited: {e}"));
                None
            }
        };
        let number = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        let (when, began) = (claude.clock.wall(), claude.clock.monotonic());
        let mut call = Call {
            request: &self.request,
            model: &model,
            number,
            timeout: self.attempt_time(at),
            idle: claude.config.idle_timeout,
            sink: None,
            stop: self.ask.stop,
            clock: &*claude.clock,
        };
        let sent = match &mut self.ask.sink {
            Some(sink) => {
                let mut hand_on = |text: &str| sink(text);
                call.sink = Some(&mut hand_on);
                backend.attempt(&mut call)
            }
            None => backend.attempt(&mut call),
        };
        drop(slot);
        let took = claude.clock.monotonic().saturating_sub(began);
        let judged = sent.and_then(judge);
        let (status, request_id, usage, told, pause) = match &judged {
            Ok(reply) => {
                (reply.status, reply.request_id.clone(), Some(reply.usage), reply.cost, reply.pause)
            }
            Err(fault) => {
                (fault.status, fault.request_id.clone(), fault.usage, fault.cost, fault.pause)
            }
        };
        let cost = told.or_else(|| {
            usage.map_or(Some(Usd::default()), |usage| claude.prices.cost(&model, &usage))
        });
        let verdict = judged.as_ref().err().map(|fault| classify(fault));
        let report = match verdict {
            None => Report::Answered,
            Some(Verdict::End) => Report::Undecided,
            Some(verdict) if is_outage(verdict) => {
                Report::Outage { floor: judged.as_ref().err().and_then(|fault| fault.retry_after) }
            }
            // It answers, if only to say no; what never reached it says nothing.
            Some(_) if status.is_some() => Report::Answered,
            Some(_) => Report::Undecided,
        };
        shared.report(&line, &report, pause, cost);
        let outcome = match &judged {
            Ok(reply) => match kind_of(reply) {
                Some(_) => reply
                    .stop_reason
                    .as_ref()
                    .map_or("no-stop-reason", StopReason::as_str)
                    .to_owned(),
                None => "ok".to_owned(),
            },
            Err(fault) => fault.word().to_owned(),
        };
        self.usage = match (self.usage, usage) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        self.cost = self.cost.zip(cost).map(|(a, b)| a + b);
        let attempt = Attempt {
            backend: backend.name(),
            model: model.clone(),
            status,
            outcome: outcome.clone(),
            duration_ms: millis(took),
            wait_ms: millis(wait),
            request_id: request_id.clone(),
            exact: Exact {
                at: when,
                duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                usage,
            },
        };
        self.attempts.push(attempt);
        let source = (outcome == "ok").then(|| Source::from(backend.name()));
        self.write(&Line {
            kind: LineKind::Attempt,
            at: rfc3339(claude.clock.wall()),
            call: self.id.clone(),
            command: self.ask.command.to_owned(),
            store: claude.config.store.clone(),
            backend: Some(backend.name()),
            model: Some(model),
            number,
            status,
            outcome,
            source,
            request_id,
            wait_ms: millis(wait),
            duration_ms: millis(took),
            recovery_ms: None,
            usage,
            cost_usd: cost,
        });
        match judged {
            Ok(reply) => self.accept(reply),
            Err(fault) => {
                self.fail();
                Err(Missed::Fault(fault))
            }
        }
    }

    /// Whether a reply that could be read is an answer.
    fn accept(&mut self, reply: Reply) -> Result<Box<(Reply, Option<serde_json::Value>)>, Missed> {
        if let Some(kind) = kind_of(&reply) {
            self.fail();
            let word = reply.stop_reason.as_ref().map_or("no reason", StopReason::as_str);
            let (message, hint) = match kind {
                FailureKind::Refused => (
                    "Claude refused to answer".to_owned(),
                    "ask in other words, or another model with `--model`",
                ),
                _ => (
                    format!("the answer was cut short (`{word}`)"),
                    "allow more with `--max-tokens`, or ask for less",
                ),
            };
            let mut failure = self.failure(kind, message).hint(hint);
            failure.partial = (!reply.text.is_empty()).then_some(reply.text);
            return Err(Missed::Failure(failure));
        }
        let Some(schema) = &self.schema else { return Ok(Box::new((reply, None))) };
        match schema.check(&reply.text, reply.structured.clone()) {
            Ok(value) => Ok(Box::new((reply, Some(value)))),
            Err(fault) => {
                let may = self.ask.sink.is_none()
                    && self.reasks < REASKS
                    && self.attempts.len() < self.most_attempts()
                    && !self.left_in_all().is_zero();
                if may {
                    self.reasks += 1;
                    let again = ask_again(&self.request, &reply.text, &fault);
                    return Err(Missed::Reask(Box::new(again)));
                }
                self.fail();
                let message = format!("the answer does not fit the schema: {fault}");
                let mut failure = self.failure(FailureKind::Unfit, message);
                failure.hints.push("ask more precisely, or loosen the schema".to_owned());
                failure.partial = Some(reply.text);
                Err(Missed::Failure(failure))
            }
        }
    }

    /// An answer from the service: kept for later, if it may be.
    pub(super) fn answered(
        &self,
        at: usize,
        (reply, structured): (Reply, Option<serde_json::Value>),
    ) -> Answer {
        let rung = &self.rungs[at];
        let model = if reply.model.is_empty() { rung.model.clone() } else { reply.model };
        let stop_reason = reply.stop_reason.unwrap_or(StopReason::EndTurn);
        // The program gives data and prose apart: the data is what was asked for.
        let text = match &structured {
            Some(value) if reply.structured.is_some() => value.to_string(),
            _ => reply.text,
        };
        if !self.ask.switches.no_cache {
            let entry = Entry {
                format: cache::format(),
                key: rung.key.clone(),
                created: cache::stamp(&*self.claude.clock),
                backend: rung.backend.name(),
                model: model.clone(),
                text: text.clone(),
                stop_reason: stop_reason.clone(),
                usage: reply.usage,
                cost_usd: self.cost,
                request_id: reply.request_id.clone(),
            };
            if let Err(e) = self.claude.cache.put(&entry, &*self.claude.ids) {
                self.claude.warn(format!("the answer was not cached: {e}"));
            }
        }
        Answer {
            source: Source::from(rung.backend.name()),
            degraded: false,
            reason: None,
            model: Some(model),
            age_s: None,
            attempts: self.attempts.clone(),
            request_id: reply.request_id,
            usage: self.usage,
            cost_usd: self.cost,
            text,
            structured,
            stop_reason: Some(stop_reason),
            cache_key: Some(rung.key.clone()),
        }
    }

    /// Sets money aside for the next attempt, if there are limits.
    fn reserve(&mut self, model: &str, time: Option<Duration>) -> Result<(), Failure> {
        let config = &self.claude.config;
        if config.max_cost.or(config.daily_budget).or(config.monthly_budget).is_none() {
            return Ok(());
        }
        let hint = "raise it in the settings (`claude.max-cost`, `claude.daily-budget`, `claude.monthly-budget`)";
        let Some(most) = self.claude.prices.most(model, &self.request) else {
            let message = format!("a budget is set, but the price of `{model}` is not known");
            return Err(self
                .failure(FailureKind::Budget, message)
                .hint("give it in `claude.prices-file`"));
        };
        if let Some(limit) = config.max_cost {
            let whole = self.cost.unwrap_or_default() + most;
            if whole > limit {
                let message =
                    format!("this call may cost {whole}, more than the {limit} that one may");
                return Err(self.failure(FailureKind::Budget, message).hint(hint));
            }
        }
        if config.daily_budget.or(config.monthly_budget).is_some() {
            let time = time.unwrap_or(Duration::from_mins(10)) + Duration::from_mins(1);
            let reserved = self.claude.shared().reserve(&self.id, most, time);
            reserved.map_err(|why| self.failure(FailureKind::Budget, why).hint(hint))?;
        }
        Ok(())
    }

    /// How long the next attempt may take. One that hangs must leave time for another.
    fn attempt_time(&self, at: usize) -> Option<Duration> {
        let left = self.left(at);
        if self.ask.sink.is_some() && self.failed_at.is_none() {
            // The idle time bounds a stream, and the deadline if one was asked for.
            return (left != Duration::MAX).then_some(left);
        }
        let most = self.claude.config.attempt_timeout;
        let share = if self.failed_at.is_some() && left > SHORT { left * 3 / 5 } else { left };
        if self.ask.sink.is_some() {
            return self.deadline.map(|_| share);
        }
        Some(share.min(most))
    }
}

/// A reply without text is no reply, unless there is a reason for it.
fn judge(reply: Reply) -> Result<Reply, Box<Fault>> {
    let empty = reply.text.trim().is_empty() && reply.structured.is_none();
    let fault = match (&reply.stop_reason, empty) {
        (Some(_), true) if kind_of(&reply).is_some() => return Ok(reply),
        (None, _) => Fault::new(Cause::Malformed, "the answer does not say why it ends"),
        (Some(_), true) => Fault::new(Cause::Empty, "the answer has no text"),
        (Some(_), false) => return Ok(reply),
    };
    Err(Box::new(Fault {
        status: reply.status,
        request_id: reply.request_id,
        usage: Some(reply.usage),
        cost: reply.cost,
        pause: reply.pause,
        ..fault
    }))
}

/// What a reply is, if it is no answer.
fn kind_of(reply: &Reply) -> Option<FailureKind> {
    match reply.stop_reason.as_ref()? {
        StopReason::EndTurn | StopReason::StopSequence | StopReason::ToolUse => None,
        StopReason::Refusal => Some(FailureKind::Refused),
        StopReason::MaxTokens
        | StopReason::ModelContextWindowExceeded
        | StopReason::PauseTurn
        | StopReason::Other(_) => Some(FailureKind::CutShort),
    }
}
