//! `coord swarm`.

mod run;
mod supervisor;

use clap::Command;

use super::Entry;

/// The verbs of `coord swarm`.
pub(super) const VERBS: &[Entry] = &[Entry::verb::<run::Args>("run")];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    super::verbs(command, VERBS)
}
