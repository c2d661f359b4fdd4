//! `coord work`.

pub(crate) mod add;
mod assign;
pub(crate) mod claim;
pub(crate) mod complete;
mod edit;
mod held;
mod input;
mod list;
pub(crate) mod progress;
mod release;
mod show;
mod view;

use clap::Command;

use super::Entry;

pub(crate) use view::ItemView;

/// The verbs of `coord work`, most used first.
pub(super) const VERBS: &[Entry] = &[
    Entry::verb::<add::Args>("add"),
    Entry::verb::<claim::Args>("claim"),
    Entry::verb::<progress::Args>("progress"),
    Entry::verb::<complete::Args>("complete"),
    Entry::verb::<release::Args>("release"),
    Entry::verb::<list::Args>("list"),
    Entry::verb::<show::Args>("show"),
    Entry::verb::<edit::Args>("edit"),
    Entry::verb::<assign::Args>("assign"),
];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    super::verbs(command, VERBS)
}
