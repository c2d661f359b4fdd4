//! A quick way for the command lines that agents send thousands of times an hour.
//!
//! It knows the usual flags of the hot verbs and gives up on everything else: what it understands
//! means exactly what the full parser makes of it, and every mistake is left to that one to explain.

use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

use super::early;
use crate::commands::agent::heartbeat;
use crate::commands::work::{add, claim, complete, progress};
use crate::commands::{Context, Flags, Verb as _};
use crate::domain::time::parse_duration;
use crate::error::Result;
use crate::output::Format;

/// A hot verb with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Hot {
    Add(Box<add::Args>),
    Claim(Box<claim::Args>),
    Progress(Box<progress::Args>),
    Complete(Box<complete::Args>),
    Heartbeat(Box<heartbeat::Args>),
}

impl Hot {
    fn of(noun: Option<&str>, verb: &str) -> Option<Self> {
        Some(match (noun, verb) {
            (None | Some("work"), "add") => Self::Add(Box::default()),
            (None | Some("work"), "claim") => Self::Claim(Box::default()),
            (None | Some("work"), "progress") => Self::Progress(Box::default()),
            (None | Some("work"), "complete") => Self::Complete(Box::default()),
            (Some("agent"), "heartbeat") => Self::Heartbeat(Box::default()),
            _ => return None,
        })
    }

    /// Runs it.
    pub(super) fn run(self, cx: &mut Context) -> Result<()> {
        match self {
            Self::Add(args) => args.run(cx),
            Self::Claim(args) => args.run(cx),
            Self::Progress(args) => args.run(cx),
            Self::Complete(args) => args.run(cx),
            Self::Heartbeat(args) => args.run(cx),
        }
    }
}

/// What was understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fast {
    pub(super) flags: Flags,
    pub(super) format: Format,
    pub(super) quiet: bool,
    pub(super) path: &'static str,
    pub(super) hot: Hot,
}

/// Understands a usual command line of a hot verb; nothing if it is anything else.
pub(super) fn parse(argv: &[OsString]) -> Option<Fast> {
    let mut words = Words { rest: argv.get(1..)?, inline: None };
    let mut global = Global::default();
    let (mut hot, mut noun) = (None, None);
    while let Some(word) = words.next()? {
        let flag = words.flag(word);
        if flag.is_some_and(|flag| !flag.starts_with('-')) {
            // Not a flag: a part of the command, or an argument of the verb.
            match &mut hot {
                None if matches!(word, "work" | "agent") && noun.is_none() => noun = Some(word),
                None => hot = Some(Hot::of(noun, word)?),
                Some(hot) => positional(hot, word)?,
            }
            continue;
        }
        let flag = flag?;
        if !global.take(flag, &mut words)? {
            option(hot.as_mut()?, flag, &mut words)?;
        }
        if words.inline.is_some() {
            // `--flag=value` on a flag that takes none.
            return None;
        }
    }
    let hot = hot?;
    fits(&hot)?;
    let path = match (&hot, noun.is_some()) {
        (Hot::Add(_), true) => "work add",
        (Hot::Add(_), false) => "add",
        (Hot::Claim(_), true) => "work claim",
        (Hot::Claim(_), false) => "claim",
        (Hot::Progress(_), true) => "work progress",
        (Hot::Progress(_), false) => "progress",
        (Hot::Complete(_), true) => "work complete",
        (Hot::Complete(_), false) => "complete",
        (Hot::Heartbeat(_), _) => "agent heartbeat",
    };
    let format = if global.json { Some(Format::Json) } else { global.format };
    let (flags, format) = (global.flags, format.unwrap_or_default());
    Some(Fast { flags, format, quiet: global.quiet, path, hot })
}

/// The words of a command line. `None` anywhere means: too unusual.
struct Words<'a> {
    rest: &'a [OsString],
    inline: Option<&'a str>,
}

impl<'a> Words<'a> {
    #[expect(clippy::option_option, reason = "the end is not the same as what is too unusual")]
    fn next(&mut self) -> Option<Option<&'a str>> {
        let Some((first, rest)) = self.rest.split_first() else { return Some(None) };
        self.rest = rest;
        first.to_str().map(Some)
    }

    /// Splits `--flag=value`; the value is for [`Self::value`].
    fn flag(&mut self, word: &'a str) -> Option<&'a str> {
        if !word.starts_with('-') {
            return (!word.is_empty()).then_some(word);
        }
        match word.split_once('=') {
            Some((flag, value)) => {
                self.inline = Some(value);
                Some(flag)
            }
            None => Some(word),
        }
    }

    /// The value of a flag: behind `=`, or the next word unless that looks like a flag.
    fn value(&mut self) -> Option<&'a str> {
        let value = match self.inline.take() {
            Some(value) => value,
            None => self.next()??,
        };
        (!value.is_empty() && !value.starts_with('-')).then_some(value)
    }

    /// The value of a flag that may stand without one.
    #[expect(clippy::option_option, reason = "no value is not the same as an unusual one")]
    fn optional(&mut self) -> Option<Option<&'a str>> {
        let bare = self.inline.is_none()
            && match self.rest.first() {
                Some(next) => next.to_str()?.starts_with('-'),
                None => true,
            };
        if bare { Some(None) } else { self.value().map(Some) }
    }

    /// Puts a parsed value into a place that must be free.
    fn set<T: FromStr>(&mut self, place: &mut Option<T>) -> Option<()> {
        let value = self.value()?.parse().ok()?;
        free(place)?.replace(value);
        Some(())
    }

    fn push<T: FromStr>(&mut self, list: &mut Vec<T>) -> Option<()> {
        list.push(self.value()?.parse().ok()?);
        Some(())
    }

    fn duration(&mut self, place: &mut Option<Duration>) -> Option<()> {
        let value = parse_duration(self.value()?).ok()?;
        free(place)?.replace(value);
        Some(())
    }

    /// A number up to a million.
    fn number(&mut self, place: &mut Option<u32>) -> Option<()> {
        let value = crate::commands::number(self.value()?).ok()?;
        free(place)?.replace(value);
        Some(())
    }
}

fn free<T>(place: &mut Option<T>) -> Option<&mut Option<T>> {
    place.is_none().then_some(place)
}

fn raise(flag: &mut bool) -> Option<()> {
    (!std::mem::replace(flag, true)).then_some(())
}

#[derive(Default)]
struct Global {
    flags: Flags,
    format: Option<Format>,
    json: bool,
    quiet: bool,
    colour: bool,
}

impl Global {
    /// Takes a global flag; tells whether it was one.
    fn take(&mut self, flag: &str, words: &mut Words<'_>) -> Option<bool> {
        match flag {
            "--json" => raise(&mut self.json)?,
            "-q" | "--quiet" => raise(&mut self.quiet)?,
            "--format" => {
                let word = words.value()?;
                let format = early::format(word);
                if format == Format::Human && word != "table" {
                    return None;
                }
                free(&mut self.format)?.replace(format);
            }
            // What it says was read before; here it must only be sound.
            "--color" => {
                raise(&mut self.colour)?;
                matches!(words.value()?, "auto" | "always" | "never").then_some(())?;
            }
            "--dir" => words.set(&mut self.flags.dir)?,
            "--op-id" => words.set(&mut self.flags.op_id)?,
            "--no-telemetry" => raise(&mut self.flags.no_telemetry)?,
            "--trust-dir" => raise(&mut self.flags.trust_dir)?,
            "--lock-timeout" => words.duration(&mut self.flags.lock_timeout)?,
            _ => return Some(false),
        }
        if self.json && self.format.is_some() { None } else { Some(true) }
    }
}

fn positional(hot: &mut Hot, word: &str) -> Option<()> {
    match hot {
        Hot::Add(args) => drop(free(&mut args.title)?.replace(word.to_owned())),
        Hot::Claim(args) => drop(free(&mut args.id)?.replace(word.parse().ok()?)),
        Hot::Complete(args) => drop(free(&mut args.id)?.replace(word.parse().ok()?)),
        Hot::Heartbeat(args) => drop(free(&mut args.id)?.replace(word.parse().ok()?)),
        Hot::Progress(args) => {
            let place = if args.id.is_none() { &mut args.id } else { free(&mut args.percent)? };
            place.replace(word.to_owned());
        }
    }
    Some(())
}

fn option(hot: &mut Hot, flag: &str, words: &mut Words<'_>) -> Option<()> {
    match hot {
        Hot::Claim(args) => match flag {
            "--agent" => words.set(&mut args.by.agent),
            "--team" => words.set(&mut args.team),
            "--type" => words.set(&mut args.kind),
            "--label" => words.push(&mut args.labels),
            "--capability" => words.push(&mut args.capabilities),
            "--lease" => words.duration(&mut args.lease),
            "--wait" => {
                let time = match words.optional()? {
                    Some(text) => Some(parse_duration(text).ok()?),
                    None => None,
                };
                free(&mut args.wait)?.replace(time);
                Some(())
            }
            _ => None,
        },
        Hot::Progress(args) => match flag {
            "--agent" => words.set(&mut args.claim.by.agent),
            "--token" => words.set(&mut args.claim.token),
            "--note" => words.set(&mut args.note),
            "--lease" => words.duration(&mut args.lease),
            _ => None,
        },
        Hot::Complete(args) => match flag {
            "--agent" => words.set(&mut args.claim.by.agent),
            "--token" => words.set(&mut args.claim.token),
            "--result" => words.set(&mut args.result),
            "--points" => words.number(&mut args.points),
            "--failed" => raise(&mut args.failed),
            "--no-retry" => raise(&mut args.no_retry),
            _ => None,
        },
        Hot::Heartbeat(args) => match flag {
            "--held" => raise(&mut args.held),
            _ => None,
        },
        Hot::Add(args) => match flag {
            "--agent" => words.set(&mut args.by.agent),
            "--type" => words.set(&mut args.kind),
            "--priority" => words.set(&mut args.priority),
            "--team" => words.set(&mut args.team),
            "--label" => words.push(&mut args.labels),
            "--capability" => words.push(&mut args.capabilities),
            "--needs" => words.push(&mut args.needs),
            "--points" => words.number(&mut args.points),
            "--description" => words.set(&mut args.description),
            "--assignee" => words.set(&mut args.assignee),
            "--key" => words.set(&mut args.key),
            "--id" => words.set(&mut args.id),
            _ => None,
        },
    }
}

/// Whether the flags go together.
fn fits(hot: &Hot) -> Option<()> {
    match hot {
        Hot::Complete(args) => {
            let retry = !args.no_retry || args.failed;
            (retry && !(args.failed && args.points.is_some())).then_some(())
        }
        _ => Some(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::args::{self, Run};
    use super::*;

    fn argv(words: &[&str]) -> Vec<OsString> {
        std::iter::once("coord").chain(words.iter().copied()).map(OsString::from).collect()
    }

    /// What the full parser makes of it.
    fn full(line: &[OsString]) -> Option<Fast> {
        fn read<T: clap::FromArgMatches>(matches: &clap::ArgMatches) -> Option<Box<T>> {
            T::from_arg_matches(matches).ok().map(Box::new)
        }
        let parsed = args::parse(line).ok()?;
        let Run::Verb(_, matches) = parsed.run else { return None };
        let hot = match parsed.path.trim_start_matches("work ") {
            "add" => Hot::Add(read(&matches)?),
            "claim" => Hot::Claim(read(&matches)?),
            "progress" => Hot::Progress(read(&matches)?),
            "complete" => Hot::Complete(read(&matches)?),
            "agent heartbeat" => Hot::Heartbeat(read(&matches)?),
            _ => return None,
        };
        let path = parsed.path.leak();
        Some(Fast { flags: parsed.flags, format: parsed.format, quiet: parsed.quiet, path, hot })
    }

    #[test]
    fn usual_lines_are_quick_and_mean_the_same() {
        for line in [
            "claim",
            "claim -q --agent nova",
            "work claim --json --team core --type bug --label ui --label api --lease 10m",
            "claim w-7 --wait --capability rust",
            "claim --wait 10s --op-id op-1",
            "progress 40",
            "progress w-7 60% --note half --token 41 --lease=2h",
            "complete --json",
            "agent heartbeat",
            "agent heartbeat nova --held --json",
            "complete w-7 --result ok --points 3",
            "complete w-7 --failed --no-retry --agent nova --dir /x --lock-timeout 1s",
            "--json add One --priority high --points 5 --needs w-1 --key k --id x --team core",
            "add One --type bug --label a --description long --assignee nova --color never",
        ] {
            let argv = argv(&line.split(' ').collect::<Vec<_>>());
            let fast = parse(&argv);
            assert!(fast.is_some(), "{line}");
            assert_eq!(fast, full(&argv), "{line}");
        }
    }

    #[test]
    fn what_is_unusual_is_left_to_the_full_parser() {
        for line in [
            "",
            "work",
            "work list",
            "claim --help",
            "claim -- w-1",
            "claim a b",
            "claim --lease soon",
            "claim --team",
            "claim --team a --team b",
            "complete --no-retry",
            "claim --json=1",
            "complete --failed --points 1",
            "progress -5",
            "complete --result -",
            "claim --json --format yaml",
            "work work claim",
            "agent claim",
            "heartbeat",
            "agent heartbeat a b",
            "--team core claim",
            "claim --format xml",
        ] {
            let words: Vec<_> = line.split(' ').filter(|w| !w.is_empty()).collect();
            assert_eq!(parse(&argv(&words)), None, "{line}");
        }
    }

    fn word() -> impl Strategy<Value = String> {
        let flags = vec![
            "--json",
            "-q",
            "--quiet",
            "--format",
            "--color",
            "--dir",
            "--op-id",
            "--trust-dir",
            "--lock-timeout",
            "--agent",
            "--team",
            "--type",
            "--label",
            "--capability",
            "--lease",
            "--wait",
            "--token",
            "--note",
            "--result",
            "--points",
            "--failed",
            "--no-retry",
            "--held",
            "--priority",
            "--needs",
            "--description",
            "--assignee",
            "--key",
            "--id",
            "--estimate",
            "--max-attempts",
            "--input",
            "--help",
            "-p",
            "-d",
            "--",
            "--nonsense",
            "-qh",
        ];
        let values = vec![
            "w-1", "7", "60%", "high", "10s", "nova", "a b", "", "-", "-5", "../x", "work",
            "claim", "add", "json", "yaml", "never", "é", "1000001", "core", "=", "a=b", "-x",
        ];
        prop_oneof![
            3 => prop::sample::select(flags.clone()).prop_map(str::to_owned),
            3 => prop::sample::select(values.clone()).prop_map(str::to_owned),
            1 => (prop::sample::select(flags), prop::sample::select(values))
                .prop_map(|(flag, value)| format!("{flag}={value}")),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn whatever_is_understood_means_the_same(
            below in prop::sample::select(vec!["", "work", "agent"]),
            verb in prop::sample::select(vec!["add", "claim", "progress", "complete", "heartbeat"]),
            before in prop::collection::vec(word(), 0..2),
            after in prop::collection::vec(word(), 0..5),
        ) {
            let mut words: Vec<&str> = before.iter().map(String::as_str).collect();
            words.extend(Some(below).filter(|noun| !noun.is_empty()));
            words.push(verb);
            words.extend(after.iter().map(String::as_str));
            let argv = argv(&words);
            if let Some(fast) = parse(&argv) {
                prop_assert_eq!(Some(fast), full(&argv), "{:?}", words);
            }
        }
    }
}
