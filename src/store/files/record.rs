//! A line of the log: the full after-image of one item and who made it, as one JSON object.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::domain::name::{AgentId, ItemId, OpId};
use crate::domain::time::parse_rfc3339;
use crate::domain::work::{Item, Lease, Limits};
use crate::store::fields::Fields;

/// The version of the format that is written.
pub(super) const FORMAT: u64 = 1;

/// A line about an item.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// The number of the write.
    pub(super) n: u64,
    /// The item after it.
    pub(super) item: Item,
    /// What was done.
    pub(super) verb: String,
    /// The operation.
    pub(super) op: OpId,
    /// When.
    pub(super) at: DateTime<Utc>,
    /// Who did it.
    pub(super) by: AgentId,
    /// Whether another line of the same transaction follows.
    pub(super) more: bool,
    /// Whether it was carried over from a sealed log.
    pub(super) carried: bool,
}

/// The link of the chain that a line is: the first 8 bytes of its SHA-256, without its line break.
pub(super) fn chain(line: &[u8]) -> u64 {
    let hash = hmac_sha256::Hash::hash(line.strip_suffix(b"\n").unwrap_or(line));
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(first)
}

impl Record {
    /// The line, with its line break.
    pub(super) fn line(&self, prev: u64) -> Vec<u8> {
        let item = &self.item;
        let mut f = Fields::new();
        f.number("n", self.n)
            .text("id", item.id.as_str())
            .plain("status", item.status.as_str())
            .plain("priority", item.priority.as_str())
            .text("title", &item.title)
            .text_if("description", item.description.as_deref())
            .text_if("type", item.kind.as_ref().map(AsRef::as_ref))
            .text_if("team", item.team.as_ref().map(AsRef::as_ref))
            .list("labels", &item.labels)
            .list("capabilities", &item.capabilities)
            .list("deps", &item.needs)
            .number_if("points", item.points.map(u64::from))
            .number_if("estimate_s", item.estimate_s)
            .text_if("assignee", item.assignee.as_ref().map(AsRef::as_ref))
            .text_if("agent", item.agent.as_ref().map(AsRef::as_ref))
            .number_if("token", item.token);
        if let Some(lease) = &item.lease {
            f.time("lease_until", lease.until)
                .hex("lease_boot", lease.boot)
                .number("lease_until_ms", lease.until_ms)
                .number("lease_ms", u64::try_from(lease.length.as_millis()).unwrap_or(u64::MAX));
        }
        if item.attempt > 0 {
            f.number("attempt", item.attempt.into());
        }
        if item.max_attempts != Limits::MAX_ATTEMPTS {
            f.number("max_attempts", item.max_attempts.into());
        }
        if item.progress > 0 {
            f.number("progress", item.progress.into());
        }
        f.text_if("note", item.note.as_deref())
            .text_if("result", item.result.as_deref())
            .time("created_at", item.created_at)
            .time_if("claimed_at", item.claimed_at)
            .time_if("finished_at", item.finished_at)
            .text_if("key", item.key.as_deref())
            .text_if("trace_id", item.trace_id.as_deref());
        for (name, value) in &item.extra {
            f.value(&name.replace(['"', '\\'], "_"), value);
        }
        f.text("op", &self.verb)
            .text("op_id", self.op.as_str())
            .time("at", self.at)
            .text("by", self.by.as_str())
            .truth("carried", self.carried)
            .truth("more", self.more)
            .end(prev)
    }

    /// Reads a line.
    pub(super) fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }
}

/// A text that is borrowed from the line wherever it holds no escapes; `Option<Cow<str>>` never is.
#[derive(Clone, Debug)]
pub(super) struct Str<'a>(Cow<'a, str>);

impl std::ops::Deref for Str<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Str<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Owned(text.to_owned())))
            }
        }
        input.deserialize_str(Text)
    }
}

fn moment<E: de::Error>(text: &str) -> Result<DateTime<Utc>, E> {
    parse_rfc3339(text).ok_or_else(|| E::custom(format!("`{}` is no time", text.escape_debug())))
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Line;
        impl<'de> Visitor<'de> for Line {
            type Value = Record;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a line of the log")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let (mut n, mut id, mut status, mut priority) = (None, None, None, None);
                let (mut verb, mut op, mut at, mut by) = (None, None, None, None);
                let (mut more, mut carried, mut title, mut created) = (false, false, None, None);
                let (mut until, mut boot, mut until_ms, mut lease_ms) = (None, 0, 0, 0u64);
                // What a line must have is filled in at the end.
                let mut item =
                    Item::bare(ItemId::numbered('w', 0), String::new(), DateTime::UNIX_EPOCH);
                while let Some(Str(key)) = map.next_key()? {
                    // What every line has comes first: names are compared one after the other.
                    match &*key {
                        "n" => n = Some(map.next_value()?),
                        "id" => id = Some(map.next_value()?),
                        "status" => status = Some(map.next_value()?),
                        "priority" => priority = Some(map.next_value()?),
                        "title" => title = Some(map.next_value()?),
                        "team" => item.team = map.next_value()?,
                        "created_at" => created = Some(moment(&map.next_value::<Str<'de>>()?.0)?),
                        "op" => verb = Some(map.next_value()?),
                        "op_id" => op = Some(map.next_value()?),
                        "at" => at = Some(moment(&map.next_value::<Str<'de>>()?.0)?),
                        "by" => by = Some(map.next_value()?),
                        // Read rather than skipped: serde_json skips a text with a search that first
                        // asks the processor what it can do, which costs a virtual machine 50 us.
                        "prev" => drop(map.next_value::<Option<Str<'de>>>()?),
                        "description" => item.description = map.next_value()?,
                        "type" => item.kind = map.next_value()?,
                        "labels" => item.labels = map.next_value()?,
                        "capabilities" => item.capabilities = map.next_value()?,
                        "deps" => item.needs = map.next_value()?,
                        "points" => item.points = map.next_value()?,
                        "estimate_s" => item.estimate_s = map.next_value()?,
                        "assignee" => item.assignee = map.next_value()?,
                        "agent" => item.agent = map.next_value()?,
                        "token" => item.token = map.next_value()?,
                        "lease_until" => until = Some(moment(&map.next_value::<Str<'de>>()?.0)?),
                        "lease_boot" => {
                            let text = map.next_value::<Str<'de>>()?;
                            boot = u64::from_str_radix(&text.0, 16).unwrap_or(0);
                        }
                        "lease_until_ms" => until_ms = map.next_value()?,
                        "lease_ms" => lease_ms = map.next_value()?,
                        "attempt" => item.attempt = map.next_value()?,
                        "max_attempts" => item.max_attempts = map.next_value()?,
                        "progress" => item.progress = map.next_value()?,
                        "note" => item.note = map.next_value()?,
                        "result" => item.result = map.next_value()?,
                        "claimed_at" => {
                            item.claimed_at = Some(moment(&map.next_value::<Str<'de>>()?.0)?);
                        }
                        "finished_at" => {
                            item.finished_at = Some(moment(&map.next_value::<Str<'de>>()?.0)?);
                        }
                        "key" => item.key = map.next_value()?,
                        "trace_id" => item.trace_id = map.next_value()?,
                        "more" => more = map.next_value()?,
                        "carried" => carried = map.next_value()?,
                        other => {
                            let value = map.next_value()?;
                            item.extra.insert(other.to_owned(), value);
                        }
                    }
                }
                let missing = de::Error::missing_field;
                item.id = id.ok_or_else(|| missing("id"))?;
                item.status = status.ok_or_else(|| missing("status"))?;
                item.priority = priority.ok_or_else(|| missing("priority"))?;
                item.title = title.ok_or_else(|| missing("title"))?;
                item.created_at = created.ok_or_else(|| missing("created_at"))?;
                let length = Duration::from_millis(lease_ms);
                item.lease = until.map(|until| Lease { until, boot, until_ms, length });
                Ok(Record {
                    n: n.ok_or_else(|| missing("n"))?,
                    item,
                    verb: verb.ok_or_else(|| missing("op"))?,
                    op: op.ok_or_else(|| missing("op_id"))?,
                    at: at.ok_or_else(|| missing("at"))?,
                    by: by.ok_or_else(|| missing("by"))?,
                    more,
                    carried,
                })
            }
        }
        input.deserialize_map(Line)
    }
}

/// What a pass over many lines needs of each, borrowed from the line.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Slim<'a> {
    #[serde(default)]
    pub(super) n: u64,
    #[serde(borrow, default)]
    pub(super) id: Option<Str<'a>>,
    #[serde(borrow, default)]
    pub(super) status: Option<Str<'a>>,
    #[serde(borrow, default)]
    pub(super) priority: Option<Str<'a>>,
    #[serde(borrow, default)]
    pub(super) team: Option<Str<'a>>,
    #[serde(borrow, default)]
    pub(super) deps: Vec<Str<'a>>,
    #[serde(default)]
    pub(super) capabilities: Vec<IgnoredAny>,
    #[serde(default)]
    pub(super) points: Option<u32>,
    #[serde(borrow, default)]
    pub(super) assignee: Option<Str<'a>>,
    #[serde(borrow, default)]
    pub(super) agent: Option<Str<'a>>,
    #[serde(borrow, default)]
    pub(super) lease_until: Option<Str<'a>>,
    #[serde(borrow, default)]
    pub(super) lease_boot: Option<Str<'a>>,
    #[serde(default)]
    pub(super) lease_until_ms: u64,
    #[serde(borrow, default)]
    pub(super) created_at: Option<Str<'a>>,
    #[serde(borrow, default)]
    pub(super) key: Option<Str<'a>>,
    #[serde(borrow, default)]
    pub(super) op: Option<Str<'a>>,
    #[serde(borrow, default)]
    pub(super) op_id: Option<Str<'a>>,
    #[serde(borrow, default)]
    pub(super) at: Option<Str<'a>>,
    #[serde(default)]
    pub(super) more: bool,
    #[serde(default)]
    pub(super) carried: bool,
    #[serde(borrow, default)]
    pub(super) prev: Option<Str<'a>>,
}

impl Slim<'_> {
    /// The link that the line claims to follow.
    pub(super) fn prev(&self) -> Option<u64> {
        u64::from_str_radix(self.prev.as_deref()?, 16).ok()
    }
}

/// A line about the log itself: its header, a checkpoint after sealing, a repair.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Control {
    pub(super) coord: Option<String>,
    pub(super) format: u64,
    pub(super) min_reader: u64,
    pub(super) segment: u64,
    pub(super) n: u64,
    pub(super) op: Option<String>,
    /// When.
    pub(super) at: Option<String>,
    /// Who did it.
    pub(super) by: Option<String>,
    /// The number that the next made id has at least.
    pub(super) next_id: u64,
    /// The file of the sealed predecessor.
    pub(super) sealed: Option<String>,
    /// The link of the last line of the sealed predecessor.
    pub(super) sealed_end: Option<String>,
    /// Links of lines that a repair moved aside.
    pub(super) removed: Vec<String>,
    /// Numbers that a repair found missing, first and last.
    pub(super) gaps: Vec<(u64, u64)>,
    /// `id@created_at` of items that a repair gave another id.
    pub(super) renamed: Vec<String>,
}

/// The first line of a log.
pub(super) fn header(segment: u64, prev: u64) -> Vec<u8> {
    Fields::new()
        .text("coord", "work")
        .number("format", FORMAT)
        .number("min_reader", FORMAT)
        .number("segment", segment)
        .end(prev)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = concat!(
        r#"{"n":41,"id":"w-7","status":"active","priority":"high","title":"Say \"hi\"\n😀","type":"bug","#,
        r#""team":"core","labels":["a","b"],"deps":["w-3"],"points":5,"agent":"nova","token":41,"#,
        r#""lease_until":"2026-01-02T03:34:05.000006Z","lease_boot":"00000000000000ff","lease_until_ms":1800000,"lease_ms":1800000,"#,
        r#""attempt":1,"progress":30,"created_at":"2026-01-02T03:04:05.000006Z","claimed_at":"2026-01-02T03:04:05.000006Z","#,
        r#""zeta":{"a":[1,null]},"op":"claim","op_id":"op-1","at":"2026-01-02T03:04:05.000006Z","by":"nova","more":true,"prev":"00000000000000ab"}"#,
        "\n"
    );

    #[test]
    fn a_line_comes_back_as_it_was() {
        let record = Record::parse(LINE.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(record.line(0xab)).unwrap(), LINE);
        assert_eq!(record.item.lease.unwrap().boot, 255);
        assert_eq!(record.item.extra["zeta"]["a"][0], 1);
    }

    #[test]
    fn a_slim_reading_agrees() {
        let slim: Slim<'_> = serde_json::from_str(LINE).unwrap();
        assert_eq!((slim.n, slim.prev(), slim.more), (41, Some(0xab), true));
        assert_eq!(slim.id.as_deref(), Some("w-7"));
    }
}
