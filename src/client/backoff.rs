//! How long to wait before the next attempt, and whether waiting is worth it.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

/// The ceiling of the first wait.
const FIRST: Duration = Duration::from_millis(250);
/// The ceiling of every wait.
const MOST: Duration = Duration::from_secs(2);
/// No service means more than this.
const SANE: f64 = 366.0 * 86_400.0;

/// The wait after failure `n` (from 0): anything from nothing to a ceiling that doubles, so that many
/// callers do not come back at once; never less than the service asked for.
#[must_use]
pub(in crate::client) fn delay(n: u32, random: u64, floor: Option<Duration>) -> Duration {
    let ceiling = FIRST.saturating_mul(1 << n.min(10)).min(MOST);
    scale(ceiling, random).max(floor.unwrap_or_default())
}

/// A part of `time`: none of it for 0, all of it for `u64::MAX`.
#[must_use]
pub(in crate::client) fn scale(time: Duration, random: u64) -> Duration {
    let nanos = time.as_nanos().saturating_mul(u128::from(random >> 32)) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The wait, if it leaves time for an attempt afterwards.
#[must_use]
pub(in crate::client) fn worth(wait: Duration, left: Duration) -> Option<Duration> {
    (wait < left).then_some(wait)
}

/// Reads `retry-after-ms` (milliseconds) and `retry-after` (seconds or an HTTP date). What is zero,
/// negative, past or rubbish says nothing.
#[must_use]
pub(in crate::client) fn retry_after(
    ms: Option<&str>,
    header: Option<&str>,
    now: DateTime<Utc>,
) -> Option<Duration> {
    let number = |text: &str, unit: f64| {
        let value = text.trim().parse::<f64>().ok()? * unit;
        (value.is_finite() && value > 0.0).then(|| Duration::from_secs_f64(value.min(SANE)))
    };
    ms.and_then(|text| number(text, 0.001)).or_else(|| header.and_then(|t| number(t, 1.0))).or_else(
        || {
            let until = httpdate::parse_http_date(header?.trim()).ok()?;
            let wait = until.duration_since(SystemTime::from(now)).ok()?;
            (!wait.is_zero()).then_some(wait.min(Duration::from_secs_f64(SANE)))
        },
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_retry_after() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let date = httpdate::fmt_http_date((now + Duration::from_secs(7)).into());
        let past = httpdate::fmt_http_date((now - Duration::from_secs(7)).into());
        for (ms, header, seconds) in [
            (None, Some("1"), Some(1.0)),
            (None, Some("0.5"), Some(0.5)),
            (None, Some("3600"), Some(3600.0)),
            (Some("250"), Some("9"), Some(0.25)),
            (Some("rubbish"), Some("9"), Some(9.0)),
            (None, Some(date.as_str()), Some(7.0)),
            (None, Some(past.as_str()), None),
            (None, Some("0"), None),
            (None, Some("-5"), None),
            (None, Some("soon"), None),
            (None, Some("NaN"), None),
            (None, Some("inf"), None),
            (None, Some(""), None),
            (None, None, None),
            (None, Some("1e300"), Some(SANE)),
        ] {
            let read = retry_after(ms, header, now).map(|wait| wait.as_secs_f64());
            assert_eq!(read, seconds, "{ms:?} {header:?}");
        }
    }

    proptest! {
        #[test]
        fn a_wait_is_within_its_ceiling_and_above_its_floor(n in 0u32..40, random: u64, floor in 0u64..5000) {
            let wait = delay(n, random, Some(Duration::from_millis(floor)));
            prop_assert!(wait >= Duration::from_millis(floor));
            prop_assert!(wait <= MOST.max(Duration::from_millis(floor)));
            prop_assert!(delay(0, random, None) <= FIRST);
        }

        #[test]
        fn a_part_is_a_part(ms in 0u64..100_000, random: u64) {
            prop_assert!(scale(Duration::from_millis(ms), random) <= Duration::from_millis(ms));
        }
    }

    #[test]
    fn a_wait_longer_than_what_is_left_is_not_waited() {
        let second = Duration::from_secs(1);
        assert_eq!(worth(second, second * 2), Some(second));
        assert_eq!(worth(second * 3600, second * 5), None);
        assert_eq!(worth(second, second), None);
        assert_eq!(scale(second, 0), Duration::ZERO);
    }
}
