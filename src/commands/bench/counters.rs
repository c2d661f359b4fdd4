//! What does not depend on how busy the machine is: instructions and system calls of one run.

use std::path::Path;

use crate::error::Result;
use crate::sys::measure::{Program, run};
use crate::sys::{Clock, Env};

use super::rivals::installed;
use super::stage::failed;

/// Counts with the tools that are installed.
pub(super) struct Counters<'a> {
    env: &'a Env,
    clock: &'a dyn Clock,
    scratch: &'a Path,
}

impl<'a> Counters<'a> {
    /// Counts with what `env` finds, with files in `scratch`.
    pub(super) const fn new(env: &'a Env, clock: &'a dyn Clock, scratch: &'a Path) -> Self {
        Self { env, clock, scratch }
    }

    /// Instructions of one run, by callgrind; nothing where it is not installed or cannot tell.
    pub(super) fn instructions(&self, program: &Program) -> Result<Option<u64>> {
        let log = self.scratch.join("callgrind.log");
        let Some(valgrind) = installed("valgrind", self.env) else { return Ok(None) };
        let outer = Program::new(valgrind)
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .args([format!("--log-file={}", log.display())]);
        run(&program.under(outer), self.clock).map_err(failed)?;
        let text = std::fs::read_to_string(log).unwrap_or_default();
        Ok(collected(&text))
    }

    /// System calls of one run, by strace; nothing where it is not installed or may not trace.
    pub(super) fn system_calls(&self, program: &Program) -> Result<Option<u64>> {
        let log = self.scratch.join("strace.log");
        let Some(strace) = installed("strace", self.env) else { return Ok(None) };
        let outer = Program::new(strace).args(["-f", "-qq", "-o"]).args([log.as_os_str()]);
        run(&program.under(outer), self.clock).map_err(failed)?;
        let text = std::fs::read_to_string(log).unwrap_or_default();
        Ok(calls(&text))
    }
}

fn collected(log: &str) -> Option<u64> {
    let (_, count) = log.lines().rev().find_map(|line| line.split_once("Collected : "))?;
    count.trim().parse().ok()
}

/// Lines of a trace that begin a system call; the first one is the tracer's own `execve`.
fn calls(log: &str) -> Option<u64> {
    let begun = |line: &&str| {
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        call.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && call.contains('(')
    };
    u64::try_from(log.lines().filter(begun).count()).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_tools_write() {
        let log = "==12== Events    : Ir\n==12== Collected : 81234\n==12==\n==12== I   refs: 1\n";
        assert_eq!(collected(log), Some(81234));
        assert_eq!(collected("valgrind: no such tool"), None);
        let log = "12 execve(\"/x\", [], 0x0) = 0\n12 brk(NULL) = 0x1\n\
                   12 futex(0x1, FUTEX_WAIT <unfinished ...>\n13 write(1, \"a\", 1) = 1\n\
                   12 <... futex resumed>) = 0\n12 +++ exited with 0 +++\n";
        assert_eq!(calls(log), Some(3));
        assert_eq!(calls(""), None);
    }
}
