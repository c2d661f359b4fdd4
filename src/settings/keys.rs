//! The table of settings: one row per key, and nothing about a key stands anywhere else.

use std::time::Duration;

use crate::domain::time::parse_duration;

/// What a key's value must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A length of time, such as `30m`.
    Duration,
    /// A whole number between these.
    Number(u64, u64),
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name, `section.name`.
    pub name: &'static str,
    /// The environment variable that overrides it.
    pub env: &'static str,
    /// What its value must be.
    pub form: Form,
    /// What holds if nobody says anything.
    pub default: &'static str,
    /// What it is for.
    pub doc: &'static str,
}

/// A value of a key, checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value {
    /// For [`Form::Choice`].
    Word(&'static str),
    /// For [`Form::Duration`].
    Duration(Duration),
    /// For [`Form::Number`].
    Number(u64),
}

/// Whether an operation waits until it is durable.
pub const STORE_SYNC: usize = 0;
/// How long to wait for the store's lock.
pub const STORE_LOCK_TIMEOUT: usize = 1;
/// How long a claim holds.
pub const WORK_LEASE: usize = 2;
/// How many attempts an item has.
pub const WORK_MAX_ATTEMPTS: usize = 3;
/// When an agent counts as silent.
pub const AGENT_SILENT_AFTER: usize = 4;

/// Every key, in the order of the constants above.
pub const ALL: [Key; 5] = [
    Key {
        name: "store.sync",
        env: "COORD_STORE_SYNC",
        form: Form::Choice(&["always", "never"]),
        default: "always",
        doc: "whether an operation waits until it is durable; `never` is for scratch use only",
    },
    Key {
        name: "store.lock-timeout",
        env: "COORD_STORE_LOCK_TIMEOUT",
        form: Form::Duration,
        default: "10s",
        doc: "how long to wait for the store's lock",
    },
    Key {
        name: "work.lease",
        env: "COORD_WORK_LEASE",
        form: Form::Duration,
        default: "30m",
        doc: "how long a claim holds unless it is renewed",
    },
    Key {
        name: "work.max-attempts",
        env: "COORD_WORK_MAX_ATTEMPTS",
        form: Form::Number(1, 1_000_000),
        default: "3",
        doc: "how many attempts an item has before it is dead",
    },
    Key {
        name: "agent.silent-after",
        env: "COORD_AGENT_SILENT_AFTER",
        form: Form::Duration,
        default: "15m",
        doc: "after what time without a sign of life an agent is called silent",
    },
];

impl Form {
    /// What a value must be, in words.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Choice(words) => words.join(" or "),
            Self::Duration => "a length of time".to_owned(),
            Self::Number(min, max) => format!("a whole number from {min} to {max}"),
        }
    }

    /// Reads a value; the error says what was expected.
    pub fn read(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Choice(words) => words
                .iter()
                .find(|word| **word == text)
                .map(|word| Value::Word(word))
                .ok_or_else(|| format!("expected one of `{}`", words.join("`, `"))),
            Self::Duration => parse_duration(text).map(Value::Duration).map_err(|e| e.to_string()),
            Self::Number(min, max) => text
                .parse()
                .ok()
                .filter(|n| (min..=max).contains(n))
                .map(Value::Number)
                .ok_or_else(|| format!("expected a whole number from {min} to {max}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_and_every_name_stands_once() {
        for (at, key) in ALL.iter().enumerate() {
            assert!(key.form.read(key.default).is_ok(), "{}", key.name);
            assert!(ALL[..at].iter().all(|k| k.name != key.name && k.env != key.env));
            let env = key.name.to_uppercase().replace(['.', '-'], "_");
            assert_eq!(key.env, format!("COORD_{env}"));
        }
        assert_eq!(ALL[STORE_SYNC].name, "store.sync");
        assert_eq!(ALL[STORE_LOCK_TIMEOUT].name, "store.lock-timeout");
        assert_eq!(ALL[WORK_LEASE].name, "work.lease");
        assert_eq!(ALL[WORK_MAX_ATTEMPTS].name, "work.max-attempts");
        assert_eq!(ALL[AGENT_SILENT_AFTER].name, "agent.silent-after");
    }
}
