//! Locks between the processes of a user: held by the kernel, so that nobody's death leaves one.

use std::fs::File;
use std::time::Duration;

use fs2::FileExt;

use crate::client::backoff::scale;
use crate::sys::fs::{Access, Dir, OpenError};
use crate::sys::{Clock, Ids};

/// How soon a lock that is taken is tried again: at first, and at last.
const FIRST: Duration = Duration::from_micros(500);
const LAST: Duration = Duration::from_millis(10);

/// A lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    /// The locked file.
    pub(super) file: File,
    /// Whether somebody else held it first.
    pub(super) waited: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        let _: std::io::Result<()> = FileExt::unlock(&self.file);
    }
}

/// What waiting needs.
#[derive(Clone, Copy)]
pub(super) struct Wait<'a> {
    pub(super) clock: &'a dyn Clock,
    pub(super) ids: &'a dyn Ids,
    /// When to stop, on the monotonic clock.
    pub(super) until: Duration,
    /// Whether the end was asked for.
    pub(super) ended: &'a dyn Fn() -> bool,
}

/// Takes one of the locks `names`, or none if they stay taken. A file that loses its name to its
/// last holder is opened anew.
pub(super) fn take(
    dir: &Dir,
    names: &[String],
    wait: &Wait<'_>,
) -> Result<Option<Held>, OpenError> {
    let (mut waited, mut again) = (false, FIRST);
    loop {
        for name in names {
            let file = dir.file(name, Access::Create)?;
            if FileExt::try_lock(&file).is_ok() && dir.names_file(name, &file) {
                return Ok(Some(Held { file, waited }));
            }
        }
        waited = true;
        if wait.clock.monotonic() >= wait.until || (wait.ended)() {
            return Ok(None);
        }
        wait.clock.sleep(again / 2 + scale(again, wait.ids.bits()));
        again = (again * 2).min(LAST);
    }
}
