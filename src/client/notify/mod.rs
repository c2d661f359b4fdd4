//! Tells others of alerts: by an HTTP request, a program, a line in a file.
//!
//! What fails for now is tried again, with growing waits, until a time limit; what can never succeed is
//! given up at once. Nothing is set up before a notice is really sent.

mod program;
mod webhook;

use std::path::PathBuf;
use std::time::Duration;

use crate::client::backoff::{delay, worth};
use crate::domain::alert::{Notice, Target};
use crate::sys::{Clock, Ids};

/// How often one notice is tried at most.
const ATTEMPTS: u32 = 5;

/// An address to send notices to.
#[derive(Clone, Debug)]
pub struct Hook {
    /// It.
    pub url: String,
    /// A file that holds the secret, readable by nobody else.
    pub secret_file: Option<PathBuf>,
    /// A program that prints the secret.
    pub secret_command: Vec<String>,
    /// Certificates to be trusted besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// Whom to tell, and how long to try.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// An address.
    pub webhook: Option<Hook>,
    /// A program and its arguments; empty for none.
    pub command: Vec<String>,
    /// A file.
    pub file: Option<PathBuf>,
    /// How long the delivery of a notice by one way may take with all its attempts.
    pub deadline: Duration,
}

impl Config {
    /// The ways that are set up.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        let all = [
            (Target::Webhook, self.webhook.is_some()),
            (Target::Command, !self.command.is_empty()),
            (Target::File, self.file.is_some()),
        ];
        all.into_iter().filter_map(|(target, there)| there.then_some(target)).collect()
    }
}

/// A notice that did not arrive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Why, at last; without addresses, arguments and secrets.
    pub why: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// What went wrong in one attempt.
struct Fault {
    why: String,
    /// Whether it can go better another time.
    passing: bool,
    /// How long the other side wants to be left alone.
    pause: Option<Duration>,
}

impl Fault {
    fn lasting(why: impl Into<String>) -> Self {
        Self { why: why.into(), passing: false, pause: None }
    }

    fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), passing: true, pause: None }
    }
}

/// What sends notices.
pub struct Notifier<'a> {
    config: &'a Config,
    clock: &'a dyn Clock,
    ids: &'a dyn Ids,
    webhook: Option<webhook::Webhook>,
}

impl<'a> Notifier<'a> {
    /// Nothing is set up yet.
    #[must_use]
    pub fn new(config: &'a Config, clock: &'a dyn Clock, ids: &'a dyn Ids) -> Self {
        Self { config, clock, ids, webhook: None }
    }

    /// Sends a notice by one way; gives how many attempts it took.
    pub fn send(&mut self, notice: &Notice, target: Target) -> Result<u32, Failure> {
        let body = serde_json::to_vec(notice)
            .map_err(|e| Failure { why: format!("it is no JSON: {e}"), attempts: 0 })?;
        let until = self.clock.monotonic() + self.config.deadline;
        let mut attempts = 0;
        loop {
            let left = until.saturating_sub(self.clock.monotonic());
            attempts += 1;
            let Err(fault) = self.attempt(notice, &body, target, left) else { return Ok(attempts) };
            let left = until.saturating_sub(self.clock.monotonic());
            let wait = delay(attempts - 1, self.ids.bits(), fault.pause);
            match worth(wait, left).filter(|_| fault.passing && attempts < ATTEMPTS) {
                Some(wait) => self.clock.sleep(wait),
                None => return Err(Failure { why: fault.why, attempts }),
            }
        }
    }

    fn attempt(
        &mut self,
        notice: &Notice,
        body: &[u8],
        target: Target,
        left: Duration,
    ) -> Result<(), Fault> {
        let missing = || Fault::lasting("it is no longer set up");
        match target {
            Target::Webhook => {
                let hook = self.config.webhook.as_ref().ok_or_else(missing)?;
                let webhook = match self.webhook.take() {
                    Some(webhook) => webhook,
                    None => webhook::Webhook::new(hook, self.clock)?,
                };
                self.webhook.insert(webhook).post(&notice.id, body, left, self.clock)
            }
            Target::Command if self.config.command.is_empty() => Err(missing()),
            Target::Command => program::run(&self.config.command, notice, body, left, self.clock),
            Target::File => {
                let path = self.config.file.as_ref().ok_or_else(missing)?;
                let mut line = body.to_vec();
                line.push(b'\n');
                crate::sys::fs::append_line(path, &line)
                    .map_err(|e| Fault::lasting(format!("the file cannot be written: {e}")))
            }
        }
    }
}
