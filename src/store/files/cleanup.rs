//! Removing what a store does not need any more: old sealed logs, old telemetry, what a repair moved
//! aside, files that were left on the way.
//!
//! Every open item is carried into the next log when one is sealed, so a sealed log holds history only.
//! Before the first of them goes, a note of up to where, and of the hash with which it ended, is made
//! durable: the chain of what stays can be checked on from there.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::head;
use super::log::{HISTORY, LIVE, NEXT, sealed, sealed_name, tail};
use super::record::{Control, FORMAT, chain};
use super::removed::{self, Removed};
use super::session::Session;
use super::{FileStore, compact, failure, log};
use crate::domain::time::{human_duration, of_file, parse_rfc3339, rfc3339};
use crate::domain::work::{Op, Status};
use crate::store::journal::{self, Stream};
use crate::store::{Result, alerts};
use crate::sys::fs::{Access, Dir};
use crate::sys::leftover::ON_THE_WAY;

/// So much of the history stays whatever is asked for: operation ids are remembered for so long.
pub const LEAST_HISTORY: Duration = Duration::from_hours(24 * 8);

/// What kind of thing can go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A sealed log.
    History,
    /// A file of telemetry that was put aside.
    Telemetry,
    /// What a repair moved aside.
    Quarantine,
    /// A file that somebody left on the way.
    Temporary,
    /// The live log, because of the finished items in it: it is sealed, so that it becomes history.
    Log,
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Telemetry => "telemetry",
            Self::Quarantine => "quarantine",
            Self::Temporary => "temporary",
            Self::Log => "log",
        }
    }
}

/// How old things must be to go; nothing goes of a kind without an age.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ages {
    /// Sealed logs, by when they were sealed; and finished items in the live log.
    pub history: Option<Duration>,
    /// Telemetry, by when it was last written.
    pub telemetry: Option<Duration>,
    /// What a repair moved aside.
    pub quarantine: Option<Duration>,
}

/// Something that can go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Thing {
    /// What kind of thing.
    pub kind: Kind,
    /// Its path, relative to the state directory.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// Why it can go.
    pub why: String,
}

impl FileStore {
    /// What can go; nothing is changed.
    pub fn disposable(&self, ages: Ages, now: DateTime<Utc>) -> Result<Vec<Thing>> {
        let mut things = Vec::new();
        if let Some(age) = ages.history {
            self.old_history(age.max(LEAST_HISTORY), now, &mut things)?;
        }
        if let Some(age) = ages.history {
            things.extend(self.old_finished(age.max(LEAST_HISTORY), now)?);
        }
        for name in names(&self.dir)? {
            let former = Stream::ALL.iter().any(|stream| stream.is_former(&name));
            if former && let Some(age) = ages.telemetry {
                look(&self.dir, "", &name, Kind::Telemetry, Some(age), now, &mut things);
            }
            if is_temporary(&name) && name != NEXT {
                look(&self.dir, "", &name, Kind::Temporary, Some(ON_THE_WAY), now, &mut things);
            }
        }
        for below in ["agents", "locks", "imported", HISTORY, "alerts", "quarantine"] {
            let Ok(dir) = self.dir.subdir(below, false) else { continue };
            for name in names(&dir)? {
                if below == "quarantine" {
                    if let Some(age) = ages.quarantine {
                        look(&dir, below, &name, Kind::Quarantine, Some(age), now, &mut things);
                    }
                } else if is_temporary(&name) {
                    look(&dir, below, &name, Kind::Temporary, Some(ON_THE_WAY), now, &mut things);
                }
            }
        }
        Ok(things)
    }

    /// The sealed logs that are old enough, from the first on without a gap.
    fn old_history(&self, age: Duration, now: DateTime<Utc>, out: &mut Vec<Thing>) -> Result<()> {
        let dir = match self.dir.subdir(HISTORY, false) {
            Err(e) if e.is_not_found() => return Ok(()),
            other => other.map_err(failure::open)?,
        };
        let live = self.logs()?.segment;
        for number in sealed(&dir)?.into_iter().filter(|number| *number < live) {
            let before = out.len();
            let name = sealed_name(number);
            look(&dir, HISTORY, &name, Kind::History, Some(age), now, out);
            if out.len() == before {
                break;
            }
        }
        Ok(())
    }

    /// The live log, if items in it were finished long enough ago.
    fn old_finished(&self, age: Duration, now: DateTime<Utc>) -> Result<Option<Thing>> {
        #[derive(serde::Deserialize)]
        struct Line {
            id: String,
            status: Status,
            at: String,
        }
        let logs = self.logs()?;
        let mut finished = HashSet::new();
        let _ = log::scan(&logs.live, 0, 0, u64::MAX, &mut |_, line| {
            if let Ok(line) = serde_json::from_slice::<Line>(line)
                && line.status == Status::Done
                && parse_rfc3339(&line.at)
                    .is_some_and(|at| (now - at).to_std().is_ok_and(|old| old > age))
            {
                finished.insert(line.id);
            }
            std::ops::ControlFlow::Continue(())
        })
        .map_err(|e| failure::read(&self.dir.path().join(LIVE), e))?;
        let many = finished.len();
        Ok((many > 0).then(|| Thing {
            kind: Kind::Log,
            path: LIVE.to_owned(),
            bytes: 0,
            why: format!(
                "{many} of its items finished more than {} ago: it is sealed, and goes when it is as old",
                human_duration(age)
            ),
        }))
    }

    /// Removes things that were found disposable. History goes under the lock, all else without it.
    /// Gives those that are gone; telemetry is not while another process removes some.
    pub fn dispose(&self, things: &[Thing], op: &Op) -> Result<Vec<Thing>> {
        let mut gone = Vec::new();
        let history: Vec<&Thing> = things.iter().filter(|t| t.kind == Kind::History).collect();
        if !history.is_empty() {
            gone.extend(self.dispose_history(&history, op)?);
        }
        for thing in things.iter().filter(|thing| thing.kind == Kind::Log) {
            gone.extend(compact::seal(self, op)?.then(|| thing.clone()));
        }
        let files = |kind| !matches!(kind, Kind::History | Kind::Log);
        let counted = |t: &&Thing| Stream::Operations.is_former(&t.path);
        for thing in things.iter().filter(|thing| files(thing.kind) && !counted(thing)) {
            let (below, name) = thing.path.split_once('/').unwrap_or((".", &thing.path));
            let failed = |e| failure::at("remove", &self.dir.path().join(&thing.path), e);
            let dir = match self.dir.subdir(below, false) {
                Err(e) if e.is_not_found() => continue,
                other => other.map_err(failure::open)?,
            };
            dir.remove(name).map_err(failed)?;
            if !dir.has(name) {
                gone.push(thing.clone());
            }
        }
        let counted: Vec<&Thing> = things.iter().filter(counted).collect();
        let names: Vec<&str> = counted.iter().map(|thing| thing.path.as_str()).collect();
        if journal::remove_counted(&self.dir, &names, op.now.wall)? {
            gone.extend(counted.into_iter().cloned());
        }
        Ok(gone)
    }

    fn dispose_history(&self, things: &[&Thing], op: &Op) -> Result<Vec<Thing>> {
        let failed = |e| failure::at("remove history from", self.dir.path(), e);
        // Only over a log that is whole: what is damaged may be needed to mend it.
        let mut session = Session::begin(self, op)?;
        let dir = self.dir.subdir(HISTORY, false).map_err(failure::open)?;
        let numbers = sealed(&dir)?;
        let mut wanted = Vec::new();
        for (number, thing) in numbers.into_iter().zip(things) {
            // From the first on, without a gap, as it was when it was looked at.
            if thing.path != format!("{HISTORY}/{}", sealed_name(number)) {
                break;
            }
            wanted.push((number, *thing));
        }
        let Some((upto, _)) = wanted.last().copied() else { return Ok(Vec::new()) };
        // The next log must carry what is open, and know how this one ended.
        let next = upto + 1;
        let after = if next == session.logs.segment {
            session.logs.live.try_clone().map_err(failed)?
        } else {
            dir.file(&sealed_name(next), Access::Read).map_err(failure::open)?
        };
        let mut checkpoint = None;
        let _ = log::scan(&after, 0, 0, u64::MAX, &mut |_, line| match serde_json::from_slice::<
            Control,
        >(line)
        {
            Ok(control) if control.op.as_deref() == Some("checkpoint") => {
                checkpoint = Some(control);
                std::ops::ControlFlow::Break(())
            }
            _ => std::ops::ControlFlow::Continue(()),
        })
        .map_err(failed)?;
        let last = dir.file(&sealed_name(upto), Access::Read).map_err(failure::open)?;
        let (_, at) = tail(&last).map_err(failed)?;
        let place = super::rows::Place { segment: 0, at, len: 0 };
        let end = format!("{:016x}", chain(&log::read_line(&last, place).map_err(failed)?));
        let Some(checkpoint) = checkpoint.filter(|c| c.sealed_end.as_deref() == Some(&end)) else {
            let what = format!("`{HISTORY}/{}` does not fit the log after it", sealed_name(upto));
            return Err(crate::store::Error::Damaged { what });
        };
        let note = Removed {
            format: FORMAT,
            upto,
            n: checkpoint.n.saturating_sub(1),
            end,
            at: rfc3339(op.now.wall),
            by: op.by.to_string(),
        };
        removed::write(&dir, &note)?;
        // Rows lead into logs that are about to go; whoever reads meanwhile reads the logs.
        head::invalidate(session.head_file(), &session.index.head).map_err(failure::index)?;
        let mut gone = Vec::new();
        for (number, thing) in wanted {
            dir.remove(&sealed_name(number)).map_err(failed)?;
            gone.push(thing.clone());
        }
        dir.sync().map_err(failed)?;
        session.rebuild()?;
        session.finish()?;
        Ok(gone)
    }
}

fn is_temporary(name: &str) -> bool {
    let tmp = name.strip_suffix(".tmp");
    tmp.is_some_and(|stem| stem.starts_with('.') || stem == "repair")
        || alerts::ON_THE_WAY.contains(&name)
}

/// Adds a file to the things if it is old enough.
fn look(
    dir: &Dir,
    below: &str,
    name: &str,
    kind: Kind,
    age: Option<Duration>,
    now: DateTime<Utc>,
    out: &mut Vec<Thing>,
) {
    let Ok(about) =
        dir.file(name, Access::Read).map_err(std::io::Error::other).and_then(|f| f.metadata())
    else {
        return;
    };
    let Ok(changed) = about.modified().map(of_file) else { return };
    let old = (now - changed).to_std().unwrap_or_default();
    if age.is_some_and(|age| old <= age) {
        return;
    }
    let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
    let since = rfc3339(changed);
    let why = match kind {
        Kind::History => format!("sealed history, last written {since}"),
        Kind::Telemetry => format!("telemetry, last written {since}"),
        Kind::Quarantine => format!("moved aside by a repair, last written {since}"),
        Kind::Temporary | Kind::Log => format!("left on the way since {since}"),
    };
    out.push(Thing { kind, path, bytes: about.len(), why });
}

fn names(dir: &Dir) -> Result<Vec<String>> {
    dir.names().map_err(|e| failure::read(dir.path(), e))
}
