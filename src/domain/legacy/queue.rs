//! `real_work_queue.json` and `work_queue.json`: what was queued, as a list or inside an object.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::fields::{Fields, spoken};
use super::life::life;
use super::{Kind, Parsed, scan};
use crate::domain::work::Item;

fn looks(object: &Map<String, Value>) -> bool {
    ["work_id", "work_item_id"].iter().any(|key| object.contains_key(*key))
}

pub(super) fn read(bytes: &[u8], now: DateTime<Utc>) -> Parsed<Item> {
    let mut parsed = Parsed::default();
    let pieces = scan::records(bytes, &["work_items", "queue", "items"], looks, &mut parsed.report);
    for piece in pieces {
        let mut fields = Fields::new(piece.object);
        let Some(id) = fields.id(&["work_id", "work_item_id", "id"]) else {
            parsed.report.refused(&piece.place, None, "it has no `work_id`");
            continue;
        };
        let description = fields.text("description");
        let title = fields.text("title").or_else(|| description.clone());
        let title = title.unwrap_or_else(|| spoken(id.as_str()));
        let (title, description) = fields.title(title, description);
        let mut item = Item::bare(id, title, now);
        item.description = description;
        item.kind = fields.word("work_type");
        item.priority = fields.priority("priority");
        item.team = fields.team("team");
        item.points = fields.points("story_points");
        // The exact milliseconds stay among the extra fields.
        if let Some(ms) = fields.number("estimated_duration_ms", 1 << 40) {
            item.estimate_s = Some(ms.div_ceil(1000));
            fields.keep("estimated_duration_ms", ms);
        }
        life(&mut item, &mut fields, "claimed_by");
        item.extra = fields.finish(Kind::Queue, &piece.place, item.id.as_str(), &mut parsed.report);
        parsed.push(piece.place, item);
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::work::Status;

    const ROWS: &str = r#"[
  {"work_id": "rotate_keys", "priority": "high", "estimated_duration_ms": 2500, "work_type": "chore",
   "status": "available", "created_at": "2025-06-16T07:15:54Z"},
  {"work_id": "warm_cache", "status": "completed", "claimed_by": "a-1",
   "claimed_at": "2025-06-16T07:17:02Z", "completed_at": "2025-06-16T07:17:05Z", "actual_duration_ms": 2677}
]"#;

    #[test]
    fn both_forms_say_the_same() {
        let bare = read(ROWS.as_bytes(), DateTime::UNIX_EPOCH);
        let inside = format!("{{\"work_items\": {ROWS}, \"version\": 3}}");
        let inside = read(inside.as_bytes(), DateTime::UNIX_EPOCH);
        let values =
            |p: &Parsed<Item>| p.records.iter().map(|r| r.value.clone()).collect::<Vec<_>>();
        assert_eq!(values(&bare), values(&inside));
        assert_eq!(bare.report.read, 2);
        assert!(bare.report.mended.is_empty(), "{:?}", bare.report.mended);
        let [first, second] = &values(&bare)[..] else { panic!() };
        assert_eq!(
            (first.title.as_str(), first.status, first.estimate_s),
            ("rotate keys", Status::Pending, Some(3))
        );
        assert_eq!(second.status, Status::Done);
        assert_eq!(second.agent.as_ref().unwrap().as_str(), "a-1");
        assert_eq!(second.extra["legacy"]["actual_duration_ms"], 2677);
        let paths: Vec<_> =
            inside.records.iter().map(|r| r.place.element.clone().unwrap()).collect();
        assert_eq!(paths, [".work_items[0]", ".work_items[1]"]);
    }
}
