//! Points in time and lengths of time, as the rules need them.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, Timelike, Utc};
use thiserror::Error;

/// A moment on both clocks: the wall clock for people, the boot clock for leases.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stamp {
    /// The wall clock; it may jump.
    pub wall: DateTime<Utc>,
    /// Which boot of which machine; 0 if unknown.
    pub boot: u64,
    /// Milliseconds since that boot, suspend included.
    pub boot_ms: u64,
}

/// The form in which moments are written.
const OWN: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";

/// A text for a moment: RFC 3339, UTC, microseconds.
#[must_use]
pub fn rfc3339(time: DateTime<Utc>) -> String {
    with_rfc3339(time, str::to_owned)
}

/// Gives the text of [`rfc3339`] to `see` without keeping it: each line of a log has three and more.
pub fn with_rfc3339<T>(time: DateTime<Utc>, see: impl FnOnce(&str) -> T) -> T {
    let moment = time.naive_utc();
    let year = u32::try_from(moment.year()).unwrap_or(u32::MAX);
    if year > 9999 {
        return see(&time.to_rfc3339_opts(SecondsFormat::Micros, true));
    }
    let mut text = *OWN;
    let mut put = |mut end: usize, mut number: u32| {
        while number > 0 {
            end -= 1;
            text[end] = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
        }
    };
    put(4, year);
    put(7, moment.month());
    put(10, moment.day());
    let seconds = moment.num_seconds_from_midnight();
    put(13, seconds / 3600);
    put(16, seconds / 60 % 60);
    // A leap second is the sixtieth, told by more than a second's worth of nanoseconds.
    let nanos = moment.nanosecond();
    put(19, seconds % 60 + nanos / 1_000_000_000);
    put(26, nanos % 1_000_000_000 / 1000);
    see(str::from_utf8(&text).unwrap_or_default())
}

/// The time of a file. Anybody can set it to anything: what is beyond the years 1 to 9999 counts as
/// their begin or end, from which hours can still be added and taken.
#[must_use]
pub fn of_file(time: SystemTime) -> DateTime<Utc> {
    const FIRST: i64 = -62_135_596_800;
    const LAST: i64 = 253_402_300_799;
    let (seconds, nanos) = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(LAST), after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            (i64::try_from(before.as_secs()).map_or(FIRST, |seconds| -seconds), 0)
        }
    };
    DateTime::from_timestamp(seconds.clamp(FIRST, LAST), nanos).unwrap_or_default()
}

/// Reads RFC 3339 with any offset; the moment is kept, the offset is not.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<DateTime<Utc>> {
    parse_own(text.as_bytes()).or_else(|| parse_any(text))
}

/// For serde: a moment in the form of [`rfc3339`], any form of RFC 3339 when it is read.
pub mod text {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes it.
    pub fn serialize<S: Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
        super::with_rfc3339(*time, |text| to.serialize_str(text))
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DateTime<Utc>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        super::parse_rfc3339(&text).ok_or_else(|| de::Error::custom("not a moment in RFC 3339"))
    }
}

/// Reads what [`rfc3339`] writes.
fn parse_own(text: &[u8]) -> Option<DateTime<Utc>> {
    let shape =
        |(have, want): (&u8, &u8)| if *want == b'0' { have.is_ascii_digit() } else { have == want };
    if text.len() != OWN.len() || !text.iter().zip(OWN).all(shape) {
        return None;
    }
    let number = |from: usize, to: usize| {
        text[from..to].iter().fold(0, |n, digit| n * 10 + u32::from(digit - b'0'))
    };
    let date =
        NaiveDate::from_ymd_opt(i32::try_from(number(0, 4)).ok()?, number(5, 7), number(8, 10))?;
    let time =
        date.and_hms_micro_opt(number(11, 13), number(14, 16), number(17, 19), number(20, 26))?;
    Some(time.and_utc())
}

fn parse_any(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|t| t.with_timezone(&Utc))
}

/// Why a text is not a length of time.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DurationError {
    /// There is no number, or an unknown unit.
    #[error("expected a number with a unit, such as `90s`, `30m`, `2h` or `1d`")]
    Form,
    /// It does not fit.
    #[error("it is too long, at most 3650 days are allowed")]
    TooLong,
}

/// Reads `500ms`, `90s`, `30m`, `2h`, `1d`, `1h30m`, or bare seconds such as `90`.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) {
        return bounded(text.parse::<u64>().ok().and_then(|s| s.checked_mul(1000)));
    }
    let (mut rest, mut total) = (text, 0u64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        if digits == 0 || letters == 0 {
            return Err(DurationError::Form);
        }
        let unit: u64 = match &rest[digits..digits + letters] {
            "ms" => 1,
            "s" | "sec" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return Err(DurationError::Form),
        };
        let part = rest[..digits].parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
        total = part.and_then(|p| p.checked_add(total)).ok_or(DurationError::TooLong)?;
        rest = &rest[digits + letters..];
    }
    if text.is_empty() { Err(DurationError::Form) } else { bounded(Some(total)) }
}

fn bounded(ms: Option<u64>) -> Result<Duration, DurationError> {
    ms.filter(|ms| *ms <= 3650 * 86_400_000)
        .map(Duration::from_millis)
        .ok_or(DurationError::TooLong)
}

/// A moment as a person names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// So long before now.
    Ago(Duration),
    /// Exactly then.
    At(DateTime<Utc>),
}

impl Moment {
    /// When that is.
    #[must_use]
    pub fn when(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Ago(time) => now - time,
            Self::At(time) => time,
        }
    }
}

/// Reads a length of time before now (`2h`), a date (`2026-11-20`, its beginning in UTC), or RFC 3339.
pub fn parse_moment(text: &str) -> Result<Moment, &'static str> {
    let text = text.trim();
    if let Ok(time) = parse_duration(text) {
        return Ok(Moment::Ago(time));
    }
    let date = || Some(text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0)?.and_utc());
    parse_rfc3339(text).or_else(date).map(Moment::At).ok_or(
        "expected a length of time before now, such as `2h`, a date, or a time in RFC 3339 such as `2026-11-20T08:00:00Z`",
    )
}

/// A text for a length of time in its two largest units: `45s`, `2m 5s`, `3h 20m`, `4d 1h`.
#[must_use]
pub fn human_duration(time: Duration) -> String {
    let s = time.as_secs();
    let two = |a: u64, au: &str, b: u64, bu: &str| {
        if b == 0 { format!("{a}{au}") } else { format!("{a}{au} {b}{bu}") }
    };
    match s {
        0 if time.subsec_millis() > 0 => format!("{}ms", time.subsec_millis()),
        0..60 => format!("{s}s"),
        60..3600 => two(s / 60, "m", s % 60, "s"),
        3600..86400 => two(s / 3600, "h", s % 3600 / 60, "m"),
        _ => two(s / 86400, "d", s % 86400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_time_of_a_file_is_too_far_away() {
        let epoch = SystemTime::UNIX_EPOCH;
        let far = Duration::from_secs(1 << 62);
        let text = |time| rfc3339(of_file(time));
        assert_eq!(text(epoch + Duration::from_micros(5)), "1970-01-01T00:00:00.000005Z");
        assert_eq!(text(epoch - Duration::from_secs(1)), "1969-12-31T23:59:59.000000Z");
        assert_eq!(text(epoch + far), "9999-12-31T23:59:59.000000Z");
        assert_eq!(text(epoch - far), "0001-01-01T00:00:00.000000Z");
    }

    proptest! {
        #[test]
        fn times_are_as_chrono_writes_them(
            seconds in prop_oneof![-70_000_000_000i64..260_000_000_000, 1_600_000_000i64..2_000_000_000],
            nanos in 0u32..2_000_000_000,
        ) {
            if let Some(time) = DateTime::from_timestamp(seconds, nanos) {
                prop_assert_eq!(rfc3339(time), time.to_rfc3339_opts(SecondsFormat::Micros, true));
                prop_assert_eq!(parse_rfc3339(&rfc3339(time)), parse_any(&rfc3339(time)));
                let micros = parse_rfc3339(&rfc3339(time)).map(|t| t.timestamp_micros());
                prop_assert!(time.year() < 0 || time.year() > 9999 || micros == Some(time.timestamp_micros()));
            }
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("90", 90_000),
            ("500ms", 500),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "m", "1x", "1h30", "-5s", "1.5h", " "] {
            assert_eq!(parse_duration(text), Err(DurationError::Form), "{text}");
        }
        assert_eq!(parse_duration("99999999999999999999d"), Err(DurationError::TooLong));
        assert_eq!(parse_duration("99999999999"), Err(DurationError::TooLong));
    }

    #[test]
    fn moments() {
        let now = parse_rfc3339("2026-11-26T12:00:00Z").unwrap();
        for (text, when) in [
            ("2h", "2026-11-26T10:00:00.000000Z"),
            ("2026-11-20", "2026-11-20T00:00:00.000000Z"),
            ("2026-11-20T08:00:00+02:00", "2026-11-20T06:00:00.000000Z"),
        ] {
            assert_eq!(rfc3339(parse_moment(text).unwrap().when(now)), when, "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "-2h", "2026-11-20T25:00:00Z"] {
            assert!(parse_moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_for_people() {
        for (ms, text) in [
            (5, "5ms"),
            (45_000, "45s"),
            (125_000, "2m 5s"),
            (12_000_000, "3h 20m"),
            (7_200_000, "2h"),
        ] {
            assert_eq!(human_duration(Duration::from_millis(ms)), text);
        }
    }
}
