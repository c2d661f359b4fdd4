//! Times as the old system wrote them, and the times hidden in its ids.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde_json::Value;

use crate::domain::time::parse_rfc3339;

/// Reads a time; with it comes what had to be mended, if anything.
pub(super) fn read(value: &Value) -> Option<(DateTime<Utc>, Option<&'static str>)> {
    match value {
        Value::Number(number) => {
            Some((epoch(number.as_u64()?)?, Some("a number was taken as the time since 1970")))
        }
        Value::String(text) => read_text(text),
        _ => None,
    }
}

/// Reads a time from text.
pub(super) fn read_text(text: &str) -> Option<(DateTime<Utc>, Option<&'static str>)> {
    let text = text.trim();
    // Chrono would take a leap second and years far away; lines and tables would not.
    let sane = |t: &DateTime<Utc>| (1970..=9999).contains(&chrono::Datelike::year(t));
    if let Some(time) = parse_rfc3339(text).filter(sane) {
        return Some((time, None));
    }
    // `date +%3N` of a system that has no nanoseconds gives `3N` for the fraction.
    if let Some((whole, fraction)) = text.split_once('.')
        && let Some((digits, zone)) = fraction.split_once('N')
        && digits.len() <= 1
        && digits.bytes().all(|c| c.is_ascii_digit())
        && let Some(time) = parse_rfc3339(&format!("{whole}{zone}")).filter(sane)
    {
        return Some((time, Some("the fraction of the second was never written and is left out")));
    }
    for form in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, form) {
            let time = Some(time.and_utc()).filter(sane)?;
            return Some((time, Some("it names no time zone and was taken as UTC")));
        }
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        let time = Some(day.and_hms_opt(0, 0, 0)?.and_utc()).filter(sane)?;
        return Some((time, Some("it is only a day and was taken as its first moment in UTC")));
    }
    let number = text.parse().ok()?;
    Some((epoch(number)?, Some("a number was taken as the time since 1970")))
}

/// The time since 1970 in the unit that makes it a date between 2001 and 2100.
fn epoch(number: u64) -> Option<DateTime<Utc>> {
    let nanos = match number.checked_ilog10()? + 1 {
        10 => number.checked_mul(1_000_000_000),
        13 => number.checked_mul(1_000_000),
        16 => number.checked_mul(1_000),
        19 => Some(number),
        _ => None,
    }?;
    let time = DateTime::from_timestamp_nanos(i64::try_from(nanos).ok()?);
    (2001..2100).contains(&chrono::Datelike::year(&time)).then_some(time)
}

/// The moment that an id was made at: the old system built it from the clock.
pub(super) fn of_id(id: &str) -> Option<DateTime<Utc>> {
    id.split(['_', '-', '.'])
        .filter(|part| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit()))
        .find_map(|part| epoch(part.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::rfc3339;

    #[test]
    fn reads_what_the_old_system_wrote() {
        for (text, time, mended) in [
            ("2025-06-15T17:35:33Z", "2025-06-15T17:35:33.000000Z", false),
            ("2025-06-15T20:52:55.6599Z", "2025-06-15T20:52:55.659900Z", false),
            ("2025-06-15T23:38:00-07:00", "2025-06-16T06:38:00.000000Z", false),
            ("2025-06-15T17:35:33.3NZ", "2025-06-15T17:35:33.000000Z", true),
            ("2025-06-15T17:35:33.NZ", "2025-06-15T17:35:33.000000Z", true),
            ("2025-06-15 17:35:33", "2025-06-15T17:35:33.000000Z", true),
            ("2025-06-15", "2025-06-15T00:00:00.000000Z", true),
            ("1750055927455076000", "2025-06-16T06:38:47.455076Z", true),
            ("1750055927", "2025-06-16T06:38:47.000000Z", true),
        ] {
            let (read, note) = read_text(text).unwrap();
            assert_eq!((rfc3339(read).as_str(), note.is_some()), (time, mended), "{text}");
        }
        for text in
            ["", "yesterday", "2025-13-40", "-1", "12", "2025-06-15T17:35:33.3NN", "99999-01-01"]
        {
            assert_eq!(read_text(text), None, "{text}");
        }
    }

    #[test]
    fn finds_the_time_in_an_id() {
        let time = |id| of_id(id).map(rfc3339);
        assert_eq!(time("work_1750055927455076000").unwrap(), "2025-06-16T06:38:47.455076Z");
        assert_eq!(time("test_run_1750055757_c5e4b5aa").unwrap(), "2025-06-16T06:35:57.000000Z");
        assert_eq!(time("feat_001_002"), None);
        assert_eq!(time("work_99999999999999999999999"), None);
    }
}
