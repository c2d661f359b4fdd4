//! A hash table that grows without ever being moved.
//!
//! It is a row of parts, each twice as large as the one before. New keys go into the last part; when
//! that is half full the next one begins. A look-up asks the parts from the last to the first, so
//! most keys are found at once, and no write ever has to wait for a table to be copied.

use std::io;

use super::cells::{Area, Cells};
use super::head::Head;

/// What a key stands for; part of its hash.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// An item's id; the value is its row.
    Item = 1,
    /// An item's idempotency key; the value is its row.
    Key,
    /// An operation's id; the value is the place of its first line.
    Op,
    /// A team; the value is its slot among the names.
    Team,
    /// An agent; the value is its slot among the names.
    Agent,
}

const BUCKET: usize = 64;
const SLOT: usize = 16;
const FIRST: u64 = 256;

/// A 64-bit hash (FNV-1a with a final mix); `kind` keeps equal texts of different kinds apart.
pub(super) fn hash(kind: u8, text: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ u64::from(kind).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in text {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (hash ^ hash >> 32) | 1
}

pub(super) fn key(kind: Kind, text: &str) -> u64 {
    hash(kind as u8, text.as_bytes())
}

/// Buckets before a part, and in it.
const fn part(index: u64) -> (u64, u64) {
    (FIRST * ((1 << index) - 1), FIRST << index)
}

fn slots(bucket: &[u8; BUCKET]) -> impl Iterator<Item = (u64, u64)> + '_ {
    bucket.chunks_exact(SLOT).map(|slot| {
        let number =
            |from: usize| slot[from..from + 8].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
        (number(0), number(8))
    })
}

/// Finds the newest value of a key for which `is_it` says yes; different keys may share a hash.
pub(super) fn find<E: From<io::Error>>(
    cells: &impl Cells,
    head: &Head,
    (kind, text): (Kind, &str),
    mut is_it: impl FnMut(u64) -> Result<bool, E>,
) -> Result<Option<u64>, E> {
    // Operations and new items are the most and stand in the last parts; teams and agents are few
    // and mostly older than what they work on.
    let hash = key(kind, text);
    let old_first = matches!(kind, Kind::Team | Kind::Agent);
    for step in 0..head.key_parts {
        let index = if old_first { step } else { head.key_parts - 1 - step };
        let (start, count) = part(index);
        let mut at = (hash >> 8) % count;
        'part: for _ in 0..count {
            let mut bucket = [0; BUCKET];
            cells.read(Area::Keys, (start + at) * BUCKET as u64, &mut bucket)?;
            for (have, value) in slots(&bucket) {
                if have == 0 {
                    break 'part;
                }
                if have == hash && is_it(value)? {
                    return Ok(Some(value));
                }
            }
            at = (at + 1) % count;
        }
    }
    Ok(None)
}

/// Adds a key; an older value of the same key stays, and is no longer found first.
pub(super) fn insert(
    cells: &mut impl Cells,
    head: &mut Head,
    hash: u64,
    value: u64,
) -> io::Result<()> {
    let slots_in = |index: u64| part(index).1 * (BUCKET / SLOT) as u64;
    if head.key_parts == 0 || head.key_fill * 2 >= slots_in(head.key_parts - 1) {
        head.key_parts += 1;
        head.key_fill = 0;
    }
    let (start, count) = part(head.key_parts - 1);
    let mut at = (hash >> 8) % count;
    for _ in 0..count {
        let place = (start + at) * BUCKET as u64;
        let mut bucket = [0; BUCKET];
        cells.read(Area::Keys, place, &mut bucket)?;
        let free = slots(&bucket).position(|(have, _)| have == 0);
        if let Some(free) = free {
            let slot = &mut bucket[free * SLOT..(free + 1) * SLOT];
            slot[..8].copy_from_slice(&hash.to_le_bytes());
            slot[8..].copy_from_slice(&value.to_le_bytes());
            head.key_fill += 1;
            return cells.write(Area::Keys, place, &bucket);
        }
        at = (at + 1) % count;
    }
    Err(io::Error::other("the hash table of the index is full"))
}

#[cfg(test)]
mod tests {
    use super::super::cells::MemCells;
    use super::*;

    #[test]
    fn finds_what_was_put_in_and_nothing_else() {
        let (mut cells, mut head) = (MemCells::default(), Head::new(1));
        for n in 0..20_000u64 {
            insert(&mut cells, &mut head, key(Kind::Item, &format!("w-{n}")), n).unwrap();
        }
        for n in (0..20_000u64).step_by(7) {
            let found = find(&cells, &head, (Kind::Item, &format!("w-{n}")), |v| {
                Ok::<_, io::Error>(v == n)
            });
            assert_eq!(found.unwrap(), Some(n));
        }
        for n in 20_000..20_500u64 {
            let found =
                find(&cells, &head, (Kind::Item, &format!("w-{n}")), |_| Ok::<_, io::Error>(true));
            assert_eq!(found.unwrap(), None);
        }
    }
}
