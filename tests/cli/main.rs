//! The command line, from outside.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "tests stand outside the program")]

mod agent;
mod agent_run;
mod backup;
mod bench;
mod compat;
mod complete;
mod demo;
mod env;
mod health;
mod import;
mod legacy;
mod lock;
mod schema;
mod scripts;
mod selftest;
mod shell;
mod streams;
mod swarm;
mod telemetry;
mod telemetry_report;
