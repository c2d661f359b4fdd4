//! What is exported as counters: what all operations ever noted amount to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Buckets, Operation, Outcome};

/// Counts that only grow. They stop at the largest number rather than begin anew.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Counters {
    /// By command.
    pub commands: BTreeMap<String, Counts>,
    /// How long operations waited for the store's lock, those too that did not wait.
    pub lock_wait: Buckets,
}

/// The operations of one command.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Counts {
    /// How they ended.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// How long those took that answer at once: see [`Operation::answers_at_once`].
    pub duration: Buckets,
    /// How long those took that last by design.
    pub lasting: Buckets,
    /// The processor time they used, as far as it was measured.
    pub cpu_us: u64,
}

impl Counters {
    /// Takes in an operation.
    pub fn add(&mut self, op: &Operation) {
        self.lock_wait.record(op.lock_wait_us);
        let counts = match self.commands.get_mut(&op.command) {
            Some(counts) => counts,
            None => self.commands.entry(op.command.clone()).or_default(),
        };
        let times = if op.answers_at_once() { &mut counts.duration } else { &mut counts.lasting };
        times.record(op.duration_us);
        counts.cpu_us = counts.cpu_us.saturating_add(op.cpu_us.unwrap_or(0));
        let outcome = counts.outcomes.entry(op.outcome).or_default();
        *outcome = outcome.saturating_add(1);
    }

    /// Takes in all that others have.
    pub fn add_all(&mut self, other: &Self) {
        self.lock_wait.add(&other.lock_wait);
        for (command, theirs) in &other.commands {
            let ours = self.commands.entry(command.clone()).or_default();
            ours.duration.add(&theirs.duration);
            ours.lasting.add(&theirs.lasting);
            ours.cpu_us = ours.cpu_us.saturating_add(theirs.cpu_us);
            for (outcome, count) in &theirs.outcomes {
                let ours = ours.outcomes.entry(*outcome).or_default();
                *ours = ours.saturating_add(*count);
            }
        }
    }
}
