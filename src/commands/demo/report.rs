//! What the demonstration did, as it was read back from the store.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{Column, Screen, Table, View, line, plural};

/// One thing that has to be so, and whether it is.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Check {
    /// What is claimed.
    pub(super) what: &'static str,
    /// What it should be.
    pub(super) expected: u64,
    /// What was found.
    pub(super) found: u64,
    /// Whether they agree.
    pub(super) ok: bool,
}

impl Check {
    /// Compares two counts.
    pub(super) const fn new(what: &'static str, expected: u64, found: u64) -> Self {
        Self { what, expected, found, ok: expected == found }
    }
}

/// The worker that was killed.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Killed {
    /// Its process.
    pub(super) pid: u32,
    /// The items that were claimed again after it.
    pub(super) items: Vec<String>,
}

/// What one agent did.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Agent {
    /// Its identifier.
    pub(super) id: String,
    /// Items it did.
    pub(super) done: u64,
}

/// The whole.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Report {
    pub(super) workers: u64,
    pub(super) imported: u64,
    pub(super) refused: u64,
    pub(super) added: u64,
    pub(super) done: u64,
    pub(super) points: u64,
    pub(super) killed: Option<Killed>,
    pub(super) duration_s: f64,
    pub(super) items_per_s: f64,
    pub(super) agents: Vec<Agent>,
    pub(super) checks: Vec<Check>,
    pub(super) faults: Vec<String>,
    pub(super) ok: bool,
    pub(super) kept_in: Option<String>,
}

impl View for Report {
    const SCHEMA: &'static str = "coord.demo/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        writeln!(
            out,
            "{} worked {:.1} s: {} done, {} points, {:.0} items/s",
            plural(self.workers, "worker"),
            self.duration_s,
            plural(self.done, "item"),
            self.points,
            self.items_per_s,
        )?;
        if let Some(killed) = &self.killed {
            writeln!(
                out,
                "Process {} was killed with `kill -9` at work; claimed again and done: {}",
                killed.pid,
                killed.items.join(", "),
            )?;
        }
        writeln!(out)?;
        let mut table = Table::new(vec![Column::new("AGENT"), Column::new("DONE").right()]);
        for agent in &self.agents {
            table.row([agent.id.clone(), agent.done.to_string()]);
        }
        table.write(out, screen)?;
        writeln!(out, "\nRead back from the store and compared with what was put in:")?;
        for check in &self.checks {
            let verdict = if check.ok { "ok" } else { "WRONG" };
            writeln!(out, "  {verdict:5} {}: {} of {}", check.what, check.found, check.expected)?;
        }
        for fault in &self.faults {
            writeln!(out, "  WRONG {}", line(fault))?;
        }
        if self.ok {
            writeln!(out, "Nothing was lost, and nothing was done twice.")?;
        }
        if let Some(place) = &self.kept_in {
            writeln!(out, "The store is in {place}")?;
        }
        Ok(())
    }
}
