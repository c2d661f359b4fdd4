//! The dashboard and the nine ceremonies: the old headings over what is recorded. Where the old
//! program told what somebody had once invented, it is said that nothing is recorded.

use std::time::Duration;

use serde_json::{Value, json};

use super::facts::{Facts, plans};
use super::{Reply, agents, heading, reviews, section, work};
use crate::commands::Context;
use crate::domain::scrum::{Board, LATELY_HOURS, SPRINT_DAYS, TeamBoard};
use crate::domain::time::human_duration;
use crate::domain::work::{Found, State};
use crate::error::{Error, Kind, Result};
use crate::output::plural;

/// The most lines of one list.
const SHOWN: usize = 20;

/// Everything that ceremonies talk about.
pub(super) struct Room {
    pub(super) facts: Facts,
    plans: Vec<(String, Value)>,
}

/// Holds one.
pub(super) fn hold(cx: &mut Context, name: &str) -> Result<Reply> {
    let room = Room { facts: Facts::read(cx)?, plans: plans(cx)? };
    let board = room.facts.board();
    let lines = match name {
        "dashboard" => dashboard(&room, &board),
        "pi-planning" => planning(&room, &board),
        "scrum-of-scrums" => scrum_of_scrums(&room, &board),
        "innovation-planning" => innovation(&room, &board),
        "system-demo" => reviews::demo(&room, &board),
        "inspect-adapt" => reviews::inspect(&room, &board),
        "art-sync" => art_sync(&room, &board),
        "portfolio-kanban" => reviews::portfolio(&room, &board),
        "coach-training" => reviews::coach(&room, &board),
        "value-stream" => reviews::value_stream(&room, &board),
        other => return Err(Error::new(Kind::Bug, format!("nobody holds `{other}`"))),
    };
    Ok(Reply::new(lines, data(&board)))
}

/// The numbers behind every ceremony.
pub(super) fn data(board: &Board<'_>) -> Value {
    let states: serde_json::Map<String, Value> = State::ALL
        .iter()
        .map(|state| (state.as_str().to_owned(), board.count(*state).into()))
        .collect();
    let ids = |list: &[&Found]| list.iter().map(|f| f.item.id.to_string()).collect::<Vec<_>>();
    let teams: Vec<Value> = board
        .teams
        .iter()
        .map(|(name, team)| {
            json!({
                "team": Some(name).filter(|name| !name.is_empty()),
                "done": team.done, "done_lately": ids(&team.done_lately), "active": ids(&team.active),
                "next": ids(&team.next), "blocked": ids(&team.blocked), "given_up": ids(&team.given_up),
                "points": team.points, "points_lately": team.points_lately,
                "points_open": team.points_open,
                "agents": team.agents, "capacity": team.capacity
            })
        })
        .collect();
    let flow = board.flow.map(|flow| {
        json!({
            "items": flow.items, "lead_s": flow.lead_s, "process_s": flow.process_s,
            "wait_s": flow.wait_s(),
        })
    });
    json!({
        "states": states, "points": board.points, "points_lately": board.points_lately,
        "teams": teams, "flow": flow,
    })
}

pub(super) fn shown(items: &[&Found]) -> Vec<String> {
    let mut lines: Vec<_> =
        items.iter().take(SHOWN).map(|found| format!("🔧 {}", work::told(found))).collect();
    if items.len() > SHOWN {
        lines.push(format!("… and {} more: `coord work list --all`", items.len() - SHOWN));
    }
    lines
}

pub(super) fn all<'a>(
    board: &Board<'a>,
    of: impl for<'b> Fn(&'b TeamBoard<'a>) -> &'b Vec<&'a Found>,
) -> Vec<&'a Found> {
    board.teams.values().flat_map(|team| of(team).iter().copied()).collect()
}

pub(super) fn name(team: &str) -> &str {
    if team.is_empty() { "no team" } else { team }
}

pub(super) fn span(seconds: u64) -> String {
    human_duration(Duration::from_secs(seconds))
}

/// Plans of some kinds that were taken over from old files.
fn planned(room: &Room, kinds: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    for (kind, data) in &room.plans {
        if kinds.iter().any(|wanted| kind.contains(wanted)) {
            let mut text: String = data.to_string().chars().take(160).collect();
            if text.len() < data.to_string().len() {
                text.push('…');
            }
            lines.push(format!("📋 {kind}: {text}"));
        }
    }
    lines.truncate(SHOWN);
    lines
}

pub(super) fn velocity(board: &Board<'_>) -> Vec<String> {
    vec![
        format!(
            "📊 Current Sprint Velocity: {} story points in {SPRINT_DAYS} days",
            board.points_lately
        ),
        format!("📈 Total Velocity: {} story points", board.points),
    ]
}

pub(super) fn flow(board: &Board<'_>) -> Vec<String> {
    let Some(flow) = board.flow else { return Vec::new() };
    let mut lines = vec![
        format!(
            "⏱️ Lead Time: {} on average over {}",
            span(flow.lead_s),
            plural(flow.items, "item")
        ),
        format!("🔧 Process Time: {} on average", span(flow.process_s)),
        format!("⏳ Wait Time: {} on average", span(flow.wait_s())),
    ];
    lines.extend(flow.efficiency().map(|share| format!("📈 Process Efficiency: {share}%")));
    lines
}

fn dashboard(room: &Room, board: &Board<'_>) -> Vec<String> {
    let mut lines = heading("🚀 SCRUM AT SCALE DASHBOARD");
    section(
        &mut lines,
        "🎯 CURRENT PROGRAM INCREMENT (PI):",
        planned(room, &["increment", "pi", "sprint"]),
    );
    let mut people = Vec::new();
    if !room.facts.agents.is_empty() {
        people.push(format!("📊 Active Agents: {}", agents::count_active(&room.facts)));
        people.extend(room.facts.agents.iter().take(SHOWN).map(agents::told));
        if room.facts.agents.len() > SHOWN {
            people.push(format!(
                "… and {} more: `coord agent list`",
                room.facts.agents.len() - SHOWN
            ));
        }
    }
    section(&mut lines, "👥 AGENT TEAMS & STATUS:", people);
    let active = all(board, |team| &team.active);
    let mut body = vec![format!("📊 Active Work Items: {}", active.len())];
    body.extend(shown(&active));
    section(&mut lines, "📋 ACTIVE WORK (CURRENT SPRINT):", body);
    let mut metrics = velocity(board);
    metrics.push(counts(board));
    metrics.extend(flow(board));
    section(&mut lines, "📈 VELOCITY & METRICS:", metrics);
    section(&mut lines, "🔄 UPCOMING SCRUM AT SCALE EVENTS:", planned(room, &["event"]));
    lines
}

/// Items by state, in a line.
pub(super) fn counts(board: &Board<'_>) -> String {
    let each: Vec<_> =
        State::ALL.iter().map(|state| format!("{} {state}", board.count(*state))).collect();
    format!("📋 Work Items: {}", each.join(", "))
}

fn planning(room: &Room, board: &Board<'_>) -> Vec<String> {
    let mut lines = heading("🎯 STARTING PI PLANNING SESSION");
    let increment = increment(&room.plans).unwrap_or_else(|| "(nothing recorded)".to_owned());
    lines.extend([String::new(), format!("📋 PI PLANNING FOR: {increment}")]);
    section(&mut lines, "🏆 PI OBJECTIVES (Business Value Prioritized):", {
        let mut urgent = all(board, |team| &team.next);
        urgent.sort_by_key(|found| found.item.priority);
        let mut body = objectives(&room.plans);
        body.extend(shown(&urgent));
        body
    });
    let capacity = board.teams.iter().filter(|(_, team)| team.agents > 0 || team.points > 0).map(
        |(team, about)| {
            format!(
                "📋 {}: {}, {} at a time, {} points in {SPRINT_DAYS} days, {} points open",
                name(team),
                plural(about.agents, "agent"),
                plural(about.capacity, "item"),
                about.points_lately,
                about.points_open
            )
        },
    );
    section(&mut lines, "👥 TEAM CAPACITY PLANNING:", capacity.collect::<Vec<_>>());
    let open: u64 = board.teams.values().map(|team| team.points_open).sum();
    lines.push(format!(
        "  📊 TOTAL ART CAPACITY: {} story points in {SPRINT_DAYS} days at the present velocity",
        board.points_lately
    ));
    lines.push(format!("  📋 OPEN WORK: {open} story points, where points are given"));
    lines
}

/// The increment that was planned last: its id, what it is called, from when to when. Nobody made one
/// up where none is recorded.
fn increment(plans: &[(String, Value)]) -> Option<String> {
    let all = plans.iter().filter(|(kind, data)| kind == "increment" && data["id"].is_string());
    let (_, data) = all.max_by_key(|(_, data)| data["start_date"].as_str().unwrap_or_default())?;
    let mut told = data["id"].as_str()?.to_owned();
    if let Some(name) = data["name"].as_str() {
        told = format!("{told}: {name}");
    }
    if let (Some(start), Some(end)) = (data["start_date"].as_str(), data["end_date"].as_str()) {
        told = format!("{told} ({start} to {end})");
    }
    Some(told)
}

/// The objectives that are recorded, those of the most value first.
fn objectives(plans: &[(String, Value)]) -> Vec<String> {
    let value = |data: &Value| data["business_value"].as_f64();
    let mut all: Vec<&Value> =
        plans.iter().filter(|(kind, _)| kind == "objective").map(|(_, data)| data).collect();
    all.sort_by(|a, b| value(b).unwrap_or(0.0).total_cmp(&value(a).unwrap_or(0.0)));
    let told = all.into_iter().filter_map(|data| {
        let title = data["title"].as_str().or(data["id"].as_str())?;
        let value = value(data).map(|value| format!(" (business value {value})"));
        Some(format!("🏆 {title}{}", value.unwrap_or_default()))
    });
    told.take(SHOWN).collect()
}

fn scrum_of_scrums(room: &Room, board: &Board<'_>) -> Vec<String> {
    let mut lines = heading("🤝 SCRUM OF SCRUMS COORDINATION");
    lines.extend([
        String::new(),
        room.facts.now.format("📅 Date: %Y-%m-%d | Time: %H:%M UTC").to_string(),
    ]);
    lines.extend([String::new(), "🔄 TEAM UPDATES:".to_owned()]);
    if board.teams.is_empty() {
        lines.push("  (nothing recorded)".to_owned());
    }
    let few = |items: &[&Found]| {
        let mut text: Vec<_> = items.iter().take(5).map(|f| f.item.title.as_str()).collect();
        let more = format!("{} more", items.len().saturating_sub(5));
        if items.len() > 5 {
            text.push(&more);
        }
        if text.is_empty() { "nothing recorded".to_owned() } else { text.join("; ") }
    };
    for (team, about) in &board.teams {
        let blocked: Vec<_> = about.blocked.iter().chain(&about.given_up).copied().collect();
        let now: Vec<_> = about.active.iter().chain(&about.next).copied().collect();
        section(
            &mut lines,
            &format!("📋 {}:", name(team)),
            [
                format!("✅ Done in the last {LATELY_HOURS} hours: {}", few(&about.done_lately)),
                format!("🎯 Next: {}", few(&now)),
                format!("⚠️ Impediments: {}", few(&blocked)),
            ],
        );
    }
    section(&mut lines, "🎯 CROSS-TEAM COORDINATION ACTIONS:", dependencies(room));
    let mut metrics = velocity(board);
    metrics.push(counts(board));
    section(&mut lines, "📈 ART METRICS:", metrics);
    lines
}

/// Items that wait for items of another team.
fn dependencies(room: &Room) -> Vec<String> {
    let by_id: std::collections::BTreeMap<&str, &Found> =
        room.facts.items.iter().map(|found| (found.item.id.as_str(), found)).collect();
    let mut lines = Vec::new();
    for found in room.facts.items.iter().filter(|f| f.state() == State::Blocked) {
        for need in &found.item.needs {
            let Some(other) = by_id.get(need.as_str()) else { continue };
            if other.state() == State::Done || other.item.team == found.item.team {
                continue;
            }
            let team = |found: &Found| {
                found.item.team.as_ref().map_or("no team".to_owned(), ToString::to_string)
            };
            lines.push(format!(
                "🤝 {} → {}: {} waits for {} ({})",
                team(other),
                team(found),
                found.item.id,
                other.item.id,
                other.state()
            ));
        }
    }
    lines.truncate(SHOWN);
    lines
}

fn innovation(room: &Room, board: &Board<'_>) -> Vec<String> {
    let mut lines = heading("💡 INNOVATION AND PLANNING (IP) ITERATION");
    lines.extend([
        String::new(),
        room.facts.now.format("📅 IP Iteration Week: from %Y-%m-%d").to_string(),
    ]);
    section(&mut lines, "🔬 INNOVATION TIME (20%):", Vec::new());
    let mut plan = velocity(board);
    plan.push(counts(board));
    section(&mut lines, "📋 PLANNING ACTIVITIES (80%):", plan);
    let about = ["innovation", "spike", "debt", "learning", "research", "experiment", "refactor"];
    let items: Vec<&Found> = all(board, |team| &team.next)
        .into_iter()
        .filter(|found| {
            let item = &found.item;
            let mut words = item.kind.iter().chain(&item.labels);
            words.any(|word| about.iter().any(|part| word.as_str().contains(part)))
        })
        .collect();
    section(&mut lines, "🚀 INNOVATION BACKLOG ITEMS:", shown(&items));
    lines
}

fn art_sync(room: &Room, board: &Board<'_>) -> Vec<String> {
    let mut lines = heading("🔄 ART SYNC - ALIGNMENT ACROSS TEAMS");
    lines.extend([
        String::new(),
        room.facts.now.format("📅 Date: %Y-%m-%d | Time: %H:%M UTC").to_string(),
    ]);
    let mut risks: Vec<String> = board
        .teams
        .iter()
        .filter(|(_, team)| !team.next.is_empty() && team.agents == 0)
        .map(|(team, about)| {
            let waiting = plural(about.next.len() as u64, "ready item");
            format!("🔴 {}: {waiting} and no registered agent", name(team))
        })
        .collect();
    let silent = room.facts.agents.iter().filter(|k| k.held > 0 && room.facts.is_silent(k));
    risks.extend(silent.map(|known| {
        let held = plural(known.held.into(), "item");
        format!("🟡 agent {} holds {held} and has been silent", known.id)
    }));
    section(&mut lines, "🎯 PROGRAM RISKS AND DEPENDENCIES:", risks);
    section(&mut lines, "🔗 CROSS-TEAM DEPENDENCIES:", dependencies(room));
    let mut metrics = velocity(board);
    metrics.extend(flow(board));
    section(&mut lines, "📈 ART HEALTH METRICS:", metrics);
    lines
}
