//! `coord bench`: figures of this program on this machine.

mod args;
pub(crate) mod bare;
mod claude;
mod cold;
mod compare;
mod contention;
mod counters;
mod latency;
mod limit;
mod report;
mod rivals;
mod rounds;
mod server;
mod stage;
mod stats;
mod store;
mod swarm;
mod targets;
mod yardstick;

use std::path::Path;

use clap::Command;
use serde::Deserialize;

use self::compare::{Compared, Sampled, Verdict};
use self::targets::{Regression, Target};
use super::{Entry, verbs};
use crate::error::{Error, Kind, Result};
use crate::output::{View, plural};

/// The verbs of `coord bench`.
pub(super) const VERBS: &[Entry] = &[
    Entry::verb::<swarm::Args>("swarm"),
    Entry::verb::<store::Args>("store"),
    Entry::verb::<claude::Args>("claude"),
    Entry::verb::<cold::Args>("cold"),
];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    verbs(command, VERBS)
}

/// Figures as they are saved, and as `--json` shows them.
fn saved_form<V: View>(view: &V) -> String {
    serde_json::json!({ "schema": V::SCHEMA, "data": view }).to_string() + "\n"
}

/// What an earlier run saved.
#[derive(Deserialize)]
struct Before {
    conditions: Option<String>,
    #[serde(default)]
    targets: Vec<Target>,
    /// In slices; an old run has none.
    #[serde(default)]
    figures: Vec<Sampled>,
}

/// Reads what an earlier run of the same command saved under the same conditions.
fn saved(file: &Path, schema: &str, conditions: &str) -> Result<Before> {
    #[derive(Deserialize)]
    struct Saved {
        schema: String,
        data: Before,
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
    if saved.schema != schema {
        let message = format!("`{}` holds `{}`, not `{schema}`", file.display(), saved.schema);
        return Err(
            Error::new(Kind::User, message).hint("make it with `--save`, by the same command")
        );
    }
    match &saved.data.conditions {
        Some(then) if then != conditions => {
            let file = file.display();
            Err(Error::new(Kind::User, format!("`{file}` was measured with {then}"))
                .hint(format!("this run would be with {conditions}: measure both alike")))
        }
        _ => Ok(saved.data),
    }
}

/// Whether something has become worse than in an earlier run: the answer has been given already.
fn differences(compared: &[Compared]) -> Result<()> {
    let worse: Vec<_> = compared.iter().filter(|c| c.verdict == Verdict::Worse).collect();
    if worse.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = worse.iter().map(|c| c.name.as_str()).collect();
    let message = format!("worse than the baseline: `{}`", names.join("`, `"));
    Err(Error::new(Kind::Problems, message)
        .hint("measure again on a quiet machine, or allow more with `--tolerance`"))
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
