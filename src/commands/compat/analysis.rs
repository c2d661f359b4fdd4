//! What Claude was asked for. Until somebody asks it, the answers are counted by fixed rules from the
//! store, and say so: [`advice`] is the one place where an answer of Claude's would come in.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::facts::Facts;
use super::{Reply, agents, ceremonies, given, heading, is_there, section, work};
use crate::commands::Context;
use crate::domain::agent::Known;
use crate::domain::scrum::ranked;
use crate::domain::work::route::{self, Job, Worker};
use crate::domain::work::{Found, Priority, State};
use crate::error::{Error, Kind, Result};
use crate::output::plural;

/// What an answer rests on.
const SOURCE: &str = "computed by fixed rules from the store; Claude was not asked";
/// The most lines of one list.
const SHOWN: usize = 10;

/// What was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Topic {
    Priorities,
    Assignments,
    Recommendation,
    Health,
    Teams,
}

/// An answer to one of the topics.
struct Advice {
    /// Headings, each with its lines.
    parts: Vec<(&'static str, Vec<String>)>,
    data: Value,
    source: &'static str,
}

/// Answers an old command of this family.
pub(super) fn show(cx: &mut Context, name: &str, rest: &[&str]) -> Result<Reply> {
    let wanted = given(rest, 0);
    let (title, topic) = match name {
        "claude-analyze-priorities" => ("🧠 CLAUDE WORK PRIORITY ANALYSIS", Topic::Priorities),
        "claude-optimize-assignments" => {
            ("🎯 CLAUDE AGENT ASSIGNMENT OPTIMIZATION", Topic::Assignments)
        }
        "claude-recommend-work" => ("🎯 CLAUDE WORK RECOMMENDATION", Topic::Recommendation),
        "claude-health-analysis" => ("🏥 CLAUDE SWARM HEALTH ANALYSIS", Topic::Health),
        "claude-team-analysis" => ("👥 CLAUDE TEAM ANALYSIS", Topic::Teams),
        "claude-stream" => return stream(cx, rest),
        "claude-dashboard" => return dashboard(cx),
        "claude-pipe" => return Err(needs_claude("claude-pipe", "coord claude ask")),
        "claude-enhanced" => return Err(needs_claude("claude-enhanced", "coord claude ask")),
        other => return Err(Error::new(Kind::Bug, format!("nobody answers `{other}`"))),
    };
    let advice = advice(cx, topic, wanted)?;
    let mut lines = heading(title);
    lines.push(format!("🔍 Source: {}", advice.source));
    for (title, body) in advice.parts {
        section(&mut lines, title, body);
    }
    Ok(Reply::new(lines, json!({ "source": advice.source, "analysis": advice.data })))
}

/// Only Claude can answer it.
fn needs_claude(word: &str, command: &str) -> Error {
    let error =
        Error::new(Kind::User, format!("`{word}` needs Claude, and nothing else can answer it"));
    if is_there(command) {
        error.hint(format!("use `{command}`"))
    } else {
        error.hint("pass the text to the `claude` program itself: `claude --print`")
    }
}

/// The answer to a topic: the place where Claude is to be asked first.
fn advice(cx: &mut Context, topic: Topic, wanted: Option<&str>) -> Result<Advice> {
    let who = super::named_agent(cx)?;
    let facts = Facts::read(cx)?;
    let (parts, data) = match topic {
        Topic::Priorities => priorities(&facts),
        Topic::Assignments => assignments(&facts, wanted),
        Topic::Recommendation => recommendation(&facts, who.as_ref().map(AsRef::as_ref), wanted),
        Topic::Health => {
            let problems = problems(&facts);
            let state = if problems.is_empty() { "healthy" } else { "needs attention" };
            let data = json!({ "state": state, "problems": problems });
            let counts = vec![format!("🎯 {state}"), ceremonies::counts(&facts.board())];
            (vec![("📊 System Health:", counts), ("🚨 CRITICAL RECOMMENDATIONS:", problems)], data)
        }
        Topic::Teams => teams(&facts, wanted),
    };
    Ok(Advice { parts, data, source: SOURCE })
}

type Answer = (Vec<(&'static str, Vec<String>)>, Value);

fn priorities(facts: &Facts) -> Answer {
    let ranked = ranked(&facts.items);
    let why = |found: &Found, waiting: u64| {
        let why = format!("{}, {}", found.item.priority, found.state());
        match waiting {
            0 => why,
            1 => format!("{why}, 1 item waits for it"),
            _ => format!("{why}, {waiting} items wait for it"),
        }
    };
    let lines = ranked
        .iter()
        .take(SHOWN)
        .map(|(found, waiting)| format!("🎯 {}: {}", work::told(found), why(found, *waiting)));
    let mut by_priority: BTreeMap<Priority, Vec<&str>> = BTreeMap::new();
    for (found, _) in &ranked {
        by_priority.entry(found.item.priority).or_default().push(found.item.id.as_str());
    }
    let priorities: serde_json::Map<String, Value> = Priority::ALL
        .iter()
        .map(|priority| {
            (
                priority.as_str().to_owned(),
                json!(by_priority.get(priority).cloned().unwrap_or_default()),
            )
        })
        .collect();
    let order: Vec<_> = ranked.iter().map(|(found, _)| found.item.id.as_str()).collect();
    (
        vec![("📊 Priority Recommendations:", lines.collect())],
        json!({ "order": order, "priorities": priorities }),
    )
}

fn workers(facts: &Facts, team: Option<&str>) -> Vec<Worker> {
    let worker = |known: &Known| Worker::of(known.clone(), facts.now, facts.silent_after);
    let fits = |worker: &Worker| {
        team.is_none_or(|team| worker.team.as_ref().is_some_and(|t| t.as_str() == team))
    };
    facts.agents.iter().filter_map(worker).filter(fits).collect()
}

fn assignments(facts: &Facts, team: Option<&str>) -> Answer {
    let ready = |found: &&Found| {
        found.state() == State::Pending
            && team.is_none_or(|team| found.item.team.as_ref().is_some_and(|t| t.as_str() == team))
    };
    let jobs: Vec<Job> =
        facts.items.iter().filter(ready).map(|found| Job::from(&found.item)).collect();
    let plan = route::plan(&jobs, &workers(facts, team), true, None);
    let moves: Vec<Value> = plan
        .moves
        .iter()
        .map(|step| json!({ "id": step.item, "from": step.from, "to": step.to, "reason": step.reason.as_str() }))
        .collect();
    let lines = plan.moves.iter().take(SHOWN).map(|step| {
        let to = step.to.as_ref().map_or("nobody", AsRef::as_ref);
        format!("⚡ {} → {to} ({})", step.item, step.reason.as_str())
    });
    let left = plan
        .unplaced
        .iter()
        .take(SHOWN)
        .map(|(id, reason)| format!("⚠️ {id} stays with nobody ({})", reason.as_str()));
    let parts = vec![
        ("🔧 Recommended Assignments:", lines.collect()),
        ("⚠️ Work Without An Agent:", left.collect()),
    ];
    (parts, json!({ "moves": moves, "unplaced": plan.unplaced.len() }))
}

fn recommendation(facts: &Facts, agent: Option<&str>, kind: Option<&str>) -> Answer {
    let fits = |found: &Found| {
        found.state() == State::Pending
            && kind.is_none_or(|kind| found.item.kind.as_ref().is_some_and(|k| k.as_str() == kind))
            && found.item.assignee.as_ref().is_none_or(|kept| Some(kept.as_str()) == agent)
    };
    let ranked = ranked(&facts.items);
    let best = ranked.iter().map(|(found, _)| *found).find(|found| fits(found));
    let lines = best.map(|found| format!("💡 Recommendation: claim {}", work::told(found)));
    let data = json!({ "agent": agent, "id": best.map(|found| found.item.id.as_str()) });
    (vec![("🎯 Next Work:", lines.into_iter().collect())], data)
}

/// What needs attention, most urgent first.
pub(super) fn problems(facts: &Facts) -> Vec<String> {
    let mut problems = Vec::new();
    let board = facts.board();
    let dead = board.count(State::Dead);
    if dead > 0 {
        problems.push(format!(
            "⚡ {} used up every attempt: `coord work list --dead`",
            plural(dead, "item")
        ));
    }
    for known in facts.agents.iter().filter(|known| known.held > 0 && facts.is_silent(known)) {
        let held = plural(known.held.into(), "item");
        problems.push(format!("⚡ agent {} holds {held} and has been silent", known.id));
    }
    for (team, about) in &board.teams {
        if !about.next.is_empty()
            && about.agents == 0
            && !team.is_empty()
            && !facts.agents.is_empty()
        {
            let waiting = plural(about.next.len() as u64, "ready item");
            problems.push(format!("⚡ team {team} has {waiting} and no registered agent"));
        }
    }
    problems
}

fn teams(facts: &Facts, wanted: Option<&str>) -> Answer {
    let board = facts.board();
    let wanted = wanted.filter(|team| !matches!(*team, "all" | "all_teams"));
    let lines =
        board.teams.iter().filter(|(team, _)| wanted.is_none_or(|wanted| wanted == **team)).map(
            |(team, about)| {
                format!(
                    "👥 {}: {}, {} in work of {} at a time, {} ready, {} blocked, {} done, {} points in all",
                    if team.is_empty() { "no team" } else { team },
                    plural(about.agents, "agent"),
                    about.active.len(),
                    about.capacity,
                    about.next.len(),
                    about.blocked.len(),
                    about.done,
                    about.points
                )
            },
        );
    (vec![("👥 Team Utilization:", lines.collect())], ceremonies::data(&board))
}

/// `claude-stream [FOCUS] [SECONDS]`: what there is to say now; nobody waits for what may come.
fn stream(cx: &mut Context, rest: &[&str]) -> Result<Reply> {
    if let Some(text) = given(rest, 1)
        && text.parse::<u64>().is_err()
    {
        return Err(Error::new(
            Kind::User,
            format!("`{}` is no number of seconds", text.escape_debug()),
        )
        .hint("how long the old program listened, such as `30`"));
    }
    let facts = Facts::read(cx)?;
    let problems = problems(&facts);
    let status = if problems.is_empty() { "optimal" } else { "warning" };
    let now = crate::domain::legacy::mirror::seconds(facts.now);
    let mut lines = vec![format!("⚡ [{now}] Status: {status}")];
    lines.extend(given(rest, 0).map(|focus| format!("  🎯 Focus: {focus}")));
    lines.extend(problems.iter().map(|problem| format!("  🚨 Urgent: {problem}")));
    let (best, _) = recommendation(&facts, None, None);
    let next = best.into_iter().flat_map(|(_, lines)| lines).next();
    lines.push(format!("  {}", next.unwrap_or_else(|| "💡 Next: nothing is ready".to_owned())));
    lines.push(format!("🔍 Source: {SOURCE}"));
    lines.push("✅ Real-time coordination stream completed".to_owned());
    Ok(Reply::new(lines, json!({ "source": SOURCE, "status": status, "problems": problems })))
}

/// `claude-dashboard`.
fn dashboard(cx: &mut Context) -> Result<Reply> {
    let facts = Facts::read(cx)?;
    let mut lines = heading("🧠 CLAUDE INTELLIGENCE COORDINATION DASHBOARD");
    section(&mut lines, "📊 AVAILABLE INTELLIGENCE REPORTS:", Vec::new());
    let mut now = vec![
        ceremonies::counts(&facts.board()),
        format!("👥 Active Agents: {}", agents::count_active(&facts)),
    ];
    now.extend(problems(&facts));
    now.push(format!("🔍 Source: {SOURCE}"));
    section(&mut lines, "🎯 NOW:", now);
    let commands = [
        "claude-analyze-priorities",
        "claude-optimize-assignments [team]",
        "claude-health-analysis",
        "claude-team-analysis [team]",
    ];
    section(&mut lines, "🚀 INTELLIGENCE COMMANDS:", commands.map(ToOwned::to_owned));
    Ok(Reply::new(lines, json!({ "source": SOURCE, "reports": [], "problems": problems(&facts) })))
}
