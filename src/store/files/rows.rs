//! The fixed-size records of the index: items, agents and teams, and who waits for whom.

use std::ops::Deref;
use std::{fmt, io};

use super::cells::{Area, Cells};
use crate::domain::name::MAX_NAME;
use crate::domain::work::{Priority, Status};

/// Where a line stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Place {
    /// The number of the log.
    pub(super) segment: u32,
    /// Where it begins.
    pub(super) at: u64,
    /// How long it is, with its line break.
    pub(super) len: u32,
}

/// What the index knows of an item.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Row {
    /// Its newest line.
    pub(super) place: Place,
    /// The number of the write that made that line; 0 for an item that was only mentioned so far.
    pub(super) n: u64,
    /// The write that last said what it needs; edges of an older one are void.
    pub(super) needs_n: u64,
    /// When its lease ends at the latest that the log knows, in milliseconds of the boot clock.
    pub(super) lease_end: u64,
    /// The first of those that wait for it.
    pub(super) waiters: u32,
    /// How many items it waits for.
    pub(super) open_needs: u32,
    /// A hash of the list of what it needs.
    pub(super) needs_hash: u32,
    /// A hash of when it was made: it tells two items apart that were given one id on two branches.
    pub(super) born: u32,
    /// The slot of its team.
    pub(super) team: u32,
    /// The slot of its holder.
    pub(super) holder: u32,
    /// The slot of the agent that it is kept for.
    pub(super) assignee: u32,
    /// Its neighbours among the items of its holder.
    pub(super) held_prev: u32,
    /// See `held_prev`.
    pub(super) held_next: u32,
    /// 0 if only mentioned, else 1 + its status.
    pub(super) status: u8,
    /// Its priority.
    pub(super) priority: u8,
    /// Whether an agent needs capabilities for it.
    pub(super) picky: bool,
}

const ROW: usize = 88;

impl Row {
    pub(super) fn load(cells: &impl Cells, number: u32) -> io::Result<Self> {
        let mut b = [0u8; ROW];
        cells.read(Area::Rows, u64::from(number) * ROW as u64, &mut b)?;
        let long = |at: usize| b[at..at + 8].iter().rev().fold(0, |n, x| n << 8 | u64::from(*x));
        let short = |at: usize| b[at..at + 4].iter().rev().fold(0, |n, x| n << 8 | u32::from(*x));
        Ok(Self {
            place: Place { at: long(0), len: short(32), segment: short(36) },
            n: long(8),
            needs_n: long(16),
            lease_end: long(24),
            waiters: short(40),
            open_needs: short(44),
            needs_hash: short(48),
            born: short(52),
            team: short(56),
            holder: short(60),
            assignee: short(64),
            held_prev: short(68),
            held_next: short(72),
            status: b[76],
            priority: b[77],
            picky: b[78] != 0,
        })
    }

    pub(super) fn store(&self, cells: &mut impl Cells, number: u32) -> io::Result<()> {
        let mut b = [0u8; ROW];
        for (at, long) in
            [(0, self.place.at), (8, self.n), (16, self.needs_n), (24, self.lease_end)]
        {
            b[at..at + 8].copy_from_slice(&long.to_le_bytes());
        }
        let shorts = [
            self.place.len,
            self.place.segment,
            self.waiters,
            self.open_needs,
            self.needs_hash,
            self.born,
            self.team,
            self.holder,
            self.assignee,
            self.held_prev,
            self.held_next,
        ];
        for (slot, short) in b[32..].chunks_exact_mut(4).zip(shorts) {
            slot.copy_from_slice(&short.to_le_bytes());
        }
        (b[76], b[77], b[78]) = (self.status, self.priority, u8::from(self.picky));
        cells.write(Area::Rows, u64::from(number) * ROW as u64, &b)
    }

    /// Its status; nothing if it was only mentioned.
    pub(super) fn status(&self) -> Option<Status> {
        Status::ALL.get(usize::from(self.status).checked_sub(1)?).copied()
    }

    pub(super) fn priority(&self) -> Priority {
        Priority::ALL.get(usize::from(self.priority)).copied().unwrap_or_default()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.status() == Some(Status::Pending) && self.open_needs == 0
    }
}

/// A name in place: records are read and written far more often than they are shown.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) struct Text {
    len: u8,
    bytes: [u8; MAX_NAME],
}

impl Default for Text {
    fn default() -> Self {
        Self { len: 0, bytes: [0; MAX_NAME] }
    }
}

impl From<&str> for Text {
    /// A longer one is cut; the domain makes none.
    fn from(text: &str) -> Self {
        let text = &text.as_bytes()[..text.len().min(MAX_NAME)];
        let mut bytes = [0; MAX_NAME];
        bytes[..text.len()].copy_from_slice(text);
        Self { len: u8::try_from(text.len()).unwrap_or(0), bytes }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.len).min(MAX_NAME)]).unwrap_or_default()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// What the index knows of a team or an agent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Name {
    pub(super) text: Text,
    /// Whether it is an agent; else a team.
    pub(super) agent: bool,
    /// Items an agent holds.
    pub(super) held: u32,
    /// The first of them.
    pub(super) first_held: u32,
    /// Items of a team that are not finished.
    pub(super) open: u32,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) expired: u64,
    pub(super) points: u64,
    /// The agent's last write, in milliseconds since 1970.
    pub(super) seen_ms: u64,
}

const NAME: usize = 64 + MAX_NAME;

impl Name {
    pub(super) fn load(cells: &impl Cells, slot: u32) -> io::Result<Self> {
        let mut b = [0u8; NAME];
        cells.read(Area::Names, u64::from(slot) * NAME as u64, &mut b)?;
        let long = |at: usize| b[at..at + 8].iter().rev().fold(0, |n, x| n << 8 | u64::from(*x));
        let short = |at: usize| b[at..at + 4].iter().rev().fold(0, |n, x| n << 8 | u32::from(*x));
        let mut text = Text { len: b[0], bytes: [0; MAX_NAME] };
        text.bytes.copy_from_slice(&b[64..]);
        Ok(Self {
            text,
            agent: b[1] != 0,
            held: short(4),
            first_held: short(8),
            open: short(12),
            done: long(16),
            failed: long(24),
            expired: long(32),
            points: long(40),
            seen_ms: long(48),
        })
    }

    pub(super) fn store(&self, cells: &mut impl Cells, slot: u32) -> io::Result<()> {
        let mut b = [0u8; NAME];
        b[0] = self.text.len;
        b[1] = u8::from(self.agent);
        for (at, short) in [(4, self.held), (8, self.first_held), (12, self.open)] {
            b[at..at + 4].copy_from_slice(&short.to_le_bytes());
        }
        let longs = [self.done, self.failed, self.expired, self.points, self.seen_ms];
        for (slot, long) in b[16..].chunks_exact_mut(8).zip(longs) {
            slot.copy_from_slice(&long.to_le_bytes());
        }
        b[64..].copy_from_slice(&self.text.bytes);
        cells.write(Area::Names, u64::from(slot) * NAME as u64, &b)
    }
}

/// One item waiting for another: a link of the list that begins at [`Row::waiters`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) waiter: u32,
    pub(super) next: u32,
    /// [`Row::needs_n`] of the waiter when this was made.
    pub(super) needs_n: u64,
}

const EDGE: usize = 16;

impl Edge {
    pub(super) fn load(cells: &impl Cells, number: u32) -> io::Result<Self> {
        let mut b = [0u8; EDGE];
        cells.read(Area::Edges, u64::from(number) * EDGE as u64, &mut b)?;
        let short = |at: usize| b[at..at + 4].iter().rev().fold(0, |n, x| n << 8 | u32::from(*x));
        let long = b[8..].iter().rev().fold(0, |n, x| n << 8 | u64::from(*x));
        Ok(Self { waiter: short(0), next: short(4), needs_n: long })
    }

    pub(super) fn store(&self, cells: &mut impl Cells, number: u32) -> io::Result<()> {
        let mut b = [0u8; EDGE];
        b[..4].copy_from_slice(&self.waiter.to_le_bytes());
        b[4..8].copy_from_slice(&self.next.to_le_bytes());
        b[8..].copy_from_slice(&self.needs_n.to_le_bytes());
        cells.write(Area::Edges, u64::from(number) * EDGE as u64, &b)
    }
}
