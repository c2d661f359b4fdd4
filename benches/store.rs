//! The log and the index without processes and without flushes: `cargo bench`.
//!
//! Whole commands, and what the disk adds, are measured by `coord bench store`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coord::domain::name::ItemId;
use coord::domain::time::Stamp;
use coord::domain::work::transition::Holder;
use coord::domain::work::{Change, Draft, NewItem, Op, Query, Want};
use coord::store::files::{FileStore, Options};
use coord::store::{Claimed, Store};
use coord::sys::{Clock, Ids, RandomIds, SystemClock};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIZES: [u64; 3] = [100, 10_000, 100_000];

fn open(dir: &Path) -> FileStore {
    FileStore::open(Options {
        dir: dir.to_owned(),
        create: true,
        trust_dir: false,
        lock_timeout: Duration::from_secs(10),
        sync: false,
        command: "bench".to_owned(),
        clock: Arc::new(SystemClock),
    })
    .expect("a new directory")
}

fn op() -> Op {
    let boot = SystemClock.boot();
    Op {
        id: RandomIds.hex().parse().expect("hex digits are a name"),
        given: false,
        by: "nova".parse().expect("a name"),
        now: Stamp { wall: SystemClock.wall(), boot: boot.id, boot_ms: boot.ms },
    }
}

fn items(count: u64) -> Vec<NewItem> {
    let title = |at| format!("Mend the flaky import of customer records, part {at}");
    (0..count)
        .map(|at| Draft { title: title(at), ..Draft::default() })
        .map(|draft| NewItem::try_from(draft).expect("a good draft"))
        .collect()
}

fn filled(dir: &Path, count: u64) -> FileStore {
    let mut store = open(dir);
    store.add(items(count), &op()).expect("room for the items");
    store
}

fn claim(store: &mut FileStore) -> ItemId {
    let op = op();
    let want = Want {
        agent: op.by.clone(),
        id: None,
        team: None,
        kind: None,
        labels: Vec::new(),
        capabilities: Vec::new(),
        lease: Duration::from_mins(30),
    };
    match store.claim(&want, &op).expect("a working store") {
        Claimed::Taken(taken) => taken.found.item.id,
        other => panic!("nothing to claim: {other:?}"),
    }
}

/// Opening, claiming and completing, as a command does: the index finds, the log takes two lines.
fn life(c: &mut Criterion) {
    let mut group = c.benchmark_group("open, claim, complete, add");
    for size in SIZES {
        let dir = tempfile::tempdir().expect("a directory");
        let _ = filled(dir.path(), size);
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| {
                let mut store = open(dir.path());
                let id = claim(&mut store);
                let op = op();
                let holder = Holder { agent: op.by.clone(), token: None };
                let change = Change::Complete { holder, result: None, points: None };
                store.change(&id, &change, &op).expect("it is ours");
                store.add(items(1), &self::op()).expect("room for one");
            });
        });
    }
    group.finish();
}

/// Many lines at once.
fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("add");
    for size in [1, 1000] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = filled(dir.path(), 1);
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter_batched(
                || items(size),
                |batch| store.add(batch, &op()).expect("room"),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// The index made anew from the log.
fn rebuild(c: &mut Criterion) {
    let mut group = c.benchmark_group("rebuild the index");
    group.sample_size(10);
    for size in SIZES {
        let dir = tempfile::tempdir().expect("a directory");
        let _ = filled(dir.path(), size);
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| {
                std::fs::remove_dir_all(dir.path().join(".index")).expect("it was there");
                let mut store = open(dir.path());
                claim(&mut store)
            });
        });
    }
    group.finish();
}

/// The first ten of a list.
fn list(c: &mut Criterion) {
    let mut group = c.benchmark_group("list 10");
    for size in SIZES {
        let dir = tempfile::tempdir().expect("a directory");
        let store = filled(dir.path(), size);
        let query = Query { limit: Some(10), ..Query::default() };
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| store.find(&query).expect("a working store"));
        });
    }
    group.finish();
}

criterion_group!(benches, life, append, rebuild, list);
criterion_main!(benches);
