//! `coord compat`, and what `coordination_helper.sh` does when it is a link to this program: the old
//! positional command line, on the same store as everything else.
//!
//! Each command is a thin translation: words by their place into plain values, an operation of the
//! store, the old lines with what is really there. Before it the old files are taken over if an old
//! program wrote them, after it they are complete copies of the store ([`mirror`]).

mod agents;
mod analysis;
mod ceremonies;
mod facts;
mod mirror;
mod operations;
mod reviews;
mod work;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use super::{Context, Verb, is_here};
use crate::domain::legacy::dialect::{self, COMMANDS, Group, Spelling};
use crate::domain::name::AgentId;
use crate::error::{Error, Kind, Result};
use crate::output::{Format, Screen, Shape, View, line};

/// The name under which the program speaks nothing but the old dialect.
pub(crate) const NAME: &str = "coordination_helper.sh";

/// Speak the old command line of `coordination_helper.sh`
///
/// Arguments stand by position, as they did. The store is the usual one; beside it (or in the
/// directory that `COORDINATION_DIR` names) lie `work_claims.json`, `agent_status.json`,
/// `coordination_log.json` and `velocity_log.txt` for programs that read them: complete when the
/// command ends. Old files that are there already are taken over first and kept in `old-files`.
/// A link to this program with the name `coordination_helper.sh` does the same.
///
/// What is wrong ends with exit code 1, as with the old program.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord compat help                                      Every old command
  coord compat claim bug_fix \"Mend the login\" high core  Make an item and take it
  coord compat complete work_1750055927455076000 success 5
  coord compat status --json                             For programs
  ln -s \"$(command -v coord)\" coordination_helper.sh     Let old scripts find it")]
pub(crate) struct Args {
    /// The old command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    words: Vec<OsString>,
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Told<'_>>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        run(cx, &self.words)
    }
}

/// Whether the program was started under its old name.
pub(crate) fn is_old_name(program: Option<&OsString>) -> bool {
    program.and_then(|program| Path::new(program).file_name()) == Some(OsStr::new(NAME))
}

/// What an old command answers.
struct Reply {
    lines: Vec<String>,
    data: Value,
    /// The number of the write that it made.
    wrote: Option<u64>,
    /// Whether what is known of agents was changed.
    agents: bool,
    /// What a check found.
    problems: Option<String>,
}

impl Reply {
    /// An answer of a command that only looked.
    const fn new(lines: Vec<String>, data: Value) -> Self {
        Self { lines, data, wrote: None, agents: false, problems: None }
    }

    /// The number of the write that it made.
    const fn wrote(mut self, n: u64) -> Self {
        self.wrote = Some(n);
        self
    }

    /// It changed what is known of agents.
    const fn agents(mut self) -> Self {
        self.agents = true;
        self
    }

    const fn changed(&self) -> bool {
        self.wrote.is_some() || self.agents
    }
}

/// The answer as it is shown.
#[derive(JsonSchema, Serialize)]
struct Told<'a> {
    /// The old command, whatever alias was typed.
    command: &'static str,
    /// What the old program's readers get to see.
    lines: &'a [String],
    /// What the lines were made of; it differs from command to command.
    result: &'a Value,
}

impl View for Told<'_> {
    const SCHEMA: &'static str = "coord.compat/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        self.lines.iter().try_for_each(|text| writeln!(out, "{}", line(text)))
    }
}

/// Runs an old command line.
pub(crate) fn run(cx: &mut Context, words: &[OsString]) -> Result<()> {
    dispatch(cx, words).map_err(|error| match error.kind() {
        // The old program knew only that something went wrong.
        Kind::Usage => error.of_kind(Kind::User),
        _ => error,
    })
}

fn dispatch(cx: &mut Context, words: &[OsString]) -> Result<()> {
    let words: Option<Vec<&str>> = words.iter().map(|word| word.to_str()).collect();
    let Some(words) = words else {
        return Err(Error::new(Kind::User, "an argument is not valid UTF-8")
            .hint("texts are kept as JSON, which is UTF-8"));
    };
    let (word, rest) = words.split_first().map_or(("help", &[][..]), |(word, rest)| (*word, rest));
    let word = if matches!(word, "-h" | "--help") { "help" } else { word };
    let Some(spelling) = dialect::find(word) else { return Err(unknown(word)) };
    let rest = late_flags(cx, spelling, rest);
    let program = if cx.command == NAME { NAME } else { "coord compat" };
    cx.flags_behind = Some(program);
    answer_one(cx, word, spelling, rest).map_err(|error| {
        let misplaced = rest.iter().find(|word| FLAGS.iter().any(|(flag, ..)| flag == *word));
        match misplaced {
            Some(flag) => {
                error.hint(format!("flags stand before the old words: `{program} {flag} {word} …`"))
            }
            None => error,
        }
    })
}

/// The flags of the output, with what they mean.
const FLAGS: [(&str, Option<Format>, bool); 3] =
    [("--json", Some(Format::Json), false), ("--quiet", None, true), ("-q", None, true)];

/// Takes the flags of the output off the end, where no argument of the command is a free text: there
/// such a word is the text.
fn late_flags<'a, 'b>(
    cx: &mut Context,
    spelling: &Spelling,
    mut rest: &'a [&'b str],
) -> &'a [&'b str] {
    while let Some((last, before)) = rest.split_last()
        && !spelling.takes_text()
        && let Some((_, format, quiet)) = FLAGS.iter().find(|(flag, ..)| flag == last)
    {
        let (now, was) = (cx.ui.format(), cx.ui.is_quiet());
        cx.ui.set_manner(format.unwrap_or(now), *quiet || was);
        rest = before;
    }
    rest
}

fn answer_one(
    cx: &mut Context,
    word: &str,
    spelling: &'static Spelling,
    rest: &[&str],
) -> Result<()> {
    let most = spelling.arguments.split_whitespace().filter(|w| w.starts_with(['<', '['])).count();
    if rest.len() > most {
        let what = if most == 0 {
            format!("`{word}` takes no arguments")
        } else {
            format!("`{word}` takes at most {most} arguments, {} were given", rest.len())
        };
        return Err(Error::new(Kind::User, what)
            .hint("a text of several words is one argument in quotes")
            .hint(usage(spelling)));
    }
    if spelling.name() == "help" {
        let lines = help();
        return Ok(cx.ui.emit(&Told { command: "help", lines: &lines, result: &Value::Null })?);
    }
    cx.command = format!("compat {}", spelling.name());
    let place = mirror::prepare(cx)?;
    seed(cx)?;
    let reply = match operations::refusal(spelling, word) {
        Some(error) => Err(error),
        None => answer(cx, spelling, rest),
    };
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => {
            // Whoever was killed before may have left them old; what is wrong here comes first.
            let _ = mirror::bring_up(cx, &place, &Reply::new(Vec::new(), Value::Null));
            return Err(error);
        }
    };
    let mirrored = mirror::bring_up(cx, &place, &reply);
    cx.ui.emit(&Told { command: spelling.name(), lines: &reply.lines, result: &reply.data })?;
    match mirrored {
        Err(error) if reply.changed() => {
            let hint = "the change itself was made; the next command writes the old files";
            return Err(error.hint(hint));
        }
        Err(error) => {
            cx.ui.warning(&format!("the old files could not be brought up to date: {error}"));
        }
        Ok(()) => {}
    }
    match reply.problems {
        Some(what) => Err(Error::new(Kind::Problems, what).hint("the answer names each of them")),
        None => Ok(()),
    }
}

fn answer(cx: &mut Context, spelling: &'static Spelling, rest: &[&str]) -> Result<Reply> {
    match spelling.name() {
        "claim" | "claim-intelligent" => work::claim(cx, spelling, rest),
        "progress" => work::progress(cx, spelling, rest),
        "complete" => work::complete(cx, spelling, rest),
        "add-work" => work::add(cx, spelling, rest),
        "list-work" => work::list(cx, rest),
        "register" => agents::register(cx, spelling, rest),
        "remove-agent" => agents::remove(cx, spelling, rest),
        "generate-id" => Ok(agents::generate_id(cx)),
        "list-agents" => agents::list(cx),
        "agent-performance" => agents::performance(cx, rest),
        "agent-workload" => agents::workload(cx, rest),
        "agent-health" => agents::health(cx, rest),
        name => match spelling.group {
            Group::Scrum => ceremonies::hold(cx, name),
            Group::Claude => analysis::show(cx, name, rest),
            _ => operations::run(cx, name, rest),
        },
    }
}

/// There is no such old command.
fn unknown(word: &str) -> Error {
    let error = Error::new(Kind::User, format!("unknown command `{}`", word.escape_debug()));
    let all = COMMANDS.iter().flat_map(|spelling| spelling.names);
    let near = all.map(|name| (strsim::osa_distance(name, word), name)).min();
    let error = match near.filter(|(distance, name)| *distance <= name.len().div_ceil(4)) {
        Some((_, name)) => error.hint(format!("did you mean `{name}`?")),
        None => error,
    };
    error.hint(format!("`{NAME} help` lists the old commands, `coord --help` the new ones"))
}

/// How an old command is written.
fn usage(spelling: &Spelling) -> String {
    format!("usage: {NAME} {} {}", spelling.name(), spelling.arguments).trim_end().to_owned()
}

/// An argument that must be there is not.
fn missing(what: &str, spelling: &Spelling) -> Error {
    Error::new(Kind::User, format!("{what} is missing")).hint(usage(spelling))
}

/// An argument that is there and not empty.
fn given<'a>(rest: &[&'a str], at: usize) -> Option<&'a str> {
    rest.get(at).copied().filter(|text| !text.trim().is_empty())
}

/// Whether a command of the new command line is there already.
fn is_there(command: &str) -> bool {
    is_here(command.strip_prefix("coord ").unwrap_or(command))
}

/// Who acts, if the surroundings name somebody: here the old name counts first.
fn named_agent(cx: &Context) -> Result<Option<AgentId>> {
    let Some((name, text)) =
        ["AGENT_ID", "COORD_AGENT"].iter().find_map(|name| Some((name, cx.env.get(name)?)))
    else {
        return Ok(None);
    };
    let text = text.to_string_lossy();
    text.parse().map(Some).map_err(|why| {
        Error::new(Kind::Config, format!("`{name}` is `{text}`, which is no name: {why}"))
            .hint(format!("`{NAME} generate-id` makes one"))
    })
}

/// Names the next operation after the moment, as the old ids are: who repeats it under that name
/// makes the same ids, and so gets the same answer.
fn seed(cx: &mut Context) -> Result<()> {
    if cx.flags.op_id.is_none() {
        let text = format!("op-{}-{}", nanos(cx), &cx.ids.hex()[..8]);
        let op = text.parse().map_err(|_| Error::new(Kind::Bug, "a made operation id is wrong"))?;
        cx.next_op = Some(op);
    }
    Ok(())
}

fn nanos(cx: &Context) -> i64 {
    let now = cx.clock.wall();
    now.timestamp_nanos_opt().unwrap_or_else(|| now.timestamp_micros())
}

/// An identifier of the old kind: a word and the nanoseconds since 1970, those of the operation if it
/// was named here. The answer to an operation that may be repeated must have the same one each time.
fn made_id(cx: &Context, prefix: &str) -> String {
    let Some(op) = cx.flags.op_id.as_ref().or(cx.next_op.as_ref()) else {
        return format!("{prefix}_{}", nanos(cx));
    };
    if let Some((nanos, _)) = op.as_str().strip_prefix("op-").and_then(|op| op.split_once('-'))
        && nanos.len() >= 19
        && nanos.bytes().all(|c| c.is_ascii_digit())
    {
        return format!("{prefix}_{nanos}");
    }
    let id = format!("{prefix}_{op}");
    if id.len() <= crate::domain::name::MAX_NAME {
        return id;
    }
    format!("{prefix}_{}", &crate::store::mirror::hash(op.as_str().as_bytes())[..32])
}

/// Who acts: somebody whom the surroundings name, else somebody new.
fn agent(cx: &Context) -> Result<AgentId> {
    if let Some(agent) = named_agent(cx)? {
        return Ok(agent);
    }
    made_id(cx, "agent").parse().map_err(|_| Error::new(Kind::Bug, "a made agent id is not valid"))
}

fn help() -> Vec<String> {
    let mut lines = vec![
        "🤖 SCRUM AT SCALE AGENT COORDINATION HELPER".to_owned(),
        format!("Usage: {NAME} <command> [args...]"),
    ];
    for group in Group::ALL {
        lines.extend([String::new(), format!("{}:", group.heading())]);
        for spelling in COMMANDS.iter().filter(|spelling| spelling.group == group) {
            let words = format!("{} {}", spelling.names.join(" | "), spelling.arguments);
            lines.push(format!("  {:<60} {}", words.trim_end(), spelling.about));
        }
    }
    lines.push(String::new());
    lines.extend([
        "Flags, before the command:".to_owned(),
        "  --json                 An answer for programs".to_owned(),
        "  -q                     Nothing but what went wrong".to_owned(),
        "  --op-id ID             A name for this change: a repetition changes nothing".to_owned(),
        String::new(),
    ]);
    lines.push("Environment Variables:".to_owned());
    for (name, what) in ENVIRONMENT {
        lines.push(format!("  {name:<22} {what}"));
    }
    lines
}

/// The variables that the dialect looks at.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("COORDINATION_DIR", "where the old files lie, and the store unless COORD_DIR says otherwise"),
    ("AGENT_ID", "who acts; without it a claim makes an agent, the rest acts for the holder"),
    ("AGENT_TEAM", "the team of claims and registrations that name none"),
    ("CURRENT_WORK_ITEM", "the item of progress and complete that name none"),
    (
        "TRACE_ID",
        "the trace of what is claimed; FORCE_TRACE_ID and COORDINATION_TRACE_ID come first, OTEL_TRACE_ID last",
    ),
];

/// A heading as the old program wrote it.
fn heading(title: &str) -> Vec<String> {
    vec![title.to_owned(), "=".repeat(title.width())]
}

/// A part of an answer: its heading and its lines, or that there are none.
fn section(lines: &mut Vec<String>, title: &str, body: impl IntoIterator<Item = String>) {
    lines.extend([String::new(), title.to_owned()]);
    let before = lines.len();
    lines.extend(body.into_iter().map(|text| format!("  {text}")));
    if lines.len() == before {
        lines.push("  (nothing recorded)".to_owned());
    }
}

/// A list, for JSON.
fn listed<T: Serialize>(name: &str, rows: &[T]) -> Value {
    json!({ name: rows, "total": rows.len() })
}
