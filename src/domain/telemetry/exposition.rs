//! The text format of Prometheus, version 0.0.4, as a scrape and the textfile collector of
//! `node_exporter` read it.

use std::fmt::Write as _;

use super::{BUCKETS_US, Buckets};

/// A text that grows family by family.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// Labels of a sample: names, which are ours, and values, which may be anything.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

impl Exposition {
    /// Begins a family; its samples must follow.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A sample of a counter or a gauge.
    pub fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.line(name, labels, None, value);
    }

    /// The samples of a histogram, in seconds.
    pub fn histogram(&mut self, name: &str, labels: Labels<'_>, times: &Buckets) {
        let bucket = format!("{name}_bucket");
        for (limit, count) in BUCKETS_US.iter().zip(times.cumulative()) {
            let limit = seconds(*limit).to_string();
            self.line(&bucket, labels, Some(&limit), number(count));
        }
        self.line(&bucket, labels, Some("+Inf"), number(times.count()));
        self.line(&format!("{name}_sum"), labels, None, seconds(times.sum_us()));
        self.line(&format!("{name}_count"), labels, None, number(times.count()));
    }

    fn line(&mut self, name: &str, labels: Labels<'_>, limit: Option<&str>, value: f64) {
        self.text.push_str(name);
        let all = labels.iter().copied().chain(limit.map(|limit| ("le", limit)));
        for (at, (label, text)) in all.enumerate() {
            self.text.push(if at == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() || limit.is_some() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// The whole text.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }
}

#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
const fn number(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_histograms_whole() {
        let mut text = Exposition::default();
        text.family("a_total", "counter", "Things.");
        text.sample("a_total", &[("team", "a\"b\\c\nd")], 3.0);
        text.sample("b", &[], 0.5);
        let mut times = Buckets::default();
        times.record(300);
        times.record(70_000_000);
        text.histogram("t_seconds", &[("command", "x")], &times);
        let text = text.finish();
        assert!(text.starts_with("# HELP a_total Things.\n# TYPE a_total counter\na_total{team=\"a\\\"b\\\\c\\nd\"} 3\nb 0.5\n"), "{text}");
        assert!(text.contains("t_seconds_bucket{command=\"x\",le=\"0.00025\"} 0\n"), "{text}");
        assert!(text.contains("t_seconds_bucket{command=\"x\",le=\"60\"} 1\n"), "{text}");
        assert!(text.contains("t_seconds_bucket{command=\"x\",le=\"+Inf\"} 2\n"), "{text}");
        assert!(
            text.ends_with(
                "t_seconds_sum{command=\"x\"} 70.0003\nt_seconds_count{command=\"x\"} 2\n"
            ),
            "{text}"
        );
    }
}
