//! What can go, wherever it is: each kind is found, shown and removed by those who know it.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use super::Row;
use crate::client::claude::Disposable;
use crate::commands::{Context, backup, claude};
use crate::domain::name::ItemId;
use crate::domain::time::rfc3339;
use crate::domain::work::Op;
use crate::error::{Error, Kind, Result};
use crate::store::files::cleanup::{Ages, Thing as Stored};
use crate::store::files::stale::Silent;
use crate::store::files::{FileStore, restore};
use crate::sys::leftover::Leftover;

/// What may go.
pub(super) struct Wanted {
    pub(super) ages: Ages,
    /// How long an agent must have been silent; without, none is forgotten.
    pub(super) silence: Option<Duration>,
    /// Which backups go; without, none does.
    pub(super) backups: Option<backup::Rule>,
}

/// Something that can go.
pub(super) enum Thing {
    /// A file of the store.
    Stored(Stored),
    /// A claim whose lease has run out.
    Claim(ItemId, String),
    /// An agent that nobody hears of.
    Agent(Silent),
    /// What a killed restore left.
    Restore(Leftover),
    /// What another killed command about backups left.
    Left(backup::leftover::Left, Leftover),
    /// A backup.
    Backup(backup::Gone),
    /// Something in the cache of Claude's answers; with where that is.
    Cached(Disposable, String),
}

/// Finds all of it; nothing is changed.
pub(super) fn find(
    cx: &mut Context,
    store: &FileStore,
    wanted: &Wanted,
    now: DateTime<Utc>,
) -> Result<Vec<Thing>> {
    let mut all: Vec<Thing> = store.expired(usize::MAX)?.into_iter().map(claim).collect();
    if let Some(silence) = wanted.silence {
        all.extend(store.silent(silence, now)?.into_iter().map(Thing::Agent));
    }
    all.extend(store.disposable(wanted.ages, now)?.into_iter().map(Thing::Stored));
    let state = cx.place()?.dir;
    let failed =
        |e| Error::new(Kind::External, "cannot look beside the state directory").caused_by(e);
    let restores = restore::leftovers(&state, now.into()).map_err(failed)?;
    all.extend(restores.into_iter().map(Thing::Restore));
    let left = backup::leftover::find(cx, now.into());
    all.extend(left.into_iter().map(|(kind, found)| Thing::Left(kind, found)));
    if let Some(rule) = wanted.backups {
        all.extend(backup::choose(cx, None, rule)?.go.into_iter().map(Thing::Backup));
    }
    if let Some(cache) = claude::cache(cx) {
        let dir = cache.place();
        let cached = cache.disposable(now).into_iter();
        all.extend(cached.map(|thing| Thing::Cached(thing, dir.clone())));
    }
    Ok(all)
}

fn claim(item: crate::domain::work::Item) -> Thing {
    let holder = item.agent.as_ref().map_or_else(String::new, ToString::to_string);
    let then = if item.attempt < item.max_attempts {
        "it goes back to the queue"
    } else {
        "that was its last attempt, so it is dead"
    };
    Thing::Claim(item.id, format!("the lease of `{holder}` ran out: {then}"))
}

impl Thing {
    /// For people and programs.
    pub(super) fn row(&self) -> Row {
        let since = |at: SystemTime| rfc3339(at.into());
        let (kind, path, bytes, why) = match self {
            Self::Stored(thing) => {
                (thing.kind.as_str(), thing.path.clone(), thing.bytes, thing.why.clone())
            }
            Self::Claim(id, why) => ("claim", id.to_string(), 0, why.clone()),
            Self::Agent(silent) => {
                let why = format!("silent since {}, holds nothing", rfc3339(silent.seen));
                ("agent", silent.id.to_string(), 0, why)
            }
            Self::Restore(left) => {
                let why = format!("left by a killed restore, since {}", since(left.changed));
                ("temporary", left.path.to_string_lossy().into_owned(), left.bytes, why)
            }
            Self::Left(_, left) => {
                let why = format!("left by a killed `backup`, since {}", since(left.changed));
                ("temporary", left.path.to_string_lossy().into_owned(), left.bytes, why)
            }
            Self::Backup(gone) => {
                let why = format!("a backup of {}", gone.at);
                ("backup", gone.path.clone(), gone.bytes, why)
            }
            Self::Cached(thing, dir) => {
                ("cache", format!("{dir}/{}", thing.path), thing.bytes, thing.why.clone())
            }
        };
        Row { kind, path, bytes, why }
    }
}

/// Removes what was found and is still as it was found. Gives what is gone.
pub(super) fn remove(
    cx: &mut Context,
    store: &FileStore,
    found: Vec<Thing>,
    wanted: &Wanted,
    op: &Op,
) -> Result<Vec<Row>> {
    let (mut gone, mut stored, mut claims, mut cached) = (vec![], vec![], vec![], vec![]);
    let (state, now) = (cx.place()?.dir, op.now.wall.into());
    let failed = |path: &std::path::Path, e| {
        Error::new(Kind::External, format!("cannot remove `{}`", path.display())).caused_by(e)
    };
    for thing in found {
        let row = thing.row();
        let is_gone = match thing {
            Thing::Stored(thing) => {
                stored.push((thing, row));
                continue;
            }
            Thing::Claim(id, _) => {
                claims.push((id, row));
                continue;
            }
            Thing::Cached(thing, _) => {
                cached.push((thing, row));
                continue;
            }
            Thing::Agent(silent) => {
                // Each is an operation of its own.
                let op = Op { id: cx.fresh_op()?, given: false, ..op.clone() };
                let age = wanted.silence.unwrap_or(Duration::MAX);
                store.forget(&silent, age, &op)?.is_some()
            }
            Thing::Restore(left) => {
                restore::remove_leftover(&state, &left, now).map_err(|e| failed(&left.path, e))?
            }
            Thing::Left(kind, left) => {
                kind.remove(&left, now).map_err(|e| failed(&left.path, e))?
            }
            Thing::Backup(backup) => backup.remove().map(|()| true)?,
        };
        if is_gone {
            gone.push(row);
        }
    }
    if !claims.is_empty() {
        let ids: Vec<ItemId> = claims.iter().map(|(id, _)| id.clone()).collect();
        let back = store.take_back(&ids, op)?;
        gone.extend(claims.into_iter().filter(|(id, _)| back.contains(id)).map(|(_, row)| row));
    }
    if let Some(cache) = claude::cache(cx) {
        let left = cache.dispose(cached.iter().map(|(thing, _)| thing.clone()).collect());
        gone.extend(cached.into_iter().filter(|(t, _)| left.contains(t)).map(|(_, row)| row));
    }
    // Last: it may rebuild the index.
    let things: Vec<Stored> = stored.iter().map(|(thing, _)| thing.clone()).collect();
    let left = store.dispose(&things, op)?;
    gone.extend(stored.into_iter().filter(|(t, _)| left.contains(t)).map(|(_, row)| row));
    Ok(gone)
}
