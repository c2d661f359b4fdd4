//! The report in the forms of CI servers: `JUnit` XML, and annotations of GitHub Actions.

use std::fmt::Write as _;

use super::view::{Report, Row};
use crate::domain::kpi::Verdict;

/// `JUnit` XML: a figure is a test case. One whose target is missed, or that fails the gate, is a
/// failure; one that says nothing of its target is skipped.
pub(super) fn junit(report: &Report) -> String {
    let card = report.card();
    let failed: Vec<_> = card.figures.iter().filter(|row| failure(report, row).is_some()).collect();
    let skipped = card.figures.iter().filter(|row| failure(report, row).is_none());
    let skipped = skipped.filter(|row| row.said != Verdict::Met).count();
    let (tests, failures) = (card.figures.len(), failed.len());
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = write!(
        xml,
        "<testsuites name=\"coord kpi\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"0\">\n  \
         <testsuite name=\"coord kpi\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"0\" timestamp=\"{}\">\n",
        escaped(&report.made()[..19]),
    );
    for row in &card.figures {
        let _ = write!(
            xml,
            "    <testcase classname=\"coord.kpi\" name=\"{}\" time=\"0\"",
            escaped(row.name)
        );
        let told = escaped(&told(row));
        if let Some(why) = failure(report, row) {
            let (kind, why) = (row.said.as_str(), escaped(&why));
            let _ = write!(
                xml,
                ">\n      <failure type=\"{kind}\" message=\"{why}\">{told}</failure>\n    </testcase>\n"
            );
        } else if row.said == Verdict::Met {
            let _ = write!(xml, ">\n      <system-out>{told}</system-out>\n    </testcase>\n");
        } else {
            let _ = write!(xml, ">\n      <skipped message=\"{told}\"/>\n    </testcase>\n");
        }
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Annotations: an error for what is missed or fails the gate, a warning for what is not shown.
pub(super) fn annotations(report: &Report) -> String {
    let mut lines = String::new();
    for row in &report.card().figures {
        let level = match failure(report, row) {
            Some(_) => "error",
            None if row.said == Verdict::NotShown => "warning",
            None => continue,
        };
        let title = property(&format!("KPI {}: {}", row.title, word(row)));
        let _ = writeln!(lines, "::{level} title={title}::{}", message(&told(row)));
    }
    lines
}

/// Why a figure is a failure, if it is one.
fn failure(report: &Report, row: &Row) -> Option<String> {
    if let Some(failure) = report.failures().iter().find(|failure| failure.name == row.name) {
        return Some(failure.why.clone());
    }
    // With a gate, the gate alone says what fails; it fails whatever is missed.
    let missed = !report.is_judged() && row.said == Verdict::Missed;
    missed.then(|| "the target is missed".to_owned())
}

const fn word(row: &Row) -> &'static str {
    match row.said {
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::NotShown => "not proven",
        Verdict::NoTarget => "no target",
        Verdict::NothingRecorded => "nothing recorded",
    }
}

/// The figure in a sentence.
fn told(row: &Row) -> String {
    format!("{}; target: {}; {}", row.shown(), row.aim(), row.why)
}

/// Text as XML and HTML want it, for content and attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // XML 1.0 has no way to say these.
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// The text of an annotation.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of an annotation.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(escaped("<a b='\"&\u{1}\u{ffff}"), "&lt;a b=&#39;&quot;&amp; \u{fffd}");
        assert_eq!(message("1 %\n::error::x"), "1 %25%0A::error::x");
        assert_eq!(property("a: b, c"), "a%3A b%2C c");
    }
}
