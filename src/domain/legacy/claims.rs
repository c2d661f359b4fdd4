//! `work_claims.json`: a list of what was claimed, by whom, and what became of it.
//!
//! The old program took its arguments by position and without checks, so a forgotten or unquoted
//! one moved the others. Three patterns are put right: a forgotten description (its place holds a
//! priority), a description without its quotes (its words filled the places of priority and team),
//! and priority and team in each other's place.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::fields::{self, Fields, short, spoken};
use super::life::life;
use super::{Kind, Parsed, Place, Report, scan, words};
use crate::domain::name::ItemId;
use crate::domain::time::parse_duration;
use crate::domain::work::Item;

fn looks(object: &Map<String, Value>) -> bool {
    object.contains_key("work_item_id")
}

pub(super) fn read(bytes: &[u8], now: DateTime<Utc>) -> Parsed<Item> {
    let mut parsed = Parsed::default();
    let pieces =
        scan::records(bytes, &["work_claims", "claims", "work_items"], looks, &mut parsed.report);
    for piece in pieces {
        let mut fields = Fields::new(piece.object);
        match fields.id(&["work_item_id", "id", "work_id"]) {
            Some(id) => {
                let item = item(id, fields, now, &piece.place, &mut parsed.report);
                parsed.push(piece.place, item);
            }
            None => parsed.report.refused(&piece.place, None, "it has no `work_item_id`"),
        }
    }
    parsed
}

fn item(
    id: ItemId,
    mut fields: Fields,
    now: DateTime<Utc>,
    place: &Place,
    report: &mut Report,
) -> Item {
    unshift(&mut fields);
    let work_type = fields.text("work_type");
    let description = fields.text("description");
    if work_type.is_none() {
        fields.tell("`work_type` is empty");
    }
    let kind = work_type.clone().and_then(|text| fields.name("work_type", text));
    let title = match (&description, &work_type) {
        (Some(description), _) => description.clone(),
        (None, Some(work_type)) => {
            fields.tell("`description` is empty: the title is made of `work_type`");
            spoken(work_type)
        }
        (None, None) => {
            fields.tell("`description` is empty: the id serves as the title");
            id.to_string()
        }
    };
    let (title, description) = fields.title(title, None::<String>);
    let mut item = Item::bare(id, title, now);
    item.description = description;
    item.kind = kind;
    item.priority = fields.priority("priority");
    item.team = fields.team("team");
    item.estimate_s = fields.text("estimated_duration").and_then(|text| {
        let length = parse_duration(&text);
        if length.is_err() {
            fields.tell(format!("`estimated_duration` `{}` is no length of time", short(&text)));
            fields.keep("estimated_duration", text);
        }
        Some(length.ok()?.as_secs())
    });
    item.trace_id = fields.peek("telemetry", "trace_id").map(|t| t.chars().take(64).collect());
    item.points = fields.points("velocity_points");
    life(&mut item, &mut fields, "agent_id");
    item.extra = fields.finish(Kind::Claims, place, item.id.as_str(), report);
    item
}

/// Puts arguments back into their places.
fn unshift(fields: &mut Fields) {
    let get = |fields: &mut Fields, key| fields.text(key).unwrap_or_default();
    let [description, priority, team] =
        ["description", "priority", "team"].map(|key| get(fields, key));
    let is_priority = |text: &str| words::priority(text).is_some();
    let is_team = |text: &str| text.ends_with("_team");
    let mut to = [description.clone(), priority.clone(), team.clone()];
    if is_priority(&description)
        && !description.contains(' ')
        && (is_team(&priority) || is_priority(&priority))
    {
        fields.tell(format!("the description was left out: `{description}` is the priority"));
        let work_type = get(fields, "work_type");
        to[1].clone_from(&description);
        if work_type.contains(' ') {
            fields.tell("and what stands for the type is the description");
            to[0] = work_type;
        } else {
            to[0] = spoken(&work_type);
            fields::put(fields, "work_type", work_type);
        }
        if is_team(&priority) {
            fields.tell(format!("and `{}` is the team", short(&priority)));
            to[2].clone_from(&priority);
        }
    } else if description.starts_with(['\'', '"'])
        && !description[1..].ends_with(['\'', '"'])
        && !priority.is_empty()
        && !is_priority(&priority)
    {
        let whole = format!("{} {priority} {team}", &description[1..]);
        fields.tell(format!(
            "the description lost its quotes: `{}` ran over priority and team",
            short(&whole)
        ));
        to = [whole.trim().trim_end_matches(['\'', '"']).to_owned(), String::new(), String::new()];
    } else if is_priority(&team) && !is_priority(&priority) && !priority.is_empty() {
        fields.tell("priority and team stood in each other's place");
        to.swap(1, 2);
    }
    for ((key, was), now) in
        ["description", "priority", "team"].iter().zip([description, priority, team]).zip(to)
    {
        if was != now {
            fields.keep(key, was);
        }
        fields::put(fields, key, now);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::work::{Priority, Status};

    /// Reads one claim that is like a whole one but for `fields`; gives it and what was told.
    fn one(fields: &Value) -> (Item, Vec<String>) {
        let mut row = json!({
            "work_item_id": "work_1750055927455076000", "agent_id": "nova",
            "claimed_at": "2025-06-16T06:38:47Z", "estimated_duration": "30m", "work_type": "bug",
            "priority": "high", "description": "Mend the login", "status": "active",
            "team": "core_team", "telemetry": {"trace_id": "abc", "span_id": ""},
        });
        for (key, value) in fields.as_object().unwrap() {
            row[key] = value.clone();
        }
        let parsed = read(json!([row]).to_string().as_bytes(), DateTime::UNIX_EPOCH);
        let [record] = &parsed.records[..] else { panic!("{:?}", parsed.report) };
        let told = parsed.report.mended.iter().map(|n| n.reason.clone()).collect();
        (record.value.clone(), told)
    }

    #[test]
    fn what_somebody_had_is_pending_again_and_says_who_had_it() {
        let (item, told) = one(&json!({"progress": 75, "last_update": "x", "new_field": [1]}));
        assert_eq!((item.status, item.agent, item.progress), (Status::Pending, None, 0));
        assert_eq!(item.note.unwrap(), "nova had it in the old system and was at 75 %");
        assert_eq!(told, ["`nova` had it without a lease and was at 75 %: it is pending again"]);
        assert_eq!((item.estimate_s, item.trace_id.as_deref()), (Some(1800), Some("abc")));
        assert_eq!(item.extra["legacy"]["new_field"], json!([1]));
        assert_eq!(item.extra["legacy"]["was"]["agent_id"], "nova");
    }

    #[test]
    fn what_was_completed_is_done() {
        let done =
            json!({"status": "completed", "completed_at": "2025-06-16T06:45:28Z", "result": "ok"});
        let (item, told) = one(&done);
        assert_eq!(
            (item.status, item.progress, item.result.as_deref()),
            (Status::Done, 100, Some("ok"))
        );
        assert_eq!(item.agent.unwrap().as_str(), "nova");
        assert!(item.finished_at > item.claimed_at && item.claimed_at.is_some());
        assert!(told.is_empty(), "{told:?}");
        let (item, told) = one(&json!({"status": "failed"}));
        assert_eq!((item.status, item.finished_at), (Status::Failed, item.claimed_at));
        assert_eq!(told.len(), 1);
    }

    #[test]
    fn arguments_that_moved_are_put_back() {
        let kind = |item: &Item| item.kind.as_ref().map(ToString::to_string);
        let team = |item: &Item| item.team.as_ref().map(ToString::to_string);
        // The description was forgotten.
        let (item, told) = one(
            &json!({"work_type": "test_login", "description": "low", "priority": "web_team", "team": "core_team"}),
        );
        assert_eq!((item.title.as_str(), item.priority), ("test login", Priority::Low));
        assert_eq!(
            (kind(&item).unwrap().as_str(), team(&item).unwrap().as_str()),
            ("test_login", "web_team")
        );
        assert_eq!(told.len(), 3, "{told:?}");
        // The type was forgotten: the description stands in its place.
        let (item, _) = one(
            &json!({"work_type": "Test the login page", "description": "high", "priority": "medium"}),
        );
        assert_eq!(
            (item.title.as_str(), item.priority, kind(&item)),
            ("Test the login page", Priority::High, None)
        );
        // The description was not quoted.
        let (item, _) = one(&json!({"description": "'Login", "priority": "test", "team": "round"}));
        assert_eq!(
            (item.title.as_str(), item.priority, team(&item)),
            ("Login test round", Priority::Medium, None)
        );
        assert_eq!(item.extra["legacy"]["was"]["priority"], "test");
        // Priority and team stand in each other's place.
        let (item, _) = one(&json!({"priority": "core_team", "team": "critical"}));
        assert_eq!(
            (item.priority, team(&item).unwrap().as_str()),
            (Priority::Critical, "core_team")
        );
        // Nothing moved: the priority is just none.
        let (item, told) = one(&json!({"priority": "test"}));
        assert_eq!(
            (item.priority, told[0].as_str()),
            (Priority::Medium, "`priority` `test` is no priority and became `medium`")
        );
    }

    #[test]
    fn free_text_and_empty_fields_are_told() {
        let (item, told) =
            one(&json!({"status": "testing phase 2", "agent_id": null, "claimed_at": null}));
        assert_eq!((item.status, item.note.as_deref()), (Status::Pending, Some("testing phase 2")));
        assert_eq!(told, ["`status` `testing phase 2` is free text: taken as pending"]);
        assert_eq!(crate::domain::time::rfc3339(item.created_at), "2025-06-16T06:38:47.455076Z");
        let (item, told) =
            one(&json!({"status": "shipped!", "completed_at": "2025-06-16T06:45:28.3NZ"}));
        assert_eq!(item.status, Status::Done);
        assert_eq!(told.len(), 2);
        let (item, told) =
            one(&json!({"description": "", "work_type": "", "status": "pending", "agent_id": ""}));
        assert_eq!((item.title.as_str(), item.kind), ("work_1750055927455076000", None));
        assert_eq!(told.len(), 2);
        let (item, told) =
            one(&json!({"description": 7, "team": ["x"], "agent_id": "a b/c", "progress": "120%"}));
        assert_eq!((item.title.as_str(), item.team), ("7", None));
        assert!(item.note.unwrap().starts_with("a-b-c had it"));
        assert_eq!(told.len(), 5, "{told:?}");
    }

    #[test]
    fn a_claim_without_an_id_is_refused_and_named() {
        let text = "[\n{\"status\": \"active\"},\n{\"work_item_id\": \"\"},\nnull,\n{\"work_item_id\": \"a\"}\n]";
        let parsed = read(text.as_bytes(), DateTime::UNIX_EPOCH);
        assert_eq!((parsed.report.read, parsed.report.refused.len()), (1, 3));
        let lines: Vec<_> = parsed.report.refused.iter().map(|n| n.place.line.unwrap()).collect();
        assert!([2, 3, 4].iter().all(|l| lines.contains(l)), "{lines:?}");
    }

    #[test]
    fn a_large_broken_file_costs_no_more_than_its_size() {
        // Each of these would be slow if every brace were a reason to read the rest again.
        for part in [
            "{\"a\":[",
            ",{\"a\":[1,",
            "{",
            "{\n",
            "[1,",
            "{\"work_item_id\":\"x\",",
            "\"{\",",
            ",{\"a\":\"",
        ] {
            let text = part.repeat((1 << 17) / part.len());
            let parsed = read(text.as_bytes(), DateTime::UNIX_EPOCH);
            assert_eq!(parsed.report.read, 0);
            assert!((1..=20_000).contains(&parsed.report.refused.len()), "{part:?}");
        }
    }
}
