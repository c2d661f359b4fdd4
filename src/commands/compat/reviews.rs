//! The ceremonies that look back at what was done, and the board of stages.

use chrono::Datelike as _;

use super::ceremonies::{Room, all, counts, flow, name, shown, span, velocity};
use super::{heading, section};
use crate::domain::scrum::Board;
use crate::domain::work::{Found, Priority, State};
use crate::output::plural;

pub(super) fn demo(room: &Room, board: &Board<'_>) -> Vec<String> {
    let mut lines = heading("🎬 SYSTEM DEMO - INTEGRATED SOLUTION");
    lines.extend([
        String::new(),
        room.facts.now.format("📅 Demo Date: %Y-%m-%d | Time: %H:%M UTC").to_string(),
    ]);
    let achieved: Vec<_> = board
        .teams
        .iter()
        .filter(|(_, team)| team.done > 0)
        .map(|(team, about)| {
            let (done, points) = (plural(about.done, "item"), plural(about.points, "point"));
            format!("✅ {}: {done} completed, {points}", name(team))
        })
        .collect();
    section(&mut lines, "🎯 PI INCREMENT OBJECTIVES ACHIEVED:", achieved);
    let mut done: Vec<&Found> =
        room.facts.items.iter().filter(|found| found.state() == State::Done).collect();
    done.sort_by_key(|found| std::cmp::Reverse(found.item.finished_at));
    section(&mut lines, "🚀 FEATURES DEMONSTRATED:", shown(&done));
    let mut metrics = vec![
        format!("📈 PI Velocity: {} story points", board.points),
        format!("🎯 Features Delivered: {}", plural(board.count(State::Done), "item")),
    ];
    metrics.extend(quality(board));
    section(&mut lines, "📊 ART METRICS SUMMARY:", metrics);
    lines
}

/// How much of what was finished went well.
fn quality(board: &Board<'_>) -> Option<String> {
    let (done, lost) =
        (board.count(State::Done), board.count(State::Failed) + board.count(State::Dead));
    let share = (done * 100).checked_div(done + lost)?;
    Some(format!(
        "⚡ Quality: {share}% of what was finished went well, {} did not",
        plural(lost, "item")
    ))
}

pub(super) fn inspect(room: &Room, board: &Board<'_>) -> Vec<String> {
    let mut lines = heading("🔍 INSPECT AND ADAPT (I&A) WORKSHOP");
    lines.extend([String::new(), room.facts.now.format("📅 Workshop Date: %Y-%m-%d").to_string()]);
    let mut results = velocity(board);
    results.extend(quality(board));
    results.extend(flow(board));
    section(&mut lines, "📊 PI RESULTS AND METRICS:", results);
    let lost = all(board, |team| &team.given_up);
    let expired: u64 = room.facts.agents.iter().map(|known| known.expired).sum();
    let mut problems = shown(&lost);
    if expired > 0 {
        problems.push(format!("⏱️ {} ran out before the work was done", plural(expired, "lease")));
    }
    section(&mut lines, "🔍 PROBLEM-SOLVING WORKSHOP:", problems);
    section(&mut lines, "🎯 IMPROVEMENT BACKLOG ITEMS:", {
        let is_improvement = |found: &&Found| {
            let mut words = found.item.kind.iter().chain(&found.item.labels);
            words.any(|word| word.as_str().contains("improvement"))
        };
        shown(&all(board, |team| &team.next).into_iter().filter(is_improvement).collect::<Vec<_>>())
    });
    lines
}

pub(super) fn portfolio(room: &Room, board: &Board<'_>) -> Vec<String> {
    let mut lines = heading("📊 PORTFOLIO KANBAN - EPIC FLOW");
    let quarter = room.facts.now.month0() / 3 + 1;
    lines.extend([
        String::new(),
        format!("📅 Current Quarter: Q{quarter} {}", room.facts.now.year()),
    ]);
    let next = all(board, |team| &team.next);
    let (later, soon): (Vec<&Found>, Vec<&Found>) =
        next.into_iter().partition(|found| found.item.priority == Priority::Low);
    section(&mut lines, "📋 FUNNEL (New Ideas):", shown(&later));
    section(&mut lines, "🔍 ANALYZING (Under Review):", shown(&all(board, |team| &team.blocked)));
    section(&mut lines, "🏗️ PORTFOLIO BACKLOG (Approved):", shown(&soon));
    section(&mut lines, "🚀 IMPLEMENTING (In Progress):", shown(&all(board, |team| &team.active)));
    section(
        &mut lines,
        "✅ DONE (Recently Completed):",
        shown(&all(board, |team| &team.done_lately)),
    );
    lines
}

pub(super) fn coach(room: &Room, board: &Board<'_>) -> Vec<String> {
    let mut lines = heading("🎓 SCRUM AT SCALE COACH TRAINING");
    section(&mut lines, "🎯 LEARNING OBJECTIVES:", Vec::new());
    section(&mut lines, "🛠️ PRACTICAL EXERCISES:", Vec::new());
    let mut seen = Vec::new();
    if !room.facts.items.is_empty() {
        seen.push(counts(board));
        seen.extend(quality(board));
        seen.extend(flow(board));
    }
    section(&mut lines, "📈 COACHING COMPETENCY AREAS:", seen);
    lines
}

pub(super) fn value_stream(room: &Room, board: &Board<'_>) -> Vec<String> {
    let mut lines = heading("🗺️ VALUE STREAM MAPPING - END-TO-END FLOW");
    lines.extend([
        String::new(),
        room.facts.now.format("📊 Mapping Session Date: %Y-%m-%d").to_string(),
    ]);
    let stages = board.flow.map(|flow| {
        [
            format!("1. 📋 added → claimed: {} on average", span(flow.wait_s())),
            format!("2. 🔧 claimed → completed: {} on average", span(flow.process_s)),
        ]
    });
    section(&mut lines, "🔄 CURRENT STATE MAP:", stages.into_iter().flatten());
    section(&mut lines, "📊 CURRENT STATE METRICS:", flow(board));
    section(&mut lines, "🎯 FUTURE STATE VISION:", Vec::new());
    let waits = board.flow.filter(|flow| flow.wait_s() > flow.process_s).map(|flow| {
        format!(
            "⏳ work waits longer ({}) than it takes ({})",
            span(flow.wait_s()),
            span(flow.process_s)
        )
    });
    let mut chances: Vec<String> = waits.into_iter().collect();
    let blocked = board.count(State::Blocked);
    if blocked > 0 {
        chances.push(format!(
            "🔗 {} for others",
            if blocked == 1 { "1 item waits".to_owned() } else { format!("{blocked} items wait") }
        ));
    }
    section(&mut lines, "🔧 IMPROVEMENT OPPORTUNITIES:", chances);
    lines
}
