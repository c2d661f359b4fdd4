//! Weeks as ISO 8601 counts them, in UTC.

use chrono::{DateTime, Datelike, Days, NaiveTime, Utc};

use crate::domain::telemetry::Window;

/// A week: from Monday 00:00 UTC up to the next one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Week {
    monday: DateTime<Utc>,
}

impl Week {
    /// The week that a moment lies in.
    #[must_use]
    pub fn of(at: DateTime<Utc>) -> Self {
        let days = Days::new(at.weekday().num_days_from_monday().into());
        let date = at.date_naive().checked_sub_days(days).unwrap_or(at.date_naive());
        Self { monday: date.and_time(NaiveTime::MIN).and_utc() }
    }

    /// This week and those before it, so many in all, oldest first.
    #[must_use]
    pub fn last(self, count: u32) -> Vec<Self> {
        let back = |weeks: u32| {
            let monday = self.monday.checked_sub_days(Days::new(7 * u64::from(weeks)));
            monday.map(|monday| Self { monday })
        };
        (0..count).rev().filter_map(back).collect()
    }

    /// Its time.
    #[must_use]
    pub fn window(self) -> Window {
        let to = self.monday.checked_add_days(Days::new(7)).unwrap_or(self.monday);
        Window { from: self.monday, to }
    }

    /// Its name, such as `2026-W48`. The first week of a year is the one with its first Thursday.
    #[must_use]
    pub fn name(self) -> String {
        let week = self.monday.iso_week();
        format!("{}-W{:02}", week.year(), week.week())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_are_those_of_iso_8601() {
        let week = |text: &str| Week::of(text.parse().unwrap());
        for (at, name) in [
            ("2026-11-26T12:00:00Z", "2026-W48"),
            ("2027-01-03T23:59:59Z", "2026-W53"),
            ("2027-01-04T00:00:00Z", "2027-W01"),
            ("2024-12-30T00:00:00Z", "2025-W01"),
        ] {
            assert_eq!(week(at).name(), name, "{at}");
            assert!(week(at).window().holds(at.parse().unwrap()));
        }
        let last = week("2027-01-05T00:00:00Z").last(3);
        let names: Vec<_> = last.iter().map(|week| week.name()).collect();
        assert_eq!(names, ["2026-W52", "2026-W53", "2027-W01"]);
        assert_eq!(last[0].window().to, last[1].window().from);
    }
}
