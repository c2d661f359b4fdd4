//! `active_sprints.json`: the sprint and the work that was committed to it.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::backlog::{Fact, Plan, story};
use super::{Kind, Place, scan};

fn looks(object: &Map<String, Value>) -> bool {
    object.contains_key("current_sprint") || object.contains_key("sprint_history")
}

pub(super) fn read(bytes: &[u8], now: DateTime<Utc>) -> Plan {
    let mut plan = Plan::default();
    let pieces = scan::records(bytes, &[], looks, &mut plan.items.report);
    for piece in pieces {
        let mut object = piece.object;
        let mut sprints = Vec::new();
        match object.remove("current_sprint") {
            Some(sprint @ Value::Object(_)) => sprints.push((".current_sprint".to_owned(), sprint)),
            None | Some(Value::Null) => {}
            Some(other) => plan.odd(&piece.place, ".current_sprint", &other),
        }
        match object.remove("sprint_history") {
            Some(Value::Array(list)) => sprints.extend(
                list.into_iter().enumerate().map(|(i, s)| (format!(".sprint_history[{i}]"), s)),
            ),
            None | Some(Value::Null) => {}
            Some(other) => plan.odd(&piece.place, ".sprint_history", &other),
        }
        for (path, sprint) in sprints {
            let at = |path: String| Place { element: Some(path), ..piece.place.clone() };
            let Value::Object(mut sprint) = sprint else {
                plan.odd(&piece.place, &path, &sprint);
                continue;
            };
            let committed = sprint.remove("committed_work");
            let name = sprint.get("id").and_then(Value::as_str).map(ToOwned::to_owned);
            let mut ids = Vec::new();
            match committed {
                Some(Value::Array(list)) => {
                    for (index, value) in list.into_iter().enumerate() {
                        let path = format!("{path}.committed_work[{index}]");
                        let place = at(path.clone());
                        if let Value::Object(row) = value {
                            ids.extend(story(
                                &mut plan,
                                Kind::Sprints,
                                place,
                                row,
                                None,
                                name.as_deref(),
                                now,
                            ));
                        } else {
                            plan.odd(&piece.place, &path, &value);
                        }
                    }
                }
                None | Some(Value::Null) => {}
                Some(other) => plan.odd(&piece.place, &format!("{path}.committed_work"), &other),
            }
            sprint.insert("committed".to_owned(), json!(ids));
            plan.facts.push(Fact { kind: "sprint", from: Kind::Sprints, data: sprint });
        }
        if !object.is_empty() {
            plan.facts.push(Fact { kind: "other", from: Kind::Sprints, data: object });
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_work_becomes_items_and_the_sprint_a_fact() {
        let text = r#"{"current_sprint": {"id": "s-9", "goal": "calm", "committed_work": [
            {"work_item_id": "f-1", "title": "Log in", "story_points": 8, "status": "ready", "priority": "high"},
            7, {"title": "no id"}]}, "sprint_history": [], "note": "x"}"#;
        let plan = read(text.as_bytes(), DateTime::UNIX_EPOCH);
        let [item] = &plan.items.records[..] else { panic!() };
        assert_eq!((item.value.title.as_str(), item.value.points), ("Log in", Some(8)));
        assert_eq!(item.value.labels[0].as_str(), "s-9");
        assert_eq!(plan.items.report.refused.len(), 2);
        assert_eq!(plan.facts[0].data["committed"], json!(["f-1"]));
        assert_eq!((plan.facts[0].kind, plan.facts[1].kind), ("sprint", "other"));
    }
}
