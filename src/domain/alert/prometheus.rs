//! The rules as Prometheus reads them. Its answers are the same: the same comparison of the same value,
//! the same number of samples, the same `for`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::Rule;
use crate::domain::telemetry::BUCKETS_US;

/// A file of rules.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct Exported {
    /// Its groups.
    pub groups: Vec<Group>,
}

/// A group of rules.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its rules.
    pub rules: Vec<Line>,
}

/// A rule.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct Line {
    /// Its name.
    pub alert: String,
    /// What must be true, in `PromQL`.
    pub expr: String,
    /// For how long.
    #[serde(rename = "for")]
    pub hold: String,
    /// What tells its alerts apart.
    pub labels: BTreeMap<String, String>,
    /// What it tells people.
    pub annotations: BTreeMap<String, String>,
}

/// The rules, and what to know about them.
#[must_use]
pub fn export(rules: &[Rule]) -> (Exported, Vec<String>) {
    let notes = rules.iter().filter_map(|rule| between(rule).or_else(|| window(rule))).collect();
    let group = Group { name: "coord".to_owned(), rules: rules.iter().map(line).collect() };
    (Exported { groups: vec![group] }, notes)
}

fn line(rule: &Rule) -> Line {
    let (query, sign) = (rule.metric.query(rule.window), rule.comparison.as_str());
    let mut expr = format!("{query} {sign} {}", rule.threshold);
    if let Some(samples) = rule.metric.samples(rule.window) {
        expr = format!("{expr} and on() {samples} >= {}", rule.min_samples);
    }
    let map = |pairs: [(&str, String); 2]| {
        pairs.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
    };
    Line {
        alert: rule.name.to_string(),
        expr,
        hold: duration(rule.hold),
        labels: map([
            ("severity", rule.severity.to_string()),
            ("metric", rule.metric.name.to_owned()),
        ]),
        annotations: map([
            ("summary", literal(&rule.summary)),
            ("description", format!("{} (it is {{{{ $value }}}})", literal(&rule.condition()))),
        ]),
    }
}

/// A text that a template leaves as it is.
fn literal(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

/// A value that the exporter takes over a window of its own: an hour.
fn window(rule: &Rule) -> Option<String> {
    let other = rule.metric.exported_window && rule.window != Duration::from_hours(1);
    other.then(|| {
        format!(
            "`{}`: Prometheus sees {} over the last hour, not over {}",
            rule.name,
            rule.metric.name,
            duration(rule.window)
        )
    })
}

/// A threshold that lies between the limits of two buckets: there Prometheus can only estimate.
fn between(rule: &Rule) -> Option<String> {
    if !rule.metric.bucketed {
        return None;
    }
    let limits = BUCKETS_US.map(|us| Duration::from_micros(us).as_secs_f64());
    let above = limits.partition_point(|limit| *limit < rule.threshold);
    if limits.get(above).is_some_and(|limit| *limit <= rule.threshold) {
        return None;
    }
    let show = |at: usize| limits.get(at).map(|limit| rule.metric.unit.show(*limit));
    let below = above.checked_sub(1).and_then(show).unwrap_or_else(|| "0".to_owned());
    let above = show(above).unwrap_or_else(|| "infinity".to_owned());
    Some(format!(
        "`{}`: Prometheus only estimates times between {below} and {above}, the limits of the \
         exported buckets",
        rule.name
    ))
}

/// A length of time as Prometheus writes it.
pub(super) fn duration(time: Duration) -> String {
    let (mut ms, mut text) = (time.as_millis(), String::new());
    for (unit, length) in
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)]
    {
        if ms >= length {
            text.extend([(ms / length).to_string().as_str(), unit]);
            ms %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::built_in;

    #[test]
    fn the_built_in_rules_are_exported() {
        let mut longer = built_in();
        for rule in &mut longer {
            rule.window = Duration::from_hours(2);
        }
        let notes = export(&longer).1;
        assert!(notes.len() == 1 && notes[0].starts_with("`memory-high`"), "{notes:?}");
        let (file, notes) = export(&built_in());
        assert!(notes.is_empty(), "{notes:?}");
        let rules: Vec<_> =
            file.groups[0].rules.iter().map(|r| (r.expr.as_str(), r.hold.as_str())).collect();
        assert_eq!(
            rules[2..],
            [
                (
                    "((sum(increase(coord_claude_calls_total{source=~\"api|cli\",outcome!=\"offline\"}[1h])) \
                     or vector(0)) / sum(increase(coord_claude_calls_total{source!=\"cache\",\
                     outcome!=\"offline\"}[1h]))) < 0.99 and on() sum(increase(coord_claude_calls_total\
                     {source!=\"cache\",outcome!=\"offline\"}[1h])) >= 20",
                    "5m"
                ),
                ("max(coord_process_peak_memory_bytes) > 80000000", "0s"),
                (
                    "((sum(increase(coord_operations_total{outcome!~\"lock-timeout|external|\
                     unknown-outcome|bug\"}[1h])) or vector(0)) / \
                     sum(increase(coord_operations_total[1h]))) < 0.99 and on() \
                     sum(increase(coord_operations_total[1h])) >= 20",
                    "5m"
                ),
            ]
        );
        assert!(
            rules[0].0.contains("[15m]") && rules[0].0.contains("> 0.12 and on()"),
            "{}",
            rules[0].0
        );
    }

    #[test]
    fn a_summary_is_no_template_and_a_threshold_between_buckets_is_told() {
        let mut rule = built_in().remove(0);
        rule.summary = "{{ printf \"x\" }}".to_owned();
        rule.threshold = 0.2;
        let (file, notes) = export(&[rule]);
        let text = &file.groups[0].rules[0].annotations["summary"];
        assert_eq!(text, "{{ \"{{\" }} printf \"x\" }}");
        assert!(notes[0].contains("between 150 ms and 250 ms"), "{notes:?}");
    }

    #[test]
    fn lengths_of_time() {
        for (ms, text) in
            [(0, "0s"), (500, "500ms"), (90_000, "1m30s"), (5_400_000, "1h30m"), (86_400_000, "1d")]
        {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
    }
}
