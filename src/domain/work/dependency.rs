//! Who waits for whom.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::domain::name::ItemId;

/// Why a set of dependencies cannot be.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DependencyError {
    /// It needs something that is not there.
    #[error("`{item}` needs `{missing}`, which does not exist")]
    Missing {
        /// Who needs it.
        item: String,
        /// What is not there.
        missing: String,
    },
    /// It would wait for itself.
    #[error("a dependency cycle: {}", path.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" needs "))]
    Cycle {
        /// The items in turn; the first is also the last.
        path: Vec<ItemId>,
    },
}

/// Looks for a way from `start` back to itself, along `needs_of`, which is asked once per item.
///
/// Returns the items on the way, with `start` first and last.
pub fn find_cycle<E>(
    start: &ItemId,
    mut needs_of: impl FnMut(&ItemId) -> Result<Vec<ItemId>, E>,
) -> Result<Option<Vec<ItemId>>, E> {
    let mut seen = BTreeSet::new();
    // The way to the item being looked at, each with the needs that are still to be followed.
    let mut way = vec![(start.clone(), needs_of(start)?)];
    while let Some((_, rest)) = way.last_mut() {
        let Some(next) = rest.pop() else {
            way.pop();
            continue;
        };
        if next == *start {
            let mut path: Vec<_> = way.into_iter().map(|(id, _)| id).collect();
            path.push(next);
            return Ok(Some(path));
        }
        if seen.insert(next.clone()) {
            let needs = needs_of(&next)?;
            way.push((next, needs));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])], start: &str) -> Option<Vec<String>> {
        let needs = |id: &ItemId| {
            let list = edges.iter().find(|(from, _)| *from == id.as_str()).map_or(&[][..], |e| e.1);
            Ok::<_, ()>(list.iter().map(|n| n.parse().unwrap()).collect())
        };
        let found = find_cycle(&start.parse().unwrap(), needs).unwrap();
        found.map(|path| path.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn finds_the_way_round() {
        let edges: &[(&str, &[&str])] =
            &[("a", &["x", "b"]), ("b", &["c"]), ("c", &["a", "x"]), ("x", &[])];
        assert_eq!(graph(edges, "a").unwrap(), ["a", "b", "c", "a"]);
        assert_eq!(graph(&[("a", &["a"])], "a").unwrap(), ["a", "a"]);
    }

    #[test]
    fn a_diamond_is_no_cycle() {
        assert_eq!(graph(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d"])], "a"), None);
    }
}
