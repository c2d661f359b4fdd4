//! Times of one operation, in the few figures that tell of them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long an operation took, in microseconds, over all its runs.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(super) struct Times {
    /// How many runs.
    pub(super) runs: usize,
    /// One in ten was faster.
    pub(super) p10_us: f64,
    /// Half were faster.
    pub(super) median_us: f64,
    /// One in a hundred was slower.
    pub(super) p99_us: f64,
    /// The slowest.
    pub(super) max_us: f64,
}

impl Times {
    /// The figures of these runs; nothing without any.
    pub(super) fn of(runs: &[Duration]) -> Option<Self> {
        let mut us: Vec<f64> = runs.iter().map(|d| d.as_secs_f64() * 1e6).collect();
        us.sort_by(f64::total_cmp);
        let at = |per_mille: usize| {
            let last = us.len().checked_sub(1)?;
            us.get((last * per_mille + 500) / 1000).copied().map(tenth)
        };
        Some(Self {
            runs: us.len(),
            p10_us: at(100)?,
            median_us: at(500)?,
            p99_us: at(990)?,
            max_us: at(1000)?,
        })
    }
}

/// Rounded to a tenth: more digits would be noise.
pub(super) fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Rounded to a thousandth, for ratios.
pub(super) fn thousandth(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let runs: Vec<Duration> = (1..=101).rev().map(Duration::from_micros).collect();
        let times = Times::of(&runs).unwrap();
        assert_eq!(times.runs, 101);
        assert_eq!((times.p10_us, times.median_us), (11.0, 51.0));
        assert_eq!((times.p99_us, times.max_us), (100.0, 101.0));
        let one = Times::of(&[Duration::from_micros(7)]).unwrap();
        assert_eq!((one.p10_us, one.max_us), (7.0, 7.0));
        assert_eq!(Times::of(&[]), None);
    }
}
