//! `claim`, `progress`, `complete`, `add-work`, `list-work`.

use serde_json::{Map, Value, json};

use super::facts::Facts;
use super::{Reply, agent, given, made_id, missing, named_agent};
use crate::commands::guard::fresh_op;
use crate::commands::work::ItemView;
use crate::commands::{Context, OLD_TRACES, explain, values};
use crate::domain::legacy::dialect::Spelling;
use crate::domain::legacy::mirror::{USUAL_TEAM, priority};
use crate::domain::name::{AgentId, ItemId, NameError};
use crate::domain::work::transition::Holder;
use crate::domain::work::{Change, Draft, Found, Item, Limits, NewItem, Priority, State, Want};
use crate::error::{Error, Kind, Result};
use crate::store::{self, Changed, Claimed};

/// Points of work whose claimer names none.
const USUAL_POINTS: &str = "5";
/// How often another identifier is tried: two claims in one nanosecond are already odd.
const TRIES: usize = 100;

/// `claim TYPE DESCRIPTION [PRIORITY] [TEAM]`: makes an item and takes it, in one transaction.
pub(super) fn claim(cx: &mut Context, spelling: &Spelling, rest: &[&str]) -> Result<Reply> {
    let mut id = fresh_id(cx)?;
    let item = described(cx, spelling, rest, id.clone())?;
    let agent = agent(cx)?;
    let lease = cx.settings()?.lease();
    let mut op = cx.op(Some(&agent))?;
    let mut tries = 0;
    let changed = loop {
        let item = item.clone().into_item(id.clone(), Vec::new(), op.now);
        match cx.store()?.start(item, &agent, lease, &op) {
            Err(store::Error::Exists { .. }) if tries < TRIES => {
                // Two in one nanosecond: the id and the name of the operation go together.
                tries += 1;
                super::seed(cx)?;
                (id, op) = (fresh_id(cx)?, cx.op(Some(&agent))?);
            }
            other => break other?,
        }
    };
    let taken = &changed.found.item;
    let team = team_of(taken);
    let mut lines = vec![
        format!("🔍 Trace ID: {}", taken.trace_id.as_deref().unwrap_or_default()),
        format!("🤖 Agent {agent} claiming work: {}", taken.id),
    ];
    if spelling.name() == "claim-intelligent" {
        lines
            .push("⚠️ no advice was asked for: the item is claimed as it was described".to_owned());
    }
    lines.push(format!("✅ SUCCESS: Claimed work item {} for team {team}", taken.id));
    reply(cx, changed, lines, op.now)
}

/// `add-work TYPE DESCRIPTION [PRIORITY] [TEAM]`: queues an item.
pub(super) fn add(cx: &mut Context, spelling: &Spelling, rest: &[&str]) -> Result<Reply> {
    let item = described(cx, spelling, rest, fresh_id(cx)?)?;
    let agent = agent(cx)?;
    let op = cx.op(Some(&agent))?;
    let added = cx.store()?.add(vec![item], &op)?;
    let Some(found) = added.items.into_iter().next() else {
        return Err(Error::new(Kind::Bug, "nothing was added"));
    };
    let lines = vec![
        format!("✅ SUCCESS: Added work item {} for team {}", found.item.id, team_of(&found.item)),
        "💡 it waits in the queue: `coord work claim` takes it".to_owned(),
    ];
    let changed = Changed { found, repeated: added.repeated, unblocked: Vec::new() };
    reply(cx, changed, lines, op.now)
}

/// `progress ID PERCENT [STATUS]`.
pub(super) fn progress(cx: &mut Context, spelling: &Spelling, rest: &[&str]) -> Result<Reply> {
    let id = item_id(cx, spelling, rest)?;
    let Some(percent) = given(rest, 1) else { return Err(missing("the percentage", spelling)) };
    let percent = values::percent(percent).map_err(|why| {
        Error::new(Kind::User, format!("`{}` is no percentage: {why}", percent.escape_debug()))
            .hint(super::usage(spelling))
    })?;
    let status = given(rest, 2).unwrap_or("in_progress");
    let trace = trace(cx);
    let note = Some(status.to_owned());
    let change = |holder| Change::Progress { holder, percent: Some(percent), note, lease: None };
    let (changed, now) = change_held(cx, &id, change)?;
    let lines = vec![
        format!("🔍 Trace ID: {trace}"),
        format!("📈 PROGRESS: Updated {id} to {}% ({status})", changed.found.item.progress),
    ];
    reply(cx, changed, lines, now)
}

/// `complete ID [RESULT] [POINTS]`.
pub(super) fn complete(cx: &mut Context, spelling: &Spelling, rest: &[&str]) -> Result<Reply> {
    let id = item_id(cx, spelling, rest)?;
    let result = given(rest, 1).unwrap_or("success");
    let points = given(rest, 2).unwrap_or(USUAL_POINTS);
    let points = values::number(points).map_err(|why| {
        Error::new(Kind::User, format!("`{}` is no number of points: {why}", points.escape_debug()))
            .hint(super::usage(spelling))
    })?;
    let result = Some(result.to_owned());
    let change = |holder| Change::Complete { holder, result, points: Some(points) };
    let (changed, now) = change_held(cx, &id, change)?;
    let item = &changed.found.item;
    let (result, points) =
        (item.result.as_deref().unwrap_or("success"), item.points.unwrap_or_default());
    let lines = if changed.repeated {
        vec![format!(
            "✅ COMPLETED: {id} was completed already ({result}) - {points} velocity points, counted once"
        )]
    } else {
        vec![
            format!("✅ COMPLETED: Released claim for {id} ({result}) - {points} velocity points"),
            format!("📊 VELOCITY: Added {points} points to team {} velocity", team_of(item)),
        ]
    };
    reply(cx, changed, lines, now)
}

/// `list-work [STATUS]`.
pub(super) fn list(cx: &mut Context, rest: &[&str]) -> Result<Reply> {
    let wanted = match given(rest, 0) {
        None => None,
        Some(word) => Some(state(word)?),
    };
    let facts = Facts::read(cx)?;
    let items: Vec<&Found> = facts
        .items
        .iter()
        .filter(|found| wanted.is_none_or(|states| states.contains(&found.state())))
        .collect();
    let mut lines = super::heading("📋 WORK ITEMS");
    lines.push(format!("  📊 Work Items: {}", items.len()));
    for found in &items {
        lines.push(format!("  🔧 {} [{}]", told(found), found.state()));
    }
    let ids: Vec<_> = items.iter().map(|found| found.item.id.as_str()).collect();
    Ok(Reply::new(lines, super::listed("items", &ids)))
}

/// An item in a line, as the old program told it.
pub(super) fn told(found: &Found) -> String {
    let item = &found.item;
    let kind = item.kind.as_ref().map_or("no type", AsRef::as_ref);
    format!("{}: {} ({kind}, {})", item.id, item.title, item.priority)
}

/// The states that an old or a new word stands for.
fn state(word: &str) -> Result<&'static [State]> {
    Ok(match word {
        "pending" | "available" => &[State::Pending, State::Blocked],
        "blocked" => &[State::Blocked],
        "active" | "claimed" | "in_progress" => &[State::Active],
        "completed" | "complete" | "done" => &[State::Done],
        "failed" => &[State::Failed, State::Dead],
        "all" => &State::ALL,
        _ => {
            let error = Error::new(Kind::User, format!("unknown status `{}`", word.escape_debug()));
            return Err(error.hint(
                "expected one of `pending`, `blocked`, `active`, `completed`, `failed`, `all`",
            ));
        }
    })
}

/// The item that the words describe.
fn described(cx: &mut Context, spelling: &Spelling, rest: &[&str], id: ItemId) -> Result<NewItem> {
    let Some(kind) = given(rest, 0) else { return Err(missing("the type of the work", spelling)) };
    let Some(text) = given(rest, 1) else {
        return Err(missing("the description of the work", spelling));
    };
    let urgency = match given(rest, 2) {
        None => Priority::default(),
        Some(word) => priority(word).ok_or_else(|| {
            let what = format!("`{}` is no priority", word.escape_debug());
            Error::new(Kind::User, what)
                .hint("expected one of `critical`, `high`, `medium`, `low`")
                .hint("a description of several words is one argument in quotes")
        })?,
    };
    let from_env = cx.env.text("AGENT_TEAM");
    let team = given(rest, 3).or(from_env.as_deref()).unwrap_or(USUAL_TEAM);
    let (title, whole) = title(text);
    let mut was = Map::new();
    let draft = Draft {
        title,
        id: Some(id),
        trace_id: Some(trace(cx)),
        description: whole.then(|| text.to_owned()),
        kind: name(kind, "work_type", &mut was),
        priority: Some(urgency),
        team: name(team, "team", &mut was),
        ..Draft::default()
    };
    let item = NewItem::try_from(draft).map_err(|why| explain(&why, None))?;
    if was.is_empty() {
        return Ok(item);
    }
    Ok(item.keeping(Map::from_iter([("legacy".to_owned(), json!({ "was": was }))])))
}

/// The first line that says anything, cut to what a title may have; and whether there is more.
fn title(text: &str) -> (String, bool) {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let title: String = first.chars().take(Limits::TITLE).collect();
    let whole = title != text;
    (title.trim_end().to_owned(), whole)
}

/// A name as it is, or one made of it; then what it was is kept and shown to old programs.
fn name<T: TryFrom<String, Error = NameError>>(
    text: &str,
    key: &str,
    was: &mut Map<String, Value>,
) -> Option<T> {
    if let Ok(name) = T::try_from(text.to_owned()) {
        return Some(name);
    }
    was.insert(key.to_owned(), text.into());
    crate::domain::legacy::slug(text).and_then(|slug| T::try_from(slug).ok())
}

fn fresh_id(cx: &Context) -> Result<ItemId> {
    made_id(cx, "work").parse().map_err(|_| Error::new(Kind::Bug, "a made item id is not valid"))
}

/// The trace that the surroundings name, in the order in which the old program looked, else a new one.
fn trace(cx: &mut Context) -> String {
    let named = OLD_TRACES.iter().find_map(|name| cx.env.text(name));
    match named {
        Some(trace) => trace.chars().take(64).collect(),
        None => cx.here().trace.to_string(),
    }
}

fn team_of(item: &Item) -> &str {
    item.team.as_ref().map_or(USUAL_TEAM, AsRef::as_ref)
}

/// The item that is named, or the one that the surroundings name.
fn item_id(cx: &Context, spelling: &Spelling, rest: &[&str]) -> Result<ItemId> {
    let from_env = cx.env.text("CURRENT_WORK_ITEM");
    let Some(text) = given(rest, 0).or(from_env.as_deref()) else {
        return Err(missing("the work item", spelling)
            .hint("`CURRENT_WORK_ITEM` in the environment may name it as well"));
    };
    text.parse().map_err(|_| no_item(text))
}

fn no_item(text: &str) -> Error {
    Error::new(Kind::User, format!("no work item `{}`", text.escape_debug()))
        .hint("`coord work list --all` shows every item")
}

/// Changes an item in the name of its holder, or of whom the surroundings name. One that nobody has is
/// taken first: the old program asked nobody, and has no other word to take what is there.
fn change_held(
    cx: &mut Context,
    id: &ItemId,
    change: impl FnOnce(Holder) -> Change,
) -> Result<(Changed, crate::domain::time::Stamp)> {
    let named = named_agent(cx)?;
    let found = match cx.store()?.get(id.as_str()) {
        Ok(found) if found.item.id == *id => found,
        Ok(other) => {
            return Err(no_item(id.as_str()).hint(format!("did you mean `{}`?", other.item.id)));
        }
        // The old program knew no beginnings of ids.
        Err(store::Error::Ambiguous { .. }) => return Err(no_item(id.as_str())),
        Err(error) => return Err(error.into()),
    };
    let item = &found.item;
    let agent: AgentId = match (named, &item.agent) {
        (Some(agent), _) => agent,
        (None, Some(agent)) if found.state() != State::Pending => agent.clone(),
        _ => agent(cx)?,
    };
    let is_own = item.agent.as_ref() == Some(&agent);
    let mut holder = Holder { agent: agent.clone(), token: item.token.filter(|_| is_own) };
    let op = cx.op(Some(&agent))?;
    if found.state() == State::Pending {
        let lease = cx.settings()?.lease();
        let want = Want {
            agent: agent.clone(),
            id: Some(id.clone()),
            team: None,
            kind: None,
            labels: Vec::new(),
            capabilities: item.capabilities.clone(),
            lease,
        };
        let claim = fresh_op(cx, &agent)?;
        if let Claimed::Taken(taken) = cx.store()?.claim(&want, &claim)? {
            holder.token = taken.found.item.token;
        }
    }
    let changed = cx.store()?.change(id, &change(holder), &op)?;
    Ok((changed, op.now))
}

fn reply(
    cx: &mut Context,
    changed: Changed,
    lines: Vec<String>,
    now: crate::domain::time::Stamp,
) -> Result<Reply> {
    let (n, repeated) = (changed.found.n, changed.repeated);
    cx.about(&changed.found.item);
    let view = ItemView::new(changed.found, now);
    let failed = |e| {
        Error::new(Kind::Bug, "the answer cannot be written as JSON")
            .caused_by(anyhow::Error::new(e))
    };
    let item: Value = serde_json::to_value(view).map_err(failed)?;
    Ok(Reply::new(lines, json!({ "item": item, "repeated": repeated })).wrote(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_first_line_that_says_anything() {
        assert_eq!(title("one"), ("one".to_owned(), false));
        assert_eq!(title(" one "), ("one".to_owned(), true));
        assert_eq!(title("\n\n two\nthree"), ("two".to_owned(), true));
        let long = "é".repeat(Limits::TITLE + 1);
        assert_eq!(title(&long), ("é".repeat(Limits::TITLE), true));
    }
}
