//! Random identifiers.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes identifiers that never repeat.
pub trait Ids: Send + Sync {
    /// 64 fresh bits.
    fn bits(&self) -> u64;

    /// 16 hex digits.
    fn hex(&self) -> String {
        // By hand: formatting would bring in pages that a short command needs for nothing else.
        let digit = |digit: u8| char::from(b"0123456789abcdef"[usize::from(digit)]);
        let digits = self.bits().to_be_bytes().map(|byte| [byte >> 4, byte & 15].map(digit));
        digits.as_flattened().iter().collect()
    }
}

/// The kernel's random numbers.
#[derive(Debug, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn bits(&self) -> u64 {
        // The standard library seeds every hasher from the kernel and no two alike; asking the
        // kernel through another library first looks for the call by its name.
        RandomState::new().build_hasher().finish()
    }
}

/// Counts: 1, 2, 3, … for tests.
#[derive(Debug, Default)]
pub struct SequentialIds(AtomicU64);

impl Ids for SequentialIds {
    fn bits(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn they_are_sixteen_hex_digits() {
        let ids = SequentialIds::default();
        assert_eq!(ids.hex(), "0000000000000001");
        ids.0.store(0xfedc_ba98_7654_320f, Ordering::Relaxed);
        assert_eq!(ids.hex(), "fedcba9876543210");
    }

    #[test]
    fn no_two_are_alike() {
        let made: HashSet<u64> = (0..10_000).map(|_| RandomIds.bits()).collect();
        assert_eq!(made.len(), 10_000);
    }
}
