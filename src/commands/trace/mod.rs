//! `coord trace`.

mod export;
mod follow;
mod list;
mod show;
mod source;
mod view;

use clap::Command;

use super::Entry;

/// The verbs of `coord trace`, most used first.
pub(super) const VERBS: &[Entry] = &[
    Entry::verb::<show::Args>("show"),
    Entry::verb::<list::Args>("list"),
    Entry::verb::<export::Args>("export"),
];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    super::verbs(command, VERBS)
}
