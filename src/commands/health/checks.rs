//! The checks, one row each. Another one is a row and a function from a probe to a finding.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::measured::{self, Measured};
use crate::commands::{Context, from_store};
use crate::domain::health::{self, Finding, Level};
use crate::domain::time::{Stamp, human_duration, of_file, parse_rfc3339};
use crate::domain::work::State;
use crate::error::Error;
use crate::output::plural;
use crate::settings::Place;
use crate::store::files::FileStore;
use crate::store::{self, Store as _};
use crate::sys::fs::{Access, Dir};
use crate::sys::volume::{Volume, is_stopped, may_write, volume};
use crate::sys::{Env, process};

/// A row of the table.
pub(super) struct Check {
    /// Its name in machine output.
    pub(super) name: &'static str,
    /// What its failure takes from the score.
    pub(super) weight: u32,
    /// Makes it.
    pub(super) make: fn(&mut Probe) -> Finding,
}

const fn check(name: &'static str, weight: u32, make: fn(&mut Probe) -> Finding) -> Check {
    Check { name, weight, make }
}

/// Every check, in the order in which they are shown.
pub(super) const CHECKS: &[Check] = &[
    check("config", 50, config),
    check("environment", 20, environment),
    check("store", 100, readable),
    check("writable", 60, writable),
    check("owner", 40, owner),
    check("file-system", 50, file_system),
    check("disk", 50, disk),
    check("sync", 50, sync),
    check("lock", 50, lock),
    check("log", 80, log),
    check("quarantine", 20, quarantine),
    check("index", 20, index),
    check("clock", 40, clock),
    check("leases", 20, leases),
    check("dead-letters", 20, dead_letters),
    check("agents", 20, agents),
    check("claude", 20, claude),
    check("availability", 30, measured::availability),
    check("telemetry", 10, measured::telemetry),
    check("endpoints", 40, measured::endpoints),
    check("program", 10, program),
];

/// What the checks look at: gathered once, without changing anything.
pub(super) struct Probe {
    env: Env,
    now: Stamp,
    least_free: u64,
    thorough: bool,
    trusted: bool,
    place: Result<Place, Error>,
    settings: Result<Known, Error>,
    store: Option<Result<FileStore, store::Error>>,
    volume: Option<Volume>,
    claude: Option<Result<crate::client::claude::State, Error>>,
    claude_problems: Vec<Error>,
    /// What was measured, and what is measured now.
    pub(super) measured: Measured,
    sleep: Box<dyn Fn(Duration)>,
}

/// The settings that are needed here.
struct Known {
    warnings: Vec<String>,
    sync: bool,
    patience: Duration,
    silent_after: Duration,
}

impl Probe {
    pub(super) fn new(cx: &mut Context, least_free: u64, thorough: bool) -> Self {
        let place = cx.place();
        let settings = cx.settings().map(|settings| Known {
            warnings: settings.warnings.clone(),
            sync: settings.sync(),
            patience: settings.lock_timeout(),
            silent_after: settings.silent_after(),
        });
        let store = cx.options(false).ok().map(FileStore::observe);
        let volume = place.as_ref().ok().and_then(|place| volume(&place.dir).ok());
        let (now, env, clock) = (cx.stamp(), cx.env.clone(), std::sync::Arc::clone(&cx.clock));
        let claude = crate::commands::claude::standing(cx);
        let claude_problems = crate::commands::claude::problems(cx);
        let measured = Measured::new(cx);
        let (trusted, sleep) = (cx.flags.trust_dir, Box::new(move |time| clock.sleep(time)));
        Self {
            env,
            now,
            least_free,
            thorough,
            trusted,
            place,
            settings,
            store,
            volume,
            claude,
            claude_problems,
            measured,
            sleep,
        }
    }

    /// The state directory.
    pub(super) fn dir(&self) -> Option<String> {
        self.place.as_ref().ok().map(|place| place.dir.display().to_string())
    }

    /// Whether there are addresses to be asked.
    pub(super) const fn has_endpoints(&self) -> bool {
        self.measured.has_endpoints()
    }

    fn path(&self) -> Option<&Path> {
        self.place.as_ref().ok().map(|place| place.dir.as_path())
    }

    /// The store, if it is there.
    fn open(&self) -> Result<&FileStore, Finding> {
        match &self.store {
            Some(Ok(store)) if self.has("work.jsonl") => Ok(store),
            _ => Err(Finding::not_checked("there is no store to look at")),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.path().is_some_and(|dir| dir.join(name).symlink_metadata().is_ok())
    }
}

/// What went wrong, with the hints of the error that any command would give.
fn failed(error: &Error) -> Finding {
    let mut why = error.to_string();
    for cause in error.causes() {
        why.extend([": ", &cause]);
    }
    error.hints().iter().fold(Finding::fail(why), Finding::todo)
}

/// Makes a check on the store; what cannot be read is told by the check of that name.
fn on_store(probe: &Probe, make: impl Fn(&FileStore) -> store::Result<Finding>) -> Finding {
    match probe.open() {
        Ok(store) => {
            make(store).unwrap_or_else(|_| Finding::not_checked("the store cannot be read"))
        }
        Err(finding) => finding,
    }
}

fn config(probe: &mut Probe) -> Finding {
    match &probe.settings {
        Err(error) => failed(error),
        Ok(known) if known.warnings.is_empty() => Finding::ok("every setting is understood"),
        Ok(known) => Finding::warn(known.warnings.join("; "))
            .todo("correct it: what is not understood counts for nothing"),
    }
}

fn environment(probe: &mut Probe) -> Finding {
    let (new, old) = (probe.env.get("COORD_DIR"), probe.env.get("COORDINATION_DIR"));
    match (new, old) {
        (Some(new), Some(old)) if new != old => {
            Finding::warn("`COORD_DIR` and `COORDINATION_DIR` name two directories")
                .todo("unset `COORDINATION_DIR`, or give both the same value")
        }
        _ => Finding::ok("the variables agree"),
    }
}

fn readable(probe: &mut Probe) -> Finding {
    if let Err(error) = &probe.place {
        return failed(error);
    }
    let missing = || {
        let dir = probe.dir().unwrap_or_default();
        Finding::fail(format!("there is no store at `{dir}`"))
            .todo("`coord init` makes one; `--dir` and `COORD_DIR` say where to look")
    };
    match &probe.store {
        None => Finding::not_checked("the settings cannot be read"),
        Some(Err(store::Error::Missing { .. })) => missing(),
        Some(Err(store::Error::Io { what, source })) => {
            Finding::fail(format!("cannot {what}: {source}"))
                .todo("let its owner give you access, or look elsewhere with `--dir`")
        }
        Some(Err(error)) => Finding::fail(error.to_string()).todo("look elsewhere with `--dir`"),
        Some(Ok(_)) if !probe.has("work.jsonl") => missing(),
        Some(Ok(store)) => match store.summary() {
            Ok(summary) => Finding::ok(plural(summary.total(), "item")),
            Err(error) => failed(&from_store(error)),
        },
    }
}

fn writable(probe: &mut Probe) -> Finding {
    if let Err(finding) = probe.open() {
        return finding;
    }
    let Some(dir) = probe.path() else { return Finding::not_checked("there is no place") };
    if probe.volume.is_some_and(|volume| volume.read_only) {
        return Finding::fail("its file system is mounted read-only")
            .todo("remount it, or set another directory with `COORD_DIR`");
    }
    let names = ["", "work.jsonl", "lock"];
    let closed = names.iter().map(|name| dir.join(name)).find(|p| p.exists() && !may_write(p));
    match closed {
        Some(path) => Finding::fail(format!("you may not write `{}`", path.display()))
            .todo("let its owner give you access, or work as that user"),
        None => Finding::ok("it may be written"),
    }
}

fn owner(probe: &mut Probe) -> Finding {
    if let Err(finding) = probe.open() {
        return finding;
    }
    let Some(dir) = probe.path() else { return Finding::not_checked("there is no place") };
    let me = rustix::process::geteuid().as_raw();
    let (mut wrong, mut open): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for name in ["", "work.jsonl", "lock", "history", "agents", "locks", ".index"] {
        let path = if name.is_empty() { dir.to_owned() } else { dir.join(name) };
        // The directory itself may be reached through a link; what is in it may not.
        let about = if name.is_empty() { path.metadata() } else { path.symlink_metadata() };
        let Ok(about) = about else { continue };
        let shown = path.display();
        if about.is_symlink() {
            wrong.push(format!("`{shown}` is a symbolic link"));
        } else if about.uid() != me && !probe.trusted {
            wrong.push(format!("`{shown}` belongs to user {}", about.uid()));
        } else if about.is_file() && about.nlink() > 1 {
            wrong.push(format!("`{shown}` has a second name"));
        } else if about.permissions().mode() & 0o077 != 0 && about.uid() == me {
            let mode = about.permissions().mode() & 0o777;
            open.push(format!("`{shown}` is open to others ({mode:04o})"));
        }
    }
    if !wrong.is_empty() {
        Finding::fail(wrong.join("; "))
            .todo("a store is one user's own: `chown` it, copy links over")
            .todo("`--trust-dir` uses somebody else's directory all the same")
    } else if open.is_empty() {
        Finding::ok("it is yours alone")
    } else {
        Finding::warn(open.join("; ")).todo(format!("`chmod -R go= '{}'`", dir.display()))
    }
}

fn file_system(probe: &mut Probe) -> Finding {
    let Some(volume) = probe.volume else { return Finding::not_checked("there is no directory") };
    match volume.remote {
        Some(name) if probe.trusted => {
            Finding::warn(format!("it lies on {name}, where locks cannot be relied on"))
                .todo("move the store to a local disk")
        }
        Some(name) => Finding::fail(format!("it lies on {name}, where locks cannot be relied on"))
            .todo("set a directory on a local disk with `COORD_DIR`"),
        None if volume.in_memory => Finding::warn("it lies in memory and is gone after a reboot")
            .todo("set a directory on a disk with `COORD_DIR`, unless this is scratch work"),
        None => Finding::ok("it lies on a local disk"),
    }
}

fn disk(probe: &mut Probe) -> Finding {
    match probe.volume {
        Some(volume) => health::disk(volume.free, volume.free_files, probe.least_free),
        None => Finding::not_checked("there is no directory"),
    }
}

fn sync(probe: &mut Probe) -> Finding {
    if let Err(finding) = probe.open() {
        return finding;
    }
    match &probe.settings {
        Err(_) => Finding::not_checked("the settings cannot be read"),
        Ok(known) if known.sync => Finding::ok("what is acknowledged is durable"),
        Ok(_) => Finding::warn("`store.sync` is `never`: a power cut may take acknowledged work")
            .todo("take the setting out, unless this is scratch work"),
    }
}

fn lock(probe: &mut Probe) -> Finding {
    let patience = probe.settings.as_ref().map_or(Duration::from_secs(10), |known| known.patience);
    on_store(probe, |store| {
        let Some(first) = store.locked_by()? else { return Ok(Finding::ok("nobody holds it")) };
        let held = |since: &str| {
            let since: Option<DateTime<Utc>> = parse_rfc3339(since);
            since.and_then(|since| (probe.now.wall - since).to_std().ok()).unwrap_or_default()
        };
        // What is signed is when its holder began to ask for it: one that waited long is not one
        // that holds it long.
        let mut held = held(&first.since);
        if held > patience / 2 {
            for _ in 0..25 {
                (probe.sleep)(Duration::from_millis(20));
                if store.locked_by()?.as_ref() != Some(&first) {
                    held = Duration::ZERO;
                    break;
                }
            }
        }
        let stopped = is_stopped(first.pid).unwrap_or(false);
        let who = if first.pid == 0 {
            "somebody".to_owned()
        } else {
            format!("process {} on `{}` (`{}`)", first.pid, first.host, first.command)
        };
        Ok(health::lock(&who, held, patience, stopped))
    })
}

fn log(probe: &mut Probe) -> Finding {
    on_store(probe, |store| {
        // An index that fits was made of lines that were read, so that they need not be read again.
        if !probe.thorough && store.index_fits()? == Some(false) {
            return Ok(Finding::ok("every line was read when the index was made"));
        }
        let faults = store.faults(probe.thorough)?;
        let Some(first) = faults.first() else { return Ok(Finding::ok("every line can be read")) };
        let more = match faults.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Ok(Finding::fail(format!("{first}{more}")).todo(
            "`coord verify` tells all; `coord verify --repair` moves aside what cannot be read",
        ))
    })
}

fn quarantine(probe: &mut Probe) -> Finding {
    if let Err(finding) = probe.open() {
        return finding;
    }
    let name = "quarantine.jsonl";
    let Some(dir) = probe.path().and_then(|dir| Dir::observe(dir).ok()) else {
        return Finding::ok("no line was ever moved aside");
    };
    let shown = dir.path().join(name).display().to_string();
    // A pipe would hold us, and a device never end.
    let file = match dir.file(name, Access::Read) {
        Err(e) if e.is_not_found() => return Finding::ok("no line was ever moved aside"),
        Err(e) => {
            let why = std::iter::successors(Some(&e as &dyn std::error::Error), |e| e.source());
            let why = why.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            return Finding::warn(format!("it cannot be read: {why}"))
                .todo("see what took its place; a repair writes there what it moves aside");
        }
        Ok(file) => file,
    };
    let whole = file.metadata().is_ok_and(|about| about.len() <= COUNTED);
    let mut lines = BufReader::new(file.take(COUNTED)).split(b'\n').take_while(Result::is_ok);
    match lines.by_ref().count() {
        0 => Finding::ok("no line was ever moved aside"),
        lines => {
            let more = if whole { "" } else { "more than " };
            let lines = plural(lines as u64, "line");
            Finding::warn(format!("a repair moved {more}{lines} to `{shown}`")).todo(
                "see what they were; `coord verify` holds the log against the file, so it stays",
            )
        }
    }
}

/// How much of a file is counted line by line.
const COUNTED: u64 = 16 << 20;

fn index(probe: &mut Probe) -> Finding {
    on_store(probe, |store| {
        Ok(match store.index_fits()? {
            Some(_) => Finding::ok("it fits the log"),
            None => Finding::warn("it does not fit the log")
                .todo("nothing: the next command that writes makes it anew"),
        })
    })
}

fn clock(probe: &mut Probe) -> Finding {
    let written = probe.path().map(|dir: &Path| -> PathBuf { dir.join("work.jsonl") });
    let written = written.and_then(|log| log.metadata().ok()?.modified().ok());
    let ahead = written.map(of_file).map(|at| at - probe.now.wall);
    let ahead = ahead.and_then(|ahead| ahead.to_std().ok()).unwrap_or_default();
    let found = health::clock(probe.now.wall.timestamp(), ahead, probe.now.boot != 0);
    match probe.open() {
        Err(_) if found.level == Level::Ok => Finding::ok("the clock is set; nothing was written"),
        _ => found,
    }
}

/// How many are named.
const NAMED: usize = 5;

/// `a, b and more`.
fn named(mut all: Vec<String>) -> String {
    if all.len() > NAMED {
        all.truncate(NAMED);
        all.push("more".to_owned());
    }
    all.join(", ")
}

fn leases(probe: &mut Probe) -> Finding {
    on_store(probe, |store| {
        let late = store.expired(NAMED + 1)?.into_iter().map(|item| item.id.to_string());
        let late: Vec<String> = late.collect();
        if late.is_empty() {
            return Ok(Finding::ok("none has run out"));
        }
        Ok(Finding::warn(format!("leases have run out: {}", named(late)))
            .todo("the next claim of anybody takes these items back; start a worker"))
    })
}

fn dead_letters(probe: &mut Probe) -> Finding {
    on_store(probe, |store| {
        let dead = store.summary()?.count(State::Dead);
        if dead == 0 {
            return Ok(Finding::ok("none"));
        }
        Ok(Finding::warn(format!("{} given up after the last attempt", plural(dead, "item")))
            .todo("`coord work list --status dead` shows them, `coord work show ID` why")
            .todo("`coord work release ID --retry` queues one again"))
    })
}

fn agents(probe: &mut Probe) -> Finding {
    let Ok(known) = &probe.settings else {
        return Finding::not_checked("the settings cannot be read");
    };
    on_store(probe, |store| {
        let silent_for = |seen: Option<DateTime<Utc>>| {
            seen.is_none_or(|seen| {
                (probe.now.wall - seen).to_std().is_ok_and(|age| age > known.silent_after)
            })
        };
        let all = store.agents()?;
        let count = all.len() as u64;
        // Who went away for good and holds nothing harms nobody.
        let (mut holding, mut idle) = (Vec::new(), 0);
        for agent in all.into_iter().filter(|agent| silent_for(agent.seen_at)) {
            if agent.held > 0 {
                holding.push(agent.id.to_string());
            } else {
                idle += 1;
            }
        }
        if holding.is_empty() {
            let idle =
                if idle > 0 { format!("; {idle} silent without work") } else { String::new() };
            return Ok(Finding::ok(format!("{}{idle}", plural(count, "agent"))));
        }
        let after = human_duration(known.silent_after);
        Ok(Finding::warn(format!("silent for {after} and with work in hand: {}", named(holding)))
            .todo("see whether they live; `coord agent remove ID` hands their work back"))
    })
}

fn claude(probe: &mut Probe) -> Finding {
    if let Some(error) = probe.claude_problems.first() {
        let told = Finding::warn(error.to_string());
        let hint = error.hints().first().cloned();
        return told
            .todo(hint.unwrap_or_else(|| "`coord config check` tells all of it".to_owned()));
    }
    let state = match &probe.claude {
        None => return Finding::ok("Claude was not asked here so far"),
        Some(Err(error)) => return Finding::warn(error.to_string()).todo("`coord claude check`"),
        Some(Ok(state)) => state,
    };
    let open: Vec<String> = state
        .lines
        .iter()
        .filter_map(|line| Some((line, line.open_s.filter(|s| *s > 0.0)?)))
        .map(|(line, left)| format!("`{}` is left alone for {left:.0} s more", line.line))
        .collect();
    if !open.is_empty() {
        return Finding::warn(open.join("; "))
            .todo("nothing: it is tried again by itself; `coord claude check` tells what failed");
    }
    let spent = &state.spending;
    let used_up = |spent, limit: Option<_>| limit.is_some_and(|limit| spent >= limit);
    if used_up(spent.today_usd, spent.daily_budget_usd)
        || used_up(spent.month_usd, spent.monthly_budget_usd)
    {
        return Finding::warn("a budget for Claude is used up")
            .todo("wait, or raise `claude.daily-budget` or `claude.monthly-budget`");
    }
    Finding::ok("Claude's breakers are closed, no budget is used up")
}

fn program(probe: &mut Probe) -> Finding {
    let found = process::find("coord".as_ref(), probe.env.get("PATH").as_deref());
    let real = |path: PathBuf| path.canonicalize().unwrap_or(path);
    let version = env!("COORD_VERSION");
    match (found, std::env::current_exe()) {
        (None, _) => Finding::warn("`coord` is not on PATH, where agents and hooks look for it")
            .todo("add its directory to PATH, or link it there"),
        (Some(found), Ok(own)) if real(found.clone()) != real(own.clone()) => {
            let (found, own) = (found.display(), own.display());
            Finding::warn(format!("`coord` on PATH is `{found}`, this is `{own}` ({version})"))
                .todo("compare their `--version`, and keep one of them on PATH")
        }
        _ => Finding::ok(format!("coord {version}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_and_a_weight_of_its_own() {
        for (at, check) in CHECKS.iter().enumerate() {
            assert!((1..=100).contains(&check.weight), "{}", check.name);
            assert!(CHECKS[..at].iter().all(|other| other.name != check.name));
        }
    }
}
