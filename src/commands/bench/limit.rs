//! The physical limit of a durable one-shot command: a process, a lock, 200 bytes appended, one
//! flush, one line of output. Nothing that keeps its word can be faster.
//!
//! Only the standard library: `src/bin/coord-bench-limit.rs` is built from this file as well.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// What an acknowledged append of the limit program prints.
const ANSWER: &[u8] = b"w-1\n";

/// Takes the lock in `dir`, appends, lets go, flushes if `sync`, answers.
#[expect(clippy::disallowed_methods, reason = "it is the yardstick for the code behind the seams")]
pub(crate) fn append(dir: &Path, sync: bool) -> io::Result<()> {
    let lock =
        OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock"))?;
    lock.lock()?;
    let mut log = OpenOptions::new().create(true).append(true).open(dir.join("log"))?;
    log.write_all(&[b'x'; 200])?;
    drop(lock);
    if sync {
        log.sync_data()?;
    }
    io::stdout().write_all(ANSWER)
}
