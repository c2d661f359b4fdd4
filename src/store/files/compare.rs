//! Two indexes side by side: the one in use and the one that the log makes.

use std::io;

use super::bits::Set;
use super::cells::Cells;
use super::head::Head;
use super::index::Index;
use super::rows::{Name, Row};
use crate::domain::work::Priority;

/// What two indexes must agree on: everything but where the lines stand.
pub(super) fn differences<A: Cells, B: Cells>(
    ours: &Index<A>,
    made: &Index<B>,
) -> io::Result<Vec<String>> {
    let mut out = Vec::new();
    let counts = |h: &Head| {
        [
            h.n, h.next_id, h.rows, h.names, h.pending, h.blocked, h.active, h.done, h.failed,
            h.dead, h.points,
        ]
    };
    let named = [
        "n", "next id", "rows", "names", "pending", "blocked", "active", "done", "failed", "dead",
        "points",
    ];
    for ((a, b), name) in counts(&ours.head).into_iter().zip(counts(&made.head)).zip(named) {
        if a != b {
            out.push(format!("the index says {name} = {a}, the log says {b}"));
        }
    }
    let same = |row: &Row| {
        let facts = (row.n, row.needs_n, row.open_needs, row.needs_hash, row.born);
        (facts, (row.team, row.holder, row.assignee), row.status, row.priority, row.picky)
    };
    for number in 1..=u32::try_from(ours.head.rows.min(made.head.rows)).unwrap_or(0) {
        let (a, b) = (Row::load(&ours.cells, number)?, Row::load(&made.cells, number)?);
        if same(&a) != same(&b) && out.len() < 20 {
            out.push(format!(
                "the index has another row {number} than the log (write {} and {})",
                a.n, b.n
            ));
        }
    }
    for slot in 1..=u32::try_from(ours.head.names.min(made.head.names)).unwrap_or(0) {
        let (mut a, mut b) = (Name::load(&ours.cells, slot)?, Name::load(&made.cells, slot)?);
        // The lists of held items may be in another order.
        (a.first_held, b.first_held) = (0, 0);
        if a != b && out.len() < 20 {
            out.push(format!("the index has other counts for `{}` than the log", a.text));
        }
    }
    let mut sets: Vec<Set> = vec![Set::Active, Set::Given];
    for p in Priority::ALL {
        sets.extend([Set::Ready(p), Set::Open(p)]);
        sets.extend((1..=u32::try_from(made.head.names).unwrap_or(0)).map(|slot| Set::Of(slot, p)));
    }
    for set in sets {
        let mut from = 0;
        loop {
            let (a, b) = (set.next(&ours.cells, from)?, set.next(&made.cells, from)?);
            if a != b && out.len() < 20 {
                out.push(format!("the index has other members of {set:?} than the log"));
            }
            match (a, b) {
                (Some(a), Some(b)) if a == b => from = a + 1,
                _ => break,
            }
        }
    }
    Ok(out)
}
