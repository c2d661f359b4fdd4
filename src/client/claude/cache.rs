//! Answers kept on disk: one file per entry with a checksum. What cannot be read is a miss.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fs2::FileExt;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::lock::{self, Held, Wait};
use super::{Backend, BackendName, Config, Fault, Request, StopReason, Usage, Usd};
use crate::domain::time::{human_duration, parse_rfc3339, rfc3339};
use crate::sys::fs::{Access, Dir, OpenError};
use crate::sys::leftover::is_named;
use crate::sys::{Clock, Ids};

/// Another form of entries or keys gets another number.
const FORMAT: u32 = 1;
/// An entry is never larger.
const MOST: u64 = 16 << 20;
/// Holds the size of all entries, and is the lock for it.
const SIZE: &str = "size";
const LOCKS: &str = "locks";
/// A lock file that nobody used for so long can go.
const LOCK_LIFE: Duration = Duration::from_hours(1);

/// An answer that is kept.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Entry {
    /// The form.
    pub format: u32,
    /// Its key.
    pub key: String,
    /// When it was given, RFC 3339.
    pub created: String,
    /// Who gave it.
    pub backend: BackendName,
    /// Which model.
    pub model: String,
    /// The text.
    pub text: String,
    /// Why Claude stopped.
    pub stop_reason: StopReason,
    /// What was used for it.
    pub usage: Usage,
    /// What it cost.
    pub cost_usd: Option<Usd>,
    /// The service's id.
    pub request_id: Option<String>,
}

impl Entry {
    /// How old it is. One from the future, because a clock was set, counts as very old.
    #[must_use]
    pub fn age(&self, now: DateTime<Utc>) -> Duration {
        let age = parse_rfc3339(&self.created).map(|at| now - at);
        age.and_then(|age| age.to_std().ok()).unwrap_or(Duration::from_hours(24 * 365))
    }
}

/// What the cache holds.
#[derive(Clone, Debug, Default, JsonSchema, PartialEq, Serialize)]
pub struct Stats {
    /// How many entries.
    pub entries: u64,
    /// Their size on disk.
    pub bytes: u64,
    /// How large it may become.
    pub max_bytes: u64,
    /// How many are younger than the time to live.
    pub fresh: u64,
    /// How many can only stand in for a failed call.
    pub stale: u64,
    /// How many are older than that.
    pub expired: u64,
    /// How many cannot be read.
    pub unreadable: u64,
    /// Where it is.
    pub dir: Option<String>,
}

/// Something in the cache that can go.
#[derive(Clone, Debug, PartialEq)]
pub struct Disposable {
    /// Where it is, relative to the cache.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// Why it can go.
    pub why: String,
    /// What tells it from one that took its place since.
    mark: (u64, i64, i64),
}

impl Disposable {
    fn is_entry(&self) -> bool {
        let entry = self.path.split_once('/').filter(|(shelf, _)| *shelf != LOCKS);
        entry.is_some_and(|(_, name)| is_key(name))
    }

    fn remove(&self, dir: &Dir) -> Option<()> {
        let (below, name) = self.path.split_once('/')?;
        let within = dir.subdir(below, false).ok()?;
        let file = within.file(name, Access::Read).ok()?;
        let about = file.metadata().ok()?;
        let same = (about.ino(), about.mtime(), about.mtime_nsec()) == self.mark;
        // Who waits on a lock that loses its name begins anew; who holds it keeps it.
        let free = below != LOCKS || FileExt::try_lock(&file).is_ok();
        (same && free && within.remove(name).is_ok() && !within.has(name)).then_some(())
    }
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    dir: Option<Dir>,
    max: u64,
    ttl: Duration,
    max_stale: Duration,
}

/// The key of a request to one model of one backend: SHA-256 of its canonical JSON (RFC 8785).
/// Neither keys, headers, time limits nor the stream flag are part of it.
#[must_use]
pub(super) fn key(
    backend: BackendName,
    host: &str,
    version: &str,
    model: &str,
    request: &Request,
) -> String {
    let body = request.body(model, false);
    let part = |name: &str| body.get(name).cloned().unwrap_or(Value::Null);
    let parts = json!({
        "format": FORMAT,
        "backend": backend,
        "host": host,
        "version": version,
        "betas": [],
        "model": model,
        "max_tokens": part("max_tokens"),
        "system": part("system"),
        "messages": part("messages"),
        "tools": part("tools"),
        "tool_choice": part("tool_choice"),
        "output_config": part("output_config"),
        "thinking": part("thinking"),
    });
    // The parts are strings, whole numbers, lists and maps of them, and a schema that was parsed:
    // all of it has a canonical form.
    let text =
        serde_json_canonicalizer::to_vec(&parts).unwrap_or_else(|_| parts.to_string().into());
    hex(&hmac_sha256::Hash::hash(&text))
}

/// The key of a request to a backend.
pub(super) fn key_for(backend: &dyn Backend, model: &str, request: &Request) -> String {
    key(backend.name(), backend.host(), super::api::VERSION, model, request)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether a name is what an entry has before it is whole.
fn is_left(name: &str) -> bool {
    is_named(name, "", ".new")
}

fn is_key(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

impl Cache {
    pub(super) const fn new(
        dir: Option<Dir>,
        max: u64,
        ttl: Duration,
        max_stale: Duration,
    ) -> Self {
        Self { dir, max, ttl, max_stale }
    }

    /// Whether nothing is kept: its directory cannot be used.
    pub(super) const fn is_off(&self) -> bool {
        self.dir.is_none()
    }

    /// The entry under a key. Being asked for keeps it from being evicted.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Entry> {
        let dir = self.dir.as_ref()?;
        if !is_key(key) {
            return None;
        }
        let within = dir.subdir(&key[..2], false).ok()?;
        let file = within.file(key, Access::Read).ok()?;
        let entry = read(&file, key)?;
        if let Ok(file) = within.file(key, Access::Write) {
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let _ = futimens(&file, &Timestamps { last_access: now, last_modification: now });
        }
        Some(entry)
    }

    /// Keeps an answer, and makes room for it.
    pub(super) fn put(&self, entry: &Entry, ids: &dyn Ids) -> Result<(), String> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let told = |e: OpenError| e.to_string();
        let body = serde_json::to_vec(entry).map_err(|e| e.to_string())?;
        let mut bytes = hex(&hmac_sha256::Hash::hash(&body)).into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(&body);
        let size = bytes.len() as u64;
        if size > MOST || size > self.max {
            return Ok(());
        }
        let within = dir.subdir(&entry.key[..2], true).map_err(told)?;
        let temp = format!("{}.new", ids.hex());
        within.replace(&entry.key, &temp, &bytes, false).map_err(told)?;
        self.grown(dir, size)
    }

    /// Counts what was added, and evicts what was not used for longest once there is too much.
    fn grown(&self, dir: &Dir, by: u64) -> Result<(), String> {
        use std::os::unix::fs::FileExt as _;
        let told = |e: std::io::Error| e.to_string();
        let file = dir.file(SIZE, Access::Create).map_err(|e| e.to_string())?;
        FileExt::lock(&file).map_err(told)?;
        let mut text = String::new();
        let _ = (&file).take(32).read_to_string(&mut text);
        // An entry that is replaced is counted twice until the next eviction counts anew.
        let mut total = text.trim().parse::<u64>().map_or(u64::MAX, |old| old.saturating_add(by));
        if total > self.max {
            total = Self::evict(dir, self.max / 10 * 9);
        }
        file.write_all_at(format!("{total:<20}\n").as_bytes(), 0).map_err(told)
    }

    /// Removes what was not used for longest until there is at most `goal`; the size that stays.
    fn evict(dir: &Dir, goal: u64) -> u64 {
        let mut all = Vec::new();
        each(dir, |shelf, name| {
            let Ok(file) = shelf.file(name, Access::Read) else { return };
            let Ok(about) = file.metadata() else { return };
            let used = about.modified().ok();
            // What a killed process left behind.
            if is_key(name) {
                all.push((used, name.to_owned(), about.len()));
            } else if is_left(name) && idle(&file) {
                let _ = shelf.remove(name);
            }
        });
        all.sort();
        let mut total: u64 = all.iter().map(|(.., size)| size).sum();
        for (_, name, size) in &all {
            if total <= goal {
                break;
            }
            let gone = dir.subdir(&name[..2], false).is_ok_and(|shelf| shelf.remove(name).is_ok());
            if gone {
                total -= size;
            }
        }
        if let Ok(locks) = dir.subdir(LOCKS, false) {
            for name in locks.names().unwrap_or_default() {
                let file = locks.file(&name, Access::Read);
                if file.is_ok_and(|file| idle(&file) && FileExt::try_lock(&file).is_ok()) {
                    let _ = locks.remove(&name);
                }
            }
        }
        total
    }

    /// Every entry that can be read, with its size, the youngest first; and how many cannot be.
    #[must_use]
    pub fn list(&self) -> (Vec<(Entry, u64)>, u64) {
        let (mut entries, mut unreadable) = (Vec::new(), 0);
        if let Some(dir) = &self.dir {
            each(dir, |shelf, name| {
                if !is_key(name) {
                    return;
                }
                let file = shelf.file(name, Access::Read).ok();
                let size = file.as_ref().and_then(|f| f.metadata().ok()).map_or(0, |m| m.len());
                match file.and_then(|file| read(&file, name)) {
                    Some(entry) => entries.push((entry, size)),
                    None => unreadable += 1,
                }
            });
        }
        entries.sort_by(|a, b| b.0.created.cmp(&a.0.created).then(a.0.key.cmp(&b.0.key)));
        (entries, unreadable)
    }

    /// What it holds.
    #[must_use]
    pub fn stats(&self, now: DateTime<Utc>) -> Stats {
        let (entries, unreadable) = self.list();
        let mut stats = Stats {
            entries: entries.len() as u64,
            max_bytes: self.max,
            unreadable,
            dir: self.dir.as_ref().map(|dir| dir.path().display().to_string()),
            ..Stats::default()
        };
        for (entry, size) in &entries {
            stats.bytes += size;
            match entry.age(now) {
                age if age < self.ttl => stats.fresh += 1,
                age if age <= self.max_stale => stats.stale += 1,
                _ => stats.expired += 1,
            }
        }
        stats
    }

    /// The cache as it lies there, to be looked at and tidied: nothing is made.
    pub fn standing(config: &Config) -> Result<Option<Self>, OpenError> {
        match Dir::open(&config.cache_dir, false) {
            Ok(dir) => Ok(Some(Self::new(
                Some(dir),
                config.cache_max_bytes,
                config.cache_ttl,
                config.cache_max_stale,
            ))),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> String {
        let place = self.dir.as_ref().map(|dir| dir.path().to_string_lossy().into_owned());
        place.unwrap_or_default()
    }

    /// What has no use any more: entries that are older than may stand in for a failed call, those that
    /// cannot be read, what killed processes left.
    #[must_use]
    pub fn disposable(&self, now: DateTime<Utc>) -> Vec<Disposable> {
        self.older(Some(self.max_stale), now)
    }

    /// The entries that are older than `older`, all of them without; those that cannot be read; and
    /// what was left on the way, or locked and never unlocked.
    fn older(&self, older: Option<Duration>, now: DateTime<Utc>) -> Vec<Disposable> {
        let mut list = Vec::new();
        let Some(dir) = &self.dir else { return list };
        let mut add = |within: &Dir, name: &str, file: &File, why: String| {
            if let Ok(about) = file.metadata() {
                let below = within.path().file_name().unwrap_or_default();
                let path = Path::new(below).join(name).to_string_lossy().into_owned();
                let mark = (about.ino(), about.mtime(), about.mtime_nsec());
                list.push(Disposable { path, bytes: about.len(), why, mark });
            }
        };
        each(dir, |shelf, name| {
            let Ok(file) = shelf.file(name, Access::Read) else { return };
            if !is_key(name) {
                if is_left(name) && idle(&file) {
                    add(shelf, name, &file, "left by a killed writer".to_owned());
                }
                return;
            }
            match read(&file, name) {
                None => add(shelf, name, &file, "an answer that cannot be read".to_owned()),
                Some(entry) if older.is_none_or(|older| entry.age(now) > older) => {
                    let why = format!("an answer, {} old", human_duration(entry.age(now)));
                    add(shelf, name, &file, why);
                }
                Some(_) => {}
            }
        });
        if let Ok(locks) = dir.subdir(LOCKS, false) {
            for name in locks.names().unwrap_or_default().iter().filter(|name| is_key(name)) {
                let Ok(file) = locks.file(name, Access::Read) else { continue };
                if idle(&file) && FileExt::try_lock(&file).is_ok() {
                    add(&locks, name, &file, "a lock that nobody holds".to_owned());
                }
            }
        }
        list
    }

    /// Removes what was found disposable and is still what it was. Gives what is gone.
    #[must_use]
    pub fn dispose(&self, found: Vec<Disposable>) -> Vec<Disposable> {
        let Some(dir) = &self.dir else { return Vec::new() };
        let gone: Vec<Disposable> =
            found.into_iter().filter(|thing| thing.remove(dir).is_some()).collect();
        if !gone.is_empty() {
            // The size is counted anew by the next one who adds an entry.
            let _ = dir.remove(SIZE);
        }
        gone
    }

    /// Removes the entries that are older than `older`, all of them without; those that cannot be
    /// read, and what was left behind, go as well. Tells how many entries went and their size.
    #[must_use]
    pub fn purge(&self, older: Option<Duration>, now: DateTime<Utc>) -> (u64, u64) {
        let gone = self.dispose(self.older(older, now));
        let entries = gone.iter().filter(|thing| thing.is_entry());
        entries.fold((0, 0), |(count, bytes), thing| (count + 1, bytes + thing.bytes))
    }

    /// The keys of the entries that cannot be read; with `remove` they are removed.
    #[must_use]
    pub fn verify(&self, remove: bool) -> Vec<String> {
        let mut bad = Vec::new();
        let Some(dir) = &self.dir else { return bad };
        each(dir, |shelf, name| {
            let sound = |file| read(&file, name).is_some();
            if is_key(name) && !shelf.file(name, Access::Read).is_ok_and(sound) {
                bad.push(name.to_owned());
                if remove {
                    let _ = shelf.remove(name);
                }
            }
        });
        bad
    }

    /// Waits until nobody else asks the same. The kernel lets a killed one's lock go.
    pub(super) fn lead(&self, key: &str, wait: &Wait<'_>) -> Result<Option<Lead>, OpenError> {
        let Some(dir) = &self.dir else { return Ok(None) };
        let locks = dir.subdir(LOCKS, true)?;
        let held = lock::take(&locks, &[key.to_owned()], wait)?;
        Ok(held.map(|held| Lead { locks, key: key.to_owned(), held }))
    }
}

/// The right to ask for all who ask the same.
pub(super) struct Lead {
    locks: Dir,
    key: String,
    held: Held,
}

/// Why the last one who asked the same has no answer.
#[derive(Deserialize, Serialize)]
struct Failed {
    boot: u64,
    ms: u64,
    fault: Fault,
}

impl Lead {
    /// Whether somebody else asked first.
    pub(super) const fn waited(&self) -> bool {
        self.held.waited
    }

    /// What the one before us, who asked after `since` (milliseconds since boot), failed with.
    pub(super) fn failure(&self, clock: &dyn Clock, since: u64) -> Option<Fault> {
        let mut bytes = Vec::new();
        (&self.held.file).take(1 << 16).read_to_end(&mut bytes).ok()?;
        let failed: Failed = serde_json::from_slice(&bytes).ok()?;
        (failed.boot == clock.boot().id && failed.ms >= since).then_some(failed.fault)
    }

    /// Leaves word for those who wait, if there is a fault; else nothing is left.
    pub(super) fn done(self, clock: &dyn Clock, fault: Option<&Fault>) {
        use std::os::unix::fs::FileExt as _;
        let Some(fault) = fault else {
            // Who waits on this file finds that it has lost its name, and begins anew.
            let _ = self.locks.remove(&self.key);
            return;
        };
        let boot = clock.boot();
        let failed = Failed { boot: boot.id, ms: boot.ms, fault: fault.clone() };
        if let Ok(bytes) = serde_json::to_vec(&failed) {
            let _ = self.held.file.set_len(0);
            let _ = self.held.file.write_all_at(&bytes, 0);
        }
    }
}

fn read(file: &File, key: &str) -> Option<Entry> {
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes).ok()?;
    let (sum, body) = bytes.split_at_checked(65)?;
    if sum[64] != b'\n' || sum[..64] != *hex(&hmac_sha256::Hash::hash(body)).as_bytes() {
        return None;
    }
    let entry: Entry = serde_json::from_slice(body).ok()?;
    (entry.format == FORMAT && entry.key == key).then_some(entry)
}

/// Whether nobody wrote to it for a long time. Files have the machine's time, whatever ours is.
fn idle(file: &File) -> bool {
    let about = file.metadata().and_then(|about| about.modified());
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let now = std::time::UNIX_EPOCH + Duration::from_secs(now.tv_sec.unsigned_abs());
    about.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > LOCK_LIFE))
}

fn each(dir: &Dir, mut see: impl FnMut(&Dir, &str)) {
    for shelf in dir.names().unwrap_or_default().iter().filter(|name| name.len() == 2) {
        let Ok(shelf) = dir.subdir(shelf, false) else { continue };
        for name in shelf.names().unwrap_or_default() {
            see(&shelf, &name);
        }
    }
}

/// When an entry that was made now was made.
pub(super) fn stamp(clock: &dyn Clock) -> String {
    rfc3339(clock.wall())
}

pub(super) const fn format() -> u32 {
    FORMAT
}
