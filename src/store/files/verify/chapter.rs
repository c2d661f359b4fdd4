//! The logs as the chain sees them: of each line its hash, the hash it claims to follow, its number.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;

use super::super::keys::{self, Kind as Key};
use super::super::log::scan;
use super::super::record::{Control, Slim, chain};

/// What a line is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sort {
    /// The first line of a log.
    Header,
    /// An item carried over from a sealed log.
    Carried,
    /// The end of what was carried over.
    Checkpoint,
    /// A write.
    Write,
    /// It cannot be read.
    Bad,
}

/// A line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) hash: u64,
    pub(super) prev: Option<u64>,
    pub(super) n: u64,
    pub(super) sort: Sort,
}

/// One log.
#[derive(Debug, Default)]
pub(super) struct Chapter {
    /// Its file, for messages.
    pub(super) name: String,
    /// Its number among the logs.
    pub(super) number: u64,
    pub(super) lines: Vec<Line>,
    /// Why a line cannot be read, by its place in `lines`.
    pub(super) bad: HashMap<usize, String>,
    /// Bytes behind the last line break.
    pub(super) rest: u64,
    /// The hash of the last line of the log before, as the checkpoint notes it.
    pub(super) sealed_end: Option<u64>,
    /// The number of the log before, as the checkpoint notes it.
    pub(super) sealed: Option<u64>,
    /// Writes of items that the log before had open at its end and this one does not carry.
    pub(super) not_carried: Vec<u64>,
}

/// What the log says about itself: what was moved aside, what is missing, what was cut off.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Links of lines that a repair moved aside.
    pub(super) removed: Vec<u64>,
    /// Numbers that a repair found missing, first and last.
    pub(super) gaps: Vec<(u64, u64)>,
    /// Numbers that were found cut off: first and last, and the log and line that say so.
    pub(super) lost: Vec<((u64, u64), usize, usize)>,
}

/// The newest write of every open item, to see whether the next log carries it.
type Open = HashMap<u64, u64>;

/// All logs.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) chapters: Vec<Chapter>,
    pub(super) said: Said,
    open: Open,
}

impl Book {
    /// Reads the next log, up to `end`; the `live` one may end with a write that was never finished.
    pub(super) fn read(
        &mut self,
        file: &File,
        (name, number, live): (String, u64, bool),
        end: u64,
    ) -> io::Result<()> {
        let mut chapter = Chapter { name, number, ..Chapter::default() };
        let at = self.chapters.len();
        let (mut whole, mut carried) = (0, HashMap::new());
        let (open, mut still_open) = (self.open.len(), 0);
        let (mut torn, mut torn_at) = (false, 0);
        let _ = scan(file, 0, 0, end, &mut |place, line| {
            whole = place.at + u64::from(place.len);
            torn = false;
            let said = &mut self.said;
            let read = read_line(
                line,
                &mut |control, here| {
                    said.removed.extend(control.removed.iter().filter_map(|text| hex(text)));
                    if control.op.as_deref() == Some("lost") {
                        let place = (at, here);
                        said.lost.extend(control.gaps.iter().map(|gap| (*gap, place.0, place.1)));
                    } else {
                        said.gaps.extend(control.gaps);
                    }
                    if control.sealed_end.is_some() {
                        chapter.sealed_end = control.sealed_end.as_deref().and_then(hex);
                        let sealed = control.sealed.as_deref().unwrap_or_default();
                        let number =
                            sealed.strip_suffix(".jsonl").and_then(|n| n.parse::<u64>().ok());
                        chapter.sealed = number;
                    }
                },
                chapter.lines.len(),
            );
            match read {
                Ok((about, item)) => {
                    if let Some((id, done)) = item {
                        if about.sort == Sort::Carried {
                            carried.insert(id, about.n);
                            still_open += usize::from(!done);
                        }
                        let newer = self.open.get(&id).is_none_or(|have| about.n >= *have);
                        if done {
                            self.open.remove(&id);
                        } else if newer {
                            self.open.insert(id, about.n);
                        }
                    }
                    // One that was changed may have another id, but there are as many as there should be.
                    if about.sort == Sort::Checkpoint && still_open < open {
                        // What was open before this log and is not carried was taken out of it.
                        let lost = self.open.iter().filter(|(id, _)| !carried.contains_key(*id));
                        chapter.not_carried.extend(lost.map(|(_, n)| *n));
                        chapter.not_carried.sort_unstable();
                    }
                    chapter.lines.push(about);
                }
                Err(why) => {
                    chapter.bad.insert(chapter.lines.len(), why);
                    (torn, torn_at) = (live && memchr::memchr(0, line).is_some(), place.at);
                    let hash = chain(line);
                    chapter.lines.push(Line { hash, prev: None, n: 0, sort: Sort::Bad });
                }
            }
            ControlFlow::Continue(())
        })?;
        // What a power cut tears is filled with zeros: it was never acknowledged.
        if torn {
            let lost = chapter.lines.len() - 1;
            chapter.bad.remove(&lost);
            chapter.lines.truncate(lost);
            whole = torn_at;
        }
        chapter.rest = file.metadata()?.len().min(end).saturating_sub(whole);
        self.chapters.push(chapter);
        Ok(())
    }

    /// The last line of all.
    pub(super) fn last(&self) -> Option<&Line> {
        self.chapters.iter().rev().find_map(|chapter| chapter.lines.last())
    }

    /// How many lines there are.
    pub(super) fn count(&self) -> u64 {
        self.chapters.iter().map(|chapter| chapter.lines.len() as u64).sum()
    }
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// The hash of an id, and whether the item is done.
type About = Option<(u64, bool)>;

fn read_line(
    line: &[u8],
    control: &mut dyn FnMut(Control, usize),
    at: usize,
) -> Result<(Line, About), String> {
    let slim: Slim<'_> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    let mut out = Line { hash: chain(line), prev: slim.prev(), n: slim.n, sort: Sort::Write };
    if let Some(id) = slim.id.as_deref() {
        let record = super::super::record::Record::parse(line).map_err(|e| e.to_string())?;
        if record.n == 0 {
            return Err("its number is 0".to_owned());
        }
        if slim.carried {
            out.sort = Sort::Carried;
        }
        let done = record.item.status == crate::domain::work::Status::Done;
        return Ok((out, Some((keys::key(Key::Item, id), done))));
    }
    let said: Control = serde_json::from_slice(line)
        .map_err(|_| "it is neither an item nor a note of the log".to_owned())?;
    out.sort = match (said.coord.is_some(), said.op.as_deref()) {
        (true, _) => Sort::Header,
        (false, Some("checkpoint")) => Sort::Checkpoint,
        (false, Some(_)) => Sort::Write,
        (false, None) => return Err("it has no `id`".to_owned()),
    };
    control(said, at);
    Ok((out, None))
}
