//! Pictures of a store that twenty others are writing and sealing, and what comes of them.

#![expect(clippy::disallowed_methods, reason = "a test sets its own scene")]

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::compact::TEST_SLACK;
use super::restore::{self, Fate, RestoreError};
use super::*;
use crate::domain::name::OpId;
use crate::domain::time::Stamp;
use crate::domain::work::transition::Holder;
use crate::domain::work::{Draft, Status, Want};
use crate::store::archive;
use crate::sys::SystemClock;

fn options(dir: &Path) -> Options {
    Options {
        dir: dir.to_owned(),
        create: true,
        trust_dir: false,
        lock_timeout: Duration::from_secs(20),
        sync: false,
        command: "test".to_owned(),
        clock: Arc::new(SystemClock),
    }
}

fn op(name: &str, by: &str) -> Op {
    let (wall, boot) = (SystemClock.wall(), SystemClock.boot());
    let now = Stamp { wall, boot: boot.id, boot_ms: boot.ms };
    Op { id: name.parse::<OpId>().unwrap(), given: false, by: by.parse().unwrap(), now }
}

/// Saves a store to a file, and opens that.
fn save(store: &FileStore, to: &Path) -> (File, u64) {
    let picture = store.picture("test").unwrap();
    let file = File::options().read(true).write(true).create_new(true).open(to).unwrap();
    (picture.write(file).unwrap(), picture.manifest.n)
}

fn put(archive: &File, dir: &Path, name: &str) -> Result<restore::Restored, RestoreError> {
    let op = op(&format!("restore-{name}"), "auditor");
    restore::restore(archive, &options(dir), (name, name), false, &op)
}

/// Adds, claims and completes until it is told to stop; notes each item that was acknowledged as done.
fn write(dir: &Path, who: usize, done: &Mutex<Vec<ItemId>>, stop: &AtomicBool, ops: &AtomicU64) {
    TEST_SLACK.set(30);
    let agent = format!("agent-{who}");
    let op = || op(&format!("op-{}", ops.fetch_add(1, Ordering::Relaxed)), &agent);
    while !stop.load(Ordering::Relaxed) {
        let mut store = FileStore::open(options(dir)).unwrap();
        let item = Draft { title: format!("of {who}"), ..Draft::default() };
        store.add(vec![item.try_into().unwrap()], &op()).unwrap();
        let want = Want {
            agent: agent.parse().unwrap(),
            id: None,
            team: None,
            kind: None,
            labels: Vec::new(),
            capabilities: Vec::new(),
            lease: Duration::from_hours(1),
        };
        let Claimed::Taken(taken) = store.claim(&want, &op()).unwrap() else { continue };
        let id = taken.found.item.id;
        store
            .register(
                &Agent {
                    id: agent.parse().unwrap(),
                    team: None,
                    capacity: 5,
                    specialization: None,
                    capabilities: Vec::new(),
                    registered_at: SystemClock.wall(),
                    extra: serde_json::Map::new(),
                },
                &op(),
            )
            .unwrap();
        let holder = Holder { agent: agent.parse().unwrap(), token: None };
        let change = Change::Complete { holder, result: None, points: Some(1) };
        store.change(&id, &change, &op()).unwrap();
        done.lock().unwrap().push(id);
        store.tidy(&op()).unwrap();
    }
}

#[test]
fn a_backup_under_twenty_writers_holds_all_that_was_acknowledged_before_it_began() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, done) = (temp.path().join("state"), Mutex::new(Vec::new()));
    let (stop, ops) = (AtomicBool::new(false), AtomicU64::new(1));
    drop(FileStore::open(options(&dir)).unwrap());
    let mut saved = Vec::new();
    std::thread::scope(|scope| {
        for who in 0..20 {
            let (dir, done, stop, ops) = (&dir, &done, &stop, &ops);
            scope.spawn(move || write(dir, who, done, stop, ops));
        }
        let reader = FileStore::open(options(&dir)).unwrap();
        while done.lock().unwrap().len() < 20 {
            SystemClock.sleep(Duration::from_millis(5));
        }
        for round in 0..12 {
            let before = done.lock().unwrap().clone();
            let (file, n) = save(&reader, &temp.path().join(format!("{round}.tar.zst")));
            saved.push((before, file, n));
            SystemClock.sleep(Duration::from_millis(60));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let total = done.lock().unwrap().len();
    let mut sealed = 0;
    for (round, (before, file, n)) in saved.into_iter().enumerate() {
        let new = temp.path().join(format!("restored-{round}"));
        let restored = put(&file, &new, "a").unwrap();
        let verified = restored.verified.unwrap();
        assert!(verified.problems.is_empty(), "{:#?}", verified.problems);
        assert_eq!(verified.n, n);
        assert!(restored.files.values().all(|fate| *fate == Fate::New) && restored.aside.is_none());
        let store = FileStore::open(options(&new)).unwrap();
        for id in &before {
            assert_eq!(store.get(id.as_str()).unwrap().item.status, Status::Done, "{round}: {id}");
        }
        sealed += restored.files.keys().filter(|path| path.starts_with("history/0")).count();
        println!("backup {round}: write {n}, {} done before it began, all there", before.len());
    }
    println!("{total} items done by 20 writers, {sealed} sealed logs in 12 backups");
    assert!(sealed > 0, "nothing was sealed while backups were taken");
}

#[test]
fn writers_go_on_in_neither_state_unasked_when_another_is_put_in_place() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("state");
    let mut store = FileStore::open(options(&dir)).unwrap();
    let add = |store: &mut FileStore, n: u64| {
        let item = Draft { title: format!("item {n}"), ..Draft::default() };
        store.add(vec![item.try_into().unwrap()], &op(&format!("op-{n}"), "boss"))
    };
    add(&mut store, 1).unwrap();
    let (file, _) = save(&store, &temp.path().join("a.tar.zst"));
    let (stop, ops) = (AtomicBool::new(false), AtomicU64::new(10));
    let (kept, aside, refused) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let (mut kept, mut refused) = (Vec::new(), 0);
                    // Opened once and kept, as a worker keeps it.
                    let mut store = FileStore::open(options(&dir)).unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        let n = ops.fetch_add(1, Ordering::Relaxed);
                        match add(&mut store, n) {
                            Ok(_) => kept.push(format!("item {n}")),
                            Err(Error::Replaced { .. }) => {
                                refused += 1;
                                store = FileStore::open(options(&dir)).unwrap();
                            }
                            Err(other) => panic!("{other}"),
                        }
                    }
                    (kept, refused)
                })
            })
            .collect();
        SystemClock.sleep(Duration::from_millis(100));
        let restored = put(&file, &dir, "b").unwrap();
        SystemClock.sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        let mut all = (Vec::new(), 0);
        for writer in writers {
            let (kept, refused) = writer.join().unwrap();
            all.0.extend(kept);
            all.1 += refused;
        }
        (all.0, restored.aside.unwrap(), all.1)
    });
    // Whoever was away all the time learns of it as well, reading or writing.
    assert!(matches!(add(&mut store, 5), Err(Error::Replaced { .. })));
    assert!(matches!(store.summary(), Err(Error::Replaced { .. })));
    let titles = |dir: &Path| -> Vec<String> {
        let mut store = FileStore::open(options(dir)).unwrap();
        let verified = store.verify(false, &op("check", "auditor")).unwrap();
        assert!(verified.problems.is_empty(), "{:#?}", verified.problems);
        let page = store.find(&Query { all: true, ..Query::default() }).unwrap();
        page.items.into_iter().map(|found| found.item.title).collect()
    };
    let (new, old) = (titles(&dir), titles(&aside));
    println!("{} acknowledged, {refused} refused, {} in the new state", kept.len(), new.len());
    assert_eq!(refused, 8, "every writer was told once");
    for title in &kept {
        assert!(new.contains(title) != old.contains(title), "{title} is in one of the two");
    }
    assert_eq!(new.len() + old.len(), kept.len() + 2, "nothing that was refused is in either");
    // The one that was put aside can be used where it lies.
    add(&mut FileStore::open(options(&aside)).unwrap(), 6).unwrap();
    assert_eq!(titles(&aside).len(), old.len() + 1);
}

#[test]
fn numbers_that_were_given_out_are_never_given_out_again() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("state");
    let mut store = FileStore::open(options(&dir)).unwrap();
    let add = |store: &mut FileStore, n: u64| {
        let item = Draft { title: format!("item {n}"), ..Draft::default() };
        let added = store.add(vec![item.try_into().unwrap()], &op(&format!("op-{n}"), "boss"));
        added.unwrap().items[0].item.id.clone()
    };
    let claim = |store: &mut FileStore, n: u64| {
        let want = Want {
            agent: "ci".parse().unwrap(),
            id: None,
            team: None,
            kind: None,
            labels: Vec::new(),
            capabilities: Vec::new(),
            lease: Duration::from_hours(1),
        };
        match store.claim(&want, &op(&format!("op-{n}"), "ci")).unwrap() {
            Claimed::Taken(taken) => taken.found.item.token.unwrap(),
            _ => panic!("there is one"),
        }
    };
    let lock = |store: &mut FileStore, n: u64, by: &str| {
        let name: Word = "deploy".parse().unwrap();
        let op = op(&format!("op-{n}"), by);
        match store.acquire(&name, Duration::from_mins(1), None, &op).unwrap() {
            Acquired::Yes(lock) => lock.token,
            Acquired::Held(lock) => panic!("held by {}", lock.holder),
        }
    };
    let give_back = |store: &mut FileStore, token: u64| {
        let name: Word = "deploy".parse().unwrap();
        store.unlock(&name, token, &op("op-back", "a")).unwrap()
    };
    add(&mut store, 1);
    let (file, _) = save(&store, &temp.path().join("a.tar.zst"));
    let stale = claim(&mut store, 2);
    let late = add(&mut store, 3);
    let first = lock(&mut store, 4, "a");
    let Err(RestoreError::Held(held)) = put(&file, &dir, "a") else { panic!("it is held") };
    assert_eq!(held[0].name.as_str(), "deploy");
    assert!(give_back(&mut store, first));
    let restored = put(&file, &dir, "b").unwrap();
    assert_eq!(restored.files["locks/deploy.json"], Fate::Same);
    let mut new = FileStore::open(options(&dir)).unwrap();
    assert!(claim(&mut new, 5) > stale, "a fencing token came again");
    assert_ne!(add(&mut new, 6), late, "an id came again");
    let second = lock(&mut new, 7, "b");
    assert!(second > first, "a token of a named lock came again");
    // The old one's holder cannot do anything with it any more.
    let name: Word = "deploy".parse().unwrap();
    assert!(matches!(
        store.acquire(&name, Duration::from_mins(1), None, &op("op-8", "a")),
        Err(Error::Replaced { .. })
    ));
    // By force it stays held.
    restore::restore(&file, &options(&dir), ("c", "c"), true, &op("op-9", "x")).unwrap();
    let mut third = FileStore::open(options(&dir)).unwrap();
    let asked = third.acquire(&name, Duration::from_mins(1), None, &op("op-10", "a")).unwrap();
    assert!(matches!(asked, Acquired::Held(_)));
    // The log tells why numbers are missing, also to who seals it and to who makes the index anew.
    third.rebuild(&op("op-11", "x")).unwrap();
    let verified = third.verify(false, &op("op-12", "x")).unwrap();
    assert!(verified.problems.is_empty(), "{:#?}", verified.problems);
    assert!(claim(&mut third, 13) > stale);
}

#[test]
fn what_is_no_state_is_not_moved_and_a_link_is_followed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("state");
    let mut store = FileStore::open(options(&dir)).unwrap();
    let item = Draft { title: "one".to_owned(), ..Draft::default() };
    store.add(vec![item.try_into().unwrap()], &op("op-1", "boss")).unwrap();
    let (file, _) = save(&store, &temp.path().join("a.tar.zst"));
    let docs = temp.path().join("docs");
    std::fs::create_dir_all(docs.join("history")).unwrap();
    std::fs::write(docs.join("letter"), "mine").unwrap();
    std::fs::write(temp.path().join("file"), "mine").unwrap();
    std::os::unix::fs::symlink("nowhere", temp.path().join("dangling")).unwrap();
    let names = |dir: &Path| {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let before = names(temp.path());
    for no in ["docs", "file", "dangling"] {
        let refused = put(&file, &temp.path().join(no), "a").unwrap_err();
        assert!(matches!(refused, RestoreError::NoState { .. }), "{no}: {refused}");
    }
    assert_eq!(names(temp.path()), before);
    assert_eq!(names(&docs), ["history", "letter"]);
    // An empty directory, and a state of which nothing but settings is left, can be helped.
    std::fs::create_dir(temp.path().join("empty")).unwrap();
    put(&file, &temp.path().join("empty"), "b").unwrap();
    std::fs::create_dir(temp.path().join("bare")).unwrap();
    std::fs::write(temp.path().join("bare/config.toml"), "").unwrap();
    put(&file, &temp.path().join("bare"), "c").unwrap();
    // So can one whose lock or index is none.
    std::fs::create_dir_all(temp.path().join("odd/lock")).unwrap();
    std::fs::write(temp.path().join("odd/.index"), "").unwrap();
    std::fs::write(temp.path().join("odd/locks"), "").unwrap();
    std::fs::write(temp.path().join("odd/work.jsonl"), "what is this\n").unwrap();
    put(&file, &temp.path().join("odd"), "d").unwrap();
    // Both names of a state mean the same one afterwards.
    std::fs::create_dir(temp.path().join("deep")).unwrap();
    let link = temp.path().join("deep/link");
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    let restored = put(&file, &link, "e").unwrap();
    assert!(link.is_symlink() && !dir.is_symlink());
    assert_eq!(
        restored.aside.unwrap(),
        dir.canonicalize().unwrap().with_file_name("state.before-restore-e")
    );
    assert_eq!(names(&temp.path().join("deep")), ["link"]);
    let mut other = FileStore::open(options(&link)).unwrap();
    let item = Draft { title: "two".to_owned(), ..Draft::default() };
    other.add(vec![item.try_into().unwrap()], &op("op-2", "boss")).unwrap();
    assert_eq!(FileStore::open(options(&dir)).unwrap().summary().unwrap().total(), 2);
}

#[test]
fn a_forged_note_of_a_restore_hides_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("state");
    let mut store = FileStore::open(options(&dir)).unwrap();
    for n in 1..=3 {
        let item = Draft { title: format!("item {n}"), ..Draft::default() };
        store.add(vec![item.try_into().unwrap()], &op(&format!("op-{n}"), "boss")).unwrap();
    }
    assert!(store.verify(false, &op("op-4", "auditor")).unwrap().problems.is_empty());
    let log = std::fs::read_to_string(dir.join("work.jsonl")).unwrap();
    let kept: Vec<&str> = log.lines().take(3).collect();
    let link = super::record::chain(format!("{}\n", kept[2]).as_bytes());
    let note = format!(
        r#"{{"n":4,"op":"restored","op_id":"x","next_id":4,"at":"2026-01-02T03:04:05Z","by":"x","gaps":[[3,3]],"prev":"{link:016x}"}}"#
    );
    std::fs::write(dir.join("work.jsonl"), format!("{}\n{note}\n", kept.join("\n"))).unwrap();
    let found = store.verify(false, &op("op-5", "auditor")).unwrap();
    assert!(!found.problems.is_empty(), "write 3 is gone, and the index knew it");
    assert!(found.notes.iter().any(|note| note.contains("write 3 stayed")), "{:?}", found.notes);
}

#[test]
fn what_needs_more_room_than_there_is_is_not_begun() {
    let temp = tempfile::tempdir().unwrap();
    let store = FileStore::open(options(&temp.path().join("state"))).unwrap();
    let mut store = store;
    let item = Draft { title: "one".to_owned(), ..Draft::default() };
    store.add(vec![item.try_into().unwrap()], &op("op-1", "boss")).unwrap();
    let mut picture = store.picture("test").unwrap();
    picture.manifest.files[0].size = 1 << 60;
    let path = temp.path().join("bomb");
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    let file = picture.write(file).unwrap();
    let new = temp.path().join("new");
    let refused = put(&file, &new, "a").unwrap_err();
    assert!(matches!(refused, RestoreError::NoRoom { need, .. } if need >= 1 << 60), "{refused}");
    assert!(!new.exists() && !temp.path().join(".new.restore-a").exists());
}

#[test]
fn what_comes_back_is_what_was_there_and_the_old_state_is_kept() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("state");
    let mut store = FileStore::open(options(&dir)).unwrap();
    let add = |store: &mut FileStore, title: &str| {
        let item = Draft { title: title.to_owned(), ..Draft::default() };
        store.add(vec![item.try_into().unwrap()], &op(&format!("op-{title}"), "boss")).unwrap();
    };
    add(&mut store, "one");
    std::fs::write(dir.join("config.toml"), "[work]\nlease = \"5m\"\n").unwrap();
    std::fs::write(dir.join("key.pem"), "secret").unwrap();
    let picture = store.picture("test").unwrap();
    assert_eq!(picture.left_out, ["key.pem"]);
    let (file, _) = save(&store, &temp.path().join("a.tar.zst"));
    add(&mut store, "two");
    std::fs::remove_file(dir.join("config.toml")).unwrap();
    let plan = restore::plan(&file, &dir).unwrap();
    let fate = |files: &std::collections::BTreeMap<String, Fate>, path: &str| files[path];
    assert_eq!(fate(&plan.files, "work.jsonl"), Fate::Changed);
    assert_eq!(fate(&plan.files, "config.toml"), Fate::New);
    assert_eq!(fate(&plan.files, "key.pem"), Fate::Aside);
    assert_eq!(store.summary().unwrap().total(), 2, "a plan changes nothing");
    let restored = put(&file, &dir, "c").unwrap();
    let aside = restored.aside.unwrap();
    assert_eq!(FileStore::open(options(&dir)).unwrap().summary().unwrap().total(), 1);
    assert_eq!(FileStore::open(options(&aside)).unwrap().summary().unwrap().total(), 2);
    assert_eq!(std::fs::read_to_string(aside.join("key.pem")).unwrap(), "secret");
    assert!(dir.join("config.toml").exists() && !dir.join("restoring").exists());
    // Nothing is left on the way, also by archives that are no good.
    let mut text = std::fs::read(temp.path().join("a.tar.zst")).unwrap();
    let last = text.len() / 2;
    text.truncate(last);
    std::fs::write(temp.path().join("b"), &text).unwrap();
    let cut = File::open(temp.path().join("b")).unwrap();
    assert!(matches!(put(&cut, &dir, "d"), Err(RestoreError::Archive(_))));
    let mut names: Vec<_> = std::fs::read_dir(temp.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["a.tar.zst", "b", "state", "state.before-restore-c"]);
}

#[test]
fn a_damaged_state_is_restored_only_on_demand_and_a_newer_one_never() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("state");
    let mut store = FileStore::open(options(&dir)).unwrap();
    let items = ["one", "two"]
        .map(|title| Draft { title: title.to_owned(), ..Draft::default() }.try_into().unwrap());
    store.add(items.into(), &op("op-1", "boss")).unwrap();
    let log = std::fs::read_to_string(dir.join("work.jsonl")).unwrap();
    std::fs::write(dir.join("work.jsonl"), log.replace("\"one\"", "\"0ne\"")).unwrap();
    let (file, _) = save(&FileStore::open(options(&dir)).unwrap(), &temp.path().join("a"));
    let new = temp.path().join("new");
    let Err(RestoreError::Damaged(found)) = put(&file, &new, "a") else { panic!("it is damaged") };
    assert_eq!(found.problems[0].line, Some(2));
    assert!(!new.exists());
    let forced = op("op-2", "auditor");
    restore::restore(&file, &options(&new), ("b", "b"), true, &forced).unwrap();
    assert!(new.join("work.jsonl").exists());
    let mut picture = store.picture("test").unwrap();
    picture.manifest.log_format = 9;
    let path = temp.path().join("c");
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    let file = picture.write(file).unwrap();
    let other = temp.path().join("other");
    let refused = put(&file, &other, "c").unwrap_err();
    assert!(matches!(refused, RestoreError::Store(Error::NewerFormat { found: 9, known: 1 })));
    assert!(
        !other.exists()
            && archive::read_manifest(&File::open(temp.path().join("c")).unwrap()).is_ok()
    );
}
