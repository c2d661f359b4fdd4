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
        team: None,
        trace_id: TraceId::from_bits(7, number),
        span_id: SpanId::from_bits(number),
        parent_span_id: None,
        remote_parent: false,
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
    for name in ["ops.jsonl", "ops..jsonl", "ops.20260102.json", "spans.20260102.jsonl"] {
        assert!(!ops.is_former(name), "{name}");
    }
}

proptest! {
    #[test]
    fn the_line_is_the_serializers(
        command in "\\PC*", agent in proptest::option::of("\\PC*"), numbers: [u64; 3],
        cpu: Option<u64>, parent: Option<u64>, remote_parent: bool, exit_code: u8,
    ) {
        let op = Operation {
            command,
            exit_code,
            agent,
            item: Some("w-\"1\"".into()),
            lock_wait_us: numbers[0],
            cpu_us: cpu,
            trace_id: TraceId::from_bits(numbers[1], numbers[2]),
            parent_span_id: parent.map(SpanId::from_bits),
            remote_parent,
            ..op(numbers[0], start())
        };
        let line = line_of(&op);
        prop_assert_eq!(String::from_utf8(line.clone()).unwrap(), serde_json::to_string(&op).unwrap());
        prop_assert_eq!(serde_json::from_slice::<Operation>(&line).unwrap(), op);
    }
}
