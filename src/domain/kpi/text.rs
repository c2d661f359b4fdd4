//! How figures are written.

use std::time::Duration;

use super::table::Unit;
use crate::domain::time::human_duration;

/// A count with commas: `30,000`.
#[must_use]
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 item`, `2,000 items`.
#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(count), if count == 1 { one } else { many })
}

/// A percentage with at most four decimals that never says more than is true.
#[must_use]
pub fn floored(percent: f64) -> String {
    // What a division left behind is not cut: 99.99 may come as 99.98999999999999.
    let cut = ((percent * 1e4) + 1e-6).floor() / 1e4;
    plain(cut, 4)
}

/// A number with at most so many decimals.
#[must_use]
pub fn plain(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A value with its unit, such as `99.99 %`, `12.3 ms`, `4m 10s`.
#[must_use]
pub fn value(number: f64, unit: Unit) -> String {
    match unit {
        Unit::Percent => format!("{} %", floored(number)),
        Unit::Milliseconds => format!("{} ms", plain(number, if number < 10.0 { 2 } else { 1 })),
        Unit::Seconds if number < 60.0 => format!("{} s", plain(number, 2)),
        Unit::Seconds => {
            human_duration(Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX))
        }
        Unit::Megabytes => format!("{} MB", plain(number, 1)),
        Unit::PerHour => format!("{} an hour", whole(number)),
        Unit::Points => format!("{} points", whole(number)),
        Unit::Scripts => whole(number),
    }
}

fn whole(number: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
    if number.fract() == 0.0 { thousands(number as u64) } else { plain(number, 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(count), text);
        }
        assert_eq!(floored(99.989_999_9), "99.9899");
        assert_eq!(floored((1.0 - 3.0 / 30_000.0) * 100.0), "99.99");
        assert_eq!(floored(100.0), "100");
        assert_eq!(value(3600.0, Unit::Seconds), "1h");
        assert_eq!(value(1.5, Unit::Seconds), "1.5 s");
        assert_eq!(value(1000.0, Unit::PerHour), "1,000 an hour");
        assert_eq!(value(0.5, Unit::Milliseconds), "0.5 ms");
    }
}
