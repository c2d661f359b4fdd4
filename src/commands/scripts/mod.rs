//! `coord scripts`.

pub(super) mod audit;
mod report;
mod shims;

use clap::Command;

use super::Entry;

/// The verbs of `coord scripts`.
pub(super) const VERBS: &[Entry] = &[Entry::verb::<audit::Args>("audit")];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    super::verbs(command, VERBS)
}
