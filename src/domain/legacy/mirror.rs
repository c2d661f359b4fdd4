//! The old files made of what the store holds: the importers' other direction.
//!
//! Programs of the old system read `work_claims.json`, `agent_status.json`,
//! `coordination_log.json` and `velocity_log.txt`. Each is made whole, in the old shape; times are
//! cut to seconds. What was taken over from old files comes back as it was: texts that were no
//! names, fields that have no place in an item.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::words::{self, Meaning};
use super::{Kind, Points};
use crate::domain::agent::Known;
use crate::domain::name::AgentId;
use crate::domain::time::parse_rfc3339;
use crate::domain::work::{Found, Item, Priority, Status};

/// The team of the old system that everybody was in who named none.
pub const USUAL_TEAM: &str = "autonomous_team";
/// What the old system wrote for the length of work that nobody had estimated.
const USUAL_LENGTH: &str = "30m";
/// What the old system wrote for an agent that had named no speciality.
pub const USUAL_SPECIALITY: &str = "general_development";
/// Fields that were only added on the way in.
const OURS: [&str; 5] = ["was", "kind", "completion", "completed_again", "capacity_percent"];

/// What the mirrors are made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Every item, in the order in which they were added.
    pub items: &'a [Found],
    /// Every agent.
    pub agents: &'a [Known],
    /// Points that were taken over from an old `velocity_log.txt`.
    pub imported: &'a [Points],
    /// After this time without a sign of life an agent is inactive.
    pub silent_after: Duration,
    /// Now.
    pub now: DateTime<Utc>,
}

/// The kinds of old files that are mirrored.
pub const KINDS: [Kind; 4] = [Kind::Claims, Kind::Agents, Kind::Completions, Kind::Velocity];

/// The bytes of one mirror; nothing for a kind that is not mirrored.
#[must_use]
pub fn file(kind: Kind, facts: Facts<'_>) -> Vec<u8> {
    match kind {
        Kind::Claims => list(facts.items.iter().map(claim).collect()),
        Kind::Agents => list(agents(facts)),
        Kind::Completions => list(completions(facts.items)),
        Kind::Velocity => velocity(facts),
        Kind::Queue | Kind::Backlog | Kind::Sprints | Kind::Spans => Vec::new(),
    }
}

/// A time as the old system wrote it.
#[must_use]
pub fn seconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn list(rows: Vec<Value>) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(&Value::Array(rows)).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// What an old record had that has no place of its own.
fn legacy(item: &Item) -> Option<&Map<String, Value>> {
    item.extra.get("legacy")?.as_object()
}

/// A text as it was before it was made a name.
fn was<'a>(item: &'a Item, key: &str) -> Option<&'a str> {
    legacy(item)?.get("was")?.get(key)?.as_str()
}

/// The whole text of an item: the old system had but one.
#[must_use]
pub fn text(item: &Item) -> String {
    match &item.description {
        Some(whole) if whole.trim_start().starts_with(&item.title) => whole.clone(),
        Some(more) => format!("{}\n\n{more}", item.title),
        None => item.title.clone(),
    }
}

/// The old word for where an item stands.
fn status(item: &Item) -> &str {
    match item.status {
        Status::Pending => "pending",
        Status::Active => match item.note.as_deref() {
            Some(word) if words::meaning(word) == Some(Meaning::Held) => word,
            _ if item.progress > 0 => "in_progress",
            _ => "active",
        },
        Status::Done => "completed",
        Status::Failed | Status::Dead => "failed",
    }
}

/// A priority by its own name or one that meant the same in the old system.
#[must_use]
pub fn priority(word: &str) -> Option<Priority> {
    words::priority(word).map(|(priority, _)| priority)
}

/// A length of time as the old system wrote it: whole minutes.
fn minutes(seconds: u64) -> String {
    format!("{}m", seconds.div_ceil(60))
}

fn claim(found: &Found) -> Value {
    let item = &found.item;
    let kept = legacy(item);
    let mut row = Map::new();
    let mut put = |key: &str, value: Value| drop(row.insert(key.to_owned(), value));
    let active = item.status != Status::Pending;
    put("work_item_id", json!(item.id));
    put("agent_id", json!(item.agent.as_ref().filter(|_| active)));
    put("reactor_id", json!("shell_agent"));
    put("claimed_at", json!(item.claimed_at.filter(|_| active).map(seconds)));
    put("estimated_duration", item.estimate_s.map_or(json!(USUAL_LENGTH), |s| json!(minutes(s))));
    let kind = was(item, "work_type").or(item.kind.as_ref().map(AsRef::as_ref));
    put("work_type", json!(kind.unwrap_or_default()));
    put("priority", json!(item.priority));
    put("description", json!(text(item)));
    put("status", json!(status(item)));
    let team = was(item, "team").or(item.team.as_ref().map(AsRef::as_ref));
    put("team", json!(team.unwrap_or(USUAL_TEAM)));
    let mut telemetry = match kept.and_then(|kept| kept.get("telemetry")) {
        Some(Value::Object(old)) => old.clone(),
        _ => Map::new(),
    };
    if let Some(trace) = &item.trace_id {
        telemetry.insert("trace_id".to_owned(), json!(trace));
    }
    put("telemetry", telemetry.into());
    if active {
        put("progress", json!(item.progress));
        put("last_update", json!(seconds(found.updated_at)));
    }
    if item.status.is_finished() {
        put("completed_at", json!(item.finished_at.map(seconds)));
        put("result", json!(item.result));
    }
    if let Some(kept) = kept {
        for (key, value) in kept.iter().filter(|(key, _)| !OURS.contains(&key.as_str())) {
            if key == "reactor_id" || !row.contains_key(key) {
                row.insert(key.clone(), value.clone());
            }
        }
    }
    row.into()
}

fn completions(items: &[Found]) -> Vec<Value> {
    let mut rows = Vec::new();
    for item in items.iter().map(|found| &found.item).filter(|i| i.status == Status::Done) {
        let at = item.finished_at.unwrap_or(item.created_at);
        let row = |at: String, agent: Value, result: Value, points: Value| {
            json!({
                "work_item_id": item.id, "completed_at": at, "agent_id": agent,
                "result": result, "velocity_points": points,
            })
        };
        let result = item.result.as_deref().unwrap_or("success");
        let first = row(
            seconds(at),
            json!(item.agent),
            json!(result),
            json!(item.points.unwrap_or_default()),
        );
        rows.push((at, first));
        let again = legacy(item).and_then(|kept| kept.get("completed_again")?.as_array());
        for other in again.into_iter().flatten() {
            let Some(at) = other["at"].as_str().and_then(parse_rfc3339) else { continue };
            let (agent, result) = (other["agent"].clone(), other["result"].clone());
            rows.push((at, row(seconds(at), agent, result, other["points"].clone())));
        }
    }
    rows.sort_by_key(|(at, _)| *at);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Points of items that were finished here: those that were finished before they were taken over
/// have no token, and their points came with the old log.
#[must_use]
pub fn earned(items: &[Found]) -> Vec<Points> {
    let of = |item: &Item| {
        let points = item.points?;
        let team = item.team.clone().or_else(|| USUAL_TEAM.parse().ok())?;
        Some(Points { at: item.finished_at?, team, points })
    };
    let here = |item: &&Item| item.status == Status::Done && item.token.is_some();
    items.iter().map(|found| &found.item).filter(here).filter_map(of).collect()
}

fn velocity(facts: Facts<'_>) -> Vec<u8> {
    let mut rows: Vec<Points> = facts.imported.to_vec();
    rows.extend(earned(facts.items));
    rows.sort_by_key(|row| row.at);
    let line = |row: &Points| {
        format!("{}: Team {} +{} velocity points\n", seconds(row.at), row.team, row.points)
    };
    rows.iter().map(line).collect::<String>().into_bytes()
}

/// What the items say about an agent.
#[derive(Default)]
struct Record {
    team: Option<String>,
    claimed_at: Option<DateTime<Utc>>,
    took_s: u64,
    finished: u64,
}

fn agents(facts: Facts<'_>) -> Vec<Value> {
    let mut records: BTreeMap<&AgentId, Record> = BTreeMap::new();
    for item in facts.items.iter().map(|found| &found.item) {
        let Some(agent) = &item.agent else { continue };
        let record = records.entry(agent).or_default();
        if item.claimed_at >= record.claimed_at {
            record.claimed_at = item.claimed_at;
            record.team = item.team.as_ref().map(ToString::to_string).or(record.team.take());
        }
        if let (Status::Done, Some(from), Some(to)) =
            (item.status, item.claimed_at, item.finished_at)
        {
            record.finished += 1;
            record.took_s += (to - from).num_seconds().max(0).unsigned_abs();
        }
    }
    let row = |known: &Known| {
        let record = records.get(&known.id);
        let said = known.agent.as_ref();
        let team = said.and_then(|agent| agent.team.as_ref()).map(ToString::to_string);
        let team = team.or_else(|| record.and_then(|r| r.team.clone()));
        let capacity = said.map_or(json!(100), |agent| {
            let percent = agent.extra.get("legacy").and_then(|kept| kept.get("capacity_percent"));
            percent.cloned().unwrap_or_else(|| json!(u64::from(agent.capacity) * 100))
        });
        let silent = known.seen_at.is_none_or(|seen| {
            (facts.now - seen).to_std().is_ok_and(|age| age > facts.silent_after)
        });
        let special = said.and_then(|agent| agent.specialization.as_deref());
        let took = record.filter(|r| r.finished > 0).map_or(0, |r| r.took_s / r.finished);
        let rate = known.success_rate().map(|rate| (rate * 1000.0).round() / 10.0);
        json!({
            "agent_id": known.id,
            "team": team.as_deref().unwrap_or(USUAL_TEAM),
            "status": if silent { "inactive" } else { "active" },
            "capacity": capacity,
            "current_workload": known.held,
            "specialization": special.unwrap_or(USUAL_SPECIALITY),
            "last_heartbeat": known.seen_at.map(seconds),
            "performance_metrics": {
                "tasks_completed": known.done,
                "average_completion_time": minutes(took),
                "success_rate": rate,
            },
        })
    };
    facts.agents.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::legacy;
    use crate::domain::work::State;

    fn found(item: Item) -> Found {
        Found { item, n: 1, updated_at: DateTime::UNIX_EPOCH, open_needs: 0 }
    }

    fn facts(items: &[Found]) -> Facts<'_> {
        let silent_after = Duration::from_mins(15);
        Facts { items, agents: &[], imported: &[], silent_after, now: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn what_was_imported_comes_back_and_is_imported_the_same() {
        let old = json!([
            {"work_item_id": "work_1750055927455076000", "agent_id": "nova", "reactor_id": "r",
             "claimed_at": "2025-06-16T06:38:47Z", "estimated_duration": "45m",
             "work_type": "fix: \"login\"", "priority": "high", "description": "a\nb \\ \u{1F980}",
             "status": "completed", "team": "core team", "telemetry": {"span_id": "s"},
             "completed_at": "2025-06-16T06:45:28Z", "result": "ok", "new_field": [1]},
            {"work_item_id": "w-2", "agent_id": null, "claimed_at": null, "work_type": "bug",
             "priority": "low", "description": "two", "status": "pending", "team": "core"},
        ]);
        let read = |bytes: &[u8]| {
            let parsed = legacy::claims(bytes, DateTime::UNIX_EPOCH);
            parsed.records.into_iter().map(|r| found(r.value)).collect::<Vec<_>>()
        };
        let items = read(old.to_string().as_bytes());
        assert_eq!(items[0].state(), State::Done);
        let bytes = file(Kind::Claims, facts(&items));
        let rows: Value = serde_json::from_slice(&bytes).unwrap();
        for (key, value) in old[0].as_object().unwrap() {
            assert_eq!(rows[0][key], *value, "{key}");
        }
        assert_eq!(rows[1]["status"], "pending");
        let again = read(&bytes);
        assert_eq!(again[0].item.title, items[0].item.title);
        assert_eq!(again[0].item.description, items[0].item.description);
        assert_eq!(again[0].item.kind, items[0].item.kind);
    }

    #[test]
    fn completions_and_points_are_those_of_the_items() {
        let mut item = Item::bare("work_1".parse().unwrap(), "x".to_owned(), DateTime::UNIX_EPOCH);
        item.status = Status::Done;
        item.points = Some(8);
        item.finished_at = DateTime::from_timestamp(60, 500_000_000);
        item.agent = Some("nova".parse().unwrap());
        let old = found(item.clone());
        item.token = Some(7);
        item.team = Some("core".parse().unwrap());
        let items = [old, found(item)];
        let text = |kind| String::from_utf8(file(kind, facts(&items))).unwrap();
        assert_eq!(text(Kind::Velocity), "1970-01-01T00:01:00Z: Team core +8 velocity points\n");
        assert_eq!(legacy::velocity(text(Kind::Velocity).as_bytes()).records.len(), 1);
        let rows = legacy::completions(text(Kind::Completions).as_bytes());
        assert_eq!((rows.records.len(), rows.records[0].value.points), (2, Some(8)));
    }
}
