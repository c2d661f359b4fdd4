//! Working: `claim`, every change of one item, `assign`.

use std::time::Duration;

use super::bits::Set;
use super::keys::Kind;
use super::record::Record;
use super::rows::{Name, Row};
use super::session::Session;
use super::{FileStore, agents, failure};
use crate::domain::name::{AgentId, ItemId, Word};
use crate::domain::work::transition::{self, Outcome};
use crate::domain::work::{
    Change, DependencyError, Found, Item, Op, Priority, Status, TransitionError, Want, find_cycle,
};
use crate::store::{Changed, Claimed, Error, Result};

/// At most so many ids of unblocked items are told.
const TOLD: usize = 100;

/// The first answer of an operation that is repeated.
fn repeated(session: &mut Session<'_>, verb: &str) -> Result<Option<Changed>> {
    let Some(last) = session.answered(verb)?.and_then(|mut records| records.pop()) else {
        return Ok(None);
    };
    let found = Found { n: last.n, updated_at: last.at, open_needs: 0, item: last.item };
    Ok(Some(Changed { found, repeated: true, unblocked: Vec::new() }))
}

/// Gives the best ready item, or the wanted one, to an agent.
pub(super) fn claim(store: &FileStore, want: &Want, op: &Op) -> Result<Claimed> {
    // What the agent said about itself is read before the lock is taken.
    let registered = agents::load(store, &want.agent)?;
    let mut session = Session::begin(store, op)?;
    if let Some(changed) = repeated(&mut session, "claim")? {
        // Nobody may take another's answer for its own item.
        if changed.found.item.agent.as_ref() != Some(&want.agent) {
            let by = changed.found.item.agent.as_ref().map(ToString::to_string);
            let verb = format!("claim by {}", by.unwrap_or_default());
            return Err(Error::OpReused { id: op.id.clone(), verb });
        }
        session.finish()?;
        return Ok(Claimed::Taken(Box::new(changed)));
    }
    expire_due(&mut session)?;
    let slot = session.index.slot_of(Kind::Agent, want.agent.as_str()).map_err(failure::index)?;
    if let Some(agent) = &registered
        && let Some(slot) = slot
    {
        let held = Name::load(&session.index.cells, slot).map_err(failure::index)?.held;
        if held >= agent.capacity && want.id.is_none() {
            session.finish()?;
            return Ok(Claimed::Full { held, capacity: agent.capacity });
        }
    }
    let able = registered.map(|agent| agent.capabilities).unwrap_or_default();
    let (token, now) = (session.next_n(), session.now());
    let picked = match &want.id {
        Some(id) => {
            let Some((row, record)) = session.item(id)? else {
                return not_found(store, id.as_str());
            };
            if record.item.status == Status::Active
                && record.item.agent.as_ref() == Some(&want.agent)
            {
                session.confirm();
                session.finish()?;
                let found = Session::found(&row, record);
                let changed = Changed { found, repeated: true, unblocked: Vec::new() };
                return Ok(Claimed::Taken(Box::new(changed)));
            }
            let item = transition::claim(
                &record.item,
                row.open_needs,
                &want.agent,
                want.lease,
                token,
                now,
            );
            if item.is_ok() && !want.accepts(&record.item, &able) {
                return Err(TransitionError::Unfit { id: id.clone() }.into());
            }
            Some(item?)
        }
        None => match pick(&session, want, &able, slot)? {
            Some((row, record)) => Some(transition::claim(
                &record.item,
                row.open_needs,
                &want.agent,
                want.lease,
                token,
                now,
            )?),
            None => None,
        },
    };
    let Some(item) = picked else {
        let head = &session.index.head;
        let running = head.active > 0 && head.first_lease_end != u64::MAX;
        let left = head.first_lease_end.saturating_sub(now.boot_ms);
        let next_lease_end = running.then(|| Duration::from_millis(left));
        let open = head.pending + head.active;
        session.finish()?;
        return Ok(Claimed::Nothing { next_lease_end, open });
    };
    let changed = commit_one(session, "claim", item)?;
    Ok(Claimed::Taken(Box::new(changed)))
}

/// Queues an item and gives it to an agent: two lines of one transaction.
pub(super) fn start(
    store: &FileStore,
    item: Item,
    agent: &AgentId,
    lease: Duration,
    op: &Op,
) -> Result<Changed> {
    let mut session = Session::begin(store, op)?;
    if let Some(mut records) = session.answered("start")? {
        let last = records.pop().filter(|_| records.len() == 1);
        let found = last.filter(|r| r.item.id == item.id && r.item.agent.as_ref() == Some(agent));
        let Some(last) = found else {
            return Err(Error::OpReused { id: op.id.clone(), verb: "another item".to_owned() });
        };
        session.finish()?;
        let found = Found { n: last.n, updated_at: last.at, open_needs: 0, item: last.item };
        return Ok(Changed { found, repeated: true, unblocked: Vec::new() });
    }
    if session.has(&item.id)? {
        return Err(Error::Exists { id: item.id });
    }
    expire_due(&mut session)?;
    let (n, now) = (session.next_n(), session.now());
    let claimed = transition::claim(&item, 0, agent, lease, n + 1, now)?;
    let mut records = [session.line(n, "add", item), session.line(n + 1, "claim", claimed)];
    session.commit(&mut records)?;
    session.finish()?;
    let [_, record] = records;
    let found = Found { n: record.n, updated_at: record.at, open_needs: 0, item: record.item };
    Ok(Changed { found, repeated: false, unblocked: Vec::new() })
}

fn commit_one(mut session: Session<'_>, verb: &str, item: Item) -> Result<Changed> {
    let mut records = [session.line(session.next_n(), verb, item)];
    let applied = session.commit(&mut records)?;
    let mut unblocked = Vec::new();
    for row in applied.iter().flat_map(|a| &a.unblocked).take(TOLD) {
        let row = Row::load(&session.index.cells, *row).map_err(failure::index)?;
        unblocked.push(session.record(&row)?.item.id);
    }
    let open_needs = applied.first().map_or(0, |a| a.open_needs);
    session.finish()?;
    let [record] = records;
    let found = Found { n: record.n, updated_at: record.at, open_needs, item: record.item };
    Ok(Changed { found, repeated: false, unblocked })
}

/// The best ready item that fits: by priority, then in the order in which items came into the store.
fn pick(
    session: &Session<'_>,
    want: &Want,
    able: &[Word],
    agent: Option<u32>,
) -> Result<Option<(Row, Record)>> {
    let cells = &session.index.cells;
    let team = match &want.team {
        Some(team) => {
            let slot = session.index.slot_of(Kind::Team, team.as_str()).map_err(failure::index)?;
            // A team without a slot has no items; those kept for the agent remain.
            Some(slot.unwrap_or(u32::MAX >> 8))
        }
        None => None,
    };
    for priority in Priority::ALL {
        let common = team.map_or(Set::Ready(priority), |slot| Set::Of(slot, priority));
        let own = agent.map(|slot| Set::Of(slot, priority));
        let (mut from_common, mut from_own) = (0, 0);
        loop {
            let a = common.next(cells, from_common).map_err(failure::index)?;
            let b = match own {
                Some(own) => own.next(cells, from_own).map_err(failure::index)?,
                None => None,
            };
            let number = match (a, b) {
                (None, None) => break,
                (Some(a), Some(b)) => a.min(b),
                (Some(one), None) | (None, Some(one)) => one,
            };
            (from_common, from_own) = (number + 1, number + 1);
            let row = Row::load(cells, number).map_err(failure::index)?;
            let record = session.record(&row)?;
            if want.accepts(&record.item, able) {
                session.index.remember(record.item.id.as_str(), number);
                return Ok(Some((row, record)));
            }
        }
    }
    Ok(None)
}

/// Takes back every item whose lease has run out.
fn expire_due(session: &mut Session<'_>) -> Result<()> {
    let now = session.now();
    if session.index.head.first_lease_end > now.boot_ms {
        return Ok(());
    }
    let (mut from, mut first, mut due, mut renewed) = (0, u64::MAX, Vec::new(), Vec::new());
    while let Some(number) = Set::Active.next(&session.index.cells, from).map_err(failure::index)? {
        from = number + 1;
        let row = Row::load(&session.index.cells, number).map_err(failure::index)?;
        if row.lease_end > now.boot_ms {
            first = first.min(row.lease_end);
            continue;
        }
        let record = session.record(&row)?;
        // Signs of life stand in the agent's own file, where they cost no lock.
        let lease = record.item.lease.map(|lease| match &record.item.agent {
            Some(agent) => agents::renewed(session.store, agent, lease, now),
            None => lease,
        });
        match lease.and_then(|lease| lease.left(now)) {
            Some(left) => {
                let end = now.boot_ms + u64::try_from(left.as_millis()).unwrap_or(u64::MAX >> 1);
                first = first.min(end);
                renewed.push((number, end));
            }
            None => due.push(record.item),
        }
    }
    for (number, end) in renewed {
        let mut row = Row::load(&session.index.cells, number).map_err(failure::index)?;
        row.lease_end = end;
        row.store(&mut session.index.cells, number).map_err(failure::index)?;
    }
    session.index.head.first_lease_end = first;
    let start = session.next_n();
    let mut records: Vec<Record> = (start..)
        .zip(due)
        .map(|(n, item)| session.line(n, "expire", transition::expire(&item, now)))
        .collect();
    if !records.is_empty() {
        session.commit(&mut records)?;
    }
    Ok(())
}

/// Changes one item.
pub(super) fn change(store: &FileStore, id: &ItemId, change: &Change, op: &Op) -> Result<Changed> {
    let mut session = Session::begin(store, op)?;
    if let Some(changed) = repeated(&mut session, change.verb())? {
        if changed.found.item.id != *id {
            let verb = format!("{} of {}", change.verb(), changed.found.item.id);
            return Err(Error::OpReused { id: op.id.clone(), verb });
        }
        session.finish()?;
        return Ok(changed);
    }
    let Some((row, old)) = session.item(id)? else { return not_found(store, id.as_str()) };
    if let Change::Edit(edit) = change
        && !edit.add_needs.is_empty()
    {
        check_needs(&session, &old.item, &edit.add_needs)?;
    }
    match transition::apply(&old.item, row.open_needs, change, session.now())? {
        Outcome::Already => {
            session.confirm();
            session.finish()?;
            let found = Session::found(&row, old);
            Ok(Changed { found, repeated: true, unblocked: Vec::new() })
        }
        Outcome::Changed(item) => commit_one(session, change.verb(), *item),
    }
}

/// Whether an item may wait for these as well.
fn check_needs(session: &Session<'_>, item: &Item, more: &[ItemId]) -> Result<()> {
    for need in more {
        if !session.has(need)? {
            let (item, missing) = (item.id.to_string(), need.to_string());
            return Err(DependencyError::Missing { item, missing }.into());
        }
    }
    let needs_of = |id: &ItemId| -> Result<Vec<ItemId>> {
        if *id == item.id {
            return Ok(item.needs.iter().chain(more).cloned().collect());
        }
        match session.item(id)? {
            Some((_, record)) if record.item.status != Status::Done => Ok(record.item.needs),
            _ => Ok(Vec::new()),
        }
    };
    match find_cycle(&item.id, needs_of)? {
        Some(path) => Err(DependencyError::Cycle { path }.into()),
        None => Ok(()),
    }
}

/// Keeps pending items for agents, all or none; others are left alone.
pub(super) fn assign(
    store: &FileStore,
    moves: &[(ItemId, Option<AgentId>)],
    op: &Op,
) -> Result<Vec<Found>> {
    let mut session = Session::begin(store, op)?;
    if let Some(records) = session.answered("assign")? {
        session.finish()?;
        return Ok(super::queue::again(records));
    }
    let (mut records, mut open_needs) = (Vec::new(), Vec::new());
    for (id, agent) in moves {
        let Some((row, old)) = session.item(id)? else {
            return not_found(store, id.as_str());
        };
        let change = Change::Assign(agent.clone());
        if let Ok(Outcome::Changed(item)) =
            transition::apply(&old.item, row.open_needs, &change, session.now())
        {
            let n = session.next_n() + records.len() as u64;
            records.push(session.line(n, "assign", *item));
            open_needs.push(row.open_needs);
        }
    }
    if !records.is_empty() {
        session.commit(&mut records)?;
    }
    session.finish()?;
    let found = |(r, open_needs): (Record, u32)| Found {
        n: r.n,
        updated_at: r.at,
        open_needs,
        item: r.item,
    };
    Ok(records.into_iter().zip(open_needs).map(found).collect())
}

/// Says that there is no such item, with what it may have been meant to be. Reads without a lock.
pub(super) fn not_found<T>(store: &FileStore, id: &str) -> Result<T> {
    let similar = store.read(|state| state.similar(id)).unwrap_or_default();
    Err(Error::NotFound { id: id.to_owned(), similar })
}
