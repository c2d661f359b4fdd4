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
fn writers_who_wait_while_another_state_is_put_in_place_change_neither_unasked() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, done) = (temp.path().join("state"), Mutex::new(Vec::<(ItemId, bool)>::new()));
    let mut store = FileStore::open(options(&dir)).unwrap();
    let add = |store: &mut FileStore, n: u64| {
        let item = Draft { title: format!("item {n}"), ..Draft::default() };
        store.add(vec![item.try_into().unwrap()], &op(&format!("op-{n}"), "boss"))
    };
    add(&mut store, 1).unwrap();
    let (file, _) = save(&store, &temp.path().join("a.tar.zst"));
    let (stop, ops) = (AtomicBool::new(false), AtomicU64::new(10));
    let (kept, refused) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let (mut kept, mut refused) = (Vec::new(), 0);
                    while !stop.load(Ordering::Relaxed) {
                        let mut store = FileStore::open(options(&dir)).unwrap();
                        let n = ops.fetch_add(1, Ordering::Relaxed);
                        match add(&mut store, n) {
                            Ok(_) => kept.push(format!("item {n}")),
                            Err(Error::Replaced { .. }) => refused += 1,
                            Err(other) => panic!("{other}"),
                        }
                    }
                    (kept, refused)
                })
            })
            .collect();
        SystemClock.sleep(Duration::from_millis(100));
        let restored = put(&file, &dir, "b").unwrap();
        SystemClock.sleep(Duration::from_millis(100));
        stop.store(true, Ordering::Relaxed);
        let aside = restored.aside.unwrap();
        let mut all = (Vec::new(), 0);
        for writer in writers {
            let (kept, refused) = writer.join().unwrap();
            all.0.extend(kept);
            all.1 += refused;
        }
        drop(done);
        ((all.0, aside), all.1)
    });
    let titles = |dir: &Path| -> Vec<String> {
        let mut store = FileStore::open(options(dir)).unwrap();
        let verified = store.verify(false, &op("check", "auditor")).unwrap();
        assert!(verified.problems.is_empty(), "{:#?}", verified.problems);
        let page = store.find(&Query { all: true, ..Query::default() }).unwrap();
        page.items.into_iter().map(|found| found.item.title).collect()
    };
    let (kept, aside) = kept;
    let (new, old) = (titles(&dir), titles(&aside));
    println!("{} acknowledged, {refused} refused, {} in the new state", kept.len(), new.len());
    for title in &kept {
        assert!(new.contains(title) != old.contains(title), "{title} is in one of the two");
    }
    assert_eq!(new.len() + old.len(), kept.len() + 2, "nothing that was refused is in either");
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
