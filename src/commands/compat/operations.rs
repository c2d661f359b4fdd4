//! Names that the old program had, or promised, for running the system. What the store knows is
//! answered; what this program does not do is refused, with what to use instead.

use std::path::Path;

use serde_json::{Value, json};

use super::facts::Facts;
use super::{NAME, Reply, analysis, ceremonies, given, heading, is_there, section};
use crate::commands::{Context, alert};
use crate::domain::alert::Finding;
use crate::domain::kpi::{Figure, text};
use crate::domain::legacy::dialect::Spelling;
use crate::domain::legacy::mirror::seconds;
use crate::domain::time::human_duration;
use crate::domain::work::State;
use crate::error::{Error, Kind, Result};
use crate::output::plural;
use crate::settings::Source;

/// How many events `logs` shows unless it is told.
const EVENTS: usize = 50;

/// The refusal of a name that the dialect does not answer itself.
pub(super) fn refusal(spelling: &Spelling, word: &str) -> Option<Error> {
    let instead = match spelling.name() {
        "start" | "restart" | "agent-scale" => {
            "nothing has to run for the queue to work; `coord swarm run` starts as many workers as you say"
        }
        "stop" => {
            "workers are stopped where they were started: Ctrl-C or SIGTERM for `coord swarm run`"
        }
        "deploy" => "release with the tools of your platform; nothing was deployed",
        "rollback" => "return with the tools of your platform; nothing was rolled back",
        "webhook" => {
            "nobody is told of events; read them with `logs`, or wait with `coord claim --wait`"
        }
        "api" => "programs use the commands themselves: each has `--json`",
        _ => return None,
    };
    if is_there(spelling.now) && spelling.now != "coord swarm run" {
        let error = Error::new(Kind::User, format!("`{word}` is `{}` now", spelling.now));
        return Some(error.hint(format!("`{} --help` tells how it is used", spelling.now)));
    }
    Some(Error::new(Kind::User, format!("`{word}` does nothing here")).hint(instead))
}

/// Answers one that is not refused.
pub(super) fn run(cx: &mut Context, name: &str, rest: &[&str]) -> Result<Reply> {
    match name {
        "status" => status(cx),
        "health" => health(cx),
        "metrics" | "reports" => metrics(cx, name == "reports"),
        "logs" => logs(cx, rest),
        "audit" => audit(cx),
        "environment" => environment(cx),
        "config" => config(cx),
        "alerts" => alerts(cx),
        "sync" => sync(cx),
        "optimize" => optimize(cx),
        "backup" => backup(cx, rest),
        "restore" => restore(cx, rest),
        other => Err(Error::new(Kind::Bug, format!("nobody answers `{other}`"))),
    }
}

fn status(cx: &mut Context) -> Result<Reply> {
    let facts = Facts::read(cx)?;
    let board = facts.board();
    let mut lines = heading("📊 SYSTEM STATUS");
    lines.push(format!("  {}", ceremonies::counts(&board)));
    lines.push(format!(
        "  👥 Agents: {} known, {} active",
        facts.agents.len(),
        super::agents::count_active(&facts)
    ));
    lines.push(format!("  📈 Velocity: {} points{}", board.points, taken_over(&facts)));
    Ok(Reply::new(lines, ceremonies::data(&board)))
}

/// How many of the points stand in the log that was taken over, which may credit work that no item
/// tells of, or leave some out: then done items have other points.
fn taken_over(facts: &Facts) -> String {
    let sum = |points: &mut dyn Iterator<Item = u32>| points.map(u64::from).sum::<u64>();
    let of_log = sum(&mut facts.imported.iter().map(|row| row.points));
    if of_log == 0 {
        return String::new();
    }
    let done = facts.items.iter().filter(|found| found.state() == State::Done);
    let of_items = sum(&mut done.filter_map(|found| found.item.points));
    format!(" ({of_log} of them in the old velocity log; the items done have {of_items})")
}

fn health(cx: &mut Context) -> Result<Reply> {
    let facts = Facts::read(cx)?;
    let problems = analysis::problems(&facts);
    let mut lines = heading("🏥 SYSTEM HEALTH");
    lines.push(format!("  {}", ceremonies::counts(&facts.board())));
    let state = if problems.is_empty() { "healthy" } else { "needs attention" };
    lines.push(format!("  🎯 State: {state}"));
    lines.extend(problems.iter().map(|problem| format!("  {problem}")));
    let mut reply = Reply::new(lines, json!({ "state": state, "problems": problems }));
    if !problems.is_empty() {
        let what = plural(problems.len() as u64, "thing");
        let verb = if problems.len() == 1 { "needs" } else { "need" };
        reply.problems = Some(format!("{what} {verb} attention"));
    }
    Ok(reply)
}

fn metrics(cx: &mut Context, by_team: bool) -> Result<Reply> {
    let facts = Facts::read(cx)?;
    let board = facts.board();
    let mut lines = heading(if by_team { "📋 REPORTS" } else { "📈 METRICS" });
    lines.push(format!("  {}", ceremonies::counts(&board)));
    lines.push(format!(
        "  📊 Velocity: {} points, {} of them in the last {} days{}",
        board.points,
        board.points_lately,
        crate::domain::scrum::SPRINT_DAYS,
        taken_over(&facts)
    ));
    match board.flow {
        Some(flow) => lines.push(format!(
            "  ⏱️ Lead Time: {} s on average, {} s of them in work",
            flow.lead_s, flow.process_s
        )),
        None => lines.push("  ⏱️ Lead Time: nothing recorded".to_owned()),
    }
    if by_team {
        let rows = board.teams.iter().map(|(team, about)| {
            let team = if team.is_empty() { "no team" } else { team };
            let open = about.next.len() + about.active.len() + about.blocked.len();
            let of_log = facts.imported.iter().filter(|row| row.team.as_str() == team);
            let of_log = match of_log.map(|row| u64::from(row.points)).sum() {
                0 => String::new(),
                points => format!(", {points} of them in the old log"),
            };
            format!(
                "👥 {team}: {open} open, {} done, {} given up, {} points{of_log}",
                about.done,
                about.given_up.len(),
                about.points
            )
        });
        section(&mut lines, "👥 TEAMS:", rows.collect::<Vec<_>>());
    }
    let mut data = ceremonies::data(&board);
    if by_team {
        let figures = crate::commands::kpi::report::lately(cx)?;
        section(&mut lines, "🎯 TARGETS, LAST 7 DAYS:", figures.iter().map(target));
        let row = |f: &Figure| json!({ "name": f.kpi.name(), "value": f.value, "target": f.target, "verdict": f.verdict.as_str() });
        data["figures"] = figures.iter().map(row).collect();
    }
    Ok(Reply::new(lines, data))
}

/// A figure in a line.
fn target(figure: &Figure) -> String {
    let (kpi, said) = (figure.kpi, figure.verdict.words());
    let shown = |value| text::value(value, kpi.unit());
    match (figure.value, figure.target) {
        (None, _) => format!("{}: nothing recorded", kpi.title()),
        (Some(value), None) => format!("{}: {}", kpi.title(), shown(value)),
        (Some(value), Some(target)) => {
            format!("{}: {}, target {}: {said}", kpi.title(), shown(value), shown(target))
        }
    }
}

fn logs(cx: &mut Context, rest: &[&str]) -> Result<Reply> {
    let count = match given(rest, 0) {
        None => EVENTS,
        Some(text) => text.parse().map_err(|_| {
            Error::new(Kind::User, format!("`{}` is no number of events", text.escape_debug()))
                .hint(format!("usage: {NAME} logs [count]"))
        })?,
    };
    let mut last = std::collections::VecDeque::new();
    cx.store()?.events(0, &mut |event| {
        let row = (event.n, event.at, event.verb.clone(), event.by.clone(), event.item.id.clone());
        last.push_back(row);
        if last.len() > count {
            last.pop_front();
        }
        true
    })?;
    let mut lines: Vec<String> = last
        .iter()
        .map(|(n, at, verb, by, id)| format!("{} #{n} {verb} {id} by {by}", seconds(*at)))
        .collect();
    if lines.is_empty() {
        lines.push("(nothing recorded)".to_owned());
    }
    let rows: Vec<Value> = last
        .iter()
        .map(|(n, at, verb, by, id)| {
            let at = crate::domain::time::rfc3339(*at);
            json!({ "n": n, "at": at, "verb": verb, "by": by, "id": id })
        })
        .collect();
    Ok(Reply::new(lines, super::listed("events", &rows)))
}

fn audit(cx: &mut Context) -> Result<Reply> {
    let op = cx.op(None)?;
    let verified = cx.store()?.verify(false, &op)?;
    let mut lines = heading("🔍 AUDIT");
    lines.push(format!(
        "  📋 read {} in {}: {}",
        plural(verified.lines, "line"),
        plural(verified.files, "file"),
        plural(verified.items, "item")
    ));
    lines.extend(verified.seams.iter().map(|seam| format!("  🔗 merged here: {seam}")));
    let problems: Vec<String> = verified.problems.iter().map(ToString::to_string).collect();
    lines.extend(problems.iter().map(|problem| format!("  ❌ {problem}")));
    if verified.problems.is_empty() {
        lines.push("  ✅ everything is as it was written".to_owned());
    }
    let data = json!({ "lines": verified.lines, "items": verified.items, "problems": problems });
    let mut reply = Reply::new(lines, data);
    if !verified.problems.is_empty() {
        reply.problems =
            Some(format!("{} found", plural(verified.problems.len() as u64, "problem")));
    }
    Ok(reply)
}

fn environment(cx: &mut Context) -> Result<Reply> {
    let place = cx.place()?;
    let why = match place.source {
        Source::Flag => "`--dir`",
        Source::Env(name) => name,
        Source::Ancestor => "the nearest `.coord`",
        Source::MainWorktree => "the main worktree's `.coord`",
        Source::User => "the user's own state directory",
    };
    let mut lines = heading("🌍 ENVIRONMENT");
    lines.push(format!("  📁 Store: {} ({why})", place.dir.display()));
    let names = [
        "COORDINATION_DIR",
        "COORD_DIR",
        "AGENT_ID",
        "COORD_AGENT",
        "AGENT_TEAM",
        "CURRENT_WORK_ITEM",
        "TRACE_ID",
    ];
    let mut set = serde_json::Map::new();
    for name in names {
        let value = cx.env.text(name);
        lines.push(format!("  {name}={}", value.as_deref().unwrap_or_default()));
        set.insert(name.to_owned(), json!(value));
    }
    Ok(Reply::new(lines, json!({ "dir": place.dir, "why": why, "variables": set })))
}

fn config(cx: &mut Context) -> Result<Reply> {
    let settings = cx.settings()?;
    let mut lines = heading("⚙️ CONFIGURATION");
    let sync = if settings.sync() { "always" } else { "never" };
    let values = [
        ("store.sync", sync.to_owned()),
        ("store.lock-timeout", human_duration(settings.lock_timeout())),
        ("work.lease", human_duration(settings.lease())),
        ("work.max-attempts", settings.max_attempts().to_string()),
        ("agent.silent-after", human_duration(settings.silent_after())),
    ];
    lines.extend(values.iter().map(|(name, value)| format!("  {name} = {value}")));
    let rows = values.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
    Ok(Reply::new(lines, Value::Object(rows.collect())))
}

/// Evaluates the rules of `coord alert`, remembers it and tells people, as `coord alert check` does.
fn alerts(cx: &mut Context) -> Result<Reply> {
    let outcome = alert::check(cx, &alert::CheckArgs::plain())?;
    let mut lines = heading("🚨 ALERTS");
    let mut rows = Vec::new();
    for seen in &outcome.seen {
        let (rule, state) = (&seen.rule, seen.state.as_str());
        let sign = match state {
            "firing" => "🔥",
            "pending" => "⏳",
            "ok" => "✅",
            _ => "❔",
        };
        let value = match seen.finding {
            Finding::NoData => "no data".to_owned(),
            _ => seen.reading.value.map(|value| rule.metric.unit.show(value)).unwrap_or_default(),
        };
        let (name, severity, condition) = (&rule.name, rule.severity, rule.condition());
        let silenced = if seen.silenced.is_some() { " (silenced)" } else { "" };
        lines.push(format!(
            "  {sign} {name} ({severity}): {state}{silenced}: {value}; fires if {condition}"
        ));
        rows.push(json!({
            "name": name,
            "severity": severity.as_str(),
            "state": state,
            "value": seen.reading.value,
            "threshold": rule.threshold,
            "silenced": seen.silenced.is_some(),
        }));
    }
    let mut reply = Reply::new(lines, super::listed("alerts", &rows));
    reply.problems = outcome.critical_words();
    Ok(reply)
}

/// The files are written anew by what runs after every command.
fn sync(cx: &mut Context) -> Result<Reply> {
    let facts = Facts::read(cx)?;
    let lines = vec![
        "🔄 SYNC".to_owned(),
        format!(
            "  ✅ the old files hold {} and {}",
            plural(facts.items.len() as u64, "item"),
            plural(facts.agents.len() as u64, "agent")
        ),
    ];
    let data = json!({ "items": facts.items.len(), "agents": facts.agents.len() });
    Ok(Reply::new(lines, data).agents())
}

fn optimize(cx: &mut Context) -> Result<Reply> {
    let about = cx.store()?.describe()?;
    let lines = vec![
        "🚀 Nothing has to be archived: finished items slow nothing down".to_owned(),
        format!("   Items: {}", about["items"]),
        format!("   Live log: {} lines, {} bytes", about["log_lines"], about["log_bytes"]),
        "   The log is sealed by itself when most of it is superseded".to_owned(),
    ];
    Ok(Reply::new(lines, about))
}

fn backup(cx: &mut Context, rest: &[&str]) -> Result<Reply> {
    let made = crate::commands::backup::take(cx, given(rest, 0).map(Path::new))?;
    let mut lines = heading("💾 BACKUP");
    lines.push(format!("  ✅ {}", made.path));
    lines.push(format!(
        "  📋 {} at write {}, read back and compared",
        plural(made.items, "item"),
        made.n
    ));
    let data = serde_json::to_value(&made).unwrap_or_default();
    let mut reply = Reply::new(lines, data);
    reply.problems = made.problem().map(|problem| problem.to_string());
    Ok(reply)
}

fn restore(cx: &mut Context, rest: &[&str]) -> Result<Reply> {
    let (yes, words): (Vec<&str>, Vec<&str>) = rest.iter().partition(|word| **word == "--yes");
    let Some(archive) = given(&words, 0) else {
        let error = Error::new(Kind::User, "the archive is missing");
        return Err(error.hint("`coord backup list` shows the backups of this store"));
    };
    let asked = crate::commands::restore::Asked {
        archive: archive.into(),
        dry_run: false,
        yes: !yes.is_empty(),
        force: false,
        by: None,
    };
    let restored = crate::commands::restore::put(cx, &asked)?;
    let mut lines = heading("♻️ RESTORE");
    lines.push(format!("  ✅ {} as of {}", plural(restored.items, "item"), restored.at));
    if let Some(aside) = &restored.aside {
        lines.push(format!("  📁 the old state lies in {aside}"));
    }
    let data = serde_json::to_value(&restored).unwrap_or_default();
    Ok(Reply::new(lines, data).agents())
}
