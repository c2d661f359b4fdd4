//! Telemetry: what commands did, how they ended, how long they took, and what that amounts to.

mod counters;
mod exposition;
mod latency;
mod observed;
mod operation;
mod recovery;
mod summary;

pub use counters::{Counters, Counts};
pub use exposition::{Exposition, Labels};
pub use latency::{BUCKETS_US, Buckets, Latency};
pub use observed::{Calls, Flow, Observed, Queue, Roster};
pub use operation::{Operation, Outcome};
pub use recovery::{Lasted, Recovery};
pub use summary::{Budget, Dimension, Group, Slice, Summary, Window};
