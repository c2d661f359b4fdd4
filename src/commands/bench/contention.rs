//! Many processes at once: how much gets done, and how long the unlucky wait.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Result;
use crate::sys::Clock;
use crate::sys::measure::{Program, run};

use super::stage::{answer, failed};

/// One process after another does `first`, then `second` with its answer, in each worker.
pub(super) struct Cycle<'a> {
    /// The first operation, whose time is taken.
    pub(super) first: Box<dyn Fn() -> Program + Sync + 'a>,
    /// The second one, made from the answer of the first.
    pub(super) second: Box<dyn Fn(&str) -> Program + Sync + 'a>,
}

/// What a crowd did.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd {
    /// Cycles done.
    pub(super) cycles: u64,
    /// In which time.
    pub(super) time: Duration,
    /// How long the first operations took.
    pub(super) first: Vec<Duration>,
}

impl Crowd {
    /// Adds another slice of the same.
    pub(super) fn extend(&mut self, other: &Self) {
        self.cycles += other.cycles;
        self.time += other.time;
        self.first.extend(&other.first);
    }

    /// Cycles in a second; nothing where nothing was done.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub(super) fn per_second(&self) -> Option<f64> {
        let time = self.time.as_secs_f64();
        (time > 0.0).then(|| self.cycles as f64 / time)
    }
}

/// Lets `workers` processes at a time do `cycles` cycles between them.
pub(super) fn crowd(
    cycle: &Cycle<'_>,
    workers: u64,
    cycles: u64,
    clock: &dyn Clock,
) -> Result<Crowd> {
    let next = AtomicU64::new(0);
    let done: Mutex<Vec<Duration>> = Mutex::default();
    let start = clock.monotonic();
    let work = || -> Result<()> {
        let mut times = Vec::new();
        while next.fetch_add(1, Ordering::Relaxed) < cycles {
            let program = (cycle.first)();
            let first = run(&program, clock).map_err(failed)?;
            let program = (cycle.second)(&answer(&first, &program)?);
            answer(&run(&program, clock).map_err(failed)?, &program)?;
            times.push(first.time);
        }
        done.lock().unwrap_or_else(PoisonError::into_inner).extend(times);
        Ok(())
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        all.into_iter().try_for_each(|one| {
            one.join().unwrap_or_else(|_| Err(failed(std::io::Error::other("a thread died"))))
        })
    })?;
    let first = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Crowd { cycles, time: clock.monotonic().saturating_sub(start), first })
}
