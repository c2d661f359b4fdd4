//! What an answer says about things that were not in the data is dropped, and told.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Facts, Kind};

/// Something that an answer named and that is not there.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Dropped {
    /// Where it stood: `priorities`, `assignments`, …
    pub list: String,
    /// What was named, at most 80 characters of it.
    pub id: String,
    /// Why it was dropped: `unknown-item`, `unknown-agent`, `twice`, `not-ready`, `out-of-range`.
    pub why: &'static str,
}

/// Takes out of an answer that fits the schema whatever does not fit the data.
#[must_use]
pub fn check(kind: Kind, answer: &mut Value, facts: &Facts) -> Vec<Dropped> {
    let mut sieve =
        Sieve { dropped: Vec::new(), items: facts.item_ids(), agents: facts.agent_ids() };
    match kind {
        Kind::Priorities => {
            sieve.items(answer, "priorities");
            sieve.items(answer, "bottlenecks");
            for row in answer["priorities"].as_array_mut().into_iter().flatten() {
                sieve.percent(row, "priorities", "score");
            }
        }
        Kind::Assignments => {
            sieve.items(answer, "assignments");
            sieve.items(answer, "unassigned");
            let ready: BTreeSet<&str> = facts.ready.iter().map(|row| row.id.as_str()).collect();
            sieve.retain(answer, "assignments", "id", |id| {
                if ready.contains(id) { None } else { Some("not-ready") }
            });
            let agents = sieve.agents.clone();
            sieve.retain(answer, "assignments", "agent", |id| {
                if agents.contains(id) { None } else { Some("unknown-agent") }
            });
        }
        Kind::Health => {
            sieve.percent(answer, "score", "score");
            let teams: BTreeSet<&str> = facts.teams.iter().map(|row| row.team.as_str()).collect();
            let (items, agents) = (sieve.items.clone(), sieve.agents.clone());
            sieve.retain(answer, "findings", "subject", |id| {
                let known = id.is_empty()
                    || items.contains(id)
                    || agents.contains(id)
                    || teams.contains(id);
                if known { None } else { Some("unknown-item") }
            });
        }
        Kind::Team => {
            for row in answer["teams"].as_array_mut().into_iter().flatten() {
                let Some(named) = row["agents"].as_array_mut() else { continue };
                named.retain(|id| {
                    let id = id.as_str().unwrap_or_default();
                    let known = sieve.agents.contains(id);
                    if !known {
                        sieve.dropped.push(dropped("teams", id, "unknown-agent"));
                    }
                    known
                });
            }
        }
    }
    sieve.dropped
}

struct Sieve<'a> {
    dropped: Vec<Dropped>,
    items: BTreeSet<&'a str>,
    agents: BTreeSet<&'a str>,
}

impl Sieve<'_> {
    /// Keeps rows whose item is in the data, each item once.
    fn items(&mut self, answer: &mut Value, list: &str) {
        let (items, mut seen) = (self.items.clone(), BTreeSet::new());
        self.retain(answer, list, "id", |id| {
            if !items.contains(id) {
                Some("unknown-item")
            } else if seen.insert(id.to_owned()) {
                None
            } else {
                Some("twice")
            }
        });
    }

    /// Keeps the rows of a list for whose field there is no objection.
    fn retain(
        &mut self,
        answer: &mut Value,
        list: &str,
        field: &str,
        mut objection: impl FnMut(&str) -> Option<&'static str>,
    ) {
        let Some(rows) = answer[list].as_array_mut() else { return };
        rows.retain(|row| {
            let id = row[field].as_str().unwrap_or_default();
            let why = objection(id);
            if let Some(why) = why {
                self.dropped.push(dropped(list, id, why));
            }
            why.is_none()
        });
    }

    /// Brings a number into 0 to 100, and tells if it was not there.
    fn percent(&mut self, row: &mut Value, list: &str, field: &str) {
        let said = row[field].as_f64().unwrap_or(0.0);
        if !(0.0..=100.0).contains(&said) {
            self.dropped.push(dropped(list, &row[field].to_string(), "out-of-range"));
            row[field] = Value::from(if said < 0.0 { 0 } else { 100 });
        }
    }
}

fn dropped(list: &str, id: &str, why: &'static str) -> Dropped {
    let id = id.chars().filter(|c| !c.is_control()).take(80).collect();
    Dropped { list: list.to_owned(), id, why }
}
