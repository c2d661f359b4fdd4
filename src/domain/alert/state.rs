//! One evaluation of one rule. The transitions are those of Prometheus: pending at the first
//! evaluation that finds the condition true, firing when it has been true for the rule's `for`, over
//! at the first one that finds it untrue.

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Reading, Rule};

/// How a rule stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum State {
    /// It was never evaluated.
    #[default]
    New,
    /// There was too little data to tell: neither well nor firing.
    NoData,
    /// The condition is not true.
    Ok,
    /// The condition is true, but not long enough yet.
    Pending {
        /// Since when.
        #[serde(with = "crate::domain::time::text")]
        #[schemars(with = "String")]
        since: DateTime<Utc>,
    },
    /// It fires.
    Firing {
        /// Since when the condition is true.
        #[serde(with = "crate::domain::time::text")]
        #[schemars(with = "String")]
        since: DateTime<Utc>,
        /// When it began to fire.
        #[serde(with = "crate::domain::time::text")]
        #[schemars(with = "String")]
        fired: DateTime<Utc>,
    },
}

impl State {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::NoData => "no-data",
            Self::Ok => "ok",
            Self::Pending { .. } => "pending",
            Self::Firing { .. } => "firing",
        }
    }

    /// Whether it fires.
    #[must_use]
    pub const fn is_firing(self) -> bool {
        matches!(self, Self::Firing { .. })
    }

    /// Since when the condition is true.
    #[must_use]
    pub const fn since(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Pending { since } | Self::Firing { since, .. } => Some(since),
            _ => None,
        }
    }
}

/// What a reading says about a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Finding {
    /// Too few samples, or none.
    NoData,
    /// The condition is not true.
    Untrue,
    /// It is.
    True,
}

impl Finding {
    /// What a reading says.
    #[must_use]
    pub fn of(rule: &Rule, reading: Reading) -> Self {
        match reading.value.filter(|_| reading.samples >= rule.min_samples) {
            None => Self::NoData,
            Some(value) if rule.comparison.holds(value, rule.threshold) => Self::True,
            Some(_) => Self::Untrue,
        }
    }
}

/// What an evaluation changed that people are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// It began to fire.
    Fired,
    /// It no longer fires.
    Resolved,
}

/// Evaluates a rule: how it stands now, and what to tell of.
///
/// `last` is the evaluation before. If it is so long ago that there was time which no window looked
/// at, nobody knows that a condition was true all along: what was pending begins anew. So it does
/// when the clock was set back.
#[must_use]
pub fn step(
    before: State,
    rule: &Rule,
    reading: Reading,
    now: DateTime<Utc>,
    last: Option<DateTime<Utc>>,
) -> (State, Option<Change>) {
    let span = |time| TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
    let resolved = before.is_firing().then_some(Change::Resolved);
    match Finding::of(rule, reading) {
        Finding::NoData => (State::NoData, resolved),
        Finding::Untrue => (State::Ok, resolved),
        Finding::True if before.is_firing() => (before, None),
        Finding::True => {
            let unbroken = last.is_some_and(|last| now - last <= span(rule.window.max(rule.hold)));
            let since = before.since().filter(|since| unbroken && *since <= now).unwrap_or(now);
            if now - since >= span(rule.hold) {
                (State::Firing { since, fired: now }, Some(Change::Fired))
            } else {
                (State::Pending { since }, None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::alert::built_in;

    fn rule(hold: u64) -> Rule {
        let mut rule = built_in().remove(0);
        rule.hold = Duration::from_mins(hold);
        (rule.threshold, rule.min_samples) = (10.0, 5);
        rule
    }

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + 60 * minute, 0).unwrap()
    }

    /// Walks through readings, one a minute, and gives the words of the states.
    fn walk(rule: &Rule, values: &[Option<f64>]) -> (Vec<&'static str>, Vec<Change>) {
        let (mut state, mut last) = (State::New, None);
        let (mut words, mut changes) = (Vec::new(), Vec::new());
        for (minute, value) in (0..).zip(values) {
            let reading = Reading { value: *value, samples: 5 };
            let (next, change) = step(state, rule, reading, at(minute), last);
            (state, last) = (next, Some(at(minute)));
            words.push(state.as_str());
            changes.extend(change);
        }
        (words, changes)
    }

    #[test]
    fn it_fires_when_it_has_been_true_for_so_long_and_resolves_once() {
        let values = [9.0, 11.0, 12.0, 11.0, 11.0, 9.0, 9.0].map(Some);
        let (words, changes) = walk(&rule(2), &values);
        assert_eq!(words, ["ok", "pending", "pending", "firing", "firing", "ok", "ok"]);
        assert_eq!(changes, [Change::Fired, Change::Resolved]);
        let (words, _) = walk(&rule(0), &values);
        assert_eq!(words[1], "firing");
    }

    #[test]
    fn the_threshold_itself_is_not_above_it_and_flapping_never_fires() {
        let (words, changes) = walk(&rule(1), &[10.0, 11.0, 10.0, 11.0].map(Some));
        assert_eq!(words, ["ok", "pending", "ok", "pending"]);
        assert!(changes.is_empty());
    }

    #[test]
    fn without_data_it_is_neither_well_nor_firing() {
        let (words, changes) = walk(&rule(0), &[Some(11.0), None, Some(11.0), None]);
        assert_eq!(words, ["firing", "no-data", "firing", "no-data"]);
        assert_eq!(changes.len(), 4);
        let few = Reading { value: Some(11.0), samples: 4 };
        assert_eq!(step(State::New, &rule(0), few, at(0), None).0, State::NoData);
    }

    #[test]
    fn what_nobody_looked_at_does_not_count() {
        let mut rule = rule(10);
        rule.window = Duration::from_mins(15);
        let bad = Reading { value: Some(11.0), samples: 5 };
        let pending = State::Pending { since: at(0) };
        let after = |last, now| step(pending, &rule, bad, at(now), Some(at(last))).0;
        assert!(after(9, 10).is_firing());
        assert!(after(0, 15).is_firing());
        assert_eq!(after(0, 16), State::Pending { since: at(16) });
        // The clock was set back.
        assert_eq!(after(9, -5), State::Pending { since: at(-5) });
    }
}
