//! Telemetry on disk under many writers, rotation and damage.

use std::sync::Barrier;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::domain::telemetry::Outcome;
use crate::domain::trace::{SpanId, TraceId};

const AMPLE: Limits = Limits { bytes: 1 << 30, keep: Duration::from_hours(1) };

fn op(number: u64, at: DateTime<Utc>) -> Operation {
    Operation {
        at,
        command: "work claim".into(),
        outcome: Outcome::Ok,
        exit_code: 0,
        duration_us: number,
        lock_wait_us: 0,
        cpu_us: None,
        memory_kib: None,
        agent: Some("nova".into()),
        item: None,
        store_op: None,
        team: None,
        trace_id: TraceId::from_bits(7, number),
        span_id: SpanId::from_bits(number),
        parent_span_id: None,
        remote_parent: false,
        lasting: false,
    }
}

fn start() -> DateTime<Utc> {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn read(state: &std::path::Path, since: Option<DateTime<Utc>>) -> (Vec<u64>, Read) {
    let journal = Journal::open(state, false).unwrap().unwrap();
    let mut seen = Vec::new();
    let read = journal.operations(since, &mut |op| seen.push(op.duration_us)).unwrap();
    (seen, read)
}

#[test]
fn what_was_appended_is_read_back_and_what_is_damaged_is_counted() {
    let state = crate::store::scene();
    let dir = Dir::open(state.path(), false).unwrap();
    for number in 1..=3 {
        let at = start() + TimeDelta::seconds(number.try_into().unwrap());
        operation(&dir, &op(number, at), AMPLE).unwrap();
    }
    let path = state.path().join("ops.jsonl");
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"{\"at\":\"2026-01\n\n{}").unwrap();
    let (seen, read) = read(state.path(), Some(start() + TimeDelta::seconds(2)));
    assert_eq!((seen, read), (vec![2, 3], Read { lines: 3, bad: 2 }));
}

#[test]
fn a_file_that_grew_is_put_aside_and_goes_when_it_is_old() {
    let state = crate::store::scene();
    let dir = Dir::open(state.path(), false).unwrap();
    let limits = Limits { bytes: 1000, ..AMPLE };
    // The files' times are the machine's.
    let now: DateTime<Utc> = state.path().metadata().unwrap().modified().unwrap().into();
    for number in 1..=20 {
        operation(&dir, &op(number, now), limits).unwrap();
    }
    let files = Journal::open(state.path(), false).unwrap().unwrap().files(Stream::Operations);
    let files = files.unwrap();
    assert!(files.len() > 2, "{files:?}");
    assert!(files.iter().all(|(_, bytes)| *bytes < 1500), "{files:?}");
    assert_eq!(read(state.path(), None).0, (1..=20).collect::<Vec<_>>());
    let later = now + TimeDelta::hours(2);
    for number in 21..=25 {
        operation(&dir, &op(number, later), limits).unwrap();
    }
    let seen = read(state.path(), None).0;
    assert!(seen.contains(&25) && !seen.contains(&1), "{seen:?}");
}

#[test]
fn many_at_once_lose_and_mix_nothing_while_files_are_put_aside() {
    let state = crate::store::scene();
    let (threads, each) = (8, 200);
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads as u64 {
            let (barrier, state) = (&barrier, state.path());
            scope.spawn(move || {
                let dir = Dir::open(state, false).unwrap();
                barrier.wait();
                for number in 0..each {
                    let op = op(thread * each + number, start());
                    operation(&dir, &op, Limits { bytes: 4000, ..AMPLE }).unwrap();
                }
            });
        }
    });
    let (mut seen, read) = read(state.path(), None);
    seen.sort_unstable();
    assert_eq!(read, Read { lines: threads as u64 * each, bad: 0 });
    assert_eq!(seen, (0..threads as u64 * each).collect::<Vec<_>>());
}

#[test]
fn names_of_former_files() {
    let ops = Stream::Operations;
    assert!(ops.is_former("ops.20260102T030405000000Z.jsonl"));
    assert!(ops.is_former("ops.20260102T030405000000Zaa.jsonl"), "the third of one moment");
    for name in [
        "ops.jsonl",
        "ops..jsonl",
        "ops.20260102.json",
        "spans.20260102T030405000000Z.jsonl",
        "ops.bak.jsonl",
        "ops.aaa.jsonl",
        "ops.20260102T030405Z.jsonl",
        "ops.20260102T0304050000x0Z.jsonl",
    ] {
        assert!(!ops.is_former(name), "{name}");
    }
}

proptest! {
    #[test]
    fn the_line_is_the_serializers(
        command in "\\PC*", agent in proptest::option::of("\\PC*"), numbers: [u64; 3],
        cpu: Option<u64>, parent: Option<u64>, remote_parent: bool, lasting: bool, exit_code: u8,
    ) {
        let op = Operation {
            command,
            exit_code,
            agent,
            item: Some("w-\"1\"".into()),
            store_op: parent.map(|id| format!("op-{id:x}")),
            lock_wait_us: numbers[0],
            cpu_us: cpu,
            trace_id: TraceId::from_bits(numbers[1], numbers[2]),
            parent_span_id: parent.map(SpanId::from_bits),
            remote_parent,
            lasting,
            ..op(numbers[0], start())
        };
        let line = line_of(&op);
        prop_assert_eq!(String::from_utf8(line.clone()).unwrap(), serde_json::to_string(&op).unwrap());
        prop_assert_eq!(serde_json::from_slice::<Operation>(&line).unwrap(), op);
    }
}

/// How many operations are counted, by outcome, with the sum of their times; and the files left.
fn counted(state: &std::path::Path) -> (u64, u64, u64, usize) {
    let journal = Journal::open(state, false).unwrap().unwrap();
    let counted = journal.count(&mut |_| ()).unwrap();
    assert!(!counted.damaged);
    let claim = &counted.counters.commands["work claim"];
    let files = journal.files(Stream::Operations).unwrap().len();
    assert_eq!(counted.counters.lock_wait.count(), claim.duration.count());
    let within = claim.duration.cumulative()[0];
    (claim.outcomes[&Outcome::Ok], claim.duration.sum_us(), within, files)
}

#[test]
fn counts_stay_when_files_go_and_a_kill_in_between_counts_nothing_twice() {
    let state = crate::store::scene();
    let dir = Dir::open(state.path(), false).unwrap();
    let limits = Limits { bytes: 1000, ..AMPLE };
    let now: DateTime<Utc> = state.path().metadata().unwrap().modified().unwrap().into();
    for number in 241..=260 {
        operation(&dir, &op(number, now), limits).unwrap();
    }
    let sum = |to: u64| (241..=to).sum::<u64>();
    let (count, us, within, files) = counted(state.path());
    assert_eq!((count, us, within), (20, sum(260), 10));
    assert!(files > 2);
    let old: Vec<_> =
        dir.names().unwrap().into_iter().filter(|n| Stream::Operations.is_former(n)).collect();
    let copies = tempfile::tempdir().unwrap();
    for name in &old {
        std::fs::copy(state.path().join(name), copies.path().join(name)).unwrap();
    }
    // What goes is one file, or many at once, hours or days later.
    for (number, hours) in [(261, 2), (262, 2), (263, 50), (264, 50), (265, 100), (266, 100)] {
        let at = now + TimeDelta::hours(hours);
        operation(&dir, &op(number, at), Limits { bytes: 300, ..limits }).unwrap();
        let seen = counted(state.path());
        assert_eq!((seen.0, seen.1, seen.2), (number - 240, sum(number), 10), "after {number}");
    }
    assert!(old.iter().all(|name| !dir.has(name)) && dir.has(TOTALS));
    // As a kill leaves it: the counts are kept, and the files are there.
    let again = tempfile::tempdir().unwrap();
    let dir = Dir::open(again.path(), false).unwrap();
    for name in &old {
        std::fs::copy(copies.path().join(name), again.path().join(name)).unwrap();
    }
    let before = counted(again.path());
    let names: Vec<_> = old.iter().map(String::as_str).collect();
    assert!(remove_counted(&dir, &names[..1], now).unwrap());
    assert_eq!(counted(again.path()).3, before.3 - 1);
    std::fs::copy(copies.path().join(names[0]), again.path().join(names[0])).unwrap();
    assert_eq!(counted(again.path()), before);
    assert!(remove_counted(&dir, &names, now + TimeDelta::days(9)).unwrap());
    let after = counted(again.path());
    assert_eq!((after.0, after.1, after.2, after.3), (before.0, before.1, before.2, 0));
}

#[test]
fn totals_that_cannot_be_read_count_as_none_and_are_moved_aside() {
    let state = crate::store::scene();
    let dir = Dir::open(state.path(), false).unwrap();
    let old = "ops.20260102T030405000000Z.jsonl";
    operation(&dir, &op(1, start()), AMPLE).unwrap();
    dir.rename("ops.jsonl", &dir, old).unwrap();
    operation(&dir, &op(2, start()), AMPLE).unwrap();
    for broken in ["", "{", "[]", r#"{"format":2,"files":{},"counters":{}}"#, "\u{0}\u{0}"] {
        let mut file = dir.file(TOTALS, Access::Truncate).unwrap();
        file.write_all(broken.as_bytes()).unwrap();
        let journal = Journal::open(state.path(), false).unwrap().unwrap();
        let counted = journal.count(&mut |_| ()).unwrap();
        assert!(counted.damaged, "{broken}");
        assert_eq!(counted.counters.lock_wait.count(), 2);
    }
    assert!(remove_counted(&dir, &[old], start()).unwrap());
    assert_eq!(counted(state.path()).0, 2);
    let aside = state.path().join("quarantine/ops.totals.20260102T030405000000Z.json");
    assert_eq!(std::fs::read(aside).unwrap(), [0, 0]);
}

#[test]
fn whoever_counts_while_files_go_counts_all() {
    let state = crate::store::scene();
    let dir = Dir::open(state.path(), false).unwrap();
    let mut names = Vec::new();
    for file in 0..100 {
        for number in 0..5 {
            operation(&dir, &op(file * 5 + number, start()), AMPLE).unwrap();
        }
        names.push(format!("ops.20260102T0304050000{file:02}Z.jsonl"));
        dir.rename("ops.jsonl", &dir, &names[names.len() - 1]).unwrap();
    }
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        let remover = scope.spawn(|| {
            barrier.wait();
            for (minutes, name) in names.iter().enumerate() {
                let now = start() + TimeDelta::minutes(minutes.try_into().unwrap());
                assert!(remove_counted(&dir, &[name], now).unwrap());
            }
        });
        barrier.wait();
        let journal = Journal::open(state.path(), false).unwrap().unwrap();
        let mut last = false;
        while !last {
            last = remover.is_finished();
            assert_eq!(journal.count(&mut |_| ()).unwrap().counters.lock_wait.count(), 500);
        }
    });
    assert!(names.iter().all(|name| !dir.has(name)));
}
