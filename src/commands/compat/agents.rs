//! `register`, `remove-agent`, `generate-id`, `list-agents` and what is told of single agents.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::facts::Facts;
use super::{Reply, given, heading, made_id, missing};
use crate::commands::Context;
use crate::domain::agent::{Agent, Known};
use crate::domain::legacy::dialect::Spelling;
use crate::domain::legacy::mirror::{USUAL_SPECIALITY, USUAL_TEAM};
use crate::domain::name::{AgentId, Team};
use crate::domain::time::human_duration;
use crate::error::{Error, Kind, Result};
use crate::output::plural;

/// The most that an agent's capacity may be, in percent.
const MOST_PERCENT: u64 = 100_000;

/// `register ID [TEAM] [CAPACITY=100] [SPEC]`. The old capacity is a share of the agent's time; one item
/// at a time takes all of it.
pub(super) fn register(cx: &mut Context, spelling: &Spelling, rest: &[&str]) -> Result<Reply> {
    let id = agent_id(spelling, rest)?;
    let from_env = cx.env.text("AGENT_TEAM");
    let team = given(rest, 1).or(from_env.as_deref()).unwrap_or(USUAL_TEAM);
    let team: Team = team.parse().map_err(|why| {
        Error::new(Kind::User, format!("`{}` is no name for a team: {why}", team.escape_debug()))
            .hint("a name is 1 to 64 letters, digits, `.`, `_` and `-`")
    })?;
    let capacity = given(rest, 2).unwrap_or("100");
    let digits = capacity.strip_suffix('%').unwrap_or(capacity);
    let percent = digits.parse::<u64>().ok().filter(|p| *p <= MOST_PERCENT);
    let Some(percent) = percent else {
        let what = format!("`{}` is no capacity", capacity.escape_debug());
        return Err(Error::new(Kind::User, what).hint(format!(
            "expected a share of the agent's time in percent, 0 to {MOST_PERCENT}"
        )));
    };
    let special = given(rest, 3).unwrap_or(USUAL_SPECIALITY);
    let op = cx.op(Some(&id))?;
    let store = cx.store()?;
    let before = store.agent(&id)?;
    let mut extra = before.as_ref().map_or_else(Map::new, |agent| agent.extra.clone());
    let legacy = extra.entry("legacy").or_insert_with(|| Map::new().into());
    if let Value::Object(legacy) = legacy {
        legacy.insert("capacity_percent".to_owned(), percent.into());
    }
    let agent = Agent {
        id: id.clone(),
        team: Some(team.clone()),
        capacity: u32::try_from(percent.div_ceil(100)).unwrap_or(1).max(1),
        specialization: Some(special.to_owned()),
        capabilities: before.as_ref().map_or_else(Vec::new, |agent| agent.capabilities.clone()),
        registered_at: before.as_ref().map_or(op.now.wall, |agent| agent.registered_at),
        extra,
    };
    store.register(&agent, &op)?;
    store.heartbeat(&id, &op)?;
    let lines = vec![format!("🔧 REGISTERED: Agent {id} in team {team} with {percent}% capacity")];
    let data = json!({
        "agent": id, "team": team, "capacity_percent": percent, "capacity": agent.capacity,
        "specialization": special, "updated": before.is_some(),
    });
    Ok(Reply::new(lines, data).agents())
}

/// `remove-agent ID`.
pub(super) fn remove(cx: &mut Context, spelling: &Spelling, rest: &[&str]) -> Result<Reply> {
    let id = agent_id(spelling, rest)?;
    let by = super::named_agent(cx)?.unwrap_or_else(|| id.clone());
    let op = cx.op(Some(&by))?;
    let removed = cx.store()?.remove_agent(&id, &op)?;
    let items: Vec<_> = removed.items.iter().map(|found| found.item.id.as_str()).collect();
    let mut lines = vec![format!("🗑️ REMOVED: Agent {id}")];
    lines.extend(items.iter().map(|item| format!("  🔧 {item} goes back to the queue")));
    Ok(Reply::new(lines, json!({ "agent": id, "items": items })).agents())
}

/// `generate-id`.
pub(super) fn generate_id(cx: &Context) -> Reply {
    let id = made_id(cx, "agent");
    Reply::new(vec![id.clone()], json!({ "agent": id }))
}

/// `list-agents`.
pub(super) fn list(cx: &mut Context) -> Result<Reply> {
    let facts = Facts::read(cx)?;
    let mut lines = heading("👥 AGENTS");
    lines.push(format!("  📊 Active Agents: {}", count_active(&facts)));
    lines.extend(facts.agents.iter().map(|known| format!("  {}", told(known))));
    if facts.agents.is_empty() {
        lines.push("  (nothing recorded)".to_owned());
    }
    let ids: Vec<_> = facts.agents.iter().map(|known| known.id.as_str()).collect();
    Ok(Reply::new(lines, super::listed("agents", &ids)))
}

/// Agents that gave a sign of life lately.
pub(super) fn count_active(facts: &Facts) -> usize {
    facts.agents.iter().filter(|known| !facts.is_silent(known)).count()
}

/// An agent in a line, as the old program told it.
pub(super) fn told(known: &Known) -> String {
    let Some(said) = &known.agent else {
        return format!("🤖 Agent {}: not registered", known.id);
    };
    let team = said.team.as_ref().map_or("no", AsRef::as_ref);
    let special = said.specialization.as_deref().unwrap_or("any work");
    format!("🤖 Agent {}: {team} team ({special})", known.id)
}

/// `agent-performance [ID]`.
pub(super) fn performance(cx: &mut Context, rest: &[&str]) -> Result<Reply> {
    each(cx, rest, "📈 AGENT PERFORMANCE", |_, known| {
        let rate = known.success_rate().map(|rate| rate * 100.0);
        let how =
            rate.map_or_else(|| "no rate yet".to_owned(), |rate| format!("{rate:.1}% success"));
        let (done, failed) = (plural(known.done, "item"), known.failed + known.expired);
        let line = format!(
            "🤖 {}: {done} completed, {failed} failed, {how}, {} points",
            known.id, known.points
        );
        let data = json!({
            "agent": known.id, "completed": known.done, "failed": known.failed,
            "expired": known.expired, "success_rate": known.success_rate(), "points": known.points,
        });
        (line, data)
    })
}

/// `agent-workload [ID]`.
pub(super) fn workload(cx: &mut Context, rest: &[&str]) -> Result<Reply> {
    each(cx, rest, "⚖️ AGENT WORKLOAD", |_, known| {
        let capacity = known.agent.as_ref().map(|agent| agent.capacity);
        let of = capacity.map_or_else(|| "any number".to_owned(), |capacity| capacity.to_string());
        let line = format!("🤖 {}: holds {} of {of}", known.id, known.held);
        (line, json!({ "agent": known.id, "held": known.held, "capacity": capacity }))
    })
}

/// `agent-health [ID]`.
pub(super) fn health(cx: &mut Context, rest: &[&str]) -> Result<Reply> {
    each(cx, rest, "🏥 AGENT HEALTH", |facts, known| {
        let silent = facts.is_silent(known);
        let age = known.seen_at.map(|seen| (facts.now - seen).to_std().unwrap_or_default());
        let seen = age.map_or_else(
            || "was never heard of".to_owned(),
            |age| {
                format!("was heard of {} ago", human_duration(Duration::from_secs(age.as_secs())))
            },
        );
        let word = if silent { "silent" } else { "alive" };
        let line = format!("🤖 {}: {word}, {seen}, {} leases ran out", known.id, known.expired);
        let data = json!({
            "agent": known.id, "silent": silent, "seen_ago_s": age.map(|age| age.as_secs()),
            "expired": known.expired,
        });
        (line, data)
    })
}

/// A line for each agent, or for the one that is named.
fn each(
    cx: &mut Context,
    rest: &[&str],
    title: &str,
    tell: impl Fn(&Facts, &Known) -> (String, Value),
) -> Result<Reply> {
    let facts = Facts::read(cx)?;
    let wanted = given(rest, 0);
    let told: Vec<_> = facts
        .agents
        .iter()
        .filter(|known| wanted.is_none_or(|id| known.id.as_str() == id))
        .map(|known| tell(&facts, known))
        .collect();
    if let (Some(id), true) = (wanted, told.is_empty()) {
        return Err(Error::new(Kind::User, format!("no agent `{}`", id.escape_debug()))
            .hint("`list-agents` shows every agent"));
    }
    let mut lines = heading(title);
    lines.extend(told.iter().map(|(line, _)| format!("  {line}")));
    if told.is_empty() {
        lines.push("  (nothing recorded)".to_owned());
    }
    let rows: Vec<_> = told.into_iter().map(|(_, data)| data).collect();
    Ok(Reply::new(lines, super::listed("agents", &rows)))
}

/// The agent that is named.
fn agent_id(spelling: &Spelling, rest: &[&str]) -> Result<AgentId> {
    let Some(text) = given(rest, 0) else {
        return Err(missing("the agent's id", spelling).hint("`generate-id` makes one"));
    };
    text.parse().map_err(|why| {
        Error::new(Kind::User, format!("`{}` is no agent id: {why}", text.escape_debug()))
            .hint("`generate-id` makes one")
    })
}
