//! The swarm of the demonstration: real worker processes, one of which is killed while it works.

use std::io::Read;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Kind, Result};
use crate::sys::Clock;
use crate::sys::measure::{Program, children};

/// How long the swarm may take before it is given up.
const LIMIT: Duration = Duration::from_mins(5);

/// How often the workers are looked at.
const LOOK: Duration = Duration::from_millis(2);

/// What the swarm did.
pub(super) struct Ran {
    /// How long it took.
    pub(super) time: Duration,
    /// The worker that was killed, if one was caught at work.
    pub(super) killed: Option<u32>,
}

/// Runs the swarm to its end and kills one worker that is at work, once `ready` says so.
pub(super) fn run(
    program: &Program,
    clock: &dyn Clock,
    mut ready: impl FnMut() -> bool,
) -> Result<Ran> {
    let failed = |source| {
        Error::new(Kind::External, format!("cannot run `{}`", program.words())).caused_by(source)
    };
    let start = clock.monotonic();
    let mut swarm = program.start().map_err(failed)?;
    let mut killed = None;
    loop {
        if let Some(status) = swarm.try_wait().map_err(failed)? {
            let time = clock.monotonic().saturating_sub(start);
            if status.success() {
                return Ok(Ran { time, killed });
            }
            let mut said = String::new();
            if let Some(mut out) = swarm.stdout.take() {
                let _ = out.read_to_string(&mut said);
            }
            return Err(Error::new(Kind::External, format!("the swarm ended with {status}"))
                .hint("run it again with `--keep` and look at the store"));
        }
        if clock.monotonic().saturating_sub(start) > LIMIT {
            end(&mut swarm);
            return Err(Error::new(Kind::Timeout, "the swarm did not empty the queue in time"));
        }
        if killed.is_none() && ready() {
            killed = kill_one(swarm.id());
        }
        clock.sleep(LOOK);
    }
}

/// Kills a worker that has a job running, so that it surely holds an item.
fn kill_one(swarm: u32) -> Option<u32> {
    for worker in children(swarm) {
        if children(worker).is_empty() {
            continue;
        }
        // Stopped, it cannot report its job any more: if the job is still there, so is the claim.
        signal(worker, Signal::STOP)?;
        if children(worker).is_empty() {
            signal(worker, Signal::CONT)?;
        } else {
            signal(worker, Signal::KILL)?;
            return Some(worker);
        }
    }
    None
}

fn signal(pid: u32, signal: Signal) -> Option<()> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    kill_process(pid, signal).ok()
}

fn end(swarm: &mut Child) {
    if signal(swarm.id(), Signal::TERM).is_some() {
        let _ = swarm.wait();
    }
}
