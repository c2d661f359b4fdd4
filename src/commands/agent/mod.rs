//! `coord agent`.

pub(crate) mod heartbeat;
mod list;
mod register;
mod remove;
pub(super) mod run;
mod worker;

use clap::Command;

use super::Entry;

pub(super) use run::Wishes;

/// The verbs of `coord agent`, most used first.
pub(super) const VERBS: &[Entry] = &[
    Entry::verb::<run::Args>("run"),
    Entry::verb::<register::Args>("register"),
    Entry::verb::<heartbeat::Args>("heartbeat"),
    Entry::verb::<list::Args>("list"),
    Entry::verb::<remove::Args>("remove"),
];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    super::verbs(command, VERBS)
}
