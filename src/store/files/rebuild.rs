//! Making the index anew from the logs, and finding what is wrong with them on the way.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::rc::Rc;

use super::cells::MemCells;
use super::failure;
use super::head::Head;
use super::index::{Facts, Index};
use super::log::{self, Logs};
use super::record::{Control, Slim, chain};
use super::rows::Place;
use crate::domain::time::{Stamp, rfc3339};
use crate::store::Result;

/// How long an operation id is remembered.
pub(super) const OPS_DAYS: i64 = 7;

/// A line that is not as it should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    /// Where it is.
    pub(super) place: Place,
    /// Its number among the lines of its file, from 1.
    pub(super) line: u64,
    /// What is wrong.
    pub(super) kind: FaultKind,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum FaultKind {
    /// It cannot be read.
    Unreadable { why: String, link: u64 },
    /// Numbers before it are missing.
    Gap { first: u64, last: u64 },
    /// It begins the life of a second item with the id of another.
    Twin { id: String, created: String },
    /// Its link does not fit the line before it. Told by `verify`, no reason to stop.
    Broken,
}

/// What was read.
pub(super) struct Rebuilt {
    pub(super) index: Index<MemCells>,
    pub(super) faults: Vec<Fault>,
    pub(super) seams: Vec<(Place, u64)>,
    pub(super) lines: u64,
    /// Where the live log must be cut: a transaction that was not written whole begins there.
    pub(super) cut: Option<u64>,
}

impl Rebuilt {
    /// The faults that must be mended before anything is written.
    pub(super) fn stopping(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(|f| f.kind != FaultKind::Broken)
    }

    /// In how many places they are: the write that an unreadable line was is missing right behind it.
    fn places(&self) -> u64 {
        let (mut places, mut unread) = (0, None);
        for fault in self.stopping() {
            let here = (fault.place.segment, fault.line);
            let gap = matches!(fault.kind, FaultKind::Gap { .. });
            places += u64::from(!(gap && unread == Some((here.0, here.1 - 1))));
            unread = matches!(fault.kind, FaultKind::Unreadable { .. }).then_some(here);
        }
        places
    }
}

struct Pass<'a> {
    logs: &'a Logs,
    now: Stamp,
    ops_since: Rc<str>,
    out: Rebuilt,
    segment: u32,
    line: u64,
    last_n: u64,
    /// The line before, and its link where every link is checked.
    last: Option<Place>,
    link: u64,
    links: Option<HashSet<u64>>,
    /// Whether every link is checked; else only where numbers jump.
    thorough: bool,
    forgiven: Control,
    error: Option<std::io::Error>,
    trailing_bad: Option<(u64, Fault)>,
    /// The link of the last line of the log before this one.
    sealed_end: Option<u64>,
}

/// Reads all logs. A `thorough` pass checks every link of the chain.
pub(super) fn run(logs: &Logs, boot: u64, now: Stamp, thorough: bool) -> Result<Rebuilt> {
    let ops_since = now.wall - chrono::TimeDelta::days(OPS_DAYS);
    let index = Index::new(MemCells::default(), Head::new(boot));
    let cut = log::unfinished(&logs.live).map_err(failure::index)?;
    let out = Rebuilt { index, faults: Vec::new(), seams: Vec::new(), lines: 0, cut };
    let mut pass = Pass {
        logs,
        now,
        ops_since: rfc3339(ops_since).into(),
        out,
        segment: u32::MAX,
        line: 0,
        last_n: 0,
        last: None,
        link: 0,
        links: thorough.then(HashSet::new),
        thorough,
        forgiven: Control::default(),
        error: None,
        trailing_bad: None,
        sealed_end: None,
    };
    logs.each(|place, line| pass.line(place, line))?;
    pass.finish()
}

impl Pass<'_> {
    fn line(&mut self, place: Place, line: &[u8]) -> ControlFlow<()> {
        let current = u64::from(place.segment) == self.logs.segment;
        if current && self.out.cut.is_some_and(|cut| place.at >= cut) {
            return ControlFlow::Break(());
        }
        if place.segment != self.segment {
            self.sealed_end = if self.line > 0 { Some(self.last_link()) } else { None };
            self.segment = place.segment;
            self.line = 0;
        }
        self.line += 1;
        self.out.lines += 1;
        if current {
            let head = &mut self.out.index.head;
            head.lines += 1;
            head.last_at = place.at;
        }
        if let Some((_, fault)) = self.trailing_bad.take() {
            self.out.faults.push(fault);
        }
        let hash = if self.thorough { chain(line) } else { 0 };
        if let Err(error) = self.take(place, line) {
            self.error = Some(error);
            return ControlFlow::Break(());
        }
        if let Some(links) = &mut self.links {
            links.insert(hash);
        }
        (self.last, self.link) = (Some(place), hash);
        ControlFlow::Continue(())
    }

    /// The link of the line before.
    fn last_link(&self) -> u64 {
        if self.thorough {
            return self.link;
        }
        let line = self.last.and_then(|place| self.logs.line(place).ok());
        line.map_or(0, |line| chain(&line))
    }

    fn fault(&self, place: Place, kind: FaultKind) -> Fault {
        Fault { place, line: self.line, kind }
    }

    fn take(&mut self, place: Place, line: &[u8]) -> std::io::Result<()> {
        let slim: Slim<'_> = match serde_json::from_slice(line) {
            Ok(slim) => slim,
            Err(error) => {
                self.unreadable(place, line, error.to_string());
                return Ok(());
            }
        };
        if slim.id.is_none() {
            self.control(place, line, &slim);
            return Ok(());
        }
        let ops_since = Rc::clone(&self.ops_since);
        let facts = Facts::from_slim(&slim, self.now, &ops_since).filter(|_| slim.n > 0);
        let Some(facts) = facts else {
            self.unreadable(place, line, "a field is missing or not what it should be".to_owned());
            return Ok(());
        };
        if !slim.carried {
            self.check_order(place, &slim);
        } else if self.thorough && slim.prev() != Some(self.last_link()) {
            self.out.faults.push(self.fault(place, FaultKind::Broken));
        }
        let applied = self.out.index.apply(&facts, place)?;
        if applied.twin {
            let created = slim.created_at.as_deref().unwrap_or_default().to_owned();
            let kind = FaultKind::Twin { id: facts.id.to_owned(), created };
            self.out.faults.push(self.fault(place, kind));
        }
        Ok(())
    }

    fn unreadable(&mut self, place: Place, line: &[u8], why: String) {
        let fault = self.fault(place, FaultKind::Unreadable { why, link: chain(line) });
        if u64::from(place.segment) == self.logs.segment {
            // At the very end of the live log it is a write that a power cut tore; it is told apart
            // when nothing follows.
            self.trailing_bad = Some((place.at, fault));
        } else {
            self.out.faults.push(fault);
        }
    }

    fn control(&mut self, place: Place, line: &[u8], slim: &Slim<'_>) {
        let Ok(control) = serde_json::from_slice::<Control>(line) else {
            self.unreadable(place, line, "it is neither an item nor a note of the log".to_owned());
            return;
        };
        if control.coord.is_none() && control.op.is_none() {
            self.unreadable(place, line, "it has no `id`".to_owned());
            return;
        }
        let head = &mut self.out.index.head;
        head.n = head.n.max(control.n);
        head.next_id = head.next_id.max(control.next_id);
        if control.coord.is_some() {
            return;
        }
        if control.op.as_deref() == Some("checkpoint") {
            // What was carried over before it has its old numbers; from here they go on.
            self.last_n = control.n;
            let sealed = control.sealed_end.and_then(|end| u64::from_str_radix(&end, 16).ok());
            let fits = slim.prev() == Some(self.last_link())
                && self.sealed_end.is_none_or(|end| sealed == Some(end));
            if self.thorough && !fits {
                self.out.faults.push(self.fault(place, FaultKind::Broken));
            }
            return;
        }
        self.check_order(place, slim);
        self.forgiven.removed.extend(control.removed);
        self.forgiven.gaps.extend(control.gaps);
        self.forgiven.renamed.extend(control.renamed);
    }

    /// Whether a line follows the one before it.
    fn check_order(&mut self, place: Place, slim: &Slim<'_>) {
        let (n, last) = (slim.n, self.last_n);
        self.last_n = n;
        let jumps = n != last + 1;
        if !jumps && !self.thorough {
            return;
        }
        let follows = self.last.is_none() || slim.prev() == Some(self.last_link());
        if follows {
            return;
        }
        // Two branches that were merged: the line follows an earlier one.
        if let Some(prev) = slim.prev()
            && n <= last
            && self.knows(prev, place)
        {
            self.out.seams.push((place, self.line));
            return;
        }
        let kind = if n > last + 1 {
            FaultKind::Gap { first: last + 1, last: n - 1 }
        } else {
            FaultKind::Broken
        };
        self.out.faults.push(self.fault(place, kind));
    }

    /// Whether a line with this link came before `place`.
    fn knows(&mut self, link: u64, place: Place) -> bool {
        if self.links.is_none() {
            let mut links = HashSet::new();
            let read = self.logs.each(|at, line| {
                if at == place {
                    return ControlFlow::Break(());
                }
                links.insert(chain(line));
                ControlFlow::Continue(())
            });
            if read.is_err() {
                return false;
            }
            self.links = Some(links);
        }
        self.links.as_ref().is_some_and(|links| links.contains(&link))
    }

    fn finish(mut self) -> Result<Rebuilt> {
        if let Some(error) = self.error {
            return Err(failure::index(error));
        }
        let mut cut = self.out.cut;
        if let Some((at, fault)) = self.trailing_bad.take() {
            // Whole lines may have been damaged by hand, so only what no write of ours can be is cut.
            let torn = matches!(&fault.kind, FaultKind::Unreadable { .. })
                && self
                    .last
                    .and_then(|p| self.logs.line(p).ok())
                    .is_some_and(|line| memchr::memchr(0, &line).is_some());
            if torn {
                cut = Some(cut.map_or(at, |c| c.min(at)));
            } else {
                self.out.faults.push(fault);
            }
        }
        self.out.cut = cut;
        let forgiven = &self.forgiven;
        self.out.faults.retain(|fault| match &fault.kind {
            FaultKind::Unreadable { link, .. } => {
                !forgiven.removed.contains(&format!("{link:016x}"))
            }
            FaultKind::Gap { first, last } => !forgiven.gaps.contains(&(*first, *last)),
            FaultKind::Twin { id, created } => {
                !forgiven.renamed.contains(&format!("{id}@{created}"))
            }
            FaultKind::Broken => true,
        });
        let link = self.last_link();
        let damaged = self.out.places();
        let head = &mut self.out.index.head;
        head.segment = self.logs.segment;
        head.last_link = link;
        head.damaged = damaged;
        self.out.index.settle_mentions().map_err(failure::index)?;
        Ok(self.out)
    }
}

/// Says where a fault is and what it is.
pub(super) fn describe(logs: &Logs, fault: &Fault) -> String {
    let (file, line) = (logs.name(fault.place.segment), fault.line);
    match &fault.kind {
        FaultKind::Unreadable { why, .. } => format!("`{file}` line {line} cannot be read: {why}"),
        FaultKind::Gap { first, last } if first == last => {
            format!("`{file}` line {line}: write {first} is missing before it")
        }
        FaultKind::Gap { first, last } => {
            format!("`{file}` line {line}: writes {first} to {last} are missing before it")
        }
        FaultKind::Twin { id, .. } => {
            format!("`{file}` line {line}: two branches each made an item `{id}`")
        }
        FaultKind::Broken => {
            format!(
                "`{file}` line {line} does not follow the line before it, which was changed after it was written"
            )
        }
    }
}
