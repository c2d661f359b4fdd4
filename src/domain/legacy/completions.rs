//! `coordination_log.json`: a list of completions with their points.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::{Kind, Parsed, scan};
use crate::domain::name::{AgentId, ItemId};
use crate::domain::time::rfc3339;

/// That an item was completed.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// Which one.
    pub id: ItemId,
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// By whom: the old program made a new agent for each command, so it is seldom the claimer.
    pub agent: Option<AgentId>,
    /// How it ended.
    pub result: Option<String>,
    /// For how many points.
    pub points: Option<u32>,
    /// Everything else.
    pub extra: Map<String, Value>,
}

impl Completion {
    /// As one JSON object, for the extra fields of an item.
    pub(super) fn to_value(&self) -> Value {
        json!({
            "at": self.at.map(rfc3339),
            "agent": self.agent,
            "result": self.result,
            "points": self.points,
        })
    }
}

fn looks(object: &Map<String, Value>) -> bool {
    object.contains_key("work_item_id")
}

pub(super) fn read(bytes: &[u8]) -> Parsed<Completion> {
    let mut parsed = Parsed::default();
    for piece in scan::records(bytes, &["completions", "log"], looks, &mut parsed.report) {
        let mut fields = Fields::new(piece.object);
        let Some(id) = fields.id(&["work_item_id", "work_id", "id"]) else {
            parsed.report.refused(&piece.place, None, "it has no `work_item_id`");
            continue;
        };
        let mut completion = Completion {
            at: fields.time("completed_at"),
            agent: fields.agent("agent_id"),
            result: fields.text("result"),
            points: fields.points("velocity_points"),
            extra: Map::new(),
            id,
        };
        completion.extra = fields.finish(
            Kind::Completions,
            &piece.place,
            completion.id.as_str(),
            &mut parsed.report,
        );
        parsed.push(piece.place, completion);
    }
    parsed
}
