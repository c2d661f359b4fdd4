//! What the commands of `coord bench` ask for alike: the same words, help and defaults everywhere.

use std::path::PathBuf;

use super::compare::{Compared, Sampled, compare};
use super::targets::{Regression, Target, regressions};
use super::{Before, differences, saved, saved_form, verdict};
use crate::commands::{Context, document, values};
use crate::error::Result;
use crate::output::View;
use crate::sys::Scratch;

/// Where is measured.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Measure in this directory instead of the one for temporary files
    #[arg(long = "in", value_name = "DIR")]
    place: Option<PathBuf>,

    /// Leave what was measured where it is
    #[arg(long)]
    keep: bool,
}

impl Place {
    /// A directory to measure in.
    pub(super) fn scratch(&self, cx: &Context) -> Result<Scratch> {
        let mut scratch = scratch(self.place.as_deref(), cx)?;
        if self.keep {
            scratch.keep();
        }
        Ok(scratch)
    }

    /// Where it stays, if it stays.
    pub(super) fn kept_in(&self, scratch: &Scratch) -> Option<String> {
        self.keep.then(|| scratch.path().display().to_string())
    }
}

/// A directory to measure in that goes with the command.
pub(super) fn scratch(parent: Option<&std::path::Path>, cx: &Context) -> Result<Scratch> {
    Scratch::new(parent, "coord-bench", &cx.env, cx.ids.as_ref()).map_err(super::stage::failed)
}

/// What becomes of the figures.
#[derive(Debug, clap::Args)]
pub(super) struct Judging {
    /// Exit with 10 if a target is missed
    #[arg(long)]
    check: bool,

    /// Write the figures to a file; `-` prints them as they are saved
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    save: Option<PathBuf>,

    /// Compare with figures that were saved, and exit with 10 if one has become worse by more than chance
    /// and the tolerance allow
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// How much a figure must differ from the baseline to count: 0.1 is a tenth
    #[arg(long, value_name = "SHARE", default_value = "0.1", requires = "baseline",
        value_parser = values::share)]
    tolerance: f64,
}

impl Judging {
    /// What was saved before, under the same conditions; read before anything is measured. Then it is
    /// also looked whether the figures can be saved.
    pub(super) fn before<V: View>(&self, conditions: &str) -> Result<Option<Before>> {
        self.save.as_deref().map_or(Ok(()), document::check)?;
        let baseline = self.baseline.as_deref();
        baseline.map(|file| saved(file, V::SCHEMA, conditions)).transpose()
    }

    /// Compares with what was saved before.
    pub(super) fn compare(&self, before: Option<&Before>, now: &[Sampled]) -> Vec<Compared> {
        before.map_or_else(Vec::new, |before| compare(&before.figures, now, self.tolerance))
    }

    /// The targets that are worse than before, where the saved figures do not say how they vary.
    pub(super) fn regressions(&self, before: Option<&Before>, now: &[Target]) -> Vec<Regression> {
        let plain = before.filter(|before| before.figures.is_empty());
        plain.map_or_else(Vec::new, |before| regressions(&before.targets, now, self.tolerance))
    }

    /// Writes and shows the figures.
    pub(super) fn show<V: View>(&self, cx: &mut Context, report: &V) -> Result<()> {
        let saved = match &self.save {
            Some(file) => document::give(cx, file, &saved_form(report)),
            None => Ok(()),
        };
        // What was measured is shown even if it cannot be saved.
        if !self.save.as_deref().is_some_and(document::is_stdout) {
            cx.ui.emit(report)?;
        }
        saved
    }

    /// Whether the figures are as they should be: the answer has been given already.
    pub(super) fn judge(
        &self,
        compared: &[Compared],
        regressions: &[Regression],
        targets: &[Target],
    ) -> Result<()> {
        differences(compared)?;
        verdict(targets, regressions, self.check)
    }
}
