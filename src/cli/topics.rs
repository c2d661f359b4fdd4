//! `coord help TOPIC`: what no single command's help can tell.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::output::Ui;

/// A topic and its text.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: &'static str,
    text: &'static str,
}

impl Topic {
    fn body(&self) -> Cow<'static, str> {
        match self.name {
            "config" => Cow::Owned(crate::settings::reference()),
            _ => Cow::Borrowed(self.text),
        }
    }
}

/// Every topic.
pub(super) const ALL: &[Topic] = &[
    Topic { name: "exit-codes", text: EXIT_CODES },
    Topic { name: "environment", text: ENVIRONMENT },
    // Made from the table of keys.
    Topic { name: "config", text: "" },
    Topic { name: "formats", text: FORMATS },
    Topic { name: "legacy", text: LEGACY },
    Topic { name: "claude-rules", text: crate::domain::claude::rules::WORDS },
];

/// Finds a topic by its name.
pub(super) fn find(name: &str) -> Option<&'static Topic> {
    ALL.iter().find(|topic| topic.name == name)
}

/// Every topic's name and text.
pub(super) fn texts() -> Vec<(&'static str, String)> {
    ALL.iter().map(|topic| (topic.name, topic.body().into_owned())).collect()
}

/// Shows a topic.
pub(super) fn show(ui: &mut Ui, topic: &Topic) -> Result<()> {
    ui.page(&topic.body()).map_err(Error::from)
}

const EXIT_CODES: &str = "\
Exit codes

    0  done; also when the reader of a pipe has closed it
    1  cannot be met: no such item, wrong state, a named file that is not there or cannot be read
    2  wrong command line, or a confirmation was needed and nobody could be asked
    3  wrong configuration
    4  conflict: someone else holds it, the lease was lost, or the store stayed locked;
       trying again may work
    5  something outside failed: disk, network, another program
    6  nothing to do, such as `work claim` on an empty queue, so that loops can end
    7  Claude refused, was cut short, or did not fit the schema
    8  a budget is used up
    9  outcome unknown: written but not confirmed durable; repeat with the same `--op-id`
   10  a check found problems
   70  a defect in coord
  124  a time limit ran out
  130  stopped by SIGINT
  143  stopped by SIGTERM
    n  `agent run --once` and `lock run` hand on the exit code of their program
";

const ENVIRONMENT: &str = "\
Environment

  COORD_DIR          the state directory; COORDINATION_DIR is the old name for it
  COORD_AGENT        who acts, unless `--agent` says so; AGENT_ID is the old name for it
  COORD_TOKEN        the fencing token of the claim, unless `--token` says so
  COORD_COLOR        auto, always or never; it counts more than NO_COLOR and CLICOLOR_FORCE
  COORD_CONFIG       the user's configuration file instead of the usual one
  COORD_CACHE_DIR    where answers are kept that can be had again, instead of the usual place
  COORD_CLAUDE_DIR   where breaker, budgets and ledger of the calls to Claude lie, shared by all projects
  COORD_RUNTIME_DIR  where sockets and the like lie, instead of the usual place
  COORD_STORE_SYNC, COORD_STORE_LOCK_TIMEOUT, COORD_WORK_LEASE, COORD_WORK_MAX_ATTEMPTS,
  COORD_AGENT_SILENT_AFTER, COORD_TELEMETRY_ENABLED, …
                     settings: they count more than configuration files and less than flags
  COORD_ITEM_ID, COORD_ITEM_TITLE, COORD_ATTEMPT
                     set by `coord agent run` for its program, besides COORD_AGENT, COORD_TOKEN
                     and COORD_DIR
  COORDINATION_DIR, AGENT_ID, AGENT_TEAM, CURRENT_WORK_ITEM, TRACE_ID, FORCE_TRACE_ID,
  COORDINATION_TRACE_ID, OTEL_TRACE_ID
                     read by `coord compat`; `coord compat help` tells what for
  COORD_LOCK, COORD_LOCK_TOKEN
                     set by `coord lock run` for its program
  TRACEPARENT        the trace and the operation that a command is a part of (W3C Trace Context); set
                     by `coord agent run` and `coord lock run` for their programs
  OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT
                     where `coord trace export` sends to; nothing is sent unless it is typed. Besides
                     OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_TIMEOUT,
                     OTEL_EXPORTER_OTLP_CERTIFICATE, OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_SERVICE_NAME,
                     OTEL_RESOURCE_ATTRIBUTES
  NO_COLOR           if set, no colour
  CLICOLOR_FORCE     if set and not 0, colour even where there is no terminal
  COLUMNS            the width of the terminal
  VISUAL, EDITOR     the editor of `coord config edit`
  XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_CACHE_HOME, XDG_RUNTIME_DIR
                     where the user's configuration, the state without a project, the cache and
                     the runtime files lie

The state directory is the first of: `--dir`, COORD_DIR, COORDINATION_DIR, `.coord` in the nearest
directory upwards that has one, `.coord` of the main worktree when in a linked git worktree,
`$XDG_STATE_HOME/coord/default`.
";

const FORMATS: &str = "\
Formats

  table   for people; on a pipe without heading, separated by tabs, nothing cut
  json    one object: {\"schema\": \"coord.work.list/v1\", \"data\": …}; `--json` is short for it
  jsonl   one JSON value a line, for lists
  yaml    the data of `json` as YAML
  tsv     as `table` on a pipe, also on a terminal

The answer goes to standard output, everything else to standard error. Times are RFC 3339 in UTC,
durations are numbers whose names end in `_s` or `_ms`, what is absent is null. Under `--json` an
error is one object on standard error: {\"schema\": \"coord.error/v1\", \"error\": …}.
";

/// For manuals; typed, the topic shows the names themselves.
const LEGACY: &str = "\
Legacy

Every command and script of the old shell system has one command here that replaces it.

  coord help legacy            every old name, with the command that stands for it now
  coord help legacy NAME…      what replaces these

An old name that is typed as a command is answered with the new one.
";
