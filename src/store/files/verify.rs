//! Checking everything against everything, and moving aside what cannot be read.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::ControlFlow;

use serde_json::json;

use super::log::{HISTORY, LIVE, scan, sealed_name};
use super::rebuild::{Fault, FaultKind, Rebuilt, describe};
use super::record::Record;
use super::session::Session;
use super::{FileStore, compare, failure};
use crate::domain::name::ItemId;
use crate::domain::time::rfc3339;
use crate::domain::work::Op;
use crate::store::fields::Fields;
use crate::store::{Result, Verified};
use crate::sys::fs::Access;

/// Where a repair puts what cannot be read.
const QUARANTINE: &str = "quarantine.jsonl";

/// Checks the store; with `repair`, mends what stops writing.
pub(super) fn run(store: &FileStore, repair: bool, op: &Op) -> Result<Verified> {
    let mut session = Session::begin_anyhow(store, op)?;
    let mut rebuilt = session.read_all(true)?;
    let mut verified = Verified::default();
    if repair && rebuilt.stopping().next().is_some() {
        verified.repaired = mend(store, &mut session, &rebuilt)?;
        rebuilt = session.read_all(true)?;
        session.rebuild()?;
    } else if rebuilt.cut.is_none() {
        let differences =
            compare::differences(&session.index, &rebuilt.index).map_err(failure::index)?;
        if repair && !differences.is_empty() {
            session.rebuild()?;
            verified.repaired.push("made the index anew".to_owned());
        } else {
            verified.problems.extend(differences);
        }
    }
    verified.lines = rebuilt.lines;
    let head = &rebuilt.index.head;
    verified.items = head.open() + head.done;
    verified.files = head.segment.min(
        1 + store
            .dir
            .subdir(HISTORY, false)
            .map_or(0, |dir| super::log::sealed(&dir).map_or(0, |all| all.len() as u64)),
    );
    verified.problems.extend(rebuilt.faults.iter().map(|fault| describe(&session.logs, fault)));
    verified.seams = rebuilt
        .seams
        .iter()
        .map(|(place, line)| {
            format!(
                "`{}` line {line}: two histories were merged here",
                session.logs.name(place.segment)
            )
        })
        .collect();
    session.finish()?;
    Ok(verified)
}

/// Takes unreadable lines out of their files, keeps them in a file of their own, and notes in the
/// log what was done, so that the missing numbers and links are no riddle later.
fn mend(store: &FileStore, session: &mut Session<'_>, rebuilt: &Rebuilt) -> Result<Vec<String>> {
    let faults: Vec<&Fault> = rebuilt.stopping().collect();
    let failed = |e| failure::io("repair the log", e);
    let mut done = Vec::new();
    let bad: Vec<&Fault> =
        faults.iter().copied().filter(|f| matches!(f.kind, FaultKind::Unreadable { .. })).collect();
    let segments: BTreeSet<u32> = bad.iter().map(|f| f.place.segment).collect();
    if !bad.is_empty() {
        keep(store, session, &bad)?;
    }
    for segment in segments {
        let live = u64::from(segment) == session.logs.segment;
        let (dir, name) = if live {
            (store.dir.subdir(".", false).map_err(failure::open)?, LIVE.to_owned())
        } else {
            (store.dir.subdir(HISTORY, false).map_err(failure::open)?, sealed_name(segment.into()))
        };
        let old = dir.file(&name, Access::Read).map_err(failure::open)?;
        let mut new = dir.file("repair.tmp", Access::Truncate).map_err(failure::open)?;
        let mut written = Ok(());
        scan(&old, segment, 0, u64::MAX, &mut |place, line| {
            if !bad.iter().any(|fault| fault.place == place) {
                written = new.write_all(line);
            }
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
            let number = session.logs.segment;
            session.replace_live(file, number);
        }
    }
    for fault in &bad {
        done.push(format!("moved to `{QUARANTINE}`: {}", describe(&session.logs, fault)));
    }
    // Every place has moved, so the index is made anew before anything is appended.
    session.rebuild()?;
    let twins = rename_twins(session, &faults, &mut done)?;
    note(session, &faults, &twins)?;
    for fault in faults.iter().filter(|f| matches!(f.kind, FaultKind::Gap { .. })) {
        done.push(format!("noted: {}", describe(&session.logs, fault)));
    }
    Ok(done)
}

/// Keeps the lines that are about to be moved.
fn keep(store: &FileStore, session: &Session<'_>, bad: &[&Fault]) -> Result<()> {
    let failed = |e| failure::io(format!("write `{QUARANTINE}`"), e);
    drop(store.dir.file(QUARANTINE, Access::Create).map_err(failure::open)?);
    let mut file = store.dir.file(QUARANTINE, Access::Append).map_err(failure::open)?;
    for fault in bad {
        let line = session.logs.line(fault.place).map_err(failed)?;
        let text = json!({
            "at": rfc3339(session.now().wall),
            "from": describe(&session.logs, fault),
            "line": String::from_utf8_lossy(&line).trim_end_matches('\n'),
        });
        writeln!(file, "{text}").map_err(failed)?;
    }
    file.sync_all().and_then(|()| store.dir.sync()).map_err(failed)
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
fn note(session: &mut Session<'_>, faults: &[&Fault], renamed: &[String]) -> Result<()> {
    let links: Vec<String> = faults
        .iter()
        .filter_map(|f| match f.kind {
            FaultKind::Unreadable { link, .. } => Some(format!("{link:016x}")),
            _ => None,
        })
        .collect();
    // Lines that were moved leave gaps as well; they are found by reading once more.
    let again = session.read_all(false)?;
    let gaps: Vec<(u64, u64)> = again
        .faults
        .iter()
        .filter_map(|f| match f.kind {
            FaultKind::Gap { first, last } => Some((first, last)),
            _ => None,
        })
        .collect();
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
