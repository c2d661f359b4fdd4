//! `coord` as a library: the command line is one caller among others.
//!
//! Layers, top to bottom; a layer may use the ones below it and never one above:
//!
//! - [`cli`]: parses, dispatches, renders errors, picks the exit code.
//! - [`commands`]: one folder per noun, one file per verb; arguments in, [`output::View`] out.
//! - [`output`]: the only code that writes to a terminal.
//! - [`settings`]: where the state lives and what the configuration says.
//! - [`store`]: durable state behind one trait; [`store::files`] is the default.
//! - [`client`]: adapters to others: Claude, collectors of traces, whoever is told of alerts.
//! - [`domain`]: the rules; no clap, no printing, no environment, no clock, no files.
//! - [`sys`]: clock, environment, random ids, files, processes: the seams that tests replace.
//! - [`error`]: the one error that reaches the user.

pub mod cli;
pub mod client;
pub mod commands;
pub mod domain;
pub mod error;
pub mod output;
pub mod settings;
pub mod store;
pub mod sys;
