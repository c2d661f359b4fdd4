//! What a caller hands over: the request, how far it may go, and what to do without Claude.

use std::time::Duration;

use serde_json::Value;

use super::{Request, Sink};
use crate::sys::signal::Stop;

/// How a call may use the cache and the network.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Switches {
    /// Neither read nor write the cache.
    pub no_cache: bool,
    /// Do not read a fresh entry, but write one.
    pub refresh: bool,
    /// Cache or heuristic only; no socket is opened, no program is run.
    pub offline: bool,
    /// Fail instead of giving a degraded answer.
    pub require_fresh: bool,
    /// How old a fresh answer may be; default: the configured time to live.
    pub max_age: Option<Duration>,
    /// How old a stale answer may be; default: as configured.
    pub max_stale: Option<Duration>,
    /// A bound on the whole call, whatever happens; default: as configured, none for a stream.
    pub deadline: Option<Duration>,
}

/// An answer computed without Claude.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heuristic {
    /// The text.
    pub text: String,
    /// The same as data, in the shape of the request's schema.
    pub structured: Option<Value>,
}

/// One call.
pub struct Ask<'a> {
    /// What is asked.
    pub request: Request,
    /// How far it may go.
    pub switches: Switches,
    /// The words of the command that asks, such as `claude ask`: for the ledger.
    pub command: &'a str,
    /// What to answer when Claude does not.
    pub heuristic: Option<&'a dyn Fn() -> Heuristic>,
    /// Where text goes as it comes; with it the call is a stream. Its [`Sink`] error ends the call.
    pub sink: Option<&'a mut Sink<'a>>,
    /// Tells when the end was asked for.
    pub stop: &'a dyn Fn() -> Option<Stop>,
}

impl<'a> Ask<'a> {
    /// A call with nothing special.
    #[must_use]
    pub fn new(request: Request, command: &'a str) -> Self {
        Self {
            request,
            switches: Switches::default(),
            command,
            heuristic: None,
            sink: None,
            stop: &|| None,
        }
    }
}
