//! Random identifiers.

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::rand::{GetRandomFlags, getrandom};

/// Makes identifiers that never repeat.
pub trait Ids: Send + Sync {
    /// 64 fresh bits.
    fn bits(&self) -> u64;

    /// 16 hex digits.
    fn hex(&self) -> String {
        format!("{:016x}", self.bits())
    }
}

/// The kernel's random numbers.
#[derive(Debug, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn bits(&self) -> u64 {
        let mut bytes = [0u8; 8];
        // A short read cannot happen below 256 bytes; an old kernel without the call gives the clock.
        if getrandom(&mut bytes, GetRandomFlags::empty()).is_err() {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let pid = rustix::process::getpid().as_raw_nonzero().get();
            return now.tv_nsec.unsigned_abs() << 32
                ^ now.tv_sec.unsigned_abs()
                ^ u64::from(pid.unsigned_abs()) << 40;
        }
        u64::from_le_bytes(bytes)
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
