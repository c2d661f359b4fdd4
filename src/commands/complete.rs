//! Live candidates for a half-typed command line: read without a lock, bounded, and silent whatever
//! happens.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use super::{Context, Flags, Reference, alert, util};
use crate::domain::name::{AgentId, ItemId, RuleName, Team, Word};
use crate::domain::work::{Found, State};
use crate::output::{Format, Ui, line, plural};
use crate::settings::keys;
use crate::sys::{Env, RandomIds, SystemClock};

/// The most candidates of one kind.
const MOST: usize = 200;

/// What is typed, so far as the candidates depend on it.
struct Typed {
    flags: Flags,
    agent: Option<AgentId>,
    reference: Reference,
}

/// What an argument names.
#[derive(Clone, Copy)]
enum Live {
    /// Items in one of these states; those that the agent holds alone, if it holds any.
    Items(&'static [State], bool),
    Agents,
    Teams,
    Locks,
    Rules,
    Keys,
    Schemas,
    Topics,
}

/// Adds live candidates to all arguments of a tree that name something in the store. What an
/// argument names is told by the type it is parsed into, so that new commands need nothing.
pub(crate) fn enliven(mut command: Command, words: &[OsString], reference: Reference) -> Command {
    let typed = Arc::new(Typed::read(words, reference));
    // What is built late must be there to be enlivened.
    command.build();
    branch(command, "", &typed)
}

fn branch(command: Command, path: &str, typed: &Arc<Typed>) -> Command {
    let command = command.mut_args(|arg| match Live::of(&arg, path) {
        Some(live) => {
            let typed = Arc::clone(typed);
            arg.add(ArgValueCompleter::new(move |word: &OsStr| live.candidates(word, &typed)))
        }
        None => arg,
    });
    command.mut_subcommands(|sub| {
        let path = format!("{path} {}", sub.get_name());
        branch(sub, path.trim_start(), typed)
    })
}

impl Live {
    fn of(arg: &Arg, path: &str) -> Option<Self> {
        let parsed = arg.get_value_parser().type_id();
        let (noun, verb) = path.rsplit_once(' ').unwrap_or(("", path));
        let name = arg.get_id().as_str();
        // A lone number is a percentage, so that this one takes any text; traces may be of old items.
        let any = matches!(
            (path, name),
            ("progress" | "work progress", "id") | ("trace show", "of") | ("trace list", "item")
        );
        let item = parsed == TypeId::of::<ItemId>() || any;
        Some(if item {
            match (verb, name) {
                ("add", "id") => return None,
                (_, "needs") => Self::Items(UNFINISHED, false),
                ("progress" | "complete" | "release", _) => Self::Items(&[State::Active], true),
                ("claim", _) => Self::Items(&[State::Pending], false),
                ("assign", _) => Self::Items(&[State::Pending, State::Blocked], false),
                ("show", _) | ("list", "item") => Self::Items(&State::ALL, false),
                _ => Self::Items(UNFINISHED, false),
            }
        } else if parsed == TypeId::of::<AgentId>() || (path, name) == ("trace list", "agent") {
            Self::Agents
        } else if parsed == TypeId::of::<Team>() {
            Self::Teams
        } else if parsed == TypeId::of::<RuleName>() {
            Self::Rules
        } else if parsed == TypeId::of::<Word>() && noun == "lock" && arg.is_positional() {
            Self::Locks
        } else if noun == "config" && arg.is_positional() && name == "key" {
            Self::Keys
        } else if path == "util schema" && name == "name" {
            Self::Schemas
        } else if path == "help" && name == "of" {
            Self::Topics
        } else {
            return None;
        })
    }

    fn candidates(self, word: &OsStr, typed: &Typed) -> Vec<CompletionCandidate> {
        let Some(word) = word.to_str() else { return Vec::new() };
        let mut found: Vec<(String, String)> = match self {
            Self::Items(states, mine) => items(word, states, mine, typed).unwrap_or_default(),
            Self::Agents => agents(typed).unwrap_or_default(),
            Self::Teams => teams(typed).unwrap_or_default(),
            Self::Locks => locks(typed).unwrap_or_default(),
            Self::Rules => rules(typed).unwrap_or_default(),
            Self::Keys => keys::ALL.iter().map(|k| (k.name.to_owned(), k.doc.to_owned())).collect(),
            Self::Schemas => util::schemas(typed.reference)
                .map(|name| (name.to_owned(), String::new()))
                .collect(),
            Self::Topics => topics(typed),
        };
        found.retain(|(name, _)| name.starts_with(word));
        found.truncate(MOST);
        let candidate = |(at, (name, help)): (usize, (String, String))| {
            let help = (!help.is_empty()).then(|| line(&help).into_owned().into());
            CompletionCandidate::new(name).help(help).display_order(Some(at))
        };
        found.into_iter().enumerate().map(candidate).collect()
    }
}

/// Everything that something can still be done with.
const UNFINISHED: &[State] =
    &[State::Pending, State::Active, State::Blocked, State::Failed, State::Dead];

impl Typed {
    fn read(words: &[OsString], reference: Reference) -> Self {
        let (mut flags, mut agent) = (Flags::default(), None);
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let text = word.to_string_lossy();
            let (name, inline) = match text.split_once('=') {
                Some((name, value)) => (name, Some(OsString::from(value))),
                None => (text.as_ref(), None),
            };
            match name {
                "--" => break,
                "--trust-dir" => flags.trust_dir = true,
                "--dir" => {
                    let dir = inline.or_else(|| words.peek().map(|w| (*w).clone()));
                    flags.dir = dir.filter(|dir| !dir.is_empty()).map(PathBuf::from);
                }
                "--agent" => {
                    let id = inline.or_else(|| words.peek().map(|w| (*w).clone()));
                    agent = id.and_then(|id| id.to_str()?.parse().ok());
                }
                _ => {}
            }
        }
        Self { flags, agent, reference }
    }

    /// The surroundings in which the command itself would run, but without a voice.
    fn context(&self) -> Context {
        let (ui, _) = Ui::captured(Format::Human);
        let line = (self.flags.clone(), "complete".to_owned());
        Context::new(
            ui,
            Env::Process,
            Arc::new(SystemClock),
            Box::new(RandomIds),
            line,
            self.reference,
        )
    }
}

type Pairs = Option<Vec<(String, String)>>;

fn items(word: &str, states: &[State], mine: bool, typed: &Typed) -> Pairs {
    let mut cx = typed.context();
    let agent = cx.agent(typed.agent.as_ref()).ok();
    let store = cx.reader().ok()?;
    let begins = |found: &Found| found.item.id.as_str().starts_with(word);
    let held = match agent.filter(|_| mine) {
        Some(agent) => store.held(&agent).unwrap_or_default(),
        None => Vec::new(),
    };
    let mut found: Vec<Found> = held.into_iter().filter(begins).collect();
    if found.is_empty() {
        found = store.beginning(word, states, MOST).ok()?;
    }
    Some(found.into_iter().map(|found| (found.item.id.to_string(), found.item.title)).collect())
}

fn agents(typed: &Typed) -> Pairs {
    let mut cx = typed.context();
    let known = cx.reader().ok()?.agents().ok()?;
    let told = known.into_iter().map(|known| {
        let held = plural(known.held.into(), "item");
        (known.id.to_string(), format!("holds {held}, {} done", known.done))
    });
    Some(told.collect())
}

fn teams(typed: &Typed) -> Pairs {
    let mut cx = typed.context();
    let teams = cx.reader().ok()?.teams().ok()?;
    let told = teams.into_iter().map(|t| (t.team.to_string(), format!("{} open", t.open)));
    Some(told.collect())
}

fn locks(typed: &Typed) -> Pairs {
    let mut cx = typed.context();
    let op = cx.op(typed.agent.as_ref()).ok()?;
    let locks = cx.reader().ok()?.locks(&op).ok()?;
    let told = locks.into_iter().map(|l| (l.name.to_string(), format!("held by {}", l.holder)));
    Some(told.collect())
}

fn rules(typed: &Typed) -> Pairs {
    alert::names(&mut typed.context()).ok()
}

fn topics(typed: &Typed) -> Vec<(String, String)> {
    let tree = (typed.reference.tree)();
    let about = |c: &Command| c.get_about().map(ToString::to_string).unwrap_or_default();
    let commands = tree.get_subcommands().filter(|c| !c.is_hide_set());
    let mut all: Vec<_> = commands.map(|c| (c.get_name().to_owned(), about(c))).collect();
    all.extend((typed.reference.topics)().into_iter().map(|(name, _)| {
        let help = "a topic".to_owned();
        (name.to_owned(), help)
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Typed {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let reference = Reference { tree: || Command::new("coord"), topics: Vec::new, views: &[] };
        Typed::read(&words, reference)
    }

    #[test]
    fn the_flags_are_found_that_say_where_to_look_and_who_asks() {
        let found = typed("coord work complete --dir /x --agent nova w-");
        assert_eq!(found.flags.dir, Some("/x".into()));
        assert_eq!(found.agent.unwrap().as_str(), "nova");
        let found = typed("coord --dir=/y --trust-dir work show w-");
        assert_eq!((found.flags.dir, found.flags.trust_dir), (Some("/y".into()), true));
        assert_eq!(typed("coord lock run a -- prog --dir /x").flags.dir, None);
        assert_eq!(typed("coord --agent").agent, None);
    }
}
