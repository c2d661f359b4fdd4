//! `coord kpi`.

mod chart;
mod forms;
mod html;
mod markdown;
pub(super) mod report;
mod view;

use clap::Command;

use super::Entry;

/// The verbs of `coord kpi`.
pub(super) const VERBS: &[Entry] = &[Entry::verb::<report::Args>("report")];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    super::verbs(command, VERBS)
}
