//! One operation: a command that a process ran, or a step of a process that runs many.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::trace::{self, Span, SpanId, TraceId};

/// How an operation ended: `ok`, or the kind of its error.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done.
    Ok,
    /// There was nothing to do.
    Empty,
    /// The request could not be met: no such item, wrong state.
    User,
    /// The command line was wrong.
    Usage,
    /// The configuration was wrong.
    Config,
    /// Somebody else held it, or the lease was lost.
    Conflict,
    /// The store's lock was not got in time.
    LockTimeout,
    /// A check found problems.
    Problems,
    /// Claude refused or was cut short.
    Refused,
    /// A budget was used up.
    Budget,
    /// Another program's exit code was handed on.
    Child,
    /// It was stopped by SIGINT.
    Interrupted,
    /// It was stopped by SIGTERM.
    Terminated,
    /// A time limit ran out.
    Timeout,
    /// The store could not be read or written: a failed disk.
    External,
    /// What is not this program's failed: the output that the answer went to, a file, a program or a
    /// receiver that was named, the network.
    Outside,
    /// What was to be told of something, such as an alert's webhook, did not take it.
    Undelivered,
    /// Written but not confirmed durable.
    UnknownOutcome,
    /// A defect in this program.
    Bug,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Ok,
        Self::Empty,
        Self::User,
        Self::Usage,
        Self::Config,
        Self::Conflict,
        Self::LockTimeout,
        Self::Problems,
        Self::Refused,
        Self::Budget,
        Self::Child,
        Self::Interrupted,
        Self::Terminated,
        Self::Timeout,
        Self::External,
        Self::Outside,
        Self::Undelivered,
        Self::UnknownOutcome,
        Self::Bug,
    ];

    /// The word for it, as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Empty => "empty",
            Self::User => "user",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::Conflict => "conflict",
            Self::LockTimeout => "lock-timeout",
            Self::Problems => "problems",
            Self::Refused => "refused",
            Self::Budget => "budget",
            Self::Child => "child",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
            Self::Timeout => "timeout",
            Self::External => "external",
            Self::Outside => "outside",
            Self::Undelivered => "undelivered",
            Self::UnknownOutcome => "unknown-outcome",
            Self::Bug => "bug",
        }
    }

    /// The outcome with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }

    /// Whether `coord` failed its caller. An answer that the caller may not like, such as that nothing
    /// is to be done or that another agent holds the item, is no fault, and neither is a receiver that
    /// does not take what it is told.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        matches!(self, Self::LockTimeout | Self::External | Self::UnknownOutcome | Self::Bug)
    }
}

/// One line of `ops.jsonl`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Operation {
    /// When it began, RFC 3339 UTC with microseconds.
    #[serde(with = "crate::domain::time::text")]
    #[schemars(with = "String")]
    pub at: DateTime<Utc>,
    /// The words of the command, such as `work claim`.
    pub command: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The exit code; for a step of a longer command, what the command alone would have exited with.
    pub exit_code: u8,
    /// How long it took, in microseconds, from the first look at the command line to the answer.
    pub duration_us: u64,
    /// How much of it was spent waiting for the store's lock, in microseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lock_wait_us: u64,
    /// Processor time of the process, in microseconds; steps of a longer command have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<u64>,
    /// The most memory that the process had, in KiB; not measured for operations of a few milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_kib: Option<u64>,
    /// Who acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The item it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// The operation on the store, if it was about several items: the history of each has its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_op: Option<String>,
    /// That item's team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Its trace.
    pub trace_id: TraceId,
    /// Its span.
    pub span_id: SpanId,
    /// The span that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<SpanId>,
    /// Whether that span was told from outside, so that another program may have recorded it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remote_parent: bool,
    /// Whether it lasted by what was asked for, and not by its command: it watched, asked a person, or
    /// asked Claude.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lasting: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Commands that run other programs, ask Claude, tell people, follow what happens, copy all there is, or
/// measure: how long they take is not how fast this program answers.
const LASTING: [&str; 12] = [
    "agent run",
    "alert check",
    "alert redeliver",
    "alert test",
    "backup create",
    "backup verify",
    "compat backup",
    "compat restore",
    "config edit",
    "lock run",
    "restore",
    "swarm run",
];
const LASTING_NOUNS: [&str; 5] = ["bench", "claude", "demo", "selftest", "trace"];

impl Operation {
    /// Whether the caller gets its answer from this program alone, so that the time it took is this
    /// program's. Wherever response times are judged only those count that do.
    #[must_use]
    pub fn answers_at_once(&self) -> bool {
        let noun = self.command.split(' ').next().unwrap_or_default();
        !self.lasting && !LASTING.contains(&self.command.as_str()) && !LASTING_NOUNS.contains(&noun)
    }

    /// When it ended.
    #[must_use]
    pub fn end(&self) -> DateTime<Utc> {
        let took = TimeDelta::from_std(Duration::from_micros(self.duration_us));
        took.ok().and_then(|took| self.at.checked_add_signed(took)).unwrap_or(self.at)
    }

    /// The operation as a span.
    #[must_use]
    pub fn span(&self) -> Span {
        let mut attributes = BTreeMap::new();
        let mut put = |name: &str, value: serde_json::Value| {
            attributes.insert(name.to_owned(), value);
        };
        put("process.exit.code", self.exit_code.into());
        put("coord.outcome", self.outcome.as_str().into());
        if self.lock_wait_us > 0 {
            put("coord.lock_wait_us", self.lock_wait_us.into());
        }
        let texts = [
            ("coord.agent", &self.agent),
            ("coord.item", &self.item),
            ("coord.team", &self.team),
            ("coord.store_op", &self.store_op),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                put(name, text.as_str().into());
            }
        }
        let failed = self.outcome.is_fault() || self.outcome == Outcome::Outside;
        Span {
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent_span_id: self.parent_span_id,
            remote_parent: self.remote_parent,
            name: self.command.clone(),
            kind: trace::Kind::Internal,
            start: self.at,
            duration_us: self.duration_us,
            outcome: if failed { trace::Outcome::Error } else { trace::Outcome::Ok },
            message: failed.then(|| self.outcome.as_str().to_owned()),
            open: false,
            service: None,
            attributes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_file() {
        for outcome in Outcome::ALL {
            let word = serde_json::to_value(outcome).unwrap();
            assert_eq!(word, outcome.as_str());
            assert_eq!(Outcome::from_word(outcome.as_str()), Some(outcome));
        }
    }

    #[test]
    fn what_lasts_by_design_is_no_answer() {
        let answers = |command: &str, lasting: bool| {
            let line = format!(
                r#"{{"at":"2026-01-02T03:04:05Z","command":"{command}","outcome":"ok","exit_code":0,
                "duration_us":1,"lasting":{lasting},"trace_id":"00000000000000000000000000000001",
                "span_id":"0000000000000001"}}"#
            );
            serde_json::from_str::<Operation>(&line).unwrap().answers_at_once()
        };
        for command in ["agent run", "claude ask", "bench", "bench cold", "alert check", "restore"]
        {
            assert!(!answers(command, false), "{command}");
        }
        for command in ["work claim", "agent running", "agent list", "status", "alert list"] {
            assert!(answers(command, false) && !answers(command, true), "{command}");
        }
    }

    #[test]
    fn every_kind_of_error_has_an_outcome() {
        use crate::error::Kind;
        let kinds = [
            Kind::User,
            Kind::Usage,
            Kind::Config,
            Kind::Conflict,
            Kind::External,
            Kind::Empty,
            Kind::Refused,
            Kind::Budget,
            Kind::Unknown,
            Kind::Problems,
            Kind::Bug,
            Kind::Timeout,
            Kind::Interrupted,
            Kind::Terminated,
            Kind::Child(3),
        ];
        for kind in kinds {
            assert!(Outcome::from_word(kind.as_str()).is_some(), "{}", kind.as_str());
        }
    }
}
