//! The root of the command line: global flags, and a tree of which only the typed branch is built.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};

use super::{VERSION, early, fast};
use crate::commands::{Entry, Flags, NOUNS, Runner, Then};
use crate::domain::name::OpId;
use crate::domain::time::parse_duration;
use crate::output::{Format, STYLES};

/// Flags that every command takes.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Global options", next_display_order = 900)]
struct Global {
    /// Print the answer as one JSON object
    #[arg(long, global = true, conflicts_with = "format")]
    json: bool,

    /// Print the answer in this form
    #[arg(long, global = true, value_name = "FORMAT",
        value_parser = ["table", "json", "jsonl", "yaml", "tsv"])]
    format: Option<String>,

    /// Print only what a script needs, such as an id
    #[arg(long, short, global = true)]
    quiet: bool,

    /// When to use colour [default: auto]
    #[arg(long, global = true, value_name = "WHEN", value_parser = ["auto", "always", "never"])]
    color: Option<String>,

    /// The state directory [env: COORD_DIR] [default: the nearest .coord]
    #[arg(long, global = true, value_name = "DIR", hide_short_help = true)]
    dir: Option<PathBuf>,

    /// Use a state directory that belongs to someone else or lies on a network file system
    #[arg(long, global = true, hide_short_help = true)]
    trust_dir: bool,

    /// How long to wait for the store [default: 10s]
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_duration,
        hide_short_help = true)]
    lock_timeout: Option<Duration>,

    /// The id of this operation: repeating it changes nothing and gives the first answer
    #[arg(long, global = true, value_name = "ID", hide_short_help = true)]
    op_id: Option<OpId>,

    /// Note nothing about this command in the state directory's telemetry
    #[arg(long, global = true, hide_short_help = true)]
    no_telemetry: bool,
}

/// A command line that was understood.
pub(super) struct Parsed {
    pub(super) flags: Flags,
    pub(super) format: Format,
    pub(super) quiet: bool,
    /// The words of the command, such as `work claim`.
    pub(super) path: String,
    pub(super) run: Run,
}

/// What is to be done.
pub(super) enum Run {
    /// `coord help TOPIC`.
    Topic(&'static super::topics::Topic),
    /// `coord help legacy [NAME]…`.
    Legacy(Vec<String>),
    /// A usual command line of a hot verb.
    Hot(fast::Hot),
    /// A verb with its arguments.
    Verb(Runner, Box<ArgMatches>),
}

fn root() -> Command {
    Global::augment_args(Command::new("coord"))
        .about("Share work between agents, developers and CI jobs")
        .long_about(None)
        .version(VERSION)
        .styles(STYLES)
        .max_term_width(100)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
}

/// The tree with the one branch that seems to be typed, if there is one.
///
/// Global flags are copied into every command of a level, so that even empty branches cost. What
/// this tree understands, the full one understands in the same way: it only knows fewer words.
fn narrow(argv: &[OsString]) -> Option<Command> {
    let typed = typed(argv);
    let (first, rest) = typed.split_first()?;
    Some(root().subcommand(first.narrow(rest)))
}

/// The rows of the table that the words of a command line name; a flag's value may mislead it.
pub(super) fn typed(argv: &[OsString]) -> Vec<&'static Entry> {
    let (mut path, mut entries) = (Vec::new(), NOUNS);
    for word in argv.iter().skip(1).filter_map(|word| word.to_str()) {
        let Some(entry) = entries.iter().find(|e| e.name == word) else { continue };
        path.push(entry);
        match entry.then {
            Then::Noun(verbs, _) => entries = verbs,
            Then::Verb(_) => break,
        }
    }
    path
}

/// The tree with every branch built.
pub(super) fn full() -> Command {
    root().subcommands(NOUNS.iter().map(Entry::full)).subcommand(help())
}

fn help() -> Command {
    Command::new("help").about("Explain a command or a topic").defer(|command| {
        let topics: Vec<&str> = super::topics::ALL.iter().map(|t| t.name).collect();
        let examples = "Examples:\n  coord help work claim       A command\n  coord help exit-codes       A topic";
        command.after_help(format!("{examples}\n\nTopics: {}", topics.join(", "))).arg(
            clap::Arg::new("of").value_name("COMMAND|TOPIC").num_args(0..).help("What to explain"),
        )
    })
}

/// Understands a command line: the usual ones quickly, all others by the tree.
pub(super) fn understand(argv: &[OsString]) -> Result<Parsed, clap::Error> {
    match fast::parse(argv) {
        Some(fast::Fast { flags, format, quiet, path, hot }) => {
            Ok(Parsed { flags, format, quiet, path: path.to_owned(), run: Run::Hot(hot) })
        }
        None => parse(argv),
    }
}

/// The command line with the verb that is meant where a noun stands alone, such as `backup create` for
/// `backup`; nothing if no verb is missing.
fn completed(argv: &[OsString]) -> Option<Vec<OsString>> {
    const WITH_VALUE: [&str; 5] = ["--dir", "--format", "--color", "--lock-timeout", "--op-id"];
    let word = |at: usize| argv.get(at).and_then(|word| word.to_str());
    let mut at = 1;
    while let Some(flag) = word(at).filter(|word| word.starts_with('-')) {
        at += if WITH_VALUE.contains(&flag) { 2 } else { 1 };
    }
    let noun = NOUNS.iter().find(|entry| Some(entry.name) == word(at))?;
    let (usual, Then::Noun(verbs, _)) = (noun.usual?, noun.then) else { return None };
    let rest = argv.iter().skip(at + 1).map_while(|word| word.to_str());
    for word in rest.take_while(|word| *word != "--") {
        if ["-h", "--help"].contains(&word) || verbs.iter().any(|verb| verb.name == word) {
            return None;
        }
    }
    let mut all = argv.to_vec();
    all.insert(at + 1, usual.into());
    Some(all)
}

/// Understands a command line by the tree.
pub(super) fn parse(argv: &[OsString]) -> Result<Parsed, clap::Error> {
    let whole = completed(argv);
    let argv = whole.as_deref().unwrap_or(argv);
    // Errors and help show other branches too, and take no part in what must be quick.
    let quick = narrow(argv).and_then(|tree| tree.try_get_matches_from(argv).ok());
    let matches = match quick {
        Some(matches) => matches,
        None => super::command().try_get_matches_from(argv)?,
    };
    let global = Global::from_arg_matches(&matches)?;
    let mut path = String::new();
    let run = match matches.subcommand() {
        Some(("help", found)) => {
            let of: Vec<String> =
                found.get_many::<String>("of").into_iter().flatten().cloned().collect();
            match of.as_slice() {
                [legacy, names @ ..] if legacy == "legacy" => Run::Legacy(names.to_vec()),
                words => match words.first().and_then(|name| super::topics::find(name)) {
                    Some(topic) if words.len() == 1 => Run::Topic(topic),
                    _ => return Err(help_of(words)),
                },
            }
        }
        _ => descend(&matches, &mut path)?,
    };
    let format = match &global.format {
        _ if global.json => Format::Json,
        Some(name) => early::format(name),
        None => Format::Human,
    };
    let flags = Flags {
        dir: global.dir,
        trust_dir: global.trust_dir,
        lock_timeout: global.lock_timeout,
        op_id: global.op_id,
        no_telemetry: global.no_telemetry,
    };
    Ok(Parsed { flags, format, quiet: global.quiet, path, run })
}

/// The help of a command, as the parser itself would give it.
fn help_of(words: &[String]) -> clap::Error {
    let argv = std::iter::once("coord").chain(words.iter().map(String::as_str)).chain(["--help"]);
    match super::command().try_get_matches_from(argv) {
        Err(error) => error,
        Ok(_) => super::command().error(clap::error::ErrorKind::InvalidSubcommand, "no such topic"),
    }
}

/// Follows the typed words down to a verb.
fn descend(matches: &ArgMatches, path: &mut String) -> Result<Run, clap::Error> {
    let (mut entries, mut matches) = (NOUNS, matches);
    loop {
        let missing = || super::command().error(clap::error::ErrorKind::MissingSubcommand, "");
        let (name, below) = matches.subcommand().ok_or_else(missing)?;
        let entry = entries.iter().find(|e| e.name == name).ok_or_else(missing)?;
        if !path.is_empty() {
            path.push(' ');
        }
        path.push_str(name);
        match entry.then {
            Then::Verb(run) => return Ok(Run::Verb(run, Box::new(below.clone()))),
            Then::Noun(verbs, _) => (entries, matches) = (verbs, below),
        }
    }
}
