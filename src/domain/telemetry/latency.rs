//! Lengths of time, many of them: quantiles from an HDR histogram, and counts for fixed limits.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The upper limits of the buckets that are exported, in microseconds. Fixed, so that series of
/// different times and machines can be added.
pub const BUCKETS_US: [u64; 17] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 120_000, 150_000, 250_000,
    500_000, 1_000_000, 2_500_000, 10_000_000, 60_000_000,
];

/// Three significant digits: a quantile is at most a thousandth off.
const DIGITS: u8 = 3;

/// What is longer counts as this long: a year.
const LONGEST_US: u64 = 365 * 86_400 * 1_000_000;

/// Lengths of time in microseconds, counted for [`BUCKETS_US`].
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct Buckets {
    count: u64,
    sum_us: u64,
    /// What is longer than the last limit is in none of them.
    counts: [u64; BUCKETS_US.len()],
}

/// They as they are written down: with their limits, so that other limits can be had one day.
#[derive(Deserialize, Serialize)]
struct Kept {
    count: u64,
    sum_us: u64,
    within_us: BTreeMap<u64, u64>,
}

impl From<Buckets> for Kept {
    fn from(buckets: Buckets) -> Self {
        let within = BUCKETS_US.into_iter().zip(buckets.counts).filter(|(_, count)| *count > 0);
        Self { count: buckets.count, sum_us: buckets.sum_us, within_us: within.collect() }
    }
}

impl From<Kept> for Buckets {
    fn from(kept: Kept) -> Self {
        let mut buckets = Self { count: kept.count, sum_us: kept.sum_us, ..Self::default() };
        for (limit, count) in kept.within_us {
            buckets.put(limit, count);
        }
        buckets
    }
}

impl Buckets {
    /// Takes in one.
    pub fn record(&mut self, us: u64) {
        self.count = self.count.saturating_add(1);
        self.sum_us = self.sum_us.saturating_add(us);
        self.put(us, 1);
    }

    fn put(&mut self, us: u64, more: u64) {
        let bucket = BUCKETS_US.partition_point(|limit| *limit < us);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(more);
        }
    }

    /// Takes in all that others have.
    pub fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        for (ours, theirs) in self.counts.iter_mut().zip(other.counts) {
            *ours = ours.saturating_add(theirs);
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    #[must_use]
    pub const fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// For each of [`BUCKETS_US`], how many were not longer.
    #[must_use]
    pub fn cumulative(&self) -> [u64; BUCKETS_US.len()] {
        let mut sum: u64 = 0;
        self.counts.map(|count| {
            sum = sum.saturating_add(count);
            sum
        })
    }
}

/// Lengths of time in microseconds.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    buckets: Buckets,
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new(DIGITS)
            .unwrap_or_else(|_| unreachable!("three digits are what a histogram can have"));
        Self { histogram, buckets: Buckets::default() }
    }
}

impl Latency {
    /// Takes in one.
    pub fn record(&mut self, us: u64) {
        // It grows as needed up to the limit.
        let _ = self.histogram.record(us.min(LONGEST_US));
        self.buckets.record(us);
    }

    /// Takes in all that another one has.
    pub fn add(&mut self, other: &Self) {
        let _ = self.histogram.add(&other.histogram);
        self.buckets.add(&other.buckets);
    }

    /// They, counted for [`BUCKETS_US`].
    #[must_use]
    pub const fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Their sum.
    #[must_use]
    pub const fn sum_us(&self) -> u64 {
        self.buckets.sum_us
    }

    /// The smallest that at least this share (0 to 1) is not longer than; nothing without any. It is
    /// at most a thousandth too long, and never on the other side of one of [`BUCKETS_US`].
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let count = self.count();
        let about = (count > 0).then(|| self.histogram.value_at_quantile(share))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
        #[expect(clippy::cast_precision_loss, reason = "as the histogram counts")]
        let rank = ((share * count as f64).ceil() as u64).clamp(1, count);
        // What the histogram does not tell apart may lie on both sides of a limit.
        let bucket = self.buckets.cumulative().partition_point(|up_to| *up_to < rank);
        Some(BUCKETS_US.get(bucket).map_or(about, |limit| about.min(*limit)))
    }

    /// How many took longer than so many microseconds: exact for [`BUCKETS_US`], for other limits to
    /// a thousandth of the limit.
    #[must_use]
    pub fn longer_than(&self, us: u64) -> u64 {
        let within = match BUCKETS_US.iter().position(|limit| *limit == us) {
            Some(at) => self.buckets.cumulative()[at],
            None if self.histogram.is_empty() => 0,
            None => self.histogram.count_between(0, us.min(self.histogram.high())),
        };
        self.count() - within
    }

    /// The longest; nothing without any.
    #[must_use]
    pub fn max_us(&self) -> Option<u64> {
        (self.count() > 0).then(|| self.histogram.max())
    }

    /// Their mean; nothing without any.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean is not exact to the microsecond")]
    pub fn mean_us(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum_us() as f64 / self.count() as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_any_there_is_nothing_to_say() {
        let none = Latency::default();
        assert_eq!((none.quantile_us(0.95), none.max_us(), none.mean_us()), (None, None, None));
        assert_eq!(none.buckets().cumulative(), [0; BUCKETS_US.len()]);
    }

    #[test]
    fn limits_belong_to_their_bucket() {
        let mut some = Latency::default();
        for us in [250, 251, 100_000, 100_001, 60_000_001] {
            some.record(us);
        }
        let counts = some.buckets().cumulative();
        assert_eq!((counts[0], counts[1], counts[8], counts[9], counts[16]), (1, 2, 3, 4, 4));
        assert_eq!(some.count(), 5);
        assert_eq!(some.quantile_us(0.6), Some(100_000));
        assert!(some.quantile_us(0.8) > Some(100_000));
        let longer = |us| some.longer_than(us);
        assert_eq!((longer(250), longer(100_000), longer(99_000), longer(1 << 40)), (4, 2, 3, 0));
        assert_eq!((longer(0), Latency::default().longer_than(7)), (5, 0));
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_values(mut values in prop::collection::vec(0_u64..10_000_000, 1..400)) {
            let (mut all, mut half) = (Latency::default(), Latency::default());
            for (at, us) in values.iter().enumerate() {
                if at % 2 == 0 { all.record(*us) } else { half.record(*us) }
            }
            all.add(&half);
            values.sort_unstable();
            for share in [0.5, 0.95, 0.99, 1.0] {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
                let rank = ((values.len() as f64 * share).ceil() as usize).max(1);
                let (want, got) = (values[rank - 1], all.quantile_us(share).unwrap());
                prop_assert!(got >= want && got <= want + want / 1000 + 1, "{share}: {got} for {want}");
            }
            prop_assert_eq!(all.sum_us(), values.iter().sum::<u64>());
        }
    }
}
