//! What a team talks about: what was done, what comes next, what is stuck, how fast it goes.
//!
//! Everything is counted from items, agents and points; what nobody recorded is not there.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::agent::Known;
use super::legacy::Points;
use super::work::{Found, Priority, State};

/// The stretch of time that velocity is told for.
pub const SPRINT_DAYS: i64 = 14;
/// The stretch of time that counts as lately, when teams tell each other what they did.
pub const LATELY_HOURS: i64 = 24;

/// What one team has done, does and will do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TeamBoard<'a> {
    /// Items finished lately, the last one first.
    pub done_lately: Vec<&'a Found>,
    /// Items that agents hold.
    pub active: Vec<&'a Found>,
    /// Ready items, in the order in which they will be taken.
    pub next: Vec<&'a Found>,
    /// Items that wait for others.
    pub blocked: Vec<&'a Found>,
    /// Items that failed or are dead.
    pub given_up: Vec<&'a Found>,
    /// Items done at all.
    pub done: u64,
    /// Points credited in the last [`SPRINT_DAYS`].
    pub points_lately: u64,
    /// Points credited at all.
    pub points: u64,
    /// Points of what is open, where somebody has given them.
    pub points_open: u64,
    /// Registered agents.
    pub agents: u64,
    /// Items that they take at a time.
    pub capacity: u64,
}

/// How long work takes, over all finished items that were claimed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flow {
    /// How many items were measured.
    pub items: u64,
    /// From being added to being done, on average, in seconds.
    pub lead_s: u64,
    /// From being claimed to being done, on average, in seconds.
    pub process_s: u64,
}

impl Flow {
    /// The time in which nobody worked on it, on average, in seconds.
    #[must_use]
    pub const fn wait_s(&self) -> u64 {
        self.lead_s.saturating_sub(self.process_s)
    }

    /// The share of the time in which somebody worked on it, in percent.
    #[must_use]
    pub fn efficiency(&self) -> Option<u64> {
        (self.process_s * 100).checked_div(self.lead_s)
    }
}

/// The whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Board<'a> {
    /// By name; what belongs to no team stands under the empty name.
    pub teams: BTreeMap<&'a str, TeamBoard<'a>>,
    /// Items by state, in the order of [`State::ALL`].
    pub states: [u64; 6],
    /// Points credited at all.
    pub points: u64,
    /// Points credited in the last [`SPRINT_DAYS`].
    pub points_lately: u64,
    /// How long work takes.
    pub flow: Option<Flow>,
}

impl<'a> Board<'a> {
    /// Counts. `points` are all that teams were credited with.
    #[must_use]
    pub fn new(
        items: &'a [Found],
        agents: &'a [Known],
        points: &'a [Points],
        now: DateTime<Utc>,
    ) -> Self {
        let mut board = Self { flow: flow(items), ..Self::default() };
        let lately = now - TimeDelta::hours(LATELY_HOURS);
        for found in items {
            let (item, state) = (&found.item, found.state());
            if let Some(at) = State::ALL.iter().position(|s| *s == state) {
                board.states[at] += 1;
            }
            let team = board.team(item.team.as_ref().map(AsRef::as_ref));
            if !item.status.is_finished() {
                team.points_open += u64::from(item.points.unwrap_or_default());
            }
            match state {
                State::Pending => team.next.push(found),
                State::Active => team.active.push(found),
                State::Blocked => team.blocked.push(found),
                State::Failed | State::Dead => team.given_up.push(found),
                State::Done => {
                    team.done += 1;
                    if item.finished_at.is_some_and(|at| at >= lately) {
                        team.done_lately.push(found);
                    }
                }
            }
        }
        for agent in agents.iter().filter_map(|known| known.agent.as_ref()) {
            let team = board.team(agent.team.as_ref().map(AsRef::as_ref));
            team.agents += 1;
            team.capacity += u64::from(agent.capacity);
        }
        let since = now - TimeDelta::days(SPRINT_DAYS);
        for row in points {
            let (worth, late) = (u64::from(row.points), row.at >= since);
            board.points += worth;
            board.points_lately += if late { worth } else { 0 };
            let team = board.team(Some(row.team.as_str()));
            team.points += worth;
            team.points_lately += if late { worth } else { 0 };
        }
        for team in board.teams.values_mut() {
            team.next.sort_by_key(|found| found.item.priority);
            team.done_lately.sort_by_key(|found| std::cmp::Reverse(found.item.finished_at));
        }
        board
    }

    fn team(&mut self, name: Option<&'a str>) -> &mut TeamBoard<'a> {
        self.teams.entry(name.unwrap_or_default()).or_default()
    }

    /// The items in one state.
    #[must_use]
    pub fn count(&self, state: State) -> u64 {
        State::ALL.iter().position(|s| *s == state).map_or(0, |at| self.states[at])
    }
}

fn flow(items: &[Found]) -> Option<Flow> {
    let (mut count, mut lead_s, mut process_s) = (0u64, 0u64, 0u64);
    for item in items.iter().filter(|f| f.state() == State::Done).map(|f| &f.item) {
        let (Some(claimed), Some(finished)) = (item.claimed_at, item.finished_at) else { continue };
        let seconds = |from: DateTime<Utc>| (finished - from).num_seconds().max(0).unsigned_abs();
        count += 1;
        lead_s += seconds(item.created_at);
        process_s += seconds(claimed);
    }
    (count > 0).then(|| Flow { items: count, lead_s: lead_s / count, process_s: process_s / count })
}

/// Open items by urgency, the most urgent first; within it those that others wait for, then by age.
#[must_use]
pub fn ranked(items: &[Found]) -> Vec<(&Found, u64)> {
    let mut waiting: BTreeMap<&str, u64> = BTreeMap::new();
    for found in items.iter().filter(|f| !f.item.status.is_finished()) {
        for need in &found.item.needs {
            *waiting.entry(need.as_str()).or_default() += 1;
        }
    }
    let open = |found: &&Found| matches!(found.state(), State::Pending | State::Blocked);
    let mut ranked: Vec<(&Found, u64)> = items
        .iter()
        .filter(open)
        .map(|found| (found, waiting.get(found.item.id.as_str()).copied().unwrap_or(0)))
        .collect();
    let order = |found: &Found| -> (bool, Priority) {
        (found.state() == State::Blocked, found.item.priority)
    };
    ranked.sort_by(|(a, x), (b, y)| {
        order(a).cmp(&order(b)).then(y.cmp(x)).then(a.item.created_at.cmp(&b.item.created_at))
    });
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::work::{Item, Status};

    fn at(s: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(s, 0).unwrap()
    }

    fn item(id: &str, status: Status, team: Option<&str>) -> Item {
        let mut item = Item::bare(id.parse().unwrap(), id.to_owned(), at(1000));
        item.status = status;
        item.team = team.map(|team| team.parse().unwrap());
        item
    }

    fn found(item: Item, open_needs: u32) -> Found {
        Found { item, n: 1, updated_at: at(0), open_needs }
    }

    #[test]
    fn everything_is_counted_and_nothing_else() {
        let now = at(1_000_000);
        let mut done = item("a", Status::Done, Some("core"));
        (done.claimed_at, done.finished_at) = (Some(at(1100)), Some(at(1300)));
        let mut late = item("b", Status::Done, Some("core"));
        (late.claimed_at, late.finished_at) = (Some(now), Some(now));
        late.created_at = now;
        let mut blocked = item("d", Status::Pending, None);
        blocked.needs = vec!["c".parse().unwrap()];
        let items = [
            found(done, 0),
            found(late, 0),
            found(item("c", Status::Pending, Some("web")), 0),
            found(blocked, 1),
            found(item("e", Status::Dead, Some("web")), 0),
        ];
        let row = |at, points| Points { at, team: "core".parse().unwrap(), points };
        let points = [row(at(0), 5), row(now, 3)];
        let board = Board::new(&items, &[], &points, now);
        assert_eq!(board.states, [1, 0, 1, 2, 0, 1]);
        assert_eq!(board.teams.keys().copied().collect::<Vec<_>>(), ["", "core", "web"]);
        let core = &board.teams["core"];
        assert_eq!((core.done, core.done_lately.len(), core.points), (2, 1, 8));
        assert_eq!(board.points_lately, 8, "the first was within fourteen days");
        assert_eq!(board.flow, Some(Flow { items: 2, lead_s: 150, process_s: 100 }));
        assert_eq!(board.flow.unwrap().efficiency(), Some(66));
        assert_eq!(Board::new(&[], &[], &[], now), Board::default());
    }

    #[test]
    fn ready_before_blocked_then_urgent_then_waited_for() {
        let mut items = Vec::new();
        for (id, priority, needs) in [
            ("a", Priority::Low, None),
            ("b", Priority::High, None),
            ("c", Priority::High, None),
            ("d", Priority::Critical, Some("c")),
        ] {
            let mut item = item(id, Status::Pending, None);
            item.priority = priority;
            item.needs = needs.map(|n| n.parse().unwrap()).into_iter().collect();
            let open = u32::try_from(item.needs.len()).unwrap();
            items.push(found(item, open));
        }
        let ids: Vec<_> = ranked(&items).iter().map(|(f, n)| (f.item.id.to_string(), *n)).collect();
        let told: Vec<_> = ids.iter().map(|(id, n)| (id.as_str(), *n)).collect();
        assert_eq!(told, [("c", 1), ("b", 0), ("a", 0), ("d", 0)]);
    }
}
