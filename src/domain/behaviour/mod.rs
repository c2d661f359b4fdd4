//! What a user can ask for: 45 behaviours, and the old names that each of them replaces.
//!
//! The old system had 278 scripts and a long command line. Every one of their names leads to exactly
//! one behaviour: words of the old command line by the table of [`dialect`], the rest by the tables
//! here. Whether the command of a behaviour is in this version is for the command line to know.

pub mod census;
mod table;

use crate::domain::legacy::dialect;

pub use table::ALL;

/// Something that a user can ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Behaviour {
    /// Its number, from 1.
    pub number: u8,
    /// The command that does it, without the program's name.
    pub command: &'static str,
    /// Other commands that do a part of it, or the same.
    pub also: &'static [&'static str],
    /// Old words that it replaces, besides those of the dialect.
    pub words: &'static [&'static str],
    /// What it does, in a few words.
    pub does: &'static str,
}

impl Behaviour {
    /// Its commands, the main one first.
    pub fn commands(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.command).chain(self.also.iter().copied())
    }

    /// The old words that it replaces, those of the dialect first.
    pub fn old_words(&self) -> impl Iterator<Item = &'static str> {
        let number = self.number;
        dialect::COMMANDS
            .iter()
            .filter(move |s| of_command(s.now).is_some_and(|b| b.number == number))
            .flat_map(|s| s.names.iter().copied())
            .chain(self.words.iter().copied())
    }

    /// The old scripts that it replaces, by name.
    pub fn scripts(&self) -> impl Iterator<Item = &'static str> {
        let number = self.number;
        scripts().filter(move |(_, n)| *n == number).map(|(name, _)| name)
    }
}

/// One name a line with the number of its behaviour, by name.
const SCRIPTS: &str = include_str!("scripts.tsv");

fn scripts() -> impl Iterator<Item = (&'static str, u8)> {
    SCRIPTS.lines().filter_map(|line| {
        let (name, number) = line.split_once('\t')?;
        Some((name, number.parse().ok()?))
    })
}

/// The behaviour with a number.
#[must_use]
pub fn get(number: u8) -> Option<&'static Behaviour> {
    ALL.iter().find(|b| b.number == number)
}

/// The behaviour that a command belongs to; `command` may begin with the program's name.
#[must_use]
pub fn of_command(command: &str) -> Option<&'static Behaviour> {
    let command = command.strip_prefix("coord ").unwrap_or(command);
    ALL.iter().find(|b| b.commands().any(|c| c == command))
}

/// How an old name was used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Used {
    /// As a word of the old command line.
    Word,
    /// As the name of a script.
    Script,
}

impl Used {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Word => "command",
            Self::Script => "script",
        }
    }
}

/// An old name and what stands for it now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Old {
    /// The name as it was.
    pub name: &'static str,
    /// How it was used.
    pub used: Used,
    /// The behaviour that replaces it.
    pub behaviour: &'static Behaviour,
    /// The command that comes closest, without the program's name: one of the behaviour's.
    pub now: &'static str,
}

/// Every old name, in the order of behaviours, words before scripts.
pub fn all() -> impl Iterator<Item = Old> {
    ALL.iter().flat_map(|behaviour| {
        let words = behaviour.old_words().map(move |name| Old {
            name,
            used: Used::Word,
            behaviour,
            now: now_of(name, behaviour),
        });
        words.chain(behaviour.scripts().filter_map(script))
    })
}

/// The old script of this file name.
#[must_use]
pub fn script(name: &str) -> Option<Old> {
    let (name, number) = scripts().find(|(have, _)| *have == name)?;
    let behaviour = get(number)?;
    Some(Old { name, used: Used::Script, behaviour, now: script_now(name, behaviour) })
}

/// The old word.
#[must_use]
pub fn word(name: &str) -> Option<Old> {
    ALL.iter().find_map(|behaviour| {
        let name = behaviour.old_words().find(|have| *have == name)?;
        Some(Old { name, used: Used::Word, behaviour, now: now_of(name, behaviour) })
    })
}

/// The old script or word of this name: a path counts by its last part, and an ending may be missing.
#[must_use]
pub fn find(name: &str) -> Option<Old> {
    let name = name.trim_end_matches('/');
    let name = name.rsplit('/').next().unwrap_or(name);
    word(name).or_else(|| script(name)).or_else(|| script(&format!("{name}.sh")))
}

/// Old names that read like `name`, the likest first, at most three.
#[must_use]
pub fn like(name: &str) -> Vec<&'static str> {
    let name = name.rsplit('/').next().unwrap_or(name);
    let stem = |text: &str| text.trim_end_matches(".sh").to_lowercase().replace('_', "-");
    let wanted = stem(name);
    let mut near: Vec<(usize, &str)> = Vec::new();
    for old in all() {
        let have = stem(old.name);
        let allowed = (have.len().min(wanted.len()) / 5).clamp(1, 4);
        let close = have.len().abs_diff(wanted.len()) <= allowed;
        let distance = if close { strsim::osa_distance(&have, &wanted) } else { usize::MAX };
        if distance <= allowed && near.iter().all(|(_, seen)| *seen != old.name) {
            near.push((distance, old.name));
        }
    }
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

fn now_of(name: &str, behaviour: &'static Behaviour) -> &'static str {
    let now = dialect::find(name).map_or(behaviour.command, |spelling| spelling.now);
    now.strip_prefix("coord ").unwrap_or(now)
}

/// The dispatcher's own arguments are understood by the dialect alone.
fn script_now(name: &str, behaviour: &'static Behaviour) -> &'static str {
    if name == "coordination_helper.sh" { "compat" } else { behaviour.command }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn there_are_45_behaviours_and_278_scripts() {
        assert_eq!(ALL.len(), 45);
        assert!(ALL.iter().zip(1..).all(|(b, number)| b.number == number));
        assert_eq!(SCRIPTS.lines().count(), 278);
        assert_eq!(scripts().count(), 278, "every line is a name and a number");
        let names: Vec<_> = scripts().map(|(name, _)| name).collect();
        assert!(names.is_sorted() && names.windows(2).all(|w| w[0] != w[1]));
        assert!(ALL.iter().all(|b| !b.does.is_empty() && b.does.len() < 80));
    }

    #[test]
    fn every_script_leads_to_one_behaviour() {
        for (name, number) in scripts() {
            let old = script(name).unwrap();
            assert_eq!((old.name, old.behaviour.number), (name, number));
            let found = find(&format!("some/where/{name}")).unwrap();
            assert_eq!(found.behaviour.number, number, "{name}");
            // Without its ending a name may be a word, which comes first.
            let bare = name.trim_end_matches(".sh");
            assert!(word(bare).or(script(name)) == find(bare), "{name}");
        }
        // What the survey of the old system counted.
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for behaviour in &ALL {
            counts.insert(behaviour.command, behaviour.scripts().count());
        }
        for (command, count) in
            [("verify", 83), ("deploy run", 25), ("selftest", 13), ("work claim", 1), ("backup", 0)]
        {
            assert_eq!(counts[command], count, "{command}");
        }
    }

    #[test]
    fn every_word_leads_to_one_behaviour() {
        let words: Vec<&str> = ALL.iter().flat_map(Behaviour::old_words).collect();
        let once: BTreeSet<_> = words.iter().collect();
        assert_eq!(once.len(), words.len(), "a word stands twice");
        for spelling in dialect::COMMANDS {
            for name in spelling.names.iter().filter(|name| **name != "help") {
                let old = word(name).unwrap_or_else(|| panic!("`{name}` leads nowhere"));
                assert_eq!(format!("coord {}", old.now), spelling.now, "{name}");
            }
        }
        assert!(ALL.iter().flat_map(|b| b.words).all(|word| dialect::find(word).is_none()));
    }

    #[test]
    fn no_command_belongs_to_two_behaviours() {
        let commands: Vec<&str> = ALL.iter().flat_map(Behaviour::commands).collect();
        let once: BTreeSet<_> = commands.iter().collect();
        assert_eq!(once.len(), commands.len());
    }

    #[test]
    fn a_name_that_is_nearly_right_is_recognised() {
        assert_eq!(like("claim-fsat"), ["claim-fast"]);
        assert_eq!(like("agent_swarm_orchestrater.sh"), ["agent_swarm_orchestrator.sh"]);
        assert_eq!(like("agent-swarm-orchestrator"), ["agent_swarm_orchestrator.sh"]);
        assert!(like("x").is_empty() && like("nothing like it").is_empty());
        assert!(find("no-such-thing.sh").is_none() && find("").is_none());
    }
}
