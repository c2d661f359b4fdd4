//! What Claude was asked for. It is asked if there is a key or a program; else, and if it gives no
//! answer, the answers are counted by fixed rules from the store, and say so.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::facts::Facts;
use super::{Reply, agents, ceremonies, given, heading, section, work};
use crate::commands::Context;
use crate::commands::claude::{ask, old};
use crate::domain::agent::Known;
use crate::domain::claude::{self, Preset};
use crate::domain::scrum::ranked;
use crate::domain::time::human_duration;
use crate::domain::work::route::{self, Job, Worker};
use crate::domain::work::{Found, Priority, State};
use crate::error::{Error, Kind, Result};
use crate::output::plural;
use crate::sys::fs::replace_file;

/// What an answer rests on where nobody is to be asked.
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
    source: String,
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
        "claude-pipe" => return pipe(cx, wanted),
        "claude-enhanced" => return enhanced(cx, rest),
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

/// `claude-pipe [ANALYSIS]`: a question about what comes on standard input, answered in JSON.
fn pipe(cx: &mut Context, wanted: Option<&str>) -> Result<Reply> {
    let preset = preset(wanted)?;
    let data = ask::stdin(cx)?;
    if data.trim().is_empty() {
        return Err(Error::new(Kind::User, "nothing came on standard input")
            .hint("such as `cat report.txt | coordination_helper.sh claude-pipe priorities`"));
    }
    let (answer, source) = filtered(cx, "claude-pipe", preset, &data)?;
    Ok(Reply::new(pretty(&answer), json!({ "source": source, "analysis": answer })))
}

/// `claude-enhanced ANALYSIS INPUT OUTPUT`: the same from file to file.
fn enhanced(cx: &mut Context, rest: &[&str]) -> Result<Reply> {
    let (Some(input), Some(output)) = (given(rest, 1), given(rest, 2)) else {
        return Err(Error::new(Kind::User, "`claude-enhanced` lacks its files")
            .hint("such as `claude-enhanced priorities work.json answer.json`"));
    };
    let preset = preset(given(rest, 0))?;
    let data = ask::read(Path::new(input))?;
    let (answer, source) = filtered(cx, "claude-enhanced", preset, &data)?;
    let text = pretty(&answer).join("\n") + "\n";
    replace_file(Path::new(output), text.as_bytes())
        .map_err(|e| Error::new(Kind::External, format!("cannot write `{output}`")).caused_by(e))?;
    let lines = vec![format!("✅ {output}: {source}")];
    Ok(Reply::new(lines, json!({ "source": source, "analysis": answer, "file": output })))
}

fn preset(word: Option<&str>) -> Result<Preset> {
    let word = word.unwrap_or("general");
    Preset::ALL.into_iter().find(|preset| preset.as_str() == word).ok_or_else(|| {
        let known = Preset::ALL.map(Preset::as_str).join("`, `");
        Error::new(Kind::User, format!("`{}` is no analysis", word.escape_debug()))
            .hint(format!("one of `{known}`"))
    })
}

fn pretty(answer: &Value) -> Vec<String> {
    let text = serde_json::to_string_pretty(answer).unwrap_or_default();
    text.lines().map(ToOwned::to_owned).collect()
}

/// Only Claude can answer it.
fn filtered(cx: &mut Context, word: &str, preset: Preset, data: &str) -> Result<(Value, String)> {
    old::filter(cx, preset, data)?.map_err(|why| {
        let text = format!("`{word}` needs Claude, and nothing else can answer it: {why}");
        Error::new(Kind::User, text).hint("`coord claude check` tells what is missing")
    })
}

/// What Claude says to a topic, if it says something.
fn asked(cx: &mut Context, topic: Topic, wanted: Option<&str>) -> Result<Result<Advice, String>> {
    let kind = match topic {
        Topic::Priorities | Topic::Recommendation => claude::Kind::Priorities,
        Topic::Assignments => claude::Kind::Assignments,
        Topic::Health => claude::Kind::Health,
        Topic::Teams => claude::Kind::Team,
    };
    let (data, source) = match old::analysis(cx, kind)? {
        Ok(both) => both,
        Err(why) => return Ok(Err(why)),
    };
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let rows = |name: &str| data[name].as_array().cloned().unwrap_or_default();
    let told = |name: &str, mark: &str, who: &[&str], why: &str| -> Vec<String> {
        let one = |row: &Value| {
            let who: Vec<_> = who.iter().map(|field| word(row, field)).collect();
            format!("{mark} {}: {}", who.join(" -> "), word(row, why))
        };
        rows(name).iter().take(SHOWN).map(one).collect()
    };
    let summary = vec![word(&data, "summary")];
    let parts = match topic {
        Topic::Priorities => vec![
            ("📊 Priority Recommendations:", told("priorities", "🎯", &["id"], "reason")),
            ("🚧 Bottlenecks:", told("bottlenecks", "🚧", &["id"], "reason")),
        ],
        Topic::Recommendation => {
            let mut first = told("priorities", "🎯", &["id"], "reason");
            first.truncate(1);
            vec![("🎯 Next Work:", first)]
        }
        Topic::Assignments => {
            let moves = told("assignments", "🔧", &["id", "agent"], "reason");
            vec![("🔧 Recommended Assignments:", moves)]
        }
        Topic::Health => vec![
            ("📊 System Health:", vec![format!("🎯 {}", word(&data, "status"))]),
            (
                "🚨 CRITICAL RECOMMENDATIONS:",
                told("findings", "🚨", &["subject", "finding"], "action"),
            ),
        ],
        Topic::Teams => {
            let mut teams = rows("teams");
            teams.retain(|row| wanted.is_none_or(|wanted| row["team"] == wanted));
            let one = |row: &Value| {
                format!(
                    "👥 {}: {} %, {}",
                    word(row, "team"),
                    row["utilization_percent"],
                    word(row, "reason")
                )
            };
            vec![("👥 Team Utilization:", teams.iter().map(one).collect())]
        }
    };
    let parts = std::iter::once(("🧠 Summary:", summary)).chain(parts).collect();
    Ok(Ok(Advice { parts, data, source }))
}

/// The answer to a topic: Claude's, else one by rules.
fn advice(cx: &mut Context, topic: Topic, wanted: Option<&str>) -> Result<Advice> {
    let who = super::named_agent(cx)?;
    let why = match asked(cx, topic, wanted)? {
        Ok(advice) => return Ok(advice),
        Err(why) => why,
    };
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
    let source = format!("computed by fixed rules from the store; {why}");
    Ok(Advice { parts, data, source })
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
    let reports = old::reports(cx);
    let told = reports.iter().take(SHOWN).map(|(model, age_s)| {
        let age = human_duration(std::time::Duration::from_secs(*age_s));
        format!("📄 an answer of {model}, {age} old")
    });
    section(&mut lines, "📊 AVAILABLE INTELLIGENCE REPORTS:", told.collect::<Vec<_>>());
    let reports: Vec<_> =
        reports.iter().map(|(model, age_s)| json!({ "model": model, "age_s": age_s })).collect();
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
    Ok(Reply::new(
        lines,
        json!({ "source": SOURCE, "reports": reports, "problems": problems(&facts) }),
    ))
}
