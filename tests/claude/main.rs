//! Calls to Claude, from outside: against a scripted server and a stand-in for the `claude` program.
//! No test here needs a key or reaches the real service.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "tests stand outside the program")]

#[path = "../cli/env.rs"]
#[expect(dead_code, reason = "the tests of the command line use more of it")]
mod env;
#[path = "../cli/schema.rs"]
mod schema;
#[path = "../scripted/mod.rs"]
mod scripted;

mod campaign;
mod commands;
mod layer;
mod program;
mod sdk;
mod together;
