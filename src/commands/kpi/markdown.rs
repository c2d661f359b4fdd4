//! The report as Markdown (GitHub's dialect), for pull requests and job summaries.

use std::fmt::Write as _;

use super::view::Report;

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut page = String::from("# Key figures\n");
    for card in report.cards() {
        let _ = write!(page, "\n## {}\n\n{}\n\n", cell(&card.heading()), card.sum());
        page.push_str("| Figure | Now | Target | Verdict | Trend | What it rests on |\n");
        page.push_str("|---|--:|--:|---|---|---|\n");
        for row in &card.figures {
            let verdict = row.said.words();
            let cells = [row.title, &row.shown(), &row.aim(), verdict, row.course(), &row.why];
            let cells: Vec<String> = cells.into_iter().map(cell).collect();
            let _ = writeln!(page, "| {} |", cells.join(" | "));
        }
    }
    let _ = write!(page, "\n{}\n", cell(&report.basis()));
    if let Some(verdict) = report.verdict() {
        let _ = write!(page, "\n**{verdict}**\n");
        for failure in report.failures() {
            let _ = writeln!(page, "- `{}`: {}", failure.name, cell(&failure.why));
        }
    }
    page
}

/// Text that cannot end its cell or become markup.
fn cell(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '<' | '*' | '_' | '[' => safe.extend(['\\', c]),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}
