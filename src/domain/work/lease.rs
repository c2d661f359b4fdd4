//! A lease: for how long a claim holds unless it is renewed.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::domain::time::Stamp;

/// The end of a claim, on both clocks.
///
/// Within one boot the boot clock decides, so that a wall clock which jumps neither shortens nor
/// stretches a lease; after a reboot or on another machine only the wall clock is left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lease {
    /// The end on the wall clock.
    pub until: DateTime<Utc>,
    /// The boot that `until_ms` counts from; 0 if unknown.
    pub boot: u64,
    /// The end in milliseconds since that boot.
    pub until_ms: u64,
    /// The length it is renewed by.
    pub length: Duration,
}

impl Lease {
    /// A lease that starts at `now`.
    #[must_use]
    pub fn start(now: Stamp, length: Duration) -> Self {
        let ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        Self {
            until: now
                .wall
                .checked_add_signed(
                    chrono::TimeDelta::from_std(length).unwrap_or(chrono::TimeDelta::MAX),
                )
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
            boot: now.boot,
            until_ms: now.boot_ms.saturating_add(ms),
            length,
        }
    }

    /// The same lease counted from a sign of life at `seen`.
    #[must_use]
    pub fn renewed(&self, seen: Stamp) -> Self {
        Self::start(seen, self.length)
    }

    /// The lease as it stands after its holder's last sign of life, if that is later.
    ///
    /// One from before this boot is older than a lease of this boot, whatever the wall clock said
    /// then.
    #[must_use]
    pub fn after_sign(&self, sign: Stamp, now: Stamp) -> Self {
        if self.boot == now.boot && sign.boot != now.boot {
            return *self;
        }
        let later = self.renewed(sign);
        let longer = if later.boot == self.boot {
            later.until_ms > self.until_ms
        } else {
            later.until > self.until
        };
        if longer { later } else { *self }
    }

    /// How much is left at `now`; nothing if it has run out.
    #[must_use]
    pub fn left(&self, now: Stamp) -> Option<Duration> {
        let ms = if self.boot == now.boot && now.boot != 0 {
            self.until_ms.checked_sub(now.boot_ms)?
        } else {
            u64::try_from((self.until - now.wall).num_milliseconds()).ok()?
        };
        (ms > 0).then(|| Duration::from_millis(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(wall_s: i64, boot: u64, boot_ms: u64) -> Stamp {
        Stamp { wall: DateTime::from_timestamp(wall_s, 0).unwrap(), boot, boot_ms }
    }

    #[test]
    fn a_wall_clock_that_jumps_changes_nothing_within_a_boot() {
        let lease = Lease::start(stamp(1_000_000, 7, 5_000), Duration::from_mins(1));
        for jump in [-157_680_000, -3600, 3600, 157_680_000] {
            assert!(lease.left(stamp(1_000_000 + jump, 7, 64_999)).is_some(), "{jump}");
            assert!(lease.left(stamp(1_000_000 + jump, 7, 65_000)).is_none(), "{jump}");
        }
    }

    #[test]
    fn after_a_reboot_the_wall_clock_decides() {
        let lease = Lease::start(stamp(1_000_000, 7, 5_000_000), Duration::from_mins(1));
        assert!(lease.left(stamp(1_000_059, 8, 100)).is_some());
        assert!(lease.left(stamp(1_000_060, 8, 100)).is_none());
    }
}
