//! `coord lock`.

mod list;
mod run;

use clap::Command;

use super::Entry;

/// The verbs of `coord lock`, most used first.
pub(super) const VERBS: &[Entry] =
    &[Entry::verb::<run::Args>("run"), Entry::verb::<list::Args>("list")];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    super::verbs(command, VERBS)
}
