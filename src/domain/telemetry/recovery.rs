//! How long it took to be well again after a fault.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Operation, Outcome};

/// The faults of a window, taken in in the order in which operations were noted.
///
/// A fault lasts from the end of the operation that failed by this program's fault to the end of the
/// next one that is noted as `ok`, of whatever command and agent; faults in between belong to it. What
/// ended otherwise, such as a claim of an empty queue, shows neither the one nor the other.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Recovery {
    /// Faults that were over before the window's end, taken together where they followed each other.
    pub over: u64,
    /// The longest of them.
    pub longest: Option<Duration>,
    /// When the one began that is not over.
    pub since: Option<DateTime<Utc>>,
}

impl Recovery {
    /// Takes in the next one.
    pub fn add(&mut self, op: &Operation) {
        match self.since {
            None if op.outcome.is_fault() => self.since = Some(op.end()),
            Some(since) if op.outcome == Outcome::Ok => {
                // Processes that end at once may note it the other way round.
                let lasted = (op.end() - since).to_std().unwrap_or_default();
                self.longest = self.longest.max(Some(lasted));
                self.over += 1;
                self.since = None;
            }
            _ => {}
        }
    }
}
