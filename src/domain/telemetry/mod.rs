//! Telemetry: what commands did, how they ended, and how long they took.

mod operation;

pub use operation::{Operation, Outcome};
