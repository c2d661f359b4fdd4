//! `coord bench`: figures of this program on this machine.

pub(crate) mod bare;
mod cold;
mod contention;
mod counters;
mod limit;
mod report;
mod rivals;
mod rounds;
mod stage;
mod stats;
mod store;
mod targets;
mod yardstick;

use std::fs::File;
use std::io::Write;
use std::path::Path;

use clap::Command;
use serde::Deserialize;

use self::targets::{Regression, Target};
use super::{Entry, verbs};
use crate::error::{Error, Kind, Result};
use crate::output::{View, plural};

/// The verbs of `coord bench`.
pub(super) const VERBS: &[Entry] =
    &[Entry::verb::<store::Args>("store"), Entry::verb::<cold::Args>("cold")];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    verbs(command, VERBS)
}

/// Writes the figures as `--json` shows them.
fn save<V: View>(file: &Path, view: &V) -> Result<()> {
    let text = serde_json::json!({ "schema": V::SCHEMA, "data": view }).to_string() + "\n";
    File::create(file).and_then(|mut f| f.write_all(text.as_bytes())).map_err(|e| {
        Error::new(Kind::External, format!("cannot write `{}`", file.display())).caused_by(e)
    })
}

/// Reads the figures that an earlier run saved.
fn saved_targets(file: &Path) -> Result<Vec<Target>> {
    #[derive(Deserialize)]
    struct Saved {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        targets: Vec<Target>,
    }
    let text = std::fs::read(file).map_err(|e| {
        Error::new(Kind::User, format!("cannot read `{}`", file.display()))
            .caused_by(e)
            .hint("make it with `--save`, by the same command")
    })?;
    let saved: Saved = serde_json::from_slice(&text).map_err(|e| {
        Error::new(Kind::User, format!("`{}` does not hold saved figures", file.display()))
            .caused_by(e)
            .hint("make it with `--save`, by the same command")
    })?;
    Ok(saved.data.targets)
}

/// Whether the figures are as they should be: the answer has been given already.
fn verdict(targets: &[Target], regressions: &[Regression], check: bool) -> Result<()> {
    let missed: Vec<_> = targets.iter().filter(|t| t.met == Some(false)).collect();
    let names = |all: Vec<&str>| all.join("`, `");
    if !regressions.is_empty() {
        let worse = names(regressions.iter().map(|r| r.name.as_str()).collect());
        return Err(Error::new(Kind::Problems, format!("worse than the baseline: `{worse}`"))
            .hint("measure again on a quiet machine, or allow more with `--tolerance`"));
    }
    if check && !missed.is_empty() {
        let count = plural(u64::try_from(missed.len()).unwrap_or(u64::MAX), "target");
        let missed = names(missed.iter().map(|t| t.name.as_str()).collect());
        return Err(Error::new(Kind::Problems, format!("{count} missed: `{missed}`")));
    }
    Ok(())
}
