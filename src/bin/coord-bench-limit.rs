//! The yardstick of `coord bench`: a bare process, or one that does the least a durable command
//! must do. Only the standard library, so that its start costs nothing of ours.

#[path = "../commands/bench/limit.rs"]
mod limit;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let done = match (args.next(), args.next(), args.next()) {
        (Some(mode), None, None) if mode == "empty" => Ok(()),
        (Some(mode), Some(dir), None) if mode == "append" => limit::append(Path::new(&dir), true),
        (Some(mode), Some(dir), None) if mode == "append-unsynced" => {
            limit::append(Path::new(&dir), false)
        }
        _ => return ExitCode::from(2),
    };
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(5) }
}
