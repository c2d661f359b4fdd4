//! A snapshot of the process environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// The environment as it was when the program started.
#[derive(Clone, Debug)]
pub enum Env {
    /// The process's own, read on demand: most commands need only a handful of names.
    Process,
    /// A given one.
    Fixed(BTreeMap<OsString, OsString>),
}

impl Env {
    /// Returns a variable that is set and not empty.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn get(&self, name: &str) -> Option<OsString> {
        match self {
            Self::Process => std::env::var_os(name),
            Self::Fixed(map) => map.get(OsStr::new(name)).cloned(),
        }
        .filter(|value| !value.is_empty())
    }

    /// The names of all variables that begin like this and are UTF-8, in order.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let all: Vec<OsString> = match self {
            Self::Process => std::env::vars_os().map(|(name, _)| name).collect(),
            Self::Fixed(map) => map.keys().cloned().collect(),
        };
        let mut names: Vec<_> =
            all.into_iter().filter_map(|name| name.into_string().ok()).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort_unstable();
        names
    }

    /// Returns a variable that is set, not empty and valid UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.into_string().ok()
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        Self::Fixed(iter.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}
