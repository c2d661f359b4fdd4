//! A call that has no answer, from no rung of the ladder.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Attempt, Fault};
use crate::error;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Claude refused.
    Refused,
    /// The answer was cut short: `max_tokens`, or a stop reason that is no end.
    CutShort,
    /// The answer does not fit the schema, after the re-asks.
    Unfit,
    /// A budget is used up, or this call would cost more than one allows.
    Budget,
    /// There is no key and no program, or the key cannot be had.
    NoBackend,
    /// The deadline ran out.
    Deadline,
    /// Every attempt failed, or none is allowed now, and there is no fallback.
    Unavailable,
    /// The service does not accept the request itself.
    Rejected,
    /// Offline, and nothing is cached.
    Offline,
    /// The request is wrong, and that was seen before anything was sent.
    BadRequest,
    /// A stream broke after its text had begun.
    Broken,
    /// Only a degraded answer was to be had, and that was not wanted.
    NotFresh,
    /// The reader of the text has gone.
    SinkClosed,
    /// SIGINT.
    Interrupted,
    /// SIGTERM or SIGHUP.
    Terminated,
}

/// A call that has no answer.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{message}")]
pub struct Failure {
    /// Why.
    pub kind: FailureKind,
    /// The same for people: a lowercase fragment.
    pub message: String,
    /// What was tried.
    pub attempts: Vec<Attempt>,
    /// The fault of the last attempt.
    pub fault: Option<Box<Fault>>,
    /// What the user can do.
    pub hints: Vec<String>,
    /// What Claude wrote before it was cut short or did not fit.
    pub partial: Option<String>,
}

impl Failure {
    /// A failure before any attempt.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            attempts: Vec::new(),
            fault: None,
            hints: Vec::new(),
            partial: None,
        }
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl FailureKind {
    /// Its name in machine output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::CutShort => "cut-short",
            Self::Unfit => "unfit",
            Self::Budget => "budget",
            Self::NoBackend => "no-backend",
            Self::Deadline => "deadline",
            Self::Unavailable => "unavailable",
            Self::Rejected => "rejected",
            Self::BadRequest => "bad-request",
            Self::Broken => "broken",
            Self::Offline => "offline",
            Self::NotFresh => "not-fresh",
            Self::SinkClosed => "sink-closed",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }

    /// How it is reported.
    #[must_use]
    pub const fn error_kind(self) -> error::Kind {
        match self {
            Self::Refused | Self::CutShort | Self::Unfit => error::Kind::Refused,
            Self::Budget => error::Kind::Budget,
            Self::NoBackend => error::Kind::Config,
            Self::Deadline => error::Kind::Timeout,
            Self::BadRequest => error::Kind::Usage,
            Self::Unavailable
            | Self::Broken
            | Self::Rejected
            | Self::Offline
            | Self::NotFresh
            | Self::SinkClosed => error::Kind::External,
            Self::Interrupted => error::Kind::Interrupted,
            Self::Terminated => error::Kind::Terminated,
        }
    }
}

impl From<Failure> for error::Error {
    fn from(failure: Failure) -> Self {
        let told = Self::new(failure.kind.error_kind(), failure.message);
        let told = failure.hints.into_iter().fold(told, Self::hint);
        match failure.fault {
            Some(fault) => told.caused_by(anyhow::anyhow!("{fault}")),
            None => told,
        }
    }
}
