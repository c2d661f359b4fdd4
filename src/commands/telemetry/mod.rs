//! `coord telemetry`.

mod export;
mod markdown;
mod report;
mod told;

use clap::Command;

use super::Entry;

/// The verbs of `coord telemetry`.
pub(super) const VERBS: &[Entry] = &[Entry::verb::<report::Args>("report")];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    super::verbs(command, VERBS)
}
