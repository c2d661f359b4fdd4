//! Sealing the live log and going on with a short one.
//!
//! The new log is written from a prefix of the old one without the lock; under it only what came
//! since is added and the files change places. The index is not touched: its rows point into the
//! log that is now sealed, where the same lines still stand.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use super::head::Head;
use super::keys::{self, Kind};
use super::log::{HISTORY, LIVE, Logs, NEXT, scan, sealed_name};
use super::record::{Record, Slim, chain, header};
use super::session::Session;
use super::{FileStore, failure};
use crate::domain::work::Op;
use crate::store::Result;
use crate::store::fields::Fields;
use crate::sys::fs::Access;

/// Lines that may be superseded before it is worth while.
const SLACK: u64 = 4096;

/// Whether the live log holds too much that nothing needs any more.
pub(super) fn is_due(head: &Head) -> bool {
    head.superseded() > head.open() + slack()
}

#[cfg(not(test))]
const fn slack() -> u64 {
    SLACK
}

#[cfg(test)]
fn slack() -> u64 {
    TEST_SLACK.get()
}

#[cfg(test)]
thread_local! {
    /// Less of it makes short histories, for tests that read them often.
    pub(super) static TEST_SLACK: std::cell::Cell<u64> = const { std::cell::Cell::new(SLACK) };
}

/// The log that is being written.
struct Writer {
    out: BufWriter<File>,
    link: u64,
    lines: u64,
    at: u64,
    last_at: u64,
}

impl Writer {
    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        self.out.write_all(line)?;
        self.link = chain(line);
        self.lines += 1;
        self.last_at = self.at;
        self.at += line.len() as u64;
        Ok(())
    }

    fn carry(&mut self, line: &[u8]) -> io::Result<()> {
        let mut record = Record::parse(line).map_err(io::Error::other)?;
        record.carried = true;
        record.more = false;
        let line = record.line(self.link);
        self.put(&line)
    }
}

/// The newest line of each item in a part of the log: first seen when, place, whether it is done.
/// Items are told apart by the hash of their id, as in the index: a million ids would take much room.
type Newest = HashMap<u64, (usize, super::rows::Place, u64, bool)>;

fn newest(log: &File, segment: u32, from: u64, to: u64) -> io::Result<Newest> {
    let mut newest: Newest = HashMap::new();
    let _ = scan(log, segment, from, to, &mut |place, line| {
        if let Ok(slim) = serde_json::from_slice::<Slim<'_>>(line)
            && let Some(id) = slim.id.as_deref()
        {
            let id = keys::key(Kind::Item, id);
            let done = slim.status.as_deref() == Some("done");
            let order = newest.len();
            match newest.get_mut(&id) {
                Some(have) if slim.n >= have.2 => (have.1, have.2, have.3) = (place, slim.n, done),
                Some(_) => {}
                None => {
                    newest.insert(id, (order, place, slim.n, done));
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(newest)
}

fn in_order(newest: Newest) -> Vec<(usize, super::rows::Place, u64, bool)> {
    let mut list: Vec<_> = newest.into_values().collect();
    list.sort_unstable_by_key(|entry| entry.0);
    list
}

/// Compacts if it is worth while and nobody else is doing it. Tells whether it was done.
pub(super) fn run(store: &FileStore, op: &Op) -> Result<bool> {
    compact(store, op, is_due)
}

/// Compacts although it is not worth while yet, unless nothing would go.
pub(super) fn seal(store: &FileStore, op: &Op) -> Result<bool> {
    compact(store, op, |head| head.superseded() > 0)
}

fn compact(store: &FileStore, op: &Op, is_due: impl Fn(&Head) -> bool) -> Result<bool> {
    let failed = |e| failure::io("write a new log", e);
    // Only one compaction at a time; whoever comes second has nothing to do.
    let guard = store.dir.file("lock.compact", Access::Create).map_err(failure::open)?;
    if fs2::FileExt::try_lock(&guard).is_err() {
        return Ok(false);
    }
    // A boundary between transactions, and what the log was then.
    let session = Session::begin(store, op)?;
    let (old, upto) = (session.logs.segment, session.index.head.len);
    if !is_due(&session.index.head) {
        return Ok(false);
    }
    let log = session.logs.live.try_clone().map_err(failed)?;
    let inode = session.index.head.inode;
    drop(session);

    let segment = u32::try_from(old).unwrap_or(u32::MAX);
    let file = store.dir.file(NEXT, Access::Truncate).map_err(failure::open)?;
    let mut new = Writer {
        out: BufWriter::with_capacity(1 << 20, file),
        link: 0,
        lines: 0,
        at: 0,
        last_at: 0,
    };
    let prefix = newest(&log, segment, 0, upto).map_err(failed)?;
    new.put(&header(old + 1, 0)).map_err(failed)?;
    let logs = Logs::new(&store.dir, log, old);
    for (_, place, _, done) in in_order(prefix) {
        if !done {
            new.carry(&logs.line(place).map_err(failed)?).map_err(failed)?;
        }
    }
    new.out.flush().and_then(|()| new.out.get_ref().sync_data()).map_err(failed)?;

    let mut session = Session::begin(store, op)?;
    if session.index.head.inode != inode || session.logs.segment != old {
        return Ok(false);
    }
    // What came since; a finished item too, since its unfinished image has been carried over.
    let since = newest(&logs.live, segment, upto, session.index.head.len).map_err(failed)?;
    for (_, place, ..) in in_order(since) {
        new.carry(&logs.line(place).map_err(failed)?).map_err(failed)?;
    }
    let head = &session.index.head;
    let n = head.n + 1;
    let checkpoint = Fields::new()
        .number("n", n)
        .text("op", "checkpoint")
        .number("next_id", head.next_id)
        .text("sealed", &sealed_name(old))
        .text("sealed_end", &format!("{:016x}", head.last_link))
        .text("at", &crate::domain::time::rfc3339(op.now.wall))
        .end(new.link);
    new.put(&checkpoint).map_err(failed)?;
    new.out.flush().and_then(|()| new.out.get_ref().sync_data()).map_err(failed)?;
    swap(store, &mut session, old, n, &new).map_err(failed)?;
    session.finish()?;
    Ok(true)
}

/// Lets the new log take the place of the old one.
fn swap(
    store: &FileStore,
    session: &mut Session<'_>,
    old: u64,
    n: u64,
    new: &Writer,
) -> io::Result<()> {
    session.logs.live.sync_data()?;
    let history = store.dir.subdir(HISTORY, true).map_err(io::Error::other)?;
    // A merge of two branches can bring a sealed log of this number; it is not ours to replace.
    if history.has(&sealed_name(old)) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    store.dir.rename(LIVE, &history, &sealed_name(old))?;
    store.dir.rename(NEXT, &store.dir, LIVE)?;
    history.sync()?;
    store.dir.sync()?;
    let live = store.dir.file(LIVE, Access::Append).map_err(io::Error::other)?;
    session.replace_live(live, old + 1);
    let head = &mut session.index.head;
    head.segment = old + 1;
    head.n = n;
    head.lines = new.lines;
    head.last_at = new.last_at;
    head.last_link = new.link;
    session.settle_after_swap().map_err(io::Error::other)
}
