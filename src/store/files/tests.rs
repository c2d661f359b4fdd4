//! The file store from inside: what is special about files.

#![expect(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::domain::time::Stamp;
use crate::domain::work::transition::Holder;
use crate::domain::work::{Draft, Priority, Status};
use crate::store::ProblemKind;
use crate::sys::FixedClock;

pub(super) struct Bench {
    dir: tempfile::TempDir,
    pub(super) clock: Arc<FixedClock>,
    ops: u64,
}

impl Bench {
    pub(super) fn new() -> Self {
        let clock = Arc::new(FixedClock::new(DateTime::from_timestamp(1_767_323_045, 0).unwrap()));
        Self { dir: tempfile::tempdir().unwrap(), clock, ops: 0 }
    }

    pub(super) fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    /// The next boot, and nobody knows what was seen before it.
    fn power_cut(&self) {
        self.clock.reboot();
        let _ = fs::remove_file(self.path().join("checked.json"));
    }

    pub(super) fn store(&self) -> FileStore {
        let options = Options {
            dir: self.path(),
            create: true,
            trust_dir: false,
            lock_timeout: Duration::from_secs(2),
            sync: false,
            command: "test".to_owned(),
            clock: self.clock.clone(),
        };
        FileStore::open(options).unwrap()
    }

    pub(super) fn op(&mut self, by: &str) -> Op {
        self.ops += 1;
        self.clock.advance(Duration::from_micros(1001));
        let boot = self.clock.boot();
        Op {
            id: format!("op-{}", self.ops).parse().unwrap(),
            given: false,
            by: by.parse().unwrap(),
            now: Stamp { wall: self.clock.wall(), boot: boot.id, boot_ms: boot.ms },
        }
    }

    pub(super) fn add(&mut self, store: &mut FileStore, titles: &[&str]) -> Vec<Found> {
        let items = titles
            .iter()
            .map(|t| Draft { title: (*t).to_owned(), ..Draft::default() }.try_into().unwrap());
        let op = self.op("boss");
        store.add(items.collect(), &op).unwrap().items
    }

    pub(super) fn claim(&mut self, store: &mut FileStore, agent: &str) -> Option<Found> {
        let op = self.op(agent);
        match store.claim(&want(agent), &op).unwrap() {
            Claimed::Taken(changed) => Some(changed.found),
            _ => None,
        }
    }

    pub(super) fn complete(
        &mut self,
        store: &mut FileStore,
        id: &ItemId,
        agent: &str,
    ) -> Result<Changed> {
        let op = self.op(agent);
        let holder = Holder { agent: agent.parse().unwrap(), token: None };
        store.change(id, &Change::Complete { holder, result: None, points: Some(3) }, &op)
    }

    pub(super) fn verify(&mut self, store: &mut FileStore) -> Verified {
        let op = self.op("auditor");
        store.verify(false, &op).unwrap()
    }
}

fn want(agent: &str) -> Want {
    Want {
        agent: agent.parse().unwrap(),
        id: None,
        team: None,
        kind: None,
        labels: Vec::new(),
        capabilities: Vec::new(),
        lease: Duration::from_mins(30),
    }
}

fn clean(verified: &Verified) {
    assert!(verified.problems.is_empty(), "{:#?}", verified.problems);
}

#[test]
fn a_life_of_three_items() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    let added = bench.add(&mut store, &["one", "two", "three"]);
    assert_eq!(added.iter().map(|f| f.item.id.as_str()).collect::<Vec<_>>(), ["w-1", "w-2", "w-3"]);
    let first = bench.claim(&mut store, "nova").unwrap();
    assert_eq!((first.item.id.as_str(), first.item.token), ("w-1", Some(first.n)));
    let done = bench.complete(&mut store, &first.item.id, "nova").unwrap();
    assert_eq!(done.found.item.status, Status::Done);
    assert!(bench.complete(&mut store, &first.item.id, "nova").unwrap().repeated);
    assert!(bench.complete(&mut store, &first.item.id, "orion").is_err());
    assert_eq!(store.summary().unwrap().states, [2, 0, 0, 1, 0, 0]);
    assert_eq!(store.history(&first.item.id).unwrap().len(), 3);
    clean(&bench.verify(&mut store));
}

#[test]
fn a_log_cut_at_every_byte_gives_back_what_was_whole() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    bench.add(&mut store, &["one", "two"]);
    let log = bench.path().join("work.jsonl");
    let before = fs::read(&log).unwrap();
    bench.claim(&mut store, "nova");
    let whole = fs::read(&log).unwrap();
    for end in before.len()..=whole.len() {
        fs::write(&log, &whole[..end]).unwrap();
        // It was torn by a power cut; within one boot the index knows better.
        bench.power_cut();
        let mut store = bench.store();
        let read = store.summary().unwrap();
        clean(&bench.verify(&mut store));
        // The line without its break is whole as well.
        let active = u64::from(end + 1 >= whole.len());
        assert_eq!(
            store.summary().unwrap().count(crate::domain::work::State::Active),
            active,
            "{end}"
        );
        assert!(read.total() == 2);
        assert!(bench.claim(&mut store, "orion").is_some());
        clean(&bench.verify(&mut store));
    }
}

#[test]
fn a_batch_that_was_not_written_whole_was_never_there() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    bench.add(&mut store, &["one"]);
    let log = bench.path().join("work.jsonl");
    let before = fs::read(&log).unwrap();
    bench.add(&mut store, &["a", "b", "c"]);
    let whole = fs::read(&log).unwrap();
    for end in before.len()..whole.len() - 1 {
        fs::write(&log, &whole[..end]).unwrap();
        bench.power_cut();
        let mut store = bench.store();
        assert_eq!(store.summary().unwrap().total(), 1, "{end}");
        assert!(bench.claim(&mut store, "nova").is_some());
        clean(&bench.verify(&mut store));
    }
}

#[test]
fn a_broken_line_does_not_take_the_others_with_it() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    bench.add(&mut store, &["one", "two", "three"]);
    let log = bench.path().join("work.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("\"title\":\"two\"", "\"title\":two")).unwrap();
    let mut store = bench.store();
    assert_eq!(store.summary().unwrap().total(), 2);
    let op = bench.op("nova");
    assert!(matches!(store.claim(&want("nova"), &op), Err(Error::Damaged { .. })));
    let problems = bench.verify(&mut store).problems;
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!((problems[0].kind, problems[0].line), (ProblemKind::Unreadable, Some(3)));
    let op = bench.op("auditor");
    let repaired = store.verify(true, &op).unwrap();
    assert_eq!(repaired.repaired.len(), 2, "the line and the gap it left: {repaired:?}");
    assert!(bench.claim(&mut store, "nova").is_some());
    assert!(fs::read_to_string(bench.path().join("quarantine.jsonl")).unwrap().contains("two"));
    assert_eq!(store.summary().unwrap().total(), 2);
}

#[test]
fn a_line_cut_out_is_noticed_and_a_hand_edit_is_kept() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    bench.add(&mut store, &["one", "two"]);
    bench.add(&mut store, &["three"]);
    let log = bench.path().join("work.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("\"title\":\"three\"", "\"title\":\"THREE\"")).unwrap();
    let mut store = bench.store();
    assert_eq!(store.get("w-3").unwrap().item.title, "THREE");
    assert!(bench.claim(&mut store, "nova").is_some(), "an edit while idle is taken");
    let lines: Vec<_> = text.lines().collect();
    fs::write(&log, format!("{}\n{}\n{}\n", lines[0], lines[1], lines[3])).unwrap();
    let mut store = bench.store();
    let op = bench.op("nova");
    assert!(
        matches!(store.claim(&want("nova"), &op), Err(Error::Damaged { what }) if what.contains("write 2 is missing"))
    );
    let op = bench.op("auditor");
    store.verify(true, &op).unwrap();
    assert!(bench.claim(&mut store, "nova").is_some());
}

#[test]
fn a_sign_of_life_from_an_earlier_boot_stretches_no_lease() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    bench.add(&mut store, &["one"]);
    let op = bench.op("nova");
    // The wall clock was years ahead before the reboot.
    let wall = op.now.wall + chrono::TimeDelta::days(3650);
    let now = Stamp { wall, boot: op.now.boot ^ 1, ..op.now };
    store.heartbeat(&"nova".parse().unwrap(), &Op { now, ..op }).unwrap();
    assert!(bench.claim(&mut store, "nova").is_some());
    assert!(bench.claim(&mut store, "other").is_none());
    bench.clock.advance(Duration::from_mins(31));
    assert_eq!(bench.claim(&mut store, "other").unwrap().item.attempt, 2);
    clean(&bench.verify(&mut store));
}

#[test]
fn the_answer_to_a_claim_is_given_again_to_its_agent_only() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    bench.add(&mut store, &["one", "two"]);
    let op = Op { given: true, ..bench.op("nova") };
    for _ in 0..2 {
        assert!(matches!(store.claim(&want("nova"), &op), Ok(Claimed::Taken(_))));
    }
    let other = Op { by: "other".parse().unwrap(), ..op };
    let refused = store.claim(&want("other"), &other).unwrap_err();
    assert!(matches!(refused, Error::OpReused { .. }), "{refused}");
    assert_eq!(bench.claim(&mut store, "other").unwrap().item.title, "two");
}

/// Puts another version of a file in the place of one, as git does.
fn check_out(path: &Path, text: &str) {
    fs::remove_file(path).unwrap();
    fs::write(path, text).unwrap();
}

fn append(path: &Path, lines: &[&str]) {
    let mut text = fs::read_to_string(path).unwrap();
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    fs::write(path, text).unwrap();
}

#[test]
fn two_branches_that_were_merged_are_a_seam_and_twins_get_two_ids() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    bench.add(&mut store, &["common"]);
    let log = bench.path().join("work.jsonl");
    let base = fs::read_to_string(&log).unwrap();
    bench.add(&mut store, &["from the left"]);
    let left = fs::read_to_string(&log).unwrap();
    check_out(&log, &base);
    let mut store = bench.store();
    bench.claim(&mut store, "nova");
    let right = fs::read_to_string(&log).unwrap();
    // A claim on one branch and a new item on the other: nothing but a seam.
    check_out(&log, &left);
    append(&log, &right[base.len()..].lines().collect::<Vec<_>>());
    let mut store = bench.store();
    let verified = bench.verify(&mut store);
    assert_eq!((verified.seams.len(), verified.problems.len()), (1, 0), "{verified:?}");
    assert_eq!(store.summary().unwrap().states, [1, 1, 0, 0, 0, 0]);
    assert!(bench.claim(&mut store, "orion").is_some());
    // Both branches made a w-2.
    check_out(&log, &base);
    let mut store = bench.store();
    bench.add(&mut store, &["from the right"]);
    let right = fs::read_to_string(&log).unwrap();
    check_out(&log, &left);
    append(&log, &right[base.len()..].lines().collect::<Vec<_>>());
    let mut store = bench.store();
    let op = bench.op("nova");
    assert!(matches!(store.claim(&want("nova"), &op), Err(Error::Damaged { .. })));
    let op = bench.op("auditor");
    store.verify(true, &op).unwrap();
    let titles: Vec<_> =
        store.find(&Query::default()).unwrap().items.into_iter().map(|f| f.item.title).collect();
    assert_eq!(titles, ["common", "from the left", "from the right"]);
    clean(&bench.verify(&mut store));
    assert!(bench.claim(&mut store, "nova").is_some());
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    bench.add(&mut store, &["one"]);
    let log = bench.path().join("work.jsonl");
    let text = fs::read_to_string(&log)
        .unwrap()
        .replace("\"format\":1,\"min_reader\":1", "\"format\":9,\"min_reader\":9");
    fs::write(&log, &text).unwrap();
    let mut store = bench.store();
    let op = bench.op("nova");
    assert!(matches!(
        store.claim(&want("nova"), &op),
        Err(Error::NewerFormat { found: 9, known: 1 })
    ));
    assert!(matches!(store.summary(), Err(Error::NewerFormat { .. })));
    assert_eq!(fs::read_to_string(&log).unwrap(), text);
}

#[test]
fn compaction_loses_nothing_and_goes_on() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    let titles: Vec<String> = (0..40).map(|n| format!("item {n}")).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    for round in 0..3 {
        bench.add(&mut store, &titles);
        let item = bench.claim(&mut store, "nova").unwrap();
        for percent in 0..4400u64 {
            let op = bench.op("nova");
            let holder = Holder { agent: "nova".parse().unwrap(), token: None };
            let change =
                Change::Progress { holder, percent: Some(percent / 44), note: None, lease: None };
            store.change(&item.item.id, &change, &op).unwrap();
        }
        bench.complete(&mut store, &item.item.id, "nova").unwrap();
        let before = store.find(&Query { all: true, ..Query::default() }).unwrap();
        let history = store.history(&item.item.id).unwrap();
        let op = bench.op("nova");
        store.tidy(&op).unwrap();
        assert_eq!(store.describe().unwrap()["log_segment"], round + 2);
        assert_eq!(store.find(&Query { all: true, ..Query::default() }).unwrap(), before);
        assert_eq!(store.history(&item.item.id).unwrap(), history);
        clean(&bench.verify(&mut store));
        let op = bench.op("nova");
        store.rebuild(&op).unwrap();
        assert_eq!(store.find(&Query { all: true, ..Query::default() }).unwrap(), before);
        let mut count = 0;
        store
            .events(0, &mut |event| {
                count += 1;
                event.n > 0
            })
            .unwrap();
        assert_eq!(count, (round + 1) * (40 + 1 + 4400 + 1));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(Priority, Option<u8>, Vec<u8>),
    Claim(u8, bool),
    Complete(u8),
    Fail(u8, bool),
    Release(u8),
    Progress(u8),
    Priority(u8, Priority),
    Needs(u8, u8),
    Assign(u8, u8),
    Remove(u8),
    Sleep(u16),
    Reboot,
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let priority = prop::sample::select(&Priority::ALL[..]);
    prop_oneof![
        4 => (priority.clone(), prop::option::of(0..3u8), prop::collection::vec(any::<u8>(), 0..3)).prop_map(|(p, t, n)| Step::Add(p, t, n)),
        6 => (0..4u8, any::<bool>()).prop_map(|(a, t)| Step::Claim(a, t)),
        4 => any::<u8>().prop_map(Step::Complete),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(i, r)| Step::Fail(i, r)),
        1 => any::<u8>().prop_map(Step::Release),
        1 => any::<u8>().prop_map(Step::Progress),
        1 => (any::<u8>(), priority).prop_map(|(i, p)| Step::Priority(i, p)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::Needs(a, b)),
        1 => (any::<u8>(), 0..4u8).prop_map(|(i, a)| Step::Assign(i, a)),
        1 => (0..4u8).prop_map(Step::Remove),
        1 => any::<u16>().prop_map(Step::Sleep),
        1 => Just(Step::Reboot),
        1 => Just(Step::Forget),
    ]
}

fn take(bench: &mut Bench, store: &mut FileStore, step: Step) {
    let ids: Vec<ItemId> = store
        .find(&Query { all: true, ..Query::default() })
        .unwrap()
        .items
        .into_iter()
        .map(|f| f.item.id)
        .collect();
    let id = |at: u8| ids.get(usize::from(at) % ids.len().max(1)).cloned();
    let change =
        |bench: &mut Bench, store: &mut FileStore, at: u8, make: &dyn Fn(Holder) -> Change| {
            if let Some(id) = id(at) {
                let found = store.get(id.as_str()).unwrap();
                let agent = found.item.agent.unwrap_or("nobody".parse().unwrap());
                let op = bench.op(agent.as_str());
                let _ = store.change(&id, &make(Holder { agent, token: found.item.token }), &op);
            }
        };
    match step {
        Step::Add(priority, team, needs) => {
            let needs = needs.iter().filter_map(|n| Some(id(*n)?.to_string())).collect();
            let team = team.map(|t| format!("team-{t}").parse().unwrap());
            let draft = Draft {
                title: "x".into(),
                priority: Some(priority),
                team,
                needs,
                ..Draft::default()
            };
            let op = bench.op("boss");
            store.add(vec![draft.try_into().unwrap()], &op).unwrap();
        }
        Step::Claim(agent, team) => {
            let agent = format!("agent-{agent}");
            let op = bench.op(&agent);
            let team = team.then(|| "team-1".parse().unwrap());
            store
                .claim(&Want { team, lease: Duration::from_mins(1), ..want(&agent) }, &op)
                .unwrap();
        }
        Step::Complete(at) => change(bench, store, at, &|holder| Change::Complete {
            holder,
            result: None,
            points: Some(2),
        }),
        Step::Fail(at, retry) => {
            change(bench, store, at, &|holder| Change::Fail { holder, result: None, retry });
        }
        Step::Release(at) => {
            change(bench, store, at, &|holder| Change::Release { holder, note: None });
            change(bench, store, at.wrapping_add(1), &|_| Change::Retry);
        }
        Step::Progress(at) => change(bench, store, at, &|holder| Change::Progress {
            holder,
            percent: None,
            note: None,
            lease: None,
        }),
        Step::Priority(at, p) => change(bench, store, at, &|_| {
            Change::Edit(Box::new(crate::domain::work::Edit {
                priority: Some(p),
                ..Default::default()
            }))
        }),
        Step::Needs(a, b) => {
            if let Some(need) = id(b) {
                let edit =
                    crate::domain::work::Edit { add_needs: vec![need], ..Default::default() };
                change(bench, store, a, &|_| Change::Edit(Box::new(edit.clone())));
            }
        }
        Step::Assign(at, agent) => {
            if let Some(id) = id(at) {
                let op = bench.op("boss");
                let agent = (agent > 0).then(|| format!("agent-{agent}").parse().unwrap());
                store.assign(&[(id, agent)], &op).unwrap();
            }
        }
        Step::Remove(agent) => {
            let op = bench.op("boss");
            let _ = store.remove_agent(&format!("agent-{agent}").parse().unwrap(), &op);
        }
        Step::Sleep(s) => bench.clock.advance(Duration::from_secs(u64::from(s) % 100)),
        Step::Reboot => bench.clock.reboot(),
        Step::Forget => drop(fs::remove_dir_all(bench.path().join(".index"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn the_index_is_always_what_a_rebuild_would_make(steps in prop::collection::vec(step(), 1..60)) {
        let mut bench = Bench::new();
        let mut store = bench.store();
        bench.add(&mut store, &["first"]);
        for step in steps {
            take(&mut bench, &mut store, step.clone());
            let verified = bench.verify(&mut store);
            prop_assert!(verified.problems.is_empty(), "after {:?}: {:#?}", step, verified.problems);
        }
    }
}

#[test]
fn many_sealed_logs_do_not_use_up_what_may_be_open() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    bench.add(&mut store, &["one"]);
    let history = bench.path().join("history");
    fs::create_dir_all(&history).unwrap();
    // Each goes on where the one before it ended; the live log comes last.
    let live = fs::read_to_string(bench.path().join("work.jsonl")).unwrap();
    for segment in 1..=80 {
        fs::write(history.join(format!("{segment:06}.jsonl")), &live).unwrap();
    }
    let header = "\"segment\":1";
    fs::write(bench.path().join("work.jsonl"), live.replace(header, "\"segment\":81")).unwrap();
    let open = || {
        let all = fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        all.filter(|target| target.starts_with(&history) && *target != history).count()
    };
    let logs = store.logs().unwrap();
    for segment in (1..=80).chain([80, 79, 1]) {
        let first = logs.line(rows::Place { segment, at: 0, len: 0 }).unwrap();
        assert!(first.starts_with(b"{\"coord\""));
    }
    assert!((1..=40).contains(&open()), "{}", open());
    drop(logs);
    let picture = store.picture("test").unwrap();
    assert!(open() < 5, "{}", open());
    let archive = picture.write(Vec::new()).unwrap();
    assert!(archive.len() > 100);
}
