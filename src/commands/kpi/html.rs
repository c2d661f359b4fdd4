//! The report as a page: one file, no script, nothing from the network.

use std::fmt::Write as _;

use super::chart;
use super::forms::escaped;
use super::view::{Card, Report, Row};
use crate::domain::kpi::{Verdict, text};
use crate::error::Result;

/// The page's style, small enough to be a part of it.
const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(super) fn page(report: &Report) -> Result<String> {
    let mut page = head();
    let card = report.card();
    let _ = write!(
        page,
        "<header>\n<h1>Key figures</h1>\n<p>{}</p>\n<p class=\"sum\">{}</p>\n",
        escaped(&card.heading()),
        escaped(&card.sum())
    );
    if let Some(verdict) = report.verdict() {
        let kind = if report.failures().is_empty() { "met" } else { "missed" };
        let sign = if kind == "met" { "✓" } else { "✗" };
        let _ = write!(page, "<p><strong class=\"{kind}\">{sign} {verdict}</strong></p>\n<ul>\n");
        for failure in report.failures() {
            let _ = writeln!(page, "<li>{}: {}</li>", failure.name, escaped(&failure.why));
        }
        page.push_str("</ul>\n");
    }
    page.push_str("</header>\n<main>\n");
    for card in report.cards().iter().rev() {
        table(&mut page, card);
    }
    page.push_str("<h2>Course</h2>\n");
    let mut drawn = 0;
    for row in &card.figures {
        drawn += usize::from(course(&mut page, report, row)?);
    }
    if drawn == 0 {
        page.push_str("<p>Nothing recorded.</p>\n");
    }
    let _ = write!(
        page,
        "</main>\n<footer><p>{}. Made {} by coord {}.</p></footer>\n</body>\n</html>\n",
        escaped(&report.basis()),
        &report.made()[..19].replace('T', " "),
        env!("CARGO_PKG_VERSION"),
    );
    Ok(page)
}

fn head() -> String {
    use base64::Engine as _;
    let hash =
        base64::engine::general_purpose::STANDARD.encode(hmac_sha256::Hash::hash(STYLE.as_bytes()));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; \
         img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>Key figures</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )
}

/// Text in which what stands between backticks is to be typed.
fn prose(text: &str) -> String {
    let mut html = String::new();
    for (at, part) in text.split('`').enumerate() {
        let typed = at % 2 == 1;
        html.push_str(if typed { "<code>" } else { "" });
        html.push_str(&escaped(part));
        html.push_str(if typed { "</code>" } else { "" });
    }
    html
}

/// The class of a verdict in the style sheet.
const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::NotShown => "open",
        Verdict::NoTarget | Verdict::NothingRecorded => "none",
    }
}

fn table(page: &mut String, card: &Card) {
    let heading = card.week.as_ref().map(|_| card.heading());
    let _ = write!(
        page,
        "<div class=\"wide\" role=\"region\" aria-label=\"Figures\" tabindex=\"0\">\n<table class=\"figures\">\n\
         <caption>{}</caption>\n<thead><tr><th scope=\"col\">Figure</th><th scope=\"col\">Verdict</th>\
         <th scope=\"col\" class=\"n\">Now</th><th scope=\"col\" class=\"n\">Target</th><th scope=\"col\">Trend</th>\
         <th scope=\"col\">What it rests on</th></tr></thead>\n<tbody>\n",
        escaped(heading.as_deref().unwrap_or("Figures and targets"))
    );
    for row in &card.figures {
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\" title=\"{}\">{}</th><td><span class=\"{}\">{}</span></td>\
             <td class=\"n\">{}</td><td class=\"n aim\">{}</td><td>{}</td><td class=\"why\">{}</td></tr>",
            escaped(row.about),
            row.title,
            class(row.said),
            row.said.words(),
            row.value.map_or_else(|| "-".to_owned(), |_| escaped(&row.shown())),
            escaped(&row.aim()),
            row.course(),
            prose(&row.why)
        );
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
}

/// The chart of a figure with the table of its values; false if there is nothing to draw.
fn course(page: &mut String, report: &Report, row: &Row) -> Result<bool> {
    let (kpi, series) = (row.kpi, report.series());
    let values = chart::values(kpi, series);
    let (Some((_, first)), Some((at, last))) = (values.first(), values.last()) else {
        return Ok(false);
    };
    let unit = kpi.unit();
    let extreme = |better: fn(f64, f64) -> f64, from: f64| {
        text::value(values.iter().map(|(_, value)| *value).fold(from, better), unit)
    };
    let summary = format!(
        "{} of {} parts have values, from {} to {}: first {}, last {} ({}). Target: {}.",
        values.len(),
        series.len(),
        extreme(f64::min, f64::INFINITY),
        extreme(f64::max, f64::NEG_INFINITY),
        text::value(*first, unit),
        text::value(*last, unit),
        series.get(*at).map(|point| point.label.as_str()).unwrap_or_default(),
        row.aim(),
    );
    let chart = chart::svg(kpi, series, row.target, &summary)?;
    let _ = write!(
        page,
        "<section aria-labelledby=\"{0}-h\">\n<h3 id=\"{0}-h\">{1}</h3>\n<p>{2}; target {3}, dashed.</p>\n\
         <div class=\"pair\">\n<figure>{chart}</figure>\n<div class=\"wide\" role=\"region\" aria-label=\"Values\" tabindex=\"0\">\n\
         <table>\n<caption>{1}</caption>\n<thead><tr><th scope=\"col\">From</th><th scope=\"col\" class=\"n\">Value</th>\
         <th scope=\"col\" class=\"n\">Measured</th></tr></thead>\n<tbody>\n",
        row.name,
        row.title,
        prose(row.about),
        escaped(&row.aim()),
    );
    for point in series {
        let value = point.values.get(row.name).copied().flatten();
        let shown = value.map_or_else(|| "nothing recorded".to_owned(), |v| text::value(v, unit));
        let sample = point.samples.get(row.name).copied().unwrap_or(0);
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escaped(&point.label),
            escaped(&shown),
            text::thousands(sample)
        );
    }
    page.push_str("</tbody>\n</table>\n</div>\n</div>\n</section>\n");
    Ok(true)
}
