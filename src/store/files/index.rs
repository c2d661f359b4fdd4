//! The index: everything that must be known quickly, derived from the log line by line.
//!
//! Applying the same lines in the same order gives the same index, in files or in memory; that is
//! what a rebuild does and what `verify` compares.

use std::cell::Cell;
use std::io;

use super::bits::{CAPACITY, Set};
use super::cells::Cells;
use super::head::Head;
use super::keys::{self, Kind};
use super::record::{Record, Slim};
use super::rows::{Edge, Name, Place, Row};
use crate::domain::time::{Stamp, parse_rfc3339, with_rfc3339};
use crate::domain::work::{Lease, Priority, Status};

/// What the index needs of a line.
pub(super) struct Facts<'a> {
    pub(super) n: u64,
    pub(super) id: &'a str,
    pub(super) status: Status,
    pub(super) priority: Priority,
    pub(super) team: Option<&'a str>,
    pub(super) needs: Vec<&'a str>,
    pub(super) assignee: Option<&'a str>,
    pub(super) agent: Option<&'a str>,
    /// In milliseconds of the present boot's clock.
    pub(super) lease_end: u64,
    pub(super) picky: bool,
    pub(super) points: u64,
    pub(super) born: u32,
    pub(super) key: Option<&'a str>,
    pub(super) verb: &'a str,
    /// The operation's id; nothing if it is too old to be asked for.
    pub(super) op: Option<&'a str>,
    pub(super) at_ms: u64,
}

/// The end of a lease on the present boot's clock, as well as it can be known.
fn lease_end(lease: &Lease, now: Stamp) -> u64 {
    if lease.boot == now.boot {
        lease.until_ms
    } else {
        let left = (lease.until - now.wall).num_milliseconds();
        now.boot_ms.saturating_add_signed(left)
    }
}

fn born(created: &str) -> u32 {
    u32::try_from(keys::hash(0, created.as_bytes()) >> 32).unwrap_or(0)
}

impl<'a> Facts<'a> {
    pub(super) fn of(record: &'a Record, now: Stamp) -> Self {
        let item = &record.item;
        Self {
            n: record.n,
            id: item.id.as_str(),
            status: item.status,
            priority: item.priority,
            team: item.team.as_ref().map(AsRef::as_ref),
            needs: item.needs.iter().map(AsRef::as_ref).collect(),
            assignee: item.assignee.as_ref().map(AsRef::as_ref),
            agent: item.agent.as_ref().map(AsRef::as_ref),
            lease_end: item.lease.as_ref().map_or(0, |lease| lease_end(lease, now)),
            picky: !item.capabilities.is_empty(),
            points: item.points.unwrap_or(0).into(),
            born: with_rfc3339(item.created_at, born),
            key: item.key.as_deref(),
            verb: &record.verb,
            op: Some(record.op.as_str()),
            at_ms: u64::try_from(record.at.timestamp_millis()).unwrap_or(0),
        }
    }

    /// Reads them from a line; nothing if it lacks what every line about an item has. `ops_since`
    /// is the oldest time, as text, whose operations are remembered.
    pub(super) fn from_slim(slim: &'a Slim<'a>, now: Stamp, ops_since: &str) -> Option<Self> {
        let status = slim.status.as_deref()?.parse().ok()?;
        let at = slim.at.as_deref()?;
        let lease_end = match (&slim.lease_until, status) {
            (Some(until), Status::Active) => {
                let boot = slim.lease_boot.as_deref().and_then(|b| u64::from_str_radix(b, 16).ok());
                let until = parse_rfc3339(until)?;
                let (boot, length) = (boot.unwrap_or(0), std::time::Duration::ZERO);
                lease_end(&Lease { until, boot, until_ms: slim.lease_until_ms, length }, now)
            }
            _ => 0,
        };
        Some(Self {
            n: slim.n,
            id: slim.id.as_deref()?,
            status,
            priority: slim.priority.as_deref()?.parse().ok()?,
            team: slim.team.as_deref(),
            needs: slim.deps.iter().map(|d| &**d).collect(),
            assignee: slim.assignee.as_deref(),
            agent: slim.agent.as_deref(),
            lease_end,
            picky: !slim.capabilities.is_empty(),
            points: slim.points.unwrap_or(0).into(),
            born: born(slim.created_at.as_deref()?),
            key: slim.key.as_deref(),
            verb: slim.op.as_deref()?,
            op: slim.op_id.as_deref().filter(|_| at >= ops_since),
            at_ms: u64::try_from(parse_rfc3339(at)?.timestamp_millis()).ok()?,
        })
    }
}

/// What applying a line did.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// How many items this one waits for.
    pub(super) open_needs: u32,
    /// Rows that became ready because the item was finished.
    pub(super) unblocked: Vec<u32>,
    /// The line is of another item with the same id: two branches made one each.
    pub(super) twin: bool,
}

/// The index on top of some cells.
pub(super) struct Index<C> {
    pub(super) cells: C,
    pub(super) head: Head,
    /// The hash of the id that was found last, and its row: it is mostly the one that changes next.
    found: Cell<Option<(u64, u32)>>,
}

/// Packs the place of a line into the value of a key; its length is found by reading on.
pub(super) const fn pack(place: Place) -> u64 {
    (place.segment as u64) << 40 | place.at
}

pub(super) fn unpack(value: u64) -> Place {
    let segment = u32::try_from(value >> 40).unwrap_or(0);
    Place { segment, at: value & ((1 << 40) - 1), len: 0 }
}

impl<C: Cells> Index<C> {
    pub(super) const fn new(cells: C, head: Head) -> Self {
        Self { cells, head, found: Cell::new(None) }
    }

    /// Remembers where an item is whose row was found by another way than its id.
    pub(super) fn remember(&self, id: &str, row: u32) {
        self.found.set(Some((keys::key(Kind::Item, id), row)));
    }

    /// Forgets it: rows have changed their numbers.
    pub(super) fn forget(&self) {
        self.found.set(None);
    }

    /// The row of an item. Two ids may share a hash: `is_it` reads the id behind a row that has a
    /// line. It is not asked about rows that were only mentioned, whose id nobody has written.
    pub(super) fn row_of<E: From<io::Error>>(
        &self,
        id: &str,
        is_it: &mut dyn FnMut(&Row) -> Result<bool, E>,
    ) -> Result<Option<u32>, E> {
        let found = keys::find(&self.cells, &self.head, (Kind::Item, id), |value| {
            let row = Row::load(&self.cells, u32::try_from(value).unwrap_or(0))?;
            if row.n == 0 { Ok(true) } else { is_it(&row) }
        })?;
        let row = found.and_then(|row| u32::try_from(row).ok());
        if let Some(row) = row {
            self.remember(id, row);
        }
        Ok(row)
    }

    /// The row of an item, if it is sure that no two ids share a hash (they are 64 bits).
    fn row_by_hash(&self, id: &str) -> io::Result<Option<u32>> {
        match self.found.get() {
            Some((hash, row)) if hash == keys::key(Kind::Item, id) => Ok(Some(row)),
            _ => self.row_of(id, &mut |_| Ok::<_, io::Error>(true)),
        }
    }

    /// The slot of a team or an agent.
    pub(super) fn slot_of(&self, kind: Kind, text: &str) -> io::Result<Option<u32>> {
        let found = keys::find(&self.cells, &self.head, (kind, text), |value| {
            let name = Name::load(&self.cells, u32::try_from(value).unwrap_or(0))?;
            Ok::<_, io::Error>(*name.text == *text)
        })?;
        Ok(found.and_then(|slot| u32::try_from(slot).ok()))
    }

    /// The slot of a name, made if it is new. `likely` is where it probably is.
    fn slot_or_new(&mut self, kind: Kind, text: Option<&str>, likely: u32) -> io::Result<u32> {
        let Some(text) = text else { return Ok(0) };
        let agent = matches!(kind, Kind::Agent);
        if likely != 0 {
            let name = Name::load(&self.cells, likely)?;
            if name.agent == agent && *name.text == *text {
                return Ok(likely);
            }
        }
        if let Some(slot) = self.slot_of(kind, text)? {
            return Ok(slot);
        }
        self.head.names += 1;
        let slot = u32::try_from(self.head.names).map_err(io::Error::other)?;
        Name { text: text.into(), agent, ..Name::default() }.store(&mut self.cells, slot)?;
        keys::insert(&mut self.cells, &mut self.head, keys::key(kind, text), slot.into())?;
        Ok(slot)
    }

    fn new_row(&mut self, id: &str) -> io::Result<u32> {
        if self.head.rows + 1 >= CAPACITY {
            return Err(io::Error::other("the index is full"));
        }
        self.head.rows += 1;
        let row = u32::try_from(self.head.rows).map_err(io::Error::other)?;
        keys::insert(&mut self.cells, &mut self.head, keys::key(Kind::Item, id), row.into())?;
        Ok(row)
    }

    fn with_name(&mut self, slot: u32, change: impl FnOnce(&mut Name)) -> io::Result<()> {
        if slot == 0 {
            return Ok(());
        }
        let mut name = Name::load(&self.cells, slot)?;
        change(&mut name);
        name.store(&mut self.cells, slot)
    }

    /// Puts a pending row that waits for nothing among the ready ones, or takes it out.
    fn mark_ready(&mut self, row: &Row, number: u32, ready: bool) -> io::Result<()> {
        let priority = row.priority();
        let sets = if row.assignee != 0 {
            [Some(Set::Of(row.assignee, priority)), None]
        } else {
            [Some(Set::Ready(priority)), (row.team != 0).then_some(Set::Of(row.team, priority))]
        };
        for set in sets.into_iter().flatten() {
            if ready {
                set.insert(&mut self.cells, number)?;
            } else {
                set.remove(&mut self.cells, number)?;
            }
        }
        Ok(())
    }

    /// Counts a row in its state, or out of it.
    fn count(&mut self, row: &Row, by: i64) {
        let head = &mut self.head;
        let bump = |count: &mut u64| *count = count.saturating_add_signed(by);
        match row.status() {
            Some(Status::Pending) => {
                bump(&mut head.pending);
                if row.open_needs > 0 {
                    bump(&mut head.blocked);
                }
            }
            Some(Status::Active) => bump(&mut head.active),
            Some(Status::Done) => bump(&mut head.done),
            Some(Status::Failed) => bump(&mut head.failed),
            Some(Status::Dead) => bump(&mut head.dead),
            None => {}
        }
    }

    /// Takes a row out of everything that its state puts it in.
    fn take_out(&mut self, row: &mut Row, number: u32) -> io::Result<()> {
        self.count(row, -1);
        if row.is_ready() {
            self.mark_ready(row, number, false)?;
        }
        match row.status() {
            Some(Status::Active) => {
                Set::Active.remove(&mut self.cells, number)?;
                self.unhold(row)?;
            }
            Some(Status::Failed | Status::Dead) => Set::Given.remove(&mut self.cells, number)?,
            _ => {}
        }
        if row.status().is_some_and(|s| !s.is_finished()) {
            self.with_name(row.team, |team| team.open = team.open.saturating_sub(1))?;
        }
        Ok(())
    }

    /// Puts a row into everything that its state asks for.
    fn put_in(&mut self, row: &mut Row, number: u32) -> io::Result<()> {
        self.count(row, 1);
        if row.is_ready() {
            self.mark_ready(row, number, true)?;
        }
        match row.status() {
            Some(Status::Active) => {
                Set::Active.insert(&mut self.cells, number)?;
                self.hold(row, number)?;
                self.head.first_lease_end = self.head.first_lease_end.min(row.lease_end);
            }
            Some(Status::Failed | Status::Dead) => Set::Given.insert(&mut self.cells, number)?,
            _ => {}
        }
        if row.status().is_some_and(|s| !s.is_finished()) {
            self.with_name(row.team, |team| team.open += 1)?;
        }
        Ok(())
    }

    /// Puts a row at the head of its holder's list.
    fn hold(&mut self, row: &mut Row, number: u32) -> io::Result<()> {
        if row.holder == 0 {
            return Ok(());
        }
        let mut name = Name::load(&self.cells, row.holder)?;
        (row.held_prev, row.held_next) = (0, name.first_held);
        if name.first_held != 0 {
            let mut next = Row::load(&self.cells, name.first_held)?;
            next.held_prev = number;
            next.store(&mut self.cells, name.first_held)?;
        }
        name.first_held = number;
        name.held += 1;
        name.store(&mut self.cells, row.holder)
    }

    /// Takes a row out of its holder's list.
    fn unhold(&mut self, row: &mut Row) -> io::Result<()> {
        if row.holder == 0 {
            return Ok(());
        }
        let (prev, next) = (row.held_prev, row.held_next);
        if next != 0 {
            let mut after = Row::load(&self.cells, next)?;
            after.held_prev = prev;
            after.store(&mut self.cells, next)?;
        }
        if prev != 0 {
            let mut before = Row::load(&self.cells, prev)?;
            before.held_next = next;
            before.store(&mut self.cells, prev)?;
        }
        (row.held_prev, row.held_next) = (0, 0);
        self.with_name(row.holder, |name| {
            name.held = name.held.saturating_sub(1);
            if prev == 0 {
                name.first_held = next;
            }
        })
    }

    /// Counts what a row waits for anew, and hangs it on each of those.
    fn wait_for(&mut self, row: &mut Row, number: u32, needs: &[&str], n: u64) -> io::Result<()> {
        (row.needs_n, row.open_needs) = (n, 0);
        for id in needs {
            let needed = match self.row_by_hash(id)? {
                Some(needed) => needed,
                None => self.new_row(id)?,
            };
            if needed == number {
                continue;
            }
            let mut dep = Row::load(&self.cells, needed)?;
            if dep.status() == Some(Status::Done) {
                continue;
            }
            self.head.edges += 1;
            let edge = u32::try_from(self.head.edges).map_err(io::Error::other)?;
            let link = Edge { waiter: number, next: dep.waiters, needs_n: n };
            link.store(&mut self.cells, edge)?;
            dep.waiters = edge;
            dep.store(&mut self.cells, needed)?;
            row.open_needs += 1;
        }
        Ok(())
    }

    /// Tells everybody who waits for a row that it is done.
    fn release_waiters(&mut self, first: u32) -> io::Result<Vec<u32>> {
        let (mut at, mut unblocked) = (first, Vec::new());
        while at != 0 {
            let edge = Edge::load(&self.cells, at)?;
            let mut waiter = Row::load(&self.cells, edge.waiter)?;
            if waiter.needs_n == edge.needs_n && waiter.open_needs > 0 {
                self.count(&waiter, -1);
                waiter.open_needs -= 1;
                self.count(&waiter, 1);
                waiter.store(&mut self.cells, edge.waiter)?;
                if waiter.is_ready() {
                    self.mark_ready(&waiter, edge.waiter, true)?;
                    unblocked.push(edge.waiter);
                }
            }
            at = edge.next;
        }
        unblocked.sort_unstable();
        Ok(unblocked)
    }

    /// Takes in one line.
    pub(super) fn apply(&mut self, facts: &Facts<'_>, place: Place) -> io::Result<Applied> {
        self.head.n = self.head.n.max(facts.n);
        let mut applied = Applied::default();
        let number = match self.row_by_hash(facts.id)? {
            Some(number) => number,
            None => self.new_row(facts.id)?,
        };
        let mut row = Row::load(&self.cells, number)?;
        let fresh = row.n == 0;
        if let Some(op) = facts.op {
            let hash = keys::key(Kind::Op, op);
            if hash != self.head.last_op {
                keys::insert(&mut self.cells, &mut self.head, hash, pack(place))?;
                self.head.last_op = hash;
            }
        }
        if !fresh {
            if row.born != facts.born {
                applied.twin = true;
                return Ok(applied);
            }
            // A line that a merge or a compaction put behind a newer one.
            if facts.n <= row.n {
                return Ok(applied);
            }
        }
        let old = (row.status(), row.holder, row.priority(), row.waiters);
        if fresh {
            row.born = facts.born;
            if let Some(key) = facts.key {
                keys::insert(
                    &mut self.cells,
                    &mut self.head,
                    keys::key(Kind::Key, key),
                    number.into(),
                )?;
            }
            if let Some(made) = facts.id.strip_prefix("w-").and_then(|d| d.parse::<u64>().ok()) {
                self.head.next_id = self.head.next_id.max(made.saturating_add(1));
            }
        } else {
            self.take_out(&mut row, number)?;
        }
        row.place = place;
        row.n = facts.n;
        row.status = 1 + facts.status as u8;
        row.priority = facts.priority as u8;
        row.picky = facts.picky;
        row.lease_end = facts.lease_end;
        let likely = if row.holder == 0 { row.assignee } else { row.holder };
        row.team = self.slot_or_new(Kind::Team, facts.team, row.team)?;
        row.assignee = self.slot_or_new(Kind::Agent, facts.assignee, row.assignee)?;
        let agent = self.slot_or_new(Kind::Agent, facts.agent, likely)?;
        row.holder = if facts.status == Status::Active { agent } else { 0 };
        let list = facts.needs.join("\0");
        let hash = u32::try_from(keys::hash(0, list.as_bytes()) >> 32).unwrap_or(0);
        if facts.needs.is_empty() {
            (row.needs_hash, row.open_needs, row.needs_n) = (0, 0, facts.n);
        } else if hash != row.needs_hash || fresh {
            row.needs_hash = hash;
            self.wait_for(&mut row, number, &facts.needs, facts.n)?;
        }
        let done = facts.status == Status::Done && old.0 != Some(Status::Done);
        if done {
            row.waiters = 0;
        }
        self.put_in(&mut row, number)?;
        row.store(&mut self.cells, number)?;
        applied.open_needs = row.open_needs;
        let was_open = !fresh && old.0 != Some(Status::Done);
        if was_open && (done || old.2 != row.priority()) {
            Set::Open(old.2).remove(&mut self.cells, number)?;
        }
        if facts.status != Status::Done && (!was_open || old.2 != row.priority()) {
            Set::Open(row.priority()).insert(&mut self.cells, number)?;
        }
        if done {
            self.head.points += facts.points;
            self.with_name(row.team, |team| {
                team.done += 1;
                team.points += facts.points;
            })?;
            applied.unblocked = self.release_waiters(old.3)?;
        }
        self.credit(facts, agent, old.1, done)?;
        Ok(applied)
    }

    /// Notes what a line says about the agents.
    fn credit(&mut self, facts: &Facts<'_>, agent: u32, holder: u32, done: bool) -> io::Result<()> {
        // Who finishes an item in its own name is its holder; an import names the old one.
        let who = if holder != 0 { holder } else { agent };
        match facts.verb {
            _ if done => self.with_name(who, |name| {
                name.done += 1;
                name.points += facts.points;
                if facts.verb != "import" {
                    name.seen_ms = name.seen_ms.max(facts.at_ms);
                }
            }),
            "fail" => self.with_name(holder, |name| {
                name.failed += 1;
                name.seen_ms = name.seen_ms.max(facts.at_ms);
            }),
            "expire" => self.with_name(holder, |name| name.expired += 1),
            "claim" | "progress" => {
                self.with_name(agent, |name| name.seen_ms = name.seen_ms.max(facts.at_ms))
            }
            _ => Ok(()),
        }
    }

    /// Treats what was mentioned and never came as done long ago: its history has been removed.
    pub(super) fn settle_mentions(&mut self) -> io::Result<()> {
        for number in 1..=u32::try_from(self.head.rows).unwrap_or(0) {
            let mut row = Row::load(&self.cells, number)?;
            if row.n == 0 && row.waiters != 0 {
                let first = std::mem::take(&mut row.waiters);
                row.store(&mut self.cells, number)?;
                self.release_waiters(first)?;
            }
        }
        Ok(())
    }
}
