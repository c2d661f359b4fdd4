//! The fields of one old record, taken out one by one; what is left over is kept aside.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::scan::name_of;
use super::{Kind, Place, Report, time, words};
use crate::domain::name::{AgentId, ItemId, MAX_NAME, NameError, Team, Word};
use crate::domain::work::{Limits, Priority};

/// A record under examination.
pub(super) struct Fields {
    map: Map<String, Value>,
    was: Map<String, Value>,
    told: Vec<String>,
}

impl Fields {
    pub(super) fn new(map: Map<String, Value>) -> Self {
        Self { map, was: Map::new(), told: Vec::new() }
    }

    /// Notes that something was mended.
    pub(super) fn tell(&mut self, what: impl Into<String>) {
        self.told.push(what.into());
    }

    /// Keeps the original of a field that was mended.
    pub(super) fn keep(&mut self, key: &str, value: impl Into<Value>) {
        self.was.entry(key.to_owned()).or_insert_with(|| value.into());
    }

    /// Whether a field is there, be it empty.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// Takes a value that is not null.
    pub(super) fn value(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|v| !v.is_null())
    }

    /// A part of an object that stays where it is.
    pub(super) fn peek(&self, key: &str, inner: &str) -> Option<&str> {
        self.map.get(key)?.get(inner)?.as_str().filter(|t| !t.is_empty())
    }

    /// Takes a text; an empty or blank one is none.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::String(text) => Some(text.trim().to_owned()).filter(|t| !t.is_empty()),
            value @ (Value::Number(_) | Value::Bool(_)) => {
                self.tell(format!("`{key}` is {} and was taken as text", name_of(&value)));
                Some(value.to_string())
            }
            other => {
                self.tell(format!("`{key}` is {}, not text: kept aside", name_of(&other)));
                self.keep(key, other);
                None
            }
        }
    }

    /// Takes the first of several fields that has a text.
    pub(super) fn text_of(&mut self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| self.text(key))
    }

    /// Takes a time.
    pub(super) fn time(&mut self, key: &str) -> Option<DateTime<Utc>> {
        let value = self.value(key).filter(|v| v.as_str() != Some(""))?;
        match time::read(&value) {
            Some((time, None)) => Some(time),
            Some((time, Some(mended))) => {
                self.tell(format!("`{key}` is `{}`: {mended}", bare(&value)));
                self.keep(key, value);
                Some(time)
            }
            None => {
                self.tell(format!("`{key}` is no time: `{}` is kept aside", bare(&value)));
                self.keep(key, value);
                None
            }
        }
    }

    /// Takes a number from 0 to `max`.
    pub(super) fn number(&mut self, key: &str, max: u64) -> Option<u64> {
        let value = self.value(key).filter(|v| v.as_str() != Some(""))?;
        let exact = value.as_u64();
        let read = exact.or_else(|| rounded(&value)).filter(|n| *n <= max);
        match read {
            None => self.tell(format!(
                "`{key}` is no number from 0 to {max}: `{}` is kept aside",
                bare(&value)
            )),
            Some(n) if exact.is_none() => {
                self.tell(format!("`{key}` is `{}`, taken as {n}", bare(&value)));
            }
            Some(_) => return read,
        }
        self.keep(key, value);
        read
    }

    /// Makes a name of a text, by its own rules or, if it breaks them, by changing it.
    pub(super) fn name<T: TryFrom<String, Error = NameError>>(
        &mut self,
        key: &str,
        text: String,
    ) -> Option<T> {
        if let Ok(name) = T::try_from(text.clone()) {
            return Some(name);
        }
        let slug = slug(&text);
        let name = slug.clone().and_then(|s| T::try_from(s).ok());
        match &slug {
            Some(slug) => {
                self.tell(format!("`{key}` `{}` is no name and became `{slug}`", short(&text)));
            }
            None => self.tell(format!("`{key}` `{}` is no name: kept aside", short(&text))),
        }
        self.keep(key, text);
        name
    }

    /// Takes an agent.
    pub(super) fn agent(&mut self, key: &str) -> Option<AgentId> {
        let text = self.text(key)?;
        self.name(key, text)
    }

    /// Takes a team.
    pub(super) fn team(&mut self, key: &str) -> Option<Team> {
        let text = self.text(key)?;
        self.name(key, text)
    }

    /// Takes a word.
    pub(super) fn word(&mut self, key: &str) -> Option<Word> {
        let text = self.text(key)?;
        self.name(key, text)
    }

    /// Takes the identifier, under the first of several names.
    pub(super) fn id(&mut self, keys: &[&str]) -> Option<ItemId> {
        keys.iter().find_map(|key| {
            let text = self.text(key)?;
            self.name(key, text)
        })
    }

    /// Takes a priority; one that is none becomes the usual one.
    pub(super) fn priority(&mut self, key: &str) -> Priority {
        let Some(text) = self.text(key) else { return Priority::default() };
        match words::priority(&text) {
            Some((priority, true)) => priority,
            Some((priority, false)) => {
                self.tell(format!("`{key}` `{}` was taken as `{priority}`", short(&text)));
                self.keep(key, text);
                priority
            }
            None => {
                let usual = Priority::default();
                self.tell(format!(
                    "`{key}` `{}` is no priority and became `{usual}`",
                    short(&text)
                ));
                self.keep(key, text);
                usual
            }
        }
    }

    /// Takes points.
    pub(super) fn points(&mut self, key: &str) -> Option<u32> {
        self.number(key, Limits::NUMBER.into()).and_then(|n| u32::try_from(n).ok())
    }

    /// A title that keeps the limit, and a description if it does not say the same or had to be cut.
    pub(super) fn title(
        &mut self,
        title: String,
        description: Option<String>,
    ) -> (String, Option<String>) {
        let first = title.lines().next().unwrap_or_default().trim();
        let cut = first.chars().count() > Limits::TITLE || first.len() < title.trim_end().len();
        if !cut {
            return (title.trim().to_owned(), description.filter(|d| *d != title));
        }
        self.tell("the title is long and was cut; the description has it whole");
        let short = first.chars().take(Limits::TITLE).collect();
        let whole = match description {
            Some(description) if description != title => format!("{title}\n\n{description}"),
            _ => title,
        };
        (short, Some(whole))
    }

    /// Puts what was told into the report, and gives what is left over with the originals of what
    /// was mended: the extra fields.
    pub(super) fn finish(
        self,
        kind: Kind,
        place: &Place,
        id: &str,
        report: &mut Report,
    ) -> Map<String, Value> {
        for what in self.told {
            report.mended(place, Some(id), what);
        }
        let mut legacy = self.map;
        legacy.retain(|_, value| !value.is_null());
        if !self.was.is_empty() {
            legacy.insert("was".to_owned(), self.was.into());
        }
        legacy.insert("kind".to_owned(), kind.as_str().into());
        Map::from_iter([("legacy".to_owned(), legacy.into())])
    }
}

/// Puts a text into a field.
pub(super) fn put(fields: &mut Fields, key: &str, text: String) {
    fields.map.insert(key.to_owned(), text.into());
}

/// Adds to the extra fields that [`Fields::finish`] made.
pub(super) fn add(extra: &mut Map<String, Value>, key: &str, value: Value) {
    let legacy = extra.entry("legacy").or_insert_with(|| Map::new().into());
    if let Value::Object(legacy) = legacy {
        legacy.insert(key.to_owned(), value);
    }
}

/// A value as it is told, in a few words.
fn bare(value: &Value) -> String {
    match value {
        Value::String(text) => short(text),
        other => short(&other.to_string()),
    }
}

/// The beginning of a text.
pub(super) fn short(text: &str) -> String {
    let mut out: String = text.chars().take(60).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

#[expect(clippy::cast_possible_truncation, reason = "it was rounded and bounded")]
#[expect(clippy::cast_sign_loss, reason = "it was bounded")]
fn rounded(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().trim_end_matches('%').parse::<f64>().ok()?,
        _ => return None,
    };
    (0.0..9e15).contains(&number).then(|| number.round() as u64)
}

/// A name made of a text: what a name may not hold becomes `-`. Nothing if nothing is left.
#[must_use]
pub fn slug(text: &str) -> Option<String> {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') && !out.is_empty() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        if out.len() == MAX_NAME {
            break;
        }
    }
    out.truncate(out.trim_end_matches('-').len());
    Some(out).filter(|o| !o.is_empty())
}

/// A title made of a name: `fix_login` becomes `fix login`.
pub(super) fn spoken(name: &str) -> String {
    name.replace('_', " ")
}
