//! What every command gets: the terminal, the seams, and the store when it asks for it.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::record::{About, Step};
use super::{from_store, identity};
use crate::client::claude::Attempt;
use crate::domain::name::{AgentId, OpId};
use crate::domain::time::Stamp;
use crate::domain::work::Op;
use crate::error::{Error, Kind, Result};
use crate::output::{Shape, Ui};
use crate::settings::{Place, Settings, Source};
use crate::store::files::{FileStore, Options};
use crate::store::{self, Store};
use crate::sys::fs::Dir;
use crate::sys::{Clock, Env, Ids};

/// The global flags that concern the state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Flags {
    /// The state directory.
    pub(crate) dir: Option<PathBuf>,
    /// Whether somebody else's directory is used.
    pub(crate) trust_dir: bool,
    /// How long to wait for the store's lock.
    pub(crate) lock_timeout: Option<Duration>,
    /// The operation's id.
    pub(crate) op_id: Option<OpId>,
    /// Whether nothing is noted about this command.
    pub(crate) no_telemetry: bool,
}

/// What the program can tell about itself as a whole.
#[derive(Clone, Copy)]
pub(crate) struct Reference {
    /// The complete command tree.
    pub(crate) tree: fn() -> clap::Command,
    /// What `coord help TOPIC` shows, by name.
    pub(crate) topics: fn() -> Vec<(&'static str, String)>,
    /// What `coord help` prints under `--json`.
    pub(crate) views: &'static [Shape],
}

/// What every command gets.
pub(crate) struct Context {
    /// The terminal.
    pub(crate) ui: Ui,
    /// The environment.
    pub(crate) env: Env,
    /// The clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub(crate) ids: Box<dyn Ids>,
    /// The global flags.
    pub(crate) flags: Flags,
    /// The words of this command, such as `work claim`.
    pub(crate) command: String,
    /// What the program can tell about itself.
    pub(crate) reference: Reference,
    pub(super) place: Option<Place>,
    pub(super) settings: Option<Settings>,
    store: Option<Box<dyn Store>>,
    writable: bool,
    /// What the next operation is called if nobody names it; none for a random name.
    pub(crate) next_op: Option<OpId>,
    /// Where flags stand only before the other words, what they stand behind.
    pub(crate) flags_behind: Option<&'static str>,
    last_op: RefCell<Option<Op>>,
    /// What to do instead of repeating a change that no operation id protects.
    changed: Option<&'static str>,
    /// When the program began, on both clocks.
    pub(super) started: (DateTime<Utc>, Duration),
    pub(super) step: Option<Step>,
    pub(super) about: Option<About>,
    /// The operation that this command is, if it is about several items.
    pub(super) about_many: Option<OpId>,
    /// Attempts to ask Claude that are not noted yet.
    pub(super) attempts: Vec<Attempt>,
    /// The state directory, open.
    pub(super) dir: Option<Arc<Dir>>,
    /// How long was waited for others.
    pub(super) waited: Duration,
    /// How long it took to the answer.
    pub(super) took: Option<Duration>,
    /// Whether this command lasts by what was asked for: how long is not how fast it answers.
    pub(crate) lasting: bool,
}

impl Context {
    /// Nothing is looked up before it is asked for.
    pub(crate) fn new(
        ui: Ui,
        env: Env,
        clock: Arc<dyn Clock>,
        ids: Box<dyn Ids>,
        (flags, command): (Flags, String),
        reference: Reference,
    ) -> Self {
        let (place, settings, store, last_op) = (None, None, None, RefCell::default());
        let started = (clock.wall(), clock.monotonic());
        Self {
            ui,
            env,
            clock,
            ids,
            flags,
            command,
            reference,
            place,
            settings,
            store,
            writable: false,
            next_op: None,
            flags_behind: None,
            last_op,
            changed: None,
            started,
            step: None,
            about: None,
            about_many: None,
            attempts: Vec::new(),
            dir: None,
            waited: Duration::ZERO,
            took: None,
            lasting: false,
        }
    }

    /// The state directory and why it is that one.
    pub(crate) fn place(&mut self) -> Result<Place> {
        if self.place.is_none() {
            // A working directory that was removed still allows absolute places.
            let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
            self.place = Some(Place::resolve(self.flags.dir.as_deref(), &self.env, &cwd)?);
        }
        self.place.clone().ok_or_else(|| Error::new(Kind::Bug, "no place was chosen"))
    }

    /// Uses the project in the working directory unless the caller said otherwise.
    pub(crate) fn place_here(&mut self) -> Result<()> {
        let place = self.place()?;
        if !matches!(place.source, Source::Flag | Source::Env(_)) {
            let cwd = std::env::current_dir().map_err(|source| {
                Error::new(Kind::External, "the working directory is not there").caused_by(source)
            })?;
            self.place = Some(Place::project(&cwd));
        }
        Ok(())
    }

    /// The settings. Warnings about files are shown when they are first read.
    pub(crate) fn settings(&mut self) -> Result<&Settings> {
        if self.settings.is_none() {
            let warnings = self.told_settings()?.warnings.clone();
            for warning in warnings {
                self.ui.warning(&warning);
            }
        }
        self.told_settings()
    }

    /// The settings, for who tells the warnings about files in another way.
    pub(crate) fn told_settings(&mut self) -> Result<&Settings> {
        if self.settings.is_none() {
            let dir = self.place()?.dir;
            self.settings = Some(Settings::load(&dir, &self.env)?);
        }
        self.settings.as_ref().ok_or_else(|| Error::new(Kind::Bug, "no settings were read"))
    }

    /// The store for a command that writes: a missing one is made, and that is said.
    pub(crate) fn store(&mut self) -> Result<&mut dyn Store> {
        if self.store.is_none() || !self.writable {
            let options = self.options(false)?;
            let opened = match FileStore::open(options.clone()) {
                Err(store::Error::Missing { dir }) => {
                    let made = FileStore::open(Options { create: true, ..options });
                    let mut made = made.map_err(from_store)?;
                    // A directory alone is no store: readers look for the log.
                    made.import(Vec::new(), &self.op(None)?).map_err(from_store)?;
                    self.ui.status(&format!("made a store at `{}`", dir.display()));
                    made
                }
                other => other.map_err(from_store)?,
            };
            self.store = Some(self.patient(opened));
            self.writable = true;
        }
        self.opened()
    }

    /// The store for a command that reads: a missing one is an error.
    pub(crate) fn reader(&mut self) -> Result<&mut dyn Store> {
        if self.store.is_none() {
            let options = self.options(false)?;
            let opened = FileStore::open(options).map_err(from_store)?;
            self.store = Some(self.patient(opened));
        }
        self.opened()
    }

    /// A command that does one thing to the queue waits for the lock in the fastest way there is.
    fn patient(&mut self, mut store: FileStore) -> Box<dyn Store> {
        self.dir = Some(store.dir());
        let verb = self.command.strip_prefix("work ").unwrap_or(&self.command);
        if matches!(verb, "add" | "claim" | "progress" | "complete" | "release" | "edit" | "assign")
        {
            let (format, colour, quiet) = self.ui.manner();
            let (sink, step) = (self.sink(), self.step());
            let (clock, command) = (Arc::clone(&self.clock), self.command.clone());
            store.give_up_with(Arc::new(move |error| {
                let error = from_store(error);
                Ui::stdio(format, colour, quiet, None).error(&error);
                if let Some(sink) = &sink {
                    sink.gave_up(&step, &command, clock.as_ref());
                }
                // The main thread waits for the lock and cannot end.
                std::process::exit(error.kind().exit_code().into());
            }));
        }
        Box::new(store)
    }

    /// Lets go of the store: another one is put in its place, and whoever needs it opens that.
    pub(crate) fn forget_store(&mut self) {
        if let Some(mut store) = self.store.take() {
            for note in store.notes() {
                self.ui.warning(&note);
            }
        }
    }

    fn opened(&mut self) -> Result<&mut dyn Store> {
        match &mut self.store {
            Some(store) => Ok(store.as_mut()),
            None => Err(Error::new(Kind::Bug, "the store was not opened")),
        }
    }

    /// Tells what the store found on the way, and lets it tidy up now that the answer is out.
    pub(crate) fn finish(&mut self) {
        self.took = Some(self.clock.monotonic().saturating_sub(self.started.1));
        let Some(mut store) = self.store.take() else { return };
        for note in store.notes() {
            self.ui.warning(&note);
        }
        self.waited += store.waited();
        // Tidying is nobody's order: what keeps it from being done now is met again later.
        if let Some(op) = self.last_op.get_mut() {
            let _ = store.tidy(op);
        }
    }

    /// How a store is opened with these flags and settings.
    pub(crate) fn options(&mut self, create: bool) -> Result<Options> {
        let dir = self.place()?.dir;
        let flag = self.flags.lock_timeout;
        let settings = self.settings()?;
        let (lock_timeout, sync) = (flag.unwrap_or(settings.lock_timeout()), settings.sync());
        Ok(Options {
            dir,
            create,
            trust_dir: self.flags.trust_dir,
            lock_timeout,
            sync,
            command: self.command.clone(),
            clock: Arc::clone(&self.clock),
        })
    }

    /// The same, also if the settings cannot be read: for what mends them.
    pub(crate) fn options_anyhow(&mut self, create: bool) -> Result<Options> {
        let error = match self.options(create) {
            Err(error) if error.kind() == Kind::Config && self.settings.is_none() => error,
            other => return other,
        };
        let dir = self.place()?.dir;
        self.ui.warning(&format!("going on without settings: {error}"));
        Ok(Options {
            dir,
            create,
            trust_dir: self.flags.trust_dir,
            lock_timeout: self.flags.lock_timeout.unwrap_or(Duration::from_secs(10)),
            sync: true,
            command: self.command.clone(),
            clock: Arc::clone(&self.clock),
        })
    }

    /// Who acts, when, and under which operation id.
    pub(crate) fn op(&self, by: Option<&AgentId>) -> Result<Op> {
        let by = self.agent(by)?;
        let (id, given) = match &self.flags.op_id {
            Some(id) => (id.clone(), true),
            None => (self.next_op.clone().map_or_else(|| self.fresh_op(), Ok)?, false),
        };
        let op = Op { id, given, by, now: self.stamp() };
        self.last_op.replace(Some(op.clone()));
        Ok(op)
    }

    /// Notes that a change was made that repeating the command would make again; `instead` says what to
    /// do if the answer is lost.
    pub(crate) const fn changed(&mut self, instead: &'static str) {
        self.changed = Some(instead);
    }

    /// An answer that cannot be written after a change is more than a failed write: the change was
    /// made, and its answer can be had again.
    pub(crate) fn after_a_change(&self, error: Error) -> Error {
        let op = self.last_op.borrow();
        let told = || {
            let what = "the change was made, but its answer could not be written";
            Error::new(Kind::Unknown, what)
        };
        if let Some(instead) = self.changed
            && error.is_lost_answer()
            && !error.is_broken_pipe()
        {
            return told().caused_by(error).hint(instead);
        }
        match op.as_ref() {
            // These have an operation as well, but change nothing that would be asked for again.
            Some(_)
                if matches!(
                    self.command.as_str(),
                    "verify" | "lock list" | "backup verify" | "restore" | "cleanup"
                ) =>
            {
                error
            }
            Some(op) if error.is_lost_answer() && !error.is_broken_pipe() => {
                let flag = match self.flags_behind {
                    Some(program) => format!("{program} --op-id {} …", op.id),
                    None => format!("--op-id {}", op.id),
                };
                let retry = format!(
                    "`{flag}` with the same command gives the answer again and changes nothing"
                );
                told().caused_by(error).hint(retry)
            }
            _ => error,
        }
    }

    /// Who acted last, if anybody did.
    pub(super) fn last_agent(&self) -> Option<String> {
        self.last_op.borrow().as_ref().map(|op| op.by.to_string())
    }

    /// An operation id that was never used.
    pub(crate) fn fresh_op(&self) -> Result<OpId> {
        let text = ["op-", &self.ids.hex()].concat();
        text.parse().map_err(|_| Error::new(Kind::Bug, "a made operation id is not valid"))
    }

    /// Who acts: `--agent`, else the environment, else a name made from user, host and terminal.
    pub(crate) fn agent(&self, given: Option<&AgentId>) -> Result<AgentId> {
        given.map_or_else(|| identity::from_surroundings(&self.env), |agent| Ok(agent.clone()))
    }

    /// Now, on both clocks.
    pub(crate) fn stamp(&self) -> Stamp {
        let boot = self.clock.boot();
        Stamp { wall: self.clock.wall(), boot: boot.id, boot_ms: boot.ms }
    }
}
