//! Repairing: what cannot be read is moved aside, never deleted, and the log notes what was done.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::ControlFlow;

use serde_json::json;

use super::super::log::{HISTORY, LIVE, scan, sealed_name};
use super::super::rebuild::{Fault, FaultKind, describe};
use super::super::record::{Record, header};
use super::super::session::Session;
use super::super::{FileStore, agents, failure};
use super::aside::{self, FILE as QUARANTINE};
use super::chain::Found;
use super::chapter::{Book, Sort};
use crate::domain::name::ItemId;
use crate::domain::time::rfc3339;
use crate::store::Result;
use crate::store::fields::Fields;
use crate::sys::fs::Access;

/// Where it puts whole files.
const ASIDE: &str = "quarantine";

/// Lines that cannot be read, by the number of their log and their own, from 0.
type Bad = BTreeMap<u64, BTreeSet<usize>>;

/// Mends what stops writing; gives what was done.
pub(super) fn run(
    store: &FileStore,
    session: &mut Session<'_>,
    book: &Book,
    found: &Found,
) -> Result<Vec<String>> {
    let mut done = Vec::new();
    let (bad, mut links) = unreadable(book);
    if !bad.is_empty() {
        keep(store, session, book, &bad)?;
        for (number, lines) in &bad {
            take_out(store, session, *number, lines)?;
        }
        let moved = found.problems.iter().filter(|p| p.kind == super::ProblemKind::Unreadable);
        done.extend(moved.map(|problem| format!("moved to `{QUARANTINE}`: {problem}")));
        // Every place has moved, so the index is made anew before anything is appended.
        session.rebuild()?;
    }
    let read = session.read_all(false)?;
    let faults: Vec<&Fault> = read.stopping().collect();
    let twins = rename_twins(session, &faults, &mut done)?;
    // Lines that were moved leave gaps as well; they are found by reading once more.
    let again = session.read_all(false)?;
    let mut gaps: Vec<(u64, u64)> = Vec::new();
    for fault in &again.faults {
        if let FaultKind::Gap { first, last } = fault.kind {
            gaps.push((first, last));
            done.push(format!("noted: {}", describe(&session.logs, fault)));
        }
    }
    let said = super::read_book(&store.dir, &session.logs)?.said;
    for ((first, last), _) in said.lost.iter().filter(|(gap, _)| !said.acknowledges(*gap)) {
        gaps.push((*first, *last));
        done.push(format!("noted that writes {first} to {last} are lost"));
    }
    if !(bad.is_empty() && gaps.is_empty() && twins.is_empty()) {
        links.sort_unstable();
        links.dedup();
        note(session, &links, &gaps, &twins)?;
        // The damage that stopped all writing is explained now.
        session.rebuild()?;
    }
    move_agents(store, session, &mut done)?;
    Ok(done)
}

/// The lines that no repair has moved yet, and the links that will lead nowhere without them: their
/// own, and those of the lines behind them, which tell what they were.
fn unreadable(book: &Book) -> (Bad, Vec<u64>) {
    let (mut bad, mut links) = (Bad::new(), Vec::new());
    for (number, chapter) in book.chapters.iter().enumerate() {
        for (at, line) in chapter.lines.iter().enumerate() {
            if line.sort == Sort::Bad && !book.said.is_kept(line.hash) {
                bad.entry(chapter.number).or_default().insert(at);
                links.push(line.hash);
                // Behind the last line of a sealed log it is the next log that tells.
                links.extend(match chapter.lines.get(at + 1) {
                    Some(next) => next.prev,
                    None => book.chapters.get(number + 1).and_then(|next| next.sealed_end),
                });
            }
        }
    }
    (bad, links)
}

/// Takes lines out of a log. A log without its header gets a new one.
fn take_out(
    store: &FileStore,
    session: &mut Session<'_>,
    number: u64,
    lines: &BTreeSet<usize>,
) -> Result<()> {
    let failed = |e| failure::io("repair the log", e);
    let live = number == session.logs.segment;
    let (dir, name) = if live {
        (store.dir.subdir(".", false).map_err(failure::open)?, LIVE.to_owned())
    } else {
        (store.dir.subdir(HISTORY, false).map_err(failure::open)?, sealed_name(number))
    };
    let old = dir.file(&name, Access::Read).map_err(failure::open)?;
    let mut new = dir.file("repair.tmp", Access::Truncate).map_err(failure::open)?;
    let (mut written, mut at) = (Ok(()), 0);
    scan(&old, 0, 0, u64::MAX, &mut |_, line| {
        if !lines.contains(&at) {
            written = new.write_all(line);
        } else if at == 0 {
            written = new.write_all(&header(number, 0));
        }
        at += 1;
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .map_err(failed)
    .map(drop)?;
    written
        .and_then(|()| new.sync_all())
        .and_then(|()| dir.rename("repair.tmp", &dir, &name))
        .and_then(|()| dir.sync())
        .map_err(failed)?;
    if live {
        let file = store.dir.file(LIVE, Access::Append).map_err(failure::open)?;
        session.replace_live(file, number);
    }
    Ok(())
}

/// Keeps the lines that are about to be moved.
fn keep(store: &FileStore, session: &Session<'_>, book: &Book, bad: &Bad) -> Result<()> {
    let failed = |e| failure::io(format!("write `{QUARANTINE}`"), e);
    drop(store.dir.file(QUARANTINE, Access::Create).map_err(failure::open)?);
    let mut file = store.dir.file(QUARANTINE, Access::Append).map_err(failure::open)?;
    let (mut number, mut at, mut written) = (u32::MAX, 0, Ok(()));
    session.logs.each(|place, line| {
        if place.segment != number {
            (number, at) = (place.segment, 0);
        }
        if bad.get(&number.into()).is_some_and(|lines| lines.contains(&at)) {
            let chapter = book.chapters.iter().find(|c| c.number == u64::from(number));
            let why = chapter.and_then(|c| c.bad.get(&at)).map_or("", String::as_str);
            let name = session.logs.name(number);
            let from = format!("`{name}` line {} cannot be read: {why}", at + 1);
            let text = aside::entry(&rfc3339(session.now().wall), &from, line);
            written = writeln!(file, "{text}");
        }
        at += 1;
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written.and_then(|()| file.sync_all()).and_then(|()| store.dir.sync()).map_err(failed)
}

/// Gives the second of two items with one id an id of its own. Its newest image is what counts.
fn rename_twins(
    session: &mut Session<'_>,
    faults: &[&Fault],
    done: &mut Vec<String>,
) -> Result<Vec<String>> {
    let mut renamed: Vec<String> = Vec::new();
    for fault in faults {
        let FaultKind::Twin { id, created } = &fault.kind else { continue };
        let mark = format!("{id}@{created}");
        if renamed.contains(&mark) {
            continue;
        }
        let mut newest: Option<Record> = None;
        session.logs.each(|_, line| {
            if let Ok(record) = Record::parse(line)
                && record.item.id.as_str() == id
                && rfc3339(record.item.created_at) == *created
                && newest.as_ref().is_none_or(|have| record.n >= have.n)
            {
                newest = Some(record);
            }
            ControlFlow::Continue(())
        })?;
        let Some(mut record) = newest else { continue };
        record.item.id = ItemId::numbered('w', session.index.head.next_id);
        record.item.extra.insert("was".to_owned(), json!(id));
        record.n = session.next_n();
        "import".clone_into(&mut record.verb);
        record.op = session.op.id.clone();
        (record.at, record.by, record.carried) = (session.now().wall, session.op.by.clone(), false);
        // A claim does not survive: its token may have been given out twice.
        if record.item.status == crate::domain::work::Status::Active {
            record.item.status = crate::domain::work::Status::Pending;
            (record.item.agent, record.item.token, record.item.lease) = (None, None, None);
        }
        done.push(format!("gave the second `{id}` the id `{}`", record.item.id));
        session.commit(&mut [record])?;
        renamed.push(mark);
    }
    Ok(renamed)
}

/// Appends what was done to the log.
fn note(
    session: &mut Session<'_>,
    links: &[u64],
    gaps: &[(u64, u64)],
    renamed: &[String],
) -> Result<()> {
    let links: Vec<String> = links.iter().map(|link| format!("{link:016x}")).collect();
    let n = session.next_n();
    let line = Fields::new()
        .number("n", n)
        .text("op", "repair")
        .text("op_id", session.op.id.as_str())
        .text("at", &rfc3339(session.now().wall))
        .text("by", session.op.by.as_str())
        .value("removed", &json!(links))
        .value("gaps", &json!(gaps))
        .value("renamed", &json!(renamed))
        .end(session.index.head.last_link);
    session.note_line(n, &line)
}

/// Moves files of agents that cannot be read into a directory of their own. Those of named locks stay:
/// without its token a lock could be given to two.
fn move_agents(store: &FileStore, session: &Session<'_>, done: &mut Vec<String>) -> Result<()> {
    let bad = agents::unreadable(store)?;
    if bad.is_empty() {
        return Ok(());
    }
    let failed = |e| failure::io(format!("move a file to `{ASIDE}`"), e);
    let aside = store.dir.subdir(ASIDE, true).map_err(failure::open)?;
    for (file, why) in bad {
        let Some((dir, name)) = file.split_once('/') else { continue };
        let dir = store.dir.subdir(dir, false).map_err(failure::open)?;
        let stamp = session.now().wall.format("%Y%m%dT%H%M%S%6fZ");
        let new = format!("{stamp}-{}-{name}", session.op.id);
        dir.rename(name, &aside, &new).map_err(failed)?;
        dir.sync().and_then(|()| aside.sync()).map_err(failed)?;
        done.push(format!("moved `{file}` to `{ASIDE}/{new}`: it cannot be read: {why}"));
    }
    store.dir.sync().map_err(failed)
}
