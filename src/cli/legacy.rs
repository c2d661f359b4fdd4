//! Old names: `coord help legacy`, and the hint for who types one as a command.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use crate::commands::is_here;
use crate::domain::behaviour::{self, Behaviour, Old, Used};
use crate::error::{Error, Kind, Result};
use crate::output::style::LITERAL;
use crate::output::{Column, Screen, Shape, Table, Ui, View};

/// What is printed under `--json`.
pub(super) const VIEWS: &[Shape] = &[Shape::of::<Answer>()];

#[derive(JsonSchema, Serialize)]
struct Answer {
    behaviours: Vec<Row>,
    names: Vec<Told>,
}

#[derive(JsonSchema, Serialize)]
struct Row {
    number: u8,
    command: &'static str,
    does: &'static str,
    here: bool,
    also: Vec<&'static str>,
}

#[derive(JsonSchema, Serialize)]
struct Told {
    name: &'static str,
    used: &'static str,
    behaviour: u8,
    now: &'static str,
    here: bool,
    #[serde(skip)]
    sentence: String,
    #[serde(skip)]
    listed: bool,
}

impl Row {
    fn new(behaviour: &Behaviour) -> Self {
        Self {
            number: behaviour.number,
            command: behaviour.command,
            does: behaviour.does,
            here: is_here(behaviour.command),
            also: behaviour.also.iter().copied().filter(|c| is_here(c)).collect(),
        }
    }
}

impl Told {
    fn new(old: &Old, listed: bool) -> Self {
        Self {
            name: old.name,
            used: old.used.as_str(),
            behaviour: old.behaviour.number,
            now: old.now,
            here: is_here(old.now),
            sentence: sentence(old),
            listed,
        }
    }
}

impl View for Answer {
    const SCHEMA: &'static str = "coord.help.legacy/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if self.names.iter().any(|name| name.listed) {
            let mut table = Table::new(vec![
                Column::new("OLD NAME"),
                Column::new("WAS A"),
                Column::new("NOW"),
                Column::new("").shrinks(),
            ]);
            for name in &self.names {
                let now = format!("coord {}", name.now);
                let note = if name.here { "" } else { "not in this version yet" };
                table.row([name.name.to_owned(), name.used.to_owned(), now, note.to_owned()]);
            }
            return table.write(out, screen);
        }
        for name in &self.names {
            writeln!(out, "{}", name.sentence)?;
            let Some(row) = self.behaviours.iter().find(|r| r.number == name.behaviour) else {
                continue;
            };
            let (number, does) = (row.number, row.does);
            writeln!(out, "  behaviour {number} of {}: {does}", behaviour::ALL.len())?;
            if name.here {
                writeln!(out, "  {LITERAL}coord {} --help{LITERAL:#} tells more", name.now)?;
            }
        }
        Ok(())
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.names.iter().try_for_each(|name| writeln!(out, "coord {}", name.now))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.names.iter().map(|name| serde_json::to_value(name).ok()).collect()
    }
}

/// `coord help legacy [NAME]…`.
pub(super) fn show(ui: &mut Ui, names: &[String]) -> Result<()> {
    let mut found = Vec::new();
    for name in names {
        found.push(behaviour::find(name).ok_or_else(|| unknown(name))?);
    }
    let listed = names.is_empty();
    if listed {
        found.extend(behaviour::all());
    }
    let concerned = |b: &&Behaviour| listed || found.iter().any(|o| o.behaviour == *b);
    let behaviours = behaviour::ALL.iter().filter(concerned).map(Row::new).collect();
    let names = found.iter().map(|old| Told::new(old, listed)).collect();
    ui.emit(&Answer { behaviours, names }).map_err(Error::from)
}

fn unknown(name: &str) -> Error {
    let error = Error::new(Kind::User, format!("no old command or script is called `{name}`"));
    let like = behaviour::like(name);
    if like.is_empty() {
        error.hint("`coord help legacy` lists every old name")
    } else {
        error.hint(format!("did you mean `{}`?", like.join("`, `")))
    }
}

/// What to tell whoever types `word` as a command, if it is an old name.
pub(super) fn hint(word: &str) -> Option<String> {
    behaviour::find(word).map(|old| sentence(&old))
}

fn sentence(old: &Old) -> String {
    let (used, name, now) = (old.used.as_str(), old.name, old.now);
    let mut text = if is_here(now) {
        format!("the old {used} `{name}` is `coord {now}` now")
    } else {
        let mut text = format!(
            "the old {used} `{name}` will be `coord {now}`, which is not in this version yet"
        );
        let parts: Vec<_> = old.behaviour.commands().filter(|c| is_here(c)).collect();
        if !parts.is_empty() {
            text.extend(["; `coord ", &parts.join("`, `coord "), "` does a part of it"]);
        }
        text
    };
    if old.used == Used::Word && now != "compat" && is_here("compat") {
        text.extend(["; `coord compat ", name, "` answers as before"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the road map has for later versions.
    const PLANNED: &str = "daemon run, claude priorities, claude assign, claude health, claude team, \
        claude stream, claude ask, claude check, scrum plan, scrum sync, scrum review, \
        telemetry report, dashboard, serve, compat, alert check, health, doctor, selftest, kpi report, env, \
        config show, stack up, deploy run, deploy rollback, cluster, worktree create, cleanup, \
        backup, restore, spr compress, spr decompress, scripts audit";

    #[test]
    fn every_command_of_a_behaviour_is_here_or_planned() {
        let planned: Vec<&str> = PLANNED.split(", ").collect();
        for command in behaviour::ALL.iter().flat_map(Behaviour::commands) {
            assert!(is_here(command) || planned.contains(&command), "`coord {command}`");
        }
    }

    #[test]
    fn a_planned_command_is_never_told_as_one_that_is_there() {
        for old in behaviour::all() {
            let told = sentence(&old);
            let here = format!("is `coord {}` now", old.now);
            assert_eq!(told.contains(&here), is_here(old.now), "{told}");
            assert_eq!(told.contains("not in this version yet"), !is_here(old.now), "{told}");
        }
        assert!(is_here("work") && is_here("work list"));
        assert!(!is_here("no such") && !is_here("verify twice") && !is_here(""));
    }
}
