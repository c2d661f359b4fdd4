//! A rule: which value, compared with what, for how long, and how bad it is.

use std::fmt;
use std::time::Duration;

use super::metric::{Metric, named};
use crate::domain::name::RuleName;

/// How a value is compared with the threshold; the rule is about what it finds true.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Comparison {
    /// Greater.
    Above,
    /// Greater or the same.
    AtLeast,
    /// Less.
    Below,
    /// Less or the same.
    AtMost,
}

impl Comparison {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Above, Self::AtLeast, Self::Below, Self::AtMost];

    /// Its sign.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
        }
    }

    /// Whether it is true.
    #[must_use]
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::AtLeast => value >= threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
        }
    }
}

/// How bad it is when a rule fires.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// It should be looked at.
    Warning,
    /// Somebody must do something now.
    Critical,
}

impl Severity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name.
    pub name: RuleName,
    /// What is measured.
    pub metric: &'static Metric,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what, in the metric's unit.
    pub threshold: f64,
    /// Over what time before each evaluation it is measured.
    pub window: Duration,
    /// How long the comparison must have been true before the rule fires; nothing for at once.
    pub hold: Duration,
    /// How bad it is.
    pub severity: Severity,
    /// What it means, in a sentence.
    pub summary: String,
    /// With fewer samples in the window there is no value.
    pub min_samples: u64,
    /// Where it was said.
    pub source: String,
}

impl Rule {
    /// `response-time-p95 > 120 ms`.
    #[must_use]
    pub fn condition(&self) -> String {
        let threshold = self.metric.unit.show(self.threshold);
        format!("{} {} {threshold}", self.metric.name, self.comparison.as_str())
    }
}

/// What built-in rules say of where they come from.
pub(super) const BUILT_IN: &str = "built-in";

/// The rules that come with the program.
#[must_use]
pub fn built_in() -> Vec<Rule> {
    let minutes = Duration::from_mins;
    let table = [
        (
            "response-time-high",
            "response-time-p95",
            Comparison::Above,
            0.12,
            (minutes(15), minutes(5), 20),
            Severity::Warning,
            "Commands answer slowly: one in twenty takes longer than 120 ms",
        ),
        (
            "response-time-critical",
            "response-time-p95",
            Comparison::Above,
            0.15,
            (minutes(15), minutes(5), 20),
            Severity::Critical,
            "Commands answer too slowly: one in twenty takes longer than 150 ms",
        ),
        (
            "claude-success-low",
            "claude-success",
            Comparison::Below,
            0.99,
            (minutes(60), minutes(5), 20),
            Severity::Critical,
            "Claude leaves more than one call in a hundred without an answer",
        ),
        (
            "memory-high",
            "memory",
            Comparison::Above,
            80e6,
            (minutes(60), Duration::ZERO, 1),
            Severity::Warning,
            "A process needed more than 80 MB of memory",
        ),
        (
            "availability-low",
            "availability",
            Comparison::Below,
            0.99,
            (minutes(60), minutes(5), 20),
            Severity::Critical,
            "More than one operation in a hundred failed by a fault of the system",
        ),
    ];
    let rule = |(
        name,
        metric,
        comparison,
        threshold,
        (window, hold, min_samples),
        severity,
        summary,
    ): (&str, &str, Comparison, f64, (Duration, Duration, u64), Severity, &str)| {
        Some(Rule {
            name: name.parse().ok()?,
            metric: named(metric)?,
            comparison,
            threshold,
            window,
            hold,
            severity,
            summary: summary.to_owned(),
            min_samples,
            source: BUILT_IN.to_owned(),
        })
    };
    table.into_iter().filter_map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_of_the_road_map_are_there() {
        let rules = built_in();
        let told: Vec<_> =
            rules.iter().map(|r| format!("{} {}", r.condition(), r.severity)).collect();
        assert_eq!(
            told,
            [
                "response-time-p95 > 120 ms warning",
                "response-time-p95 > 150 ms critical",
                "claude-success < 99 % critical",
                "memory > 80 MB warning",
                "availability < 99 % critical",
            ]
        );
    }
}
