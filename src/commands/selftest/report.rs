//! What the self-test found: for people, for programs, and as TAP.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::Case;
use crate::output::style::{DIM, ERROR, LITERAL};
use crate::output::{Screen, View, line, plural};

/// One thing that has to hold, and whether it does.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Assertion {
    /// Its stable name.
    name: &'static str,
    /// What is said to hold.
    what: &'static str,
    /// Whether it does.
    ok: bool,
    /// Why not.
    why: Option<String>,
    /// How long it took to find out.
    duration_ms: u64,
}

impl Assertion {
    /// Holds unless there is a fault.
    pub(super) fn new(
        name: &'static str,
        what: &'static str,
        fault: Option<String>,
        took: Duration,
    ) -> Self {
        Self { name, what, ok: fault.is_none(), why: fault, duration_ms: milliseconds(took) }
    }
}

/// The whole.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Report {
    /// The program that was tested.
    program: String,
    /// The version of the program that tested.
    version: &'static str,
    /// How many hold.
    passed: u64,
    /// How many do not.
    pub(super) failed: u64,
    duration_ms: u64,
    assertions: Vec<Assertion>,
    kept_in: Option<String>,
}

impl Report {
    /// Sums up.
    pub(super) fn new(
        program: &Path,
        assertions: Vec<Assertion>,
        time: Duration,
        kept_in: Option<&Path>,
    ) -> Self {
        let count = |ok: bool| {
            u64::try_from(assertions.iter().filter(|a| a.ok == ok).count()).unwrap_or(u64::MAX)
        };
        Self {
            program: program.display().to_string(),
            version: env!("COORD_VERSION"),
            passed: count(true),
            failed: count(false),
            duration_ms: milliseconds(time),
            assertions,
            kept_in: kept_in.map(|dir| dir.display().to_string()),
        }
    }

    /// The same in the Test Anything Protocol, version 13 or 14: its diagnostics are YAML, which any
    /// JSON string is.
    pub(super) fn tap(&self, version: u8) -> String {
        let mut text = format!("TAP version {version}\n1..{}\n", self.assertions.len());
        for (number, a) in (1..).zip(&self.assertions) {
            let not = if a.ok { "" } else { "not " };
            let _ = writeln!(text, "{not}ok {number} - {}: {}", a.name, a.what);
            let _ = writeln!(text, "  ---\n  duration_ms: {}", a.duration_ms);
            if let Some(why) = &a.why {
                let _ = writeln!(text, "  message: {}", serde_json::Value::from(line(why)));
                let _ = writeln!(text, "  severity: fail");
            }
            let _ = writeln!(text, "  ...");
        }
        if let Some(dir) = &self.kept_in {
            let _ = writeln!(text, "# kept in {}", line(dir));
        }
        text
    }
}

impl View for Report {
    const SCHEMA: &'static str = "coord.selftest/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let width = self.assertions.iter().map(|a| a.name.len()).max().unwrap_or(0);
        for a in &self.assertions {
            if let Some(why) = &a.why {
                writeln!(out, "{ERROR}not ok{ERROR:#}  {:width$}  {}", a.name, a.what)?;
                writeln!(out, "        {:width$}  {}", "", line(why))?;
            } else {
                writeln!(
                    out,
                    "{LITERAL}ok{LITERAL:#}      {:width$}  {DIM}{}{DIM:#}",
                    a.name, a.what
                )?;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let seconds = self.duration_ms as f64 / 1000.0;
        writeln!(
            out,
            "\n{} in {seconds:.1} s: {} ok, {} not; {}",
            plural(self.passed + self.failed, "assertion"),
            self.passed,
            self.failed,
            line(&self.program),
        )?;
        if let Some(dir) = &self.kept_in {
            writeln!(out, "What it worked on is in {}", line(dir))?;
        }
        Ok(())
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.assertions.iter().filter(|a| !a.ok).try_for_each(|a| writeln!(out, "{}", a.name))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.assertions.iter().map(|a| serde_json::to_value(a).ok()).collect()
    }
}

/// What would be tested.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct List {
    assertions: Vec<Named>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct Named {
    name: &'static str,
    what: &'static str,
}

impl List {
    /// Of these.
    pub(super) fn new(cases: &[&Case]) -> Self {
        let named = |case: &&Case| Named { name: case.name, what: case.what };
        Self { assertions: cases.iter().map(named).collect() }
    }
}

impl View for List {
    const SCHEMA: &'static str = "coord.selftest.list/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let width = self.assertions.iter().map(|a| a.name.len()).max().unwrap_or(0);
        self.assertions.iter().try_for_each(|a| match screen.width {
            Some(_) => writeln!(out, "{:width$}  {}", a.name, a.what),
            None => writeln!(out, "{}\t{}", a.name, a.what),
        })
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.assertions.iter().try_for_each(|a| writeln!(out, "{}", a.name))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.assertions.iter().map(|a| serde_json::to_value(a).ok()).collect()
    }
}

/// Whole milliseconds.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tap_tells_each_and_why() {
        let ms = Duration::from_millis(7);
        let why = Some("it said \"no\"\nand \u{1b}[31mmore".to_owned());
        let assertions = vec![
            Assertion::new("a/b", "it is", None, ms),
            Assertion::new("a/c", "it does", why, ms),
        ];
        let report = Report::new(Path::new("/bin/coord"), assertions, ms, None);
        assert_eq!((report.passed, report.failed), (1, 1));
        let wanted = "TAP version 14\n1..2\n\
            ok 1 - a/b: it is\n  ---\n  duration_ms: 7\n  ...\n\
            not ok 2 - a/c: it does\n  ---\n  duration_ms: 7\n  \
            message: \"it said \\\"no\\\" and more\"\n  severity: fail\n  ...\n";
        assert_eq!(report.tap(14), wanted);
    }
}
