//! `agent_status.json`: a list of agents.
//!
//! The old capacity is the share of an agent's time in percent; the new one is how many items it
//! takes at a time. An agent did one thing at a time, so up to 100 % is one item, up to 200 % two.
//! The old number stays among the extra fields.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::fields::{Fields, add};
use super::{Kind, Parsed, scan, time};
use crate::domain::agent::Agent;

/// An agent as the old system knew it.
#[derive(Clone, Debug, PartialEq)]
pub struct OldAgent {
    /// What it said about itself.
    pub agent: Agent,
    /// Its last sign of life.
    pub seen_at: Option<DateTime<Utc>>,
}

fn looks(object: &Map<String, Value>) -> bool {
    object.contains_key("agent_id")
}

pub(super) fn read(bytes: &[u8], now: DateTime<Utc>) -> Parsed<OldAgent> {
    let mut parsed = Parsed::<OldAgent>::default();
    let mut seen = std::collections::BTreeSet::new();
    for piece in scan::records(bytes, &["agents"], looks, &mut parsed.report) {
        let mut fields = Fields::new(piece.object);
        let Some(id) = fields.agent("agent_id") else {
            parsed.report.refused(&piece.place, None, "it has no `agent_id`");
            continue;
        };
        if !seen.insert(id.clone()) {
            parsed.report.duplicate(
                &piece.place,
                id.as_str(),
                "the agent is there already: the first one counts",
            );
            continue;
        }
        let percent = fields.number("capacity", 100_000);
        let capacity = percent.map_or(1, |p| u32::try_from(p.div_ceil(100)).unwrap_or(1).max(1));
        if percent == Some(0) {
            fields.tell("`capacity` is 0 %: it may take one item at a time");
        }
        let seen_at = fields.time("last_heartbeat");
        let mut agent = Agent {
            team: fields.team("team"),
            capacity,
            specialization: fields.text("specialization"),
            capabilities: Vec::new(),
            registered_at: time::of_id(id.as_str()).or(seen_at).unwrap_or(now),
            extra: Map::new(),
            id,
        };
        if let Some(seen_at) = seen_at {
            agent.registered_at = agent.registered_at.min(seen_at);
        }
        agent.extra =
            fields.finish(Kind::Agents, &piece.place, agent.id.as_str(), &mut parsed.report);
        if let Some(percent) = percent {
            add(&mut agent.extra, "capacity_percent", percent.into());
        }
        parsed.push(piece.place, OldAgent { agent, seen_at });
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_in_percent_becomes_items_at_a_time() {
        let text = r#"[{"agent_id":"a","capacity":100,"team":"core","last_heartbeat":"2025-06-16T07:32:48Z"},
            {"agent_id":"b","capacity":80}, {"agent_id":"c","capacity":150}, {"agent_id":"d","capacity":0},
            {"agent_id":"e","capacity":"lots"}, {"agent_id":"a","capacity":1}, {"name":"f"}, 7]"#;
        let parsed = read(text.as_bytes(), DateTime::UNIX_EPOCH).in_order();
        let capacities: Vec<_> = parsed.records.iter().map(|r| r.value.agent.capacity).collect();
        assert_eq!(capacities, [1, 1, 2, 1, 1]);
        assert_eq!(parsed.records[1].value.agent.extra["legacy"]["capacity_percent"], 80);
        assert_eq!(
            parsed.records[0].value.seen_at,
            Some(parsed.records[0].value.agent.registered_at)
        );
        let report = parsed.report;
        assert_eq!(
            (report.read, report.mended.len(), report.refused.len(), report.duplicates.len()),
            (5, 2, 2, 1)
        );
        assert_eq!(report.refused[1].reason, "expected an object, found a number");
    }
}
