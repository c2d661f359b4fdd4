//! Names that people and programs give to things, checked once where they come in.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// The most characters a name may have.
pub const MAX_NAME: usize = 64;

/// Why a text is not a name.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum NameError {
    /// Nothing was given.
    #[error("it is empty")]
    Empty,
    /// It is longer than [`MAX_NAME`].
    #[error("it has {0} characters, at most {MAX_NAME} are allowed")]
    TooLong(usize),
    /// It begins with something that is neither a letter nor a digit.
    #[error("it must begin with a letter or a digit")]
    Start,
    /// It holds another character.
    #[error("it holds {0:?}; letters, digits, `.`, `_` and `-` are allowed")]
    Character(char),
}

/// Checks `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
pub fn check(text: &str) -> Result<(), NameError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match text.chars().next() {
        None => return Err(NameError::Empty),
        Some(c) if !allowed(c) => return Err(NameError::Character(c)),
        Some(c) if !c.is_ascii_alphanumeric() => return Err(NameError::Start),
        Some(_) => {}
    }
    if let Some(c) = text.chars().find(|c| !allowed(*c)) {
        return Err(NameError::Character(c));
    }
    if text.len() > MAX_NAME {
        return Err(NameError::TooLong(text.len()));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A made name, such as `w-7`; `prefix` is an ASCII letter.
            #[must_use]
            pub fn numbered(prefix: char, number: u64) -> Self {
                debug_assert!(prefix.is_ascii_alphabetic());
                // Not formatted: this is part of every short command.
                let mut text = String::with_capacity(24);
                text.extend([prefix, '-']);
                let mut power = 1;
                while number / power >= 10 {
                    power *= 10;
                }
                while power > 0 {
                    let digit = u32::try_from(number / power % 10).unwrap_or(0);
                    text.extend(char::from_digit(digit, 10));
                    power /= 10;
                }
                Self(text)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                check(&text)?;
                Ok(Self(text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let text = String::deserialize(input)?;
                check(&text).map_err(|why| {
                    serde::de::Error::custom(format!("`{}`: {why}", text.escape_debug()))
                })?;
                Ok(Self(text))
            }
        }
    };
}

name! {
    /// The identifier of a work item, such as `w-7`.
    ItemId
}
name! {
    /// The identifier of an agent, such as `nova`.
    AgentId
}
name! {
    /// The name of a team, such as `core`.
    Team
}
name! {
    /// A word on an item: a label, a type, a capability.
    Word
}
name! {
    /// The name of an alert rule, such as `memory-high`.
    RuleName
}
name! {
    /// The identifier of one operation: repeating it changes nothing.
    OpId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_names_tell_their_number() {
        for number in [0, 7, 9, 10, 41, 99, 100, 10_000, u64::MAX - 1, u64::MAX] {
            assert_eq!(ItemId::numbered('w', number).as_str(), format!("w-{number}"));
        }
    }

    #[test]
    fn accepts_what_the_old_system_made() {
        for id in [
            "w-7",
            "work_1750004228696079000",
            "test_orchestrator_master_1750055757_c5e4b5aa451e7040",
            "7",
        ] {
            assert_eq!(check(id), Ok(()), "{id}");
        }
    }

    #[test]
    fn refuses_what_could_be_a_path_an_option_or_a_trick() {
        for id in [
            "",
            ".",
            "..",
            "../x",
            "/etc/x",
            "a/b",
            "-rf",
            "_x",
            "a b",
            "a\n",
            "a\0",
            "é",
            "a:b",
            "a\u{202e}",
        ] {
            assert!(check(id).is_err(), "{id:?}");
        }
        assert_eq!(check(&"a".repeat(65)), Err(NameError::TooLong(65)));
        assert_eq!(check(&"a".repeat(64)), Ok(()));
    }
}
