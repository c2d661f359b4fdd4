//! What a backend is: one attempt in, a reply or a fault out.

use std::fmt;
use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Request, StopReason, Usage, Usd};
use crate::sys::Clock;
use crate::sys::signal::Stop;

/// Takes text as it comes. An error means that the reader has gone and ends the call.
pub type Sink<'a> = dyn FnMut(&str) -> io::Result<()> + 'a;

/// Which backend.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendName {
    /// HTTPS to the service.
    Api,
    /// The user's own `claude` program.
    Cli,
}

impl BackendName {
    /// Its name in settings and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Cli => "cli",
        }
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One attempt to be made.
pub struct Call<'a> {
    /// What is asked. It is never changed between attempts, except by a re-ask.
    pub request: &'a Request,
    /// Which model.
    pub model: &'a str,
    /// Which attempt of the whole call this is, from 1.
    pub number: u32,
    /// How long it may take in all; none for a stream without a deadline.
    pub timeout: Option<Duration>,
    /// How long a stream may be silent.
    pub idle: Duration,
    /// Where text goes as it comes; with it the reply must be streamed.
    pub sink: Option<&'a mut Sink<'a>>,
    /// Tells when the end was asked for.
    pub stop: &'a dyn Fn() -> Option<Stop>,
    /// The time.
    pub clock: &'a dyn Clock,
}

/// What came back and could be read. Whether it is an answer is another question.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// All text blocks, joined.
    pub text: String,
    /// Data that the backend itself took out of the reply (`structured_output` of the program).
    pub structured: Option<Value>,
    /// Why Claude stopped; none if it was not said.
    pub stop_reason: Option<StopReason>,
    /// The model that wrote it, as the reply names it.
    pub model: String,
    /// What was used.
    pub usage: Usage,
    /// What it cost, if the backend was told; else it is computed from the prices.
    pub cost: Option<Usd>,
    /// The service's id for it.
    pub request_id: Option<String>,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    /// How long everybody should wait before the next call to this host and model line.
    pub pause: Option<Duration>,
}

/// What went wrong, as seen from here.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The service said so with an HTTP status (or the program handed that on).
    Status,
    /// The service said so inside a stream that had begun with 200.
    StreamError,
    /// No connection: refused, unreachable, reset before the answer.
    Connect,
    /// The host's name was not found.
    Dns,
    /// The certificate or the handshake is wrong.
    Tls,
    /// The proxy refused or is not there.
    Proxy,
    /// The time for the attempt ran out.
    Timeout,
    /// A stream was silent for too long.
    Idle,
    /// The connection ended within the answer.
    Broken,
    /// A stream ended without `message_stop`.
    Truncated,
    /// The answer is not of the documented form: HTML, wrong JSON, no result line.
    Malformed,
    /// It has no text.
    Empty,
    /// It is larger than the limit.
    TooLarge,
    /// A redirect to another host, which is not followed.
    Redirect,
    /// The key must not be sent to this address: plain HTTP beyond loopback.
    Insecure,
    /// The `claude` program is not there or cannot be started.
    NoProgram,
    /// The `claude` program ended with a failure that names no cause of the service.
    Program,
    /// Nobody is logged in, or there is no key.
    NotLoggedIn,
    /// A limit on money that was handed over was reached.
    BudgetReached,
    /// Nobody was asked: the breaker is open, or the service wants to be left alone.
    Skipped,
    /// The reader of the text has gone.
    SinkClosed,
    /// The end was asked for: SIGINT.
    Interrupted,
    /// The end was asked for: SIGTERM, SIGHUP.
    Terminated,
}

impl Cause {
    /// Its name in machine output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::StreamError => "stream-error",
            Self::Connect => "connect",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::Timeout => "timeout",
            Self::Idle => "idle",
            Self::Broken => "broken",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::Empty => "empty",
            Self::TooLarge => "too-large",
            Self::Redirect => "redirect",
            Self::Insecure => "insecure",
            Self::NoProgram => "no-program",
            Self::Program => "program",
            Self::NotLoggedIn => "not-logged-in",
            Self::BudgetReached => "budget-reached",
            Self::Skipped => "skipped",
            Self::SinkClosed => "sink-closed",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }
}

impl From<Stop> for Cause {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Interrupt => Self::Interrupted,
            Stop::Terminate => Self::Terminated,
        }
    }
}

/// An attempt that gave no reply.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Fault {
    /// What was seen.
    pub cause: Cause,
    /// The HTTP status, if one came.
    pub status: Option<u16>,
    /// `error.type` of the service.
    pub error_type: Option<String>,
    /// `error.details.error_code` of the service.
    pub error_code: Option<String>,
    /// What it said, for people; at most 500 characters, without secrets.
    pub message: String,
    /// The service's id for it.
    pub request_id: Option<String>,
    /// `x-should-retry`.
    pub should_retry: Option<bool>,
    /// `retry-after-ms` or `retry-after`: the next attempt comes no sooner.
    pub retry_after: Option<Duration>,
    /// How long everybody should wait before the next call to this host and model line.
    pub pause: Option<Duration>,
    /// Whether text was handed to the sink: then nothing may be tried again.
    pub began: bool,
    /// What was used all the same, as far as it was told.
    pub usage: Option<Usage>,
    /// What that cost, if it was told.
    pub cost: Option<Usd>,
}

impl Fault {
    /// A fault of which only the cause is known.
    #[must_use]
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self {
            cause,
            status: None,
            error_type: None,
            error_code: None,
            message: message.into().chars().take(500).collect(),
            request_id: None,
            should_retry: None,
            retry_after: None,
            pause: None,
            began: false,
            usage: None,
            cost: None,
        }
    }

    /// One word for the ledger: the service's error code or type, else the cause.
    #[must_use]
    pub fn word(&self) -> &str {
        let said = self.error_code.as_deref().or(self.error_type.as_deref());
        said.unwrap_or_else(|| self.cause.as_str())
    }
}

/// Makes attempts.
pub trait Backend: Send + Sync {
    /// Which one it is.
    fn name(&self) -> BackendName;

    /// What its breakers, limits and cache entries are told apart by: `api.anthropic.com`,
    /// `127.0.0.1:8080`; the program's path for the program.
    fn host(&self) -> &str;

    /// Makes one attempt.
    fn attempt(&self, call: &mut Call<'_>) -> Result<Reply, Box<Fault>>;

    /// Exactly what an attempt would send or run, without secrets: for a dry run.
    fn preview(&self, request: &Request, model: &str, stream: bool) -> Value {
        request.body(model, stream)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(status) = self.status {
            write!(f, "status {status}, ")?;
        }
        write!(f, "{}: {}", self.word(), self.message)?;
        match &self.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}
