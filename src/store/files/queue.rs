//! Bringing work in: `add` and `import`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::FileStore;
use super::bits;
use super::index::Applied;
use super::keys::{self, Kind};
use super::record::Record;
use super::rows::Row;
use super::session::{RowError, Session};
use crate::domain::name::ItemId;
use crate::domain::work::{
    DependencyError, Found, Item, Limits, NewError, NewItem, Op, find_cycle,
};
use crate::store::{Added, Error, Result};

/// Finds an item by its idempotency key.
fn by_key(session: &Session<'_>, key: &str) -> Result<Option<(Row, Record)>> {
    let mut found = None;
    keys::find(&session.index.cells, &session.index.head, (Kind::Key, key), |value| {
        let row = Row::load(&session.index.cells, u32::try_from(value).unwrap_or(0))?;
        let record = session.record(&row)?;
        let is_it = record.item.key.as_deref() == Some(key);
        if is_it {
            found = Some((row, record));
        }
        Ok::<_, RowError>(is_it)
    })
    .map_err(|e| e.0)?;
    Ok(found)
}

/// Where an item of a batch ends up: it is new, or it was there.
enum Slot {
    New(usize),
    Old(Box<Found>),
}

/// Queues items, all or none.
pub(super) fn add(store: &FileStore, items: Vec<NewItem>, op: &Op) -> Result<Added> {
    if items.len() > Limits::BATCH {
        let field = "items in one transaction";
        let (value, max) = (items.len() as u64, Limits::BATCH as u64);
        return Err(Error::New {
            at: Limits::BATCH + 1,
            why: NewError::Range { field, value, min: 0, max },
        });
    }
    let mut session = Session::begin(store, op)?;
    if let Some(records) = session.answered("add")? {
        let is_it = |item: &NewItem, record: &Record| match (&item.draft().key, &item.draft().id) {
            (Some(key), _) => record.item.key.as_ref() == Some(key),
            (None, Some(id)) => record.item.id == *id,
            (None, None) => record.item.key.is_none() && record.item.title == item.draft().title,
        };
        let added = repeated(records, &items, is_it, |item| match &item.draft().key {
            Some(key) => by_key(&session, key),
            None => Ok(None),
        })?;
        session.finish()?;
        return Ok(added);
    }
    let mut slots = Vec::with_capacity(items.len());
    let mut drafts: Vec<(ItemId, NewItem)> = Vec::new();
    let (mut by_id, mut keys_here) = (HashMap::new(), HashMap::<String, usize>::new());
    let mut next_id = session.index.head.next_id;
    for item in items {
        if let Some(key) = &item.draft().key {
            if let Some(at) = keys_here.get(key) {
                slots.push(Slot::New(*at));
                continue;
            }
            if let Some((row, record)) = by_key(&session, key)? {
                slots.push(Slot::Old(Box::new(Session::found(&row, record))));
                continue;
            }
            keys_here.insert(key.clone(), drafts.len());
        }
        let id = match &item.draft().id {
            Some(id) => id.clone(),
            None => loop {
                let id = ItemId::numbered('w', next_id);
                next_id += 1;
                if !by_id.contains_key(&id) && !session.has(&id)? {
                    break id;
                }
            },
        };
        if by_id.insert(id.clone(), drafts.len()).is_some()
            || item.draft().id.is_some() && session.has(&id)?
        {
            return Err(Error::Exists { id });
        }
        slots.push(Slot::New(drafts.len()));
        drafts.push((id, item));
    }
    let mut made = Vec::with_capacity(drafts.len());
    for (id, item) in drafts {
        let needs = resolve(&session, &id, &item, &by_id, &keys_here)?;
        made.push((id, item, needs));
    }
    let ids: Vec<ItemId> = made.iter().map(|m| m.0.clone()).collect();
    let mut items: Vec<Option<Item>> = Vec::with_capacity(made.len());
    for (id, item, needs) in made {
        let needs = needs
            .into_iter()
            .map(|need| match need {
                Need::Here(at) => ids[at].clone(),
                Need::There(id) => id,
            })
            .collect();
        items.push(Some(item.into_item(id, needs, session.now())));
    }
    let found = record_all(&mut session, items, "add")?;
    finish(session, slots, &found)
}

/// Ends the operation and puts its answer together.
fn finish(mut session: Session<'_>, slots: Vec<Slot>, found: &[Found]) -> Result<Added> {
    if slots.iter().any(|slot| matches!(slot, Slot::Old(_))) {
        session.confirm();
    }
    session.finish()?;
    let (mut existing, mut seen) = (0, BTreeSet::new());
    let items = slots
        .into_iter()
        .map(|slot| match slot {
            Slot::New(at) => {
                existing += usize::from(!seen.insert(at));
                found[at].clone()
            }
            Slot::Old(found) => {
                existing += 1;
                *found
            }
        })
        .collect();
    Ok(Added { items, existing, repeated: false })
}

/// What a new item needs: another of the batch, or one that is there.
enum Need {
    Here(usize),
    There(ItemId),
}

fn resolve(
    session: &Session<'_>,
    id: &ItemId,
    item: &NewItem,
    by_id: &HashMap<ItemId, usize>,
    by_key_here: &HashMap<String, usize>,
) -> Result<Vec<Need>> {
    let mut needs = Vec::new();
    for text in &item.draft().needs {
        if let Ok(needed) = text.parse::<ItemId>() {
            if let Some(at) = by_id.get(&needed) {
                needs.push(Need::Here(*at));
                continue;
            }
            if session.has(&needed)? {
                needs.push(Need::There(needed));
                continue;
            }
        }
        if let Some(at) = by_key_here.get(text) {
            needs.push(Need::Here(*at));
        } else if let Some((_, record)) = by_key(session, text)? {
            needs.push(Need::There(record.item.id));
        } else {
            let (item, missing) = (id.to_string(), text.clone());
            return Err(DependencyError::Missing { item, missing }.into());
        }
    }
    Ok(needs)
}

/// Records new items so that each stands behind those it needs, and gives them in their own order.
fn record_all(
    session: &mut Session<'_>,
    items: Vec<Option<Item>>,
    verb: &str,
) -> Result<Vec<Found>> {
    let room = bits::CAPACITY - 2 - session.index.head.rows;
    if items.len() as u64 > room {
        return Err(Error::Full { limit: bits::CAPACITY - 2 });
    }
    let order = order(&items)?;
    let first = session.next_n();
    let mut items = items;
    let mut records: Vec<Record> = Vec::with_capacity(items.len());
    for (n, at) in (first..).zip(&order) {
        let Some(item) = items[*at].take() else { continue };
        records.push(session.line(n, verb, item));
    }
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let applied: Vec<Applied> = session.commit(&mut records).map_err(|error| match error {
        // The user counts in the order in which they were given.
        Error::New { at, why } => Error::New { at: order[at - 1] + 1, why },
        Error::Transition(crate::domain::work::TransitionError::Limit(why)) => {
            Error::New { at: 1, why }
        }
        other => other,
    })?;
    let mut found: Vec<Option<Found>> = vec![None; records.len()];
    for ((record, done), at) in records.into_iter().zip(applied).zip(order) {
        let row = Row { open_needs: done.open_needs, ..Row::default() };
        found[at] = Some(Session::found(&row, record));
    }
    Ok(found.into_iter().flatten().collect())
}

/// An order in which every item stands behind those of the batch that it needs, otherwise as given.
fn order(items: &[Option<Item>]) -> Result<Vec<usize>> {
    let place: BTreeMap<&ItemId, usize> =
        items.iter().enumerate().filter_map(|(at, item)| Some((&item.as_ref()?.id, at))).collect();
    let needs = |at: usize| -> Vec<usize> {
        let item = items[at].as_ref();
        item.map_or(Vec::new(), |i| i.needs.iter().filter_map(|n| place.get(n).copied()).collect())
    };
    let (mut out, mut state) = (Vec::with_capacity(items.len()), vec![0u8; items.len()]);
    for start in 0..items.len() {
        if state[start] != 0 {
            continue;
        }
        state[start] = 1;
        let mut way = vec![(start, needs(start), 0)];
        while let Some((at, list, next)) = way.last_mut() {
            if let Some(need) = list.get(*next).copied() {
                *next += 1;
                match state[need] {
                    0 => {
                        state[need] = 1;
                        way.push((need, needs(need), 0));
                    }
                    1 => return Err(cycle(items, need)),
                    _ => {}
                }
            } else {
                state[*at] = 2;
                out.push(*at);
                way.pop();
            }
        }
    }
    Ok(out)
}

fn cycle(items: &[Option<Item>], at: usize) -> Error {
    let by_id: BTreeMap<&ItemId, &Item> =
        items.iter().flatten().map(|item| (&item.id, item)).collect();
    let needs =
        |id: &ItemId| Ok::<_, ()>(by_id.get(id).map_or(Vec::new(), |item| item.needs.clone()));
    let path = items[at].as_ref().and_then(|item| find_cycle(&item.id, needs).ok().flatten());
    DependencyError::Cycle { path: path.unwrap_or_default() }.into()
}

/// The items of an operation that is repeated, as it left them.
pub(super) fn again(records: Vec<Record>) -> Vec<Found> {
    records.into_iter().map(|r| Session::found(&Row::default(), r)).collect()
}

/// The first answer of an operation that is repeated: its items in the order in which they are
/// given. `there` finds those that it did not have to make.
fn repeated<T>(
    mut records: Vec<Record>,
    given: &[T],
    is_it: impl Fn(&T, &Record) -> bool,
    there: impl Fn(&T) -> Result<Option<(Row, Record)>>,
) -> Result<Added> {
    // Ids that were made grow in the order in which the items were given.
    records.sort_by(|a, b| {
        let key = |r: &Record| (r.item.id.as_str().len(), r.item.id.clone());
        key(a).cmp(&key(b))
    });
    let (mut items, mut told) = (Vec::with_capacity(given.len()), vec![false; records.len()]);
    for one in given {
        // Two of a batch may be one item; otherwise each stands for one line.
        let fresh = (0..records.len()).find(|at| !told[*at] && is_it(one, &records[*at]));
        if let Some(at) = fresh.or_else(|| records.iter().position(|r| is_it(one, r))) {
            told[at] = true;
            items.push(Session::found(&Row::default(), records[at].clone()));
        } else if let Some((row, record)) = there(one)? {
            items.push(Session::found(&row, record));
        }
    }
    let rest = records.into_iter().zip(told).filter(|(_, told)| !told).map(|(record, _)| record);
    items.extend(again(rest.collect()));
    Ok(Added { existing: items.len(), items, repeated: true })
}

/// Records items as they are; those whose id is there are left alone.
pub(super) fn import(store: &FileStore, items: Vec<Item>, op: &Op) -> Result<Added> {
    let mut session = Session::begin(store, op)?;
    if let Some(records) = session.answered("import")? {
        let is_it = |item: &Item, record: &Record| record.item.id == item.id;
        let added = repeated(records, &items, is_it, |item| session.item(&item.id))?;
        session.finish()?;
        return Ok(added);
    }
    let here: BTreeSet<ItemId> = items.iter().map(|item| item.id.clone()).collect();
    let (mut slots, mut new, mut taken) = (Vec::new(), Vec::new(), HashMap::new());
    for item in items {
        for need in &item.needs {
            if !here.contains(need) && !session.has(need)? {
                let (item, missing) = (item.id.to_string(), need.to_string());
                return Err(DependencyError::Missing { item, missing }.into());
            }
        }
        if let Some(at) = taken.get(&item.id) {
            slots.push(Slot::New(*at));
        } else if let Some((row, record)) = session.item(&item.id)? {
            slots.push(Slot::Old(Box::new(Session::found(&row, record))));
        } else {
            taken.insert(item.id.clone(), new.len());
            slots.push(Slot::New(new.len()));
            new.push(Some(item));
        }
    }
    let found = record_all(&mut session, new, "import")?;
    finish(session, slots, &found)
}
