//! `coord config check`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use crate::commands::{Context, Verb, claude};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line};
use crate::settings::Settings;

/// Check all configuration files and variables; exit code 10 if something is wrong
///
/// The files, programs and addresses that are named there are looked at as well: whether they are
/// there, whether they hold what they should, whether others could read the key. None is run.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord config check          Tell everything that is wrong
  coord config check --json   The same for programs")]
pub(super) struct Args {}

#[derive(JsonSchema, Serialize)]
struct Checked {
    problems: Vec<Problem>,
}

#[derive(JsonSchema, Serialize)]
struct Problem {
    /// `error` stops every command that needs it, `warning` is passed over.
    severity: &'static str,
    message: String,
    hint: Option<String>,
}

impl View for Checked {
    const SCHEMA: &'static str = "coord.config.check/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        if self.problems.is_empty() {
            return writeln!(out, "nothing is wrong");
        }
        for problem in &self.problems {
            writeln!(out, "{}: {}", problem.severity, line(&problem.message))?;
            if let Some(hint) = &problem.hint {
                writeln!(out, "  hint: {}", line(hint))?;
            }
        }
        Ok(())
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Checked>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let dir = cx.place()?.dir;
        let (mut errors, warnings) = Settings::check(&dir, &cx.env);
        if errors.is_empty() {
            // What the files are warned of stands in the answer, and is not to be told twice.
            cx.told_settings()?;
            errors = claude::problems(cx);
        }
        let files = cx.told_settings().map_or(1, |settings| settings.warnings.len());
        let only_variables = errors.is_empty() && files == 0;
        let errors = errors.into_iter().map(|error| Problem {
            severity: "error",
            message: error.to_string(),
            hint: error.hints().first().cloned(),
        });
        let warnings = warnings.into_iter().map(|message| Problem {
            severity: "warning",
            message,
            hint: None,
        });
        let problems: Vec<_> = errors.chain(warnings).collect();
        let count = problems.len();
        cx.ui.emit(&Checked { problems })?;
        if count == 0 {
            return Ok(());
        }
        let hint = if only_variables {
            "unset or rename the variable; `coord help environment` and `coord help config` name them all"
        } else {
            "`coord config edit` opens the file, `coord help config` tells what may stand in it"
        };
        Err(Error::new(Kind::Problems, "the settings have problems").hint(hint))
    }
}
