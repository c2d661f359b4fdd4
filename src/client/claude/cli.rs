//! The user's own `claude` program as a backend: for people who have a login and no key.
//!
//! It is called without tools, without the project's files and settings, and without retries of its
//! own. The prompt goes through standard input (an argument is limited to 128 KiB and anybody can
//! read it); the environment is made from a list of names, so that no secret of ours goes along.
//!
//! What it prints is believed only if everything fits: exit code 0, one result object, no error in
//! it, a known end, and text. Its exit code alone says little: an interrupt ends it with 0, a failed
//! call says `subtype: success`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Backend, BackendName, Call, Cause, Fault, Reply, Request, Role, StopReason, Usage, Usd,
};
use crate::sys::Env;
use crate::sys::process::{Ended, Program, Running, find};

/// The most that is kept of what it prints.
const MOST: usize = 8 << 20;
/// How often signals and limits are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long it has to end when it is told to.
const GRACE: Duration = Duration::from_millis(200);
/// An argument longer than this is refused by the kernel (128 KiB, with some room).
const LONGEST_ARGUMENT: usize = 100 << 10;

/// What it needs of the environment: its home and login, the language, the way to the network.
const NEEDED: &[&str] = &[
    "HOME",
    "PATH",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "CLAUDE_CONFIG_DIR",
    "CLAUDE_CODE_CERT_STORE",
    "CLAUDE_CODE_CLIENT_CERT",
    "CLAUDE_CODE_OAUTH_TOKEN",
];

/// The keys it takes, handed on only if the user chose the program and has no login in the
/// environment.
const KEYS: &[&str] = &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"];

type Tried<T> = Result<T, Box<Fault>>;

/// The program as a backend.
pub struct Cli {
    program: PathBuf,
    host: String,
    env: Vec<(OsString, OsString)>,
    secrets: Vec<String>,
}

impl std::fmt::Debug for Cli {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cli").field("program", &self.program).finish_non_exhaustive()
    }
}

impl Cli {
    /// Finds the program: by its path, or by its name in `PATH`. `with_key` hands a key in the
    /// environment on to it: only if the program was chosen and not merely fallen back to.
    #[must_use]
    pub fn find(program: &Path, env: &Env, with_key: bool) -> Option<Self> {
        let found = find(program.as_os_str(), env.get("PATH").as_deref())?;
        let logged_in = env.get("CLAUDE_CODE_OAUTH_TOKEN").is_some();
        let keys = if with_key && !logged_in { KEYS } else { &[] };
        let names = NEEDED.iter().chain(keys);
        let env_of = |name: &&str| Some((OsString::from(*name), env.get(name)?));
        let mut secrets: Vec<String> = KEYS.iter().filter_map(|name| env.text(name)).collect();
        secrets.extend(env.text("CLAUDE_CODE_OAUTH_TOKEN"));
        Some(Self {
            host: found.display().to_string(),
            program: found,
            env: names.filter_map(env_of).collect(),
            secrets,
        })
    }

    /// The program that was found.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What it is called with. What is too long for an argument is left to [`Cli::stdin`].
    fn argv(&self, request: &Request, model: &str, streams: bool) -> Vec<OsString> {
        let format = if streams { "stream-json" } else { "json" };
        let mut argv: Vec<OsString> = vec![self.program.clone().into(), "-p".into()];
        argv.extend(["--output-format", format, "--model", alias(model)].map(OsString::from));
        if streams {
            argv.extend(["--verbose", "--include-partial-messages"].map(OsString::from));
        }
        argv.extend(["--tools", "", "--no-session-persistence", "--safe-mode"].map(OsString::from));
        argv.extend(["--strict-mcp-config", "--setting-sources", ""].map(OsString::from));
        if let Some(system) = request.system.as_ref().filter(|system| is_argument(system)) {
            argv.extend(["--system-prompt", system].map(OsString::from));
        }
        if let Some(schema) = &request.schema {
            argv.extend(["--json-schema", &schema.to_string()].map(OsString::from));
        }
        argv
    }

    /// What it gets on standard input.
    fn stdin(request: &Request) -> String {
        let prompt = prompt(request);
        match request.system.as_ref().filter(|system| !is_argument(system)) {
            Some(system) => format!("{system}\n\n{prompt}"),
            None => prompt,
        }
    }

    fn command(&self, request: &Request, model: &str, streams: bool) -> Tried<Program> {
        if request.schema.as_ref().is_some_and(|schema| !is_argument(&schema.to_string())) {
            let message = "the schema is too long for the program's command line";
            return Err(Fault::new(Cause::TooLarge, message).into());
        }
        let argv = self.argv(request, model, streams);
        let prompt = Self::stdin(request);
        let mut program = Program::new(argv).bare().keeping(MOST).stdin(prompt.into_bytes());
        for (name, value) in &self.env {
            program = program.env(name, value);
        }
        for (name, value) in Self::settings(request) {
            program = program.env(name, value);
        }
        Ok(program)
    }

    /// The variables that tell it how to behave: no retries of its own, nothing but the answer.
    fn settings(request: &Request) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
            ("CLAUDE_CODE_MAX_RETRIES", "0".to_owned()),
            ("DISABLE_AUTOUPDATER", "1".to_owned()),
        ];
        let tokens = request.max_tokens;
        all.extend(tokens.map(|tokens| ("CLAUDE_CODE_MAX_OUTPUT_TOKENS", tokens.to_string())));
        all
    }

    fn run(&self, call: &mut Call<'_>) -> Tried<Reply> {
        let streams = call.sink.is_some();
        let mut program = self.command(call.request, call.model, streams)?;
        let pieces = streams.then(|| {
            let (to, from) = channel();
            program = program.clone().tee(to);
            from
        });
        let mut running = program.start().map_err(|source| {
            let name = self.program.display();
            Box::new(Fault::new(Cause::NoProgram, format!("`{name}` cannot be started: {source}")))
        })?;
        let mut live =
            Live { pieces, rest: Vec::new(), began: false, heard: call.clock.monotonic() };
        let ended = watch(&mut running, call, &mut live).map_err(|cause| {
            let _ = running.stop(call.clock, GRACE, &mut || false);
            Box::new(Fault { began: live.began, ..Fault::new(cause, words(cause)) })
        })?;
        let (out, err) = running.output();
        let read = if out.cut > 0 {
            Err(Fault::new(Cause::TooLarge, words(Cause::TooLarge)).into())
        } else {
            // The last pieces may have come after its end.
            match live.pass_on(call) {
                Ok(()) => read(&out.text, &err.text, ended, call),
                Err(cause) => Err(Fault::new(cause, words(cause)).into()),
            }
        };
        read.map_err(|fault| Box::new(Fault { began: live.began, ..self.redacted(*fault) }))
    }

    /// Whatever the program prints about itself, no key is in it.
    fn redacted(&self, mut fault: Fault) -> Fault {
        for secret in &self.secrets {
            fault.message = fault.message.replace(secret.as_str(), "[redacted]");
        }
        fault
    }
}

impl Backend for Cli {
    fn name(&self) -> BackendName {
        BackendName::Cli
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn attempt(&self, call: &mut Call<'_>) -> Result<Reply, Box<Fault>> {
        self.run(call)
    }

    fn preview(&self, request: &Request, model: &str, stream: bool) -> Value {
        let argv = self.argv(request, model, stream);
        let words: Vec<_> = argv.iter().map(|word| word.to_string_lossy()).collect();
        // Of what is handed on only the names: a value may be a secret.
        let env: Vec<_> = self.env.iter().map(|(name, _)| name.to_string_lossy()).collect();
        let set: serde_json::Map<String, Value> = Self::settings(request)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        json!({ "argv": words, "stdin": Self::stdin(request), "env": set, "env_handed_on": env })
    }
}

/// What comes while it runs.
struct Live {
    pieces: Option<Receiver<Vec<u8>>>,
    rest: Vec<u8>,
    began: bool,
    heard: Duration,
}

impl Live {
    /// Hands on the text of the events that have come.
    fn pass_on(&mut self, call: &mut Call<'_>) -> Result<(), Cause> {
        let Some(pieces) = &self.pieces else { return Ok(()) };
        while let Ok(piece) = pieces.try_recv() {
            self.heard = call.clock.monotonic();
            self.rest.extend_from_slice(&piece);
            if self.rest.len() > MOST {
                return Err(Cause::TooLarge);
            }
            while let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=at).collect();
                let Some(text) = delta(&line) else { continue };
                let Some(sink) = call.sink.as_mut() else { continue };
                self.began = true;
                sink(&text).map_err(|_| Cause::SinkClosed)?;
            }
        }
        Ok(())
    }
}

/// Waits for its end; the cause says why it must be ended.
fn watch(running: &mut Running, call: &mut Call<'_>, live: &mut Live) -> Result<Ended, Cause> {
    let begun = call.clock.monotonic();
    loop {
        let now = call.clock.monotonic();
        let left = call.timeout.map(|time| (begun + time).saturating_sub(now));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Cause::Timeout);
        }
        if live.pieces.is_some() && now.saturating_sub(live.heard) > call.idle {
            return Err(Cause::Idle);
        }
        let tick = left.unwrap_or(TICK).min(TICK);
        let ended = running.wait(call.clock, tick).map_err(|_| Cause::Program)?;
        if let Some(stop) = (call.stop)() {
            return Err(stop.into());
        }
        if let Some(ended) = ended {
            // What it left behind in its group must not live on.
            let _ = running.stop(call.clock, Duration::ZERO, &mut || true);
            return Ok(ended);
        }
        live.pass_on(call)?;
    }
}

fn words(cause: Cause) -> &'static str {
    match cause {
        Cause::Timeout => "the `claude` program did not answer in time",
        Cause::Idle => "the `claude` program was silent for too long",
        Cause::Interrupted => "interrupted",
        Cause::Terminated => "terminated",
        Cause::SinkClosed => "the reader has gone",
        Cause::TooLarge => "the `claude` program printed too much",
        _ => "the `claude` program cannot be waited for",
    }
}

/// The name under which the program knows a model.
fn alias(model: &str) -> &str {
    match model {
        "claude-haiku-5-5" => "haiku",
        "claude-sonnet-5-5" => "sonnet",
        "claude-opus-5-5" => "opus",
        "claude-fable-5-2" => "fable",
        other => other,
    }
}

/// Whether a text can be an argument of a program.
fn is_argument(text: &str) -> bool {
    text.len() <= LONGEST_ARGUMENT && !text.contains('\0')
}

/// The conversation as one text.
fn prompt(request: &Request) -> String {
    if let [only] = request.messages.as_slice() {
        return only.content.clone();
    }
    let turn = |message: &super::Message| {
        let who = if message.role == Role::User { "user" } else { "assistant" };
        format!("<turn by=\"{who}\">\n{}\n</turn>", message.content)
    };
    let turns: Vec<String> = request.messages.iter().map(turn).collect();
    format!("{}\n\nAnswer the last turn.", turns.join("\n"))
}

/// The text of a line of the stream, if it brings some.
fn delta(line: &[u8]) -> Option<String> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let delta = &line["event"]["delta"];
    let brings = line["type"] == "stream_event" && delta["type"] == "text_delta";
    brings.then(|| delta["text"].as_str().map(ToOwned::to_owned)).flatten()
}

/// The result objects among what it printed: a line each, or one document, or a list.
fn results(out: &str) -> Vec<Value> {
    let is_result = |value: &Value| value["type"] == "result";
    if let Ok(whole) = serde_json::from_str::<Value>(out) {
        return match whole {
            Value::Array(all) => all.into_iter().filter(is_result).collect(),
            one => Some(one).filter(is_result).into_iter().collect(),
        };
    }
    let lines = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(is_result).collect()
}

/// Reads what it printed, by the strict rule.
fn read(out: &str, err: &str, ended: Ended, call: &Call<'_>) -> Tried<Reply> {
    let mut found = results(out);
    let result = match (found.pop(), found.is_empty()) {
        (Some(result), true) => result,
        (Some(_), false) => {
            let message = "it printed more than one result";
            return Err(Fault::new(Cause::Malformed, message).into());
        }
        (None, _) => return Err(silent(out, err, ended).into()),
    };
    if !ended.is_success() || result["is_error"] != Value::Bool(false) {
        return Err(failed(&result, ended).into());
    }
    match result["terminal_reason"].as_str() {
        None | Some("completed") => {}
        Some(_) => return Err(failed(&result, ended).into()),
    }
    let structured = Some(&result["structured_output"]).filter(|value| !value.is_null()).cloned();
    let asked = call.request.schema.is_some();
    let text = match (result["result"].as_str().filter(|text| !text.trim().is_empty()), &structured)
    {
        (_, None) if asked => {
            let told =
                with_usage(Fault::new(Cause::Empty, "it gave no structured output"), &result);
            return Err(told.into());
        }
        (Some(text), _) => text.to_owned(),
        (None, Some(value)) if asked => value.to_string(),
        (None, _) => {
            let told = with_usage(Fault::new(Cause::Empty, "its result is empty"), &result);
            return Err(told.into());
        }
    };
    Ok(Reply {
        text,
        structured: structured.filter(|_| asked),
        stop_reason: result["stop_reason"].as_str().map_or(
            // Versions that do not say it end only when Claude did.
            Some(StopReason::EndTurn),
            |word| Some(StopReason::read(word)),
        ),
        model: model(&result).unwrap_or_else(|| call.model.to_owned()),
        usage: usage(&result),
        cost: cost(&result),
        request_id: None,
        status: None,
        pause: None,
    })
}

/// The fault of a run without a result.
fn silent(out: &str, err: &str, ended: Ended) -> Fault {
    let said = err.trim().lines().last().unwrap_or_default();
    let how = ended.words();
    let message = if said.is_empty() {
        format!("the `claude` program ended with {how} and no result")
    } else {
        format!("the `claude` program ended with {how}: {said}")
    };
    let cause = if is_login(said) || is_login(out) {
        Cause::NotLoggedIn
    } else if ended.is_success() && !out.trim().is_empty() {
        Cause::Malformed
    } else {
        Cause::Program
    };
    Fault::new(cause, message)
}

/// The fault of a result that is an error.
fn failed(result: &Value, ended: Ended) -> Fault {
    let texts = [&result["result"], &result["errors"][0], &result["subtype"]];
    let said = texts.iter().find_map(|text| text.as_str()).unwrap_or("it gave no reason");
    let status = result["api_error_status"].as_u64().and_then(|n| u16::try_from(n).ok());
    let ends = result["terminal_reason"].as_str();
    let cause = if status.is_some() {
        Cause::Status
    } else if result["subtype"] == "error_max_budget_usd" || ends == Some("budget_exhausted") {
        Cause::BudgetReached
    } else if is_login(said) {
        Cause::NotLoggedIn
    } else {
        Cause::Program
    };
    let message = match (ended.is_success(), result["is_error"] == Value::Bool(false)) {
        (false, true) => format!("{}, {said}", ended.words()),
        _ => said.to_owned(),
    };
    let fault = Fault {
        status,
        error_type: result["api_error_type"].as_str().map(ToOwned::to_owned),
        ..Fault::new(cause, message)
    };
    with_usage(fault, result)
}

/// The program has no code for this; its words are the only sign.
fn is_login(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("not logged in") || text.contains("/login")
}

/// What was used all the same.
fn with_usage(fault: Fault, result: &Value) -> Fault {
    Fault { usage: result["usage"].is_object().then(|| usage(result)), cost: cost(result), ..fault }
}

/// The model that wrote most of it.
fn model(result: &Value) -> Option<String> {
    let used = result["modelUsage"].as_object()?;
    let written = |row: &&(&String, &Value)| row.1["outputTokens"].as_u64().unwrap_or(0);
    let rows: Vec<_> = used.iter().collect();
    rows.iter().max_by_key(written).map(|(name, _)| (*name).clone())
}

fn usage(result: &Value) -> Usage {
    let usage = &result["usage"];
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let written = number(&usage["cache_creation_input_tokens"]);
    let hour = number(&usage["cache_creation"]["ephemeral_1h_input_tokens"]);
    Usage {
        input_tokens: number(&usage["input_tokens"]),
        cache_write_5m_tokens: written.saturating_sub(hour),
        cache_write_1h_tokens: hour,
        cache_read_tokens: number(&usage["cache_read_input_tokens"]),
        output_tokens: number(&usage["output_tokens"]),
    }
}

/// What it cost; nothing where the program only guessed.
fn cost(result: &Value) -> Option<Usd> {
    let used = result["modelUsage"].as_object();
    let guessed = used.is_some_and(|all| all.values().any(|row| row["costBasis"] == "unknown"));
    result["total_cost_usd"].as_f64().filter(|_| !guessed).and_then(Usd::from_dollars)
}
