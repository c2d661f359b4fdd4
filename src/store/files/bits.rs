//! Sets of rows as 4-level bitmaps: the first member is found in four reads, whatever the size.

use std::io;

use super::cells::{Area, Cells};
use crate::domain::work::Priority;

/// A set of rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Set {
    /// Items that anybody may claim, by priority.
    Ready(Priority),
    /// Items that are not done, by priority.
    Open(Priority),
    /// Items under a lease.
    Active,
    /// Failed items and dead letters.
    Given,
    /// Ready items of one team, or kept for one agent, by priority; the number is its slot.
    Of(u32, Priority),
}

/// Rows that fit.
pub(super) const CAPACITY: u64 = 1 << 24;
/// Where the levels of a set begin, leaves first, in bytes.
const LEVELS: [u64; 4] = [8 + 512 + 32_768, 8 + 512, 8, 0];
/// Bytes that a set takes; hardly any of them are ever written.
const SIZE: u64 = 8 + 512 + 32_768 + 2_097_152;

impl Set {
    fn start(self) -> u64 {
        let number = match self {
            Self::Ready(p) => p as u64,
            Self::Open(p) => 4 + p as u64,
            Self::Active => 8,
            Self::Given => 9,
            Self::Of(slot, p) => 16 + 4 * u64::from(slot) + p as u64,
        };
        number * SIZE
    }

    fn word(self, cells: &impl Cells, level: usize, index: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        cells.read(Area::Bits, self.start() + LEVELS[level] + index * 8, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn put(self, cells: &mut impl Cells, level: usize, index: u64, word: u64) -> io::Result<()> {
        cells.write(Area::Bits, self.start() + LEVELS[level] + index * 8, &word.to_le_bytes())
    }

    pub(super) fn insert(self, cells: &mut impl Cells, row: u32) -> io::Result<()> {
        let mut at = u64::from(row);
        for level in 0..4 {
            let word = self.word(cells, level, at >> 6)?;
            let with = word | 1 << (at & 63);
            if with == word {
                return Ok(());
            }
            self.put(cells, level, at >> 6, with)?;
            if word != 0 {
                return Ok(());
            }
            at >>= 6;
        }
        Ok(())
    }

    pub(super) fn remove(self, cells: &mut impl Cells, row: u32) -> io::Result<()> {
        let mut at = u64::from(row);
        for level in 0..4 {
            let word = self.word(cells, level, at >> 6)?;
            let without = word & !(1 << (at & 63));
            if without == word {
                return Ok(());
            }
            self.put(cells, level, at >> 6, without)?;
            if without != 0 {
                return Ok(());
            }
            at >>= 6;
        }
        Ok(())
    }

    /// The first member that is not below `from`.
    pub(super) fn next(self, cells: &impl Cells, from: u32) -> io::Result<Option<u32>> {
        let mut at = u64::from(from);
        if from == 0 {
            return self.descend(cells, 3, 0);
        }
        for level in 0..4 {
            if at >> 6 >= CAPACITY >> (6 * (level + 1)) {
                return Ok(None);
            }
            let word = self.word(cells, level, at >> 6)? & u64::MAX << (at & 63);
            if word != 0 {
                let found = at & !63 | u64::from(word.trailing_zeros());
                return if level == 0 {
                    Ok(u32::try_from(found).ok())
                } else {
                    self.descend(cells, level - 1, found)
                };
            }
            // Nothing more in this word: go on behind it, one level up.
            at = (at >> 6) + 1;
        }
        Ok(None)
    }

    /// The first member under one word.
    fn descend(self, cells: &impl Cells, level: usize, index: u64) -> io::Result<Option<u32>> {
        let mut index = index;
        for level in (0..=level).rev() {
            let word = self.word(cells, level, index)?;
            if word == 0 {
                return Ok(None);
            }
            index = index << 6 | u64::from(word.trailing_zeros());
        }
        Ok(u32::try_from(index).ok())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::cells::MemCells;
    use super::*;

    proptest! {
        #[test]
        fn is_a_set(ops in prop::collection::vec((any::<bool>(), prop_oneof![0u32..300, 0u32..(1 << 24)]), 1..200), from in prop_oneof![0u32..300, 0u32..(1 << 24)]) {
            let (mut cells, mut model) = (MemCells::default(), BTreeSet::new());
            let set = Set::Of(3, Priority::High);
            for (add, row) in ops {
                if add {
                    set.insert(&mut cells, row).unwrap();
                    model.insert(row);
                } else {
                    set.remove(&mut cells, row).unwrap();
                    model.remove(&row);
                }
            }
            prop_assert_eq!(set.next(&cells, from).unwrap(), model.range(from..).next().copied());
            let (mut all, mut at) = (Vec::new(), 0);
            while let Some(row) = set.next(&cells, at).unwrap() {
                all.push(row);
                at = row + 1;
            }
            prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(Set::Of(3, Priority::Low).next(&cells, 0).unwrap(), None);
        }
    }
}
