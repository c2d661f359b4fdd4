//! What `coord health` and `coord doctor` tell.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::checks::{Check, Probe};
use crate::domain::health::{Finding, Level, score};
use crate::domain::kpi::bound;
use crate::output::style::{ERROR, LITERAL, WARNING};
use crate::output::{Screen, View, line, plural};

/// The whole report.
#[derive(JsonSchema, Serialize)]
pub(super) struct Report {
    /// 0 to 100; `coord health --help` has the rule.
    health_score: u32,
    /// Whether no check failed and the score is not below `min`.
    healthy: bool,
    min: u32,
    /// Whether this is the long form, which reads every line of the logs.
    long: bool,
    /// The state directory; null if none could be chosen.
    dir: Option<String>,
    /// The version of this program.
    version: &'static str,
    /// The share (0 to 1) of operations that did not fail by this program's fault, in the last 24
    /// hours; null without any.
    availability: Option<f64>,
    /// What it should be.
    availability_target: Option<f64>,
    /// The share that the operations prove at 95 % confidence; null without any.
    availability_bound: Option<f64>,
    /// The share that is left of the faults which the target allows: 1 without a fault, below 0 beyond
    /// the target; null without operations.
    error_budget_left: Option<f64>,
    /// Operations in the last 24 hours.
    operations: u64,
    /// How many of them failed by this program's fault.
    faults: u64,
    /// How large the telemetry on disk is.
    telemetry_bytes: u64,
    ok: u64,
    warn: u64,
    fail: u64,
    not_checked: u64,
    checks: Vec<Row>,
}

#[derive(JsonSchema, Serialize)]
struct Row {
    check: &'static str,
    /// `ok`, `warn`, `fail` or `not-checked`.
    level: &'static str,
    /// What a failure takes from the score; a warning takes a fifth.
    weight: u32,
    why: String,
    /// What to do, most useful first.
    todo: Vec<String>,
}

impl Report {
    pub(super) fn new(
        found: Vec<(&'static Check, Finding)>,
        probe: &Probe,
        min: u32,
        long: bool,
    ) -> Self {
        let measured = &probe.measured;
        let budget = measured.budget();
        let health_score = score(found.iter().map(|(check, f)| (f.level, check.weight)));
        let count = |level| found.iter().filter(|(_, f)| f.level == level).count() as u64;
        let fail = count(Level::Fail);
        Self {
            health_score,
            healthy: fail == 0 && health_score >= min,
            min,
            long,
            dir: probe.dir(),
            availability: measured.availability(),
            availability_target: measured.target(),
            availability_bound: budget.and_then(|b| bound::lower(b.count, b.faults)),
            error_budget_left: budget.map(|b| b.left),
            operations: measured.operations(),
            faults: budget.map_or(0, |b| b.faults),
            telemetry_bytes: measured.bytes(),
            version: env!("COORD_VERSION"),
            ok: count(Level::Ok),
            warn: count(Level::Warn),
            fail,
            not_checked: count(Level::NotChecked),
            checks: found
                .into_iter()
                .map(|(check, finding)| Row {
                    check: check.name,
                    level: finding.level.as_str(),
                    weight: check.weight,
                    why: finding.why,
                    todo: finding.todo,
                })
                .collect(),
        }
    }

    pub(super) const fn score(&self) -> u32 {
        self.health_score
    }

    pub(super) const fn count(&self, level: Level) -> u64 {
        match level {
            Level::Ok => self.ok,
            Level::NotChecked => self.not_checked,
            Level::Warn => self.warn,
            Level::Fail => self.fail,
        }
    }
}

impl View for Report {
    const SCHEMA: &'static str = "coord.health/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let (score, ok) = (self.health_score, self.ok);
        let warnings = plural(self.warn, "warning");
        writeln!(out, "health {score} of 100: {ok} ok, {warnings}, {} failed", self.fail)?;
        if self.long {
            let dir = self.dir.as_deref().unwrap_or("nowhere");
            writeln!(out, "coord {}, state in `{}`", self.version, line(dir))?;
        }
        for row in &self.checks {
            let style = match row.level {
                "fail" => ERROR,
                "warn" => WARNING,
                _ if self.long => LITERAL,
                _ => continue,
            };
            let (level, check) = (row.level, row.check);
            writeln!(out, "{style}{level:<4}{style:#}  {check}: {}", line(&row.why))?;
            for what in &row.todo {
                writeln!(out, "        {}", line(what))?;
            }
        }
        Ok(())
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "{}", self.health_score)
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.checks.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}
