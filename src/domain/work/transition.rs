//! The life of an item: pending -> active -> done | failed | dead, and who may move it.
//!
//! Every function takes the item as it stands and gives the item as it shall stand, or says why
//! not. Nothing here knows how items are kept.

use std::time::Duration;

use thiserror::Error;

use super::{Item, Lease, Limits, Priority, State, Status};
use crate::domain::name::{AgentId, ItemId, Team, Word};
use crate::domain::time::Stamp;

/// Why an item cannot be moved.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TransitionError {
    /// Its state does not allow it.
    #[error("`{id}` is {state}, so it cannot be {verb}")]
    State {
        /// The item.
        id: ItemId,
        /// Where it stands.
        state: State,
        /// What was asked for, as a participle.
        verb: &'static str,
    },
    /// Another agent has it.
    #[error("`{id}` is held by `{holder}`, not by `{agent}`")]
    NotHolder {
        /// The item.
        id: ItemId,
        /// Who has it.
        holder: AgentId,
        /// Who asked.
        agent: AgentId,
    },
    /// The claim that the token stands for is over.
    #[error("the claim on `{id}` with token {given} is over")]
    Stale {
        /// The item.
        id: ItemId,
        /// The token that was shown.
        given: u64,
        /// The token of the present claim, if there is one.
        current: Option<u64>,
    },
    /// It waits for other items.
    #[error("`{id}` is blocked: {open} of the items it needs are not done")]
    Blocked {
        /// The item.
        id: ItemId,
        /// How many.
        open: u32,
    },
    /// It is kept for another agent.
    #[error("`{id}` is kept for `{assignee}`")]
    Assigned {
        /// The item.
        id: ItemId,
        /// For whom.
        assignee: AgentId,
    },
    /// It does not fit what was asked for.
    #[error("`{id}` does not fit the filters of this claim")]
    Unfit {
        /// The item.
        id: ItemId,
    },
    /// A number is out of range.
    #[error("`{field}` is {value}, expected {min} to {max}")]
    Range {
        /// The field.
        field: &'static str,
        /// What was given.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Progress went backwards.
    #[error("`{id}` is at {now} %, so progress cannot be {asked} %")]
    Backwards {
        /// The item.
        id: ItemId,
        /// Where it is.
        now: u8,
        /// What was asked for.
        asked: u8,
    },
    /// The change would break a limit.
    #[error(transparent)]
    Limit(#[from] super::NewError),
}

/// Who asks for a change, and with what right.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The agent.
    pub agent: AgentId,
    /// The fencing token of its claim; without one the agent's name decides.
    pub token: Option<u64>,
}

/// What shall be different about an item: nothing is changed where nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// A new title.
    pub title: Option<String>,
    /// A new description; `Some(None)` takes it away.
    pub description: Option<Option<String>>,
    /// A new priority.
    pub priority: Option<Priority>,
    /// A new team; `Some(None)` takes it away.
    pub team: Option<Option<Team>>,
    /// A new type; `Some(None)` takes it away.
    pub kind: Option<Option<Word>>,
    /// Labels to add.
    pub add_labels: Vec<Word>,
    /// Labels to take away.
    pub remove_labels: Vec<Word>,
    /// Capabilities to ask for.
    pub add_capabilities: Vec<Word>,
    /// Capabilities no longer asked for.
    pub remove_capabilities: Vec<Word>,
    /// Items to wait for.
    pub add_needs: Vec<ItemId>,
    /// Items no longer waited for.
    pub remove_needs: Vec<ItemId>,
    /// New points; `Some(None)` takes them away.
    pub points: Option<Option<u32>>,
    /// A new estimate in seconds; `Some(None)` takes it away.
    pub estimate_s: Option<Option<u64>>,
    /// A new limit of attempts.
    pub max_attempts: Option<u32>,
}

/// What a caller wants done with one item.
#[derive(Clone, Debug)]
pub enum Change {
    /// Report progress and renew the lease.
    Progress {
        /// By what right.
        holder: Holder,
        /// Percent, 0 to 100.
        percent: Option<u64>,
        /// What to say about it.
        note: Option<String>,
        /// A new length of the lease.
        lease: Option<Duration>,
    },
    /// Finish it well.
    Complete {
        /// By what right.
        holder: Holder,
        /// How it ended.
        result: Option<String>,
        /// What it was worth, if that turned out differently.
        points: Option<u32>,
    },
    /// Say that it went wrong: it is queued again while it has attempts left.
    Fail {
        /// By what right.
        holder: Holder,
        /// What went wrong.
        result: Option<String>,
        /// Whether another attempt makes sense.
        retry: bool,
    },
    /// Give it back untouched; the attempt is not counted.
    Release {
        /// By what right.
        holder: Holder,
        /// Why.
        note: Option<String>,
    },
    /// Queue a failed or dead item again with fresh attempts.
    Retry,
    /// Change what it says.
    Edit(Box<Edit>),
    /// Keep it for an agent, or for nobody.
    Assign(Option<AgentId>),
}

impl Change {
    /// The word for it in the log.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Progress { .. } => "progress",
            Self::Complete { .. } => "complete",
            Self::Fail { .. } => "fail",
            Self::Release { .. } => "release",
            Self::Retry => "retry",
            Self::Edit(_) => "edit",
            Self::Assign(_) => "assign",
        }
    }
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The item as it shall be recorded.
    Changed(Box<Item>),
    /// It was so already: there is nothing to record.
    Already,
}

fn state_of(item: &Item, open_needs: u32) -> State {
    match item.status {
        Status::Pending if open_needs > 0 => State::Blocked,
        Status::Pending => State::Pending,
        Status::Active => State::Active,
        Status::Done => State::Done,
        Status::Failed => State::Failed,
        Status::Dead => State::Dead,
    }
}

/// Gives a ready item to an agent. `token` is the number of the write that records it.
pub fn claim(
    item: &Item,
    open_needs: u32,
    agent: &AgentId,
    length: Duration,
    token: u64,
    now: Stamp,
) -> Result<Item, TransitionError> {
    let id = item.id.clone();
    match item.status {
        Status::Pending => {}
        Status::Active => {
            let holder = item.agent.clone().unwrap_or_else(|| agent.clone());
            return Err(TransitionError::NotHolder { id, holder, agent: agent.clone() });
        }
        Status::Done | Status::Failed | Status::Dead => {
            return Err(TransitionError::State { id, state: state_of(item, 0), verb: "claimed" });
        }
    }
    if open_needs > 0 {
        return Err(TransitionError::Blocked { id, open: open_needs });
    }
    if let Some(assignee) = item.assignee.as_ref().filter(|a| *a != agent) {
        return Err(TransitionError::Assigned { id, assignee: assignee.clone() });
    }
    let mut item = item.clone();
    item.status = Status::Active;
    item.agent = Some(agent.clone());
    item.token = Some(token);
    item.lease = Some(Lease::start(now, length));
    item.attempt = item.attempt.saturating_add(1);
    item.claimed_at = Some(now.wall);
    item.progress = 0;
    Ok(item)
}

/// Takes an item back whose lease has run out.
#[must_use]
pub fn expire(item: &Item, now: Stamp) -> Item {
    let mut item = item.clone();
    let holder = item.agent.as_ref().map_or("nobody", |a| a.as_str());
    item.note = Some(format!("the lease of `{holder}` ran out"));
    put_back(&mut item, now);
    item
}

/// Applies a change.
pub fn apply(
    item: &Item,
    open_needs: u32,
    change: &Change,
    now: Stamp,
) -> Result<Outcome, TransitionError> {
    let mut next = item.clone();
    match change {
        Change::Progress { holder, percent, note, lease } => {
            held(item, open_needs, holder, "reported on")?;
            if let Some(asked) = *percent {
                let asked = u8::try_from(asked).ok().filter(|p| *p <= 100).ok_or(
                    TransitionError::Range { field: "percent", value: asked, min: 0, max: 100 },
                )?;
                if asked < item.progress {
                    let id = item.id.clone();
                    return Err(TransitionError::Backwards { id, now: item.progress, asked });
                }
                next.progress = asked;
            }
            if note.is_some() {
                next.note.clone_from(note);
            }
            let length = lease.or(item.lease.map(|l| l.length));
            next.lease = length.map(|length| Lease::start(now, length));
        }
        Change::Complete { holder, result, points } => {
            if item.status == Status::Done && is_same_claim(item, holder) {
                return Ok(Outcome::Already);
            }
            held(item, open_needs, holder, "completed")?;
            check_points(*points)?;
            next.status = Status::Done;
            next.progress = 100;
            next.result.clone_from(result);
            next.points = points.or(item.points);
            next.lease = None;
            next.assignee = None;
            next.finished_at = Some(now.wall);
        }
        Change::Fail { holder, result, retry } => {
            if matches!(item.status, Status::Failed | Status::Dead) && is_same_claim(item, holder) {
                return Ok(Outcome::Already);
            }
            held(item, open_needs, holder, "failed")?;
            next.result.clone_from(result);
            if *retry {
                put_back(&mut next, now);
            } else {
                next.status = Status::Failed;
                next.lease = None;
                next.finished_at = Some(now.wall);
            }
        }
        Change::Release { holder, note } => {
            held(item, open_needs, holder, "released")?;
            next.status = Status::Pending;
            next.attempt = item.attempt.saturating_sub(1);
            next.progress = 0;
            next.note.clone_from(note);
            forget_claim(&mut next);
        }
        Change::Retry => {
            if !matches!(item.status, Status::Failed | Status::Dead) {
                let (id, state) = (item.id.clone(), state_of(item, open_needs));
                return Err(TransitionError::State { id, state, verb: "retried" });
            }
            next.status = Status::Pending;
            next.attempt = 0;
            next.progress = 0;
            next.finished_at = None;
            forget_claim(&mut next);
        }
        Change::Edit(edit) => {
            if item.status == Status::Done {
                let id = item.id.clone();
                return Err(TransitionError::State { id, state: State::Done, verb: "edited" });
            }
            edit_item(&mut next, edit)?;
            if next == *item {
                return Ok(Outcome::Already);
            }
        }
        Change::Assign(agent) => {
            if item.status != Status::Pending {
                let (id, state) = (item.id.clone(), state_of(item, open_needs));
                return Err(TransitionError::State { id, state, verb: "assigned" });
            }
            if item.assignee == *agent {
                return Ok(Outcome::Already);
            }
            next.assignee.clone_from(agent);
        }
    }
    Ok(Outcome::Changed(Box::new(next)))
}

/// Pending again if it has attempts left, else dead.
fn put_back(item: &mut Item, now: Stamp) {
    if item.attempt < item.max_attempts {
        item.status = Status::Pending;
        item.progress = 0;
        forget_claim(item);
    } else {
        item.status = Status::Dead;
        item.lease = None;
        item.finished_at = Some(now.wall);
    }
}

fn forget_claim(item: &mut Item) {
    item.agent = None;
    item.token = None;
    item.lease = None;
    item.claimed_at = None;
}

fn is_same_claim(item: &Item, holder: &Holder) -> bool {
    match holder.token {
        Some(token) => item.token == Some(token),
        None => item.agent.as_ref() == Some(&holder.agent),
    }
}

fn held(
    item: &Item,
    open_needs: u32,
    holder: &Holder,
    verb: &'static str,
) -> Result<(), TransitionError> {
    let id = item.id.clone();
    if let Some(given) = holder.token
        && item.token != Some(given)
    {
        return Err(TransitionError::Stale { id, given, current: item.token });
    }
    if item.status != Status::Active {
        return Err(TransitionError::State { id, state: state_of(item, open_needs), verb });
    }
    match &item.agent {
        Some(agent) if holder.token.is_none() && *agent != holder.agent => {
            Err(TransitionError::NotHolder {
                id,
                holder: agent.clone(),
                agent: holder.agent.clone(),
            })
        }
        _ => Ok(()),
    }
}

fn check_points(points: Option<u32>) -> Result<(), TransitionError> {
    match points {
        Some(value) if value > Limits::NUMBER => Err(TransitionError::Range {
            field: "points",
            value: value.into(),
            min: 0,
            max: Limits::NUMBER.into(),
        }),
        _ => Ok(()),
    }
}

fn edit_item(item: &mut Item, edit: &Edit) -> Result<(), TransitionError> {
    use super::NewError;
    if let Some(title) = &edit.title {
        let title = title.trim();
        let characters = title.chars().count();
        if title.is_empty() {
            return Err(NewError::NoTitle.into());
        }
        if characters > Limits::TITLE {
            return Err(NewError::LongTitle(characters).into());
        }
        title.clone_into(&mut item.title);
    }
    if let Some(max) = edit.max_attempts {
        if !(1..=Limits::NUMBER).contains(&max) {
            let (value, most) = (max.into(), Limits::NUMBER.into());
            return Err(TransitionError::Range { field: "max-attempts", value, min: 1, max: most });
        }
        item.max_attempts = max;
    }
    if let Some(points) = edit.points {
        check_points(points)?;
        item.points = points;
    }
    if let Some(description) = &edit.description {
        item.description.clone_from(description);
    }
    if let Some(priority) = edit.priority {
        item.priority = priority;
    }
    if let Some(team) = &edit.team {
        item.team.clone_from(team);
    }
    if let Some(kind) = &edit.kind {
        item.kind.clone_from(kind);
    }
    if let Some(estimate) = edit.estimate_s {
        item.estimate_s = estimate;
    }
    merge(&mut item.labels, &edit.add_labels, &edit.remove_labels);
    merge(&mut item.capabilities, &edit.add_capabilities, &edit.remove_capabilities);
    merge(&mut item.needs, &edit.add_needs, &edit.remove_needs);
    for (what, list) in [
        ("labels", item.labels.len()),
        ("capabilities", item.capabilities.len()),
        ("dependencies", item.needs.len()),
    ] {
        if list > Limits::LIST {
            return Err(NewError::LongList(what, list).into());
        }
    }
    Ok(())
}

fn merge<T: Clone + PartialEq>(list: &mut Vec<T>, add: &[T], remove: &[T]) {
    list.retain(|have| !remove.contains(have));
    for new in add {
        if !list.contains(new) {
            list.push(new.clone());
        }
    }
}
