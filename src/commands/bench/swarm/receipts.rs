//! Was anything lost or done twice? What the agents were told, what the store holds, and what its
//! audit trail says, compared with each other.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::work::{Found, Status};
use crate::store::Event;

/// What an agent was told about an item: that it has it, and later that it is done.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    /// The item.
    pub(super) id: String,
    /// The agent.
    pub(super) agent: String,
    /// The token of the claim.
    pub(super) token: u64,
    /// Whether its completion was acknowledged.
    pub(super) done: bool,
}

/// What the comparison came to.
#[derive(Debug, Default, JsonSchema, Serialize)]
pub(super) struct Checked {
    /// Items whose adding was acknowledged.
    pub(super) put_in: usize,
    /// Claims that were acknowledged.
    pub(super) claims: usize,
    /// Completions that were acknowledged.
    pub(super) completions: usize,
    /// Items that the store says are done.
    pub(super) done: usize,
    /// Items that are gone, or whose acknowledged completion is not in the store, or that are not
    /// done although the queue was drained.
    pub(super) lost: u64,
    /// Items that two agents were given, or that were completed twice, or that nobody put in.
    pub(super) doubled: u64,
    /// What is wrong, item by item, at most the first twenty.
    pub(super) faults: Vec<String>,
}

/// So many faults are named.
const NAMED: usize = 20;

impl Checked {
    fn lost(&mut self, what: String) {
        self.lost += 1;
        self.fault(what);
    }

    fn doubled(&mut self, what: String) {
        self.doubled += 1;
        self.fault(what);
    }

    fn fault(&mut self, what: String) {
        if self.faults.len() < NAMED {
            self.faults.push(what);
        }
    }
}

/// The audit trail in short: a long one does not fit into the memory that is measured as well.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// Claims and completions by item.
    counts: BTreeMap<String, (u64, u64)>,
    events: u64,
}

impl Trail {
    /// Notes the next event.
    pub(super) fn see(&mut self, event: &Event) {
        self.events += 1;
        let add = match event.verb.as_str() {
            "claim" => (1, 0),
            "complete" => (0, 1),
            _ => return,
        };
        let counts = self.counts.entry(event.item.id.to_string()).or_default();
        *counts = (counts.0 + add.0, counts.1 + add.1);
    }
}

/// How much was written: each log that is sealed takes a number for the line that says so, which is
/// no event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// The last number.
    pub(super) last: u64,
    /// Sealed logs.
    pub(super) sealed: u64,
}

/// Compares. `put_in` are the ids whose adding was acknowledged, `trail` is of the whole store.
pub(super) fn check(
    put_in: &[String],
    receipts: &[Receipt],
    items: &[Found],
    trail: &Trail,
    written: Written,
) -> Checked {
    let mut checked =
        Checked { put_in: put_in.len(), claims: receipts.len(), ..Checked::default() };
    let known: BTreeSet<&str> = put_in.iter().map(String::as_str).collect();
    let stored: BTreeMap<&str, &Found> = items.iter().map(|f| (f.item.id.as_str(), f)).collect();
    let mut by_id: BTreeMap<&str, Vec<&Receipt>> = BTreeMap::new();
    for receipt in receipts {
        by_id.entry(&receipt.id).or_default().push(receipt);
    }
    if trail.events + written.sealed != written.last {
        checked.lost(format!(
            "{} lines were written, and {} events are there with {} sealed logs",
            written.last, trail.events, written.sealed
        ));
    }
    if known.len() < put_in.len() {
        checked.doubled(format!("{} ids were given twice", put_in.len() - known.len()));
    }
    for id in &known {
        let Some(found) = stored.get(id) else {
            checked.lost(format!("`{id}` was acknowledged and is gone"));
            continue;
        };
        let told = by_id.get(id).map_or(&[][..], Vec::as_slice);
        let completions = told.iter().filter(|r| r.done).count();
        checked.completions += completions;
        if found.item.status == Status::Done {
            checked.done += 1;
        }
        let agents: Vec<&str> = told.iter().map(|r| r.agent.as_str()).collect();
        let (claimed, completed) = trail.counts.get(*id).copied().unwrap_or_default();
        if told.len() > 1 {
            checked.doubled(format!("`{id}` was given to {}", agents.join(" and ")));
        } else if completions > 1 || claimed > 1 || completed > 1 {
            checked.doubled(format!(
                "`{id}` was claimed {claimed} times and completed {completed} times"
            ));
        } else if completions == 1 && found.item.status != Status::Done {
            let status = found.item.status;
            checked.lost(format!("`{id}` was acknowledged as done and is {status}"));
        } else if found.item.status != Status::Done {
            checked.lost(format!("`{id}` was never done: it is {}", found.item.status));
        } else if claimed != 1 || completed != 1 {
            checked.lost(format!(
                "`{id}` is done, and its trail has {claimed} claims and {completed} completions"
            ));
        } else if let [one] = told {
            let holder = found.item.agent.as_ref().map(ToString::to_string);
            if holder.as_deref() != Some(one.agent.as_str()) || found.item.token != Some(one.token)
            {
                checked.doubled(format!("`{id}` was done by another than {}", one.agent));
            }
        } else {
            checked.doubled(format!("`{id}` is done, and no agent was given it"));
        }
    }
    for id in stored.keys().filter(|id| !known.contains(*id)) {
        checked.doubled(format!("`{id}` was put in by nobody"));
    }
    checked
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::time::Stamp;
    use crate::domain::work::{Draft, NewItem};

    fn found(id: &str, status: Status, agent: &str, token: u64) -> Found {
        let draft = Draft { title: format!("Do {id}"), ..Draft::default() };
        let now = Stamp { wall: DateTime::UNIX_EPOCH, boot: 1, boot_ms: 0 };
        let mut item =
            NewItem::try_from(draft).unwrap().into_item(id.parse().unwrap(), Vec::new(), now);
        item.status = status;
        item.agent = Some(agent.parse().unwrap());
        item.token = Some(token);
        Found { item, n: 1, updated_at: DateTime::UNIX_EPOCH, open_needs: 0 }
    }

    fn event(n: u64, id: &str, verb: &str) -> Event {
        Event {
            n,
            verb: verb.to_owned(),
            at: DateTime::UNIX_EPOCH,
            by: "a-1".parse().unwrap(),
            op: "o-1".parse().unwrap(),
            item: found(id, Status::Active, "a-1", 1).item,
        }
    }

    fn receipt(id: &str, agent: &str, token: u64) -> Receipt {
        Receipt { id: id.to_owned(), agent: agent.to_owned(), token, done: true }
    }

    /// A run in which all was well: two items, one agent.
    struct Scene {
        put_in: Vec<String>,
        receipts: Vec<Receipt>,
        items: Vec<Found>,
        events: Vec<Event>,
        written: Written,
    }

    impl Scene {
        fn good() -> Self {
            let trail = ["add", "claim", "complete"];
            let events = (1..).zip(trail.iter().flat_map(|verb| [("w-1", verb), ("w-2", verb)]));
            Self {
                put_in: vec!["w-1".to_owned(), "w-2".to_owned()],
                receipts: vec![receipt("w-1", "a-1", 3), receipt("w-2", "a-1", 4)],
                items: vec![
                    found("w-1", Status::Done, "a-1", 3),
                    found("w-2", Status::Done, "a-1", 4),
                ],
                events: events.map(|(n, (id, verb))| event(n, id, verb)).collect(),
                written: Written { last: 6, sealed: 0 },
            }
        }

        fn checked(&self) -> Checked {
            let mut trail = Trail::default();
            self.events.iter().for_each(|event| trail.see(event));
            check(&self.put_in, &self.receipts, &self.items, &trail, self.written)
        }

        fn counts(&self) -> (u64, u64) {
            let checked = self.checked();
            assert_eq!(checked.faults.len() as u64, checked.lost + checked.doubled);
            (checked.lost, checked.doubled)
        }
    }

    #[test]
    fn a_good_run_has_no_faults() {
        let scene = Scene::good();
        assert_eq!(scene.counts(), (0, 0));
        let checked = scene.checked();
        assert_eq!(
            (checked.put_in, checked.claims, checked.completions, checked.done),
            (2, 2, 2, 2)
        );
    }

    #[test]
    fn every_loss_is_seen() {
        let spoil = |spoil: &dyn Fn(&mut Scene)| {
            let mut scene = Scene::good();
            spoil(&mut scene);
            scene.counts()
        };
        assert_eq!(spoil(&|s| drop(s.items.pop())), (1, 0), "an item is gone");
        assert_eq!(spoil(&|s| s.items[0].item.status = Status::Active), (1, 0), "not done");
        assert_eq!(
            spoil(&|s| {
                s.items[0].item.status = Status::Pending;
                s.receipts.remove(0);
                s.events.retain(|e| e.item.id.as_str() != "w-1" || e.verb == "add");
                s.written.last -= 2;
            }),
            (1, 0),
            "never claimed"
        );
        assert_eq!(spoil(&|s| drop(s.events.remove(2))), (2, 0), "a line is missing");
        assert_eq!(spoil(&|s| s.written.last = 7), (1, 0), "one was written and is gone");
        let sealed = |s: &mut Scene| s.written = Written { last: 7, sealed: 1 };
        assert_eq!(spoil(&sealed), (0, 0), "a log was sealed");
    }

    #[test]
    fn every_doubling_is_seen() {
        let spoil = |spoil: &dyn Fn(&mut Scene)| {
            let mut scene = Scene::good();
            spoil(&mut scene);
            scene.counts()
        };
        let twice = |s: &mut Scene| {
            s.events.push(event(7, "w-1", "complete"));
            s.written.last += 1;
        };
        assert_eq!(spoil(&|s| s.receipts.push(receipt("w-1", "a-2", 9))), (0, 1), "two had it");
        assert_eq!(spoil(&twice), (0, 1), "done twice");
        assert_eq!(spoil(&|s| s.receipts[0].token = 9), (0, 1), "by another claim");
        assert_eq!(spoil(&|s| drop(s.receipts.pop())), (0, 1), "nobody was told");
        assert_eq!(spoil(&|s| drop(s.put_in.pop())), (0, 1), "nobody put it in");
        assert_eq!(spoil(&|s| s.put_in.push("w-1".to_owned())), (0, 1), "one id for two");
    }
}
