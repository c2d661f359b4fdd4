//! The current time: the wall clock for people, the boot clock for leases.

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::time::{ClockId, clock_gettime};

/// A reading of the clock that counts from boot, suspend included, and no one can set.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Boot {
    /// Which boot: the first 16 hex digits of the kernel's boot id, 0 where there is none.
    pub id: u64,
    /// Milliseconds since then.
    pub ms: u64,
}

/// Tells the time and waits.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn wall(&self) -> DateTime<Utc>;
    /// The boot clock.
    fn boot(&self) -> Boot;
    /// A clock for measuring, from an arbitrary start.
    fn monotonic(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> DateTime<Utc> {
        let now = clock_gettime(ClockId::Realtime);
        DateTime::from_timestamp(now.tv_sec, u32::try_from(now.tv_nsec).unwrap_or(0))
            .unwrap_or_default()
    }

    fn boot(&self) -> Boot {
        let now = clock_gettime(ClockId::Boottime);
        let ms = now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000;
        Boot { id: boot_id(), ms }
    }

    fn monotonic(&self) -> Duration {
        let now = clock_gettime(ClockId::Monotonic);
        Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// The kernel's boot id. A process does not outlive its boot, so it is read once.
fn boot_id() -> u64 {
    static ID: OnceLock<u64> = OnceLock::new();
    *ID.get_or_init(read_boot_id)
}

/// Reads it without allocating: it is part of every command's start.
fn read_boot_id() -> u64 {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let mut text = [0u8; 36];
    let read = openat(
        CWD,
        "/proc/sys/kernel/random/boot_id",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .and_then(|file| rustix::io::read(file, &mut text));
    if !matches!(read, Ok(n) if n >= 19) {
        return 0;
    }
    text.iter()
        .filter_map(|c| char::from(*c).to_digit(16))
        .take(16)
        .fold(0, |id, digit| id << 4 | u64::from(digit))
}

/// A clock that moves only when it is told to; sleeping moves it.
#[derive(Debug)]
pub struct FixedClock(Mutex<(DateTime<Utc>, Boot)>);

impl FixedClock {
    /// A clock that shows `wall`, 1,000 s after boot 1.
    #[must_use]
    pub fn new(wall: DateTime<Utc>) -> Self {
        Self(Mutex::new((wall, Boot { id: 1, ms: 1_000_000 })))
    }

    /// Moves both clocks on.
    pub fn advance(&self, time: Duration) {
        let mut now = self.get();
        now.0 += time;
        now.1.ms += u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.set(now);
    }

    /// Sets the wall clock and leaves the boot clock alone, as an administrator would.
    pub fn jump(&self, wall: DateTime<Utc>) {
        let now = self.get();
        self.set((wall, now.1));
    }

    /// Starts another boot.
    pub fn reboot(&self) {
        let now = self.get();
        self.set((now.0, Boot { id: now.1.id + 1, ms: 5_000 }));
    }

    fn get(&self) -> (DateTime<Utc>, Boot) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set(&self, now: (DateTime<Utc>, Boot)) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = now;
    }
}

impl Clock for FixedClock {
    fn wall(&self) -> DateTime<Utc> {
        self.get().0
    }

    fn boot(&self) -> Boot {
        self.get().1
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.get().1.ms)
    }

    fn sleep(&self, time: Duration) {
        self.advance(time);
    }
}
