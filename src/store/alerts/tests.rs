//! The files of alerts, from inside.

#![expect(clippy::disallowed_methods, reason = "a test sets its own scene")]

use std::time::Duration;

use super::*;
use crate::domain::alert::{Due, Origin, Reading, Status, built_in};
use crate::sys::SystemClock;

fn notice(status: Status) -> Notice {
    let at = chrono::DateTime::UNIX_EPOCH;
    Notice::of(&built_in()[0], Reading::default(), status, (at, at), &Origin::default())
}

fn letter(status: Status, target: Target) -> Letter {
    Letter { notice: notice(status), target, at: String::new(), attempts: 1, why: "no".into() }
}

#[test]
fn what_is_remembered_is_read_back_and_looking_makes_nothing() {
    let top = crate::store::scene();
    assert!(Alerts::open(top.path(), false, false).unwrap().is_none());
    let foreign = tempfile::tempdir().unwrap();
    for none in [top.path().join("none"), foreign.path().to_owned()] {
        assert!(matches!(Alerts::open(&none, false, true), Err(Error::Missing { .. })));
    }
    let alerts = Alerts::open(top.path(), false, true).unwrap().unwrap();
    assert_eq!(alerts.read(false).unwrap(), (Record::default(), None));
    let due = Due { notice: notice(Status::Firing), targets: vec![Target::File] };
    let record = Record { due: vec![due], ..Record::default() };
    alerts.write(&record, true).unwrap();
    assert_eq!(alerts.read(false).unwrap(), (record, None));
}

#[test]
fn a_damaged_state_is_moved_aside_and_a_newer_one_is_left_alone() {
    let top = crate::store::scene();
    let alerts = Alerts::open(top.path(), false, true).unwrap().unwrap();
    let file = top.path().join("alerts/state.json");
    std::fs::write(&file, "{\"version\":1,\"due\":[").unwrap();
    assert!(alerts.read(false).unwrap().1.is_some() && file.exists());
    assert!(alerts.read(true).unwrap().1.unwrap().contains("state.damaged.json"));
    assert!(!file.exists() && top.path().join("alerts/state.damaged.json").exists());
    std::fs::write(&file, "{\"version\":2,\"new\":1}").unwrap();
    assert!(matches!(alerts.read(true), Err(Error::NewerFormat { found: 2, known: 1 })));
    assert!(file.exists());
}

#[test]
fn a_lock_is_held_by_one_until_it_is_dropped() {
    let top = crate::store::scene();
    let alerts = Alerts::open(top.path(), false, true).unwrap().unwrap();
    let take = |lock| alerts.lock(lock, Duration::ZERO, &SystemClock).unwrap();
    let held = take(Lock::State);
    assert!(held.is_some() && take(Lock::State).is_none() && take(Lock::Delivery).is_some());
    drop(held);
    assert!(take(Lock::State).is_some());
}

#[test]
fn dead_letters_are_kept_once_and_taken_out_when_they_arrived() {
    let top = crate::store::scene();
    let alerts = Alerts::open(top.path(), false, true).unwrap().unwrap();
    assert_eq!(alerts.letters().unwrap(), (Vec::new(), 0));
    let (a, b) = (letter(Status::Firing, Target::Webhook), letter(Status::Firing, Target::File));
    alerts.bury(&a).unwrap();
    // A process was killed while it wrote.
    let path = top.path().join("alerts/dead-letters.jsonl");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"notice\":{");
    std::fs::write(&path, text).unwrap();
    alerts.bury(&b).unwrap();
    alerts.bury(&a).unwrap();
    assert_eq!(alerts.letters().unwrap(), (vec![a.clone(), b.clone()], 1));
    alerts.exhume(&[(a.notice.id.clone(), a.target)]).unwrap();
    assert_eq!(alerts.letters().unwrap(), (vec![b], 1));
}
