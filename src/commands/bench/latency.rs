//! How long operations took, in a histogram: percentiles over any number of them, to three digits.

use std::time::Duration;

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::Serialize;

use super::stats::tenth;

/// Times of one operation, in microseconds. It grows with the longest one.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency(Option<Histogram<u64>>);

/// The figures that tell of it, in milliseconds.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Serialize)]
pub(super) struct Percentiles {
    /// How many were measured.
    pub(super) runs: u64,
    /// Half were faster.
    pub(super) p50_ms: f64,
    /// One in twenty was slower.
    pub(super) p95_ms: f64,
    /// One in a hundred was slower.
    pub(super) p99_ms: f64,
    /// The slowest.
    pub(super) max_ms: f64,
}

impl Latency {
    /// Notes a time.
    pub(super) fn record(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if self.0.is_none() {
            self.0 = Histogram::new(3).ok();
        }
        if let Some(histogram) = &mut self.0 {
            // It grows by itself, so that nothing can be too large for it.
            let _ = histogram.record(us);
        }
    }

    /// Adds all of another one.
    pub(super) fn merge(&mut self, other: &Self) {
        let Some(other) = &other.0 else { return };
        match &mut self.0 {
            Some(own) => drop(own.add(other)),
            None => self.0 = Some(other.clone()),
        }
    }

    /// Below which so many of a hundred are, in milliseconds; nothing without any.
    pub(super) fn percentile(&self, of_hundred: f64) -> Option<f64> {
        let histogram = self.0.as_ref().filter(|h| !h.is_empty())?;
        Some(milliseconds(histogram.value_at_percentile(of_hundred)))
    }

    /// The figures; nothing without any.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let histogram = self.0.as_ref().filter(|h| !h.is_empty())?;
        Some(Percentiles {
            runs: histogram.len(),
            p50_ms: self.percentile(50.0)?,
            p95_ms: self.percentile(95.0)?,
            p99_ms: self.percentile(99.0)?,
            max_ms: milliseconds(histogram.max()),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "times stay far below 2^52 microseconds")]
fn milliseconds(us: u64) -> f64 {
    // Hundredths: a heartbeat takes less than a millisecond.
    tenth(us as f64 / 100.0) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let mut all = Latency::default();
        assert_eq!(all.percentiles(), None);
        let (mut odd, mut even) = (Latency::default(), Latency::default());
        for ms in 1..=1000 {
            let part = if ms % 2 == 0 { &mut even } else { &mut odd };
            part.record(Duration::from_millis(ms));
        }
        all.merge(&odd);
        all.merge(&even);
        let p = all.percentiles().unwrap();
        assert_eq!(p.runs, 1000);
        for (have, wanted) in
            [(p.p50_ms, 500.0), (p.p95_ms, 950.0), (p.p99_ms, 990.0), (p.max_ms, 1000.0)]
        {
            assert!((have - wanted).abs() <= wanted / 500.0, "{have} for {wanted}");
        }
        all.record(Duration::from_hours(1));
        assert!(all.percentiles().unwrap().max_ms > 3_590_000.0);
        assert!(all.percentile(50.0).unwrap() < 502.0);
    }
}
