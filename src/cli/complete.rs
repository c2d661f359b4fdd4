//! Answers a shell that completes a half-typed command line, or wants to know how to ask.

use std::ffi::OsString;
use std::process::ExitCode;

use clap_complete::CompleteEnv;

use crate::commands::complete::enliven;
use crate::error::{Error, Kind};
use crate::output::Ui;
use crate::sys::Env;

/// The variable by which a shell asks. Looking it up is all that an ordinary start has to do.
const VARIABLE: &str = "COORD_COMPLETE";

/// The answer, if a shell asks. Half-typed lines are answered in silence, whatever is wrong.
pub(super) fn answer(argv: &[OsString], env: &Env, ui: impl Fn() -> Ui) -> Option<ExitCode> {
    let shell = env.get(VARIABLE)?;
    let typed = argv.iter().position(|word| word == "--").map(|at| &argv[at + 1..]);
    let words = typed.unwrap_or_default();
    let tree = || enliven(super::command(), words, super::REFERENCE);
    let cwd = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(tree).var(VARIABLE).bin("coord");
    match asked.try_complete(argv.iter().cloned(), cwd.as_deref()) {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        Err(_) if typed.is_some() => Some(ExitCode::FAILURE),
        Err(_) => {
            let message = format!("`{VARIABLE}` is `{}`, which is no known shell", shell.display());
            let error = Error::new(Kind::Usage, message)
                .hint("expected one of `bash`, `zsh`, `fish`, `powershell`, `elvish`");
            ui().error(&error);
            Some(ExitCode::from(error.kind().exit_code()))
        }
    }
}
