//! Parses, dispatches, renders errors, picks the exit code.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program.
pub fn main(_argv: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::SUCCESS
}
