//! Claims that nobody works on any more, and agents that nobody hears of: what can be given back or
//! forgotten without losing anything that is unfinished.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::session::Session;
use super::{FileStore, agents};
use crate::domain::agent::Known;
use crate::domain::name::{AgentId, ItemId};
use crate::domain::work::{Op, transition};
use crate::store::{Error, Removed, Result};

/// An agent must have been silent for at least so long to be forgotten.
pub const LEAST_SILENCE: Duration = Duration::from_hours(1);

/// An agent that holds nothing and gave no sign of life for long.
#[derive(Clone, Debug, PartialEq)]
pub struct Silent {
    /// Which one.
    pub id: AgentId,
    /// Its last sign of life, else when it registered.
    pub seen: DateTime<Utc>,
}

impl FileStore {
    /// Takes back those of the items whose lease has run out, as the next claim would. Gives them.
    pub fn take_back(&self, ids: &[ItemId], op: &Op) -> Result<Vec<ItemId>> {
        let mut session = Session::begin(self, op)?;
        let (first, now) = (session.next_n(), session.now());
        let (mut records, mut gone) = (Vec::new(), Vec::new());
        for id in ids {
            let Some((_, record)) = session.item(id)? else { continue };
            if self.is_late(&record.item, now) {
                let n = first + records.len() as u64;
                records.push(session.line(n, "expire", transition::expire(&record.item, now)));
                gone.push(id.clone());
            }
        }
        if !records.is_empty() {
            session.commit(&mut records)?;
        }
        session.finish()?;
        Ok(gone)
    }

    /// The agents that can be forgotten: silent for longer than `age`, holding nothing. What is known
    /// of their work is part of the log and stays.
    pub fn silent(&self, age: Duration, now: DateTime<Utc>) -> Result<Vec<Silent>> {
        let age = age.max(LEAST_SILENCE);
        let long = |seen: DateTime<Utc>| (now - seen).to_std().is_ok_and(|silence| silence > age);
        let candidate = |known: Known| {
            let registered = known.agent.map(|agent| agent.registered_at);
            let seen = known.seen_at.max(registered)?;
            (known.held == 0 && long(seen)).then_some(Silent { id: known.id, seen })
        };
        let silent = agents::all(self)?.into_iter().filter_map(candidate);
        Ok(silent.filter(|silent| agents::is_remembered(self, &silent.id)).collect())
    }

    /// Forgets an agent unless it was heard of since it was found silent; what is kept for it goes back
    /// to the queue.
    pub fn forget(&self, silent: &Silent, age: Duration, op: &Op) -> Result<Option<Removed>> {
        if !self.silent(age, op.now.wall)?.contains(silent) {
            return Ok(None);
        }
        match agents::remove(self, &silent.id, op) {
            Err(Error::NoAgent { .. }) => Ok(None),
            other => other.map(Some),
        }
    }
}
