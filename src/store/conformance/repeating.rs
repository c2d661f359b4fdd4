//! An operation id that the caller chose: done once, answered the same however often it is asked.

use super::*;
use crate::domain::work::{Edit, Item, Status};

/// What of an answer stays the same: who waits for whom may have changed since.
fn told(found: &Found) -> (u64, chrono::DateTime<chrono::Utc>, crate::domain::work::Item) {
    (found.n, found.updated_at, found.item.clone())
}

fn all_told(found: &[Found]) -> Vec<String> {
    found.iter().map(|f| format!("{:?}", told(f))).collect()
}

pub(super) fn an_add_is_done_once(scene: &Scene) {
    let mut store = scene.store();
    let drafts = || {
        let keyed = Draft { key: Some("k".to_owned()), ..titled("keyed") };
        let first = Draft { needs: vec!["k".to_owned()], ..titled("needs the next") };
        vec![new(first), new(keyed.clone()), new(titled("plain")), new(keyed)]
    };
    let first = store.add(drafts(), &scene.named_op("A", "boss")).unwrap();
    assert!(!first.repeated);
    scene.take(&mut *store, "nova").unwrap();
    scene.one(&mut *store, "later");
    let before = everything(&*store);
    for _ in 0..2 {
        let mut store = scene.store();
        let again = store.add(drafts(), &scene.named_op("A", "boss")).unwrap();
        assert!(again.repeated);
        assert_eq!(all_told(&again.items), all_told(&first.items), "the first answer");
    }
    assert_eq!(everything(&*store), before);
    scene.check(&mut *store);
}

pub(super) fn a_claim_is_done_once(scene: &Scene) {
    let mut store = scene.store();
    scene.add(&mut *store, vec![titled("a"), titled("b")]);
    let claim = |id: &str| {
        let mut store = scene.store();
        match store.claim(&want("nova"), &scene.named_op(id, "nova")).unwrap() {
            Claimed::Taken(changed) => *changed,
            other => panic!("{other:?}"),
        }
    };
    let first = claim("C");
    let again = claim("C");
    assert!(!first.repeated && again.repeated);
    assert_eq!(told(&again.found), told(&first.found));
    // Even when the item is long finished.
    scene.complete(&mut *store, &first.found.item.id, "nova").unwrap();
    let again = claim("C");
    assert_eq!((told(&again.found), again.repeated), (told(&first.found), true));
    assert_eq!(claim("D").found.item.title, "b");
    scene.check(&mut *store);
}

pub(super) fn a_start_is_done_once(scene: &Scene) {
    let mut store = scene.store();
    let start = |op: &str, item: &str, agent: &str| {
        let item = Item::bare(id(item), "started".to_owned(), scene.clock.wall());
        scene.store().start(
            item,
            &agent_id(agent),
            Duration::from_hours(1),
            &scene.named_op(op, agent),
        )
    };
    let first = start("S", "work_1", "nova").unwrap();
    let again = start("S", "work_1", "nova").unwrap();
    assert_eq!((told(&again.found), again.repeated), (told(&first.found), true));
    assert!(matches!(start("S", "work_2", "nova"), Err(Error::OpReused { .. })));
    assert!(matches!(start("S", "work_1", "orion"), Err(Error::OpReused { .. })));
    let reused = store.claim(&want("nova"), &scene.named_op("S", "nova"));
    assert!(matches!(reused, Err(Error::OpReused { .. })));
    scene.complete(&mut *store, &first.found.item.id, "nova").unwrap();
    assert_eq!(told(&start("S", "work_1", "nova").unwrap().found), told(&first.found));
    scene.check(&mut *store);
}

pub(super) fn every_change_is_done_once(scene: &Scene) {
    let mut store = scene.store();
    let edit = Change::Edit(Box::new(Edit { title: Some("new".to_owned()), ..Edit::default() }));
    let complete = Change::Complete { holder: holder("nova"), result: None, points: Some(3) };
    let cases = [
        (progress("nova", 30), true),
        (complete, true),
        (fail("nova", true), true),
        (fail("nova", false), true),
        (release("nova"), true),
        (edit, false),
        (Change::Assign(Some(agent_id("orion"))), false),
        (Change::Retry, true),
    ];
    for (at, (change, claimed)) in cases.into_iter().enumerate() {
        let id = scene.one(&mut *store, "x");
        if claimed {
            let ask = Want { id: Some(id.clone()), ..want("nova") };
            scene.claim(&mut *store, &ask).unwrap();
        }
        if matches!(change, Change::Retry) {
            scene.change(&mut *store, &id, &fail("nova", false)).unwrap();
        }
        let name = format!("op-id-{at}");
        let first = store.change(&id, &change, &scene.named_op(&name, "nova")).unwrap();
        assert!(!first.repeated, "{change:?}");
        // Something else happens to it.
        let later = Edit { add_labels: vec!["later".parse().unwrap()], ..Edit::default() };
        if first.found.item.status != Status::Done {
            scene.change(&mut *store, &id, &Change::Edit(Box::new(later))).unwrap();
        }
        let before = everything(&*store);
        let again = store.change(&id, &change, &scene.named_op(&name, "nova")).unwrap();
        assert!(again.repeated, "{change:?}");
        assert_eq!(told(&again.found), told(&first.found), "{change:?}");
        assert_eq!(everything(&*store), before, "{change:?}");
    }
    scene.check(&mut *store);
}

pub(super) fn an_import_and_an_assignment_are_done_once(scene: &Scene) {
    let mut store = scene.store();
    let stamp = scene.op("boss").now;
    let item = new(titled("imported")).into_item(id("old-1"), Vec::new(), stamp);
    let first = store.import(vec![item.clone()], &scene.named_op("I", "boss")).unwrap();
    scene.add(&mut *store, vec![titled("a"), titled("b")]);
    let moves = [(id("w-1"), Some(agent_id("orion"))), (id("old-1"), Some(agent_id("nova")))];
    let assigned = store.assign(&moves, &scene.named_op("S", "boss")).unwrap();
    assert_eq!(ids(&assigned), ["w-1", "old-1"]);
    store.assign(&[(id("w-1"), None)], &scene.op("boss")).unwrap();
    let before = everything(&*store);
    let again = store.import(vec![item], &scene.named_op("I", "boss")).unwrap();
    assert_eq!((all_told(&again.items), again.repeated), (all_told(&first.items), true));
    let again = store.assign(&moves, &scene.named_op("S", "boss")).unwrap();
    assert_eq!(all_told(&again), all_told(&assigned));
    assert_eq!(everything(&*store), before);
    scene.check(&mut *store);
}

pub(super) fn removing_an_agent_is_done_once(scene: &Scene) {
    let mut store = scene.store();
    scene.one(&mut *store, "a");
    scene.take(&mut *store, "nova").unwrap();
    let nova = agent_id("nova");
    let first = store.remove_agent(&nova, &scene.named_op("R", "boss")).unwrap();
    assert_eq!(ids(&first.items), ["w-1"]);
    // It comes back and works: the repeated removal is the old one.
    scene.take(&mut *store, "nova").unwrap();
    let before = everything(&*store);
    let again = store.remove_agent(&nova, &scene.named_op("R", "boss")).unwrap();
    assert_eq!(all_told(&again.items), all_told(&first.items));
    assert_eq!(everything(&*store), before);
    scene.check(&mut *store);
}

pub(super) fn an_id_stands_for_one_kind_of_operation(scene: &Scene) {
    let mut store = scene.store();
    scene.add(&mut *store, vec![titled("a"), titled("b")]);
    store.add(vec![new(titled("c"))], &scene.named_op("X", "boss")).unwrap();
    store.claim(&want("nova"), &scene.named_op("Y", "nova")).unwrap();
    let kind = |error: Error| match error {
        Error::OpReused { verb, .. } => verb,
        other => panic!("{other:?}"),
    };
    let (x, y) = (scene.named_op("X", "nova"), scene.named_op("Y", "nova"));
    let no = refused(&mut *store, |s| s.claim(&want("nova"), &x));
    assert_eq!(kind(no), "add");
    let no = refused(&mut *store, |s| s.add(vec![new(titled("d"))], &y));
    assert_eq!(kind(no), "claim");
    let no = refused(&mut *store, |s| s.change(&id("w-1"), &progress("nova", 1), &y));
    assert_eq!(kind(no), "claim");
    let no = refused(&mut *store, |s| s.assign(&[(id("w-2"), Some(agent_id("o")))], &x));
    assert_eq!(kind(no), "add");
    let no = refused(&mut *store, |s| s.import(Vec::new(), &x).map(|_| ()));
    assert_eq!(kind(no), "add");
    scene.check(&mut *store);
}

pub(super) fn an_id_stands_for_one_item_and_one_claimer(scene: &Scene) {
    let mut store = scene.store();
    scene.add(&mut *store, vec![titled("a"), titled("b"), titled("c")]);
    store.claim(&want("nova"), &scene.named_op("C", "nova")).unwrap();
    let other = scene.named_op("C", "orion");
    let no = refused(&mut *store, |s| s.claim(&want("orion"), &other));
    assert!(matches!(no, Error::OpReused { .. }), "{no:?}");
    let second = scene.take(&mut *store, "nova").unwrap().item.id;
    store.change(&id("w-1"), &progress("nova", 10), &scene.named_op("P", "nova")).unwrap();
    let again = scene.named_op("P", "nova");
    let no = refused(&mut *store, |s| s.change(&second, &progress("nova", 10), &again));
    assert!(matches!(no, Error::OpReused { .. }), "{no:?}");
    scene.check(&mut *store);
}

pub(super) fn a_claim_that_only_took_leases_back_may_be_repeated(scene: &Scene) {
    let mut store = scene.store();
    let once = Draft { max_attempts: Some(1), ..titled("once") };
    scene.add(&mut *store, vec![once]);
    scene.take(&mut *store, "nova").unwrap();
    scene.clock.advance(Duration::from_hours(1));
    let none = store.claim(&want("orion"), &scene.named_op("W", "orion")).unwrap();
    assert!(matches!(none, Claimed::Nothing { open: 0, .. }), "it is dead: {none:?}");
    assert_eq!(store.get("w-1").unwrap().item.status, Status::Dead);
    // Waiting goes on under the same id, and once there is something it is taken once.
    let none = store.claim(&want("orion"), &scene.named_op("W", "orion")).unwrap();
    assert!(matches!(none, Claimed::Nothing { open: 0, .. }));
    scene.add(&mut *store, vec![titled("a"), titled("b")]);
    for _ in 0..3 {
        let got = taken(store.claim(&want("orion"), &scene.named_op("W", "orion")).unwrap());
        assert_eq!(got.unwrap().item.title, "a");
    }
    assert_eq!(store.held(&agent_id("orion")).unwrap().len(), 1);
    scene.check(&mut *store);
}

pub(super) fn ids_are_remembered_for_seven_days(scene: &Scene) {
    let mut store = scene.store();
    let add = |repeated: bool, total: u64| {
        let mut store = scene.store();
        let added = store.add(vec![new(titled("x"))], &scene.named_op("W", "boss")).unwrap();
        assert_eq!((added.repeated, store.summary().unwrap().total()), (repeated, total));
    };
    add(false, 1);
    scene.clock.advance(Duration::from_hours(7 * 24 - 1));
    add(true, 1);
    // Other traffic in between does not push it out.
    scene.add(&mut *store, (0..50).map(|n| titled(&n.to_string())).collect());
    add(true, 51);
    scene.clock.advance(Duration::from_hours(2));
    add(false, 52);
    scene.check(&mut *store);
}
