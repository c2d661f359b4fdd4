//! Stores of a given size to measure on, and the commands that are measured on them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::name::{AgentId, OpId};
use crate::domain::time::Stamp;
use crate::domain::work::{Draft, NewItem, Op, Priority};
use crate::error::{Error, Kind, Result};
use crate::store::Store;
use crate::store::files::{FileStore, Options};
use crate::sys::measure::{Program, Run};
use crate::sys::{Clock, Env, Ids};

/// Who works in the measured stores.
pub(super) const AGENT: &str = "nova";

/// Items in one transaction while a store is filled.
const BATCH: u64 = 50_000;

/// A store of a given size.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// How many items are open in it.
    pub(super) items: u64,
    /// Where it is.
    pub(super) dir: PathBuf,
}

impl Stage {
    /// Fills a new store with items that can be claimed, of every priority and of four teams.
    pub(super) fn fill(
        dir: PathBuf,
        items: u64,
        clock: &Arc<dyn Clock>,
        ids: &dyn Ids,
        mut told: impl FnMut(u64),
    ) -> Result<Self> {
        let mut store = open(&dir, true, false, Arc::clone(clock))?;
        let mut made = 0;
        while made < items {
            let until = items.min(made + BATCH);
            let batch = (made..until).map(item).collect::<Result<Vec<_>>>()?;
            store.add(batch, &op(clock.as_ref(), ids)?).map_err(failed)?;
            made = until;
            told(made);
        }
        Ok(Self { items, dir })
    }
}

/// Opens a store as the measured commands do.
pub(super) fn open(
    dir: &Path,
    create: bool,
    sync: bool,
    clock: Arc<dyn Clock>,
) -> Result<FileStore> {
    let options = Options {
        dir: dir.to_owned(),
        create,
        trust_dir: false,
        lock_timeout: Duration::from_mins(1),
        sync,
        command: "bench".to_owned(),
        clock,
    };
    FileStore::open(options).map_err(failed)
}

/// An operation of this program's own.
pub(super) fn op(clock: &dyn Clock, ids: &dyn Ids) -> Result<Op> {
    let boot = clock.boot();
    Ok(Op {
        id: ids.hex().parse::<OpId>().map_err(failed)?,
        given: false,
        by: AGENT.parse::<AgentId>().map_err(failed)?,
        now: Stamp { wall: clock.wall(), boot: boot.id, boot_ms: boot.ms },
    })
}

fn item(at: u64) -> Result<NewItem> {
    const TEAMS: [&str; 4] = ["core", "web", "data", "ops"];
    let pick = usize::try_from(at % 4).unwrap_or(0);
    let draft = Draft {
        title: format!("Mend the flaky import of customer records, part {at}"),
        // Most work is of medium urgency.
        priority: Some(match at % 10 {
            0 => Priority::High,
            1..7 => Priority::Medium,
            _ => Priority::Low,
        }),
        kind: Some("bug".parse().map_err(failed)?),
        team: Some(TEAMS[pick].parse().map_err(failed)?),
        points: Some(3),
        ..Draft::default()
    };
    NewItem::try_from(draft).map_err(failed)
}

/// The measured program on one store.
#[derive(Clone, Debug)]
pub(super) struct Coord {
    program: Program,
    dir: PathBuf,
}

impl Coord {
    /// This very program on the store in `dir`.
    pub(super) fn new(exe: &Path, dir: &Path) -> Self {
        let program = Program::new(exe)
            .env("COORD_DIR", dir.as_os_str())
            .env("COORD_AGENT", AGENT)
            .env("HOME", dir.as_os_str())
            .env("PATH", "/usr/bin:/bin");
        Self { program, dir: dir.to_owned() }
    }

    /// With the bugs that a test has planted, to prove that they would be found.
    pub(super) fn spoilt(mut self, env: &Env) -> Self {
        if cfg!(feature = "test-hooks")
            && let Some(bugs) = env.get("COORD_TEST_PLANT")
        {
            self.program = self.program.env("COORD_TEST_PLANT", bugs);
        }
        self
    }

    /// The whole command line program.
    pub(super) fn whole(&self, words: &[&str]) -> Program {
        self.program.clone().args(words)
    }

    /// The same program when it does nothing at all.
    pub(super) fn start(&self) -> Program {
        self.program.clone().args([super::bare::WORD, "empty"])
    }

    /// The store alone: the same program before any of its command line.
    pub(super) fn bare(&self, words: &[&str]) -> Program {
        self.program.clone().args([super::bare::WORD]).args(words).args([self.dir.as_os_str()])
    }
}

/// What a run that has to succeed answered.
pub(super) fn answer(run: &Run, program: &Program) -> Result<String> {
    if run.code == Some(0) {
        return Ok(run.answer.trim().to_owned());
    }
    let code = run.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
    Err(Error::new(Kind::External, format!("`{}` ended with {code}", program.words()))
        .hint("measure with `--keep` and run it by hand in the scratch directory"))
}

/// A preparation or measurement that failed.
pub(super) fn failed(cause: impl Into<anyhow::Error>) -> Error {
    Error::new(Kind::External, "cannot measure").caused_by(cause)
}
