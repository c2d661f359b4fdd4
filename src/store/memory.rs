//! The store in memory: nothing durable, nothing clever. It is what the others are measured by.
//!
//! Every answer is worked out anew from the list of events and the newest image of each item, so
//! that there is no second bookkeeping that could be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    Acquired, Added, Changed, Claimed, Error, Event, Lock, Removed, Result, Seen, Store, Summary,
    TeamSummary, Verified,
};
use crate::domain::agent::{Agent, Known};
use crate::domain::name::{AgentId, ItemId, OpId, Team, Word};
use crate::domain::time::Stamp;
use crate::domain::work::transition::{self, Holder, Outcome};
use crate::domain::work::{
    Change, DependencyError, Found, Item, Lease, Limits, NewError, NewItem, Op, Page, Query, State,
    Status, TransitionError, Want, find_cycle,
};

/// A handle; clones share one state.
#[derive(Clone, Default)]
pub(super) struct MemoryStore(Arc<Mutex<Shared>>);

#[derive(Clone, Default)]
struct Shared {
    events: Vec<Event>,
    /// The place of the newest event of each item.
    items: BTreeMap<ItemId, usize>,
    /// Ids in the order in which they were added.
    order: Vec<ItemId>,
    next_id: u64,
    answers: BTreeMap<OpId, (DateTime<Utc>, &'static str, Answer)>,
    agents: BTreeMap<AgentId, Agent>,
    beats: BTreeMap<AgentId, Stamp>,
    locks: BTreeMap<Word, Named>,
}

#[derive(Clone)]
enum Answer {
    Added(Added),
    Changed(Box<Changed>),
    Removed(Removed),
}

#[derive(Clone)]
struct Named {
    lock: Lock,
    held: bool,
    op: OpId,
}

impl Named {
    fn is_running(&self, now: Stamp) -> bool {
        self.held && self.lock.lease.left(now).is_some()
    }
}

impl Shared {
    fn n(&self) -> u64 {
        self.events.last().map_or(0, |event| event.n)
    }

    fn record(&mut self, verb: &str, item: Item, op: &Op) -> ItemId {
        let (id, n) = (item.id.clone(), self.n() + 1);
        let (at, by, op) = (op.now.wall, op.by.clone(), op.id.clone());
        if !self.items.contains_key(&id) {
            self.order.push(id.clone());
            if let Some(number) = id.as_str().strip_prefix("w-").and_then(|d| d.parse().ok()) {
                self.next_id = self.next_id.max(number);
            }
        }
        self.items.insert(id.clone(), self.events.len());
        self.events.push(Event { n, verb: verb.to_owned(), at, by, op, item });
        id
    }

    fn event(&self, id: &ItemId) -> Option<&Event> {
        self.items.get(id).map(|at| &self.events[*at])
    }

    fn item(&self, id: &ItemId) -> Result<&Item> {
        let missing = || Error::NotFound { id: id.to_string(), similar: self.similar(id.as_str()) };
        self.event(id).map(|event| &event.item).ok_or_else(missing)
    }

    fn open_needs(&self, item: &Item) -> u32 {
        let open = |id: &&ItemId| {
            **id != item.id && self.event(id).is_none_or(|e| e.item.status != Status::Done)
        };
        u32::try_from(item.needs.iter().filter(open).count()).unwrap_or(u32::MAX)
    }

    fn found(&self, id: &ItemId) -> Option<Found> {
        let event = self.event(id)?;
        Some(Found {
            open_needs: self.open_needs(&event.item),
            item: event.item.clone(),
            n: event.n,
            updated_at: event.at,
        })
    }

    /// Every item, in the order in which they were added.
    fn all(&self) -> Vec<Found> {
        self.order.iter().filter_map(|id| self.found(id)).collect()
    }

    fn by_key(&self, key: &str) -> Option<&ItemId> {
        self.order
            .iter()
            .find(|id| self.event(id).is_some_and(|event| event.item.key.as_deref() == Some(key)))
    }

    fn similar(&self, id: &str) -> Vec<ItemId> {
        let distance = |have: &ItemId| strsim::osa_distance(have.as_str(), id);
        let near = |d: usize| d <= 2 && d < id.chars().count();
        let mut close: Vec<_> = self.order.iter().filter(|have| near(distance(have))).collect();
        close.sort_by_key(|have| distance(have));
        close.into_iter().take(5).cloned().collect()
    }

    fn first_answer(&self, op: &Op, kind: &'static str) -> Result<Option<Answer>> {
        match self.answers.get(&op.id) {
            Some((at, was, answer)) if op.given && *at >= op.now.wall - TimeDelta::days(7) => {
                if *was == kind {
                    Ok(Some(answer.clone()))
                } else {
                    Err(Error::OpReused { id: op.id.clone(), verb: (*was).to_owned() })
                }
            }
            _ => Ok(None),
        }
    }

    fn remember(&mut self, op: &Op, kind: &'static str, answer: Answer) {
        self.answers.insert(op.id.clone(), (op.now.wall, kind, answer));
    }

    /// Records new items, each behind those of the batch that it needs.
    fn record_all(&mut self, items: &[Item], verb: &str, op: &Op) -> Result<()> {
        let needs_of = |id: &ItemId| {
            let item = items.iter().find(|item| item.id == *id);
            Ok::<_, Error>(item.map_or(Vec::new(), |item| item.needs.clone()))
        };
        for item in items {
            if let Some(path) = find_cycle(&item.id, needs_of)? {
                return Err(DependencyError::Cycle { path }.into());
            }
        }
        let mut order = Vec::new();
        for item in items {
            visit(item, items, &mut order);
        }
        for item in order {
            self.record(verb, item.clone(), op);
        }
        Ok(())
    }

    fn added(&self, ids: &[ItemId], existing: usize) -> Added {
        let items = ids.iter().filter_map(|id| self.found(id)).collect();
        Added { items, existing, repeated: false }
    }

    /// Whether a claim still holds: its own lease, or the one that its holder's last sign of life gave it.
    fn is_held(&self, item: &Item, now: Stamp) -> bool {
        let beat = item.agent.as_ref().and_then(|agent| self.beats.get(agent));
        item.lease.is_some_and(|lease| {
            beat.map_or(lease, |beat| lease.after_sign(*beat, now)).left(now).is_some()
        })
    }

    fn expire_due(&mut self, op: &Op) {
        for found in self.all() {
            if found.item.status == Status::Active && !self.is_held(&found.item, op.now) {
                self.record("expire", transition::expire(&found.item, op.now), op);
            }
        }
    }

    fn held(&self, agent: &AgentId) -> Vec<Found> {
        let mut held = self.all();
        held.retain(|f| f.item.status == Status::Active && f.item.agent.as_ref() == Some(agent));
        held.sort_by_key(|f| f.item.token);
        held
    }

    fn ready(&self) -> BTreeSet<ItemId> {
        let ready = self.all().into_iter().filter(|f| f.state() == State::Pending);
        ready.map(|f| f.item.id).collect()
    }

    fn apply(&mut self, verb: &'static str, item: Item, op: &Op) -> Result<Changed> {
        let before = self.ready();
        let id = self.record(verb, item, op);
        let after = self.ready();
        let new =
            |other: &&ItemId| **other != id && after.contains(*other) && !before.contains(*other);
        let unblocked = self.order.iter().filter(new).take(100).cloned().collect();
        let found = self.found(&id).ok_or(Error::NoAgent { id: id.to_string() })?;
        let changed = Changed { found, repeated: false, unblocked };
        self.remember(op, verb, Answer::Changed(Box::new(changed.clone())));
        Ok(changed)
    }

    fn check_needs(&self, item: &Item, more: &[ItemId]) -> Result<()> {
        if let Some(missing) = more.iter().find(|need| !self.items.contains_key(*need)) {
            let (item, missing) = (item.id.to_string(), missing.to_string());
            return Err(DependencyError::Missing { item, missing }.into());
        }
        let needs_of = |id: &ItemId| -> Result<Vec<ItemId>> {
            let have = self.event(id).map(|event| &event.item);
            Ok(match have {
                Some(have) if have.id == item.id => {
                    have.needs.iter().chain(more).cloned().collect()
                }
                Some(have) if have.status != Status::Done => have.needs.clone(),
                _ => Vec::new(),
            })
        };
        match find_cycle(&item.id, needs_of)? {
            Some(path) => Err(DependencyError::Cycle { path }.into()),
            None => Ok(()),
        }
    }

    /// Every event together with the image before it.
    fn steps(&self) -> Vec<(Option<&Item>, &Event)> {
        let mut images: BTreeMap<&ItemId, &Item> = BTreeMap::new();
        self.events.iter().map(|e| (images.insert(&e.item.id, &e.item), e)).collect()
    }
}

impl MemoryStore {
    fn state(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something wholly or not at all.
    fn all_or_nothing<T>(&self, work: impl FnOnce(&mut Shared) -> Result<T>) -> Result<T> {
        let mut state = self.state();
        let mut copy = state.clone();
        let done = work(&mut copy);
        if done.is_ok() {
            *state = copy;
        }
        done
    }
}

/// An item behind those of the batch that it needs.
fn visit<'a>(item: &'a Item, all: &'a [Item], out: &mut Vec<&'a Item>) {
    if out.iter().any(|have| have.id == item.id) {
        return;
    }
    for need in &item.needs {
        if let Some(need) = all.iter().find(|other| other.id == *need) {
            visit(need, all, out);
        }
    }
    out.push(item);
}

fn holds(item: &Item) -> Option<&AgentId> {
    item.agent.as_ref().filter(|_| item.status == Status::Active)
}

impl Store for MemoryStore {
    fn add(&mut self, items: Vec<NewItem>, op: &Op) -> Result<Added> {
        if items.len() > Limits::BATCH {
            let (value, max) = (items.len() as u64, Limits::BATCH as u64);
            let why = NewError::Range { field: "items in one transaction", value, min: 0, max };
            return Err(Error::New { at: Limits::BATCH + 1, why });
        }
        self.all_or_nothing(|state| {
            if let Some(Answer::Added(first)) = state.first_answer(op, "add")? {
                return Ok(Added { repeated: true, ..first });
            }
            let (mut ids, mut new, mut existing) = (Vec::new(), Vec::<(ItemId, NewItem)>::new(), 0);
            let mut next = state.next_id;
            for item in items {
                if let Some(key) = &item.draft().key {
                    let here =
                        new.iter().find(|(_, other)| other.draft().key.as_ref() == Some(key));
                    if let Some(id) = here.map(|(id, _)| id).or(state.by_key(key)) {
                        ids.push(id.clone());
                        existing += 1;
                        continue;
                    }
                }
                let taken = |id: &ItemId| {
                    state.items.contains_key(id) || new.iter().any(|(other, _)| other == id)
                };
                let id = item.draft().id.clone().unwrap_or_else(|| {
                    loop {
                        next += 1;
                        let id = ItemId::numbered('w', next);
                        if !taken(&id) {
                            break id;
                        }
                    }
                });
                if taken(&id) {
                    return Err(Error::Exists { id });
                }
                ids.push(id.clone());
                new.push((id, item));
            }
            let mut made = Vec::new();
            for (id, item) in &new {
                let mut needs = Vec::new();
                for text in &item.draft().needs {
                    let by_id = text.parse::<ItemId>().ok().filter(|need| {
                        state.items.contains_key(need) || new.iter().any(|(id, _)| id == need)
                    });
                    let here = new.iter().find(|(_, o)| o.draft().key.as_deref() == Some(text));
                    let by_key = here.map(|(id, _)| id).or(state.by_key(text)).cloned();
                    let (item, missing) = (id.to_string(), text.clone());
                    needs.push(by_id.or(by_key).ok_or(DependencyError::Missing { item, missing })?);
                }
                made.push(item.clone().into_item(id.clone(), needs, op.now));
            }
            state.record_all(&made, "add", op)?;
            let added = state.added(&ids, existing);
            if !made.is_empty() {
                state.remember(op, "add", Answer::Added(added.clone()));
            }
            Ok(added)
        })
    }

    fn import(&mut self, items: Vec<Item>, op: &Op) -> Result<Added> {
        self.all_or_nothing(|state| {
            if let Some(Answer::Added(first)) = state.first_answer(op, "import")? {
                return Ok(Added { repeated: true, ..first });
            }
            let here: BTreeSet<ItemId> = items.iter().map(|item| item.id.clone()).collect();
            let (mut ids, mut new, mut existing) = (Vec::new(), Vec::<Item>::new(), 0);
            for item in items {
                let is_there = |id: &&ItemId| here.contains(*id) || state.items.contains_key(*id);
                if let Some(missing) = item.needs.iter().find(|need| !is_there(need)) {
                    let (item, missing) = (item.id.to_string(), missing.to_string());
                    return Err(DependencyError::Missing { item, missing }.into());
                }
                ids.push(item.id.clone());
                if state.items.contains_key(&item.id) || new.iter().any(|o| o.id == item.id) {
                    existing += 1;
                } else {
                    new.push(item);
                }
            }
            state.record_all(&new, "import", op)?;
            let added = state.added(&ids, existing);
            if !new.is_empty() {
                state.remember(op, "import", Answer::Added(added.clone()));
            }
            Ok(added)
        })
    }

    fn claim(&mut self, want: &Want, op: &Op) -> Result<Claimed> {
        let mut state = self.state();
        if let Some(Answer::Changed(first)) = state.first_answer(op, "claim")? {
            if first.found.item.agent.as_ref() != Some(&want.agent) {
                return Err(Error::OpReused {
                    id: op.id.clone(),
                    verb: "claim by another".to_owned(),
                });
            }
            return Ok(Claimed::Taken(Box::new(Changed { repeated: true, ..*first })));
        }
        // Taking back is no part of the claim: it stays done even if the claim is refused.
        state.expire_due(op);
        let agent = state.agents.get(&want.agent).cloned();
        let able = agent.as_ref().map(|a| a.capabilities.clone()).unwrap_or_default();
        let id = if let Some(id) = &want.id {
            let item = state.item(id)?;
            if holds(item) == Some(&want.agent) {
                let found = state.found(id).ok_or(Error::NoAgent { id: id.to_string() })?;
                let changed = Changed { found, repeated: true, unblocked: Vec::new() };
                return Ok(Claimed::Taken(Box::new(changed)));
            }
            Some(id.clone())
        } else {
            let held = u32::try_from(state.held(&want.agent).len()).unwrap_or(u32::MAX);
            if let Some(capacity) = agent.map(|a| a.capacity).filter(|c| held >= *c) {
                return Ok(Claimed::Full { held, capacity });
            }
            let mut ready = state.all();
            ready.retain(|f| f.state() == State::Pending && want.accepts(&f.item, &able));
            ready.sort_by_key(|f| f.item.priority);
            ready.into_iter().next().map(|f| f.item.id)
        };
        let Some(id) = id else {
            let all = state.all();
            let open = all.iter().filter(|f| !f.item.status.is_finished()).count() as u64;
            let lease_end = |f: &Found| {
                let lease = f.item.lease.filter(|_| f.item.status == Status::Active)?;
                let beat = f.item.agent.as_ref().and_then(|agent| state.beats.get(agent));
                beat.map_or(lease, |beat| lease.after_sign(*beat, op.now)).left(op.now)
            };
            let next_lease_end = all.iter().filter_map(lease_end).min();
            return Ok(Claimed::Nothing { next_lease_end, open });
        };
        let (item, token) = (state.item(&id)?, state.n() + 1);
        let open_needs = state.open_needs(item);
        let next = transition::claim(item, open_needs, &want.agent, want.lease, token, op.now)?;
        if !want.accepts(item, &able) {
            return Err(TransitionError::Unfit { id }.into());
        }
        Ok(Claimed::Taken(Box::new(state.apply("claim", next, op)?)))
    }

    fn start(&mut self, item: Item, agent: &AgentId, lease: Duration, op: &Op) -> Result<Changed> {
        let mut state = self.state();
        if let Some(Answer::Changed(first)) = state.first_answer(op, "start")? {
            let same = &first.found.item;
            if same.id != item.id || same.agent.as_ref() != Some(agent) {
                let verb = "another item".to_owned();
                return Err(Error::OpReused { id: op.id.clone(), verb });
            }
            return Ok(Changed { repeated: true, ..*first });
        }
        if state.items.contains_key(&item.id) {
            return Err(Error::Exists { id: item.id });
        }
        state.expire_due(op);
        let claimed = transition::claim(&item, 0, agent, lease, state.n() + 2, op.now)?;
        state.record("add", item, op);
        let changed = state.apply("claim", claimed, op)?;
        state.remember(op, "start", Answer::Changed(Box::new(changed.clone())));
        Ok(changed)
    }

    fn change(&mut self, id: &ItemId, change: &Change, op: &Op) -> Result<Changed> {
        self.all_or_nothing(|state| {
            if let Some(Answer::Changed(first)) = state.first_answer(op, change.verb())? {
                if first.found.item.id != *id {
                    let verb = format!("{} of {}", change.verb(), first.found.item.id);
                    return Err(Error::OpReused { id: op.id.clone(), verb });
                }
                return Ok(Changed { repeated: true, ..*first });
            }
            let item = state.item(id)?;
            if let Change::Edit(edit) = change {
                state.check_needs(item, &edit.add_needs)?;
            }
            match transition::apply(item, state.open_needs(item), change, op.now)? {
                Outcome::Changed(item) => state.apply(change.verb(), *item, op),
                Outcome::Already => {
                    let found = state.found(id).ok_or(Error::NoAgent { id: id.to_string() })?;
                    Ok(Changed { found, repeated: true, unblocked: Vec::new() })
                }
            }
        })
    }

    fn assign(&mut self, moves: &[(ItemId, Option<AgentId>)], op: &Op) -> Result<Vec<Found>> {
        self.all_or_nothing(|state| {
            if let Some(Answer::Added(first)) = state.first_answer(op, "assign")? {
                return Ok(first.items);
            }
            let mut ids = Vec::new();
            for (id, agent) in moves {
                let item = state.item(id)?;
                let change = Change::Assign(agent.clone());
                if let Ok(Outcome::Changed(item)) =
                    transition::apply(item, state.open_needs(item), &change, op.now)
                {
                    ids.push(state.record("assign", *item, op));
                }
            }
            let added = state.added(&ids, 0);
            if !ids.is_empty() {
                state.remember(op, "assign", Answer::Added(added.clone()));
            }
            Ok(added.items)
        })
    }

    fn get(&self, id: &str) -> Result<Found> {
        let state = self.state();
        let exact = state.order.iter().find(|have| have.as_str() == id);
        let fits = |have: &&ItemId| !id.is_empty() && have.as_str().starts_with(id);
        let matches: Vec<ItemId> = match exact {
            Some(exact) => vec![exact.clone()],
            None => state.order.iter().filter(fits).take(6).cloned().collect(),
        };
        let missing = || Error::NotFound { id: id.to_owned(), similar: state.similar(id) };
        match matches.as_slice() {
            [] => Err(missing()),
            [one] => state.found(one).ok_or_else(missing),
            _ => Err(Error::Ambiguous { id: id.to_owned(), matches }),
        }
    }

    fn find(&self, query: &Query) -> Result<Page> {
        let mut items = self.state().all();
        items.retain(|found| query.matches(found));
        items.sort_by(|a, b| query.compare(a, b));
        let total = items.len() as u64;
        items.truncate(query.limit.unwrap_or(usize::MAX));
        Ok(Page { items, total })
    }

    fn held(&self, agent: &AgentId) -> Result<Vec<Found>> {
        Ok(self.state().held(agent))
    }

    fn summary(&self) -> Result<Summary> {
        let state = self.state();
        let all = state.all();
        let count = |s: State| all.iter().filter(|f| f.state() == s).count() as u64;
        let done = all.iter().filter(|f| f.item.status == Status::Done);
        let points = done.map(|f| u64::from(f.item.points.unwrap_or(0))).sum();
        Ok(Summary { n: state.n(), states: State::ALL.map(count), points })
    }

    fn teams(&self) -> Result<Vec<TeamSummary>> {
        let state = self.state();
        let all = state.all();
        // A team stays known once it had work.
        let known: BTreeSet<&Team> =
            state.events.iter().filter_map(|event| event.item.team.as_ref()).collect();
        let summary = |team: &Team| {
            let its = || all.iter().map(|f| &f.item).filter(|i| i.team.as_ref() == Some(team));
            let done = || its().filter(|item| item.status == Status::Done);
            TeamSummary {
                team: team.clone(),
                open: its().filter(|item| !item.status.is_finished()).count() as u64,
                done: done().count() as u64,
                points: done().map(|item| u64::from(item.points.unwrap_or(0))).sum(),
            }
        };
        Ok(known.into_iter().map(summary).collect())
    }

    fn events(&self, since: u64, see: &mut dyn FnMut(&Event) -> bool) -> Result<()> {
        let events = self.state().events.clone();
        let _ = events.iter().filter(|event| event.n > since).all(see);
        Ok(())
    }

    fn history(&self, id: &ItemId) -> Result<Vec<Event>> {
        Ok(self.state().events.iter().filter(|event| event.item.id == *id).cloned().collect())
    }

    fn register(&mut self, agent: &Agent, _op: &Op) -> Result<()> {
        self.state().agents.insert(agent.id.clone(), agent.clone());
        Ok(())
    }

    fn heartbeat(&mut self, id: &AgentId, op: &Op) -> Result<bool> {
        let mut state = self.state();
        state.beats.insert(id.clone(), op.now);
        Ok(state.agents.contains_key(id))
    }

    fn agents(&self) -> Result<Vec<Known>> {
        let state = self.state();
        let mut known: BTreeMap<AgentId, Known> = BTreeMap::new();
        let blank = |id: &AgentId| Known {
            agent: None,
            id: id.clone(),
            seen_at: None,
            held: 0,
            done: 0,
            failed: 0,
            expired: 0,
            points: 0,
        };
        for (id, agent) in &state.agents {
            known.entry(id.clone()).or_insert_with(|| blank(id)).agent = Some(agent.clone());
        }
        for (id, beat) in &state.beats {
            known.entry(id.clone()).or_insert_with(|| blank(id)).seen_at = Some(beat.wall);
        }
        for (before, event) in state.steps() {
            let holder = before.and_then(holds);
            let is_done = |item: &Item| item.status == Status::Done;
            let done = is_done(&event.item) && !before.is_some_and(is_done);
            let who = if done { holder.or(event.item.agent.as_ref()) } else { holder };
            let who = if event.verb == "claim" { event.item.agent.as_ref() } else { who };
            let Some(who) = who else { continue };
            let known = known.entry(who.clone()).or_insert_with(|| blank(who));
            match event.verb.as_str() {
                _ if done => {
                    known.done += 1;
                    known.points += u64::from(event.item.points.unwrap_or(0));
                }
                "fail" => known.failed += 1,
                "expire" => known.expired += 1,
                _ => {}
            }
            if matches!(event.verb.as_str(), "claim" | "progress" | "complete" | "fail") {
                known.seen_at = known.seen_at.max(Some(event.at));
            }
        }
        for found in state.all() {
            if let Some(known) = holds(&found.item).and_then(|agent| known.get_mut(agent)) {
                known.held += 1;
            }
        }
        Ok(known.into_values().collect())
    }

    fn agent(&self, id: &AgentId) -> Result<Option<Agent>> {
        Ok(self.state().agents.get(id).cloned())
    }

    fn remove_agent(&mut self, id: &AgentId, op: &Op) -> Result<Removed> {
        self.all_or_nothing(|state| {
            if let Some(Answer::Removed(first)) = state.first_answer(op, "remove")? {
                return Ok(first);
            }
            let names =
                |item: &Item| item.agent.as_ref() == Some(id) || item.assignee.as_ref() == Some(id);
            let registered = state.agents.remove(id).is_some();
            let beat = state.beats.remove(id).is_some();
            if !registered && !beat && !state.events.iter().any(|event| names(&event.item)) {
                return Err(Error::NoAgent { id: id.to_string() });
            }
            let (mut ids, all) = (Vec::new(), state.all());
            for Found { item, open_needs, .. } in all.iter().filter(|f| holds(&f.item) == Some(id))
            {
                let holder = Holder { agent: id.clone(), token: None };
                let note = Some(format!("`{id}` was removed"));
                let change = Change::Release { holder, note };
                if let Outcome::Changed(item) =
                    transition::apply(item, *open_needs, &change, op.now)?
                {
                    ids.push(state.record("release", *item, op));
                }
            }
            let mut kept: Vec<&Found> = all
                .iter()
                .filter(|f| {
                    f.item.status == Status::Pending && f.item.assignee.as_ref() == Some(id)
                })
                .collect();
            kept.sort_by_key(|f| f.item.priority);
            for Found { item, open_needs, .. } in kept {
                if let Outcome::Changed(item) =
                    transition::apply(item, *open_needs, &Change::Assign(None), op.now)?
                {
                    ids.push(state.record("assign", *item, op));
                }
            }
            let removed = Removed { items: state.added(&ids, 0).items, registered };
            if !ids.is_empty() {
                state.remember(op, "remove", Answer::Removed(removed.clone()));
            }
            Ok(removed)
        })
    }

    fn acquire(
        &mut self,
        name: &Word,
        length: Duration,
        note: Option<&str>,
        op: &Op,
    ) -> Result<Acquired> {
        let mut state = self.state();
        let last = state.locks.get(name);
        if let Some(last) = last.filter(|last| last.is_running(op.now)) {
            let lock = last.lock.clone();
            let again = op.given && last.op == op.id;
            return Ok(if again { Acquired::Yes(lock) } else { Acquired::Held(lock) });
        }
        let lock = Lock {
            name: name.clone(),
            holder: op.by.clone(),
            token: last.map_or(1, |last| last.lock.token + 1),
            since: op.now.wall,
            lease: Lease::start(op.now, length),
            note: note.map(str::to_owned),
        };
        let named = Named { lock: lock.clone(), held: true, op: op.id.clone() };
        state.locks.insert(name.clone(), named);
        Ok(Acquired::Yes(lock))
    }

    fn renew(&mut self, name: &Word, token: u64, op: &Op) -> Result<Acquired> {
        let mut state = self.state();
        let Some(last) = state.locks.get_mut(name) else { return Err(never(name)) };
        if !last.held || last.lock.token != token {
            return Ok(Acquired::Held(last.lock.clone()));
        }
        last.lock.lease = last.lock.lease.renewed(op.now);
        Ok(Acquired::Yes(last.lock.clone()))
    }

    fn unlock(&mut self, name: &Word, token: u64, _op: &Op) -> Result<bool> {
        let mut state = self.state();
        let Some(last) = state.locks.get_mut(name) else { return Err(never(name)) };
        let ours = last.held && last.lock.token == token;
        last.held &= !ours;
        Ok(ours)
    }

    fn locks(&self, op: &Op) -> Result<Vec<Lock>> {
        let state = self.state();
        Ok(state.locks.values().filter(|l| l.is_running(op.now)).map(|l| l.lock.clone()).collect())
    }

    fn verify(&mut self, _repair: bool, _op: &Op) -> Result<Verified> {
        let state = self.state();
        let (lines, items) = (state.events.len() as u64, state.items.len() as u64);
        Ok(Verified { n: state.n(), lines, items, ..Verified::default() })
    }

    fn seen(&self, _n: u64) -> Result<Vec<Seen>> {
        Ok(Vec::new())
    }

    fn wait(&self, _time: Duration) -> Result<()> {
        Ok(())
    }

    fn describe(&self) -> Result<Value> {
        let state = self.state();
        Ok(json!({ "kind": "memory", "n": state.n(), "items": state.items.len() }))
    }
}

fn never(name: &Word) -> Error {
    let source = std::io::Error::new(std::io::ErrorKind::NotFound, "it was never taken");
    Error::Io { what: format!("find the lock `{name}`"), source }
}
