//! The logs as files: the live one, the sealed ones, and reading them line by line.

use std::cell::{OnceCell, RefCell};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::failure;
use super::record::{Control, FORMAT, Slim};
use super::rows::Place;
use crate::store::{Error, Result};
use crate::sys::fs::{Access, Dir};

/// The live log.
pub(super) const LIVE: &str = crate::store::MARK;
/// A new live log while it is being written.
pub(super) const NEXT: &str = "work.jsonl.new";
/// The directory of sealed logs.
pub(super) const HISTORY: &str = "history";

/// The name of a sealed log.
pub(super) fn sealed_name(segment: u64) -> String {
    format!("{segment:06}.jsonl")
}

/// The numbers of the sealed logs, ascending.
pub(super) fn sealed(history: &Dir) -> Result<Vec<u64>> {
    let names = history.names().map_err(|e| failure::read(history.path(), e))?;
    let number = |name: &String| name.strip_suffix(".jsonl")?.parse::<u64>().ok();
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The live log and, opened when they are needed, the sealed ones.
pub(super) struct Logs {
    dir: Arc<Dir>,
    history: OnceCell<Option<Dir>>,
    pub(super) live: File,
    pub(super) segment: u64,
    /// The sealed logs that were read last, the latest at the end.
    opened: RefCell<Vec<(u32, File)>>,
}

/// How many sealed logs are open at once: there may be more of them than a process may open files.
const OPEN: usize = 32;

impl Logs {
    pub(super) fn new(dir: &Arc<Dir>, live: File, segment: u64) -> Self {
        let (history, opened) = (OnceCell::new(), RefCell::default());
        Self { dir: Arc::clone(dir), history, live, segment, opened }
    }

    fn history(&self) -> Option<&Dir> {
        self.history.get_or_init(|| self.dir.subdir(HISTORY, false).ok()).as_ref()
    }

    /// The number of the live log, from its header; without one it follows the last sealed log.
    pub(super) fn live_segment(&self) -> Result<u64> {
        if let Some(control) = read_header(&self.live)? {
            return Ok(control.segment.max(1));
        }
        let last = match self.history() {
            Some(history) => sealed(history)?.last().copied(),
            None => None,
        };
        Ok(last.unwrap_or(0) + 1)
    }

    /// The numbers of the sealed logs below one, ascending.
    pub(super) fn sealed_before(&self, segment: u64) -> Result<Vec<u64>> {
        let numbers = match self.history() {
            Some(history) => sealed(history)?,
            None => Vec::new(),
        };
        Ok(numbers.into_iter().filter(|number| *number < segment).collect())
    }

    /// Opens a sealed log.
    pub(super) fn open_sealed(&self, number: u64) -> Result<File> {
        let history = self.history().ok_or_else(|| {
            failure::read(&self.dir.path().join(HISTORY), io::ErrorKind::NotFound.into())
        })?;
        history.file(&sealed_name(number), Access::Read).map_err(failure::open)
    }

    /// Reads one line, with its line break; a place without a length reads up to the line break.
    pub(super) fn line(&self, place: Place) -> io::Result<Vec<u8>> {
        if u64::from(place.segment) == self.segment {
            return read_line(&self.live, place);
        }
        let mut opened = self.opened.borrow_mut();
        if let Some(at) = opened.iter().rposition(|(segment, _)| *segment == place.segment) {
            let line = read_line(&opened[at].1, place);
            if at + 1 < opened.len() {
                let used = opened.remove(at);
                opened.push(used);
            }
            return line;
        }
        let history = self.history().ok_or(io::ErrorKind::NotFound)?;
        let name = sealed_name(place.segment.into());
        let file = history.file(&name, Access::Read).map_err(io::Error::other)?;
        let line = read_line(&file, place);
        if opened.len() == OPEN {
            opened.remove(0);
        }
        opened.push((place.segment, file));
        line
    }

    /// Shows every line of every log, oldest first, with its place, until `see` breaks. A last line
    /// of the live log without a line break is left out: it was never acknowledged.
    pub(super) fn each(&self, mut see: impl FnMut(Place, &[u8]) -> ControlFlow<()>) -> Result<()> {
        for number in self.sealed_before(self.segment)? {
            let file = self.open_sealed(number)?;
            let name = Path::new(HISTORY).join(sealed_name(number));
            let segment = u32::try_from(number).unwrap_or(u32::MAX);
            if scan(&file, segment, 0, u64::MAX, &mut see)
                .map_err(|e| failure::read(&self.dir.path().join(name), e))?
                .is_break()
            {
                return Ok(());
            }
        }
        let segment = u32::try_from(self.segment).unwrap_or(u32::MAX);
        scan(&self.live, segment, 0, u64::MAX, &mut see)
            .map(drop)
            .map_err(|e| failure::read(&self.dir.path().join(LIVE), e))
    }

    /// The file of a log, for messages.
    pub(super) fn name(&self, segment: u32) -> String {
        if u64::from(segment) == self.segment {
            LIVE.to_owned()
        } else {
            format!("{HISTORY}/{}", sealed_name(segment.into()))
        }
    }
}

/// Finds the end of one line. The portable search: the one that first asks the processor what it
/// can do pays only over many lines.
fn newline(bytes: &[u8]) -> Option<usize> {
    memchr::arch::all::memchr::One::new(b'\n').find(bytes)
}

pub(super) fn read_line(file: &File, place: Place) -> io::Result<Vec<u8>> {
    let size = if place.len == 0 { 4096 } else { place.len as usize };
    let mut bytes = vec![0; size];
    let mut have = 0;
    loop {
        match file.read_at(&mut bytes[have..], place.at + have as u64) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        }
        if place.len == 0 && newline(&bytes[..have]).is_some() {
            break;
        }
        if have == bytes.len() {
            if place.len != 0 {
                break;
            }
            bytes.resize(have * 2, 0);
        }
    }
    bytes.truncate(have);
    match newline(&bytes) {
        Some(end) => {
            bytes.truncate(end + 1);
            Ok(bytes)
        }
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the log ends within a line")),
    }
}

/// Shows the whole lines of a file from `from` up to `to`.
pub(super) fn scan(
    file: &File,
    segment: u32,
    from: u64,
    to: u64,
    see: &mut impl FnMut(Place, &[u8]) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut buffer = vec![0; 1 << 20];
    let (mut start, mut have) = (from, 0usize);
    loop {
        let room = usize::try_from(to.saturating_sub(start + have as u64)).unwrap_or(usize::MAX);
        if have == buffer.len() {
            buffer.resize(have * 2, 0);
        }
        let end = buffer.len().min(have.saturating_add(room));
        let read = match file.read_at(&mut buffer[have..end], start + have as u64) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if read == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        have += read;
        let mut at = 0;
        for end in memchr::memchr_iter(b'\n', &buffer[..have]) {
            let line = &buffer[at..=end];
            let len = u32::try_from(line.len()).unwrap_or(u32::MAX);
            if see(Place { segment, at: start + at as u64, len }, line).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            at = end + 1;
        }
        buffer.copy_within(at..have, 0);
        start += at as u64;
        have -= at;
    }
}

/// Reads the header of a log: which one it is, and whether this program may read it.
pub(super) fn read_header(file: &File) -> Result<Option<Control>> {
    let place = Place { segment: 0, at: 0, len: 0 };
    let Ok(line) = read_line(file, place) else { return Ok(None) };
    let Ok(control) = serde_json::from_slice::<Control>(&line) else { return Ok(None) };
    if control.coord.is_none() {
        return Ok(None);
    }
    if control.min_reader > FORMAT {
        return Err(Error::NewerFormat { found: control.format, known: FORMAT });
    }
    Ok(Some(control))
}

/// Finds the id in a line as the program writes it, without reading the whole line.
pub(super) fn quick_id(line: &[u8]) -> Option<&str> {
    let rest = line.strip_prefix(b"{\"n\":")?;
    let digits = rest.iter().take_while(|c| c.is_ascii_digit()).count();
    let rest = rest[digits..].strip_prefix(b",\"id\":\"")?;
    let end = rest.iter().position(|c| *c == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}

/// Finds the number in a line as the program writes it.
pub(super) fn quick_n(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(b"{\"n\":")?;
    let digits = rest.iter().take_while(|c| c.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

/// Where the whole lines of a log end, and where the last of them begins.
pub(super) fn tail(file: &File) -> io::Result<(u64, u64)> {
    let len = file.metadata()?.len();
    let mut chunk = vec![0; 1 << 16];
    let (mut end, mut at) = (None, len);
    while at > 0 {
        let size = chunk.len().min(usize::try_from(at).unwrap_or(usize::MAX));
        at -= size as u64;
        file.read_exact_at(&mut chunk[..size], at)?;
        for newline in memchr::memrchr_iter(b'\n', &chunk[..size]) {
            let behind = at + newline as u64 + 1;
            match end {
                None => end = Some(behind),
                Some(end) => return Ok((end, behind)),
            }
        }
    }
    Ok((end.unwrap_or(0), 0))
}

/// Where a transaction begins that was not written whole; it can only be at the end.
pub(super) fn unfinished(file: &File) -> io::Result<Option<u64>> {
    let more = |line: &[u8]| serde_json::from_slice::<Slim<'_>>(line).is_ok_and(|slim| slim.more);
    let (end, last) = tail(file)?;
    let len = u32::try_from(end - last).unwrap_or(u32::MAX);
    if len == 0 || !more(&read_line(file, Place { segment: 0, at: last, len })?) {
        return Ok(None);
    }
    let mut start = None;
    let _ = scan(file, 0, 0, end, &mut |place, line| {
        match (more(line), start) {
            (true, None) => start = Some(place.at),
            (true, Some(_)) => {}
            (false, _) => start = None,
        }
        ControlFlow::Continue(())
    })?;
    Ok(start)
}

/// Whether a log that a compaction was writing has been written whole.
pub(super) fn ends_in_checkpoint(file: &File) -> bool {
    let Ok((end, last)) = tail(file) else { return false };
    let len = u32::try_from(end - last).unwrap_or(0);
    len > 0
        && read_line(file, Place { segment: 0, at: last, len })
            .ok()
            .and_then(|line| serde_json::from_slice::<Control>(&line).ok())
            .is_some_and(|control| control.op.as_deref() == Some("checkpoint"))
}
