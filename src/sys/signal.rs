//! Signals as flags: what was asked for from outside, looked at when it suits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;

/// Which end was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stop {
    /// SIGINT, as by Ctrl-C.
    Interrupt,
    /// SIGTERM, or SIGHUP when the terminal has gone.
    Terminate,
}

impl Stop {
    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

const INTERRUPT: usize = 1;
const TERMINATE: usize = 2;

/// The signals of this process, caught from the moment this was made.
#[derive(Debug)]
pub struct Signals {
    stop: Arc<AtomicUsize>,
    up: Arc<AtomicBool>,
    down: Arc<AtomicBool>,
}

impl Signals {
    /// Catches SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 from now on, and SIGHUP unless it is ignored,
    /// as `nohup` wants it.
    pub fn catch() -> io::Result<Self> {
        let caught = Self { stop: Arc::default(), up: Arc::default(), down: Arc::default() };
        flag::register_usize(SIGINT, Arc::clone(&caught.stop), INTERRUPT)?;
        flag::register_usize(SIGTERM, Arc::clone(&caught.stop), TERMINATE)?;
        if !is_ignored(Signal::HUP) {
            flag::register_usize(SIGHUP, Arc::clone(&caught.stop), TERMINATE)?;
        }
        flag::register(SIGUSR1, Arc::clone(&caught.up))?;
        flag::register(SIGUSR2, Arc::clone(&caught.down))?;
        Ok(caught)
    }

    /// Whether the end was asked for. Asking once more is told once more.
    #[must_use]
    pub fn take_stop(&self) -> Option<Stop> {
        match self.stop.swap(0, Ordering::SeqCst) {
            INTERRUPT => Some(Stop::Interrupt),
            TERMINATE => Some(Stop::Terminate),
            _ => None,
        }
    }

    /// Whether SIGUSR1 came since the last look.
    #[must_use]
    pub fn take_up(&self) -> bool {
        self.up.swap(false, Ordering::SeqCst)
    }

    /// Whether SIGUSR2 came since the last look.
    #[must_use]
    pub fn take_down(&self) -> bool {
        self.down.swap(false, Ordering::SeqCst)
    }
}

/// Whether this process was started with the signal ignored.
pub(super) fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal.as_raw() - 1) & 1 == 1
}
