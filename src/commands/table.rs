//! The table of commands, from which the command tree is built: whole, or only what is typed.

use clap::{ArgMatches, Command};

use super::Context;
use crate::error::{Error, Kind, Result};
use crate::output::Shape;

/// A command that does something.
pub(crate) trait Verb: clap::Args {
    /// The machine forms of all that it prints on standard output under `--json`.
    const VIEWS: &'static [Shape];

    /// Does it.
    fn run(self, cx: &mut Context) -> Result<()>;
}

/// Runs a verb on what was parsed.
pub(crate) type Runner = fn(&ArgMatches, &mut Context) -> Result<()>;

/// A row of the table. Its help stands with its arguments.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// The word that is typed.
    pub(crate) name: &'static str,
    /// What comes behind it.
    pub(crate) then: Then,
    /// What it prints under `--json`.
    pub(crate) views: &'static [Shape],
    build: fn(Command) -> Command,
    hidden: bool,
    /// The verb of a noun that is meant when none is typed.
    pub(crate) usual: Option<&'static str>,
}

/// What comes behind a word.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// Nothing but arguments.
    Verb(Runner),
    /// One of these words; and what the noun is for.
    Noun(&'static [Entry], &'static str),
}

impl Entry {
    /// A verb.
    pub(crate) const fn verb<V: Verb>(name: &'static str) -> Self {
        Self {
            name,
            then: Then::Verb(run::<V>),
            views: V::VIEWS,
            build: V::augment_args,
            hidden: false,
            usual: None,
        }
    }

    /// A noun with its verbs. `build` must be a function that calls [`verbs`] with the same table:
    /// clap builds branches late only from plain functions.
    pub(crate) const fn noun(
        name: &'static str,
        about: &'static str,
        verbs: &'static [Self],
        build: fn(Command) -> Command,
    ) -> Self {
        Self { name, then: Then::Noun(verbs, about), views: &[], build, hidden: false, usual: None }
    }

    /// The same, with a verb that is meant when none is typed.
    pub(crate) const fn usually(self, verb: &'static str) -> Self {
        Self { usual: Some(verb), ..self }
    }

    /// The same, left out of the lists of commands: for those who package or extend the program.
    pub(crate) const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    /// The command with nothing below it but this branch.
    pub(crate) fn narrow(&self, below: &[&Self]) -> Command {
        let command = Command::new(self.name);
        match below.split_first() {
            Some((first, rest)) => noun(command).subcommand(first.narrow(rest)),
            None => (self.build)(command),
        }
    }

    /// The command, built when it is typed.
    fn lazy(&self) -> Command {
        Command::new(self.name).defer(self.build)
    }

    /// The command with everything below it.
    pub(crate) fn full(&self) -> Command {
        let command = Command::new(self.name).hide(self.hidden);
        match self.then {
            Then::Verb(_) => (self.build)(command),
            Then::Noun(verbs, about) => {
                noun(command).about(about).subcommands(verbs.iter().map(Self::full))
            }
        }
    }
}

/// Adds the verbs of a noun, each to be built when it is typed.
pub(crate) fn verbs(command: Command, verbs: &'static [Entry]) -> Command {
    noun(command).subcommands(verbs.iter().map(Entry::lazy))
}

fn noun(command: Command) -> Command {
    command.subcommand_required(true).arg_required_else_help(true).disable_help_subcommand(true)
}

fn run<V: Verb>(matches: &ArgMatches, cx: &mut Context) -> Result<()> {
    let args = V::from_arg_matches(matches).map_err(|source| {
        Error::new(Kind::Bug, "the command line was accepted but cannot be read")
            .caused_by(source)
            .hint("please report this with the command line")
    })?;
    args.run(cx)
}
