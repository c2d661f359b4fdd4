//! Whether the lines are those that were written, in the order in which they were written.
//!
//! Each line holds the hash of the one before it, so a line is vouched for by the next one; the last
//! line of a sealed log by the checkpoint of the next log; the last line of all by whoever noted it
//! elsewhere: the head of the index, the last sound check, or a person ([`Known`]). Where two lines do
//! not fit, it follows from who is vouched for which of them is not what it was:
//!
//! - The second is vouched for, and what it follows stands further on: lines were swapped or moved.
//! - What it follows stands further up, and its number is not ahead: two histories were merged.
//! - What it follows is nowhere, and numbers are missing: lines were taken out.
//! - What it follows is nowhere, and no number is missing: the first of the two was changed.
//! - The second is not vouched for either: its own link was changed.

use std::collections::{HashMap, HashSet};

use super::chapter::{Book, Chapter, Note, Sort, Spot};
use super::descent;
use crate::store::{Problem, ProblemKind};

/// A write that somebody saw.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Its number.
    pub(super) n: u64,
    /// The hash of its line.
    pub(super) link: u64,
    /// Who saw it, for messages.
    pub(super) by: String,
    /// Whether it may have been lost in a power cut before it was acknowledged.
    pub(super) unsure: bool,
}

/// History that was removed on purpose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// The number of the last log that was removed.
    pub(super) upto: u64,
    /// The hash of its last line.
    pub(super) end: u64,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) problems: Vec<Problem>,
    pub(super) seams: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Checks all of it.
pub(super) fn examine(book: &Book, known: &[Known], cut: Option<Cut>) -> Found {
    let mut links = HashSet::new();
    let places = book.places();
    for chapter in &book.chapters {
        links.extend(chapter.sealed_end);
        links.extend(chapter.lines.iter().filter_map(|about| about.prev));
    }
    links.extend(known.iter().map(|known| known.link));
    links.extend(cut.map(|cut| cut.end));
    let begun = book.chapters.first().is_none_or(|first| first.number == 1);
    let found = Found::default();
    let mut pass = Pass { book, known, links, places, top: 0, last: 0, begun, found };
    pass.beginning(cut);
    for at in 0..book.chapters.len() {
        pass.chapter(at);
    }
    for (gap, (at, line)) in &book.said.lost {
        if !book.said.acknowledges(*gap) {
            let name = &book.chapters[*at].name;
            let what = format!("{} had been cut off before it was written", writes(gap.0, gap.1));
            pass.found.problems.push(
                Problem::at(ProblemKind::Truncated, name, *line as u64 + 1, what).todo(RESTORE),
            );
        }
    }
    for known in known {
        pass.witness(known);
    }
    pass.repairs();
    pass.found
}

const RESTORE: &str = "take the lines from a backup; `coord verify --repair` notes them as lost";
const KEEP: &str = "compare with a backup: what was written there cannot be told from here";

fn writes(first: u64, last: u64) -> String {
    if first == last { format!("write {first}") } else { format!("writes {first} to {last}") }
}

struct Pass<'a> {
    book: &'a Book,
    known: &'a [Known],
    /// Every hash that somebody vouches for.
    links: HashSet<u64>,
    /// Where each hash stands first.
    places: HashMap<u64, Spot>,
    /// The highest number so far.
    top: u64,
    /// The number of the write before.
    last: u64,
    /// Whether the numbers are known; a first log without its predecessor may begin anywhere.
    begun: bool,
    found: Found,
}

impl Pass<'_> {
    fn problem(&mut self, kind: ProblemKind, at: usize, line: usize, what: String, todo: &str) {
        let (name, line) = (&self.book.chapters[at].name, line as u64 + 1);
        let known = |p: &Problem| p.file.as_deref() == Some(name) && p.line == Some(line);
        // One line is named once, by what was seen of it first.
        if !self.found.problems.iter().rev().take(8).any(known) {
            self.found.problems.push(Problem::at(kind, name, line, what).todo(todo));
        }
    }

    fn is_named(&self, at: usize, line: usize) -> bool {
        let (name, line) = (&self.book.chapters[at].name, line as u64 + 1);
        let named = |p: &Problem| p.file.as_deref() == Some(name) && p.line == Some(line);
        self.found.problems.iter().rev().take(8).any(named)
    }

    /// Whether the logs begin where they should.
    fn beginning(&mut self, cut: Option<Cut>) {
        let Some(first) = self.book.chapters.first() else { return };
        let from = cut.map_or(0, |cut| cut.upto);
        for number in from + 1..first.number {
            let file = format!("history/{number:06}.jsonl");
            self.found.problems.push(
                Problem::of_file(ProblemKind::Missing, &file, "it is not there")
                    .todo("take it from a backup"),
            );
        }
        if let Some(cut) = cut.filter(|cut| first.number == cut.upto + 1) {
            if first.sealed_end == Some(cut.end) {
                let logs = if cut.upto == 1 { "log 1" } else { "the logs up to" };
                let upto = if cut.upto == 1 { String::new() } else { format!(" {}", cut.upto) };
                self.found.notes.push(format!(
                    "{logs}{upto} were removed on purpose; what follows begins where they ended"
                ));
            } else if first.sealed_end.is_some() {
                let what = "it does not go on from the history that was removed on purpose";
                self.found
                    .problems
                    .push(Problem::of_file(ProblemKind::Removed, &first.name, what).todo(KEEP));
            }
        }
    }

    fn chapter(&mut self, at: usize) {
        let book = self.book;
        let chapter = &book.chapters[at];
        if let Some(before) = at.checked_sub(1).map(|at| &book.chapters[at]) {
            for number in before.number + 1..chapter.number {
                let file = format!("history/{number:06}.jsonl");
                self.found.problems.push(
                    Problem::of_file(ProblemKind::Missing, &file, "it is not there")
                        .todo("take it from a backup"),
                );
            }
        }
        // The line that the next one must follow: lines that stand in the wrong place are passed over.
        let mut before: Option<usize> = None;
        let mut misplaced = HashSet::new();
        for (line, about) in chapter.lines.iter().enumerate() {
            if about.sort == Sort::Bad {
                if book.said.is_kept(about.hash) {
                    let note = format!(
                        "`{}` line {} cannot be read; a repair had moved it aside",
                        chapter.name,
                        line + 1
                    );
                    self.found.notes.push(note);
                } else {
                    let why = chapter.bad.get(&line).map_or("", String::as_str);
                    let what = format!("it cannot be read: {why}");
                    let todo = "`coord verify --repair` moves it aside";
                    self.problem(ProblemKind::Unreadable, at, line, what, todo);
                }
                before = Some(line);
                continue;
            }
            if line == 0 {
                self.first(at);
                before = Some(0);
                continue;
            }
            let follows = before.is_some_and(|b| about.prev == Some(chapter.lines[b].hash));
            if follows {
                self.number(at, line);
            } else if !self.excused(at, line)
                && !misplaced.contains(&about.prev.unwrap_or(0))
                && self.break_at(at, line, before)
            {
                misplaced.insert(about.hash);
                continue;
            }
            self.advance(at, line);
            before = Some(line);
        }
        self.ending(at, before);
    }

    fn advance(&mut self, at: usize, line: usize) {
        let about = &self.book.chapters[at].lines[line];
        if matches!(about.sort, Sort::Write | Sort::Checkpoint) {
            self.last = about.n;
            self.top = self.top.max(about.n);
            self.begun = true;
        }
    }

    /// The first line of a log must be its header.
    fn first(&mut self, at: usize) {
        let chapter = &self.book.chapters[at];
        let about = &chapter.lines[0];
        if about.sort != Sort::Header {
            let what = if about.prev == Some(0) {
                "it is not the header that a log begins with"
            } else {
                "the header that should stand before it is missing"
            };
            self.problem(ProblemKind::Removed, at, 0, what.to_owned(), KEEP);
            self.advance(at, 0);
        } else if about.prev != Some(0) {
            let what = "the header was changed after it was written".to_owned();
            self.problem(ProblemKind::Changed, at, 0, what, KEEP);
        }
    }

    /// The number of a line that follows the one before it.
    fn number(&mut self, at: usize, line: usize) {
        let about = &self.book.chapters[at].lines[line];
        let expected = [self.last + 1, self.top + 1];
        let fits = match about.sort {
            Sort::Write | Sort::Checkpoint => expected.contains(&about.n) || !self.begun,
            _ => true,
        };
        let gap = (self.last + 1, about.n.saturating_sub(1));
        let said = &self.book.said;
        let lost = || said.lost.iter().any(|(lost, spot)| *lost == gap && *spot >= (at, line));
        // It stands right behind what it leaves out, and says nothing of any other place.
        let restored = || said.left_out.contains(&(gap, (at, line)));
        if !fits && !self.is_gap_noted(at, line) && !lost() && !restored() {
            let what = format!(
                "it was changed after it was written: it has the number {} where {} belongs",
                about.n,
                self.top + 1
            );
            self.problem(ProblemKind::Changed, at, line, what, KEEP);
        }
    }

    /// Whether a repair has noted, further on, that the numbers before a line are missing.
    fn is_gap_noted(&self, at: usize, line: usize) -> bool {
        let gap = (self.last + 1, self.book.chapters[at].lines[line].n.saturating_sub(1));
        gap.0 <= gap.1 && self.book.said.behind((at, line)).any(|note| note.gaps.contains(&gap))
    }

    /// Whether a repair has noted, further on, why a line does not follow the one before it. Whoever
    /// changes a line can append such a note as well, so what it says was taken out must be missing.
    fn excused(&self, at: usize, line: usize) -> bool {
        let (chapter, said) = (&self.book.chapters[at], &self.book.said);
        let about = &chapter.lines[line];
        let moved = || about.prev.is_some_and(|prev| said.explain(said.behind((at, line)), prev));
        match about.sort {
            Sort::Write if self.begun && about.n > self.last => self.is_gap_noted(at, line),
            // Of two branches that were merged, the second begins with lower numbers again.
            Sort::Write => moved(),
            // The log before tells what should have been carried over.
            Sort::Carried | Sort::Checkpoint => {
                (at == 0 || !chapter.not_carried.is_empty()) && moved()
            }
            Sort::Header | Sort::Bad => false,
        }
    }

    /// A line does not follow the one before it. Tells whether it stands in the wrong place.
    fn break_at(&mut self, at: usize, line: usize, before: Option<usize>) -> bool {
        let chapter = &self.book.chapters[at];
        let about = chapter.lines[line];
        let before = before.unwrap_or(0);
        if self.places.get(&about.hash).is_some_and(|first| *first < (at, line)) {
            let what = "it stands there a second time".to_owned();
            self.problem(ProblemKind::Doubled, at, line, what, "take the second one out");
            return true;
        }
        match about.prev.and_then(|prev| self.places.get(&prev)).copied() {
            Some(place) if place > (at, line) => {
                let what = format!(
                    "it does not belong here: it was written after what is now `{}` line {}",
                    self.book.chapters[place.0].name,
                    place.1 + 1
                );
                let todo = "put the lines back in the order of their numbers";
                self.problem(ProblemKind::Moved, at, line, what, todo);
                return true;
            }
            Some(_) if about.sort == Sort::Write && about.n <= self.last => {
                self.found.seams.push(format!(
                    "`{}` line {}: two histories were merged here",
                    chapter.name,
                    line + 1
                ));
                return false;
            }
            Some(place) => {
                // What stands between is not what was written there.
                let what = format!(
                    "it was not written here: line {} was written after line {}",
                    line + 1,
                    place.1 + 1
                );
                let first = if place.0 == at { place.1 + 1 } else { before };
                self.problem(ProblemKind::Moved, at, first, what, KEEP);
                return false;
            }
            None => {}
        }
        if self.is_named(at, before) {
            return false;
        }
        let vouched = self.links.contains(&about.hash);
        let last = line + 1 == chapter.lines.len();
        let missing = match about.sort {
            Sort::Write if about.n > self.last + 1 && self.begun => {
                Some((self.last + 1, about.n - 1))
            }
            Sort::Carried | Sort::Checkpoint => chapter.not_carried.first().map(|n| (*n, *n)),
            _ => None,
        };
        if !vouched && !last {
            let what = "it was changed after it was written: its link fits neither way".to_owned();
            self.problem(ProblemKind::Changed, at, line, what, KEEP);
        } else if let Some((first, last)) = missing {
            let what = format!("{} should stand before it", writes(first, last));
            self.problem(ProblemKind::Removed, at, line, what, RESTORE);
        } else if !vouched && self.ends_elsewhere(at) {
            let what = "it was changed after it was written".to_owned();
            self.problem(ProblemKind::Changed, at, line, what, KEEP);
        } else {
            let mut what = "it was changed after it was written".to_owned();
            if !vouched {
                what.push_str(", or the link of the next line was");
            }
            self.problem(ProblemKind::Changed, at, before, what, KEEP);
        }
        false
    }

    /// Whether somebody knows the last line of a log, which is another one then.
    fn ends_elsewhere(&self, at: usize) -> bool {
        if self.book.chapters.get(at + 1).is_some() {
            return self.end_of(at).is_some();
        }
        let last = self.book.chapters[at].lines.last().map(|line| line.n);
        self.known.iter().any(|known| Some(known.n) == last)
    }

    /// The hash of the last line of a sealed log and its number, as the checkpoint of the next log has
    /// them; nothing if that line itself is not vouched for.
    fn end_of(&self, at: usize) -> Option<(u64, u64)> {
        let next = self.book.chapters.get(at + 1)?;
        let place = next.lines.iter().position(|line| line.sort == Sort::Checkpoint)?;
        let checkpoint = next.lines[place];
        let last = at + 2 == self.book.chapters.len() && place + 1 == next.lines.len();
        let nobody = last && !self.known.iter().any(|known| known.n == checkpoint.n);
        let trusted = self.links.contains(&checkpoint.hash) || nobody;
        let consecutive = next.number == self.book.chapters[at].number + 1;
        let end = next.sealed_end.filter(|_| trusted && consecutive)?;
        Some((end, checkpoint.n.saturating_sub(1)))
    }

    /// Whether a sealed log ends where the next one says that it ended.
    fn ending(&mut self, at: usize, before: Option<usize>) {
        let book = self.book;
        let chapter = &book.chapters[at];
        if book.chapters.get(at + 1).is_none() {
            return;
        }
        let count = chapter.lines.len();
        if chapter.rest > 0 {
            let what = "the file ends within this line".to_owned();
            self.problem(ProblemKind::Truncated, at, count, what, RESTORE);
            return;
        }
        if count == 0 {
            let what = "the file is empty".to_owned();
            self.problem(ProblemKind::Truncated, at, 0, what, RESTORE);
            return;
        }
        let (Some((end, n)), Some(before)) = (self.end_of(at), before) else { return };
        if chapter.lines[before].hash == end {
            return;
        }
        if n > self.last && book.said.explain(book.said.notes.iter(), end) {
            (self.last, self.top) = (n, self.top.max(n));
            return;
        }
        if let Some(place) = self.places.get(&end).filter(|place| place.0 == at) {
            let what =
                "what stands here and below was not there when the log was sealed".to_owned();
            self.problem(ProblemKind::Moved, at, place.1 + 1, what, KEEP);
        } else if n > self.last {
            if !self.is_named(at, before) {
                let what =
                    format!("the file ends before it: {} stood here", writes(self.last + 1, n));
                self.problem(ProblemKind::Truncated, at, count, what, RESTORE);
            }
            (self.last, self.top) = (n, self.top.max(n));
        } else if !self.is_named(at, before) {
            let what = "it was changed after it was written".to_owned();
            self.problem(ProblemKind::Changed, at, before, what, KEEP);
        }
    }

    /// Whether a write that somebody saw is still there.
    fn witness(&mut self, known: &Known) {
        let said = &self.book.said;
        if let Some(spot) = self.places.get(&known.link).copied() {
            // Without a repair every break has been told already.
            if !said.notes.is_empty()
                && let Some((at, line)) = descent::broken(self.book, &self.places, spot)
            {
                let what = format!(
                    "what stood before it was there when {} saw it; the repair that explains it was noted later",
                    known.by
                );
                self.problem(ProblemKind::Changed, at, line, what, KEEP);
            }
            return;
        }
        if said.explain(said.notes.iter(), known.link) {
            return;
        }
        let Some(at) = self.book.chapters.len().checked_sub(1) else { return };
        let noted = |(first, last): &(u64, u64)| (*first..=*last).contains(&known.n);
        let is_it = |l: &super::chapter::Line| l.n == known.n && l.sort == Sort::Write;
        let gaps = said.notes.iter().flat_map(|note| &note.gaps);
        if gaps.chain(said.lost.iter().map(|lost| &lost.0)).any(noted)
            && !self.book.chapters.iter().any(|chapter| chapter.lines.iter().any(is_it))
        {
            return;
        }
        let (n, by) = (known.n, &known.by);
        let top = top(&self.book.chapters);
        let last = self.book.chapters[at].lines.len();
        if last > 0 && self.is_named(at, last - 1) {
            return;
        }
        if n > top {
            let what = format!(
                "the file ends before it: {} stood here, as {by} knows",
                writes(top + 1, n)
            );
            if known.unsure {
                self.found.notes.push(format!(
                    "{by} knows write {n}, and the log ends with write {top}: it was lost in a power cut before it was acknowledged, or cut off"
                ));
                return;
            }
            self.problem(ProblemKind::Truncated, at, last, what, RESTORE);
            return;
        }
        if self.found.problems.iter().any(|p| p.kind.is_of_the_log()) || known.unsure {
            return;
        }
        let place = self.book.chapters.iter().enumerate().rev().find_map(|(at, chapter)| {
            let is_it = |l: &super::chapter::Line| l.n == n && l.sort != Sort::Carried;
            Some((at, chapter.lines.iter().position(is_it)?))
        });
        let (at, line) = place.unwrap_or((at, 0));
        let what = format!("it is not the write {n} that {by} knows");
        self.problem(ProblemKind::Changed, at, line, what, KEEP);
    }
}

impl Pass<'_> {
    /// Tells every repair: what it moved aside, gave up or renamed is no fault, and is not what was
    /// written either.
    fn repairs(&mut self) {
        let said = &self.book.said;
        for note in &said.notes {
            let moved = said.moved(note);
            if moved == 0 && !note.removed.is_empty() {
                let (at, line) = note.spot;
                let what =
                    "it says that lines were moved to `quarantine.jsonl`, and they are not there";
                let todo = "take `quarantine.jsonl` from a backup";
                self.problem(ProblemKind::Removed, at, line, what.to_owned(), todo);
            }
        }
        for (gap, (at, line)) in said.left_out.iter().take(SHOWN) {
            let (name, line) = (&self.book.chapters[*at].name, line + 1);
            self.found.notes.push(format!(
                "`{name}` line {line}: a backup was restored here; {} stayed with the state that was put aside",
                writes(gap.0, gap.1)
            ));
        }
        for note in said.notes.iter().take(SHOWN) {
            self.found.notes.push(told(note, said.moved(note)));
        }
        if let Some(more) = said.notes.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            self.found.notes.push(format!("{more} more repairs were made"));
        }
    }
}

/// How many repairs are told one by one.
const SHOWN: usize = 20;

fn told(note: &Note, moved: usize) -> String {
    let counted = |count: u64, one: &str, many: &str| {
        if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
    };
    let mut deeds = Vec::new();
    if moved > 0 {
        let lines = counted(moved as u64, "line was", "lines were");
        deeds.push(format!("{lines} moved to `quarantine.jsonl`"));
    }
    let lost = note.gaps.iter().fold(0u64, |sum, (first, last)| {
        sum.saturating_add(last.saturating_sub(*first).saturating_add(1))
    });
    if lost > 0 {
        let which: Vec<_> = note.gaps.iter().take(8).map(|gap| writes(gap.0, gap.1)).collect();
        let more = if note.gaps.len() > 8 { " and more" } else { "" };
        let count = counted(lost, "write is", "writes are");
        deeds.push(format!("{count} lost ({}{more})", which.join(", ")));
    }
    if note.renamed > 0 {
        deeds.push(format!("{} another id", counted(note.renamed as u64, "item got", "items got")));
    }
    let deeds = if deeds.is_empty() { "nothing was lost".to_owned() } else { deeds.join("; ") };
    format!("write {} is a repair by {} at {}: {deeds}", note.n, note.by, note.at)
}

/// The highest number of all.
fn top(chapters: &[Chapter]) -> u64 {
    chapters.iter().flat_map(|chapter| &chapter.lines).map(|line| line.n).max().unwrap_or(0)
}
