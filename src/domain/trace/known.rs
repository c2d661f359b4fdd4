//! Spans as they are shown: this program's own, and those taken over from programs whose ids are any
//! text.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{Kind, Outcome, Span};
use crate::domain::time::parse_rfc3339;

/// Where an agent may stand among the attributes, the own name first.
const AGENT: [&str; 4] = ["coord.agent", "s2s.agent_id", "agent.id", "agent_id"];
/// The same for an item.
const ITEM: [&str; 4] = ["coord.item", "s2s.work_item_id", "work_item.id", "work_item_id"];

/// Something that was done, from whatever source.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Its trace.
    pub trace: String,
    /// Itself; old spans may have no id, or one that others have as well.
    pub span: Option<String>,
    /// What it is a part of.
    pub parent: Option<String>,
    /// Whether another program may have recorded that.
    pub remote_parent: bool,
    /// What was done.
    pub name: String,
    /// Which side of a call it is.
    pub kind: Kind,
    /// When it began, if that is known.
    pub start: Option<DateTime<Utc>>,
    /// How long it took, in microseconds, if that is known.
    pub duration_us: Option<u64>,
    /// Whether it has not ended, as far as is known: it goes on, or its program was killed.
    pub open: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    pub message: Option<String>,
    /// The program that did it; nothing for this one.
    pub service: Option<String>,
    /// What else is known.
    pub attributes: BTreeMap<String, Value>,
    /// Whether it was taken over from another program's files.
    pub imported: bool,
}

impl From<Span> for Known {
    fn from(span: Span) -> Self {
        Self {
            trace: span.trace_id.to_string(),
            span: Some(span.span_id.to_string()),
            parent: span.parent_span_id.map(|id| id.to_string()),
            remote_parent: span.remote_parent,
            name: span.name,
            kind: span.kind,
            start: Some(span.start),
            duration_us: Some(span.duration_us).filter(|_| !span.open),
            open: span.open,
            outcome: span.outcome,
            message: span.message,
            service: span.service,
            attributes: span.attributes,
            imported: false,
        }
    }
}

impl Known {
    /// Reads a row of what was taken over, as [`crate::domain::legacy`] writes it; nothing if it names
    /// no trace.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    #[expect(clippy::cast_sign_loss, reason = "the range is checked")]
    pub fn of_row(row: &Value) -> Option<Self> {
        let text = |key: &str| row[key].as_str().filter(|s| !s.is_empty()).map(str::to_owned);
        let length = row["duration_ms"].as_f64().filter(|ms| (0.0..1e12).contains(ms));
        let attributes = row["attributes"].as_object().cloned().unwrap_or_default();
        Some(Self {
            trace: text("trace_id")?,
            span: text("span_id"),
            parent: text("parent_span_id"),
            remote_parent: false,
            name: text("name").unwrap_or_default(),
            kind: Kind::Internal,
            start: row["start_at"].as_str().and_then(parse_rfc3339),
            duration_us: length.map(|ms| (ms * 1000.0).round() as u64),
            open: false,
            outcome: match row["status"].as_str() {
                Some("ok") => Outcome::Ok,
                Some("error") => Outcome::Error,
                _ => Outcome::Unset,
            },
            message: None,
            service: text("service"),
            attributes: attributes.into_iter().collect(),
            imported: true,
        })
    }

    fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.attributes.get(*name)?.as_str())
    }

    /// Who acted.
    #[must_use]
    pub fn agent(&self) -> Option<&str> {
        self.first(&AGENT)
    }

    /// The item it was about.
    #[must_use]
    pub fn item(&self) -> Option<&str> {
        self.first(&ITEM)
    }

    /// The operation on the store that it did, if that was about several items.
    #[must_use]
    pub fn store_op(&self) -> Option<&str> {
        self.first(&["coord.store_op"])
    }

    /// When it ended; its beginning where nobody knows how long it took.
    #[must_use]
    pub fn end(&self) -> Option<DateTime<Utc>> {
        let length = i64::try_from(self.duration_us.unwrap_or(0)).unwrap_or(i64::MAX);
        let start = self.start?;
        Some(start.checked_add_signed(TimeDelta::microseconds(length)).unwrap_or(start))
    }
}

/// Which spans are wanted: every condition that is given must be met.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Ended at this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// Began before this moment.
    pub until: Option<DateTime<Utc>>,
    /// Has this in its name.
    pub name: Option<String>,
    /// Done by this agent.
    pub agent: Option<String>,
    /// About this item.
    pub item: Option<String>,
    /// Or one of these operations on the store, which were about that item among others.
    pub store_ops: BTreeSet<String>,
    /// Ended so.
    pub outcome: Option<Outcome>,
    /// Took at least so many microseconds.
    pub min_duration_us: Option<u64>,
}

impl Filter {
    /// Whether a span is wanted. What is not known of it meets no condition.
    #[must_use]
    pub fn fits(&self, span: &Known) -> bool {
        let same = |want: &Option<String>, have: Option<&str>| {
            want.as_deref().is_none_or(|want| have == Some(want))
        };
        self.since.is_none_or(|since| span.end().is_some_and(|end| end >= since))
            && self.until.is_none_or(|until| span.start.is_some_and(|start| start < until))
            && self.name.as_deref().is_none_or(|name| span.name.contains(name))
            && same(&self.agent, span.agent())
            && (same(&self.item, span.item())
                || span.store_op().is_some_and(|op| self.store_ops.contains(op)))
            && self.outcome.is_none_or(|outcome| span.outcome == outcome)
            && self.min_duration_us.is_none_or(|min| span.duration_us.is_some_and(|us| us >= min))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row() -> Value {
        json!({
            "trace_id": "master_1", "span_id": "cycle_1", "parent_span_id": null, "name": "old.claim",
            "service": "svc", "start_at": "2025-06-15T17:35:33Z", "duration_ms": 32.5,
            "status": "error", "attributes": {"s2s.agent_id": "a", "s2s.work_item_id": "w"}, "extra": {},
        })
    }

    #[test]
    fn an_old_row_is_a_span() {
        let span = Known::of_row(&row()).unwrap();
        assert_eq!((span.trace.as_str(), span.span.as_deref()), ("master_1", Some("cycle_1")));
        assert_eq!((span.duration_us, span.outcome), (Some(32_500), Outcome::Error));
        assert_eq!((span.agent(), span.item()), (Some("a"), Some("w")));
        assert_eq!(span.end().unwrap().timestamp_subsec_micros(), 32_500);
        let bare = json!({"trace_id": "t", "name": "n", "start_at": null, "duration_ms": -1});
        let bare = Known::of_row(&bare).unwrap();
        assert_eq!((bare.start, bare.duration_us, bare.outcome), (None, None, Outcome::Unset));
        assert_eq!(Known::of_row(&json!({"trace_id": "", "name": "n"})), None);
    }

    #[test]
    fn every_condition_counts_and_the_unknown_meets_none() {
        let span = Known::of_row(&row()).unwrap();
        let start = span.start.unwrap();
        let (micro, no) = (TimeDelta::microseconds(1), Some("no".to_owned()));
        let all = Filter {
            since: span.end(),
            until: Some(start + micro),
            name: Some("claim".into()),
            agent: Some("a".into()),
            item: Some("w".into()),
            store_ops: BTreeSet::new(),
            outcome: Some(Outcome::Error),
            min_duration_us: Some(32_500),
        };
        assert!(all.fits(&span) && Filter::default().fits(&span));
        for one in [
            Filter { since: Some(span.end().unwrap() + micro), ..all.clone() },
            Filter { until: Some(start), ..all.clone() },
            Filter { name: no.clone(), ..all.clone() },
            Filter { agent: no.clone(), ..all.clone() },
            Filter { item: no, ..all.clone() },
            Filter { outcome: Some(Outcome::Ok), ..all.clone() },
            Filter { min_duration_us: Some(32_501), ..all.clone() },
        ] {
            assert!(!one.fits(&span), "{one:?}");
        }
        let attributes = [("coord.store_op".to_owned(), "op-1".into())].into();
        let several = Known { attributes, ..span.clone() };
        let about = |op: &str| Filter {
            item: Some("w".into()),
            store_ops: BTreeSet::from([op.to_owned()]),
            ..Filter::default()
        };
        assert!(about("op-1").fits(&several) && !about("op-2").fits(&several));
        let bare = Known { start: None, duration_us: None, ..span };
        assert!(!Filter { since: Some(start), ..Filter::default() }.fits(&bare));
        assert!(!Filter { min_duration_us: Some(0), ..Filter::default() }.fits(&bare));
    }
}
