//! The report in Markdown, and as Mermaid charts.

use std::fmt::Write as _;

use super::told::{Told, change, memory, percent, short, time};
use crate::output::line;

/// A text in a cell of a table: nothing in it is markup.
fn cell(text: &str) -> String {
    let mut safe = String::new();
    for c in line(text).chars() {
        if matches!(c, '|' | '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '&' | '#' | '~') {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

/// The report as a page.
pub(super) fn report(told: &Told) -> String {
    let ops = &told.operations;
    let mut text = String::from("# Telemetry report\n\n");
    let _ = writeln!(text, "{} to {}\n", short(&told.from), short(&told.to));
    if ops.count == 0 {
        text.push_str("Operations: nothing recorded.\n");
    } else {
        if let Some(since) = told.recorded_since.as_ref().filter(|since| **since > told.from) {
            let _ = writeln!(text, "Recorded since {}.\n", short(since));
        }
        text.push_str("| operations | |\n|---|---|\n");
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "| {name} | {value} |");
        };
        row("count", ops.count.to_string());
        row("per hour", ops.per_hour.map_or_else(|| "-".into(), |n| format!("{n:.1}")));
        row("faults", ops.faults.to_string());
        row("availability", percent(ops.availability));
        row("p50", time(ops.duration.p50_ms));
        row("p95", time(ops.duration.p95_ms));
        row("p99", time(ops.duration.p99_ms));
        row("longest", time(ops.duration.max_ms));
        if ops.lasting > 0 {
            row("left out of these, as they last by design", ops.lasting.to_string());
        }
        row("lock wait p95", time(ops.lock_wait.p95_ms));
        row("processor time", format!("{:.1} s", ops.cpu_s));
        row("peak memory of a process", memory(ops.memory_peak_bytes));
        let _ = writeln!(text, "\n## By {}\n", told.by);
        text.push_str("| name | count | faults | p50 | p95 | p99 | longest |\n|---|--:|--:|--:|--:|--:|--:|\n");
        for group in &told.groups {
            let (ops, times) = (&group.operations, &group.operations.duration);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} |",
                cell(&told.named(group)),
                ops.count,
                ops.faults,
                time(times.p50_ms),
                time(times.p95_ms),
                time(times.p99_ms),
                time(times.max_ms),
            );
        }
    }
    text.push_str("\n## Work\n\n");
    if told.queue.total == 0 {
        text.push_str("Nothing recorded.\n");
    } else {
        let flow = &told.flow;
        text.push_str("| state | items |\n|---|--:|\n");
        for (state, count) in &told.queue.states {
            let _ = writeln!(text, "| {state} | {count} |");
        }
        let _ = writeln!(
            text,
            "\nIn the window: {} added, {} done, {} points, {} failed, {} lease expirations; lead time p50 {}, \
             cycle time p50 {}, flow efficiency {}.",
            flow.added,
            flow.done,
            flow.velocity,
            flow.failed,
            flow.lease_expirations,
            time(flow.lead_time.p50_ms),
            time(flow.cycle_time.p50_ms),
            percent(flow.flow_efficiency),
        );
    }
    text.push_str("\n## Claude\n\n");
    let claude = &told.claude;
    if claude.asked == 0 {
        text.push_str("Nothing recorded.\n");
    } else {
        let _ = writeln!(
            text,
            "{} calls, {} answered ({}), p95 {}, {:.4} US dollars.",
            claude.asked,
            claude.answered,
            percent(claude.success_rate),
            time(claude.duration.p95_ms),
            claude.cost_usd,
        );
    }
    if let Some(before) = &told.before {
        text.push_str(
            "\n## Compared with the window before\n\n| | before | change |\n|---|--:|--:|\n",
        );
        let by = &before.change;
        let operations = match before.operations.count {
            0 if !before.complete => "not recorded".to_owned(),
            count => count.to_string(),
        };
        let rows = [
            ("operations", operations, by.count),
            ("p95", time(before.operations.duration.p95_ms), by.p95),
            ("p99", time(before.operations.duration.p99_ms), by.p99),
            ("done", before.flow.done.to_string(), by.done),
            ("points", before.flow.velocity.to_string(), by.velocity),
        ];
        for (name, was, by) in rows {
            let _ = writeln!(text, "| {name} | {was} | {} |", change(by));
        }
    }
    text
}

/// A text in a chart: its quotes would end it.
fn quoted(text: &str) -> String {
    let safe = line(text).replace('"', "'").replace('#', "number ");
    format!("\"{safe}\"")
}

/// So many groups stand in a chart; the others are added up.
const SLICES: usize = 10;

/// The report as charts in fenced blocks, as Markdown pages take them.
pub(super) fn charts(told: &Told) -> String {
    if told.operations.count == 0 {
        return format!(
            "No operations are recorded from {} to {}.\n",
            short(&told.from),
            short(&told.to)
        );
    }
    let mut text = format!("```mermaid\npie showData title Operations by {}\n", told.by);
    let count = |groups: &[super::told::Named]| -> u64 {
        groups.iter().map(|group| group.operations.count).sum()
    };
    let shown = &told.groups[..told.groups.len().min(SLICES)];
    for group in shown {
        let _ = writeln!(text, "    {} : {}", quoted(&told.named(group)), group.operations.count);
    }
    let others = told.operations.count - count(shown);
    if others > 0 {
        let _ = writeln!(text, "    \"others\" : {others}");
    }
    text.push_str("```\n\n```mermaid\nxychart-beta\n    title \"Operations over time (UTC)\"\n");
    // A day and more need the date, less only the time.
    let label = |from: &str| from.get(5..16).unwrap_or(from).replace('T', " ");
    let labels: Vec<_> = told.parts.iter().map(|part| quoted(&label(&part.from))).collect();
    let counts: Vec<_> = told.parts.iter().map(|part| part.count.to_string()).collect();
    let _ = writeln!(text, "    x-axis [{}]", labels.join(", "));
    let _ = writeln!(text, "    y-axis \"operations\"\n    bar [{}]\n```", counts.join(", "));
    text
}
