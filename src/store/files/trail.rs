//! The audit trail: every recorded event, of the whole store or of one item.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::record::Record;
use super::{FileStore, log};
use crate::domain::name::ItemId;
use crate::store::{Event, Result};

fn event(record: Record) -> Event {
    Event {
        n: record.n,
        verb: record.verb,
        at: record.at,
        by: record.by,
        op: record.op,
        item: record.item,
    }
}

/// Shows every event with a number above `since`, oldest first.
pub(super) fn events(
    store: &FileStore,
    since: u64,
    see: &mut dyn FnMut(&Event) -> bool,
) -> Result<()> {
    let mut top = since;
    // What was carried over is older than what follows it, and mostly seen; the rest is put in order.
    let mut carried: BTreeMap<u64, Event> = BTreeMap::new();
    let mut stop = false;
    store.logs()?.each(|_, line| {
        if log::quick_n(line).is_some_and(|n| n <= top) {
            return ControlFlow::Continue(());
        }
        let Ok(record) = Record::parse(line) else { return ControlFlow::Continue(()) };
        if record.n <= top {
            return ControlFlow::Continue(());
        }
        if record.carried {
            carried.insert(record.n, event(record));
            return ControlFlow::Continue(());
        }
        for older in std::mem::take(&mut carried).into_values() {
            if older.n < record.n && !stop {
                top = older.n;
                stop = !see(&older);
            }
        }
        if !stop {
            top = record.n;
            stop = !see(&event(record));
        }
        if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    for older in carried.into_values() {
        if stop || !see(&older) {
            break;
        }
    }
    Ok(())
}

/// Every event of one item, oldest first.
pub(super) fn history(store: &FileStore, id: &ItemId) -> Result<Vec<Event>> {
    let mut found: BTreeMap<u64, Event> = BTreeMap::new();
    let finder = memchr::memmem::Finder::new(id.as_str());
    store.logs()?.each(|_, line| {
        let ours = log::quick_id(line)
            .map_or_else(|| finder.find(line).is_some(), |have| have == id.as_str());
        if ours
            && let Ok(record) = Record::parse(line)
            && record.item.id == *id
        {
            found.entry(record.n).or_insert_with(|| event(record));
        }
        ControlFlow::Continue(())
    })?;
    Ok(found.into_values().collect())
}
