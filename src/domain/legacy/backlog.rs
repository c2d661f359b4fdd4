//! `backlog.yaml`: epics with features, stories committed to a sprint, teams, past sprints, events.
//!
//! Epics, features and stories become items; everything else is kept as facts. An epic needs its
//! features, so that nobody is given it before they are done. Its points are the sum of theirs and
//! are not counted again: they stay among the extra fields.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::fields::{Fields, add, spoken};
use super::life::life;
use super::scan::name_of;
use super::{Kind, MAX_YAML, Parsed, Place, Report};
use crate::domain::name::{ItemId, Word};
use crate::domain::work::{Item, Limits};

/// Something that was planned or measured and is no work.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// `sprint`, `past-sprint`, `increment`, `team`, `event`, `velocity`, `program` or `other`.
    pub kind: &'static str,
    /// The file it comes from.
    pub from: Kind,
    /// What it says, as it came.
    pub data: Map<String, Value>,
}

/// What a plan holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The work.
    pub items: Parsed<Item>,
    /// Everything else.
    pub facts: Vec<Fact>,
    seen: BTreeSet<ItemId>,
}

impl Plan {
    /// Nothing but a report.
    #[must_use]
    pub const fn nothing(report: Report) -> Self {
        Self { items: Parsed::nothing(report), facts: Vec::new(), seen: BTreeSet::new() }
    }

    pub(super) fn odd(&mut self, place: &Place, path: &str, value: &Value) {
        let place = Place { element: Some(path.to_owned()), ..place.clone() };
        let reason = format!("`{path}` is {}, which does not belong there", name_of(value));
        self.items.report.refused(&place, None, reason);
    }

    fn fact(&mut self, kind: &'static str, data: Map<String, Value>) {
        if !data.is_empty() {
            self.facts.push(Fact { kind, from: Kind::Backlog, data });
        }
    }

    /// Takes a list out of an object.
    fn list(
        &mut self,
        object: &mut Map<String, Value>,
        key: &str,
        path: &str,
    ) -> Vec<(String, Value)> {
        match object.remove(key) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list
                .into_iter()
                .enumerate()
                .map(|(i, value)| (format!("{path}.{key}[{i}]"), value))
                .collect(),
            Some(other) => {
                self.odd(&Place::default(), &format!("{path}.{key}"), &other);
                Vec::new()
            }
        }
    }

    /// Takes an object out of an object.
    fn object(
        &mut self,
        object: &mut Map<String, Value>,
        key: &str,
        path: &str,
    ) -> Option<Map<String, Value>> {
        match object.remove(key) {
            None | Some(Value::Null) => None,
            Some(Value::Object(inner)) => Some(inner),
            Some(other) => {
                self.odd(&Place::default(), &format!("{path}.{key}"), &other);
                None
            }
        }
    }

    /// Takes a list of which each object is a fact.
    fn facts_of(
        &mut self,
        object: &mut Map<String, Value>,
        key: &str,
        path: &str,
        kind: &'static str,
    ) {
        for (path, value) in self.list(object, key, path) {
            match value {
                Value::Object(data) => self.fact(kind, data),
                other => self.odd(&Place::default(), &path, &other),
            }
        }
    }
}

pub(super) fn read(bytes: &[u8], now: DateTime<Utc>) -> Plan {
    let root = match parse(bytes) {
        Ok(root) => root,
        Err((line, reason)) => {
            let mut report = Report::default();
            let place = Place { line, ..Place::default() };
            report.refused(&place, None, reason);
            return Plan::nothing(report);
        }
    };
    let mut plan = Plan::default();
    let Value::Object(mut root) = root else {
        plan.odd(&Place::default(), ".", &root);
        return plan;
    };
    let mut program = plan.object(&mut root, "program_backlog", "").unwrap_or_default();
    for (holder, path) in [(&mut program, ".program_backlog"), (&mut root, "")] {
        for (path, value) in plan.list(holder, "epics", path) {
            epic(&mut plan, &path, value, now);
        }
        for (key, kind) in [("features", "feature"), ("stories", "story")] {
            for (path, value) in plan.list(holder, key, path) {
                child(&mut plan, &path, value, None, kind, now);
            }
        }
    }
    if let Some(mut increment) = plan.object(&mut program, "current_pi", ".program_backlog") {
        plan.facts_of(&mut increment, "objectives", ".program_backlog.current_pi", "objective");
        plan.fact("increment", increment);
    }
    plan.fact("program", program);
    plan.facts_of(&mut root, "teams", "", "team");
    if let Some(sprint) = plan.object(&mut root, "current_sprint", "") {
        self::sprint(&mut plan, sprint, now);
    }
    if let Some(mut tracking) = plan.object(&mut root, "velocity_tracking", "") {
        plan.facts_of(&mut tracking, "last_5_sprints", ".velocity_tracking", "past-sprint");
        plan.fact("velocity", tracking);
    }
    plan.facts_of(&mut root, "upcoming_events", "", "event");
    plan.fact("other", root);
    plan
}

/// Parses YAML within limits; an error comes with its line.
fn parse(bytes: &[u8]) -> Result<Value, (Option<usize>, String)> {
    if bytes.len() > MAX_YAML {
        let size = bytes.len();
        return Err((
            None,
            format!("it has {size} bytes, at most {MAX_YAML} are allowed for YAML"),
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = memchr::memchr_iter(b'\n', &bytes[..e.valid_up_to()]).count() + 1;
        (Some(line), "it is not UTF-8".to_owned())
    })?;
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err((None, "the file is empty".to_owned()));
    }
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_anchors: 0,
            max_aliases: 0,
            max_depth: Limits::DEPTH,
            max_documents: 1,
        },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_yaml::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().and_then(|l| usize::try_from(l.line()).ok()).filter(|l| *l > 0);
        let text = error.without_snippet().to_string();
        (
            line,
            format!(
                "it is no YAML that is accepted here: {}",
                text.lines().next().unwrap_or_default()
            ),
        )
    })
}

fn epic(plan: &mut Plan, path: &str, value: Value, now: DateTime<Utc>) {
    let Value::Object(mut object) = value else {
        plan.odd(&Place::default(), path, &value);
        return;
    };
    let features = plan.list(&mut object, "features", path);
    let stories = plan.list(&mut object, "stories", path);
    let place = Place::element(path.to_owned());
    let before = plan.items.records.len();
    let Some(id) = story(plan, Kind::Backlog, place, object, None, None, now) else { return };
    let mut needs = Vec::new();
    for (path, value) in features {
        needs.extend(child(plan, &path, value, Some(&id), "feature", now));
    }
    for (path, value) in stories {
        needs.extend(child(plan, &path, value, Some(&id), "story", now));
    }
    if let Some(record) = plan.items.records.get_mut(before) {
        let epic = &mut record.value;
        epic.kind = "epic".parse().ok();
        if !needs.is_empty()
            && let Some(points) = epic.points.take()
        {
            add(&mut epic.extra, "story_points", points.into());
        }
        epic.needs = needs;
    }
}

fn child(
    plan: &mut Plan,
    path: &str,
    value: Value,
    parent: Option<&ItemId>,
    kind: &str,
    now: DateTime<Utc>,
) -> Option<ItemId> {
    let Value::Object(mut object) = value else {
        plan.odd(&Place::default(), path, &value);
        return None;
    };
    let stories = plan.list(&mut object, "stories", path);
    let at = plan.items.records.len();
    let id = story(plan, Kind::Backlog, Place::element(path.to_owned()), object, None, None, now)?;
    let mut needs = Vec::new();
    for (path, value) in stories {
        needs.extend(child(plan, &path, value, Some(&id), "story", now));
    }
    if let Some(record) = plan.items.records.get_mut(at) {
        record.value.kind = kind.parse().ok();
        record.value.needs = needs;
        if let Some(parent) = parent {
            add(&mut record.value.extra, "parent", parent.as_str().into());
            record.value.labels.extend(parent.as_str().parse::<Word>());
        }
    }
    Some(id)
}

fn sprint(plan: &mut Plan, mut sprint: Map<String, Value>, now: DateTime<Utc>) {
    let name = sprint.get("id").and_then(Value::as_str).map(ToOwned::to_owned);
    let base = ".current_sprint.team_commitments";
    let commitments = plan.object(&mut sprint, "team_commitments", ".current_sprint");
    let mut kept = Map::new();
    for (team, value) in commitments.unwrap_or_default() {
        let path = format!("{base}.{team}");
        let Value::Object(mut commitment) = value else {
            plan.odd(&Place::default(), &path, &value);
            continue;
        };
        let mut ids = Vec::new();
        for (path, value) in plan.list(&mut commitment, "stories", &path) {
            match value {
                Value::Object(row) => ids.extend(story(
                    plan,
                    Kind::Backlog,
                    Place::element(path),
                    row,
                    Some(&team),
                    name.as_deref(),
                    now,
                )),
                other => plan.odd(&Place::default(), &path, &other),
            }
        }
        commitment.insert("stories".to_owned(), serde_json::json!(ids));
        kept.insert(team, commitment.into());
    }
    if !kept.is_empty() {
        sprint.insert("team_commitments".to_owned(), kept.into());
    }
    plan.fact("sprint", sprint);
}

/// Makes an item of a piece of planned work, unless there is one of that name already.
pub(super) fn story(
    plan: &mut Plan,
    kind: Kind,
    place: Place,
    row: Map<String, Value>,
    team: Option<&str>,
    sprint: Option<&str>,
    now: DateTime<Utc>,
) -> Option<ItemId> {
    let mut fields = Fields::new(row);
    let Some(id) = fields.id(&["id", "work_item_id", "work_id"]) else {
        plan.items.report.refused(&place, None, "it has no `id`");
        return None;
    };
    if !plan.seen.insert(id.clone()) {
        plan.items.report.duplicate(
            &place,
            id.as_str(),
            "it stands in this file already: the first one counts",
        );
        return None;
    }
    let description = fields.text("description");
    let title = fields.text("title").unwrap_or_else(|| spoken(id.as_str()));
    let (title, description) = fields.title(title, description);
    let mut item = Item::bare(id.clone(), title, now);
    item.description = description;
    item.kind = "story".parse().ok();
    item.priority = fields.priority("priority");
    item.points = fields.points("story_points").or_else(|| fields.points("points"));
    item.team =
        fields.team("team").or_else(|| team.and_then(|team| fields.name("team", team.to_owned())));
    item.labels.extend(sprint.and_then(|s| s.parse::<Word>().ok()));
    if fields.has("status") {
        life(&mut item, &mut fields, "agent_id");
    }
    item.extra = fields.finish(kind, &place, id.as_str(), &mut plan.items.report);
    if let Some(sprint) = sprint {
        add(&mut item.extra, "sprint", sprint.into());
    }
    plan.items.push(place, item);
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"
program_backlog:
  version: "2.0"
  epics:
    - id: "epic_login"
      title: "People can log in"
      priority: "highest"
      story_points: 21
      status: "in_progress"
      features:
        - {id: "feat_form", title: "A form", story_points: 8, team: "web_team"}
        - {id: "feat_reset", title: "Forgotten passwords", story_points: 13}
        - {id: "feat_form", title: "A form again"}
    - just text
teams:
  - name: "web_team"
    capacity_per_sprint: 40
current_sprint:
  id: "sprint_9"
  team_commitments:
    web_team:
      committed_points: 5
      stories:
        - {id: "story_1", title: "Draw the form", points: 5, status: "ready"}
velocity_tracking:
  last_5_sprints:
    - {sprint: "sprint_8", planned: 30, completed: 28}
  average_velocity: 28
"#;

    #[test]
    fn work_becomes_items_and_the_rest_facts() {
        let plan = read(PLAN.as_bytes(), DateTime::UNIX_EPOCH);
        let items: Vec<_> = plan.items.records.iter().map(|r| &r.value).collect();
        let ids: Vec<_> = items.iter().map(|i| i.id.as_str()).collect();
        assert_eq!(ids, ["epic_login", "feat_form", "feat_reset", "story_1"]);
        assert_eq!(items[0].needs.len(), 2);
        assert_eq!((items[0].points, items[0].priority.as_str()), (None, "critical"));
        assert_eq!(items[0].extra["legacy"]["story_points"], 21);
        assert_eq!(
            (items[1].points, items[1].kind.as_ref().unwrap().as_str()),
            (Some(8), "feature")
        );
        assert_eq!(items[1].extra["legacy"]["parent"], "epic_login");
        assert_eq!(items[3].team.as_ref().unwrap().as_str(), "web_team");
        assert_eq!(items[3].labels[0].as_str(), "sprint_9");
        let report = &plan.items.report;
        assert_eq!((report.read, report.refused.len(), report.duplicates.len()), (4, 1, 1));
        assert_eq!(
            report.duplicates[0].place.element.as_deref(),
            Some(".program_backlog.epics[0].features[2]")
        );
        let facts: Vec<_> = plan.facts.iter().map(|f| f.kind).collect();
        assert_eq!(facts, ["program", "team", "sprint", "past-sprint", "velocity"]);
    }

    #[test]
    fn what_is_dangerous_or_broken_is_refused_whole() {
        let large = format!("a: {}", "x".repeat(MAX_YAML));
        let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
        for text in [
            "a: &x 1\nb: *x\n",
            "a: &x 1\n",
            "a: [1\n",
            "a: 1\na: 2\n",
            "",
            large.as_str(),
            deep.as_str(),
        ] {
            let plan = read(text.as_bytes(), DateTime::UNIX_EPOCH);
            assert_eq!(plan.items.report.refused.len(), 1, "{}", &text[..text.len().min(40)]);
            assert!(plan.items.records.is_empty());
        }
        assert_eq!(
            read(b"\xff\n", DateTime::UNIX_EPOCH).items.report.refused[0].place.line,
            Some(1)
        );
        assert_eq!(read(b"a: 1\nb: [\n", DateTime::UNIX_EPOCH).items.report.refused.len(), 1);
    }
}
