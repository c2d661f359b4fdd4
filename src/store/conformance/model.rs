//! Any sequence of operations gets the same answers from every implementation.

use chrono::{DateTime, SubsecRound, Utc};
use proptest::prelude::*;

use super::*;
use crate::domain::agent::Known;
use crate::domain::name::Word;
use crate::domain::work::{Edit, Priority, Query, Sort, State};

#[derive(Clone, Debug)]
enum Step {
    Add(Vec<Draft>),
    Claim(Want),
    Change(u8, Kind),
    Assign(Vec<(u8, Option<u8>)>),
    Register(u8, u32),
    Beat(u8),
    Remove(u8),
    Lock(u8, u8),
    Unlock(u8),
    Sleep(u16),
    Reboot,
    Reopen,
    /// The operation before, under its own id.
    Again,
    Find(Query),
}

#[derive(Clone, Debug)]
enum Kind {
    Progress(u64),
    Complete(Option<u32>),
    Fail(bool),
    Release,
    Retry,
    Edit(Box<Edit>),
    Need(u8, bool),
}

fn who(at: u8) -> AgentId {
    agent_id(["nova", "orion", "vega"][usize::from(at % 3)])
}

fn team(at: u8) -> crate::domain::name::Team {
    ["core", "web"][usize::from(at % 2)].parse().unwrap()
}

fn word(at: u8) -> Word {
    ["bug", "doc", "gpu"][usize::from(at % 3)].parse().unwrap()
}

fn draft() -> impl Strategy<Value = Draft> {
    let rare = |max: u8| prop::option::weighted(0.3, 0..max);
    let list = || prop::collection::vec(0..3u8, 0..2);
    let needs = prop::collection::vec(1..20u8, 0..2);
    (
        (prop::sample::select(&Priority::ALL[..]), rare(2), rare(3), rare(3), rare(6)),
        (list(), prop::option::weighted(0.2, 0..3u8), needs, 0..9u32, 1..4u32),
    )
        .prop_map(
            |((priority, t, kind, assignee, key), (labels, able, needs, points, max))| {
                let needs = needs.iter().map(|n| format!("w-{n}"));
                Draft {
                    title: format!("{priority} {points}"),
                    priority: Some(priority),
                    team: t.map(team),
                    kind: kind.map(word),
                    labels: labels.into_iter().map(word).collect(),
                    capabilities: able.map(word).into_iter().collect(),
                    assignee: assignee.map(who),
                    key: key.map(|k| format!("key-{k}")),
                    needs: if max == 1 { needs.collect() } else { Vec::new() },
                    points: (points > 0).then_some(points),
                    max_attempts: Some(max),
                    ..Draft::default()
                }
            },
        )
}

fn a_want() -> impl Strategy<Value = Want> {
    let rare = |max: u8| prop::option::weighted(0.2, 0..max);
    (0..3u8, rare(20), rare(2), rare(3), rare(3), any::<bool>(), 1..90u64).prop_map(
        |(agent, at, t, kind, label, able, lease)| Want {
            agent: who(agent),
            id: at.map(|n| id(&format!("w-{n}"))),
            team: t.map(team),
            kind: kind.map(word),
            labels: label.map(word).into_iter().collect(),
            capabilities: able.then(|| word(2)).into_iter().collect(),
            lease: Duration::from_secs(lease),
        },
    )
}

fn query() -> impl Strategy<Value = Query> {
    let rare = |max: u8| prop::option::weighted(0.3, 0..max);
    let sorts = [
        Sort::Priority,
        Sort::Created,
        Sort::Updated,
        Sort::Status,
        Sort::Team,
        Sort::Agent,
        Sort::Points,
    ];
    (
        prop::collection::vec(prop::sample::select(&State::ALL[..]), 0..3),
        (rare(2), rare(3), rare(3), rare(3)),
        prop::collection::vec(prop::sample::select(&Priority::ALL[..]), 0..2),
        (any::<bool>(), any::<bool>(), prop::sample::select(sorts.to_vec())),
        (prop::option::of(0..4usize), prop::option::weighted(0.2, 0..9u32)),
    )
        .prop_map(
            |(states, (t, kind, label, agent), priorities, (all, reverse, sort), rest)| Query {
                states,
                team: t.map(team),
                kind: kind.map(word),
                labels: label.map(word).into_iter().collect(),
                priorities,
                agent: agent.map(who),
                text: rest.1.map(|n| n.to_string()),
                all,
                sort,
                reverse,
                limit: rest.0,
            },
        )
}

fn kind() -> impl Strategy<Value = Kind> {
    let edit = (any::<[Option<u8>; 4]>(), prop::option::of(1..5u32)).prop_map(|(some, max)| {
        let [priority, t, label, points] = some;
        Kind::Edit(Box::new(Edit {
            priority: priority.map(|p| Priority::ALL[usize::from(p % 4)]),
            team: t.map(|t| (t % 3 > 0).then(|| team(t % 3))),
            add_labels: label.map(word).into_iter().collect(),
            points: points.map(|p| (p % 3 > 0).then_some(p.into())),
            max_attempts: max,
            ..Edit::default()
        }))
    });
    prop_oneof![
        2 => (0..110u64).prop_map(Kind::Progress),
        4 => prop::option::of(0..9u32).prop_map(Kind::Complete),
        2 => any::<bool>().prop_map(Kind::Fail),
        1 => Just(Kind::Release),
        1 => Just(Kind::Retry),
        1 => edit,
        1 => (1..20u8, any::<bool>()).prop_map(|(n, add)| Kind::Need(n, add)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => prop::collection::vec(draft(), 0..4).prop_map(Step::Add),
        9 => a_want().prop_map(Step::Claim),
        9 => (1..20u8, kind()).prop_map(|(at, kind)| Step::Change(at, kind)),
        1 => prop::collection::btree_map(1..20u8, prop::option::of(0..3u8), 0..4)
            .prop_map(|moves| Step::Assign(moves.into_iter().collect())),
        1 => (0..3u8, 1..4u32).prop_map(|(a, c)| Step::Register(a, c)),
        1 => (0..3u8).prop_map(Step::Beat),
        1 => (0..3u8).prop_map(Step::Remove),
        1 => (0..2u8, 0..3u8).prop_map(|(l, a)| Step::Lock(l, a)),
        1 => (0..2u8).prop_map(Step::Unlock),
        2 => (0..200u16).prop_map(Step::Sleep),
        1 => Just(Step::Reboot),
        1 => Just(Step::Reopen),
        3 => Just(Step::Again),
        4 => query().prop_map(Step::Find),
    ]
}

/// An answer as text, without what an implementation is free in: the words of an input error, what a
/// repeated answer says about others, and the bound on when the next lease ends.
fn answer(store: &mut dyn Store, step: &Step, op: &Op) -> String {
    fn shown<T: std::fmt::Debug>(result: Result<T>) -> String {
        match result {
            Ok(value) => format!("{value:?}"),
            Err(Error::NotFound { id, .. }) => format!("not found: {id}"),
            Err(Error::Dependency(crate::domain::work::DependencyError::Cycle { .. })) => {
                "a cycle".to_owned()
            }
            Err(error) => error.to_string(),
        }
    }
    let plain = |mut changed: Changed| {
        if changed.repeated {
            changed.found.open_needs = 0;
            changed.unblocked.clear();
        }
        changed
    };
    match step {
        Step::Add(drafts) => {
            let mut added = store.add(drafts.iter().cloned().map(new).collect(), op);
            if let Ok(added) = &mut added
                && added.repeated
            {
                added.existing = 0;
                for found in &mut added.items {
                    found.open_needs = 0;
                }
            }
            shown(added)
        }
        Step::Claim(want) => match store.claim(want, op) {
            Ok(Claimed::Taken(changed)) => format!("{:?}", plain(*changed)),
            Ok(Claimed::Nothing { next_lease_end, open }) => {
                format!("nothing; running: {}; open: {open}", next_lease_end.is_some())
            }
            other => shown(other),
        },
        Step::Change(at, kind) => {
            let id = id(&format!("w-{at}"));
            let agent = store.get(id.as_str()).ok().and_then(|f| f.item.agent);
            let agent = agent.unwrap_or_else(|| who(*at));
            let holder = Holder { agent, token: None };
            let change = match kind.clone() {
                Kind::Progress(percent) => {
                    let percent = Some(percent);
                    Change::Progress { holder, percent, note: None, lease: None }
                }
                Kind::Complete(points) => Change::Complete { holder, result: None, points },
                Kind::Fail(retry) => Change::Fail { holder, result: None, retry },
                Kind::Release => Change::Release { holder, note: None },
                Kind::Retry => Change::Retry,
                Kind::Edit(edit) => Change::Edit(edit),
                Kind::Need(n, add) => {
                    let needs = vec![super::id(&format!("w-{n}"))];
                    Change::Edit(Box::new(if add {
                        Edit { add_needs: needs, ..Edit::default() }
                    } else {
                        Edit { remove_needs: needs, ..Edit::default() }
                    }))
                }
            };
            shown(store.change(&id, &change, op).map(plain))
        }
        Step::Assign(moves) => {
            let moves: Vec<_> =
                moves.iter().map(|(n, a)| (id(&format!("w-{n}")), a.map(who))).collect();
            let mut done = store.assign(&moves, op);
            if let Ok(done) = &mut done {
                for found in done.iter_mut() {
                    found.open_needs = 0;
                }
            }
            shown(done)
        }
        Step::Register(a, capacity) => {
            let agent = Agent {
                id: who(*a),
                team: None,
                capacity: *capacity,
                specialization: None,
                capabilities: vec![word(*a)],
                registered_at: op.now.wall,
                extra: serde_json::Map::new(),
            };
            shown(store.register(&agent, op))
        }
        Step::Beat(a) => shown(store.heartbeat(&who(*a), op)),
        Step::Remove(a) => shown(store.remove_agent(&who(*a), op).map(|mut removed| {
            for found in &mut removed.items {
                found.open_needs = 0;
            }
            removed.items
        })),
        Step::Lock(l, a) => {
            let op = Op { by: who(*a), ..op.clone() };
            let (name, note) = (word(*l), Some("why"));
            let got = store.acquire(&name, Duration::from_secs(50), note, &op).unwrap();
            shown(Ok((got, store.renew(&name, 1 + u64::from(*a), &op).unwrap())))
        }
        Step::Unlock(l) => shown(store.unlock(&word(*l), 1 + u64::from(*l), op)),
        Step::Find(query) => shown(store.find(query)),
        Step::Sleep(_) | Step::Reboot | Step::Reopen | Step::Again => String::new(),
    }
}

/// Signs of life may be kept to the millisecond.
fn known(store: &dyn Store) -> Vec<Known> {
    let ms = |at: DateTime<Utc>| at.trunc_subsecs(3);
    let short = |k: Known| Known { seen_at: k.seen_at.map(ms), ..k };
    store.agents().unwrap().into_iter().map(short).collect()
}

fn same_everywhere(scenes: &[Scene; 2], steps: &[Step]) -> Result<(), TestCaseError> {
    let [left, right] = scenes;
    let (mut a, mut b) = (left.store(), right.store());
    let mut last: Option<(Step, Op)> = None;
    for (at, step) in steps.iter().enumerate() {
        // One clock stamps the operations of both.
        left.clock.advance(Duration::from_micros(1001));
        let (wall, boot) = (left.clock.wall(), left.clock.boot());
        right.clock.jump(wall);
        let now = Stamp { wall, boot: boot.id, boot_ms: boot.ms };
        let name = format!("op-{at}");
        let op = Op { id: name.parse().unwrap(), given: true, by: who(0), now };
        let (step, op) = match (step, &last) {
            (Step::Again, Some((step, op))) => (step.clone(), Op { now, ..op.clone() }),
            _ => (step.clone(), op),
        };
        match &step {
            Step::Sleep(s) => {
                left.clock.advance(Duration::from_secs((*s).into()));
                right.clock.advance(Duration::from_secs((*s).into()));
            }
            Step::Reboot => {
                left.clock.reboot();
                right.clock.reboot();
            }
            Step::Reopen => (a, b) = (left.store(), right.store()),
            step => {
                let (x, y) = (answer(&mut *a, step, &op), answer(&mut *b, step, &op));
                prop_assert_eq!(x, y, "step {}: {:?}", at, step);
            }
        }
        last = Some((step, op.clone()));
        prop_assert_eq!(a.summary().unwrap(), b.summary().unwrap());
    }
    prop_assert_eq!(everything(&*a), everything(&*b));
    prop_assert_eq!(a.teams().unwrap(), b.teams().unwrap());
    prop_assert_eq!(known(&*a), known(&*b));
    for found in everything(&*a).1 {
        let id = &found.item.id;
        prop_assert_eq!(a.history(id).unwrap(), b.history(id).unwrap());
    }
    for n in 0..3 {
        prop_assert_eq!(a.held(&who(n)).unwrap(), b.held(&who(n)).unwrap());
    }
    let op = left.op("auditor");
    prop_assert_eq!(a.locks(&op).unwrap(), b.locks(&op).unwrap());
    for store in [&mut a, &mut b] {
        let problems = store.verify(false, &op).unwrap().problems;
        prop_assert!(problems.is_empty(), "{:#?}", problems);
    }
    Ok(())
}

proptest! {
    #[test]
    fn files_answer_as_memory_does(steps in prop::collection::vec(step(), 1..70)) {
        same_everywhere(&[Scene::memory(), Scene::files()], &steps)?;
    }
}
