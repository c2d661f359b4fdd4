//! One piece of work.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Lease, Limits};
use crate::domain::name::{AgentId, ItemId, OpId, Team, Word};
use crate::domain::time::Stamp;
use crate::domain::trace::{TraceId, trace_of_text};

/// Where an item stands, as it is recorded.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nobody has it.
    Pending,
    /// An agent has it under a lease.
    Active,
    /// Finished well.
    Done,
    /// Given up by an agent that said a retry is pointless.
    Failed,
    /// Failed or lost as often as its attempts allow: a dead letter.
    Dead,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Active, Self::Done, Self::Failed, Self::Dead];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }

    /// Whether nothing more is to be done: everything but pending and active.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Dead)
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or(())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where an item stands, as people see it: [`Status`] and the computed `blocked`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Pending, and everything it needs is done.
    Pending,
    /// An agent has it under a lease.
    Active,
    /// Pending, and something it needs is not done.
    Blocked,
    /// Finished well.
    Done,
    /// Given up for good.
    Failed,
    /// A dead letter.
    Dead,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Active, Self::Blocked, Self::Done, Self::Failed, Self::Dead];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Blocked => "blocked",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }
}

impl FromStr for State {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or(())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How urgent an item is, most urgent first.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// Before everything else.
    Critical,
    /// Before the usual.
    High,
    /// The usual.
    #[default]
    Medium,
    /// When there is nothing else.
    Low,
}

impl Priority {
    /// Every priority, most urgent first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Medium, Self::Low];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

impl FromStr for Priority {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|p| p.as_str() == text).ok_or(())
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One piece of work, as it stands after the last operation on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The identifier.
    pub id: ItemId,
    /// Where it stands.
    pub status: Status,
    /// How urgent it is.
    pub priority: Priority,
    /// What is to be done, in a line.
    pub title: String,
    /// What is to be done, at length.
    pub description: Option<String>,
    /// What kind of work it is, such as `bug`.
    pub kind: Option<Word>,
    /// Whose work it is.
    pub team: Option<Team>,
    /// Words to find it by.
    pub labels: Vec<Word>,
    /// What an agent must be able to do to take it.
    pub capabilities: Vec<Word>,
    /// The items that must be done first.
    pub needs: Vec<ItemId>,
    /// How much work it is, in the team's own points.
    pub points: Option<u32>,
    /// How long it is thought to take, in seconds.
    pub estimate_s: Option<u64>,
    /// The agent it is kept for while it is pending.
    pub assignee: Option<AgentId>,
    /// Who has it, or had it last.
    pub agent: Option<AgentId>,
    /// The fencing token of the present claim.
    pub token: Option<u64>,
    /// How long the present claim holds.
    pub lease: Option<Lease>,
    /// How often it was claimed since it was added or revived.
    pub attempt: u32,
    /// How many attempts it has before it is dead.
    pub max_attempts: u32,
    /// Percent, 0 to 100.
    pub progress: u8,
    /// What the agent last said about it.
    pub note: Option<String>,
    /// How it ended, in the agent's words.
    pub result: Option<String>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last claimed.
    pub claimed_at: Option<DateTime<Utc>>,
    /// When it was finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// An identifier of the user's own: adding the same key twice adds one item.
    pub key: Option<String>,
    /// The trace it belongs to.
    pub trace_id: Option<String>,
    /// Fields this version does not know, kept as they came.
    pub extra: Map<String, Value>,
}

impl Item {
    /// The trace that its life makes: the one it was given, else one of its own.
    #[must_use]
    pub fn trace(&self) -> TraceId {
        let given = self.trace_id.as_deref().and_then(trace_of_text);
        given.unwrap_or_else(|| TraceId::of(self.id.as_str(), self.created_at.timestamp_micros()))
    }

    /// A pending item with nothing but its name.
    #[must_use]
    pub fn bare(id: ItemId, title: String, now: DateTime<Utc>) -> Self {
        Self {
            id,
            status: Status::Pending,
            priority: Priority::default(),
            title,
            description: None,
            kind: None,
            team: None,
            labels: Vec::new(),
            capabilities: Vec::new(),
            needs: Vec::new(),
            points: None,
            estimate_s: None,
            assignee: None,
            agent: None,
            token: None,
            lease: None,
            attempt: 0,
            max_attempts: Limits::MAX_ATTEMPTS,
            progress: 0,
            note: None,
            result: None,
            created_at: now,
            claimed_at: None,
            finished_at: None,
            key: None,
            trace_id: None,
            extra: Map::new(),
        }
    }
}

/// Who does what to the store when: the part of every operation that goes into its log line.
#[derive(Clone, Debug)]
pub struct Op {
    /// The operation's identifier.
    pub id: OpId,
    /// Whether the caller chose the identifier, so that it may be a repetition.
    pub given: bool,
    /// Who does it.
    pub by: AgentId,
    /// When.
    pub now: Stamp,
}

/// An item together with what only the whole store knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The item.
    pub item: Item,
    /// The number of the last write to it: it grows with every write to the store.
    pub n: u64,
    /// When that write was made.
    pub updated_at: DateTime<Utc>,
    /// How many of the items it needs are not done.
    pub open_needs: u32,
}

impl Found {
    /// Where it stands as people see it.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.item.status {
            Status::Pending if self.open_needs > 0 => State::Blocked,
            Status::Pending => State::Pending,
            Status::Active => State::Active,
            Status::Done => State::Done,
            Status::Failed => State::Failed,
            Status::Dead => State::Dead,
        }
    }
}
