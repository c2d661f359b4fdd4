//! Agents: who does the work.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::name::{AgentId, Team, Word};

/// After this time without a sign of life an agent is called silent, unless settings say otherwise.
pub const SILENT_AFTER: Duration = Duration::from_mins(15);

/// What an agent says about itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Agent {
    /// Its identifier.
    pub id: AgentId,
    /// Its team.
    #[serde(default)]
    pub team: Option<Team>,
    /// How many items it takes at a time.
    #[serde(default = "one")]
    pub capacity: u32,
    /// What it is best at: the type of work it is preferred for.
    #[serde(default)]
    pub specialization: Option<String>,
    /// What it can do.
    #[serde(default)]
    pub capabilities: Vec<Word>,
    /// When it registered first.
    pub registered_at: DateTime<Utc>,
    /// Fields this version does not know, kept as they came.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

const fn one() -> u32 {
    1
}

/// An agent together with what the store knows of its work.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// What it said about itself; an agent that only claimed never did.
    pub agent: Option<Agent>,
    /// Its identifier.
    pub id: AgentId,
    /// Its last sign of life: heartbeat, claim, progress or completion.
    pub seen_at: Option<DateTime<Utc>>,
    /// Items it holds.
    pub held: u32,
    /// Items it finished well.
    pub done: u64,
    /// Items it failed.
    pub failed: u64,
    /// Items whose lease it let run out.
    pub expired: u64,
    /// Points of the items it finished.
    pub points: u64,
}

impl Known {
    /// The share of its finished items that ended well; nothing without any.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio for people; counts stay far below 2^52"
    )]
    pub fn success_rate(&self) -> Option<f64> {
        let all = self.done + self.failed + self.expired;
        (all > 0).then(|| self.done as f64 / all as f64)
    }
}
