//! Who works, and what becomes of their work.

use super::*;
use crate::domain::work::{Priority, Status};

pub(super) fn an_agent_takes_as_much_as_it_registered_for(scene: &Scene) {
    let mut store = scene.store();
    scene.add(&mut *store, (0..5).map(|n| titled(&n.to_string())).collect());
    store.register(&agent(scene, "nova", 2, &[]), &scene.op("nova")).unwrap();
    let first = scene.take(&mut *store, "nova").unwrap();
    scene.take(&mut *store, "nova").unwrap();
    let op = scene.op("nova");
    let before = everything(&*store);
    let full = store.claim(&want("nova"), &op).unwrap();
    assert_eq!(full, Claimed::Full { held: 2, capacity: 2 });
    assert_eq!(everything(&*store), before);
    scene.complete(&mut *store, &first.item.id, "nova").unwrap();
    assert!(scene.take(&mut *store, "nova").is_some());
    assert!(scene.take(&mut *store, "nova").is_none());
    // Whoever never registered takes what there is; a new registration counts at once.
    assert!(scene.take(&mut *store, "stranger").is_some());
    store.register(&agent(scene, "nova", 9, &[]), &scene.op("nova")).unwrap();
    assert!(scene.take(&mut *store, "nova").is_some());
    scene.check(&mut *store);
}

pub(super) fn what_an_agent_can_do_counts_in_a_claim(scene: &Scene) {
    let mut store = scene.store();
    let needs = ["gpu", "rust"].map(|c| c.parse().unwrap()).to_vec();
    scene.add(&mut *store, vec![Draft { capabilities: needs, ..titled("hard") }]);
    store.register(&agent(scene, "nova", 5, &["rust"]), &scene.op("nova")).unwrap();
    assert!(scene.take(&mut *store, "nova").is_none());
    let able = Want { capabilities: vec!["gpu".parse().unwrap()], ..want("nova") };
    let got = taken(scene.claim(&mut *store, &able).unwrap()).unwrap();
    scene.change(&mut *store, &got.item.id, &release("nova")).unwrap();
    store.register(&agent(scene, "nova", 5, &["gpu", "rust"]), &scene.op("nova")).unwrap();
    assert!(scene.take(&mut *store, "nova").is_some());
    scene.check(&mut *store);
}

pub(super) fn what_is_known_of_an_agent(scene: &Scene) {
    let mut store = scene.store();
    assert!(store.agents().unwrap().is_empty());
    assert!(store.agent(&agent_id("nova")).unwrap().is_none());
    let points = |n: u32| Draft { points: Some(n), ..titled("x") };
    scene.add(&mut *store, (1..=5).map(points).collect());
    let registered = agent(scene, "orion", 1, &["rust"]);
    store.register(&registered, &scene.op("orion")).unwrap();
    assert!(store.heartbeat(&agent_id("orion"), &scene.op("orion")).unwrap());
    let beat = scene.clock.wall();
    for _ in 0..4 {
        scene.take(&mut *store, "nova").unwrap();
    }
    scene.complete(&mut *store, &id("w-1"), "nova").unwrap();
    scene.complete(&mut *store, &id("w-3"), "nova").unwrap();
    scene.change(&mut *store, &id("w-2"), &fail("nova", false)).unwrap();
    let failed = scene.clock.wall();
    scene.clock.advance(Duration::from_mins(31));
    scene.take(&mut *store, "vega").unwrap();
    let claimed = scene.clock.wall();
    let known = store.agents().unwrap();
    assert_eq!(known.iter().map(|k| k.id.as_str()).collect::<Vec<_>>(), ["nova", "orion", "vega"]);
    let nova = &known[0];
    assert_eq!(
        (nova.held, nova.done, nova.failed, nova.expired, nova.points),
        (0, 2, 1, 1, 4),
        "{nova:?}"
    );
    assert_eq!(nova.seen_at, Some(failed), "losing a lease is no sign of life");
    assert_eq!((known[1].agent.as_ref(), known[1].seen_at), (Some(&registered), Some(beat)));
    assert_eq!((known[2].held, known[2].seen_at), (1, Some(claimed)));
    assert_eq!(store.agent(&agent_id("orion")).unwrap(), Some(registered));
    scene.check(&mut *store);
}

pub(super) fn an_agent_that_is_removed_gives_everything_back(scene: &Scene) {
    let mut store = scene.store();
    let nova = agent_id("nova");
    let op = scene.op("boss");
    let e = refused(&mut *store, |s| s.remove_agent(&nova, &op));
    assert!(matches!(e, Error::NoAgent { .. }));
    let kept = |title: &str| Draft { assignee: Some(nova.clone()), ..titled(title) };
    let urgent = Draft { priority: Some(Priority::High), ..kept("urgent") };
    let blocked = Draft { needs: vec!["w-1".to_owned()], ..kept("blocked") };
    scene.add(&mut *store, vec![titled("a"), titled("b"), kept("kept"), blocked, urgent]);
    store.register(&agent(scene, "nova", 3, &[]), &scene.op("nova")).unwrap();
    store.heartbeat(&nova, &scene.op("nova")).unwrap();
    for what in ["w-2", "w-1"] {
        scene.claim(&mut *store, &Want { id: Some(id(what)), ..want("nova") }).unwrap();
    }
    let removed = store.remove_agent(&nova, &scene.op("boss")).unwrap();
    assert!(removed.registered);
    // First what it held, then what was kept for it; the most urgent first, then the oldest.
    assert_eq!(ids(&removed.items), ["w-1", "w-2", "w-5", "w-3", "w-4"]);
    for found in &removed.items {
        assert_eq!(found.item.status, Status::Pending);
        assert_eq!(
            (&found.item.agent, &found.item.assignee, found.item.attempt),
            (&None, &None, 0)
        );
        assert_eq!(store.get(found.item.id.as_str()).unwrap(), *found);
    }
    assert!(store.agent(&nova).unwrap().is_none());
    assert!(store.held(&nova).unwrap().is_empty());
    assert_eq!(scene.take(&mut *store, "orion").unwrap().item.title, "urgent");
    scene.check(&mut *store);
}

pub(super) fn assigning_is_all_or_none(scene: &Scene) {
    let mut store = scene.store();
    scene.add(&mut *store, vec![titled("a"), titled("b"), titled("c")]);
    scene.take(&mut *store, "nova").unwrap();
    let orion = Some(agent_id("orion"));
    let op = scene.op("boss");
    let moves = [(id("w-2"), orion.clone()), (id("none"), orion.clone())];
    refused(&mut *store, |s| s.assign(&moves, &op));
    // What is no longer pending is left alone; what is so already is not part of the answer.
    let moves: Vec<_> = ["w-1", "w-2", "w-3"].map(|i| (id(i), orion.clone())).to_vec();
    let done = store.assign(&moves, &scene.op("boss")).unwrap();
    assert_eq!(ids(&done), ["w-2", "w-3"]);
    assert!(store.assign(&moves, &scene.op("boss")).unwrap().is_empty());
    assert_eq!(ids(&store.assign(&[(id("w-3"), None)], &scene.op("boss")).unwrap()), ["w-3"]);
    assert_eq!(scene.take(&mut *store, "nova").unwrap().item.title, "c");
    scene.check(&mut *store);
}
