//! What clap says, in this program's words: help as an answer, mistakes as errors with hints.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::typed;
use super::legacy;
use crate::commands::{NOUNS, Then};
use crate::error::{Error, Kind, Result};
use crate::output::Ui;

/// Shows help or the version, or gives the mistake as an error.
pub(super) fn answer(ui: &mut Ui, error: &clap::Error, argv: &[OsString]) -> Result<()> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = error.render();
            ui.page(&text.ansi().to_string()).map_err(Error::from)
        }
        _ => {
            let mut command = String::from("coord");
            for entry in typed(argv) {
                command.extend([" ", entry.name]);
            }
            let explained = explain(error, &command);
            if !explained.hints().is_empty() {
                return Err(explained);
            }
            Err(explained.hint(format!("`{command} --help` shows what is expected")))
        }
    }
}

/// `command` is what the command line names of the tree, such as `coord work`.
fn explain(error: &clap::Error, command: &str) -> Error {
    let first = |kind| error.get(kind).and_then(words).and_then(|w| w.into_iter().next());
    let all = |kind| error.get(kind).and_then(words).unwrap_or_default();
    let arg = first(ContextKind::InvalidArg).unwrap_or_default();
    let value = first(ContextKind::InvalidValue).unwrap_or_default();
    let message = match error.kind() {
        ErrorKind::InvalidSubcommand => format!(
            "unknown command `{}`",
            first(ContextKind::InvalidSubcommand).unwrap_or_default()
        ),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "a command is missing".to_owned()
        }
        ErrorKind::UnknownArgument => format!("unexpected argument `{arg}`"),
        ErrorKind::InvalidValue if value.is_empty() => format!("`{arg}` lacks its value"),
        ErrorKind::InvalidValue => format!("`{value}` is no value for `{arg}`"),
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(|s| format!(": {s}"));
            format!("`{value}` is no value for `{arg}`{}", why.unwrap_or_default())
        }
        ErrorKind::MissingRequiredArgument => {
            format!("missing: `{}`", all(ContextKind::InvalidArg).join("`, `"))
        }
        ErrorKind::ArgumentConflict => {
            let prior = all(ContextKind::PriorArg);
            if prior.is_empty() || prior == [arg.clone()] {
                format!("`{arg}` is given more than once")
            } else {
                format!("`{arg}` does not go with `{}`", prior.join("`, `"))
            }
        }
        ErrorKind::InvalidUtf8 => "an argument is not valid UTF-8".to_owned(),
        _ => plain(error),
    };
    let mut explained = Error::new(Kind::Usage, message);
    let meant: Vec<String> =
        [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue]
            .into_iter()
            .flat_map(all)
            .collect();
    let old = (error.kind() == ErrorKind::InvalidSubcommand && command == "coord")
        .then(|| first(ContextKind::InvalidSubcommand).and_then(|word| legacy::hint(&word)))
        .flatten();
    if !meant.is_empty() && old.is_none() {
        explained = explained.hint(format!("did you mean `{}`?", meant.join("`, `")));
    }
    if error.kind() == ErrorKind::InvalidSubcommand {
        let word = first(ContextKind::InvalidSubcommand).unwrap_or_default();
        let mut below = topics_like(&word);
        if command == "coord" {
            below.extend(verbs_like(&word));
        }
        if let Some(old) = old.as_ref() {
            explained = explained.hint(old);
        } else if meant.is_empty() && !below.is_empty() {
            explained = explained.hint(format!("did you mean `{}`?", below.join("`, `")));
        }
        explained = explained.hint(format!("`{command} --help` lists the commands"));
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        explained =
            explained.hint(format!("`{command} --help` shows the commands and what they do"));
    }
    let possible = all(ContextKind::ValidValue);
    if !possible.is_empty() {
        explained = explained.hint(format!("expected one of `{}`", possible.join("`, `")));
    }
    let commands = all(ContextKind::ValidSubcommand);
    if meant.is_empty() && !commands.is_empty() {
        explained = explained.hint(format!("the commands are `{}`", commands.join("`, `")));
    }
    if let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) {
        let usage = usage.to_string();
        let usage = usage.trim().trim_start_matches("Usage:").trim();
        if let Some(line) = usage.lines().next().filter(|l| !l.is_empty()) {
            explained = explained.hint(format!("usage: {line}"));
        }
    }
    explained
}

/// Verbs of any noun that read like `word`: people leave the noun out.
fn verbs_like(word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for noun in NOUNS {
        let Then::Noun(verbs, _) = noun.then else { continue };
        for verb in verbs {
            if strsim::osa_distance(verb.name, word) <= usize::from(verb.name.len() > 4) {
                found.push(format!("coord {} {}", noun.name, verb.name));
            }
        }
    }
    found
}

/// Help on a topic whose name reads like `word`.
fn topics_like(word: &str) -> Vec<String> {
    super::topics::ALL
        .iter()
        .filter(|topic| strsim::osa_distance(topic.name, word) <= 1)
        .map(|topic| format!("coord help {}", topic.name))
        .collect()
}

/// The first line of what clap would print, without its label.
fn plain(error: &clap::Error) -> String {
    let text = error.render().to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").replace('\'', "`")
}

fn words(value: &ContextValue) -> Option<Vec<String>> {
    match value {
        ContextValue::String(word) => Some(vec![word.clone()]),
        ContextValue::Strings(words) => Some(words.clone()),
        ContextValue::StyledStr(text) => Some(vec![text.to_string()]),
        ContextValue::StyledStrs(texts) => Some(texts.iter().map(ToString::to_string).collect()),
        ContextValue::Number(number) => Some(vec![number.to_string()]),
        _ => None,
    }
}
