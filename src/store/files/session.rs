//! One writer's turn: take the lock, make the index match the log, decide, append, let others go
//! on, and only then wait for the disk.

use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use serde_json::json;

use super::cells::{FileCells, Overlay};
use super::head::{self, Head, Loaded, look};
use super::index::{Applied, Facts, Index, unpack};
use super::keys::{self, Kind};
use super::lock::{Lock, Patience};
use super::log::{self, HISTORY, LIVE, Logs, NEXT, sealed_name};
use super::rebuild::{self, Rebuilt};
use super::record::{Record, Slim, chain, header};
use super::rows::{Place, Row};
use super::{FileStore, compact, failure};
use crate::domain::name::ItemId;
use crate::domain::time::{Stamp, rfc3339};
use crate::domain::work::{Found, Item, Limits, NewError, Op, TransitionError};
use crate::store::fields::Fields;
use crate::store::{Error, Result};
use crate::sys::fs::{self, Access};

/// The name of the index's directory.
pub(super) const INDEX: &str = ".index";
/// The name of the index's head.
pub(super) const HEAD: &str = "head";

/// A writer's turn. Dropping it without [`Session::finish`] gives the lock back and has changed
/// nothing that was not committed.
pub(super) struct Session<'a> {
    pub(super) store: &'a FileStore,
    pub(super) op: &'a Op,
    lock: Option<Lock>,
    pub(super) logs: Logs,
    head_file: File,
    pub(super) index: Index<Overlay>,
    now: Stamp,
    wrote: bool,
    /// The answer rests on lines whose writer may not have seen them durable.
    unsure: bool,
    /// The index could not follow the log; only the next writer can make that good.
    behind: bool,
}

impl<'a> Session<'a> {
    /// Takes the lock and makes the index match the log. Refuses to go on over a damaged log.
    pub(super) fn begin(store: &'a FileStore, op: &'a Op) -> Result<Self> {
        let session = Self::begin_anyhow(store, op)?;
        if session.index.head.damaged != 0 {
            let rebuilt = rebuild::run(&session.logs, session.now.boot, session.now, false)?;
            let what = rebuilt.stopping().next().map(|f| rebuild::describe(&session.logs, f));
            let what = what.unwrap_or_else(|| "a part of the log is missing".to_owned());
            return Err(Error::Damaged { what });
        }
        Ok(session)
    }

    /// The same for those who mend damage.
    pub(super) fn begin_anyhow(store: &'a FileStore, op: &'a Op) -> Result<Self> {
        let (mut session, loaded) = Self::hold(store, op)?;
        session.recover(loaded)?;
        Ok(session)
    }

    /// Takes the lock and looks at the head of the index, and leaves everything as it is. Nothing may be
    /// read through the index or written before [`Session::recover`].
    pub(super) fn hold(store: &'a FileStore, op: &'a Op) -> Result<(Self, Loaded)> {
        let options = &store.options;
        let since = rfc3339(op.now.wall);
        // What can be opened beforehand keeps nobody waiting.
        let early = match store.dir.file(LIVE, Access::Append) {
            Ok(live) => {
                store.dir.adopt();
                Some(live)
            }
            Err(e) if e.is_not_found() => None,
            Err(e) => return Err(failure::open(e)),
        };
        let dir = store.dir.subdir(INDEX, true).map_err(failure::open)?;
        let head_file = dir.file(HEAD, Access::Create).map_err(failure::open)?;
        let cells = FileCells::new(dir, Access::Create);
        cells.open_usual().map_err(failure::index)?;
        let (time, clock) = (options.lock_timeout, &options.clock);
        let patience = Patience { time, give_up: store.give_up.as_ref(), clock };
        let lock = Lock::take(&store.dir, &patience, &options.command, &since)?;
        // A lease must not begin before its agent could have it.
        let now = match lock.waited {
            Some(time) => {
                store.waited.set(store.waited.get() + time);
                store.stamp()
            }
            None => op.now,
        };
        let loaded = head::load(&head_file, now.boot).map_err(failure::index)?;
        // A restore marks what it puts aside; only where somebody waited may it have been another hand.
        if (matches!(loaded, Loaded::Moved) || lock.waited.is_some()) && !store.dir.is_in_place() {
            return Err(Error::Replaced { dir: store.dir.path().to_owned() });
        }
        let live = match early {
            Some(live) if store.dir.names_file(LIVE, &live) => live,
            // There was none, or a compaction has put another in its place meanwhile.
            _ => open_or_make_live(store)?,
        };
        store.dir.adopt();
        let overlay = Overlay::new(cells);
        let logs = Logs::new(&store.dir, live, 0);
        let index = Index::new(overlay, Head::new(now.boot));
        let session = Session {
            store,
            op,
            lock: Some(lock),
            logs,
            head_file,
            index,
            now,
            wrote: false,
            unsure: false,
            behind: false,
        };
        Ok((session, loaded))
    }

    /// The moment at which this turn began.
    pub(super) const fn now(&self) -> Stamp {
        self.now
    }

    /// Makes the index match the log, with as little work as its state allows.
    pub(super) fn recover(&mut self, loaded: Loaded) -> Result<()> {
        let seen = look(&self.logs.live).map_err(|e| self.live_failed(e))?;
        match loaded {
            Loaded::Clean(head) if head.matches(seen) => {
                self.logs.segment = head.segment;
                self.index.head = head;
                Ok(())
            }
            Loaded::Clean(head)
                if head.inode == seen.0 && head.len < seen.1 && self.ends_with(&head) =>
            {
                self.logs.segment = head.segment;
                self.index.head = head;
                self.replay()
            }
            Loaded::Begun(heads, changes) if heads.0.inode == seen.0 => {
                let (before, after) = *heads;
                self.logs.segment = before.segment;
                if seen.1 >= after.len && self.ends_with(&after) {
                    // The line is there: whoever wrote it died before the index had it.
                    self.index.cells.redo(&changes).map_err(failure::index)?;
                    self.index.head = after;
                    if seen.1 > self.index.head.len { self.replay() } else { self.settle() }
                } else if seen.1 >= before.len && seen.1 < after.len && self.ends_with(&before) {
                    if seen.1 > before.len {
                        self.cut(before.len)?;
                    }
                    self.index.head = before;
                    self.settle()
                } else {
                    self.rebuild()
                }
            }
            Loaded::Clean(head) if head.inode == seen.0 && head.len > seen.1 => {
                // A checkout by git makes another file, which may get the same inode.
                let same = fs::born(&self.logs.live).is_some_and(|born| born < head.mtime);
                self.rebuild()?;
                if same { self.note_loss(&head) } else { Ok(()) }
            }
            _ => self.rebuild(),
        }
    }

    /// The log was made shorter where it lies, which nothing but a hand or another program does: the log
    /// itself shall tell, and no number be given twice.
    fn note_loss(&mut self, known: &Head) -> Result<()> {
        let (first, last) = (self.index.head.n + 1, known.n);
        if first > last || self.index.head.damaged != 0 {
            return Ok(());
        }
        let n = last + 1;
        let line = Fields::new()
            .number("n", n)
            .text("op", "lost")
            .text("op_id", self.op.id.as_str())
            .text("at", &rfc3339(self.now.wall))
            .text("by", self.op.by.as_str())
            .value("gaps", &json!([[first, last]]))
            .end(self.index.head.last_link);
        self.note_line(n, &line)?;
        let what = if first == last {
            format!("write {last}")
        } else {
            format!("writes {first} to {last}")
        };
        self.store.note(format!(
            "{what} had been cut off the end of `{LIVE}`; `coord verify` tells what is known of it"
        ));
        Ok(())
    }

    fn live_failed(&self, source: io::Error) -> Error {
        failure::read(&self.store.dir.path().join(LIVE), source)
    }

    /// Whether the log has, where `head` ended, the line that `head` says.
    fn ends_with(&self, head: &Head) -> bool {
        let len = u32::try_from(head.len.saturating_sub(head.last_at)).unwrap_or(0);
        let line = log::read_line(&self.logs.live, Place { segment: 0, at: head.last_at, len });
        len > 0
            && line.is_ok_and(|line| line.len() == len as usize && chain(&line) == head.last_link)
    }

    /// Notes that the index matches the log as it now is.
    fn settle(&mut self) -> Result<()> {
        self.index.head.note_log(&self.logs.live).map_err(|e| self.live_failed(e))?;
        head::end(&self.head_file, &mut self.index.head).map_err(failure::index)
    }

    /// Cuts what was never acknowledged off the log.
    fn cut(&mut self, len: u64) -> Result<()> {
        let was = look(&self.logs.live).map_err(|e| self.live_failed(e))?.1;
        self.logs.live.set_len(len).map_err(|e| self.live_failed(e))?;
        self.store.note(format!(
            "removed {} bytes of an unfinished write from the end of `{LIVE}`; it was never acknowledged",
            was - len
        ));
        Ok(())
    }

    /// Takes in lines that stand behind what the index knows. Anything unusual asks for a rebuild.
    fn replay(&mut self) -> Result<()> {
        let (from, segment) = (self.index.head.len, u32::try_from(self.logs.segment).unwrap_or(0));
        let mut before = self.index.head.clone();
        before.state = 0;
        head::invalidate(&self.head_file, &before).map_err(failure::index)?;
        let ops_since = rfc3339(self.now().wall - chrono::TimeDelta::days(rebuild::OPS_DAYS));
        let now = self.now();
        let (index, mut usual, mut end) = (&mut self.index, true, from);
        let scanned = log::scan(&self.logs.live, segment, from, u64::MAX, &mut |place, line| {
            let slim = serde_json::from_slice::<Slim<'_>>(line).ok();
            let facts = slim.as_ref().and_then(|slim| Facts::from_slim(slim, now, &ops_since));
            usual = match (&slim, facts) {
                (Some(slim), Some(facts)) => {
                    !slim.more
                        && !slim.carried
                        && slim.n == index.head.n + 1
                        && slim.prev() == Some(index.head.last_link)
                        && index.apply(&facts, place).is_ok_and(|applied| !applied.twin)
                }
                _ => false,
            };
            if !usual {
                return ControlFlow::Break(());
            }
            index.head.lines += 1;
            index.head.last_at = place.at;
            index.head.last_link = chain(line);
            end = place.at + u64::from(place.len);
            ControlFlow::Continue(())
        });
        let len = look(&self.logs.live).map_err(|e| self.live_failed(e))?.1;
        if scanned.is_err() || !usual || end != len {
            return self.rebuild();
        }
        self.index.cells.flush().map_err(failure::index)?;
        self.settle()
    }

    /// Makes the index anew from all the logs, and cuts an unfinished write off the live one.
    pub(super) fn rebuild(&mut self) -> Result<()> {
        let rebuilt = self.read_all(false)?;
        self.adopt(rebuilt)
    }

    /// Reads all the logs, mending the end of the live one first.
    pub(super) fn read_all(&mut self, thorough: bool) -> Result<Rebuilt> {
        self.logs.segment = self.logs.live_segment()?;
        self.mend_end()?;
        let rebuilt = rebuild::run(&self.logs, self.now().boot, self.now(), thorough)?;
        match rebuilt.cut {
            Some(len) => {
                self.cut(len)?;
                rebuild::run(&self.logs, self.now().boot, self.now(), thorough)
            }
            None => Ok(rebuilt),
        }
    }

    /// Writes an index that was made in memory to the files.
    pub(super) fn adopt(&mut self, rebuilt: Rebuilt) -> Result<()> {
        self.index.cells.forget();
        self.index.forget();
        head::invalidate(&self.head_file, &rebuilt.index.head).map_err(failure::index)?;
        rebuilt.index.cells.store(self.index.cells.base()).map_err(failure::index)?;
        let version = self.index.head.version;
        self.index.head = rebuilt.index.head;
        self.index.head.version = version + 2;
        self.settle()
    }

    /// A last line without a line break: an editor's habit if it can be read, else a torn write.
    fn mend_end(&mut self) -> Result<()> {
        let len = look(&self.logs.live).map_err(|e| self.live_failed(e))?.1;
        let (end, _) = log::tail(&self.logs.live).map_err(|e| self.live_failed(e))?;
        if end == len {
            return Ok(());
        }
        let mut tail = vec![0; usize::try_from(len - end).unwrap_or(0)];
        self.logs.live.read_exact_at(&mut tail, end).map_err(|e| self.live_failed(e))?;
        if Record::parse(&tail).is_ok_and(|record| !record.more) {
            return self.logs.live.write_all(b"\n").map_err(|e| self.live_failed(e));
        }
        self.cut(end)
    }

    /// The number of the next write.
    pub(super) const fn next_n(&self) -> u64 {
        self.index.head.n + 1
    }

    /// Finds an item with its row.
    pub(super) fn item(&self, id: &ItemId) -> Result<Option<(Row, Record)>> {
        let mut kept = None;
        self.index
            .row_of(id.as_str(), &mut |row| {
                let record = self.record(row)?;
                let is_it = record.item.id == *id;
                if is_it {
                    kept = Some((row.clone(), record));
                }
                Ok::<_, RowError>(is_it)
            })
            .map_err(|e| e.0)?;
        Ok(kept)
    }

    /// Whether there is such an item.
    pub(super) fn has(&self, id: &ItemId) -> Result<bool> {
        Ok(self.item(id)?.is_some())
    }

    /// Reads the newest line of a row. If it is not what the index says, the index is thrown away.
    pub(super) fn record(&self, row: &Row) -> Result<Record> {
        let read = self.logs.line(row.place).map_err(failure::index).and_then(|line| {
            let record = Record::parse(&line);
            record.map_err(|e| failure::index(io::Error::new(io::ErrorKind::InvalidData, e)))
        });
        match read {
            Ok(record) if record.n == row.n => Ok(record),
            other => {
                head::invalidate(&self.head_file, &self.index.head).map_err(failure::index)?;
                let wrong =
                    io::Error::other("it did not match the log; the next command makes it anew");
                Err(other.err().unwrap_or_else(|| failure::index(wrong)))
            }
        }
    }

    /// A line of this operation about an item.
    pub(super) fn line(&self, n: u64, verb: &str, item: Item) -> Record {
        Record {
            n,
            item,
            verb: verb.to_owned(),
            op: self.op.id.clone(),
            at: self.now.wall,
            by: self.op.by.clone(),
            more: false,
            carried: false,
        }
    }

    /// An item as readers get it.
    pub(super) fn found(row: &Row, record: Record) -> Found {
        Found { item: record.item, n: record.n, updated_at: record.at, open_needs: row.open_needs }
    }

    /// The lines that an operation with this id wrote in the last days, if it was done already;
    /// what answers from them waits until they are durable. An id that was used for something else
    /// than `kind` is refused.
    pub(super) fn answered(&mut self, kind: &str) -> Result<Option<Vec<Record>>> {
        if !self.op.given {
            return Ok(None);
        }
        let (mut records, mut from, mut to) = (Vec::new(), Place::default(), 0);
        let op = (Kind::Op, self.op.id.as_str());
        keys::find(&self.index.cells, &self.index.head, op, |value| {
            from = unpack(value);
            (records, to) = self.lines_of_op(from);
            // A claim that found nothing but leases to take back has not been answered yet.
            Ok::<_, RowError>(!records.is_empty())
        })
        .map_err(|e| e.0)?;
        if records.is_empty() {
            return Ok(None);
        }
        let is_kind = |verb: &str| match kind {
            "remove" => matches!(verb, "release" | "assign"),
            "start" => matches!(verb, "add" | "claim"),
            kind => verb == kind,
        };
        if let Some(other) = records.iter().find(|r| !is_kind(&r.verb)) {
            let verb = other.verb.clone();
            return Err(Error::OpReused { id: self.op.id.clone(), verb });
        }
        // Whoever wrote them may have died before they were durable.
        self.confirm();
        self.write_again(from, to)?;
        Ok(Some(records))
    }

    /// Writes lines of the live log once more, byte for byte. When a sync has failed the system
    /// takes the pages for clean: syncing them again would succeed without writing anything.
    fn write_again(&mut self, from: Place, to: u64) -> Result<()> {
        if u64::from(from.segment) != self.logs.segment || !self.store.options.sync {
            return Ok(());
        }
        let mut bytes = vec![0; usize::try_from(to.saturating_sub(from.at)).unwrap_or(0)];
        // The handle that appends would append.
        let file = self.store.dir.file(LIVE, Access::Write).map_err(failure::open)?;
        let path = self.store.dir.path().join(LIVE);
        self.logs
            .live
            .read_exact_at(&mut bytes, from.at)
            .and_then(|()| file.write_all_at(&bytes, from.at))
            .map_err(|e| failure::io(format!("write `{}`", path.display()), e))?;
        self.settle()
    }

    /// The lines of this operation from `place` on and where they end, without the leases that it took
    /// back: those are a transaction of their own before it.
    fn lines_of_op(&self, mut place: Place) -> (Vec<Record>, u64) {
        let oldest = self.now().wall - chrono::TimeDelta::days(rebuild::OPS_DAYS);
        let mut records = Vec::new();
        while let Ok(line) = self.logs.line(place) {
            match Record::parse(&line) {
                Ok(r) if r.op == self.op.id && r.at >= oldest && !r.carried => records.push(r),
                _ => break,
            }
            place.at += line.len() as u64;
        }
        records.retain(|record| record.verb != "expire");
        (records, place.at)
    }

    /// Makes [`Session::finish`] wait for the disk although nothing was written: the answer rests
    /// on what somebody else wrote, who may have died before it was durable.
    pub(super) const fn confirm(&mut self) {
        self.unsure = true;
    }

    /// Records changes, all or none, in the order given; their numbers must follow
    /// [`Session::next_n`]. They are not durable before [`Session::finish`].
    pub(super) fn commit(&mut self, records: &mut [Record]) -> Result<Vec<Applied>> {
        let before = self.index.head.clone();
        let mut bytes = Vec::new();
        let mut applied = Vec::with_capacity(records.len());
        let count = records.len();
        for (at, record) in records.iter_mut().enumerate() {
            record.more = at + 1 < count;
            let line = record.line(self.index.head.last_link);
            if line.len() > Limits::ITEM_BYTES {
                self.take_back(before);
                let why = NewError::TooLarge(line.len());
                return Err(if count == 1 {
                    Error::Transition(TransitionError::Limit(why))
                } else {
                    Error::New { at: at + 1, why }
                });
            }
            let place = Place {
                segment: u32::try_from(self.logs.segment).unwrap_or(0),
                at: before.len + bytes.len() as u64,
                len: u32::try_from(line.len()).unwrap_or(u32::MAX),
            };
            let facts = Facts::of(record, self.now);
            match self.index.apply(&facts, place) {
                Ok(done) => applied.push(done),
                Err(e) => {
                    self.take_back(before);
                    return Err(failure::index(e));
                }
            }
            let head = &mut self.index.head;
            head.lines += 1;
            head.last_at = place.at;
            head.last_link = chain(&line);
            bytes.extend_from_slice(&line);
        }
        self.append(before, &bytes)?;
        Ok(applied)
    }

    /// Appends a line about the log itself.
    pub(super) fn note_line(&mut self, n: u64, line: &[u8]) -> Result<()> {
        let before = self.index.head.clone();
        let head = &mut self.index.head;
        head.n = n;
        head.lines += 1;
        head.last_at = before.len;
        head.last_link = chain(line);
        self.append(before, line)
    }

    fn take_back(&mut self, before: Head) {
        self.index.head = before;
        self.index.cells.forget();
        self.index.forget();
    }

    fn append(&mut self, before: Head, bytes: &[u8]) -> Result<()> {
        if self.behind {
            self.take_back(before);
            return Err(failure::index(io::Error::other("it could not follow the last write")));
        }
        let path = self.store.dir.path().join(LIVE);
        self.index.head.len = before.len + bytes.len() as u64;
        let changes = self.index.cells.changes();
        if let Err(e) = head::begin(&self.head_file, &before, &self.index.head, &changes) {
            self.take_back(before);
            return Err(failure::index(e));
        }
        if let Err(e) = self.logs.live.write_all(bytes) {
            // What was written of it goes; if even that fails the next writer does it.
            let undone = self.logs.live.set_len(before.len);
            self.take_back(before);
            if undone.is_ok() {
                let _ = self.settle();
            }
            return Err(failure::io(format!("write `{}`", path.display()), e));
        }
        self.wrote = true;
        // From here on it has happened. An index that cannot follow is made good by the next writer.
        self.index.head.version = before.version;
        let followed = self
            .index
            .cells
            .flush()
            .and_then(|()| self.index.head.note_log(&self.logs.live))
            .and_then(|()| head::end(&self.head_file, &mut self.index.head));
        self.behind = followed.is_err();
        Ok(())
    }

    /// Lets the next writer go on, then waits until everything that was committed is durable.
    pub(super) fn finish(mut self) -> Result<()> {
        self.lock = None;
        let wrote = self.wrote;
        let owed = wrote || self.unsure;
        if owed && self.store.options.sync && !crate::sys::plant("no-sync") {
            self.logs.live.sync_data().map_err(|source| Error::Unknown {
                op: self.op.id.clone(),
                what: "the disk did not confirm the write".to_owned(),
                source,
            })?;
        }
        if wrote && compact::is_due(&self.index.head) {
            self.store.compaction_due.set(true);
        }
        Ok(())
    }

    /// The head of the index as it stands in its file.
    pub(super) const fn head_file(&self) -> &File {
        &self.head_file
    }

    /// Puts another live log in place of the present one, which stays open nowhere else here.
    pub(super) fn replace_live(&mut self, live: File, segment: u64) {
        self.logs = Logs::new(&self.store.dir, live, segment);
    }

    /// Notes that the index matches the log, after a swap.
    pub(super) fn settle_after_swap(&mut self) -> Result<()> {
        self.settle()
    }
}

/// Lets `?` carry a store error through look-ups that also fail with the system's.
pub(super) struct RowError(pub(super) Error);

impl From<io::Error> for RowError {
    fn from(source: io::Error) -> Self {
        Self(failure::index(source))
    }
}

impl From<Error> for RowError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// Opens the live log; makes a first one, or ends a swap that was interrupted.
fn open_or_make_live(store: &FileStore) -> Result<File> {
    let dir = &store.dir;
    match dir.file(LIVE, Access::Append) {
        Ok(file) => return Ok(file),
        Err(e) if e.is_not_found() => {}
        Err(e) => return Err(failure::open(e)),
    }
    let failed = |e| failure::io(format!("make `{}`", dir.path().join(LIVE).display()), e);
    // A compaction died between its two renames: the new log is whole, since it was made durable first.
    if dir.file(NEXT, Access::Read).is_ok_and(|next| log::ends_in_checkpoint(&next)) {
        dir.rename(NEXT, dir, LIVE).and_then(|()| dir.sync()).map_err(failed)?;
        return dir.file(LIVE, Access::Append).map_err(failure::open);
    }
    if let Ok(history) = dir.subdir(HISTORY, false)
        && let Some(last) = log::sealed(&history)?.last()
    {
        history.rename(&sealed_name(*last), dir, LIVE).and_then(|()| dir.sync()).map_err(failed)?;
        store.note(format!("`{LIVE}` was missing; went on with the last sealed log"));
        return dir.file(LIVE, Access::Append).map_err(failure::open);
    }
    let mut file = dir.file(NEXT, Access::Truncate).map_err(failure::open)?;
    file.write_all(&header(1, 0))
        .and_then(|()| file.sync_all())
        .and_then(|()| dir.rename(NEXT, dir, LIVE))
        .and_then(|()| dir.sync())
        .map_err(failed)?;
    dir.file(LIVE, Access::Append).map_err(failure::open)
}
