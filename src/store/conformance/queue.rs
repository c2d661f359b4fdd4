//! Adding, claiming, depending.

use Priority::{Critical, High, Low, Medium};

use super::*;
use crate::domain::work::{
    DependencyError, Edit, Item, Limits, Priority, State, Status, TransitionError,
};

pub(super) fn a_batch_is_added_whole_or_not_at_all(scene: &Scene) {
    let mut store = scene.store();
    let first = scene.one(&mut *store, "first");
    assert_eq!(first.as_str(), "w-1");
    let bad = |drafts: Vec<Draft>| {
        let op = scene.op("boss");
        move |s: &mut dyn Store| s.add(drafts.into_iter().map(new).collect(), &op)
    };
    let with_id = |text: &str| Draft { id: Some(id(text)), ..titled("x") };
    let needs = |text: &str| Draft { needs: vec![text.to_owned()], ..titled("x") };
    let huge = Draft { description: Some("x".repeat(Limits::ITEM_BYTES)), ..titled("x") };
    let e = refused(&mut *store, bad(vec![titled("a"), with_id("w-1"), titled("b")]));
    assert!(matches!(e, Error::Exists { id } if id.as_str() == "w-1"));
    let e = refused(&mut *store, bad(vec![with_id("a"), titled("b"), with_id("a")]));
    assert!(matches!(e, Error::Exists { id } if id.as_str() == "a"));
    let e = refused(&mut *store, bad(vec![titled("a"), needs("nothing")]));
    assert!(matches!(e, Error::Dependency(DependencyError::Missing { .. })));
    if !is_memory(&*store) {
        // Only what is written out has a size.
        let e = refused(&mut *store, bad(vec![titled("a"), huge, titled("b")]));
        assert!(matches!(e, Error::New { at: 2, .. }), "{e:?}");
    }
    // The ids of what was refused are not lost.
    assert_eq!(ids_of(&scene.add(&mut *store, vec![titled("a"), titled("b")])), ["w-2", "w-3"]);
    assert_eq!(scene.add(&mut *store, Vec::new()), []);
    scene.check(&mut *store);
}

fn is_memory(store: &dyn Store) -> bool {
    store.describe().unwrap()["kind"] == "memory"
}

fn ids_of(ids: &[ItemId]) -> Vec<&str> {
    ids.iter().map(ItemId::as_str).collect()
}

pub(super) fn numbers_grow_by_one_and_the_token_is_the_number_of_the_claim(scene: &Scene) {
    let mut store = scene.store();
    let added = store.add(vec![new(titled("a")), new(titled("b"))], &scene.op("boss")).unwrap();
    assert_eq!(added.items.iter().map(|f| f.n).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(added.existing, 0);
    assert!(!added.repeated);
    for (agent, n) in [("nova", 3), ("orion", 4)] {
        let found = scene.take(&mut *store, agent).unwrap();
        assert_eq!((found.n, found.item.token), (n, Some(n)));
        assert_eq!(store.summary().unwrap().n, n);
    }
    let back = scene.change(&mut *store, &id("w-1"), &release("nova")).unwrap();
    assert_eq!((back.found.n, back.found.item.token), (5, None));
    assert_eq!(scene.take(&mut *store, "nova").unwrap().item.token, Some(6));
    scene.check(&mut *store);
}

pub(super) fn the_best_item_is_the_most_urgent_then_the_oldest(scene: &Scene) {
    let mut store = scene.store();
    let of = |title: &str, priority| Draft { priority: Some(priority), ..titled(title) };
    scene.add(
        &mut *store,
        vec![of("l1", Low), of("m1", Medium), of("h1", High), of("m2", Medium), of("c1", Critical)],
    );
    scene.add(&mut *store, vec![of("c2", Critical), of("h2", High), of("l2", Low)]);
    // What is given back keeps its age.
    let first = scene.take(&mut *store, "nova").unwrap();
    scene.change(&mut *store, &first.item.id, &release("nova")).unwrap();
    // What becomes urgent keeps its age too.
    let edit = Edit { priority: Some(High), ..Edit::default() };
    scene.change(&mut *store, &id("w-1"), &Change::Edit(Box::new(edit))).unwrap();
    let order: Vec<String> =
        std::iter::from_fn(|| Some(scene.take(&mut *store, "nova")?.item.title)).collect();
    assert_eq!(order, ["c1", "c2", "l1", "h1", "h2", "m1", "m2", "l2"]);
    scene.check(&mut *store);
}

pub(super) fn filters_of_a_claim(scene: &Scene) {
    let mut store = scene.store();
    let word = |text: &str| text.parse().unwrap();
    let item = |title: &str, team: &str, kind: &str, labels: &[&str], can: &[&str]| Draft {
        team: (!team.is_empty()).then(|| team.parse().unwrap()),
        kind: (!kind.is_empty()).then(|| kind.parse().unwrap()),
        labels: labels.iter().map(|l| l.parse().unwrap()).collect(),
        capabilities: can.iter().map(|l| l.parse().unwrap()).collect(),
        ..titled(title)
    };
    scene.add(
        &mut *store,
        vec![
            item("gpu", "core", "bug", &["a", "b"], &["gpu"]),
            item("plain", "", "", &[], &[]),
            item("core-feature", "core", "feature", &["a"], &[]),
            item("web-bug", "web", "bug", &["b"], &[]),
            item("core-bug", "core", "bug", &["a", "b"], &[]),
        ],
    );
    let core = || Want { team: Some("core".parse().unwrap()), ..want("nova") };
    let title = |want: &Want| {
        let mut store = scene.store();
        let found = taken(scene.claim(&mut *store, want).unwrap())?;
        scene.change(&mut *store, &found.item.id, &release("nova")).unwrap();
        Some(found.item.title)
    };
    assert_eq!(title(&want("nova")).unwrap(), "plain", "nobody said it can use a gpu");
    assert_eq!(title(&core()).unwrap(), "core-feature");
    assert_eq!(title(&Want { kind: Some(word("bug")), ..core() }).unwrap(), "core-bug");
    assert_eq!(title(&Want { kind: Some(word("bug")), ..want("nova") }).unwrap(), "web-bug");
    assert_eq!(
        title(&Want { labels: vec![word("b"), word("a")], ..want("nova") }).unwrap(),
        "core-bug"
    );
    assert_eq!(title(&Want { labels: vec![word("c")], ..want("nova") }), None);
    assert_eq!(title(&Want { team: Some("none".parse().unwrap()), ..want("nova") }), None);
    assert_eq!(title(&Want { capabilities: vec![word("gpu")], ..core() }).unwrap(), "gpu");
    scene.check(&mut *store);
}

pub(super) fn an_item_kept_for_an_agent_goes_to_nobody_else(scene: &Scene) {
    let mut store = scene.store();
    let kept = Draft {
        assignee: Some(agent_id("orion")),
        team: Some("core".parse().unwrap()),
        ..titled("kept")
    };
    let urgent = Draft { priority: Some(Priority::High), ..titled("urgent") };
    scene.add(&mut *store, vec![kept, titled("common"), urgent]);
    let core = Want { team: Some("core".parse().unwrap()), ..want("nova") };
    assert!(taken(scene.claim(&mut *store, &core).unwrap()).is_none());
    let title = |store: &mut dyn Store, who| scene.take(store, who).map(|f| f.item.title);
    // Being kept for somebody makes it no more urgent.
    assert_eq!(title(&mut *store, "orion").unwrap(), "urgent");
    assert_eq!(title(&mut *store, "nova").unwrap(), "common");
    assert_eq!(title(&mut *store, "nova"), None);
    let mine = Want { team: Some("core".parse().unwrap()), ..want("orion") };
    assert_eq!(taken(scene.claim(&mut *store, &mine).unwrap()).unwrap().item.title, "kept");
    scene.check(&mut *store);
}

pub(super) fn a_named_item_is_given_or_the_reason_why_not(scene: &Scene) {
    let mut store = scene.store();
    let kept = Draft { assignee: Some(agent_id("orion")), ..titled("kept") };
    let blocked = Draft { needs: vec!["w-1".to_owned()], ..titled("blocked") };
    scene.add(&mut *store, vec![titled("a"), titled("b"), kept, blocked]);
    let ask = |who: &str, what: &str| Want { id: Some(id(what)), ..want(who) };
    let second = taken(scene.claim(&mut *store, &ask("nova", "w-2")).unwrap()).unwrap();
    assert_eq!(second.item.title, "b");
    let mut no = |want: Want| {
        let op = scene.op(want.agent.as_str());
        refused(&mut *store, |s| s.claim(&want, &op))
    };
    assert!(matches!(
        no(ask("orion", "w-2")),
        Error::Transition(TransitionError::NotHolder { holder, .. }) if holder.as_str() == "nova"
    ));
    assert!(matches!(no(ask("nova", "w-3")), Error::Transition(TransitionError::Assigned { .. })));
    assert!(matches!(
        no(ask("nova", "w-4")),
        Error::Transition(TransitionError::Blocked { open: 1, .. })
    ));
    let unfit = Want { kind: Some("bug".parse().unwrap()), ..ask("nova", "w-1") };
    assert!(matches!(no(unfit), Error::Transition(TransitionError::Unfit { .. })));
    assert!(matches!(
        no(ask("nova", "w-11")),
        Error::NotFound { similar, .. } if similar.contains(&id("w-1"))
    ));
    // Asking again for what one holds is no failure and no new claim.
    let again = scene.claim(&mut *store, &ask("nova", "w-2")).unwrap();
    assert!(matches!(again, Claimed::Taken(c) if c.repeated && c.found == second));
    scene.complete(&mut *store, &id("w-2"), "nova").unwrap();
    let op = scene.op("nova");
    let e = refused(&mut *store, |s| s.claim(&ask("nova", "w-2"), &op));
    assert!(matches!(e, Error::Transition(TransitionError::State { state: State::Done, .. })));
    scene.check(&mut *store);
}

pub(super) fn what_is_needed_must_be_done_first(scene: &Scene) {
    let mut store = scene.store();
    let needs = |title: &str, list: &[&str]| Draft {
        needs: list.iter().map(|n| (*n).to_owned()).collect(),
        ..titled(title)
    };
    scene.add(
        &mut *store,
        vec![
            titled("a"),
            titled("b"),
            needs("c", &["w-1", "w-2"]),
            needs("d", &["w-1"]),
            needs("e", &["w-3"]),
        ],
    );
    let state = |store: &dyn Store, text: &str| store.get(text).unwrap().state();
    assert_eq!(store.get("w-3").unwrap().open_needs, 2);
    assert_eq!(store.summary().unwrap().states, [2, 0, 3, 0, 0, 0]);
    scene.take(&mut *store, "nova").unwrap();
    scene.take(&mut *store, "nova").unwrap();
    assert!(scene.take(&mut *store, "nova").is_none(), "all others are blocked");
    let done = scene.complete(&mut *store, &id("w-1"), "nova").unwrap();
    assert_eq!(ids_of(&done.unblocked), ["w-4"]);
    assert_eq!((state(&*store, "w-3"), state(&*store, "w-4")), (State::Blocked, State::Pending));
    // What failed or is dead goes on blocking.
    scene.change(&mut *store, &id("w-2"), &fail("nova", false)).unwrap();
    assert_eq!(state(&*store, "w-3"), State::Blocked);
    assert_eq!(store.get("w-2").unwrap().item.status, Status::Failed);
    scene.change(&mut *store, &id("w-2"), &Change::Retry).unwrap();
    for attempt in 1..=Limits::MAX_ATTEMPTS {
        let ask = Want { id: Some(id("w-2")), ..want("nova") };
        let found = taken(scene.claim(&mut *store, &ask).unwrap()).unwrap();
        assert_eq!(found.item.attempt, attempt);
        scene.change(&mut *store, &id("w-2"), &fail("nova", true)).unwrap();
    }
    assert_eq!((state(&*store, "w-2"), state(&*store, "w-3")), (State::Dead, State::Blocked));
    // Taking the need away unblocks, and a new one blocks.
    let edit = |add: &[&str], remove: &[&str]| {
        Change::Edit(Box::new(Edit {
            add_needs: add.iter().map(|n| id(n)).collect(),
            remove_needs: remove.iter().map(|n| id(n)).collect(),
            ..Edit::default()
        }))
    };
    let changed = scene.change(&mut *store, &id("w-3"), &edit(&[], &["w-2"])).unwrap();
    assert_eq!((changed.found.open_needs, changed.found.state()), (0, State::Pending));
    let changed = scene.change(&mut *store, &id("w-3"), &edit(&["w-4", "w-1"], &[])).unwrap();
    assert_eq!((changed.found.open_needs, changed.found.state()), (1, State::Blocked));
    scene.check(&mut *store);
}

pub(super) fn needs_may_name_keys_and_ids_of_the_same_batch(scene: &Scene) {
    let mut store = scene.store();
    let keyed = |key: &str, needs: &[&str]| Draft {
        key: Some(key.to_owned()),
        needs: needs.iter().map(|n| (*n).to_owned()).collect(),
        ..titled(key)
    };
    scene.add(&mut *store, vec![keyed("before", &[])]);
    let own = Draft { id: Some(id("own")), ..titled("own") };
    // The later ones are named before they come; the answer keeps the order in which they were given.
    let drafts = vec![keyed("last", &["first", "own", "before"]), own, keyed("first", &[])];
    let added = store.add(drafts.into_iter().map(new).collect(), &scene.op("boss")).unwrap();
    assert_eq!(
        added.items.iter().map(|f| f.item.title.as_str()).collect::<Vec<_>>(),
        ["last", "own", "first"]
    );
    let last = &added.items[0];
    assert_eq!(last.open_needs, 3);
    assert_eq!(last.item.needs, [added.items[2].item.id.clone(), id("own"), id("w-1")]);
    assert_eq!(store.get(last.item.id.as_str()).unwrap(), *last);
    scene.check(&mut *store);
}

pub(super) fn a_circle_of_needs_is_refused(scene: &Scene) {
    let mut store = scene.store();
    let item = |name: &str, needs: &[&str]| Draft {
        id: Some(id(name)),
        needs: needs.iter().map(|n| (*n).to_owned()).collect(),
        ..titled(name)
    };
    let op = scene.op("boss");
    let circle = vec![new(item("x", &["y"])), new(item("y", &["z"])), new(item("z", &["x"]))];
    let e = refused(&mut *store, |s| s.add(circle, &op));
    assert!(matches!(e, Error::Dependency(DependencyError::Cycle { path }) if path.len() == 4));
    let op = scene.op("boss");
    let e = refused(&mut *store, |s| s.add(vec![new(item("x", &["x"]))], &op));
    assert!(matches!(e, Error::Dependency(DependencyError::Cycle { path }) if path.len() == 2));
    scene.add(&mut *store, vec![item("a", &[]), item("b", &["a"]), item("c", &["b"])]);
    let need =
        |name: &str| Change::Edit(Box::new(Edit { add_needs: vec![id(name)], ..Edit::default() }));
    for (who, what) in [("a", "c"), ("a", "b"), ("a", "a"), ("b", "c")] {
        let op = scene.op("boss");
        let e = refused(&mut *store, |s| s.change(&id(who), &need(what), &op));
        assert!(
            matches!(e, Error::Dependency(DependencyError::Cycle { .. })),
            "{who} {what} {e:?}"
        );
    }
    scene.change(&mut *store, &id("c"), &need("a")).unwrap();
    assert_eq!(store.get("c").unwrap().open_needs, 2);
    scene.check(&mut *store);
}

pub(super) fn what_is_needed_must_be_there(scene: &Scene) {
    let mut store = scene.store();
    scene.one(&mut *store, "a");
    let need = Change::Edit(Box::new(Edit { add_needs: vec![id("none")], ..Edit::default() }));
    let op = scene.op("boss");
    let e = refused(&mut *store, |s| s.change(&id("w-1"), &need, &op));
    assert!(
        matches!(e, Error::Dependency(DependencyError::Missing { missing, .. }) if missing == "none")
    );
    let op = scene.op("boss");
    let e = refused(&mut *store, |s| s.change(&id("none"), &Change::Retry, &op));
    assert!(matches!(e, Error::NotFound { .. }));
}

pub(super) fn a_key_adds_once(scene: &Scene) {
    let mut store = scene.store();
    let keyed = |key: &str, title: &str| new(Draft { key: Some(key.to_owned()), ..titled(title) });
    let first = store.add(vec![keyed("k", "first")], &scene.op("boss")).unwrap();
    scene.take(&mut *store, "nova").unwrap();
    let batch =
        vec![new(titled("new")), keyed("k", "again"), keyed("l", "l"), keyed("l", "l again")];
    let added = store.add(batch, &scene.op("boss")).unwrap();
    assert_eq!(ids(&added.items), ["w-2", "w-1", "w-3", "w-3"]);
    assert_eq!((added.existing, added.repeated), (2, false));
    assert_eq!(added.items[1].item.title, "first", "what is there stays as it is");
    assert_eq!(added.items[1].item.status, Status::Active, "and is shown as it stands");
    assert_ne!(added.items[1].n, first.items[0].n);
    assert_eq!(store.summary().unwrap().total(), 3);
    // A finished item keeps its key.
    scene.complete(&mut *store, &id("w-1"), "nova").unwrap();
    let added = store.add(vec![keyed("k", "again")], &scene.op("boss")).unwrap();
    assert_eq!((ids(&added.items), added.existing), (vec!["w-1"], 1));
    scene.check(&mut *store);
}

pub(super) fn an_import_leaves_what_is_there_alone(scene: &Scene) {
    let mut store = scene.store();
    let stamp = scene.op("boss").now;
    let item = |name: &str, needs: &[&str]| {
        let needs = needs.iter().map(|n| id(n)).collect();
        new(titled(name)).into_item(id(name), needs, stamp)
    };
    let mut done = item("done", &[]);
    done.status = Status::Done;
    done.points = Some(5);
    done.agent = Some(agent_id("old"));
    done.finished_at = Some(stamp.wall);
    let items = vec![item("later", &["earlier", "done"]), item("earlier", &[]), done.clone()];
    let added = store.import(items.clone(), &scene.op("boss")).unwrap();
    assert_eq!((ids(&added.items), added.existing), (vec!["later", "earlier", "done"], 0));
    assert_eq!(added.items[2].item, done, "as it is, with its state");
    assert_eq!(added.items[0].open_needs, 1);
    assert_eq!(
        (store.summary().unwrap().count(State::Done), store.summary().unwrap().points),
        (1, 5)
    );
    scene.take(&mut *store, "nova").unwrap();
    let before = everything(&*store);
    let again = store.import(items, &scene.op("boss")).unwrap();
    assert_eq!(again.existing, 3);
    assert_eq!(everything(&*store), before, "a second import changes nothing");
    let mixed = vec![item("earlier", &[]), item("more", &["earlier"])];
    let added = store.import(mixed, &scene.op("boss")).unwrap();
    assert_eq!((added.existing, added.items[0].item.status), (1, Status::Active));
    let op = scene.op("boss");
    let bad = vec![item("fine", &[]), item("bad", &["nowhere"])];
    let e = refused(&mut *store, |s| s.import(bad, &op));
    assert!(matches!(e, Error::Dependency(DependencyError::Missing { .. })));
    scene.check(&mut *store);
}

pub(super) fn what_is_started_has_its_holder_from_the_first_moment(scene: &Scene) {
    let mut store = scene.store();
    let late = scene.one(&mut *store, "late");
    scene.claim(&mut *store, &Want { id: Some(late.clone()), ..want("gone") }).unwrap();
    scene.clock.advance(Duration::from_hours(2));
    let item = |name: &str| Item::bare(id(name), "started".to_owned(), scene.clock.wall());
    let op = scene.op("nova");
    let changed =
        store.start(item("work_1"), &agent_id("nova"), Duration::from_hours(1), &op).unwrap();
    let started = changed.found.item;
    assert_eq!((started.status, started.attempt), (Status::Active, 1));
    assert_eq!(started.token, Some(changed.found.n));
    let verbs: Vec<_> =
        store.history(&started.id).unwrap().into_iter().map(|event| event.verb).collect();
    assert_eq!(verbs, ["add", "claim"]);
    // Whoever starts something takes back what ran out, as any claim does.
    assert_eq!(store.get(late.as_str()).unwrap().item.status, Status::Pending);
    let twin = store.start(
        item("work_1"),
        &agent_id("orion"),
        Duration::from_hours(1),
        &scene.op("orion"),
    );
    assert!(matches!(twin, Err(Error::Exists { .. })));
    assert_eq!(ids(&store.held(&agent_id("nova")).unwrap()), ["work_1"]);
    scene.check(&mut *store);
}

pub(super) fn two_handles_see_one_state(scene: &Scene) {
    let (mut a, mut b) = (scene.store(), scene.store());
    scene.add(&mut *a, (0..6).map(|n| titled(&format!("item {n}"))).collect());
    let mut seen = Vec::new();
    for _ in 0..3 {
        let one = scene.take(&mut *a, "nova").unwrap();
        let two = scene.take(&mut *b, "orion").unwrap();
        assert_eq!(a.get(two.item.id.as_str()).unwrap(), two);
        assert_eq!(b.held(&agent_id("nova")).unwrap().len(), 1);
        scene.complete(&mut *b, &one.item.id, "nova").unwrap();
        scene.one(&mut *a, "more");
        scene.claim(&mut *b, &Want { id: Some(one.item.id.clone()), ..want("x") }).unwrap_err();
        seen.extend([one.item.id, two.item.id]);
        a = scene.store();
        let more = scene.take(&mut *a, "nova").unwrap();
        scene.change(&mut *b, &more.item.id, &release("nova")).unwrap();
        assert_eq!(everything(&*a), everything(&*b));
    }
    assert_eq!(ids_of(&seen), ["w-1", "w-2", "w-3", "w-4", "w-5", "w-6"]);
    scene.check(&mut *b);
}
