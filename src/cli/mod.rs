//! Parses, dispatches, renders errors, picks the exit code.

mod args;
mod complete;
mod early;
mod fast;
mod groups;
mod legacy;
mod topics;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use crate::commands::{Context, Flags, Reference, bench, compat};
use crate::error::{Error, Kind, Result};
use crate::output::Ui;
use crate::sys::{Clock, Env, RandomIds, SystemClock, process};

/// The version, with the commit and its date where the build knew them.
pub const VERSION: &str = env!("COORD_VERSION");

/// What the commands can tell about the whole program.
const REFERENCE: Reference =
    Reference { tree: command, topics: topics::texts, views: legacy::VIEWS };

/// Builds the complete command tree: the source of help, completions and man pages.
#[must_use]
pub fn command() -> clap::Command {
    groups::apply(args::full())
}

/// Runs the program.
pub fn main(argv: impl IntoIterator<Item = OsString>) -> ExitCode {
    let argv: Vec<OsString> = argv.into_iter().collect();
    bench::bare::run(&argv).unwrap_or_else(|| whole(&argv))
}

/// All but the measured operations, which do without its room on the stack.
#[inline(never)]
fn whole(argv: &[OsString]) -> ExitCode {
    if argv.get(1).is_some_and(|word| word == process::BECOME) {
        return process::become_program(&argv[2..]);
    }
    let env = Env::Process;
    if compat::is_old_name(argv.first()) {
        return old_dialect(env, argv);
    }
    if let Some(code) = complete::answer(argv, &env, || early::Early::scan(&[], &env).ui(&env)) {
        return code;
    }
    // Enough of the flags to show an error as it was asked for, whatever else is wrong.
    let early = early::Early::scan(argv, &env);
    let ui = early.ui(&env);
    if early::is_version(argv) {
        let (mut ui, result) = version(ui);
        return end(&mut ui, result.as_ref().err());
    }
    run(ui, env, argv, early)
}

/// Shows the error, if there is one, and picks the exit code.
fn end(ui: &mut Ui, error: Option<&Error>) -> ExitCode {
    match error {
        None => ExitCode::SUCCESS,
        // The reader has what it wanted.
        Some(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Some(error) => {
            ui.error(error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// The end of a command: the store tidies up, an error is shown, and what it was is noted.
fn close(mut cx: Context, result: Result<()>) -> ExitCode {
    let error = result.map_err(|error| cx.after_a_change(error)).err();
    cx.finish();
    let code = end(&mut cx.ui, error.as_ref());
    cx.record(error.as_ref());
    code
}

/// Runs under the old name: everything behind it is the old dialect's, but for flags before the word.
fn old_dialect(env: Env, argv: &[OsString]) -> ExitCode {
    let words = argv.get(1..).unwrap_or_default();
    let (flags, op_id) = old_flags(words);
    let (shape, words) = words.split_at(flags);
    let shape: Vec<OsString> = argv.iter().take(1).chain(shape).cloned().collect();
    let ui = early::Early::scan(&shape, &env).ui(&env);
    let (clock, ids) = (Arc::new(SystemClock), Box::new(RandomIds));
    let command = compat::NAME.to_owned();
    let given = op_id.as_ref().and_then(|text| text.parse().ok());
    let unfit = op_id.filter(|_| given.is_none());
    let line = (Flags { op_id: given, ..Flags::default() }, command);
    let mut cx = Context::new(ui, env, clock, ids, line, REFERENCE);
    let result = match unfit {
        Some(text) => {
            let message = format!("`{}` is no operation id", text.escape_debug());
            Err(Error::new(Kind::User, message)
                .hint(format!("such as `{} --op-id nightly-7 claim …`", compat::NAME)))
        }
        None => compat::run(&mut cx, words),
    };
    close(cx, result)
}

/// How many words before the old command are flags, and the operation id among them.
fn old_flags(words: &[OsString]) -> (usize, Option<String>) {
    let (mut at, mut op_id) = (0, None);
    while let Some(word) = words.get(at).and_then(|word| word.to_str()) {
        match word {
            "--json" | "--quiet" | "-q" => at += 1,
            "--op-id" => {
                let id = words.get(at + 1).map(|id| id.to_string_lossy().into_owned());
                op_id = Some(id.unwrap_or_default());
                at = words.len().min(at + 2);
            }
            _ => match word.strip_prefix("--op-id=") {
                Some(id) => (at, op_id) = (at + 1, Some(id.to_owned())),
                None => break,
            },
        }
    }
    (at, op_id)
}

fn version(mut ui: Ui) -> (Ui, Result<()>) {
    let result = ui.page(&format!("coord {VERSION}\n")).map_err(Error::from);
    (ui, result)
}

fn run(mut ui: Ui, env: Env, argv: &[OsString], early: early::Early) -> ExitCode {
    let parsed = match args::understand(argv) {
        Ok(parsed) => parsed,
        Err(error) => {
            let result = usage::answer(&mut ui, &error, argv);
            return end(&mut ui, result.as_ref().err());
        }
    };
    // A flag's value may have looked like another flag to the first look.
    if parsed.quiet != ui.is_quiet() || parsed.format != ui.format() {
        ui = early.ui_as(&env, parsed.format, parsed.quiet);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let line = (parsed.flags, parsed.path);
    let mut cx = Context::new(ui, env, clock, Box::new(RandomIds), line, REFERENCE);
    let result = match parsed.run {
        args::Run::Topic(topic) => topics::show(&mut cx.ui, topic),
        args::Run::Legacy(names) => legacy::show(&mut cx.ui, &names),
        args::Run::Verb(run, matches) => run(&matches, &mut cx),
        args::Run::Hot(hot) => hot.run(&mut cx),
    };
    close(cx, result)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_tree_is_sound() {
        super::command().debug_assert();
    }
}
