//! What this process has used.

use std::fs::File;
use std::io::Read as _;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Processor time of all its threads.
#[must_use]
pub fn cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or(0))
}

/// The most memory it had at one time, in KiB; nothing where the kernel does not tell.
#[must_use]
pub fn peak_kib() -> Option<u64> {
    // In one piece: the kernel makes it anew for each.
    let mut status = String::with_capacity(8192);
    File::open("/proc/self/status").and_then(|mut f| f.read_to_string(&mut status)).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_uses_something() {
        assert!(super::cpu() > std::time::Duration::ZERO);
        assert!(super::peak_kib().unwrap() > 100);
    }
}
