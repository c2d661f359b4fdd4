//! How long it took to be well again after a fault.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Operation, Outcome};

/// The faults of a window, taken in in the order in which operations were noted.
///
/// A fault lasts from the end of the operation that failed by this program's fault to the end of the
/// next one that is noted as `ok`, of whatever command and agent; faults in between belong to it. What
/// ended otherwise, such as a claim of an empty queue, shows neither the one nor the other.
///
/// Where nobody tried, nobody knows: what is shown reaches to the last operation that failed, and to the
/// next one that was ok it lasted at most.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Recovery {
    /// Faults that were over before the window's end, taken together where they followed each other.
    pub over: u64,
    /// The longest of those.
    over_longest: Option<Lasted>,
    /// The one that is not over: when it began, and when an operation failed last.
    open: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

/// How long faults lasted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lasted {
    /// The longest time in which operations failed.
    pub shown: Duration,
    /// The longest time until it was known that they no longer do.
    pub at_most: Duration,
}

impl Lasted {
    fn new(from: DateTime<Utc>, last: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        // Processes that end at once may note it the other way round.
        let since = |to: DateTime<Utc>| (to - from).to_std().unwrap_or_default();
        Self { shown: since(last), at_most: since(until).max(since(last)) }
    }

    fn longest(one: Option<Self>, other: Self) -> Self {
        one.map_or(other, |one| Self {
            shown: one.shown.max(other.shown),
            at_most: one.at_most.max(other.at_most),
        })
    }
}

impl Recovery {
    /// Takes in the next one.
    pub fn add(&mut self, op: &Operation) {
        if op.outcome.is_fault() {
            let (from, last) = self.open.unwrap_or((op.end(), op.end()));
            self.open = Some((from, last.max(op.end())));
        } else if op.outcome == Outcome::Ok
            && let Some((from, last)) = self.open.take()
        {
            let lasted = Lasted::new(from, last, op.end());
            self.over_longest = Some(Lasted::longest(self.over_longest, lasted));
            self.over += 1;
        }
    }

    /// When the one began that is not over.
    #[must_use]
    pub fn since(&self) -> Option<DateTime<Utc>> {
        self.open.map(|(from, _)| from)
    }

    /// The longest, the one included that is not over at `until`; nothing without a fault.
    #[must_use]
    pub fn longest(&self, until: DateTime<Utc>) -> Option<Lasted> {
        match self.open {
            Some((from, last)) => {
                Some(Lasted::longest(self.over_longest, Lasted::new(from, last, until)))
            }
            None => self.over_longest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(ops: &[(&str, &str)]) -> Option<(u64, u64)> {
        let mut recovery = Recovery::default();
        for (at, outcome) in ops {
            let line = format!(
                r#"{{"at":"2026-01-02T03:{at}Z","command":"status","outcome":"{outcome}","exit_code":0,
                "duration_us":1000000,"trace_id":"00000000000000000000000000000001",
                "span_id":"0000000000000001"}}"#
            );
            recovery.add(&serde_json::from_str(&line).unwrap());
        }
        let until = "2026-01-02T03:59:01Z".parse().unwrap();
        recovery.longest(until).map(|lasted| (lasted.shown.as_secs(), lasted.at_most.as_secs()))
    }

    #[test]
    fn a_time_in_which_nobody_tried_is_not_shown_to_be_a_fault() {
        assert_eq!(after(&[("00:00", "ok"), ("01:00", "user")]), None);
        assert_eq!(after(&[("00:00", "bug"), ("20:00", "ok")]), Some((0, 1200)));
        let tried = [("00:00", "bug"), ("04:00", "bug"), ("04:30", "empty"), ("05:00", "ok")];
        assert_eq!(after(&tried), Some((240, 300)));
        assert_eq!(after(&[("00:00", "bug"), ("01:00", "bug")]), Some((60, 59 * 60)));
        let two = [("00:00", "bug"), ("09:00", "ok"), ("10:00", "bug"), ("12:00", "bug")];
        assert_eq!(after(&two[..2]), Some((0, 540)));
        assert_eq!(after(&[two[0], two[1], two[2], two[3], ("12:01", "ok")]), Some((120, 540)));
    }
}
