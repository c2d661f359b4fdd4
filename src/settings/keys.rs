//! The table of settings: one row per key, and nothing about a key stands anywhere else.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::time::parse_duration;

/// What a key's value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A length of time, such as `30m`.
    Duration,
    /// A whole number between these.
    Number(u64, u64),
    /// A number between these that may have a fraction, such as an amount of money or a ratio.
    Fraction(f64, f64),
    /// `true` or `false`.
    Bool,
    /// Free text on one line.
    Text,
    /// Words: an array of strings; in the environment, separated by commas.
    Words,
    /// A file or a directory; a relative one counts from the directory of the file it stands in.
    Path,
    /// An `http` or `https` address.
    Url,
    /// A program with its arguments: an array of strings, or one string that is split at blanks.
    Command,
}

/// What a project's own configuration, which a stranger may have written, may do with a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Project {
    /// Set it.
    May,
    /// Only make the value smaller: a limit may be narrowed, never widened.
    Lowers,
    /// Nothing: it is for the user, the machine and the environment.
    Never,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name, `section.name`.
    pub name: &'static str,
    /// The environment variable that overrides it.
    pub env: &'static str,
    /// What its value must be.
    pub form: Form,
    /// What holds if nobody says anything, in the spelling of the environment; empty for nothing.
    pub default: &'static str,
    /// What a project's own configuration may do with it.
    pub project: Project,
    /// What it is for.
    pub doc: &'static str,
}

/// A value of a key, checked.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// For [`Form::Choice`].
    Word(&'static str),
    /// For [`Form::Duration`].
    Duration(Duration),
    /// For [`Form::Number`].
    Number(u64),
    /// For [`Form::Fraction`].
    Fraction(f64),
    /// For [`Form::Bool`].
    Bool(bool),
    /// For [`Form::Text`] and [`Form::Url`].
    Text(String),
    /// For [`Form::Words`] and [`Form::Command`].
    Words(Vec<String>),
    /// For [`Form::Path`].
    Path(PathBuf),
}

/// Makes the table and, for each row, a constant with its place in it.
macro_rules! table {
    ($($id:ident $env:literal $name:literal, $form:expr, $default:literal, $project:ident, $doc:literal;)*) => {
        #[expect(non_camel_case_types, reason = "they only count the rows")]
        enum At { $($id,)* Count }
        $(#[doc = concat!("`", $name, "`: ", $doc, ".")]
        pub const $id: usize = At::$id as usize;)*
        /// Every key, in the order of the constants.
        pub const ALL: [Key; At::Count as usize] = [$(Key {
            name: $name, env: $env, form: $form, default: $default,
            project: Project::$project, doc: $doc,
        },)*];
    };
}

// A row: constant, environment variable, name, form, default, what a project may do, what it is for.
table! {
    STORE_SYNC "COORD_STORE_SYNC" "store.sync",
        Form::Choice(&["always", "never"]), "always", May,
        "whether an operation waits until it is durable; `never` is for scratch use only";
    STORE_LOCK_TIMEOUT "COORD_STORE_LOCK_TIMEOUT" "store.lock-timeout",
        Form::Duration, "10s", May,
        "how long to wait for the store's lock";
    WORK_LEASE "COORD_WORK_LEASE" "work.lease",
        Form::Duration, "30m", May,
        "how long a claim holds unless it is renewed";
    WORK_MAX_ATTEMPTS "COORD_WORK_MAX_ATTEMPTS" "work.max-attempts",
        Form::Number(1, 1_000_000), "3", May,
        "how many attempts an item has before it is dead";
    AGENT_SILENT_AFTER "COORD_AGENT_SILENT_AFTER" "agent.silent-after",
        Form::Duration, "15m", May,
        "after what time without a sign of life an agent is called silent";
    TELEMETRY_ENABLED "COORD_TELEMETRY_ENABLED" "telemetry.enabled",
        Form::Bool, "true", May,
        "whether commands note in the state directory what they did and how long it took; nothing leaves the machine";
    TELEMETRY_MAX_MIB "COORD_TELEMETRY_MAX_MIB" "telemetry.max-mib",
        Form::Number(1, 65_536), "16", May,
        "how large a file of telemetry becomes before it is put aside";
    TELEMETRY_KEEP "COORD_TELEMETRY_KEEP" "telemetry.keep",
        Form::Duration, "30d", May,
        "how long telemetry is kept that was put aside";
    BACKUP_DIR "COORD_BACKUP_DIR" "backup.dir",
        Form::Path, "", Never,
        "where backups go; else a directory of each store's own in the user's state";
    BACKUP_KEEP "COORD_BACKUP_KEEP" "backup.keep",
        Form::Number(1, 1_000_000), "", Never,
        "how many of the newest backups `backup prune` leaves";
    CLEANUP_HISTORY "COORD_CLEANUP_HISTORY" "cleanup.history",
        Form::Duration, "", Never,
        "how old a sealed log must be for `cleanup` to remove it, with the finished items in it; else none is";
    CLEANUP_TELEMETRY "COORD_CLEANUP_TELEMETRY" "cleanup.telemetry",
        Form::Duration, "30d", Never,
        "how old telemetry that was put aside must be for `cleanup` to remove it";
    CLEANUP_QUARANTINE "COORD_CLEANUP_QUARANTINE" "cleanup.quarantine",
        Form::Duration, "", Never,
        "how old files that a repair moved aside must be for `cleanup` to remove them; else they stay";
    CLEANUP_AGENTS "COORD_CLEANUP_AGENTS" "cleanup.agents",
        Form::Duration, "", Never,
        "how long an agent that holds nothing must have been silent for `cleanup` to forget it; else it stays";
    ALERT_RULES_FILE "COORD_ALERT_RULES_FILE" "alert.rules-file",
        Form::Path, "", Never,
        "the user's own alert rules; else `alerts.toml` beside the user's configuration";
    ALERT_WEBHOOK_URL "COORD_ALERT_WEBHOOK_URL" "alert.webhook-url",
        Form::Url, "", Never,
        "where alerts are sent by HTTP POST as JSON";
    ALERT_WEBHOOK_SECRET_FILE "COORD_ALERT_WEBHOOK_SECRET_FILE" "alert.webhook-secret-file",
        Form::Path, "", Never,
        "a file with the secret that signs them, readable by nobody else";
    ALERT_WEBHOOK_SECRET_COMMAND "COORD_ALERT_WEBHOOK_SECRET_COMMAND" "alert.webhook-secret-command",
        Form::Command, "", Never,
        "a program that prints the secret";
    ALERT_WEBHOOK_CA_FILE "COORD_ALERT_WEBHOOK_CA_FILE" "alert.webhook-ca-file",
        Form::Path, "", Never,
        "certificates (PEM) to be trusted besides the system's";
    ALERT_COMMAND "COORD_ALERT_COMMAND" "alert.command",
        Form::Command, "", Never,
        "a program that gets each alert as JSON on its standard input and in its environment";
    ALERT_FILE "COORD_ALERT_FILE" "alert.file",
        Form::Path, "", Never,
        "a file to which each alert is appended as a line of JSON";
    ALERT_DEADLINE "COORD_ALERT_DEADLINE" "alert.deadline",
        Form::Duration, "30s", Never,
        "how long the delivery of an alert may take with all its attempts";
    HEALTH_ENDPOINTS "COORD_HEALTH_ENDPOINTS" "health.endpoints",
        Form::Words, "", Never,
        "addresses (`http` or `https`) that `coord health` asks; nothing is asked unless they are set";
    HEALTH_ENDPOINT_TIMEOUT "COORD_HEALTH_ENDPOINT_TIMEOUT" "health.endpoint-timeout",
        Form::Duration, "2s", May,
        "how long one of these addresses may take to answer";
    KPI_AVAILABILITY "COORD_KPI_AVAILABILITY" "kpi.availability",
        Form::Fraction(0.0, 100.0), "99.99", May,
        "the target for operations that do not fail by this program's fault, in percent";
    KPI_RESPONSE_P95 "COORD_KPI_RESPONSE_P95" "kpi.response-p95",
        Form::Duration, "100ms", May,
        "the target for what 95 of 100 answers may take at most";
    KPI_RESPONSE_P99 "COORD_KPI_RESPONSE_P99" "kpi.response-p99",
        Form::Duration, "150ms", May,
        "the target for what 99 of 100 answers may take at most";
    KPI_CLAUDE_SUCCESS "COORD_KPI_CLAUDE_SUCCESS" "kpi.claude-success",
        Form::Fraction(0.0, 100.0), "99.9", May,
        "the target for calls that Claude answers, in percent";
    KPI_MEMORY "COORD_KPI_MEMORY" "kpi.memory",
        Form::Fraction(0.0, 1e9), "80", May,
        "the target for the memory of any process, in MB (1,000,000 bytes)";
    KPI_OPERATIONS "COORD_KPI_OPERATIONS_PER_HOUR" "kpi.operations-per-hour",
        Form::Fraction(0.0, 1e12), "1000", May,
        "the target for operations in the busiest clock hour";
    KPI_DEPLOYMENT_SUCCESS "COORD_KPI_DEPLOYMENT_SUCCESS" "kpi.deployment-success",
        Form::Fraction(0.0, 100.0), "95", May,
        "the target for deployments that succeed, in percent";
    KPI_DEPLOYMENT_TIME "COORD_KPI_DEPLOYMENT_TIME" "kpi.deployment-time",
        Form::Duration, "15m", May,
        "the target for the time that a deployment takes";
    KPI_RECOVERY "COORD_KPI_RECOVERY" "kpi.recovery",
        Form::Duration, "5m", May,
        "the target for the time from a fault to the next operation that is ok";
    KPI_TEST_COVERAGE "COORD_KPI_TEST_COVERAGE" "kpi.test-coverage",
        Form::Fraction(0.0, 100.0), "95", May,
        "the target for lines that tests run, in percent";
    KPI_SCRIPTS "COORD_KPI_SCRIPTS" "kpi.scripts",
        Form::Number(0, 1_000_000), "45", May,
        "the target for the number of scripts that are left";
    KPI_VELOCITY "COORD_KPI_VELOCITY" "kpi.velocity",
        Form::Number(0, 1_000_000_000), "", May,
        "the target for points of finished work in the window; none unless it is set";
    KPI_LEAD_TIME "COORD_KPI_LEAD_TIME" "kpi.lead-time",
        Form::Duration, "", May,
        "the target for the median time from adding an item to its completion; none unless it is set";
    KPI_CYCLE_TIME "COORD_KPI_CYCLE_TIME" "kpi.cycle-time",
        Form::Duration, "", May,
        "the target for the median time from an item's last claim to its completion; none unless it is set";
    KPI_FLOW_EFFICIENCY "COORD_KPI_FLOW_EFFICIENCY" "kpi.flow-efficiency",
        Form::Fraction(0.0, 100.0), "", May,
        "the target for the share of lead time in which somebody worked, in percent; none unless it is set";
    CLAUDE_BACKEND "COORD_CLAUDE_BACKEND" "claude.backend",
        Form::Choice(&["auto", "api", "cli"]), "auto", Never,
        "who is asked: the API if there is a key, else the `claude` program; or just one of them";
    CLAUDE_BASE_URL "COORD_CLAUDE_BASE_URL" "claude.base-url",
        Form::Url, "", Never,
        "where the API is, without `/v1`; else `ANTHROPIC_BASE_URL`, else `https://api.anthropic.com`";
    CLAUDE_PROGRAM "COORD_CLAUDE_PROGRAM" "claude.program",
        Form::Path, "", Never,
        "the `claude` program; else the one in `PATH`";
    CLAUDE_MODELS "COORD_CLAUDE_MODELS" "claude.models",
        Form::Words, "claude-haiku-5-5,claude-sonnet-5-5", Never,
        "the models, the preferred one first; the others are asked when it fails";
    CLAUDE_API_KEY_FILE "COORD_CLAUDE_API_KEY_FILE" "claude.api-key-file",
        Form::Path, "", Never,
        "a file with the key alone, readable by nobody else";
    CLAUDE_API_KEY_COMMAND "COORD_CLAUDE_API_KEY_COMMAND" "claude.api-key-command",
        Form::Command, "", Never,
        "a program that prints the key";
    CLAUDE_CA_FILE "COORD_CLAUDE_CA_FILE" "claude.ca-file",
        Form::Path, "", Never,
        "certificates (PEM) to be trusted besides the system's";
    CLAUDE_PRICES_FILE "COORD_CLAUDE_PRICES_FILE" "claude.prices-file",
        Form::Path, "", Never,
        "prices that override the built-in ones";
    CLAUDE_MAX_TOKENS "COORD_CLAUDE_MAX_TOKENS" "claude.max-tokens",
        Form::Number(1, 128_000), "4096", Lowers,
        "how many tokens Claude may write";
    CLAUDE_EFFORT "COORD_CLAUDE_EFFORT" "claude.effort",
        Form::Choice(&["low", "medium", "high", "xhigh", "max"]), "low", Never,
        "how hard Claude should think";
    CLAUDE_DEADLINE "COORD_CLAUDE_DEADLINE" "claude.deadline",
        Form::Duration, "1m", Lowers,
        "how long a whole call may take that is no stream";
    CLAUDE_MAX_ATTEMPTS "COORD_CLAUDE_MAX_ATTEMPTS" "claude.max-attempts",
        Form::Number(1, 5), "5", Lowers,
        "how many attempts a call has";
    CLAUDE_RECOVERY "COORD_CLAUDE_RECOVERY" "claude.recovery",
        Form::Duration, "5s", Lowers,
        "how long a call may go on after its first failure, until it answers or falls back";
    CLAUDE_ATTEMPT_TIMEOUT "COORD_CLAUDE_ATTEMPT_TIMEOUT" "claude.attempt-timeout",
        Form::Duration, "30s", Lowers,
        "how long one attempt may take";
    CLAUDE_CONNECT_TIMEOUT "COORD_CLAUDE_CONNECT_TIMEOUT" "claude.connect-timeout",
        Form::Duration, "3s", Lowers,
        "how long making a connection may take";
    CLAUDE_IDLE_TIMEOUT "COORD_CLAUDE_IDLE_TIMEOUT" "claude.idle-timeout",
        Form::Duration, "30s", Lowers,
        "how long a stream may be silent";
    CLAUDE_MAX_IN_FLIGHT "COORD_CLAUDE_MAX_IN_FLIGHT" "claude.max-in-flight",
        Form::Number(1, 64), "8", Lowers,
        "how many calls of this user may run at once";
    CLAUDE_BREAKER_FAILURES "COORD_CLAUDE_BREAKER_FAILURES" "claude.breaker-failures",
        Form::Number(1, 1000), "5", Never,
        "how many failures in a row open the breaker";
    CLAUDE_BREAKER_OPEN "COORD_CLAUDE_BREAKER_OPEN" "claude.breaker-open",
        Form::Duration, "15s", Never,
        "how long an open breaker lets nothing through";
    CLAUDE_CACHE_TTL "COORD_CLAUDE_CACHE_TTL" "claude.cache-ttl",
        Form::Duration, "1h", May,
        "how long a cached answer is fresh";
    CLAUDE_CACHE_MAX_STALE "COORD_CLAUDE_CACHE_MAX_STALE" "claude.cache-max-stale",
        Form::Duration, "7d", May,
        "how old a cached answer may be to stand in for a failed call";
    CLAUDE_CACHE_MAX_MIB "COORD_CLAUDE_CACHE_MAX_MIB" "claude.cache-max-mib",
        Form::Number(0, 1_048_576), "64", Lowers,
        "how large the cache may become";
    CLAUDE_LEDGER_MAX_MIB "COORD_CLAUDE_LEDGER_MAX_MIB" "claude.ledger-max-mib",
        Form::Number(1, 1024), "8", Never,
        "how large the ledger may become before it begins a new file; one old file is kept";
    CLAUDE_MAX_COST "COORD_CLAUDE_MAX_COST" "claude.max-cost",
        Form::Fraction(0.0, 1e6), "", Never,
        "what one call may cost, in US dollars";
    CLAUDE_DAILY_BUDGET "COORD_CLAUDE_DAILY_BUDGET" "claude.daily-budget",
        Form::Fraction(0.0, 1e6), "", Never,
        "what a day (UTC) may cost, in US dollars";
    CLAUDE_MONTHLY_BUDGET "COORD_CLAUDE_MONTHLY_BUDGET" "claude.monthly-budget",
        Form::Fraction(0.0, 1e6), "", Never,
        "what a month (UTC) may cost, in US dollars";
}

/// The variables that are no keys: places, who acts, and what programs are told that run under us.
pub const OTHER_VARIABLES: &[&str] = &[
    "COORD_AGENT",
    "COORD_ALERT",
    "COORD_ALERT_ID",
    "COORD_ALERT_NAME",
    "COORD_ALERT_SEVERITY",
    "COORD_ALERT_STATUS",
    "COORD_ALERT_TEXT",
    "COORD_ALERT_VALUE",
    "COORD_ATTEMPT",
    "COORD_CACHE_DIR",
    "COORD_CLAUDE_DIR",
    "COORD_COLOR",
    "COORD_COMPLETE",
    "COORD_CONFIG",
    "COORD_DIR",
    "COORD_ITEM_ID",
    "COORD_ITEM_TITLE",
    "COORD_LOCK",
    "COORD_LOCK_TOKEN",
    "COORD_RUNTIME_DIR",
    "COORD_TEST_PLANT",
    "COORD_TOKEN",
];

/// What is wrong with the name of an environment variable, if it looks like one of ours.
#[must_use]
pub fn strange(variable: &str) -> Option<String> {
    let known = || ALL.iter().map(|key| key.env).chain(OTHER_VARIABLES.iter().copied());
    if !variable.starts_with("COORD_") || known().any(|name| name == variable) {
        return None;
    }
    let near = known().map(|name| (strsim::jaro_winkler(name, variable), name));
    let best = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.9);
    let hint = best.map(|(_, name)| format!("; did you mean `{name}`?")).unwrap_or_default();
    Some(format!("`{variable}` is no variable of this program{hint}"))
}

/// Finds a key by its name.
#[must_use]
pub fn find(name: &str) -> Option<usize> {
    ALL.iter().position(|key| key.name == name)
}

/// The name of a key that `name` may have been meant for.
#[must_use]
pub fn near(name: &str) -> Option<&'static str> {
    let near = ALL.iter().map(|key| (strsim::jaro_winkler(key.name, name), key.name));
    let best = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.8);
    best.map(|(_, name)| name)
}

impl Key {
    /// The value that holds if nobody says anything.
    #[must_use]
    pub fn default_value(&self) -> Option<Value> {
        self.form.read(OsStr::new(self.default)).ok().filter(|_| !self.default.is_empty())
    }
}

impl Form {
    /// Whether a value of this form can make the program run something, reach something over the
    /// network, or read and write somewhere: never a project's to say.
    #[must_use]
    pub const fn is_dangerous(self) -> bool {
        matches!(self, Self::Path | Self::Url | Self::Command)
    }

    /// Reads a value as the environment or a command line spells it; the error says what was
    /// expected.
    pub fn read(self, raw: &OsStr) -> Result<Value, String> {
        if self == Self::Path {
            let path = Some(PathBuf::from(raw)).filter(|path| !path.as_os_str().is_empty());
            return path.map(Value::Path).ok_or_else(|| self.expected());
        }
        let text = raw.to_str().ok_or_else(|| "expected UTF-8".to_owned())?;
        let value = match self {
            Self::Choice(words) => words.iter().find(|word| **word == text).map(|w| Value::Word(w)),
            Self::Duration => {
                return parse_duration(text).map(Value::Duration).map_err(|e| e.to_string());
            }
            Self::Number(min, max) => {
                let digits = text.bytes().all(|c| c.is_ascii_digit());
                let number = text.parse().ok().filter(|n| digits && (min..=max).contains(n));
                number.map(Value::Number)
            }
            Self::Fraction(min, max) => {
                let number = text.parse::<f64>().ok();
                number.filter(|n| (min..=max).contains(n)).map(Value::Fraction)
            }
            Self::Bool => match text {
                "true" | "1" | "yes" => Some(Value::Bool(true)),
                "false" | "0" | "no" => Some(Value::Bool(false)),
                _ => None,
            },
            Self::Text => {
                let plain = !text.chars().any(char::is_control);
                plain.then(|| Value::Text(text.to_owned()))
            }
            Self::Url => is_url(text).then(|| Value::Text(text.to_owned())),
            Self::Words => {
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                return self.list(words.map(str::to_owned).collect());
            }
            Self::Command => {
                return self.list(text.split_ascii_whitespace().map(str::to_owned).collect());
            }
            Self::Path => None,
        };
        value.ok_or_else(|| self.expected())
    }

    /// Reads a list of words.
    fn list(self, words: Vec<String>) -> Result<Value, String> {
        let plain = !words.iter().any(|w| w.chars().any(char::is_control));
        if !plain || (self == Self::Command && words.first().is_none_or(String::is_empty)) {
            return Err(self.expected());
        }
        Ok(Value::Words(words))
    }

    /// Reads a value as TOML spells it. A relative path counts from `base`.
    pub fn read_toml(self, value: &toml::de::DeValue<'_>, base: &Path) -> Result<Value, String> {
        use toml::de::DeValue;
        let found = || format!("{}, found {}", self.expected(), value.type_str());
        match (self, value) {
            (Self::Number(..) | Self::Fraction(..), DeValue::Integer(n)) => {
                self.read(OsStr::new(n.as_str()))
            }
            (Self::Fraction(..), DeValue::Float(n)) => self.read(OsStr::new(n.as_str())),
            (Self::Bool, DeValue::Boolean(yes)) => Ok(Value::Bool(*yes)),
            (Self::Words | Self::Command, DeValue::Array(items)) => {
                let words = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
                words.collect::<Option<_>>().ok_or_else(found).and_then(|words| self.list(words))
            }
            (Self::Path, DeValue::String(text)) => match self.read(OsStr::new(text.as_ref()))? {
                Value::Path(path) => Ok(Value::Path(base.join(path))),
                other => Ok(other),
            },
            (
                Self::Choice(_) | Self::Duration | Self::Text | Self::Url | Self::Command,
                DeValue::String(text),
            ) => self.read(OsStr::new(text.as_ref())),
            _ => Err(found()),
        }
    }

    /// What a value must be, in words.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Choice(words) => words.join(" or "),
            Self::Duration => "a length of time".to_owned(),
            Self::Number(min, max) => format!("a whole number from {min} to {max}"),
            Self::Fraction(min, max) => format!("a number from {min} to {max}"),
            Self::Bool => "true or false".to_owned(),
            Self::Text => "a text on one line".to_owned(),
            Self::Words => "a list of words".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Url => "an address, https or http".to_owned(),
            Self::Command => "a program with its arguments".to_owned(),
        }
    }

    /// What was expected, for an error.
    fn expected(self) -> String {
        match self {
            Self::Choice(words) => format!("expected one of `{}`", words.join("`, `")),
            Self::Duration => "expected a string such as \"30m\"".to_owned(),
            other => format!("expected {}", other.words()),
        }
    }
}

fn is_url(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

impl Value {
    /// Whether this is a smaller amount of the same kind than `other`, or the same.
    #[must_use]
    pub fn at_most(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a <= b,
            (Self::Fraction(a), Self::Fraction(b)) => a <= b,
            (Self::Duration(a), Self::Duration(b)) => a <= b,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_and_every_name_stands_once() {
        for (at, key) in ALL.iter().enumerate() {
            assert!(key.default.is_empty() || key.default_value().is_some(), "{}", key.name);
            assert!(ALL[..at].iter().all(|k| k.name != key.name && k.env != key.env));
            let env = key.name.to_uppercase().replace(['.', '-'], "_");
            assert_eq!(key.env, format!("COORD_{env}"));
            assert_eq!(key.name.matches('.').count(), 1, "{}: section.name", key.name);
        }
        assert_eq!(ALL[AGENT_SILENT_AFTER].name, "agent.silent-after");
    }

    #[test]
    fn a_project_sets_no_key_that_runs_reaches_or_writes_something() {
        for key in ALL {
            let free = key.project == Project::Never || !key.form.is_dangerous();
            assert!(free, "`{}` must be `Never`", key.name);
            if key.project == Project::Lowers {
                let amount =
                    matches!(key.form, Form::Number(..) | Form::Fraction(..) | Form::Duration);
                assert!(amount, "`{}` is no amount that can be lowered", key.name);
            }
            // Whatever the form says: these words promise a place, a program or a secret.
            for word in
                ["command", "url", "file", "dir", "path", "program", "binary", "key", "proxy"]
            {
                let says = key.name.split(['.', '-']).any(|part| part == word);
                assert!(!says || key.project == Project::Never, "`{}`", key.name);
            }
        }
    }

    #[test]
    fn every_form_takes_its_own_and_refuses_the_rest() {
        let words = |words: &[&str]| Value::Words(words.iter().map(ToString::to_string).collect());
        for (form, text, value) in [
            (Form::Bool, "true", Value::Bool(true)),
            (Form::Fraction(0.0, 10.0), "2.5", Value::Fraction(2.5)),
            (Form::Text, "a b", Value::Text("a b".into())),
            (Form::Words, "a, b,,c", words(&["a", "b", "c"])),
            (Form::Path, "a b", Value::Path("a b".into())),
            (Form::Url, "https://h/p", Value::Text("https://h/p".into())),
            (Form::Command, "pass show  key", words(&["pass", "show", "key"])),
        ] {
            assert_eq!(form.read(OsStr::new(text)), Ok(value));
        }
        for (form, text) in [
            (Form::Bool, "perhaps"),
            (Form::Fraction(0.0, 10.0), "NaN"),
            (Form::Fraction(0.0, 10.0), "-1"),
            (Form::Number(1, 9), "+3"),
            (Form::Text, "a\nb"),
            (Form::Path, ""),
            (Form::Url, "file:///etc"),
            (Form::Url, "https://"),
            (Form::Command, " "),
        ] {
            assert!(form.read(OsStr::new(text)).is_err(), "{form:?} {text}");
        }
    }
}
