//! The logs as the chain sees them: of each line its hash, the hash it claims to follow, its number.

use std::collections::{HashMap, HashSet};
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

/// A line by the place of its log among all and its own in it, both from 0.
pub(super) type Spot = (usize, usize);

/// A line by which a repair noted what it did.
#[derive(Debug, Default)]
pub(super) struct Note {
    /// Where it stands.
    pub(super) spot: Spot,
    /// Its number.
    pub(super) n: u64,
    /// Who repaired, and when.
    pub(super) by: String,
    pub(super) at: String,
    /// Links that lead nowhere since: of lines that were moved aside, as they were and as they had been.
    pub(super) removed: Vec<u64>,
    /// Numbers that were found missing, first and last.
    pub(super) gaps: Vec<(u64, u64)>,
    /// How many items got another id.
    pub(super) renamed: usize,
}

/// What the log says about itself: what was moved aside, what is missing, what was cut off.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What repairs noted, oldest first.
    pub(super) notes: Vec<Note>,
    /// Numbers that were found cut off, first and last, and the line that says so.
    pub(super) lost: Vec<((u64, u64), Spot)>,
    /// Numbers that a restore left out, because the state that it put aside had given them out, and the
    /// line that says so.
    pub(super) left_out: Vec<((u64, u64), Spot)>,
    /// The links of the lines that stand in the quarantine and cannot be read, as they are there.
    pub(super) kept: HashSet<u64>,
}

impl Said {
    /// How many of the lines that a note says were moved aside are there. Anybody can append such a
    /// note; only what cannot be read is ever moved, and it is never thrown away.
    pub(super) fn moved(&self, note: &Note) -> usize {
        note.removed.iter().filter(|link| self.kept.contains(link)).count()
    }

    /// Whether a link leads nowhere because of what one of these notes says.
    pub(super) fn explain<'a>(&self, mut notes: impl Iterator<Item = &'a Note>, link: u64) -> bool {
        notes.any(|note| note.removed.contains(&link) && self.moved(note) > 0)
    }

    /// Whether a line that cannot be read was moved aside before: a merge has put it back.
    pub(super) fn is_kept(&self, link: u64) -> bool {
        self.kept.contains(&link) && self.notes.iter().any(|note| note.removed.contains(&link))
    }

    /// What was noted behind a line.
    pub(super) fn behind(&self, spot: Spot) -> impl Iterator<Item = &Note> {
        self.notes.iter().filter(move |note| note.spot > spot)
    }

    /// Whether numbers have been noted as missing.
    pub(super) fn acknowledges(&self, gap: (u64, u64)) -> bool {
        self.notes.iter().any(|note| note.gaps.contains(&gap))
    }
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
                    match control.op.as_deref() {
                        Some("lost") => {
                            said.lost.extend(control.gaps.iter().map(|gap| (*gap, (at, here))));
                        }
                        Some("restored") => {
                            let gaps = control.gaps.iter();
                            said.left_out.extend(gaps.map(|gap| (*gap, (at, here))));
                        }
                        Some("repair") => said.notes.push(Note {
                            spot: (at, here),
                            n: control.n,
                            by: control.by.unwrap_or_default(),
                            at: control.at.unwrap_or_default(),
                            removed: control.removed.iter().filter_map(|text| hex(text)).collect(),
                            gaps: control.gaps,
                            renamed: control.renamed.len(),
                        }),
                        _ => {}
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

    /// Where each link stands first.
    pub(super) fn places(&self) -> HashMap<u64, Spot> {
        let mut places = HashMap::new();
        for (at, chapter) in self.chapters.iter().enumerate() {
            for (line, about) in chapter.lines.iter().enumerate() {
                places.entry(about.hash).or_insert((at, line));
            }
        }
        places
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

/// Whether a line is one that a repair would move aside.
pub(super) fn is_unreadable(line: &[u8]) -> bool {
    read_line(line, &mut |_, _| {}, 0).is_err()
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
