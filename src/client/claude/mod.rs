//! Calls to Claude that end in an answer: retries, a breaker and limits shared by all processes of a
//! user, a cache that also serves stale answers, a ledger with budgets.
//!
//! A caller builds a [`Config`], makes a `Claude`, and hands it [`Ask`]s:
//!
//! ```text
//! Claude::ask: fresh cache -> primary model -> next models -> other backend
//!              -> stale cache -> the caller's heuristic -> Failure
//! ```
//!
//! The answer tells which rung gave it ([`Answer::source`]) and what was tried ([`Answer::attempts`]).
//!
//! # Backends
//!
//! A [`Backend`] makes **one attempt** and never retries: it turns a [`Call`] into a [`Reply`] or a
//! [`Fault`] and has no opinion on either. The table in `classify` says what a fault means, the loop
//! does it, and says whether a reply is an answer. There are two: `api` (HTTPS) and
//! `cli` (the user's own `claude` program, `cli::Cli`, made by `Cli::find`). A backend
//!
//! - keeps within [`Call::timeout`], ends its children with it, and looks at [`Call::stop`] at least
//!   every 50 ms ([`Cause::Interrupted`]);
//! - hands text to [`Call::sink`] as it comes, if there is one, and sets [`Fault::began`] once it did;
//! - fills [`Fault::status`], [`Fault::error_type`] and [`Fault::error_code`] with what the service
//!   said and [`Fault::cause`] with what it saw itself;
//! - never puts a secret into a text.
//!
//! The whole surface for commands:
//!
//! ```text
//! Claude::new(config: Config, env: Env, clock: Arc<dyn Clock>, ids: Box<dyn Ids>) -> Result<Claude, Failure>
//! Claude::ask(&self, ask: Ask<'_>) -> Result<Answer, Failure>      Failure: Into<error::Error>
//! Claude::dry_run(&self, ask: &Ask<'_>) -> Result<DryRun, Failure> (Serialize; no socket, no program)
//! Claude::state(&self) -> State          (Serialize: key source, backends, breakers, slots, spending)
//! Claude::cache(&self) -> &Cache         (stats, list, show, purge, verify)
//! Claude::ledger(&self) -> &Ledger       (lines, oldest first)
//! ```
//!
//! The table of faults is the same for both: the program's `api_error_status` goes into
//! [`Fault::status`], its `api_error_type` into [`Fault::error_type`].

mod answer;
mod api;
mod ask;
mod backend;
mod breaker;
mod cache;
mod classify;
pub mod cli;
mod config;
mod failure;
mod ladder;
mod layer;
mod ledger;
mod lock;
mod prices;
mod request;
pub(super) mod secret;
mod shared;
mod stream;
mod structure;

pub use answer::{Answer, Attempt, Exact, Source, StopReason, Usage, Usd};
pub use ask::{Ask, Heuristic, Switches};
pub use backend::{Backend, BackendName, Call, Cause, Fault, Reply, Sink};
pub use cache::{Cache, Disposable, Entry, Stats};
pub use config::{BackendChoice, Config, KeySource};
pub use failure::{Failure, FailureKind};
pub use layer::{BackendState, Claude, DryRun, State};
pub use ledger::{Ledger, Line, LineKind};
pub use request::{Effort, Message, Request, Role};
pub use shared::{LineState, Spending};
