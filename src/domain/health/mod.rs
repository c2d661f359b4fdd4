//! Health: what a check may find, and the score that all of them make.
//!
//! # The score
//!
//! It begins at 100. A failed check takes its weight away, a warning a fifth of it (rounded up), and
//! it never goes below 0. A check that could not be made takes nothing: what kept it from being made
//! has failed itself.

use std::time::Duration;

use crate::domain::kpi::text;
use crate::domain::telemetry::Budget;
use crate::domain::time::human_duration;

/// What a check came to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It could not be made.
    NotChecked,
    /// It should be looked at.
    Warn,
    /// It keeps `coord` from its work, or puts work at risk.
    Fail,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotChecked => "not-checked",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Why, in a sentence.
    pub why: String,
    /// What to do, most useful first; nothing where all is well.
    pub todo: Vec<String>,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn ok(why: impl Into<String>) -> Self {
        Self::of(Level::Ok, why)
    }

    /// It could not be looked at.
    #[must_use]
    pub fn not_checked(why: impl Into<String>) -> Self {
        Self::of(Level::NotChecked, why)
    }

    /// Somebody should look at it.
    #[must_use]
    pub fn warn(why: impl Into<String>) -> Self {
        Self::of(Level::Warn, why)
    }

    /// It is wrong.
    #[must_use]
    pub fn fail(why: impl Into<String>) -> Self {
        Self::of(Level::Fail, why)
    }

    fn of(level: Level, why: impl Into<String>) -> Self {
        Self { level, why: why.into(), todo: Vec::new() }
    }

    /// Adds what to do.
    #[must_use]
    pub fn todo(mut self, what: impl Into<String>) -> Self {
        self.todo.push(what.into());
        self
    }
}

/// The score of checks, each with its weight: 0 to 100.
#[must_use]
pub fn score(checks: impl IntoIterator<Item = (Level, u32)>) -> u32 {
    let cost = |(level, weight): (Level, u32)| match level {
        Level::Ok | Level::NotChecked => 0,
        Level::Warn => weight.div_ceil(5),
        Level::Fail => weight,
    };
    100_u32.saturating_sub(checks.into_iter().map(cost).sum())
}

/// Below this, the next write may find no room.
pub const LEAST_FREE: u64 = 64 << 20;
/// Below this, room will soon be needed.
pub const LITTLE_FREE: u64 = 512 << 20;

/// Judges the room on a disk, in bytes, and the files that may still be made there, where the file
/// system counts them.
#[must_use]
pub fn disk(free: u64, files: Option<u64>, least: u64) -> Finding {
    let mib = free >> 20;
    if files == Some(0) {
        return Finding::fail("the file system has no room for another file")
            .todo("remove files that nobody needs");
    }
    if free < least {
        Finding::fail(format!("{mib} MiB free, less than {} MiB", least >> 20))
            .todo("make room: a write that finds none is refused")
    } else if free < least.max(LITTLE_FREE) {
        Finding::warn(format!("{mib} MiB free")).todo("make room soon")
    } else {
        Finding::ok(format!("{mib} MiB free"))
    }
}

/// Judges the clocks: seconds since 1970, how far the last write lies in the future, and whether the
/// kernel tells one boot from another.
#[must_use]
pub fn clock(wall_s: i64, ahead: Duration, has_boot_id: bool) -> Finding {
    // Nothing that this program could have been built before.
    const Y2024: i64 = 1_704_067_200;
    if wall_s < Y2024 {
        return Finding::fail("the clock stands before the year 2024")
            .todo("set it: leases after a reboot, and all dates, are wrong");
    }
    let shown = human_duration(ahead);
    if ahead > Duration::from_hours(1) {
        Finding::fail(format!("the last write lies {shown} in the future"))
            .todo("compare the clock with another machine's: it was set back, or wrong before")
    } else if ahead > Duration::from_secs(5) {
        Finding::warn(format!("the last write lies {shown} in the future"))
            .todo("compare the clock with another machine's")
    } else if has_boot_id {
        Finding::ok("the clock is after the last write")
    } else {
        Finding::warn("the kernel does not tell one boot from another")
            .todo("mount /proc: without its boot id the index is made anew at every command")
    }
}

/// Judges how long a lock has been held; others wait at most `patience`.
#[must_use]
pub fn lock(who: &str, held: Duration, patience: Duration, stopped: bool) -> Finding {
    let shown = human_duration(held);
    if held > patience {
        let state = if stopped { ", and is stopped" } else { "" };
        Finding::fail(format!("{who} has held the lock for {shown}{state}"))
            .todo("everybody else is refused meanwhile: let it go on, or end it")
    } else if held > patience / 2 {
        Finding::warn(format!("{who} has held the lock for {shown}"))
            .todo("look again in a few seconds")
    } else {
        Finding::ok(format!("{who} holds it just now"))
    }
}

/// Judges availability by what is left of the error budget: what failed is over, so that it is worth
/// a look and keeps nobody from working.
#[must_use]
pub fn availability(budget: Budget, target: f64) -> Finding {
    let Budget { count, faults, left, .. } = budget;
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let share = 100.0 * count.saturating_sub(faults) as f64 / count.max(1) as f64;
    let (share, target) = (text::floored(share), text::floored(target * 100.0));
    let counted = format!(
        "{share} % in the last 24 hours ({} of {} failed)",
        text::thousands(faults),
        text::counted(count, "operation", "operations")
    );
    if left >= 0.0 && (faults == 0 || left > 0.0) {
        return Finding::ok(format!(
            "{counted}; {:.0} % of the error budget is left",
            left * 100.0
        ));
    }
    Finding::warn(format!("{counted}; the error budget of {target} % is used up"))
        .todo("`coord kpi report` has the figures; `ops.jsonl` has each operation that failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_what_the_rule_says() {
        use Level::{Fail, NotChecked, Ok, Warn};
        assert_eq!(score([]), 100);
        assert_eq!(score([(Ok, 50), (NotChecked, 100)]), 100);
        assert_eq!(score([(Warn, 50), (Warn, 1)]), 100 - 10 - 1);
        assert_eq!(score([(Fail, 40), (Warn, 20), (Ok, 100)]), 56);
        assert_eq!(score([(Fail, 60), (Fail, 60)]), 0);
    }

    #[test]
    fn an_error_budget_is_used_up_or_not() {
        let judge = |count, faults, left| {
            availability(Budget { count, faults, allowed: 1.0, left }, 0.9999)
        };
        assert_eq!(judge(10, 0, 1.0).level, Level::Ok);
        assert_eq!(judge(20_000, 1, 0.5).level, Level::Ok);
        assert_eq!(judge(10_000, 1, 0.0).level, Level::Warn);
        let over = judge(500, 1, -19.0);
        assert!(over.level == Level::Warn && over.why.contains("1 of 500 operations failed"));
    }

    #[test]
    fn thresholds() {
        let level = |f: Finding| f.level;
        assert_eq!(level(disk(LITTLE_FREE, Some(1), LEAST_FREE)), Level::Ok);
        assert_eq!(level(disk(LITTLE_FREE - 1, None, LEAST_FREE)), Level::Warn);
        assert_eq!(level(disk(LEAST_FREE - 1, None, LEAST_FREE)), Level::Fail);
        assert_eq!(level(disk(u64::MAX, Some(0), LEAST_FREE)), Level::Fail);
        let s = Duration::from_secs;
        assert_eq!(level(clock(1_704_067_199, s(0), true)), Level::Fail);
        assert_eq!(level(clock(1_704_067_200, s(5), true)), Level::Ok);
        assert_eq!(level(clock(1_704_067_200, s(6), true)), Level::Warn);
        assert_eq!(level(clock(1_704_067_200, s(3601), true)), Level::Fail);
        assert_eq!(level(clock(1_704_067_200, s(0), false)), Level::Warn);
        assert_eq!(level(lock("x", s(5), s(10), false)), Level::Ok);
        assert_eq!(level(lock("x", s(6), s(10), false)), Level::Warn);
        let stopped = lock("x", s(11), s(10), true);
        assert!(stopped.level == Level::Fail && stopped.why.contains("is stopped"));
    }
}
