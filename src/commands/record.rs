//! What a command notes about itself in the telemetry, after its answer is out.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Context;
use super::guard::Over;
use crate::client::claude::Attempt;
use crate::domain::telemetry::{Operation, Outcome};
use crate::domain::trace::{self, Parent, Span, SpanId, TraceId, parse_parent, trace_of_text};
use crate::domain::work::{Item, Op};
use crate::error::{Error, Kind};
use crate::settings::{Settings, keys};
use crate::store::journal::{self, Limits};
use crate::sys::fs::Dir;
use crate::sys::{Clock, Env, Ids, usage};

/// Operations that computed less are not asked for their memory: asking takes longer than they should.
const BRIEF: Duration = Duration::from_millis(5);

/// Except those that lasted so long. Where a hundred wait for one another they all last a while.
const LONG: Duration = Duration::from_secs(1);

/// Commands that promise to leave everything as it is, and those that show what was noted: each look at it
/// would add to it.
const SILENT: &[&str] = &["config ", "doctor", "env", "health", "trace ", "util "];

/// The variables of the old programs that name a trace, in the order in which they looked.
pub(crate) const OLD_TRACES: [&str; 4] =
    ["FORCE_TRACE_ID", "COORDINATION_TRACE_ID", "TRACE_ID", "OTEL_TRACE_ID"];

/// Where something stands in a trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    pub(crate) parent: Option<SpanId>,
    /// Whether the surroundings named the trace.
    told: bool,
    /// Whether the parent is another program's.
    remote: bool,
}

impl Here {
    /// The beginning of a trace of its own.
    pub(crate) fn root(ids: &dyn Ids) -> Self {
        let trace = TraceId::from_bits(ids.bits(), ids.bits());
        let span = SpanId::from_bits(ids.bits());
        Self { trace, span, parent: None, told: false, remote: false }
    }

    /// The trace that the surroundings named, if they did.
    pub(crate) fn told(self) -> Option<TraceId> {
        self.told.then_some(self.trace)
    }

    /// A part of it.
    pub(crate) fn below(self, ids: &dyn Ids) -> Self {
        let span = SpanId::from_bits(ids.bits());
        Self { span, parent: Some(self.span), remote: false, ..self }
    }

    /// What the surroundings say that this process is a part of.
    fn from_env(env: &Env, ids: &dyn Ids) -> Self {
        let told = env.text("TRACEPARENT").and_then(|text| parse_parent(&text)).or_else(|| {
            let trace = OLD_TRACES.iter().find_map(|name| trace_of_text(&env.text(name)?))?;
            Some(Parent { trace, span: None, sampled: true })
        });
        let here = Self::root(ids);
        match told {
            Some(parent) => Self {
                trace: parent.trace,
                parent: parent.span,
                told: true,
                remote: parent.span.is_some(),
                ..here
            },
            None => here,
        }
    }
}

/// Something that is being done: when it began and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) here: Here,
    at: DateTime<Utc>,
    since: Duration,
}

impl Step {
    /// It begins now.
    pub(crate) fn begin(here: Here, clock: &dyn Clock) -> Self {
        Self { here, at: clock.wall(), since: clock.monotonic() }
    }

    /// It belongs to an item, unless the surroundings say where it belongs.
    pub(crate) fn of(mut self, item: &Item) -> Self {
        if !self.here.told {
            self.here.trace = item.trace();
        }
        self
    }

    fn took(&self, clock: &dyn Clock) -> Duration {
        clock.monotonic().saturating_sub(self.since)
    }

    /// It as an operation that ends now.
    fn operation(&self, command: &str, outcome: Outcome, clock: &dyn Clock) -> Operation {
        Operation {
            at: self.at,
            command: command.to_owned(),
            outcome,
            exit_code: 0,
            duration_us: micros(self.took(clock)),
            lock_wait_us: 0,
            cpu_us: None,
            memory_kib: None,
            agent: None,
            item: None,
            store_op: None,
            team: None,
            trace_id: self.here.trace,
            span_id: self.here.span,
            parent_span_id: self.here.parent,
            remote_parent: self.here.remote,
            lasting: false,
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The item that an operation was about.
#[derive(Clone, Debug)]
pub(crate) struct About {
    item: String,
    team: Option<String>,
}

impl From<&Item> for About {
    fn from(item: &Item) -> Self {
        Self { item: item.id.to_string(), team: item.team.as_ref().map(ToString::to_string) }
    }
}

/// Where the telemetry of this process goes.
#[derive(Clone)]
pub(crate) struct Sink {
    dir: Arc<Dir>,
    limits: Limits,
}

impl Sink {
    /// Notes an operation. Telemetry is nobody's order: what keeps it from being written is no failure.
    fn operation(&self, op: &Operation) {
        let _ = journal::operation(&self.dir, op, self.limits);
    }

    /// Notes that a command gave up waiting for the lock.
    pub(crate) fn gave_up(&self, step: &Step, command: &str, clock: &dyn Clock) {
        let mut op = step.operation(canonical(command), Outcome::LockTimeout, clock);
        op.exit_code = Kind::Conflict.exit_code();
        op.lock_wait_us = op.duration_us;
        self.operation(&op);
    }
}

/// The name that is noted: a shortcut stands for the whole.
fn canonical(command: &str) -> &str {
    match command {
        "add" => "work add",
        "claim" => "work claim",
        "progress" => "work progress",
        "complete" => "work complete",
        other => other,
    }
}

/// What it is called that a program runs. Its arguments may hold what is nobody else's.
pub(crate) fn running(program: &str) -> String {
    format!("run {}", program.rsplit('/').next().unwrap_or(program))
}

/// The outcome that an error is.
pub(crate) fn outcome(error: Option<&Error>) -> Outcome {
    match error {
        Some(error) if error.is_undelivered() => Outcome::Undelivered,
        Some(error)
            if matches!(error.kind(), Kind::External | Kind::Unknown)
                && !error.is_of_store()
                && !error.is_broken_pipe() =>
        {
            Outcome::Outside
        }
        Some(error) if !error.is_broken_pipe() => {
            Outcome::from_word(error.kind().as_str()).unwrap_or(Outcome::Bug)
        }
        _ => Outcome::Ok,
    }
}

impl Context {
    /// Where this process stands in a trace.
    pub(crate) fn here(&mut self) -> Here {
        self.step().here
    }

    /// A place for the work on an item: in the caller's trace if there is one, else in the item's own.
    pub(crate) fn piece(&mut self) -> Here {
        let here = self.here();
        if here.told { here.below(self.ids.as_ref()) } else { Here::root(self.ids.as_ref()) }
    }

    /// This command, as something that is being done.
    pub(super) fn step(&mut self) -> Step {
        let step = match self.step {
            Some(step) => step,
            None => Step {
                here: Here::from_env(&self.env, self.ids.as_ref()),
                at: self.started.0,
                since: self.started.1,
            },
        };
        self.step = Some(step);
        step
    }

    /// What a program is told about telemetry that is started as this step.
    pub(crate) fn handed_on(&mut self, step: &Step) -> Vec<(&'static str, String)> {
        if self.flags.no_telemetry {
            return vec![(keys::ALL[keys::TELEMETRY_ENABLED].env, "false".to_owned())];
        }
        if self.sink().is_none() {
            return Vec::new();
        }
        let Here { trace, span, .. } = step.here;
        let text = Parent { trace, span: Some(span), sampled: true }.traceparent();
        vec![("TRACEPARENT", text.unwrap_or_default()), ("TRACE_ID", trace.to_string())]
    }

    /// What this command is about, for its line in the telemetry. What nobody's trace asks for becomes a
    /// part of the item's own, so that its life is one trace, whoever takes part in it.
    pub(crate) fn about(&mut self, item: &Item) {
        self.about = Some(item.into());
        let mut step = self.step();
        if !step.here.told {
            step.here.trace = item.trace();
            self.step = Some(step);
        }
    }

    /// This command is about several items, none of whose traces it is a part of: the history of each
    /// tells that this operation was a part of its life.
    pub(crate) fn about_many(&mut self, op: &Op) {
        self.about_many = Some(op.id.clone());
    }

    /// Where telemetry goes; nowhere if it is switched off, or if this command never looked at the
    /// state directory.
    pub(super) fn sink(&mut self) -> Option<Sink> {
        let on = self.settings.as_ref().is_some_and(Settings::telemetry);
        if self.flags.no_telemetry || !on {
            return None;
        }
        let (bytes, keep) = self.settings.as_ref()?.telemetry_limits();
        if self.dir.is_none() {
            let dir = Dir::open(&self.place.as_ref()?.dir, self.flags.trust_dir).ok()?;
            self.dir = Some(Arc::new(dir));
        }
        let dir = Arc::clone(self.dir.as_ref()?);
        Some(Sink { dir, limits: Limits { bytes, keep } })
    }

    /// Notes how this command went.
    pub(crate) fn record(&mut self, error: Option<&Error>) {
        if SILENT.iter().any(|silent| self.command.starts_with(silent)) {
            return;
        }
        self.flush_attempts();
        let Some(sink) = self.sink() else { return };
        let step = self.step();
        let mut op = step.operation(canonical(&self.command), outcome(error), self.clock.as_ref());
        op.exit_code = error.filter(|e| !e.is_broken_pipe()).map_or(0, |e| e.kind().exit_code());
        let took = self.took.unwrap_or_else(|| step.took(self.clock.as_ref()));
        op.duration_us = micros(took);
        op.lock_wait_us = micros(self.waited);
        let used = usage::cpu();
        op.cpu_us = Some(micros(used));
        if used > BRIEF || took > LONG {
            op.memory_kib = usage::peak_kib();
        }
        op.agent = self.last_agent();
        op.lasting = self.lasting;
        op.store_op = self.about_many.take().map(|id| id.to_string());
        if let Some(about) = self.about.take() {
            (op.item, op.team) = (Some(about.item), about.team);
        }
        sink.operation(&op);
    }

    /// Notes a step of this command that is an operation of its own.
    pub(crate) fn record_step(
        &mut self,
        step: &Step,
        command: &str,
        agent: &str,
        item: Option<&Item>,
        error: Option<&Error>,
    ) {
        let Some(sink) = self.sink() else { return };
        let mut op = step.operation(command, outcome(error), self.clock.as_ref());
        op.exit_code = error.map_or(0, |e| e.kind().exit_code());
        op.agent = Some(agent.to_owned());
        if let Some(item) = item.map(About::from) {
            (op.item, op.team) = (Some(item.item), item.team);
        }
        sink.operation(&op);
    }

    /// Notes that another program ran as a step of this command.
    pub(crate) fn record_program(
        &mut self,
        step: &Step,
        program: &str,
        over: &Over,
        attributes: impl IntoIterator<Item = (&'static str, serde_json::Value)>,
    ) {
        let (failure, code) = match over {
            Over::Ended(ended) => {
                let failure = (!ended.is_success()).then(|| ended.words());
                (failure, Some(ended.exit_code()))
            }
            Over::TimedOut => (Some("it took too long".to_owned()), None),
            Over::Stopped(signal) => (Some(format!("stopped by {}", signal.name())), None),
            Over::Lost(why) => (Some(why.clone()), None),
        };
        let code = code.map(|code| ("process.exit.code", code.into()));
        let attributes = attributes.into_iter().chain(code);
        self.record_span(step, &running(program), failure, attributes);
    }

    /// Notes that a step has begun that others will be parts of: they have their whole also if this
    /// process is killed. Its end is noted as that of any other.
    pub(crate) fn record_begun(
        &mut self,
        step: &Step,
        name: &str,
        attributes: impl IntoIterator<Item = (&'static str, serde_json::Value)>,
    ) {
        let Some(sink) = self.sink() else { return };
        let mut span = step.operation(name, Outcome::Ok, self.clock.as_ref()).span();
        (span.open, span.duration_us, span.outcome) = (true, 0, trace::Outcome::Unset);
        span.attributes =
            attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let _ = journal::span(&sink.dir, &span, sink.limits);
    }

    /// Notes a step of this command that is no operation.
    pub(crate) fn record_span(
        &mut self,
        step: &Step,
        name: &str,
        failure: Option<String>,
        attributes: impl IntoIterator<Item = (&'static str, serde_json::Value)>,
    ) {
        let Some(sink) = self.sink() else { return };
        let mut span = step.operation(name, Outcome::Ok, self.clock.as_ref()).span();
        span.outcome = if failure.is_some() { trace::Outcome::Error } else { trace::Outcome::Ok };
        span.message = failure;
        span.attributes =
            attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let _ = journal::span(&sink.dir, &span, sink.limits);
    }

    /// Notes the attempts of a call to Claude as parts of this command: who was asked, how it ended and
    /// what it used; never a word of what was asked or answered.
    pub(crate) fn record_attempts(&mut self, attempts: &[Attempt]) {
        self.lasting |= !attempts.is_empty();
        self.attempts.extend_from_slice(attempts);
        // Another command may yet learn which item it is about, and so which trace it is a part of.
        if self.command.starts_with("claude ") {
            self.flush_attempts();
        }
    }

    fn flush_attempts(&mut self) {
        let attempts = std::mem::take(&mut self.attempts);
        let Some(sink) = self.sink().filter(|_| !attempts.is_empty()) else { return };
        let here = self.here();
        for attempt in &attempts {
            let below = here.below(self.ids.as_ref());
            let span = attempt_span(attempt, below);
            let _ = journal::span(&sink.dir, &span, sink.limits);
        }
    }
}

/// An attempt as a span, by the names that OpenTelemetry has for calls to language models.
fn attempt_span(attempt: &Attempt, here: Here) -> Span {
    let failed = attempt.outcome != "ok";
    let usage = attempt.exact.usage;
    let wait = Some(attempt.wait_ms).filter(|ms| *ms > 0);
    let attributes: [(&str, Option<serde_json::Value>); 10] = [
        ("gen_ai.operation.name", Some("chat".into())),
        ("gen_ai.provider.name", Some("anthropic".into())),
        ("gen_ai.request.model", Some(attempt.model.as_str().into())),
        ("gen_ai.usage.input_tokens", usage.map(|usage| usage.total_input().into())),
        ("gen_ai.usage.output_tokens", usage.map(|usage| usage.output_tokens.into())),
        ("http.response.status_code", attempt.status.map(Into::into)),
        ("error.type", failed.then(|| attempt.outcome.as_str().into())),
        ("coord.claude.backend", Some(attempt.backend.as_str().into())),
        ("coord.claude.request_id", attempt.request_id.as_deref().map(Into::into)),
        ("coord.claude.wait_ms", wait.map(Into::into)),
    ];
    Span {
        trace_id: here.trace,
        span_id: here.span,
        parent_span_id: here.parent,
        remote_parent: false,
        name: format!("chat {}", attempt.model),
        kind: trace::Kind::Client,
        start: attempt.exact.at,
        duration_us: attempt.exact.duration_us,
        outcome: if failed { trace::Outcome::Error } else { trace::Outcome::Ok },
        message: failed.then(|| attempt.outcome.clone()),
        open: false,
        service: None,
        attributes: attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect(),
    }
}
