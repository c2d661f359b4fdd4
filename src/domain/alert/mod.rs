//! Alerts: rules about what was measured, when they fire and resolve, and who is told.
//!
//! A rule is evaluated as Prometheus evaluates one: what is true becomes pending at the first
//! evaluation, fires when it has been true for the rule's `for`, and ends at the first evaluation
//! that finds it untrue. The rules can be exported for it and mean the same there.

mod given;
mod metric;
mod notice;
mod prometheus;
mod record;
mod rule;
mod state;
mod unit;

pub use given::{Layer, Said, Wrong, combine, read};
pub use metric::{METRICS, Metric, Reading};
pub use notice::{Notice, Origin, Status, Target};
pub use prometheus::{Exported, Group, Line, export};
pub use record::{Due, Kept, Record, Seen, Silence, Transition};
pub use rule::{Comparison, Rule, Severity, built_in};
pub use state::{Change, Finding, State, step};
pub use unit::Unit;
