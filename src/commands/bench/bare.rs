//! The measured operations without the command line around them: what is left is the store. Also the
//! physical limit, for a program that was installed without its yardstick beside it.
//!
//! Reached by a first word that no help shows, before anything else is looked at.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::limit;
use super::stage::{AGENT, failed, op, open};
use crate::domain::name::AgentId;
use crate::domain::work::transition::Holder;
use crate::domain::work::{Change, Want};
use crate::error::{Error, Kind, Result};
use crate::store::{Claimed, Store};
use crate::sys::{Clock, RandomIds, SystemClock};

/// The word that stands for it.
pub(super) const WORD: &str = "__bench";

/// Runs a bare operation if that is what the command line says, and tells how it ended.
#[must_use]
pub(crate) fn run(argv: &[OsString]) -> Option<ExitCode> {
    let [_, word, rest @ ..] = argv else { return None };
    (word == WORD).then(|| match dispatch(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(error.kind().exit_code()),
    })
}

fn dispatch(words: &[OsString]) -> Result<()> {
    let [mode, rest @ ..] = words else { return Err(unknown()) };
    let mode = mode.to_str().unwrap_or_default();
    let (mode, sync) = mode.strip_suffix("-unsynced").map_or((mode, true), |mode| (mode, false));
    match (mode, rest) {
        ("empty", []) => Ok(()),
        ("append", [dir]) => Ok(limit::append(Path::new(dir), sync)?),
        ("claim", [dir]) => claim(Path::new(dir), sync),
        ("complete", [id, dir]) => complete(&id.to_string_lossy(), Path::new(dir), sync),
        ("heartbeat", [dir]) => heartbeat(Path::new(dir)),
        _ => Err(unknown()),
    }
}

#[inline(never)]
fn claim(dir: &Path, sync: bool) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let op = op(clock.as_ref(), &RandomIds)?;
    let want = Want {
        agent: op.by.clone(),
        id: None,
        team: None,
        kind: None,
        labels: Vec::new(),
        capabilities: Vec::new(),
        lease: std::time::Duration::from_mins(30),
    };
    match open(dir, false, sync, clock)?.claim(&want, &op).map_err(failed)? {
        Claimed::Taken(taken) => say(taken.found.item.id.as_str()),
        _ => Err(Error::new(Kind::Empty, "nothing to claim")),
    }
}

#[inline(never)]
fn complete(id: &str, dir: &Path, sync: bool) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let op = op(clock.as_ref(), &RandomIds)?;
    let holder = Holder { agent: op.by.clone(), token: None };
    let change = Change::Complete { holder, result: None, points: None };
    let id = id.parse().map_err(failed)?;
    let changed = open(dir, false, sync, clock)?.change(&id, &change, &op).map_err(failed)?;
    say(changed.found.item.id.as_str())
}

#[inline(never)]
fn heartbeat(dir: &Path) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let op = op(clock.as_ref(), &RandomIds)?;
    let agent: AgentId = AGENT.parse().map_err(failed)?;
    open(dir, false, true, clock)?.heartbeat(&agent, &op).map_err(failed)?;
    say(AGENT)
}

fn say(word: &str) -> Result<()> {
    Ok(std::io::stdout().write_all([word, "\n"].concat().as_bytes())?)
}

fn unknown() -> Error {
    Error::new(Kind::Usage, "no such measurement")
}
