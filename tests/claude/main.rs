//! Calls to Claude, from outside: against a scripted server and a stand-in for the `claude` program.
//! No test here needs a key or reaches the real service.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "tests stand outside the program")]

#[path = "../scripted/mod.rs"]
mod scripted;

mod campaign;
mod layer;
mod program;
mod sdk;
