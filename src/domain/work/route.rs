//! Which ready item is kept for which agent: the same input always gives the same plan.
//!
//! The rules, in turn:
//!
//! 1. Items are placed one after the other: the most urgent first, then the oldest, then by id.
//! 2. An agent can be given an item if it is not silent, has room (what it holds and what is kept
//!    for it stay below its capacity), belongs to the item's team or to none, and can do everything
//!    that the item asks for. An item without a team is everybody's.
//! 3. Of those agents the item goes to the one whose specialisation is the item's type; then to one
//!    of the item's own team; then to the one with the smallest load in proportion to its capacity;
//!    then to the one that can do the least besides, so that versatile agents stay free; then to
//!    the first by id.
//! 4. Re-balancing looks at what is kept already. What is kept for an agent that is silent, unknown
//!    or unfit is placed anew, or kept for nobody where there is no place. An agent that has more
//!    than its capacity loses its least urgent items to others that have room, and keeps them where
//!    there is no room.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Item, Priority};
use crate::domain::agent::Known;
use crate::domain::name::{AgentId, ItemId, Team, Word};

/// An agent that work can be kept for.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Its identifier.
    pub id: AgentId,
    /// Its team.
    pub team: Option<Team>,
    /// How many items it takes at a time.
    pub capacity: u32,
    /// The type of work it is preferred for.
    pub specialization: Option<String>,
    /// What it can do.
    pub capabilities: Vec<Word>,
    /// How many items it holds.
    pub held: u32,
    /// Whether it gave no sign of life for long.
    pub silent: bool,
}

impl Worker {
    /// An agent as the store knows it; nothing if it never registered.
    #[must_use]
    pub fn of(known: Known, now: DateTime<Utc>, silent_after: Duration) -> Option<Self> {
        let silent = known
            .seen_at
            .is_none_or(|seen| (now - seen).to_std().is_ok_and(|age| age > silent_after));
        let agent = known.agent?;
        Some(Self {
            id: agent.id,
            team: agent.team,
            capacity: agent.capacity,
            specialization: agent.specialization,
            capabilities: agent.capabilities,
            held: known.held,
            silent,
        })
    }
}

/// A ready item, as far as routing looks at it.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its identifier.
    pub id: ItemId,
    /// How urgent it is.
    pub priority: Priority,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// Whose work it is.
    pub team: Option<Team>,
    /// What kind of work it is.
    pub kind: Option<Word>,
    /// What an agent must be able to do.
    pub capabilities: Vec<Word>,
    /// Whom it is kept for.
    pub kept_for: Option<AgentId>,
    /// Whether it stays where it is: it counts as load and nothing else.
    pub fixed: bool,
}

impl From<&Item> for Job {
    fn from(item: &Item) -> Self {
        Self {
            id: item.id.clone(),
            priority: item.priority,
            created_at: item.created_at,
            team: item.team.clone(),
            kind: item.kind.clone(),
            capabilities: item.capabilities.clone(),
            kept_for: item.assignee.clone(),
            fixed: false,
        }
    }
}

/// Why an item goes where it goes, or nowhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// Its type is what the agent is best at.
    Specialization,
    /// The agent is of its team.
    Team,
    /// The agent has the smallest load of those that can do it.
    Load,
    /// Whom it was kept for is silent, unknown or unfit, and nobody else can take it.
    Freed,
    /// Nobody registered.
    NoAgents,
    /// Nobody of its team, or of none, is there.
    NoTeam,
    /// Nobody can do what it asks for.
    NoCapability,
    /// Everybody who could take it is silent.
    Silent,
    /// Everybody who could take it has enough.
    Full,
}

impl Reason {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Specialization => "specialization",
            Self::Team => "team",
            Self::Load => "load",
            Self::Freed => "freed",
            Self::NoAgents => "no-agents",
            Self::NoTeam => "no-team",
            Self::NoCapability => "no-capability",
            Self::Silent => "silent",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Specialization => "its type is what the agent is best at",
            Self::Team => "the agent is of its team",
            Self::Load => "the agent has the smallest load",
            Self::Freed => "whom it was kept for cannot take it, so anybody may",
            Self::NoAgents => "no agent registered",
            Self::NoTeam => "no agent of its team",
            Self::NoCapability => "no agent can do what it asks for",
            Self::Silent => "every agent that could take it is silent",
            Self::Full => "every agent that could take it has enough",
        })
    }
}

/// One item kept for somebody else than before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Move {
    /// The item.
    pub item: ItemId,
    /// Whom it was kept for.
    pub from: Option<AgentId>,
    /// Whom it is kept for from now on.
    pub to: Option<AgentId>,
    /// Why.
    pub reason: Reason,
}

/// What is to be done, and what could not be.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// The moves, in the order in which the items were placed.
    pub moves: Vec<Move>,
    /// Items that stay with nobody, and why.
    pub unplaced: Vec<(ItemId, Reason)>,
}

/// Plans where ready items go. `jobs` are all ready items, those that are kept already included:
/// they are part of their agents' load. With `rebalance` those may move as well. At most `limit`
/// moves are planned.
#[must_use]
pub fn plan(jobs: &[Job], workers: &[Worker], rebalance: bool, limit: Option<usize>) -> Plan {
    let mut order: Vec<&Job> = jobs.iter().collect();
    order.sort_by(|a, b| {
        (a.priority, a.created_at).cmp(&(b.priority, b.created_at)).then(a.id.cmp(&b.id))
    });
    let mut desk = Desk::new(workers, &order);
    let mut open: Vec<(&Job, Why)> = order
        .iter()
        .filter(|job| job.kept_for.is_none() && !job.fixed)
        .map(|job| (*job, Why::New))
        .collect();
    if rebalance {
        open.extend(desk.misplaced(&order));
        // Stable: the order of placing is the same for what is new and what moves.
        let place: BTreeMap<&ItemId, usize> =
            order.iter().enumerate().map(|(at, job)| (&job.id, at)).collect();
        open.sort_by_key(|(job, _)| place.get(&job.id).copied());
    }
    let most = limit.unwrap_or(usize::MAX);
    let mut plan = Plan::default();
    for (job, why) in open {
        if plan.moves.len() >= most {
            break;
        }
        let from = job.kept_for.clone();
        match (desk.best(job), why) {
            (Ok((at, reason)), _) => {
                desk.place(at, from.as_ref());
                let to = Some(desk.seats[at].worker.id.clone());
                plan.moves.push(Move { item: job.id.clone(), from, to, reason });
            }
            (Err(_), Why::Lost) => {
                let reason = Reason::Freed;
                plan.moves.push(Move { item: job.id.clone(), from, to: None, reason });
            }
            (Err(reason), Why::New) => plan.unplaced.push((job.id.clone(), reason)),
            (Err(_), Why::Surplus) => {}
        }
    }
    plan
}

/// Why an item is being placed.
#[derive(Clone, Copy)]
enum Why {
    /// It is kept for nobody.
    New,
    /// Whom it is kept for cannot take it.
    Lost,
    /// Whom it is kept for has too much.
    Surplus,
}

/// A worker with its load as the plan grows.
struct Seat<'a> {
    worker: &'a Worker,
    load: u64,
}

impl Seat<'_> {
    fn has_room(&self) -> bool {
        self.load < u64::from(self.worker.capacity)
    }

    fn is_of_team(&self, job: &Job) -> bool {
        job.team.is_none() || self.worker.team.is_none() || self.worker.team == job.team
    }

    fn can_do(&self, job: &Job) -> bool {
        job.capabilities.iter().all(|needed| self.worker.capabilities.contains(needed))
    }

    fn is_fit(&self, job: &Job) -> bool {
        !self.worker.silent && self.is_of_team(job) && self.can_do(job)
    }

    fn is_special(&self, job: &Job) -> bool {
        match (&self.worker.specialization, &job.kind) {
            (Some(best), Some(kind)) => best.eq_ignore_ascii_case(kind.as_str()),
            _ => false,
        }
    }

    fn is_own(&self, job: &Job) -> bool {
        job.team.is_some() && self.worker.team == job.team
    }
}

struct Desk<'a> {
    seats: Vec<Seat<'a>>,
}

impl<'a> Desk<'a> {
    fn new(workers: &'a [Worker], jobs: &[&Job]) -> Self {
        let mut seats: Vec<Seat<'a>> =
            workers.iter().map(|worker| Seat { worker, load: u64::from(worker.held) }).collect();
        seats.sort_by(|a, b| a.worker.id.cmp(&b.worker.id));
        let mut desk = Self { seats };
        for agent in jobs.iter().filter_map(|job| job.kept_for.as_ref()) {
            if let Some(at) = desk.find(agent) {
                desk.seats[at].load += 1;
            }
        }
        desk
    }

    fn find(&self, agent: &AgentId) -> Option<usize> {
        self.seats.binary_search_by(|seat| seat.worker.id.cmp(agent)).ok()
    }

    /// Items that are kept where they should not be, the least urgent first for each agent.
    fn misplaced<'j>(&self, order: &[&'j Job]) -> Vec<(&'j Job, Why)> {
        let mut surplus: Vec<u64> = self
            .seats
            .iter()
            .map(|seat| seat.load.saturating_sub(seat.worker.capacity.into()))
            .collect();
        let mut found = Vec::new();
        for &job in order.iter().rev().filter(|job| !job.fixed) {
            let Some(agent) = &job.kept_for else { continue };
            match self.find(agent) {
                Some(at) if self.seats[at].is_fit(job) => {
                    if surplus[at] > 0 {
                        surplus[at] -= 1;
                        found.push((job, Why::Surplus));
                    }
                }
                Some(at) => {
                    surplus[at] = surplus[at].saturating_sub(1);
                    found.push((job, Why::Lost));
                }
                None => found.push((job, Why::Lost)),
            }
        }
        found
    }

    fn best(&self, job: &Job) -> Result<(usize, Reason), Reason> {
        let fit = |seat: &&Seat<'_>| seat.is_fit(job) && seat.has_room();
        let better = |a: &Seat<'_>, b: &Seat<'_>| -> Ordering {
            let load = |x: &Seat<'_>, y: &Seat<'_>| x.load * u64::from(y.worker.capacity);
            b.is_special(job)
                .cmp(&a.is_special(job))
                .then(b.is_own(job).cmp(&a.is_own(job)))
                .then(load(a, b).cmp(&load(b, a)))
                .then(a.worker.capabilities.len().cmp(&b.worker.capabilities.len()))
                .then(a.worker.id.cmp(&b.worker.id))
        };
        let best =
            self.seats.iter().enumerate().filter(|(_, s)| fit(s)).min_by(|a, b| better(a.1, b.1));
        let Some((at, seat)) = best else { return Err(self.refusal(job)) };
        let reason = if seat.is_special(job) {
            Reason::Specialization
        } else if seat.is_own(job) {
            Reason::Team
        } else {
            Reason::Load
        };
        Ok((at, reason))
    }

    fn refusal(&self, job: &Job) -> Reason {
        if self.seats.is_empty() {
            return Reason::NoAgents;
        }
        let mut left: Vec<_> = self.seats.iter().filter(|seat| seat.is_of_team(job)).collect();
        if left.is_empty() {
            return Reason::NoTeam;
        }
        left.retain(|seat| seat.can_do(job));
        if left.is_empty() {
            return Reason::NoCapability;
        }
        left.retain(|seat| !seat.worker.silent);
        if left.is_empty() { Reason::Silent } else { Reason::Full }
    }

    fn place(&mut self, at: usize, from: Option<&AgentId>) {
        self.seats[at].load += 1;
        if let Some(before) = from.and_then(|agent| self.find(agent)) {
            self.seats[before].load = self.seats[before].load.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn worker(id: &str, capacity: u32) -> Worker {
        Worker {
            id: id.parse().unwrap(),
            team: None,
            capacity,
            specialization: None,
            capabilities: Vec::new(),
            held: 0,
            silent: false,
        }
    }

    fn job(id: &str) -> Job {
        Job {
            id: id.parse().unwrap(),
            priority: Priority::Medium,
            created_at: DateTime::UNIX_EPOCH,
            team: None,
            kind: None,
            capabilities: Vec::new(),
            kept_for: None,
            fixed: false,
        }
    }

    fn places(plan: &Plan) -> Vec<(&str, &str)> {
        plan.moves
            .iter()
            .map(|m| (m.item.as_str(), m.to.as_ref().map_or("-", |to| to.as_str())))
            .collect()
    }

    #[test]
    fn load_in_proportion_to_capacity_then_the_id() {
        let workers = [worker("b", 4), worker("a", 2)];
        let jobs: Vec<_> = ["1", "2", "3", "4", "5", "6", "7"].map(job).into();
        let plan = plan(&jobs, &workers, false, None);
        assert_eq!(
            places(&plan),
            [("1", "a"), ("2", "b"), ("3", "b"), ("4", "a"), ("5", "b"), ("6", "b")]
        );
        assert_eq!(plan.unplaced, [("7".parse().unwrap(), Reason::Full)]);
    }

    #[test]
    fn specialisation_before_team_before_load() {
        let mut special = worker("z", 9);
        special.specialization = Some("Bug".to_owned());
        special.held = 8;
        let mut own = worker("y", 9);
        own.team = Some("core".parse().unwrap());
        own.held = 5;
        let workers = [worker("a", 9), own, special];
        let (mut bug, mut core) = (job("bug"), job("core"));
        bug.kind = Some("bug".parse().unwrap());
        core.team = Some("core".parse().unwrap());
        let plan = plan(&[bug, core, job("any")], &workers, false, None);
        assert_eq!(places(&plan), [("any", "a"), ("bug", "z"), ("core", "y")]);
        let reasons: Vec<_> = plan.moves.iter().map(|m| m.reason).collect();
        assert_eq!(reasons, [Reason::Load, Reason::Specialization, Reason::Team]);
    }

    #[test]
    fn nobody_gets_what_it_cannot_do() {
        let mut silent = worker("s", 9);
        silent.silent = true;
        silent.capabilities = vec!["rust".parse().unwrap()];
        let mut other = worker("o", 9);
        other.team = Some("edge".parse().unwrap());
        let (mut rust, mut core, mut both) = (job("1"), job("2"), job("3"));
        rust.capabilities = vec!["rust".parse().unwrap()];
        core.team = Some("core".parse().unwrap());
        both.capabilities = vec!["go".parse().unwrap()];
        let plan = plan(&[rust, core.clone(), both], &[silent, other.clone()], false, None);
        assert!(plan.moves.is_empty());
        let reasons: Vec<_> = plan.unplaced.iter().map(|(_, why)| *why).collect();
        assert_eq!(reasons, [Reason::Silent, Reason::Silent, Reason::NoCapability]);
        assert_eq!(
            super::plan(&[core.clone()], &[other], false, None).unplaced[0].1,
            Reason::NoTeam
        );
        assert_eq!(super::plan(&[core], &[], false, None).unplaced[0].1, Reason::NoAgents);
    }

    #[test]
    fn rebalancing_moves_what_is_misplaced_and_nothing_else() {
        let kept = |id: &str, agent: &str| Job { kept_for: agent.parse().ok(), ..job(id) };
        let mut silent = worker("silent", 5);
        silent.silent = true;
        let workers = [worker("busy", 1), worker("free", 3), silent];
        let jobs = [
            kept("1", "busy"),
            kept("2", "busy"),
            kept("3", "silent"),
            kept("4", "gone"),
            kept("5", "free"),
        ];
        assert!(plan(&jobs, &workers, false, None).moves.is_empty());
        let plan = plan(&jobs, &workers, true, None);
        assert_eq!(places(&plan), [("2", "free"), ("3", "free"), ("4", "-")]);
        assert_eq!(plan.moves[2].reason, Reason::Freed);
    }

    prop_compose! {
        fn workers()(list in prop::collection::btree_map("[a-f]", (1u32..4, 0u32..4, any::<bool>(),
            prop::option::of("[xy]"), prop::collection::vec("[mn]", 0..2)), 0..6)) -> Vec<Worker> {
            list.into_iter().map(|(id, (capacity, held, silent, team, can))| Worker {
                held, silent,
                team: team.map(|t| t.parse().unwrap()),
                capabilities: can.iter().map(|c| c.parse().unwrap()).collect(),
                specialization: (held == 1).then(|| "k".to_owned()),
                ..worker(&id, capacity)
            }).collect()
        }
    }

    prop_compose! {
        fn jobs()(list in prop::collection::btree_map("[0-9]{2}", (0usize..4, prop::option::of("[xy]"),
            prop::option::of("[kl]"), prop::collection::vec("[mn]", 0..2), prop::option::of("[a-g]"), prop::bool::weighted(0.2)), 0..24))
            -> Vec<Job> {
            list.into_iter().map(|(id, (priority, team, kind, needs, kept, fixed))| Job {
                fixed,
                priority: Priority::ALL[priority],
                team: team.map(|t| t.parse().unwrap()),
                kind: kind.map(|k| k.parse().unwrap()),
                capabilities: needs.iter().map(|c| c.parse().unwrap()).collect(),
                kept_for: kept.map(|k| k.parse().unwrap()),
                ..job(&id)
            }).collect()
        }
    }

    proptest! {
        #[test]
        fn a_plan_keeps_the_rules(
            jobs in jobs(), workers in workers(), rebalance in any::<bool>(),
            limit in prop::option::of(0usize..9), seed in any::<u64>(),
        ) {
            let made = plan(&jobs, &workers, rebalance, limit);
            // The order of the input does not matter.
            let (mut shuffled, mut others) = (jobs.clone(), workers.clone());
            let turn = |n: usize| if n == 0 { 0 } else { usize::try_from(seed % n as u64).unwrap() };
            let (a, b) = (turn(shuffled.len()), turn(others.len()));
            shuffled.rotate_left(a);
            others.rotate_left(b);
            prop_assert_eq!(&plan(&shuffled, &others, rebalance, limit), &made);
            prop_assert!(made.moves.len() <= limit.unwrap_or(usize::MAX));

            let mut after = jobs.clone();
            for step in &made.moves {
                let item = after.iter_mut().find(|j| j.id == step.item).unwrap();
                prop_assert_eq!(&item.kept_for, &step.from);
                prop_assert_ne!(&step.from, &step.to);
                prop_assert!(rebalance || step.from.is_none());
                prop_assert!(!item.fixed);
                if let Some(to) = &step.to {
                    let agent = workers.iter().find(|w| w.id == *to).unwrap();
                    prop_assert!(!agent.silent);
                    prop_assert!(item.team.is_none() || agent.team.is_none() || agent.team == item.team);
                    prop_assert!(item.capabilities.iter().all(|c| agent.capabilities.contains(c)));
                }
                item.kept_for.clone_from(&step.to);
            }
            for agent in &workers {
                let kept = |list: &[Job]| list.iter().filter(|j| j.kept_for.as_ref() == Some(&agent.id)).count();
                let load = agent.held as usize + kept(&after);
                let grew = kept(&after) > kept(&jobs);
                prop_assert!(!grew || load <= agent.capacity as usize, "{agent:?} has {load}");
            }
            // What could be placed was placed.
            if limit.is_none() && !rebalance {
                prop_assert!(plan(&after, &workers, false, None).moves.is_empty());
            }
        }
    }
}
