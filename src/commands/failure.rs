//! The store's failures in words for people: what happened, what to do, which exit code.

use crate::domain::name::ItemId;
use crate::domain::time::human_duration;
use crate::domain::work::{DependencyError, NewError, State, TransitionError};
use crate::error::{Error, Kind};
use crate::store;

/// Explains a failed operation on the store.
pub(crate) fn from_store(error: store::Error) -> Error {
    use store::Error as E;
    let message = error.to_string();
    match error {
        E::NotFound { similar, .. } if !similar.is_empty() => {
            Error::new(Kind::User, message).hint(format!("did you mean {}?", quoted(&similar)))
        }
        E::NotFound { .. } => {
            Error::new(Kind::User, message).hint("`coord work list --all` shows every item")
        }
        E::Ambiguous { id, matches } => {
            Error::new(Kind::User, format!("`{id}` fits more than one item"))
                .hint(format!("it could be {}", quoted(&matches)))
        }
        E::Exists { id } => Error::new(Kind::User, message)
            .hint(format!("leave `id` out to get a fresh one, or see `coord work show {id}`")),
        E::Transition(why) => transition(&why),
        E::New { at, why } => explain(&why, Some(&format!("item {at}"))),
        E::Dependency(why) => dependency(&why),
        E::NoAgent { .. } => {
            Error::new(Kind::User, message).hint("`coord agent list` shows every agent")
        }
        E::Busy { holder, waited } => {
            let waited = human_duration(waited);
            let error = match holder {
                Some(h) if h.pid != 0 => Error::new(
                    Kind::Conflict,
                    format!("the store stayed locked for {waited} by process {} on `{}`", h.pid, h.host),
                )
                .hint(format!("it runs `{}` since {}", h.command, h.since)),
                _ => Error::new(Kind::Conflict, format!("the store stayed locked for {waited}")),
            };
            error.hint("nothing was changed; try again, or wait longer with `--lock-timeout 1m`")
        }
        E::OpReused { .. } => Error::new(Kind::Usage, message)
            .hint("an operation id stands for one operation: use a fresh one for another"),
        E::Missing { .. } => Error::new(Kind::User, message).hint(
            "`coord init` makes one here, `coord work add TITLE` queues the first item; `--dir` and `COORD_DIR` say where else to look",
        ),
        E::Damaged { .. } => Error::new(Kind::External, message)
            .of_store()
            .hint("reading still works; `coord verify --repair` moves what cannot be read aside"),
        E::NewerFormat { .. } => {
            Error::new(Kind::Config, message).hint("install a newer coord; nothing was changed")
        }
        E::Insecure { .. } => Error::new(Kind::External, message)
            .of_store()
            .hint("if you trust it all the same, say `--trust-dir`"),
        E::Replaced { .. } => Error::new(Kind::Conflict, message)
            .hint("nothing was changed; run the command again on the new one"),
        E::Full { .. } => Error::new(Kind::External, message)
            .of_store()
            .hint("start a fresh store in another directory with `--dir`"),
        E::Io { what, source } => {
            let full = matches!(source.kind(), std::io::ErrorKind::StorageFull);
            let error = Error::new(Kind::External, format!("cannot {what}")).caused_by(source);
            let hint = if full { "make room and try again" } else { "nothing was changed" };
            error.of_store().hint(hint)
        }
        E::Unknown { op, source, .. } => Error::new(Kind::Unknown, message)
            .of_store()
            .caused_by(source)
            .hint(format!("repeat the same command with `--op-id {op}`: it is done once only")),
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        from_store(error)
    }
}

/// Explains why an item does not keep the limits; `place` says which one it is.
pub(crate) fn explain(why: &NewError, place: Option<&str>) -> Error {
    let message = place.map_or_else(|| why.to_string(), |place| format!("{place}: {why}"));
    let error = Error::new(Kind::Usage, message);
    match why {
        NewError::NoTitle => error.hint("say in a line what is to be done"),
        NewError::LongTitle(_) => error.hint("put the long text into the description"),
        NewError::TooLarge(_) | NewError::LongList(..) => {
            error.hint("keep the bulk in a file and name it in the description")
        }
        NewError::Name { .. } => error.hint(
            "a name is 1 to 64 letters, digits, `.`, `_` and `-`, and begins with a letter or digit",
        ),
        NewError::Range { .. } | NewError::Key => error.hint("nothing was changed"),
    }
}

fn transition(why: &TransitionError) -> Error {
    use TransitionError as T;
    let message = why.to_string();
    match why {
        T::State { id, state, verb } => {
            let error = Error::new(Kind::User, message);
            match (state, *verb) {
                (State::Failed | State::Dead, "claimed" | "completed" | "reported on") => {
                    error.hint(format!("queue it again with `coord work release {id} --retry`"))
                }
                (State::Pending, "completed" | "failed" | "reported on") => {
                    error.hint(format!("take it first with `coord work claim {id}`"))
                }
                (State::Pending | State::Blocked | State::Active, "retried") => {
                    error.hint("only failed and dead items are retried")
                }
                _ => error.hint(format!("`coord work show {id}` tells how it came to that")),
            }
        }
        T::NotHolder { id, .. } => Error::new(Kind::Conflict, message)
            .hint("say who you are with `--agent` or `COORD_AGENT`")
            .hint(format!("`coord work show {id}` tells until when its lease runs")),
        T::Stale { id, current, .. } => {
            let error = Error::new(Kind::Conflict, message);
            match current {
                Some(_) => error.hint(format!(
                    "whoever claimed it with this token has lost it to a later claim: stop working on `{id}`"
                )),
                None => error.hint(format!(
                    "the lease was lost or the item given back: stop working on `{id}` or claim it again"
                )),
            }
        }
        T::Blocked { id, .. } => Error::new(Kind::User, message)
            .hint(format!("`coord work show {id}` tells what it waits for")),
        T::Assigned { id, .. } => Error::new(Kind::Conflict, message)
            .hint(format!("free it with `coord work assign {id} --nobody`")),
        T::Unfit { id } => Error::new(Kind::User, message)
            .hint(format!("leave the filters out: `coord work claim {id}`")),
        T::Range { .. } => Error::new(Kind::Usage, message).hint("nothing was changed"),
        T::Backwards { id, .. } => Error::new(Kind::User, message)
            .hint(format!("say more with `coord work progress {id} --note TEXT`")),
        T::Limit(why) => explain(why, None),
    }
}

fn dependency(why: &DependencyError) -> Error {
    let error = Error::new(Kind::User, why.to_string());
    match why {
        DependencyError::Missing { .. } => {
            error.hint("add what is needed first, or both in one batch, named by `key` or `id`")
        }
        DependencyError::Cycle { .. } => error.hint("leave one of these dependencies out"),
    }
}

fn quoted(ids: &[ItemId]) -> String {
    ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::Holder;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let id = || "w-1".parse::<ItemId>().unwrap();
        let agent = || "nova".parse().unwrap();
        let io = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let cases: Vec<(store::Error, u8)> = vec![
            (store::Error::NotFound { id: "x".into(), similar: vec![id()] }, 1),
            (store::Error::Ambiguous { id: "x".into(), matches: vec![id()] }, 1),
            (store::Error::Exists { id: id() }, 1),
            (TransitionError::Blocked { id: id(), open: 2 }.into(), 1),
            (TransitionError::State { id: id(), state: State::Done, verb: "claimed" }.into(), 1),
            (TransitionError::NotHolder { id: id(), holder: agent(), agent: agent() }.into(), 4),
            (TransitionError::Stale { id: id(), given: 3, current: None }.into(), 4),
            (TransitionError::Range { field: "percent", value: 101, min: 0, max: 100 }.into(), 2),
            (store::Error::New { at: 3, why: NewError::NoTitle }, 2),
            (DependencyError::Cycle { path: vec![id(), id()] }.into(), 1),
            (store::Error::Busy { holder: None, waited: Duration::from_secs(10) }, 4),
            (store::Error::Missing { dir: "/x".into() }, 1),
            (store::Error::Damaged { what: "line 3".into() }, 5),
            (store::Error::NewerFormat { found: 9, known: 1 }, 3),
            (store::Error::Insecure { path: "/x".into(), why: "w".into() }, 5),
            (store::Error::Io { what: "write".into(), source: io() }, 5),
            (
                store::Error::Unknown {
                    op: "op-1".parse().unwrap(),
                    what: "sync".into(),
                    source: io(),
                },
                9,
            ),
        ];
        for (error, code) in cases {
            let shown = from_store(error);
            assert_eq!(shown.kind().exit_code(), code, "{shown}");
            assert!(!shown.hints().is_empty(), "{shown}");
        }
    }

    #[test]
    fn the_holder_of_the_lock_is_named() {
        let holder = Holder {
            pid: 42,
            host: "box".into(),
            command: "work add".into(),
            since: "2026-01-02T03:04:05Z".into(),
        };
        let waited = Duration::from_secs(10);
        let shown = from_store(store::Error::Busy { holder: Some(holder), waited });
        assert_eq!(shown.to_string(), "the store stayed locked for 10s by process 42 on `box`");
        assert_eq!(shown.hints()[0], "it runs `work add` since 2026-01-02T03:04:05Z");
    }

    #[test]
    fn an_unknown_outcome_says_how_to_repeat() {
        let source = std::io::Error::other("x");
        let op = "op-7".parse().unwrap();
        let shown = from_store(store::Error::Unknown { op, what: "sync".into(), source });
        assert!(shown.hints()[0].contains("`--op-id op-7`"));
    }
}
