//! The units of what is measured: how values are read and shown.

use std::time::Duration;

use crate::domain::time::parse_duration;

/// The unit of a metric; values are kept in Prometheus' base units.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// A share, 0 to 1.
    Ratio,
    /// Bytes.
    Bytes,
    /// How many.
    Count,
    /// How many in an hour.
    PerHour,
    /// US dollars.
    Dollars,
}

/// Endings of sizes, with the bytes they stand for.
const SIZES: [(&str, f64); 8] = [
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("B", 1.0),
];

impl Unit {
    /// Its word in machine output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Ratio => "ratio",
            Self::Bytes => "bytes",
            Self::Count => "count",
            Self::PerHour => "per-hour",
            Self::Dollars => "us-dollars",
        }
    }

    /// How a value is written, for errors.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::Seconds => "`150ms` or a number of seconds",
            Self::Ratio => "`99%` or a number from 0 to 1",
            Self::Bytes => "`80MB` or a number of bytes",
            Self::Count | Self::PerHour => "a number such as `1000`",
            Self::Dollars => "`$2.50` or a number",
        }
    }

    /// Reads a value; nothing if it is none of this unit.
    #[must_use]
    pub fn read(self, text: &str) -> Option<f64> {
        let text = text.trim();
        let value = match (self, plain(text)) {
            (_, Some(number)) => number,
            (Self::Seconds, None) => parse_duration(text).ok()?.as_secs_f64(),
            (Self::Ratio, None) => plain(text.strip_suffix('%')?.trim_end())? / 100.0,
            (Self::Bytes, None) => {
                let (end, bytes) = SIZES.iter().find(|(end, _)| text.ends_with(end))?;
                plain(text.strip_suffix(end)?.trim_end())? * bytes
            }
            (Self::Dollars, None) => plain(text.strip_prefix('$')?)?,
            (Self::Count | Self::PerHour, None) => return None,
        };
        self.allows(value).then_some(value)
    }

    /// Whether a value can be one of this unit.
    #[must_use]
    pub fn allows(self, value: f64) -> bool {
        let most = if self == Self::Ratio { 1.0 } else { 1e18 };
        (0.0..=most).contains(&value)
    }

    /// A value for people.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 1.0 => format!("{} ms", short(value * 1e3)),
            Self::Seconds if value < 120.0 => format!("{} s", short(value)),
            Self::Seconds => Duration::try_from_secs_f64(value)
                .map_or_else(|_| format!("{value} s"), crate::domain::time::human_duration),
            Self::Ratio => format!("{} %", short(value * 100.0)),
            Self::Bytes if value >= 1e9 => format!("{} GB", short(value / 1e9)),
            Self::Bytes if value >= 1e6 => format!("{} MB", short(value / 1e6)),
            Self::Bytes if value >= 1e3 => format!("{} kB", short(value / 1e3)),
            Self::Bytes => format!("{} B", short(value)),
            Self::Count => short(value),
            Self::PerHour => format!("{}/h", short(value)),
            Self::Dollars => format!("${value:.2}"),
        }
    }
}

/// A number that is written as one, without a sign.
fn plain(text: &str) -> Option<f64> {
    let number = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    number.then(|| text.parse().ok()).flatten()
}

/// At most three digits behind the point, and no zeros at the end.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_shown() {
        for (unit, text, value, shown) in [
            (Unit::Seconds, "150ms", 0.15, "150 ms"),
            (Unit::Seconds, "0.12", 0.12, "120 ms"),
            (Unit::Seconds, "90", 90.0, "90 s"),
            (Unit::Seconds, "2h", 7200.0, "2h"),
            (Unit::Ratio, "99%", 0.99, "99 %"),
            (Unit::Ratio, "99.9 %", 0.999, "99.9 %"),
            (Unit::Ratio, "1", 1.0, "100 %"),
            (Unit::Bytes, "80MB", 8e7, "80 MB"),
            (Unit::Bytes, "64 KiB", 65_536.0, "65.536 kB"),
            (Unit::Count, "3", 3.0, "3"),
            (Unit::PerHour, "1000", 1000.0, "1000/h"),
            (Unit::Dollars, "$2.5", 2.5, "$2.50"),
        ] {
            let read = unit.read(text).unwrap();
            assert!((read - value).abs() < 1e-12, "{text}: {read}");
            assert_eq!(unit.show(read), shown);
        }
        for (unit, text) in [
            (Unit::Seconds, "-1"),
            (Unit::Seconds, "soon"),
            (Unit::Ratio, "99"),
            (Unit::Ratio, "NaN"),
            (Unit::Ratio, "inf"),
            (Unit::Bytes, "MB"),
            (Unit::Count, "3s"),
            (Unit::Count, ""),
        ] {
            assert_eq!(unit.read(text), None, "{text}");
        }
    }
}
