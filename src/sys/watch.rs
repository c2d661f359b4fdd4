//! Waiting until something in a directory changes.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use super::Clock;
use super::fs::Dir;

/// How long is waited where no watches are to be had.
const BLIND: Duration = Duration::from_millis(200);

/// Why a wait is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Woken {
    /// Something has changed, or the time is over, or a signal came: look.
    Look,
    /// Nobody reads standard output any more.
    Unread,
}

/// A watch over a directory, from the moment it was made.
#[derive(Debug)]
pub struct Watch(Option<OwnedFd>);

impl Watch {
    /// Watches files that are written, made and renamed in the directory. Where the system gives no
    /// watches, a wait is a short sleep.
    #[must_use]
    pub fn over(dir: &Dir) -> Self {
        let what = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::CREATE;
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK);
        Self(watch.ok().filter(|watch| inotify::add_watch(watch, dir.path(), what).is_ok()))
    }

    /// Waits until something may have changed since the last wait, at most for so long. With `unread`
    /// also until standard output has lost its reader.
    pub fn wait(&self, time: Duration, unread: bool, clock: &dyn Clock) -> io::Result<Woken> {
        let bound = if self.0.is_some() { time } else { time.min(BLIND) };
        let bound = Timespec {
            tv_sec: i64::try_from(bound.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: bound.subsec_nanos().into(),
        };
        let mut seen = Vec::with_capacity(2);
        // Of a stream that is asked for nothing it is still told that its other end has gone.
        if unread {
            seen.push(PollFd::from_borrowed_fd(rustix::stdio::stdout(), PollFlags::empty()));
        }
        if let Some(watch) = &self.0 {
            seen.push(PollFd::new(watch, PollFlags::IN));
        }
        if seen.is_empty() {
            clock.sleep(time.min(BLIND));
            return Ok(Woken::Look);
        }
        match poll(&mut seen, Some(&bound)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let told = if unread { seen[0].revents() } else { PollFlags::empty() };
        if told.contains(PollFlags::NVAL) {
            // It was closed before we began, which is no reader that has had enough.
            return Err(Errno::BADF.into());
        }
        if told.intersects(PollFlags::ERR | PollFlags::HUP) {
            return Ok(Woken::Unread);
        }
        drop(seen);
        self.drain();
        Ok(Woken::Look)
    }

    /// Forgets what was told: the caller looks at everything.
    fn drain(&self) {
        let mut bytes = [0; 4096];
        if let Some(watch) = &self.0 {
            while rustix::io::read(watch, &mut bytes).is_ok_and(|n| n > 0) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SystemClock;
    use super::super::fs::Access;
    use super::*;

    #[test]
    fn a_change_before_the_wait_is_not_missed() {
        use std::io::Write as _;
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path(), false).unwrap();
        let watch = Watch::over(&dir);
        dir.file("a", Access::Create).unwrap().write_all(b"x").unwrap();
        // It would hang for an hour if the change were missed.
        let woken = watch.wait(Duration::from_hours(1), false, &SystemClock).unwrap();
        assert_eq!(woken, Woken::Look);
        watch.wait(Duration::from_millis(1), false, &SystemClock).unwrap();
    }
}
