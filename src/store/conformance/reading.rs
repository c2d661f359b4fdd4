//! Reading: events, single items, lists, counts.

use super::*;
use crate::domain::work::{Page, Priority, Query, Sort, State, Status};
use crate::store::Event;

fn events(store: &dyn Store, since: u64) -> Vec<Event> {
    let mut list = Vec::new();
    store
        .events(since, &mut |event| {
            list.push(event.clone());
            true
        })
        .unwrap();
    list
}

pub(super) fn every_event_is_kept_in_order(scene: &Scene) {
    let mut store = scene.store();
    scene.add(&mut *store, vec![titled("a"), titled("b")]);
    let claim = scene.named_op("the-claim", "nova");
    let first = taken(store.claim(&want("nova"), &claim).unwrap()).unwrap();
    scene.change(&mut *store, &first.item.id, &progress("nova", 40)).unwrap();
    scene.complete(&mut *store, &first.item.id, "nova").unwrap();
    let all = events(&*store, 0);
    let verbs: Vec<_> = all.iter().map(|e| (e.n, e.verb.as_str(), e.item.id.as_str())).collect();
    assert_eq!(
        verbs,
        [
            (1, "add", "w-1"),
            (2, "add", "w-2"),
            (3, "claim", "w-1"),
            (4, "progress", "w-1"),
            (5, "complete", "w-1")
        ]
    );
    let event = &all[2];
    assert_eq!((&event.op, &event.by, event.at), (&claim.id, &claim.by, claim.now.wall));
    assert_eq!(event.item, first.item, "the item after it");
    assert_eq!(events(&*store, 3), all[3..]);
    assert!(events(&*store, 5).is_empty());
    let mut seen = 0;
    store
        .events(0, &mut |_| {
            seen += 1;
            seen < 2
        })
        .unwrap();
    assert_eq!(seen, 2, "until it has seen enough");
    let history = store.history(&id("w-1")).unwrap();
    assert_eq!(history.iter().map(|e| e.n).collect::<Vec<_>>(), [1, 3, 4, 5]);
    assert!(store.history(&id("none")).unwrap().is_empty());
    assert!(store.history(&id("w")).unwrap().is_empty(), "a beginning is no id here");
}

pub(super) fn an_item_is_found_by_the_beginning_of_its_id(scene: &Scene) {
    let mut store = scene.store();
    let with_id = |text: &str| Draft { id: Some(id(text)), ..titled(text) };
    let list = ["task-one", "task-two", "task", "other-1", "other-12"];
    scene.add(&mut *store, list.into_iter().map(with_id).collect());
    let get = |text: &str| store.get(text).map(|f| f.item.title);
    assert_eq!(get("task-o").unwrap(), "task-one");
    assert_eq!(get("task").unwrap(), "task", "the whole id wins");
    assert_eq!(get("other-1").unwrap(), "other-1");
    assert!(matches!(get("task-"), Err(Error::Ambiguous { matches, .. })
        if matches == [id("task-one"), id("task-two")]));
    assert!(matches!(get("tusk-one"), Err(Error::NotFound { similar, .. })
        if similar == [id("task-one")]));
    assert!(matches!(get("zzz"), Err(Error::NotFound { similar, .. }) if similar.is_empty()));
    assert!(matches!(get(""), Err(Error::NotFound { .. })));
    assert!(get("../task").is_err());
}

/// Some of everything.
fn varied(scene: &Scene, store: &mut dyn Store) {
    let mut drafts = Vec::new();
    for n in 0..36u32 {
        drafts.push(Draft {
            priority: Some(Priority::ALL[n as usize * 7 % 4]),
            team: (n % 3 > 0).then(|| format!("team-{}", n % 3).parse().unwrap()),
            kind: (n % 4 > 0).then(|| format!("kind-{}", n % 4).parse().unwrap()),
            labels: (0..n % 3).map(|l| format!("label-{l}").parse().unwrap()).collect(),
            points: (n % 5 > 0).then_some(n % 5),
            assignee: (n % 9 == 4).then(|| agent_id("orion")),
            needs: if n % 6 == 5 { vec![format!("w-{n}")] } else { Vec::new() },
            ..titled(&format!("{} number {n}", ["Red", "Green"][n as usize % 2]))
        });
    }
    scene.add(store, drafts);
    for agent in ["nova", "vega", "nova", "vega", "nova", "orion", "nova", "vega", "nova", "vega"] {
        let found = scene.take(store, agent).unwrap();
        match found.n % 4 {
            0 => drop(scene.complete(store, &found.item.id, agent).unwrap()),
            1 => drop(scene.change(store, &found.item.id, &fail(agent, false)).unwrap()),
            _ => {}
        }
    }
    for at in [3, 17, 30] {
        let op = scene.op("boss");
        let _ = store.change(&id(&format!("w-{at}")), &Change::Assign(Some(agent_id("nova"))), &op);
    }
}

/// The list as the definition of a query says, from single items.
fn naive(store: &dyn Store, query: &Query) -> Page {
    let mut order: Vec<ItemId> = Vec::new();
    for event in events(store, 0) {
        if !order.contains(&event.item.id) {
            order.push(event.item.id);
        }
    }
    let all = order.iter().map(|id| store.get(id.as_str()).unwrap());
    let mut items: Vec<Found> = all.filter(|found| query.matches(found)).collect();
    items.sort_by(|a, b| query.compare(a, b));
    let total = items.len() as u64;
    items.truncate(query.limit.unwrap_or(usize::MAX));
    Page { items, total }
}

pub(super) fn lists_are_what_a_plain_filter_gives(scene: &Scene) {
    let mut store = scene.store();
    varied(scene, &mut *store);
    let team = |t: &str| Some(t.parse().unwrap());
    let mut filters = vec![
        Query::default(),
        Query { all: true, ..Query::default() },
        Query { team: team("team-1"), ..Query::default() },
        Query { team: team("team-1"), all: true, ..Query::default() },
        Query { team: team("none"), ..Query::default() },
        Query { kind: Some("kind-2".parse().unwrap()), ..Query::default() },
        Query { labels: vec!["label-1".parse().unwrap()], ..Query::default() },
        Query { priorities: vec![Priority::Low, Priority::High], ..Query::default() },
        Query { text: Some("gREEN".to_owned()), ..Query::default() },
        Query { states: vec![State::Failed, State::Pending, State::Done], ..Query::default() },
        Query { states: vec![State::Pending, State::Dead, State::Failed], ..Query::default() },
        Query { states: vec![State::Active, State::Blocked], ..Query::default() },
        Query { states: vec![State::Failed, State::Dead], ..Query::default() },
        Query {
            team: team("team-2"),
            states: vec![State::Pending],
            text: Some("number 1".to_owned()),
            ..Query::default()
        },
    ];
    filters.extend(State::ALL.map(|s| Query { states: vec![s], ..Query::default() }));
    filters.extend(
        ["nova", "orion", "vega", "none"]
            .map(|a| Query { agent: Some(agent_id(a)), ..Query::default() }),
    );
    filters.extend(["nova", "orion"].map(|a| Query {
        agent: Some(agent_id(a)),
        all: true,
        priorities: vec![Priority::Critical, Priority::Medium],
        ..Query::default()
    }));
    let sorts = [
        Sort::Priority,
        Sort::Created,
        Sort::Updated,
        Sort::Status,
        Sort::Team,
        Sort::Agent,
        Sort::Points,
    ];
    let mut some = 0;
    for filter in &filters {
        for sort in sorts {
            for reverse in [false, true] {
                for limit in [None, Some(0), Some(1), Some(5)] {
                    let query = Query { sort, reverse, limit, ..filter.clone() };
                    let (got, right) = (store.find(&query).unwrap(), naive(&*store, &query));
                    let short = |page: &Page| {
                        let ids: Vec<_> = ids(&page.items).into_iter().map(str::to_owned).collect();
                        (page.total, ids)
                    };
                    assert_eq!(short(&got), short(&right), "{query:?}");
                    assert_eq!(got, right, "{query:?}");
                    some += got.items.len();
                }
            }
        }
    }
    assert!(some > 1000, "the filters must find something: {some}");
}

pub(super) fn counts_are_what_a_recount_gives(scene: &Scene) {
    let mut store = scene.store();
    assert_eq!(store.summary().unwrap(), super::super::Summary::default());
    varied(scene, &mut *store);
    let all = store.find(&Query { all: true, ..Query::default() }).unwrap().items;
    let summary = store.summary().unwrap();
    assert_eq!(summary.total(), 36);
    for state in State::ALL {
        let count = all.iter().filter(|f| f.state() == state).count() as u64;
        assert_eq!(summary.count(state), count, "{state}");
        assert!(count > 0 || state == State::Dead, "the scene lacks {state}");
    }
    let points = |found: &[&Found]| -> u64 {
        found.iter().map(|f| u64::from(f.item.points.unwrap_or(0))).sum()
    };
    let done: Vec<&Found> = all.iter().filter(|f| f.item.status == Status::Done).collect();
    assert_eq!(summary.points, points(&done));
    assert_eq!(summary.n, all.iter().map(|f| f.n).max().unwrap());
    let teams = store.teams().unwrap();
    assert_eq!(teams.iter().map(|t| t.team.as_str()).collect::<Vec<_>>(), ["team-1", "team-2"]);
    for team in teams {
        let its: Vec<&Found> =
            all.iter().filter(|f| f.item.team.as_ref() == Some(&team.team)).collect();
        let done: Vec<&Found> =
            its.iter().copied().filter(|f| f.item.status == Status::Done).collect();
        let open = its.iter().filter(|f| !f.item.status.is_finished()).count() as u64;
        assert_eq!((team.open, team.done), (open, done.len() as u64), "{}", team.team);
        assert_eq!(team.points, points(&done));
    }
    for who in ["nova", "orion", "vega"] {
        let held = store.held(&agent_id(who)).unwrap();
        let mut right: Vec<Found> = all
            .iter()
            .filter(|f| f.item.status == Status::Active && f.item.agent == Some(agent_id(who)))
            .cloned()
            .collect();
        right.sort_by_key(|f| f.item.token);
        assert_eq!(held, right, "oldest claim first");
    }
}
