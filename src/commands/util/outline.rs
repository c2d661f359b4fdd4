//! The command tree taken apart for a manual: pages, examples, lists of terms, files.

use clap::{Arg, Command};

use crate::commands::Reference;
use crate::settings::keys;

/// The version without the commit, so that a manual changes only when its contents do.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A command with the words that lead to it.
pub(super) struct Page {
    /// Such as `coord work claim`.
    pub(super) path: String,
    /// The command, built, with the global flags.
    pub(super) command: Command,
}

impl Page {
    /// The name of its manual page, such as `coord-work-claim`.
    pub(super) fn name(&self) -> String {
        self.path.replace(' ', "-")
    }

    /// What it is for, at length.
    pub(super) fn description(&self) -> String {
        let long = self.command.get_long_about().or_else(|| self.command.get_about());
        long.map(ToString::to_string).unwrap_or_default()
    }

    /// Its own arguments, or those that every command takes.
    pub(super) fn arguments(&self, global: bool) -> impl Iterator<Item = &Arg> {
        let shown = self.command.get_arguments().filter(|arg| !arg.is_hide_set());
        shown.filter(move |arg| arg.is_global_set() == global && arg.get_id() != "help")
    }

    /// The commands below it.
    pub(super) fn below(&self) -> Vec<String> {
        visible(&self.command).map(|sub| format!("{}-{}", self.name(), sub.get_name())).collect()
    }

    /// The lines of its examples, and what else stands below its help.
    pub(super) fn after(&self) -> (Vec<String>, Vec<String>) {
        let after = self.command.get_after_long_help().or_else(|| self.command.get_after_help());
        let (mut examples, mut notes, mut within) = (Vec::new(), Vec::new(), false);
        for line in after.map(ToString::to_string).unwrap_or_default().lines() {
            match line {
                "Examples:" => within = true,
                _ if within && (line.is_empty() || line.starts_with("  ")) => {
                    examples.push(line.strip_prefix("  ").unwrap_or(line).to_owned());
                }
                _ => {
                    within = false;
                    notes.push(line.to_owned());
                }
            }
        }
        (examples, notes)
    }
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

/// Every command that help shows, each after the one above it.
pub(super) fn pages(reference: Reference) -> Vec<Page> {
    fn walk(command: &Command, path: &str, pages: &mut Vec<Page>) {
        for sub in visible(command) {
            let below = format!("{path} {}", sub.get_name());
            pages.push(Page { path: below.clone(), command: sub.clone() });
            walk(sub, &below, pages);
        }
    }
    let mut root = (reference.tree)().term_width(100);
    root.build();
    let mut pages = vec![Page { path: "coord".to_owned(), command: root.clone() }];
    walk(&root, "coord", &mut pages);
    pages
}

/// The text of a help topic.
pub(super) fn topic(reference: Reference, name: &str) -> String {
    let topics = (reference.topics)();
    topics.into_iter().find(|(topic, _)| *topic == name).map(|(_, text)| text).unwrap_or_default()
}

/// The exit codes and what they mean.
pub(super) fn exit_codes(reference: Reference) -> Vec<(String, String)> {
    terms(&topic(reference, "exit-codes"))
}

/// The environment variables and what they do: those that are told of, then those of the settings.
pub(super) fn variables(reference: Reference) -> Vec<(String, String)> {
    let known = terms(&topic(reference, "environment"));
    let is_key = |names: &str| keys::ALL.iter().any(|key| names.contains(key.env));
    let mut all: Vec<_> = known.into_iter().filter(|(names, _)| !is_key(names)).collect();
    for key in &keys::ALL {
        let text = format!(
            "sets {}, {}: {}; {} unless set",
            key.name,
            key.form.words(),
            key.doc.replace('`', ""),
            if key.default.is_empty() { "nothing" } else { key.default },
        );
        all.push((key.env.to_owned(), text));
    }
    all
}

/// Reads a list of terms: lines of two columns, the second going on below itself.
fn terms(text: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let (indent, rest) = (line.len() - line.trim_start().len(), line.trim());
        if rest.is_empty() || indent == 0 {
            open = false;
            continue;
        }
        let deep = open && indent > 6;
        match (rest.split_once("  "), all.last_mut()) {
            (None, Some((names, text))) if open && text.is_empty() && !deep => {
                names.push(' ');
                names.push_str(rest);
            }
            (_, Some((_, text))) if deep => {
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(rest);
            }
            (Some((names, text)), _) => all.push((names.to_owned(), text.trim().to_owned())),
            (None, _) => all.push((rest.to_owned(), String::new())),
        }
        open = true;
    }
    all
}

/// The files that the program reads and writes.
pub(super) const FILES: &[(&str, &str)] = &[
    (".coord/", "the state directory of a project; coord help environment tells which one is used"),
    (".coord/work.jsonl", "the live log: a line is an item as it was after one change"),
    (".coord/history/", "sealed earlier logs: with the live one the complete audit trail"),
    (".coord/agents/", "one small file per agent"),
    (".coord/lock", "held by whoever writes the log"),
    (".coord/.index/", "a cache that is made anew whenever it does not fit the log"),
    (".coord/config.toml", "settings of the project"),
    ("$XDG_CONFIG_HOME/coord/config.toml", "settings of the user; ~/.config if that is not set"),
    ("/etc/coord/config.toml", "settings of the machine"),
    ("$XDG_STATE_HOME/coord/default/", "the state directory where there is no project"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_go_on_over_lines() {
        let text = "Title\n\n    0  done; also\n       later\n    n  other\n\nprose\n";
        let told = terms(text);
        assert_eq!(told, [("0".into(), "done; also later".into()), ("n".into(), "other".into())]);
        let text = "T\n\n  A          first\n  B, C,\n  D\n                     both\n";
        let told = terms(text);
        assert_eq!(told, [("A".into(), "first".into()), ("B, C, D".into(), "both".into())]);
    }
}
