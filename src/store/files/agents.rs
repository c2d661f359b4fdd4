//! Agents: a small file each for what they say about themselves and one for their last sign of
//! life, written by their own commands without the lock.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;

use chrono::DateTime;
use serde::Deserialize;

use super::keys::Kind;
use super::read::Snapshot;
use super::rows::{Name, Row};
use super::session::Session;
use super::{FileStore, failure};
use crate::domain::agent::{Agent, Known};
use crate::domain::name::AgentId;
use crate::domain::time::{Stamp, parse_rfc3339};
use crate::domain::work::transition::{self, Holder, Outcome};
use crate::domain::work::{Change, Lease, Op, Priority};
use crate::store::fields::Fields;
use crate::store::{Error, Removed, Result};
use crate::sys::fs::{Access, Dir, OpenError};

const DIR: &str = "agents";

fn open_dir(store: &FileStore, create: bool) -> Result<Option<Dir>> {
    match store.dir.subdir(DIR, create) {
        Ok(dir) => Ok(Some(dir)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(failure::open(e)),
    }
}

fn read_file(dir: &Dir, name: &str) -> Result<Option<Vec<u8>>, OpenError> {
    use std::io::Read;
    let mut file = match dir.file(name, Access::Read) {
        Ok(file) => file,
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    let path = dir.path().join(name);
    file.read_to_end(&mut bytes).map_err(|source| OpenError::Io { path, source })?;
    Ok(Some(bytes))
}

/// What one agent said about itself.
pub(super) fn load(store: &FileStore, id: &AgentId) -> Result<Option<Agent>> {
    match open_dir(store, false)? {
        Some(dir) => load_from(&dir, id.as_str()),
        None => Ok(None),
    }
}

fn load_from(dir: &Dir, id: &str) -> Result<Option<Agent>> {
    let name = [id, ".json"].concat();
    let Some(bytes) = read_file(dir, &name).map_err(failure::open)? else { return Ok(None) };
    let agent = serde_json::from_slice(&bytes).map_err(|e| {
        failure::read(&dir.path().join(&name), io::Error::new(io::ErrorKind::InvalidData, e))
    })?;
    Ok(Some(agent))
}

/// The files of agents that cannot be read, with why.
pub(super) fn unreadable(store: &FileStore) -> Result<Vec<(String, String)>> {
    let Some(dir) = open_dir(store, false)? else { return Ok(Vec::new()) };
    let mut bad = Vec::new();
    for file in dir.names().map_err(|e| failure::read(dir.path(), e))? {
        let why = match (file.strip_suffix(".json"), file.strip_suffix(".beat")) {
            (Some(id), _) => match load_from(&dir, id) {
                Ok(Some(agent)) if agent.id.as_str() != id => {
                    format!("it is that of `{}`", agent.id)
                }
                Ok(_) => continue,
                Err(Error::Io { source, .. }) => source.to_string(),
                Err(error) => error.to_string(),
            },
            (_, Some(id)) if dir.has(&file) && read_beat(&dir, id).is_none() => {
                "it is no sign of life".to_owned()
            }
            _ => continue,
        };
        bad.push((format!("{DIR}/{file}"), why));
    }
    Ok(bad)
}

/// Creates or replaces what an agent says about itself.
pub(super) fn register(store: &FileStore, agent: &Agent) -> Result<()> {
    let Some(dir) = open_dir(store, true)? else { return Ok(()) };
    let name = format!("{}.json", agent.id);
    let mut bytes =
        serde_json::to_vec_pretty(agent).map_err(|e| failure::io("write the agent", e.into()))?;
    bytes.push(b'\n');
    // Two commands of the same agent may run at once, so the name on the way is the process's own.
    let temp = format!(".{}.{}.tmp", agent.id, std::process::id());
    dir.replace(&name, &temp, &bytes, store.options.sync).map_err(failure::open)
}

/// Whether anything lies in the store that [`remove`] would remove.
pub(super) fn is_remembered(store: &FileStore, id: &AgentId) -> bool {
    let dir = open_dir(store, false).ok().flatten();
    dir.is_some_and(|dir| ["json", "beat"].iter().any(|end| dir.has(&format!("{id}.{end}"))))
}

/// A sign of life, as it stands in its file.
#[derive(Deserialize)]
struct Beat {
    at: String,
    boot: String,
    boot_ms: u64,
}

fn read_beat(dir: &Dir, id: &str) -> Option<Stamp> {
    let bytes = read_file(dir, &format!("{id}.beat")).ok()??;
    let beat: Beat = serde_json::from_slice(&bytes).ok()?;
    Some(Stamp {
        wall: parse_rfc3339(&beat.at)?,
        boot: u64::from_str_radix(&beat.boot, 16).ok()?,
        boot_ms: beat.boot_ms,
    })
}

/// The length of a sign of life, line break included: room for 16 digits of milliseconds.
const BEAT: usize = 90;

/// A sign of life as it is written: always of one length, since the next one takes its place.
fn beat_line(now: Stamp) -> Vec<u8> {
    let mut text = Fields::new();
    text.time("at", now.wall).hex("boot", now.boot).number("boot_ms", now.boot_ms);
    let mut text = text.close();
    text.pop();
    text.resize(text.len().max(BEAT - 2), b' ');
    text.extend_from_slice(b"}\n");
    text
}

/// Notes a sign of life, in place: one write of always the same length.
pub(super) fn heartbeat(store: &FileStore, id: &AgentId, op: &Op) -> Result<bool> {
    let Some(dir) = open_dir(store, true)? else { return Ok(false) };
    let name = [id.as_str(), ".beat"].concat();
    let file = dir.file(&name, Access::Create).map_err(failure::open)?;
    file.write_all_at(&beat_line(op.now), 0)
        .map_err(|e| failure::io(format!("write `{}`", dir.path().join(&name).display()), e))?;
    Ok(dir.has(&[id.as_str(), ".json"].concat()))
}

/// A lease as it stands after the holder's last sign of life.
pub(super) fn renewed(store: &FileStore, agent: &AgentId, lease: Lease, now: Stamp) -> Lease {
    let beat =
        open_dir(store, false).ok().flatten().and_then(|dir| read_beat(&dir, agent.as_str()));
    beat.map_or(lease, |beat| lease.after_sign(beat, now))
}

/// Every agent that registered or ever worked, by id.
pub(super) fn all(store: &FileStore) -> Result<Vec<Known>> {
    let mut known: BTreeMap<AgentId, Known> = BTreeMap::new();
    for name in store.read(Snapshot::names)?.into_iter().filter(|name| name.agent) {
        let Ok(id) = name.text.parse::<AgentId>() else { continue };
        let seen = i64::try_from(name.seen_ms).ok().filter(|ms| *ms > 0);
        known.insert(
            id.clone(),
            Known {
                agent: None,
                id,
                seen_at: seen.and_then(DateTime::from_timestamp_millis),
                held: name.held,
                done: name.done,
                failed: name.failed,
                expired: name.expired,
                points: name.points,
            },
        );
    }
    let dir = open_dir(store, false)?;
    let files = match &dir {
        Some(dir) => dir.names().map_err(|e| failure::read(dir.path(), e))?,
        None => Vec::new(),
    };
    for (file, dir) in files.iter().filter_map(|file| Some((file, dir.as_ref()?))) {
        let Some(id) = file.strip_suffix(".json").or_else(|| file.strip_suffix(".beat")) else {
            continue;
        };
        let Ok(id) = id.parse::<AgentId>() else { continue };
        let entry = known.entry(id.clone()).or_insert_with(|| Known {
            agent: None,
            id: id.clone(),
            seen_at: None,
            held: 0,
            done: 0,
            failed: 0,
            expired: 0,
            points: 0,
        });
        if file.strip_suffix(".json").is_some() {
            match load_from(dir, id.as_str()) {
                Ok(agent) => entry.agent = agent,
                Err(error) => store.note(format!("`{file}` is left out: {error}")),
            }
        } else if let Some(beat) = read_beat(dir, id.as_str()) {
            entry.seen_at = entry.seen_at.max(Some(beat.wall));
        }
    }
    // An agent that has left and holds nothing is history.
    known.retain(|_, k| {
        k.agent.is_some() || k.seen_at.is_some() || k.held > 0 || k.done + k.failed + k.expired > 0
    });
    Ok(known.into_values().collect())
}

/// Removes an agent; what it held and what was kept for it goes back.
pub(super) fn remove(store: &FileStore, id: &AgentId, op: &Op) -> Result<Removed> {
    let registered = load(store, id)?.is_some();
    let mut session = Session::begin(store, op)?;
    if let Some(records) = session.answered("remove")? {
        session.finish()?;
        // The first time may have ended before the files were gone; a later registration stays.
        let before = |agent: Agent| records.iter().all(|r| agent.registered_at <= r.at);
        let registered = load(store, id)?.is_some_and(before);
        if registered {
            forget(store, id)?;
        }
        return Ok(Removed { items: super::queue::again(records), registered });
    }
    let slot = session.index.slot_of(Kind::Agent, id.as_str()).map_err(failure::index)?;
    if slot.is_none()
        && !registered
        && open_dir(store, false)?.is_none_or(|d| read_beat(&d, id.as_str()).is_none())
    {
        return Err(Error::NoAgent { id: id.to_string() });
    }
    let (mut records, mut open_needs) = (Vec::new(), Vec::new());
    for (number, change) in slot.map_or(Ok(Vec::new()), |slot| to_give_back(&session, slot, id))? {
        let row = Row::load(&session.index.cells, number).map_err(failure::index)?;
        let old = session.record(&row)?;
        let verb = change.verb().to_owned();
        let Ok(Outcome::Changed(item)) =
            transition::apply(&old.item, row.open_needs, &change, session.now())
        else {
            continue;
        };
        let n = session.next_n() + records.len() as u64;
        records.push(session.line(n, &verb, *item));
        open_needs.push(row.open_needs);
    }
    if !records.is_empty() {
        session.commit(&mut records)?;
    }
    session.finish()?;
    forget(store, id)?;
    let items = records
        .into_iter()
        .zip(open_needs)
        .map(|(record, open_needs)| Session::found(&Row { open_needs, ..Row::default() }, record))
        .collect();
    Ok(Removed { items, registered })
}

/// Removes what an agent said about itself.
fn forget(store: &FileStore, id: &AgentId) -> Result<()> {
    let Some(dir) = open_dir(store, false)? else { return Ok(()) };
    for suffix in ["json", "beat"] {
        dir.remove(&format!("{id}.{suffix}"))
            .map_err(|e| failure::io(format!("remove `{id}.{suffix}`"), e))?;
    }
    Ok(())
}

/// The rows an agent holds or has kept for it, with what gives each back.
fn to_give_back(session: &Session<'_>, slot: u32, id: &AgentId) -> Result<Vec<(u32, Change)>> {
    let cells = &session.index.cells;
    let mut list = Vec::new();
    let mut at = Name::load(cells, slot).map_err(failure::index)?.first_held;
    while at != 0 {
        let note = Some(format!("`{id}` was removed"));
        let holder = Holder { agent: id.clone(), token: None };
        list.push((at, Change::Release { holder, note }));
        at = Row::load(cells, at).map_err(failure::index)?.held_next;
    }
    // The order of the list depends on when the index was last made anew.
    list.sort_unstable_by_key(|(number, _)| *number);
    // What is kept for it, ready or blocked: blocked items are in no set of the agent's.
    for priority in Priority::ALL {
        let mut from = 0;
        let open = super::bits::Set::Open(priority);
        while let Some(number) = open.next(cells, from).map_err(failure::index)? {
            from = number + 1;
            if Row::load(cells, number).map_err(failure::index)?.assignee == slot
                && !list.iter().any(|(held, _)| *held == number)
            {
                list.push((number, Change::Assign(None)));
            }
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_life_have_one_length_and_are_read_back() {
        let wall = parse_rfc3339("2026-01-02T03:04:05.000006Z").unwrap();
        for boot_ms in [0, 7, 1_234_567, 9_999_999_999_999_999] {
            let line = beat_line(Stamp { wall, boot: 0xfe, boot_ms });
            assert_eq!(line.len(), BEAT);
            assert!(line.ends_with(b"}\n"));
            let beat: Beat = serde_json::from_slice(&line).unwrap();
            assert_eq!((beat.boot.as_str(), beat.boot_ms), ("00000000000000fe", boot_ms));
            assert_eq!(parse_rfc3339(&beat.at), Some(wall));
        }
    }
}
