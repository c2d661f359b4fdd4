//! Tampering of every sort, all over live log and sealed history: the first line that is not what was
//! written must be named.

#![expect(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::super::compact::TEST_SLACK;
use super::super::record;
use super::super::tests::Bench;
use crate::domain::work::transition::Holder;
use crate::domain::work::{Change, Draft};
use crate::store::{Error, ProblemKind, Store as _};

/// A small generator of its own, so that a seed says all.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

/// A store with three sealed logs, items in every state, dependencies and a repaired past.
fn scene() -> Bench {
    TEST_SLACK.set(6);
    let mut bench = Bench::new();
    let mut store = bench.store();
    for round in 0..4 {
        let items = (0..4).map(|at| {
            let title = format!("round {round} item {at} \u{1f600} \"quoted\"");
            Draft { title, ..Draft::default() }.try_into().unwrap()
        });
        let op = bench.op("boss");
        store.add(items.collect(), &op).unwrap();
        for turn in 0..5 {
            let agent = format!("agent-{}", turn % 3);
            let Some(found) = bench.claim(&mut store, &agent) else { break };
            let holder = || Holder { agent: agent.parse().unwrap(), token: None };
            for percent in [10, 50] {
                let op = bench.op(&agent);
                let (holder, percent) = (holder(), Some(percent));
                let change = Change::Progress { holder, percent, note: None, lease: None };
                store.change(&found.item.id, &change, &op).unwrap();
            }
            let op = bench.op(&agent);
            let change = match turn % 4 {
                0 | 1 => Change::Complete { holder: holder(), result: None, points: Some(3) },
                2 => Change::Fail { holder: holder(), result: None, retry: turn % 2 == 0 },
                _ => Change::Release { holder: holder(), note: None },
            };
            store.change(&found.item.id, &change, &op).unwrap();
        }
        if round < 3 {
            let op = bench.op("tidier");
            assert!(store.compact(&op).unwrap(), "round {round}");
        }
    }
    let verified = bench.verify(&mut store);
    assert!(verified.problems.is_empty(), "{:#?}", verified.problems);
    assert!(verified.claims > 10 && verified.finishes > 10, "{verified:?}");
    assert_eq!(verified.files, 4);
    bench
}

/// The files of the log, oldest first.
fn files(state: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(state.join("history"))
        .unwrap()
        .map(|entry| format!("history/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    names.sort();
    names.push("work.jsonl".to_owned());
    names
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = {
            let e = entry.unwrap();
            (e.path(), e.file_name())
        };
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else if !from.ends_with(".index") || name == "head" {
            // Of the index only the head matters here; the rest is mostly holes.
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// One deed: what was done, and the first line that is not what it was, from 1.
fn tamper(dice: &mut Dice, bytes: &mut Vec<u8>) -> (&'static str, u64) {
    let mut lines: Vec<Vec<u8>> =
        bytes.split_inclusive(|c| *c == b'\n').map(<[u8]>::to_vec).collect();
    // The last line and the header are met more often than by chance.
    let at = match dice.roll(6) {
        0 => lines.len() - 1,
        1 => 0,
        _ => dice.roll(lines.len()),
    };
    let (deed, at) = match dice.roll(5) {
        0 => {
            let place = dice.roll(lines[at].len());
            let old = lines[at][place];
            while lines[at][place] == old {
                lines[at][place] = u8::try_from(dice.roll(256)).unwrap();
            }
            ("a byte changed", at)
        }
        1 => {
            // A change that still is JSON: one digit or letter for another.
            let places: Vec<usize> =
                (0..lines[at].len()).filter(|p| lines[at][*p].is_ascii_digit()).collect();
            let place = places[dice.roll(places.len())];
            let old = lines[at][place];
            while lines[at][place] == old {
                lines[at][place] = b'0' + u8::try_from(dice.roll(10)).unwrap();
            }
            ("a digit changed", at)
        }
        2 => {
            lines.remove(at);
            ("a line removed", at)
        }
        3 if lines.len() > 1 => {
            let mut other = dice.roll(lines.len());
            while other == at {
                other = dice.roll(lines.len());
            }
            lines.swap(at, other);
            ("two lines swapped", at.min(other))
        }
        _ => {
            let whole: usize = lines[..at].iter().map(Vec::len).sum();
            // Every other time on the border between two lines.
            let more = if dice.roll(2) == 0 { 0 } else { dice.roll(lines[at].len()) };
            bytes.truncate(whole + more);
            return ("the end cut off", at as u64 + 1);
        }
    };
    *bytes = lines.concat();
    (deed, at as u64 + 1)
}

/// How the tampered file comes into its place, and who remembers what was there.
fn put(dice: &mut Dice, state: &Path, file: &str, bytes: &[u8]) -> &'static str {
    let path = state.join(file);
    if dice.roll(2) == 0 {
        fs::remove_file(&path).unwrap();
    }
    fs::write(&path, bytes).unwrap();
    match dice.roll(3) {
        0 => {
            fs::remove_dir_all(state.join(".index")).unwrap();
            "checked.json"
        }
        1 => {
            fs::remove_file(state.join("checked.json")).unwrap();
            "the index"
        }
        _ => "both",
    }
}

#[test]
fn the_first_changed_removed_swapped_or_truncated_line_is_named() {
    const ROUNDS: usize = 500;
    let seed = std::env::var("COORD_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(2026);
    println!("seed {seed} (COORD_TEST_SEED)");
    let mut dice = Dice(seed);
    let base = scene();
    let (mut wrong, mut count) = (Vec::new(), BTreeMap::<(&str, bool), usize>::new());
    for round in 0..ROUNDS {
        let mut bench = Bench::new();
        // The same clock, or the index would be one of another boot.
        bench.clock = base.clock.clone();
        copy(&base.path(), &bench.path());
        let all = files(&bench.path());
        let file = &all[dice.roll(all.len())];
        let mut bytes = fs::read(bench.path().join(file)).unwrap();
        let (deed, line) = tamper(&mut dice, &mut bytes);
        let who = put(&mut dice, &bench.path(), file, &bytes);
        *count.entry((deed, file == "work.jsonl")).or_default() += 1;
        let before = snapshot(&bench.path());
        let op = bench.op("auditor");
        let named = match bench.store().verify(false, &op) {
            Ok(verified) => verified.problems.first().map_or_else(
                || "nothing".to_owned(),
                |p| format!("{:?} {:?}", p.file, p.line) + " " + &p.what,
            ),
            // A header of tomorrow is not judged but refused.
            Err(Error::NewerFormat { .. }) if line == 1 => {
                format!("{:?} {:?}", Some(file), Some(1))
            }
            Err(other) => format!("error: {other}"),
        };
        if !named.starts_with(&format!("{:?} {:?}", Some(file), Some(line))) {
            wrong.push(format!(
                "round {round}, {deed} ({who} knows): `{file}` line {line}, but: {named}"
            ));
        }
        if snapshot(&bench.path()) != before {
            wrong.push(format!("round {round}, {deed}: a check changed the evidence"));
        }
    }
    println!("{count:#?}");
    assert!(count.len() == 10, "not every deed was done: {count:?}");
    assert!(wrong.is_empty(), "{} of {ROUNDS}:\n{}", wrong.len(), wrong.join("\n"));
}

/// The files of the log as they are.
fn snapshot(state: &Path) -> Vec<(String, Vec<u8>)> {
    files(state)
        .into_iter()
        .map(|name| (name.clone(), fs::read(state.join(&name)).unwrap()))
        .collect()
}

#[test]
fn a_shortened_log_that_a_writer_met_first_is_told_until_it_is_repaired() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    bench.add(&mut store, &["one"]);
    let log = bench.path().join("work.jsonl");
    let short = fs::read(&log).unwrap().len() as u64;
    bench.add(&mut store, &["two"]);
    // File systems tell times apart by some milliseconds.
    while fs::metadata(&log).unwrap().modified().unwrap()
        <= fs::metadata(&log).unwrap().created().unwrap()
    {
        bench.add(&mut store, &["again"]);
    }
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(short).unwrap();
    let token = bench.claim(&mut bench.store(), "nova").unwrap().item.token;
    let problems = bench.verify(&mut store).problems;
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!((problems[0].kind, problems[0].line), (ProblemKind::Truncated, Some(3)));
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.contains("\"op\":\"lost\""), "{log}");
    assert!(token.unwrap() > 3, "no number is given twice: {token:?}");
    let op = bench.op("auditor");
    let repaired = store.verify(true, &op).unwrap();
    assert!(repaired.repaired[0].contains("are lost"), "{repaired:?}");
    assert!(bench.verify(&mut store).problems.is_empty());
}

#[test]
fn what_a_repair_moves_is_kept_and_the_rest_stays() {
    let base = scene();
    let all = files(&base.path());
    for (round, file) in all.iter().chain(&all[..1]).enumerate() {
        let mut bench = Bench::new();
        bench.clock = base.clock.clone();
        copy(&base.path(), &bench.path());
        let path = bench.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        // The header, a line carried over, the checkpoint, a write, the last one of a sealed log.
        let mut lines: Vec<&str> = text.lines().collect();
        let end = lines.len() - 1;
        let at = [0, 1, lines.len() / 2, end, end][round];
        let old = lines[at].to_owned();
        let broken = format!("{{\"broken\":{old}");
        lines[at] = &broken;
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        fs::create_dir_all(bench.path().join("agents")).unwrap();
        fs::write(bench.path().join("agents/vega.json"), "{oops").unwrap();
        let mut store = bench.store();
        let found = bench.verify(&mut store).problems;
        assert_eq!(found[0].line, Some(at as u64 + 1), "{found:#?}");
        let op = bench.op("auditor");
        let repaired = store.verify(true, &op).unwrap();
        assert!(!repaired.repaired.is_empty(), "{repaired:#?}");
        let kept = fs::read_to_string(bench.path().join("quarantine.jsonl")).unwrap();
        let kept: serde_json::Value = serde_json::from_str(kept.lines().next().unwrap()).unwrap();
        assert_eq!(kept["line"], broken);
        let aside = fs::read_dir(bench.path().join("quarantine")).unwrap().next().unwrap().unwrap();
        assert_eq!(fs::read_to_string(aside.path()).unwrap(), "{oops");
        // Every other line is where it was.
        let after = fs::read_to_string(&path).unwrap();
        let others = lines.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, line)| *line);
        for line in others {
            assert!(after.contains(line), "`{file}`: {line}");
        }
        let left = bench.verify(&mut store).problems;
        let of_the_log: Vec<_> = left.iter().filter(|p| p.kind.is_of_the_log()).collect();
        assert!(of_the_log.is_empty(), "`{file}` line {}: {of_the_log:#?}", at + 1);
        let n = bench.verify(&mut store).n;
        let seen = store.seen(n).unwrap();
        assert!(seen.iter().all(|seen| seen.broken.is_none()), "{seen:?}");
        bench.add(&mut store, &["goes on"]);
    }
}

#[test]
fn what_cannot_be_is_told_with_its_line() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    bench.add(&mut store, &["one", "two"]);
    let found = bench.claim(&mut store, "nova").unwrap();
    bench.complete(&mut store, &found.item.id, "nova").unwrap();
    let log = bench.path().join("work.jsonl");
    let good = fs::read_to_string(&log).unwrap();
    // Whoever knows the form can write a chain that fits: the rules still tell.
    let forge = |from: &str, to: &str, add: &str| {
        let (mut prev, mut text) = (0, String::new());
        for line in good.replace(from, to).lines().chain(add.lines()) {
            let (body, _) = line.rsplit_once("\"prev\":").unwrap();
            let line = format!("{body}\"prev\":\"{prev:016x}\"}}");
            prev = record::chain(line.as_bytes());
            text.push_str(&line);
            text.push('\n');
        }
        text
    };
    let last = good.lines().last().unwrap();
    let again = last.replace("\"n\":4", "\"n\":5");
    let cases = [
        (
            forge("\"op\":\"claim\"", "\"op\":\"edit\"", ""),
            ProblemKind::Claim,
            4,
            "left `w-1` active",
        ),
        (forge("", "", &again), ProblemKind::Claim, 6, "which was done"),
        (
            forge("\"op\":\"complete\"", "\"op\":\"fail\"", ""),
            ProblemKind::Claim,
            5,
            "left `w-1` done",
        ),
        (forge("\"token\":3", "\"token\":2", ""), ProblemKind::Claim, 4, "its own number"),
        (
            forge(last, &last.replace("\"agent\":\"nova\"", "\"agent\":\"vega\""), ""),
            ProblemKind::Claim,
            5,
            "the claim was that of nova",
        ),
        (
            forge("\"title\":\"two\"", "\"title\":\"two\",\"deps\":[\"w-9\"]", ""),
            ProblemKind::Dependency,
            3,
            "`w-9`",
        ),
    ];
    for (text, kind, line, words) in cases {
        let _ = fs::remove_dir_all(bench.path().join(".index"));
        let _ = fs::remove_file(bench.path().join("checked.json"));
        fs::remove_file(&log).unwrap();
        fs::write(&log, &text).unwrap();
        let problems = bench.verify(&mut bench.store()).problems;
        let first = &problems[0];
        assert_eq!((first.kind, first.line), (kind, Some(line)), "{problems:#?}\n{text}");
        assert!(first.what.contains(words), "{first}");
    }
}

#[test]
fn files_beside_the_log_are_read_as_well() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    bench.add(&mut store, &["one"]);
    for (dir, name, text, kind) in [
        ("agents", "nova.beat", "no beat", ProblemKind::Agent),
        ("locks", "deploy.json", "{\"held\":", ProblemKind::Lock),
        ("imported", "velocity.jsonl", "{}\nno row\n", ProblemKind::Imported),
    ] {
        fs::create_dir_all(bench.path().join(dir)).unwrap();
        let path = bench.path().join(dir).join(name);
        fs::write(&path, text).unwrap();
        let problems = bench.verify(&mut store).problems;
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert_eq!(problems[0].kind, kind);
        assert_eq!(problems[0].file.as_deref(), Some(&*format!("{dir}/{name}")));
        fs::remove_file(path).unwrap();
    }
    fs::remove_file(bench.path().join("work.jsonl")).unwrap();
    let problems = bench.verify(&mut store).problems;
    assert_eq!(problems[0].kind, ProblemKind::Missing);
    assert!(!bench.path().join("work.jsonl").exists(), "a check makes no log");
}

#[test]
fn a_span_without_its_parent_is_told_unless_the_parent_may_still_run() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    bench.add(&mut store, &["one"]);
    let (now, trace) = (bench.op("x").now.wall, "0af7651916cd43dd8448eb211c80319c");
    let span = |id: &str, parent: &str, hours: i64, more: &str| {
        let start = crate::domain::time::rfc3339(now - chrono::TimeDelta::hours(hours));
        format!(
            "{{\"trace_id\":\"{trace}\",\"span_id\":\"{id}\",\"parent_span_id\":{parent},\"name\":\"work\",\"start\":\"{start}\",\"duration_us\":5{more}}}\n"
        )
    };
    let (a, b, c) = ("00000000000000a1", "00000000000000b2", "\"00000000000000c3\"");
    let mut look = |text: String, file: &str| {
        fs::create_dir_all(bench.path().join("imported")).unwrap();
        fs::write(bench.path().join(file), text).unwrap();
        let found = bench.verify(&mut bench.store());
        fs::remove_file(bench.path().join(file)).unwrap();
        (found.spans, found.problems.len(), found.notes.len())
    };
    let root = span(a, "null", 50, "");
    let child = span(b, &format!("\"{a}\""), 50, "");
    // A parent stands behind its children.
    assert_eq!(look(child.clone() + &root, "spans.jsonl"), (2, 0, 0));
    assert_eq!(look(child.clone(), "spans.jsonl"), (1, 1, 0));
    assert_eq!(look(span(b, c, 1, ""), "spans.jsonl"), (1, 0, 1));
    assert_eq!(look(span(b, c, 50, ",\"remote_parent\":true"), "spans.jsonl"), (1, 0, 0));
    assert_eq!(look(child.clone() + &root, "imported/spans.jsonl"), (2, 0, 0));
    assert_eq!(look(child, "imported/spans.jsonl"), (1, 1, 0));
}

#[test]
fn finished_items_leave_the_live_log_and_then_the_history() {
    use super::super::cleanup::{Ages, Kind, Thing};
    use crate::domain::work::{Query, State};
    let mut bench = Bench::new();
    let mut store = bench.store();
    bench.add(&mut store, &["done", "open", "done later"]);
    let finish = |bench: &mut Bench, store: &mut super::super::FileStore| {
        let found = bench.claim(store, "nova").unwrap();
        let holder = Holder { agent: "nova".parse().unwrap(), token: None };
        let change = Change::Complete { holder, result: None, points: None };
        let op = bench.op("nova");
        store.change(&found.item.id, &change, &op).unwrap();
    };
    finish(&mut bench, &mut store);
    let day = std::time::Duration::from_hours(24);
    let ages = Ages { history: Some(day * 30), ..Ages::default() };
    bench.clock.advance(day * 31);
    let found = |bench: &mut Bench, store: &super::super::FileStore| -> Vec<Thing> {
        store.disposable(ages, bench.op("tidier").now.wall).unwrap()
    };
    let things = found(&mut bench, &store);
    let kinds: Vec<_> = things.iter().map(|thing| (thing.kind, thing.path.as_str())).collect();
    assert_eq!(kinds, [(Kind::Log, "work.jsonl")]);
    assert!(things[0].why.starts_with("1 of its items finished more than 30d ago"), "{things:?}");
    let op = bench.op("tidier");
    assert_eq!(store.dispose(&things, &op).unwrap(), things);
    let all = |store: &super::super::FileStore, states: &[State]| {
        let query = Query { states: states.to_vec(), all: true, ..Query::default() };
        store.find(&query).unwrap().items.len()
    };
    assert_eq!(all(&bench.store(), &[]), 3, "it is in the history still");
    assert_eq!(found(&mut bench, &store), [], "nothing is sealed twice");
    // What the sealed log says of when it was written is the machine's time.
    let sealed = fs::File::options().write(true).open(bench.path().join("history/000001.jsonl"));
    sealed.unwrap().set_modified(bench.op("tidier").now.wall.into()).unwrap();
    bench.clock.advance(day * 31);
    finish(&mut bench, &mut store);
    let things = found(&mut bench, &store);
    let paths: Vec<_> = things.iter().map(|thing| thing.path.as_str()).collect();
    assert_eq!(paths, ["history/000001.jsonl"]);
    let op = bench.op("tidier");
    assert_eq!(store.dispose(&things, &op).unwrap(), things);
    assert_eq!(all(&bench.store(), &[]), 2);
    assert_eq!(all(&bench.store(), &[State::Pending]), 1, "what is open stays");
    assert!(bench.verify(&mut bench.store()).problems.is_empty());
}

#[test]
fn history_that_was_removed_leaves_a_chain_that_can_be_checked() {
    use super::super::cleanup::{Ages, Kind, LEAST_HISTORY, Thing};
    use crate::domain::work::{Query, State};
    // Files have the machine's time, items that of the bench.
    let history = |store: &super::super::FileStore, ages, now| -> Vec<Thing> {
        let things = store.disposable(ages, now).unwrap().into_iter();
        things.filter(|thing| thing.kind == Kind::History).collect()
    };
    let base = scene();
    let mut bench = Bench::new();
    bench.clock = base.clock.clone();
    copy(&base.path(), &bench.path());
    let state = bench.path();
    let store = bench.store();
    let open = |store: &super::super::FileStore| {
        let states =
            vec![State::Pending, State::Active, State::Blocked, State::Failed, State::Dead];
        store.find(&Query { states, ..Query::default() }).unwrap().items
    };
    let (before, summary) = (open(&store), store.summary().unwrap());
    let now = chrono::DateTime::<chrono::Utc>::from(
        fs::metadata(state.join("work.jsonl")).unwrap().modified().unwrap(),
    );
    let later = |days| now + chrono::TimeDelta::days(days);
    let ages = Ages { history: Some(std::time::Duration::ZERO), ..Ages::default() };
    assert!(LEAST_HISTORY > std::time::Duration::from_hours(24 * 7));
    assert!(history(&store, ages, later(7)).is_empty(), "operation ids are remembered");
    // A newer log in between ends the list.
    let second = fs::File::options().write(true).open(state.join("history/000003.jsonl")).unwrap();
    second
        .set_modified(std::time::SystemTime::now() + std::time::Duration::from_hours(24 * 9))
        .unwrap();
    let things = history(&store, ages, later(10));
    let paths: Vec<_> = things.iter().map(|thing| thing.path.as_str()).collect();
    assert_eq!(paths, ["history/000001.jsonl", "history/000002.jsonl"]);
    assert!(things.iter().all(|thing| thing.bytes > 0 && state.join(&thing.path).exists()));
    let op = bench.op("tidier");
    assert_eq!(store.dispose(&things, &op).unwrap(), things);
    assert!(things.iter().all(|thing| !state.join(&thing.path).exists()));
    let verified = bench.verify(&mut bench.store());
    assert!(verified.problems.is_empty(), "{:#?}", verified.problems);
    assert!(verified.notes[0].contains("removed on purpose"), "{:?}", verified.notes);
    assert_eq!(verified.n, summary.n);
    assert_eq!(open(&bench.store()), before, "open items are never touched");
    bench.add(&mut bench.store(), &["goes on"]);
    assert!(bench.verify(&mut bench.store()).problems.is_empty());
    // Without the note, or with more gone than it says, it is no cleanup.
    let note = state.join("history/removed.json");
    let text = fs::read_to_string(&note).unwrap();
    fs::remove_file(&note).unwrap();
    let missing = bench.verify(&mut bench.store()).problems;
    assert_eq!(missing[0].file.as_deref(), Some("history/000001.jsonl"), "{missing:#?}");
    fs::write(&note, text).unwrap();
    fs::rename(state.join("history/000003.jsonl"), state.join("aside")).unwrap();
    let missing = bench.verify(&mut bench.store()).problems;
    assert_eq!(missing[0].file.as_deref(), Some("history/000003.jsonl"), "{missing:#?}");
    fs::rename(state.join("aside"), state.join("history/000003.jsonl")).unwrap();
    assert!(bench.verify(&mut bench.store()).problems.is_empty());
}
