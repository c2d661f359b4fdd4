//! `coord alert`: rules about what was recorded, who is told, and what was told.

mod check;
mod config;
mod deliver;
mod export;
mod list;
mod redeliver;
mod row;
mod rules;
mod show;
mod silence;
mod test;

use clap::Command;

use super::{Context, Entry, from_store, observed};
use crate::domain::alert::{Origin, Reading, Record, Rule};
use crate::domain::telemetry::{Dimension, Window};
use crate::error::{Error, Kind, Result};
use crate::store::alerts::{Alerts, Held, Lock};

pub(super) use check::{Args as CheckArgs, check};
pub(super) use rules::names;

/// The verbs of `coord alert`, most used first.
pub(super) const VERBS: &[Entry] = &[
    Entry::verb::<check::Args>("check"),
    Entry::verb::<list::Args>("list"),
    Entry::verb::<show::Args>("show"),
    Entry::verb::<test::Args>("test"),
    Entry::verb::<silence::Args>("silence"),
    Entry::verb::<redeliver::Args>("redeliver"),
    Entry::verb::<export::Args>("export"),
];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    super::verbs(command, VERBS)
}

/// The values of rules, each over its own window up to now.
fn readings(cx: &mut Context, rules: &[Rule]) -> Result<Vec<Reading>> {
    let now = cx.clock.wall();
    let mut readings = vec![Reading::default(); rules.len()];
    let mut windows: Vec<_> = rules.iter().map(|rule| rule.window).collect();
    windows.sort_unstable();
    windows.dedup();
    for length in windows {
        let window = Window::before(now, length);
        let all = observed::observe(cx, window, Dimension::Command, 0)?;
        for (rule, reading) in rules.iter().zip(&mut readings) {
            if rule.window == length {
                *reading = (rule.metric.read)(&all);
            }
        }
    }
    Ok(readings)
}

/// What is remembered; nothing is made only to look.
fn remembered(cx: &mut Context) -> Result<(Option<Alerts>, Record)> {
    let dir = cx.place()?.dir;
    let trusted = cx.flags.trust_dir;
    let Some(alerts) = Alerts::open(&dir, trusted, false).map_err(from_store)? else {
        return Ok((None, Record::default()));
    };
    let (record, note) = alerts.read(false).map_err(from_store)?;
    if let Some(note) = note {
        cx.ui.warning(&note);
    }
    Ok((Some(alerts), record))
}

/// The files, made if they are not there.
fn files(cx: &mut Context) -> Result<Alerts> {
    let dir = cx.place()?.dir;
    let opened = Alerts::open(&dir, cx.flags.trust_dir, true).map_err(from_store)?;
    opened.ok_or_else(|| Error::new(Kind::Bug, "the files of alerts were not made"))
}

/// Changes what is remembered, under its lock; durably if `change` says so.
fn change<T>(
    cx: &mut Context,
    alerts: &Alerts,
    change: impl FnOnce(&mut Record) -> (T, bool),
) -> Result<T> {
    let _held: Held = locked(cx, alerts)?;
    let (mut record, note) = alerts.read(true).map_err(from_store)?;
    if let Some(note) = note {
        cx.ui.warning(&note);
    }
    let before = record.clone();
    let (result, durable) = change(&mut record);
    if record != before {
        alerts.write(&record, durable).map_err(from_store)?;
        cx.changed("`coord alert list` and `coord alert silence` show how things stand");
    }
    Ok(result)
}

fn locked(cx: &mut Context, alerts: &Alerts) -> Result<Held> {
    let patience = patience(cx)?;
    let held = alerts.lock(Lock::State, patience, cx.clock.as_ref()).map_err(from_store)?;
    held.ok_or_else(|| {
        Error::new(Kind::Conflict, "the state of alerts stayed locked by another process")
            .hint("nothing was changed; try again, or wait longer with `--lock-timeout 1m`")
    })
}

/// How long others are waited for.
fn patience(cx: &mut Context) -> Result<std::time::Duration> {
    let flag = cx.flags.lock_timeout;
    Ok(flag.unwrap_or(cx.settings()?.lock_timeout()))
}

/// Where this happens.
fn origin(cx: &mut Context) -> Result<Origin> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let dir = cx.place()?.dir;
    let store = dir.canonicalize().unwrap_or(dir).display().to_string();
    Ok(Origin { host, store })
}
