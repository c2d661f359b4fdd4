//! What a sample proves of a share: its lower bound at 95 % confidence, one-sided.
//!
//! Without a failure it is the rule of three, `1 - 3/n`; with failures it is the lower bound of
//! Wilson's score interval with z = 1.645. So 30,000 operations without a fault show 99.99 %, and four
//! failures in 10,000 calls show 99.9 %.

/// The 95th percentile of the standard normal distribution.
const Z: f64 = 1.644_853_626_951_472_2;
/// A bound that misses a target by less than this reaches it: `1.0 - 0.9999` is not exact.
const SLACK: f64 = 1e-12;

/// The lower bound of the share of good ones (0 to 1), of `count` with `bad` among them; nothing
/// without any.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn lower(count: u64, bad: u64) -> Option<f64> {
    if count == 0 {
        return None;
    }
    let n = count as f64;
    if bad == 0 {
        return Some((1.0 - 3.0 / n).max(0.0));
    }
    let share = count.saturating_sub(bad) as f64 / n;
    let z2 = Z * Z;
    let centre = share + z2 / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    Some(((centre - spread) / (1.0 + z2 / n)).clamp(0.0, 1.0))
}

/// Whether so many prove that the share reaches the target (0 to 1).
#[must_use]
pub fn shows(count: u64, bad: u64, target: f64) -> bool {
    lower(count, bad).is_some_and(|bound| bound + SLACK >= target)
}

/// How many it takes in all to prove it, if none but these fail; nothing if no number does.
#[must_use]
pub fn needed(bad: u64, target: f64) -> Option<u64> {
    if target >= 1.0 {
        return None;
    }
    let (mut low, mut high) = (bad, bad.max(1));
    while !shows(high, bad, target) {
        low = high;
        high = high.checked_mul(2).filter(|high| *high < 1 << 50)?;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if shows(middle, bad, target) { high = middle } else { low = middle }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_known_samples_prove() {
        assert_eq!(lower(0, 0), None);
        assert!(shows(30_000, 0, 0.9999) && !shows(29_999, 0, 0.9999));
        assert!(shows(10_000, 4, 0.999) && !shows(10_000, 5, 0.999));
        assert!(!shows(1_000_000_000, 0, 1.0));
        assert_eq!(lower(2, 0), Some(0.0));
        // By hand: 90 of 100.
        assert!((lower(100, 10).unwrap() - 0.839_5).abs() < 1e-3, "{:?}", lower(100, 10));
        assert!(lower(5, 5).unwrap().abs() < 1e-12);
    }

    #[test]
    fn what_is_needed_is_the_least_that_shows_it() {
        assert_eq!(needed(0, 0.9999), Some(30_000));
        assert_eq!(needed(0, 0.95), Some(60));
        assert_eq!(needed(0, 0.0), Some(1));
        assert_eq!(needed(0, 1.0), None);
        for bad in [1, 3, 17] {
            let n = needed(bad, 0.999).unwrap();
            assert!(shows(n, bad, 0.999) && !shows(n - 1, bad, 0.999), "{bad}: {n}");
        }
    }
}
