//! Items whose ids begin like a half-typed one, for the shell: quick, bounded, and rather nothing
//! than late.

use super::bits::Set;
use super::read::{OPEN, Snapshot, state_of};
use super::{FileStore, failure, head, log};
use crate::domain::work::{Found, State};
use crate::store::Result;

/// How many rows are looked at, and how many made ids are tried.
const LOOKS: u32 = 4000;
/// How large a log may be that is read whole because its index is not there.
const SMALL_LOG: u64 = 4 << 20;
/// How often somebody else's write is borne.
const TRIES: u32 = 3;

/// The items. Nothing if the store is being written all the time, or would have to be read whole.
pub(super) fn run(
    store: &FileStore,
    prefix: &str,
    states: &[State],
    limit: usize,
) -> Result<Vec<Found>> {
    for _ in 0..TRIES {
        let Some((snapshot, head_file)) = store.indexed()? else { continue };
        let found = snapshot.beginning(prefix, states, limit);
        let after = head::peek(&head_file, snapshot.now.boot).map_err(failure::index)?;
        if after.is_some_and(|head| head.version == snapshot.index.head.version) {
            return found;
        }
    }
    let small = store.open_live()?.and_then(|live| live.metadata().ok());
    if small.is_some_and(|about| about.len() <= SMALL_LOG) {
        return store.reread()?.beginning(prefix, states, limit);
    }
    Ok(Vec::new())
}

impl Snapshot {
    fn beginning(&self, prefix: &str, states: &[State], limit: usize) -> Result<Vec<Found>> {
        let mut found: Vec<Found> = Vec::new();
        // What is active is looked at first: there is little of it, and it is asked for most.
        let sets: &[Set] = if states.contains(&State::Active) {
            &[Set::Active, OPEN[0], OPEN[1], OPEN[2], OPEN[3]]
        } else if states.iter().all(|s| matches!(s, State::Failed | State::Dead)) {
            &[Set::Given]
        } else {
            &OPEN
        };
        let sets = if states == [State::Active] { &sets[..1] } else { sets };
        let mut looks = 0;
        'sets: for set in sets {
            let mut from = 0;
            while let Some(number) = set.next(&self.index.cells, from).map_err(failure::index)? {
                if looks == LOOKS || found.len() >= limit {
                    break 'sets;
                }
                looks += 1;
                from = number + 1;
                let row = self.row(number)?;
                let state = row.status().map(|status| state_of(status, row.open_needs));
                if !state.is_some_and(|state| states.contains(&state)) {
                    continue;
                }
                let line = self.logs.line(row.place).map_err(failure::index)?;
                if !log::quick_id(&line).is_some_and(|id| id.starts_with(prefix)) {
                    continue;
                }
                let item = self.load(&row)?;
                if found.iter().all(|have| have.item.id != item.item.id) {
                    found.push(item);
                }
            }
        }
        if looks == LOOKS || found.is_empty() {
            self.made(prefix, states, limit, &mut found)?;
        }
        Ok(found)
    }

    /// Tries the ids that the program makes itself, `w-1`, `w-2` and so on: those that begin with
    /// some digits can be told without looking at the others.
    fn made(
        &self,
        prefix: &str,
        states: &[State],
        limit: usize,
        found: &mut Vec<Found>,
    ) -> Result<()> {
        let Some(digits) = prefix.strip_prefix("w-") else { return Ok(()) };
        let Ok(first) = digits.parse::<u64>() else { return Ok(()) };
        if digits.starts_with('0') {
            return Ok(());
        }
        let (mut low, mut high, mut looks) = (first, first, 0);
        while low < self.index.head.next_id {
            for number in low..=high.min(self.index.head.next_id) {
                if looks == LOOKS || found.len() >= limit {
                    return Ok(());
                }
                looks += 1;
                let Some(item) = self.exact(&format!("w-{number}"))? else { continue };
                let new = found.iter().all(|have| have.item.id != item.item.id);
                if new && states.contains(&item.state()) {
                    found.push(item);
                }
            }
            (low, high) = (low.saturating_mul(10), high.saturating_mul(10).saturating_add(9));
        }
        Ok(())
    }
}
