//! Holding an item: leases, attempts, tokens.

use super::*;
use crate::domain::work::{Status, TransitionError};

const LEASE: Duration = Duration::from_mins(30);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
/// A lease less a minute.
const MOST: Duration = Duration::from_mins(29);

pub(super) fn a_lease_that_ran_out_is_taken_back_by_the_next_claim(scene: &Scene) {
    let mut store = scene.store();
    scene.add(&mut *store, vec![titled("a"), titled("b")]);
    let first = scene.take(&mut *store, "nova").unwrap();
    scene.clock.advance(MOST + 59 * SECOND);
    assert_eq!(scene.take(&mut *store, "orion").unwrap().item.title, "b");
    assert!(scene.take(&mut *store, "vega").is_none());
    scene.clock.advance(Duration::from_secs(1));
    // Until somebody claims, the holder may still finish or report.
    let late = scene.change(&mut *store, &first.item.id, &progress("nova", 50)).unwrap();
    assert_eq!(late.found.item.token, first.item.token);
    scene.clock.advance(LEASE);
    let again = scene.take(&mut *store, "vega").unwrap();
    assert_eq!((again.item.id.as_str(), again.item.attempt, again.item.progress), ("w-1", 2, 0));
    assert!(again.item.token > first.item.token);
    let verbs: Vec<_> = store.history(&id("w-1")).unwrap().into_iter().map(|e| e.verb).collect();
    assert_eq!(verbs, ["add", "claim", "progress", "expire", "claim"]);
    // Both had run out; the one nobody wanted is pending again.
    assert_eq!(store.get("w-2").unwrap().item.status, Status::Pending);
    assert!(store.get("w-2").unwrap().item.agent.is_none());
    scene.check(&mut *store);
}

pub(super) fn a_sign_of_life_from_an_earlier_boot_stretches_no_lease(scene: &Scene) {
    let mut store = scene.store();
    scene.one(&mut *store, "a");
    let now = scene.clock.wall();
    scene.clock.jump(now + chrono::TimeDelta::days(3650));
    store.heartbeat(&agent_id("nova"), &scene.op("nova")).unwrap();
    scene.clock.reboot();
    scene.clock.jump(now);
    assert!(scene.take(&mut *store, "nova").is_some());
    scene.clock.advance(LEASE);
    assert_eq!(scene.take(&mut *store, "orion").unwrap().item.attempt, 2);
    scene.check(&mut *store);
}

pub(super) fn a_wall_clock_that_jumps_changes_nothing(scene: &Scene) {
    let mut store = scene.store();
    scene.one(&mut *store, "a");
    scene.take(&mut *store, "nova").unwrap();
    let start = scene.clock.wall();
    let year = chrono::TimeDelta::days(365);
    for jump in [year, -year, chrono::TimeDelta::hours(1), chrono::TimeDelta::hours(-1)] {
        scene.clock.jump(start + jump);
        assert!(scene.take(&mut *store, "orion").is_none(), "{jump}");
    }
    scene.clock.jump(start - year);
    scene.clock.advance(LEASE);
    assert!(scene.take(&mut *store, "orion").is_some());
    scene.check(&mut *store);
}

pub(super) fn after_a_reboot_the_wall_clock_decides(scene: &Scene) {
    let mut store = scene.store();
    scene.one(&mut *store, "a");
    scene.take(&mut *store, "nova").unwrap();
    scene.clock.advance(Duration::from_mins(10));
    scene.clock.reboot();
    let mut store = scene.store();
    assert!(scene.take(&mut *store, "orion").is_none(), "20 minutes are left");
    scene.clock.advance(Duration::from_mins(19));
    assert!(scene.take(&mut *store, "orion").is_none());
    scene.clock.advance(Duration::from_mins(1));
    assert!(scene.take(&mut *store, "orion").is_some());
    scene.check(&mut *store);
}

pub(super) fn signs_of_life_renew_the_lease(scene: &Scene) {
    let mut store = scene.store();
    let often = |title: &str| Draft { max_attempts: Some(9), ..titled(title) };
    scene.add(&mut *store, vec![often("a"), often("b")]);
    scene.take(&mut *store, "nova").unwrap();
    scene.take(&mut *store, "nova").unwrap();
    scene.clock.advance(MOST);
    // Progress renews its own item, a heartbeat all.
    scene.change(&mut *store, &id("w-1"), &progress("nova", 10)).unwrap();
    scene.clock.advance(Duration::from_mins(2));
    let got = scene.take(&mut *store, "orion").unwrap();
    assert_eq!(got.item.title, "b");
    scene.clock.advance(27 * MINUTE);
    let registered = store.heartbeat(&agent_id("nova"), &scene.op("nova")).unwrap();
    assert!(!registered);
    store.heartbeat(&agent_id("orion"), &scene.op("orion")).unwrap();
    scene.clock.advance(MOST);
    assert!(scene.take(&mut *store, "vega").is_none());
    scene.clock.advance(Duration::from_mins(1));
    assert_eq!(scene.take(&mut *store, "vega").unwrap().item.title, "a");
    assert_eq!(scene.take(&mut *store, "vega").unwrap().item.title, "b");
    // A longer lease by progress.
    let longer = Some(Duration::from_hours(2));
    let change =
        Change::Progress { holder: holder("vega"), percent: None, note: None, lease: longer };
    scene.change(&mut *store, &id("w-1"), &change).unwrap();
    scene.clock.advance(Duration::from_hours(1));
    assert_eq!(scene.take(&mut *store, "x").unwrap().item.title, "b");
    assert!(scene.take(&mut *store, "x").is_none());
    scene.check(&mut *store);
}

pub(super) fn an_item_that_failed_too_often_is_dead_until_it_is_retried(scene: &Scene) {
    let mut store = scene.store();
    scene.one(&mut *store, "a");
    for attempt in 1..=3 {
        assert_eq!(scene.take(&mut *store, "nova").unwrap().item.attempt, attempt);
        if attempt == 2 {
            scene.clock.advance(LEASE);
        } else {
            scene.change(&mut *store, &id("w-1"), &fail("nova", true)).unwrap();
        }
    }
    let dead = store.get("w-1").unwrap().item;
    assert_eq!((dead.status, dead.attempt), (Status::Dead, 3));
    assert_eq!(dead.finished_at, Some(scene.clock.wall()));
    assert!(scene.take(&mut *store, "nova").is_none());
    let revived = scene.change(&mut *store, &id("w-1"), &Change::Retry).unwrap();
    assert_eq!((revived.found.item.status, revived.found.item.attempt), (Status::Pending, 0));
    assert_eq!(scene.take(&mut *store, "nova").unwrap().item.attempt, 1);
    // A retry is for what is failed or dead.
    let op = scene.op("boss");
    let e = refused(&mut *store, |s| s.change(&id("w-1"), &Change::Retry, &op));
    assert!(matches!(e, Error::Transition(TransitionError::State { .. })));
    scene.change(&mut *store, &id("w-1"), &fail("nova", false)).unwrap();
    assert_eq!(store.get("w-1").unwrap().item.status, Status::Failed);
    scene.change(&mut *store, &id("w-1"), &Change::Retry).unwrap();
    scene.check(&mut *store);
}

pub(super) fn releasing_does_not_count_the_attempt(scene: &Scene) {
    let mut store = scene.store();
    scene.one(&mut *store, "a");
    for _ in 0..10 {
        assert_eq!(scene.take(&mut *store, "nova").unwrap().item.attempt, 1);
        let back = scene.change(&mut *store, &id("w-1"), &release("nova")).unwrap();
        assert_eq!((back.found.item.attempt, back.found.item.agent), (0, None));
    }
    scene.check(&mut *store);
}

pub(super) fn a_stale_token_moves_nothing(scene: &Scene) {
    let mut store = scene.store();
    scene.one(&mut *store, "a");
    let old = scene.take(&mut *store, "nova").unwrap().item.token.unwrap();
    scene.clock.advance(LEASE);
    // Even the same agent's older claim is over.
    let new = scene.take(&mut *store, "nova").unwrap().item.token.unwrap();
    let stale = by_token("nova", old);
    let lease = None;
    for change in [
        Change::Progress { holder: stale.clone(), percent: None, note: None, lease },
        Change::Complete { holder: stale.clone(), result: None, points: None },
        Change::Fail { holder: stale.clone(), result: None, retry: true },
        Change::Release { holder: stale, note: None },
    ] {
        let op = scene.op("nova");
        let e = refused(&mut *store, |s| s.change(&id("w-1"), &change, &op));
        assert!(
            matches!(e, Error::Transition(TransitionError::Stale { given, current, .. })
                if given == old && current == Some(new)),
            "{e:?}"
        );
    }
    // The token alone is the right: the name does not matter.
    let change = Change::Complete { holder: by_token("x", new), result: None, points: None };
    assert_eq!(
        scene.change(&mut *store, &id("w-1"), &change).unwrap().found.item.status,
        Status::Done
    );
    scene.check(&mut *store);
}

pub(super) fn who_does_not_hold_it_moves_nothing(scene: &Scene) {
    let mut store = scene.store();
    scene.add(&mut *store, vec![titled("a"), titled("b")]);
    scene.take(&mut *store, "nova").unwrap();
    let complete =
        |agent: &str| Change::Complete { holder: holder(agent), result: None, points: None };
    for change in [progress("orion", 1), complete("orion"), fail("orion", true), release("orion")] {
        let op = scene.op("orion");
        let e = refused(&mut *store, |s| s.change(&id("w-1"), &change, &op));
        assert!(matches!(e, Error::Transition(TransitionError::NotHolder { .. })), "{e:?}");
        let op = scene.op("orion");
        let e = refused(&mut *store, |s| s.change(&id("w-2"), &change, &op));
        assert!(matches!(e, Error::Transition(TransitionError::State { .. })), "{e:?}");
    }
    scene.change(&mut *store, &id("w-1"), &progress("nova", 60)).unwrap();
    let op = scene.op("nova");
    let e = refused(&mut *store, |s| s.change(&id("w-1"), &progress("nova", 50), &op));
    assert!(matches!(e, Error::Transition(TransitionError::Backwards { now: 60, asked: 50, .. })));
    let op = scene.op("nova");
    let e = refused(&mut *store, |s| s.change(&id("w-1"), &progress("nova", 101), &op));
    assert!(matches!(e, Error::Transition(TransitionError::Range { .. })));
    scene.check(&mut *store);
}

pub(super) fn completing_twice_is_told(scene: &Scene) {
    let mut store = scene.store();
    scene.one(&mut *store, "a");
    let token = scene.take(&mut *store, "nova").unwrap().item.token.unwrap();
    let change = Change::Complete {
        holder: by_token("nova", token),
        result: Some("fine".to_owned()),
        points: Some(8),
    };
    let first = scene.change(&mut *store, &id("w-1"), &change).unwrap();
    assert_eq!(
        (first.found.item.result.as_deref(), first.found.item.points),
        (Some("fine"), Some(8))
    );
    assert_eq!(first.found.item.progress, 100);
    let before = everything(&*store);
    let again = scene.change(&mut *store, &id("w-1"), &change).unwrap();
    assert!(again.repeated && !first.repeated);
    assert_eq!(again.found, first.found);
    assert!(scene.complete(&mut *store, &id("w-1"), "nova").unwrap().repeated);
    let op = scene.op("orion");
    let other = Change::Complete { holder: holder("orion"), result: None, points: None };
    refused(&mut *store, |s| s.change(&id("w-1"), &other, &op));
    assert_eq!(everything(&*store), before);
    assert_eq!(store.summary().unwrap().points, 8, "counted once");
}

pub(super) fn nothing_to_claim_says_when_there_may_be(scene: &Scene) {
    let mut store = scene.store();
    let nothing = |store: &mut dyn Store| match scene.claim(store, &want("x")).unwrap() {
        Claimed::Nothing { next_lease_end, open } => (next_lease_end, open),
        other => panic!("{other:?}"),
    };
    assert_eq!(nothing(&mut *store), (None, 0));
    scene.one(&mut *store, "a");
    scene.take(&mut *store, "nova").unwrap();
    let (end, open) = nothing(&mut *store);
    assert_eq!(open, 1);
    assert!(end.is_some_and(|end| end <= LEASE && end > MOST), "{end:?}");
    scene.complete(&mut *store, &id("w-1"), "nova").unwrap();
    assert_eq!(nothing(&mut *store), (None, 0));
    let kept = Draft { assignee: Some(agent_id("orion")), ..titled("kept") };
    scene.add(&mut *store, vec![kept]);
    assert_eq!(nothing(&mut *store), (None, 1));
}
