//! Whether two runs differ, or whether it only looks so.
//!
//! Every figure is measured in several slices of a run, so that each run tells how much it varies by
//! itself. Two runs are called different only if all of this holds:
//!
//! - the slices of one lie above those of the other more than chance allows (Mann-Whitney's rank
//!   test, two-sided, at 1 %; it assumes nothing about how the values are spread),
//! - the interval of the ratio of their medians, which 95 of 100 resamplings of the slices keep to,
//!   does not hold 1,
//! - the ratio is further from 1 than the tolerance: two runs at two times differ as a whole by what
//!   else the machine was doing, which the slices of one run cannot show.
//!
//! Anything else is "no difference seen", which is not "no difference": the interval tells how large
//! one could hide.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stats::thousandth;
use super::targets::Bound;

/// A figure in the slices of a run.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct Sampled {
    /// Its stable name.
    pub(super) name: String,
    /// Its unit.
    pub(super) unit: String,
    /// Which way is better.
    pub(super) bound: Bound,
    /// One value a slice.
    pub(super) slices: Vec<f64>,
}

impl Sampled {
    /// A figure that should be small.
    pub(super) fn small(name: &str, unit: &str, slices: Vec<f64>) -> Self {
        Self { name: name.to_owned(), unit: unit.to_owned(), bound: Bound::AtMost, slices }
    }

    /// A figure that should be large.
    pub(super) fn large(name: &str, unit: &str, slices: Vec<f64>) -> Self {
        Self { bound: Bound::AtLeast, ..Self::small(name, unit, slices) }
    }
}

/// What a comparison came to.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// It has become better.
    Better,
    /// It has become worse.
    Worse,
    /// It cannot be told, or it is too small to matter.
    NoDifferenceSeen,
}

impl Verdict {
    /// Its words.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::NoDifferenceSeen => "no difference seen",
        }
    }
}

/// A figure of two runs.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub(super) struct Compared {
    /// Its name.
    pub(super) name: String,
    /// Its unit.
    pub(super) unit: String,
    /// The median of the slices of the earlier run.
    pub(super) before: f64,
    /// The median of the slices of this run.
    pub(super) now: f64,
    /// How many times the earlier one this one is.
    pub(super) ratio: f64,
    /// The lower end of the interval of the ratio.
    pub(super) ratio_low: f64,
    /// The upper end of the interval of the ratio.
    pub(super) ratio_high: f64,
    /// What it comes to.
    pub(super) verdict: Verdict,
}

/// Compares the figures that both runs have. `tolerance` is the least change that counts: 0.1 is a
/// tenth.
pub(super) fn compare(before: &[Sampled], now: &[Sampled], tolerance: f64) -> Vec<Compared> {
    let one = |now: &Sampled| {
        let before = before.iter().find(|b| b.name == now.name && b.unit == now.unit)?;
        let (old, new) = (median(&before.slices)?, median(&now.slices)?);
        let positive = |slices: &[f64]| slices.iter().all(|v| v.is_finite() && *v > 0.0);
        if !positive(&before.slices) || !positive(&now.slices) {
            return None;
        }
        let ratio = new / old;
        let (low, high) = interval(&before.slices, &now.slices);
        let seen = rank_test(&before.slices, &now.slices).abs() > CRITICAL
            && !(low..=high).contains(&1.0)
            && (ratio - 1.0).abs() > tolerance;
        let grown_is_worse = now.bound == Bound::AtMost;
        let verdict = match (seen, (ratio > 1.0) == grown_is_worse) {
            (false, _) => Verdict::NoDifferenceSeen,
            (true, true) => Verdict::Worse,
            (true, false) => Verdict::Better,
        };
        Some(Compared {
            name: now.name.clone(),
            unit: now.unit.clone(),
            before: thousandth(old),
            now: thousandth(new),
            ratio: thousandth(ratio),
            ratio_low: thousandth(low),
            ratio_high: thousandth(high),
            verdict,
        })
    };
    now.iter().filter_map(one).collect()
}

/// Beyond this many standard deviations chance goes once in a hundred times, both sides together.
const CRITICAL: f64 = 2.576;

/// How often the slices are drawn anew.
const RESAMPLED: usize = 2000;

/// The middle value.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) =
        (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

/// Mann-Whitney's statistic in standard deviations from what equal runs would give: positive if the
/// second run's values are larger. Values that are the same count half; with few slices it stays
/// small whatever they are.
#[expect(clippy::cast_precision_loss, reason = "some slices")]
fn rank_test(before: &[f64], now: &[f64]) -> f64 {
    let mut wins = 0.0;
    for new in now {
        for old in before {
            wins += match new.total_cmp(old) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    let (a, b) = (before.len() as f64, now.len() as f64);
    let n = a + b;
    let mut all: Vec<f64> = before.iter().chain(now).copied().collect();
    all.sort_by(f64::total_cmp);
    let ties: f64 = all
        .chunk_by(|x, y| x.total_cmp(y).is_eq())
        .map(|same| (same.len() as f64).powi(3) - same.len() as f64)
        .sum();
    let spread = a * b / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)));
    if spread <= 0.0 {
        return 0.0;
    }
    let off = wins - a * b / 2.0;
    // Half a win less: the statistic goes in steps.
    (off.abs() - 0.5).max(0.0) / spread.sqrt() * off.signum()
}

/// The 95 % bootstrap interval of the ratio of medians. The dice are always the same, so that the
/// same figures give the same answer.
fn interval(before: &[f64], now: &[f64]) -> (f64, f64) {
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let mut drawn = |values: &[f64]| -> f64 {
        let sample: Vec<f64> = (0..values.len())
            .filter_map(|_| {
                // Xorshift: no more is needed to draw lots.
                dice ^= dice << 13;
                dice ^= dice >> 7;
                dice ^= dice << 17;
                let lot = usize::try_from(dice >> 33).unwrap_or(0) % values.len();
                values.get(lot).copied()
            })
            .collect();
        median(&sample).unwrap_or(f64::NAN)
    };
    let mut ratios: Vec<f64> = (0..RESAMPLED)
        .map(|_| {
            let old = drawn(before);
            drawn(now) / old
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    (ratios[RESAMPLED / 40], ratios[RESAMPLED - 1 - RESAMPLED / 40])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slices around `middle` that vary by a share of it, by the dice of a seed.
    fn slices(seed: u64, count: usize, middle: f64, spread: f64) -> Vec<f64> {
        let mut dice = seed.wrapping_mul(0x5851_f42d_4c95_7f2d) | 1;
        let mut roll = || {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            f64::from(u32::try_from(dice >> 32).unwrap()) / f64::from(u32::MAX)
        };
        for _ in 0..8 {
            roll();
        }
        // The sum of some rolls lies around its middle as measured values do.
        let value = |sum: f64| middle * (1.0 + spread * (sum / 3.0 - 1.0));
        (0..count).map(|_| value((0..6).map(|_| roll()).sum())).collect()
    }

    fn verdict(before: Vec<f64>, now: Vec<f64>, tolerance: f64) -> Verdict {
        let figure = |slices| [Sampled::small("claim", "ms", slices)];
        compare(&figure(before), &figure(now), tolerance)[0].verdict
    }

    #[test]
    fn equal_runs_are_hardly_ever_called_different() {
        let called = (0..1000)
            .filter(|seed| {
                let (a, b) = (slices(seed * 2, 10, 5.0, 0.5), slices(seed * 2 + 1, 10, 5.0, 0.5));
                verdict(a, b, 0.0) != Verdict::NoDifferenceSeen
            })
            .count();
        assert!(called <= 20, "{called} of 1000");
    }

    #[test]
    fn a_real_difference_is_seen_in_both_directions() {
        let seen = (0..200)
            .filter(|seed| {
                let (a, b) = (slices(seed * 2, 10, 5.0, 0.3), slices(seed * 2 + 1, 10, 6.5, 0.3));
                verdict(a.clone(), b.clone(), 0.1) == Verdict::Worse
                    && verdict(b, a, 0.1) == Verdict::Better
            })
            .count();
        assert!(seen >= 195, "{seen} of 200");
        let large = |v| [Sampled::large("throughput", "/s", slices(1, 10, v, 0.1))];
        assert_eq!(compare(&large(100.0), &large(60.0), 0.1)[0].verdict, Verdict::Worse);
        assert_eq!(compare(&large(60.0), &large(100.0), 0.1)[0].verdict, Verdict::Better);
    }

    #[test]
    fn what_cannot_be_told_or_does_not_matter_is_no_difference_seen() {
        let (a, b) = (slices(1, 10, 5.0, 0.05), slices(2, 10, 5.4, 0.05));
        assert_eq!(verdict(a.clone(), b.clone(), 0.02), Verdict::Worse);
        assert_eq!(verdict(a, b, 0.2), Verdict::NoDifferenceSeen, "within the tolerance");
        let few = verdict(slices(1, 3, 5.0, 0.1), slices(2, 3, 50.0, 0.1), 0.1);
        assert_eq!(few, Verdict::NoDifferenceSeen, "three slices can always be chance");
        assert_eq!(verdict(vec![5.0; 10], vec![5.0; 10], 0.0), Verdict::NoDifferenceSeen);
        let none = compare(&[], &[Sampled::small("x", "ms", vec![1.0])], 0.1);
        assert!(none.is_empty(), "a figure that only one run has");
    }

    #[test]
    fn the_rank_test_is_that_of_the_books() {
        // U = 0 of 25: (12.5 - 0.5) / sqrt(25 * 11 / 12).
        let z = rank_test(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]);
        assert!((z - 2.5067).abs() < 0.001, "{z}");
        assert!((rank_test(&[1.0, 3.0], &[2.0, 2.0])).abs() < 1e-9);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
