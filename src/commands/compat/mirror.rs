//! The old files: taken over before a command if an old program wrote them, complete copies of the
//! store after it.
//!
//! A command that changed something ends only when the copies hold its change. Of many at once one
//! writes for all that were done before it began; the others see that and have nothing to do. Who is
//! killed between its change and the copies leaves copies that are older than the store: the next
//! command sees it and writes them.

use std::path::{Path, PathBuf};

use super::Reply;
use super::facts::Facts;
use crate::commands::{Context, import};
use crate::domain::agent::Known;
use crate::domain::legacy::mirror::{self, KINDS};
use crate::domain::legacy::{Kind, mirror::Facts as Sources};
use crate::domain::time::rfc3339;
use crate::error::{Error, Result};
use crate::output::plural;
use crate::store;
use crate::store::mirror::{Foreign, Known as State, Mirrors, hash};

/// The names of the mirrored files, in the order of [`KINDS`].
fn names() -> [&'static str; 4] {
    KINDS.map(|kind| kind.file_names()[0])
}

/// The directory with the old files.
fn dir(cx: &mut Context) -> Result<PathBuf> {
    match cx.env.get("COORDINATION_DIR").filter(|_| cx.flags.dir.is_none()) {
        Some(dir) => {
            let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
            Ok(cwd.join(dir))
        }
        None => Ok(cx.place()?.dir),
    }
}

/// Makes the store if there is none, and takes over what an old program wrote into its files.
pub(super) fn prepare(cx: &mut Context) -> Result<Mirrors> {
    match cx.store()?.summary() {
        Ok(_) => {}
        Err(store::Error::Missing { .. }) => {
            // Without an item it still makes a store that can be read.
            let op = own_op(cx)?;
            cx.store()?.import(Vec::new(), &op)?;
        }
        Err(error) => return Err(error.into()),
    }
    let mirrors = Mirrors::open(&dir(cx)?, cx.flags.trust_dir)?;
    let known = mirrors.known()?;
    let untouched = match &known {
        Some(known) => mirrors.untouched(known, &names())?,
        None => false,
    };
    if !untouched && !mirrors.foreign(known.as_ref(), &names())?.is_empty() {
        let (clock, wait) = (cx.clock.clone(), cx.options(false)?.lock_timeout);
        let _lock = mirrors.lock(&*clock, wait, &mut || Ok(false))?;
        adopt(cx, &mirrors)?;
    }
    Ok(mirrors)
}

/// An operation of the mirror's own: what the user may have named stands for the command itself.
fn own_op(cx: &Context) -> Result<crate::domain::work::Op> {
    let by = super::agent(cx)?;
    Ok(crate::domain::work::Op { id: cx.fresh_op()?, given: false, by, now: cx.stamp() })
}

/// Takes over files that an old program wrote; the caller holds the lock. They are kept as they were.
fn adopt(cx: &mut Context, mirrors: &Mirrors) -> Result<()> {
    let known = mirrors.known()?;
    let foreign = mirrors.foreign(known.as_ref(), &names())?;
    if foreign.is_empty() {
        return Ok(());
    }
    let kept = mirrors.keep(&foreign)?;
    // The first time the whole directory is; later only these can have been written by an old program
    // without anybody asking for them.
    let only: Vec<Kind> = if known.is_none() { Vec::new() } else { KINDS.to_vec() };
    let earned = mirror::earned(&Facts::read(cx)?.items);
    let op = own_op(cx)?;
    let adopted = import::adopt(cx, mirrors.path(), &only, &earned, &op)?;
    let durable = cx.settings()?.sync();
    mirrors.accept(&foreign, durable)?;
    tell(cx, &kept, &foreign, &adopted);
    Ok(())
}

fn tell(cx: &mut Context, kept: &Path, foreign: &[Foreign], adopted: &import::Adopted) {
    let files: Vec<_> = foreign.iter().map(|file| format!("`{}`", file.name)).collect();
    cx.ui.status(&format!(
        "took over {} and {} from {}; the files as they were are kept in `{}`",
        plural(adopted.items, "item"),
        plural(adopted.agents, "agent"),
        files.join(", "),
        kept.display()
    ));
    if adopted.refused > 0 {
        let what = plural(adopted.refused, "record");
        cx.ui.warning(&format!(
            "{what} in the old files could not be read; `coord import {} --dry-run` names each",
            kept.display()
        ));
    }
}

/// Brings the copies up to date, unless they are.
pub(super) fn bring_up(cx: &mut Context, mirrors: &Mirrors, reply: &Reply) -> Result<()> {
    // Agents have no number: who changed one writes in any case, who only looked compares.
    let n = match reply.wrote {
        Some(n) => n,
        None => cx.store()?.summary()?.n,
    };
    let agents = match reply.wrote {
        Some(_) => None,
        None => Some(fingerprint(&cx.store()?.agents()?)),
    };
    let force = reply.agents;
    let current = |known: &State| -> Result<bool, store::Error> {
        let as_new = known.n >= n && agents.as_ref().is_none_or(|agents| *agents == known.agents);
        Ok(!force && as_new && mirrors.untouched(known, &names())?)
    };
    let mut done = || match mirrors.known()? {
        Some(known) => current(&known),
        None => Ok(false),
    };
    let (clock, options) = (cx.clock.clone(), cx.options(false)?);
    let Some(_lock) = mirrors.lock(&*clock, options.lock_timeout, &mut done)? else {
        return Ok(());
    };
    if done()? {
        return Ok(());
    }
    adopt(cx, mirrors)?;
    // The number first: what is read after it holds at least that much.
    let n = cx.store()?.summary()?.n;
    let facts = Facts::read(cx)?;
    let sources = Sources {
        items: &facts.items,
        agents: &facts.agents,
        imported: &facts.imported,
        silent_after: facts.silent_after,
        now: facts.now,
    };
    let files: Vec<_> = KINDS
        .iter()
        .zip(names())
        .map(|(kind, name)| (name, mirror::file(*kind, sources)))
        .collect();
    mirrors.write(&files, n, fingerprint(&facts.agents), options.sync).map_err(Error::from)
}

/// What agents said about themselves, in one number: it changes with every registration and sign of
/// life.
fn fingerprint(agents: &[Known]) -> String {
    let mut text = String::new();
    for known in agents {
        let said = known.agent.as_ref().and_then(|agent| serde_json::to_string(agent).ok());
        text.extend([
            known.id.as_str(),
            "\t",
            &known.seen_at.map(rfc3339).unwrap_or_default(),
            "\t",
            &said.unwrap_or_default(),
            "\n",
        ]);
    }
    hash(text.as_bytes())
}
