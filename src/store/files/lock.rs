//! The lock that every writer takes: fair, bounded, and freed by the kernel when its holder dies.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use fs2::FileExt;
use serde_json::Value;

use super::GiveUp;
use crate::store::fields::Fields;
use crate::store::{Error, Holder, Result};
use crate::sys::Clock;
use crate::sys::fs::{Access, Dir};

/// The name of the lock file; it is never renamed or removed.
pub(super) const FILE: &str = "lock";

/// With 100 processes on 2 processors throughput is the same from 4 tries to 40.
const POLITE_TRIES: u32 = 8;

/// How long to wait, and what then.
pub(super) struct Patience<'a> {
    pub(super) time: Duration,
    pub(super) give_up: Option<&'a GiveUp>,
    pub(super) clock: &'a Arc<dyn Clock>,
}

/// The lock, held until it is dropped.
pub(super) struct Lock {
    file: Arc<File>,
    /// How long somebody else held it first; nothing if nobody did.
    pub(super) waited: Option<Duration>,
}

impl Lock {
    /// Takes the lock. Waiters queue in the kernel, which serves them fairly; trying again and
    /// again from here would starve some.
    pub(super) fn take(
        dir: &Dir,
        patience: &Patience<'_>,
        command: &str,
        since: &str,
    ) -> Result<Self> {
        let file = Arc::new(dir.file(FILE, Access::Create).map_err(super::failure::open)?);
        let signature = Self::signature(command, since);
        let waited = match try_now(&file) {
            Ok(()) => None,
            Err(_) if crate::sys::plant("no-lock") => None,
            Err(fs2::TryLockError::WouldBlock) => {
                let start = patience.clock.monotonic();
                match patience.give_up {
                    _ if try_politely(&file) => {}
                    Some(give_up) => Self::wait_here(&file, patience, give_up)?,
                    None => Self::wait(&file, patience.time)?,
                }
                Some(patience.clock.monotonic().saturating_sub(start))
            }
            Err(fs2::TryLockError::Error(source)) => {
                return Err(super::failure::io("lock the store", source));
            }
        };
        // It is only a message: nothing depends on it.
        let _ = file.write_all_at(&signature, 0);
        Ok(Self { file, waited })
    }

    /// Waits in this thread, while another one watches the time and ends the process when it is
    /// over. Whoever gets the lock goes on at once: no other thread must be woken first, which with
    /// many waiters on few processors takes longer than the work under the lock.
    fn wait_here(file: &Arc<File>, patience: &Patience<'_>, give_up: &GiveUp) -> Result<()> {
        let settled = Arc::new(AtomicBool::new(false));
        let (late, clock, give_up) =
            (Arc::clone(&settled), Arc::clone(patience.clock), Arc::clone(give_up));
        let (waiter, time) = (Arc::clone(file), patience.time);
        let watch = move || {
            clock.sleep(time);
            if !late.swap(true, Ordering::AcqRel) {
                give_up(Error::Busy { holder: Self::holder(&waiter), waited: time });
            }
        };
        let spawned = std::thread::Builder::new().name("lock".into()).spawn(watch);
        spawned.map_err(|source| super::failure::io("wait for the lock", source))?;
        let got = loop {
            match FileExt::lock(&**file) {
                Err(e) if is_interruption(&e) => {}
                other => break other,
            }
        };
        if settled.swap(true, Ordering::AcqRel) {
            // Too late: the other thread is ending the process, and the lock with it.
            loop {
                std::thread::park();
            }
        }
        got.map_err(|source| super::failure::io("lock the store", source))
    }

    /// Waits in another thread, so that the caller can go on without the lock.
    pub(super) fn wait(file: &Arc<File>, timeout: Duration) -> Result<()> {
        let (tell, hear) = channel();
        let waiter = Arc::clone(file);
        // The thread outlives a caller that gives up; what it then gets goes at once, with the
        // last handle of the file.
        let spawned = std::thread::Builder::new().name("lock".into()).spawn(move || {
            let got = loop {
                match FileExt::lock(&*waiter) {
                    Err(e) if is_interruption(&e) => {}
                    other => break other,
                }
            };
            let _ = tell.send(got);
        });
        spawned.map_err(|source| super::failure::io("wait for the lock", source))?;
        match hear.recv_timeout(timeout) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(super::failure::io("lock the store", source)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(Error::Busy { holder: Self::holder(file), waited: timeout })
            }
        }
    }

    /// Says who holds it, for those who wait in vain.
    fn signature(command: &str, since: &str) -> Vec<u8> {
        let host = rustix::system::uname();
        let mut line = Fields::new();
        line.number("pid", std::process::id().into())
            .text("host", &host.nodename().to_string_lossy())
            .text("command", command)
            .text("since", since);
        let mut text = line.close();
        // A shorter text must cover a longer one before it.
        text.resize(text.len().max(255), b' ');
        text.push(b'\n');
        text
    }

    /// Who signed last.
    pub(super) fn holder(mut file: &File) -> Option<Holder> {
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).ok()?;
        file.take(4096).read_to_string(&mut text).ok()?;
        let value: Value = serde_json::from_str(text.lines().next()?.trim()).ok()?;
        let word = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let pid = value["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        Some(Holder { pid, host: word("host"), command: word("command"), since: word("since") })
    }
}

/// Tries the lock; a signal that comes in between is no answer.
fn try_now(file: &File) -> Result<(), fs2::TryLockError> {
    loop {
        match FileExt::try_lock(file) {
            Err(fs2::TryLockError::Error(e)) if is_interruption(&e) => {}
            other => return other,
        }
    }
}

/// Lets others run and tries again, a few times. The lock is held so shortly that this is mostly
/// enough, and it spares the thread that watches a wait in the queue, which costs more than the work
/// under the lock. So few tries keep nobody who is in the queue waiting.
fn try_politely(file: &File) -> bool {
    (0..POLITE_TRIES).any(|_| {
        std::thread::yield_now();
        try_now(file).is_ok()
    })
}

fn is_interruption(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::Interrupted
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The handle may be shared with a waiting thread, so closing it is not enough.
        let _: io::Result<()> = FileExt::unlock(&*self.file);
    }
}
