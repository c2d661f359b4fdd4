//! Was everything done, once, by somebody who had the right to? The store before the swarm and after
//! it, and the audit trail between, compared item by item.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::domain::name::{AgentId, ItemId};
use crate::domain::work::{Found, Item, Status};
use crate::store::Event;

/// What was found, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Items that were open before and are done now.
    pub(super) done: u64,
    /// Items that were finished before and are as they were.
    pub(super) untouched: u64,
    /// Points of the items that were done.
    pub(super) points: u64,
    /// Items that were claimed again, because their first holder was gone.
    pub(super) again: Vec<ItemId>,
    /// Items done, by agent.
    pub(super) agents: BTreeMap<AgentId, u64>,
    /// Everything that should not be.
    pub(super) faults: Vec<String>,
}

/// What the job makes of an item: the SHA-256 of its title.
pub(super) fn expected_result(item: &Item) -> String {
    hmac_sha256::Hash::hash(item.title.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Compares the store `before` and `after`, and the `events` between, oldest first.
pub(super) fn compare(before: &[Found], after: &[Found], events: &[Event]) -> Checked {
    let mut checked = Checked::default();
    let now: BTreeMap<&ItemId, &Found> = after.iter().map(|f| (&f.item.id, f)).collect();
    let mut trails: BTreeMap<&ItemId, Vec<&Event>> = BTreeMap::new();
    for event in events {
        trails.entry(&event.item.id).or_default().push(event);
    }
    for pair in events.windows(2) {
        if pair[1].n != pair[0].n + 1 {
            checked.faults.push(format!("the trail jumps from {} to {}", pair[0].n, pair[1].n));
        }
    }
    for old in before {
        let id = &old.item.id;
        let Some(new) = now.get(id) else {
            checked.faults.push(format!("`{id}` is lost"));
            continue;
        };
        let trail = trails.get(id).map_or(&[][..], Vec::as_slice);
        if old.item.status.is_finished() {
            if new.item == old.item {
                checked.untouched += 1;
            } else {
                checked.faults.push(format!("`{id}` was finished before and is changed"));
            }
        } else if let Err(fault) = follow(&new.item, trail) {
            checked.faults.push(format!("`{id}` {fault}"));
        } else {
            checked.done += 1;
            checked.points += u64::from(new.item.points.unwrap_or(0));
            if let Some(agent) = &new.item.agent {
                *checked.agents.entry(agent.clone()).or_default() += 1;
            }
        }
    }
    if after.len() > before.len() {
        let more = after.len() - before.len();
        checked.faults.push(format!("there are {more} items that nobody put in"));
    }
    for (id, trail) in trails {
        if trail.iter().filter(|e| e.verb == "claim").count() > 1 {
            checked.again.push(id.clone());
        }
    }
    checked
}

/// Follows one item through its trail: claimed by one agent at a time, completed once, by its holder.
fn follow(item: &Item, trail: &[&Event]) -> Result<(), String> {
    let mut holder: Option<&AgentId> = None;
    let mut completed = 0;
    for event in trail {
        match event.verb.as_str() {
            "claim" if holder.is_some() => {
                return Err(format!("was claimed twice at one time (write {})", event.n));
            }
            "claim" => holder = Some(&event.by),
            "complete" if holder != Some(&event.by) => {
                return Err(format!("was completed by `{}`, who did not hold it", event.by));
            }
            "complete" => {
                holder = None;
                completed += 1;
            }
            "expire" | "fail" | "release" => holder = None,
            _ => {}
        }
    }
    match completed {
        0 => return Err(format!("is not done: it is {}", item.status)),
        1 => {}
        n => return Err(format!("was completed {n} times")),
    }
    if item.status != Status::Done {
        return Err(format!("was completed and is {} all the same", item.status));
    }
    let result = item.result.as_deref().map(str::trim);
    if result != Some(expected_result(item).as_str()) {
        return Err(format!("has the result {result:?}, which is not that of its job"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::time::Stamp;
    use crate::domain::work::{Draft, NewItem};

    fn found(id: &str, status: Status) -> Found {
        let draft = Draft { title: format!("Do {id}"), points: Some(3), ..Draft::default() };
        let now = Stamp { wall: DateTime::UNIX_EPOCH, boot: 1, boot_ms: 0 };
        let new = NewItem::try_from(draft).unwrap();
        let mut item = new.into_item(id.parse().unwrap(), Vec::new(), now);
        item.status = status;
        if status == Status::Done {
            item.agent = Some("nova".parse().unwrap());
            item.result = Some(expected_result(&item) + "\n");
        }
        Found { item, n: 1, updated_at: DateTime::UNIX_EPOCH, open_needs: 0 }
    }

    fn events(trail: &[(&str, &str, &str)]) -> Vec<Event> {
        let event = |(at, (id, verb, by)): (usize, &(&str, &str, &str))| Event {
            n: 10 + at as u64,
            verb: (*verb).to_owned(),
            at: DateTime::UNIX_EPOCH,
            by: by.parse().unwrap(),
            op: "o-1".parse().unwrap(),
            item: found(id, Status::Active).item,
        };
        trail.iter().enumerate().map(event).collect()
    }

    const GOOD: [(&str, &str, &str); 2] = [("a", "claim", "nova"), ("a", "complete", "nova")];

    fn faults(after: &[Found], trail: &[(&str, &str, &str)]) -> Vec<String> {
        compare(&[found("a", Status::Pending)], after, &events(trail)).faults
    }

    #[test]
    fn what_was_done_once_by_its_holder_is_good() {
        let before = [found("a", Status::Pending), found("b", Status::Done)];
        let after = [found("a", Status::Done), found("b", Status::Done)];
        let trail = [("a", "claim", "zed"), ("a", "expire", "nova")];
        let trail: Vec<_> = trail.into_iter().chain(GOOD).collect();
        let checked = compare(&before, &after, &events(&trail));
        assert_eq!(checked.faults, Vec::<String>::new());
        assert_eq!((checked.done, checked.untouched, checked.points), (1, 1, 3));
        assert_eq!(checked.again, ["a".parse().unwrap()]);
        assert_eq!(checked.agents["nova"], 1);
    }

    #[test]
    fn every_fault_is_seen() {
        let done = [found("a", Status::Done)];
        assert!(faults(&[], &GOOD)[0].contains("lost"));
        assert!(faults(&done, &[])[0].contains("not done"));
        assert!(faults(&[found("a", Status::Active)], &GOOD)[0].contains("all the same"));
        let twice = [GOOD[0], ("a", "claim", "zed"), ("a", "complete", "zed")];
        assert!(faults(&done, &twice)[0].contains("twice at one time"));
        let stranger = [GOOD[0], ("a", "complete", "zed")];
        assert!(faults(&done, &stranger)[0].contains("did not hold"));
        let doubled: Vec<_> = GOOD.into_iter().chain(GOOD).collect();
        assert!(faults(&done, &doubled)[0].contains("2 times"));
        let more = [found("a", Status::Done), found("c", Status::Pending)];
        assert!(faults(&more, &GOOD)[0].contains("nobody put in"));
        let mut wrong = found("a", Status::Done);
        wrong.item.result = Some("?".to_owned());
        assert!(faults(&[wrong], &GOOD)[0].contains("not that of its job"));
        let mut gap = events(&GOOD);
        gap[1].n += 1;
        assert!(compare(&[found("a", Status::Pending)], &done, &gap).faults[0].contains("jumps"));
        let before = [found("b", Status::Done)];
        let mut after = [found("b", Status::Done)];
        after[0].item.points = Some(9);
        assert!(compare(&before, &after, &[]).faults[0].contains("changed"));
    }
}
