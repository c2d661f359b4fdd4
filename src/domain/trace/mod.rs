//! Traces: which operation was part of which, across processes and machines.
//!
//! Identifiers and their textual forms are those of W3C Trace Context, level 1 (`traceparent`); a span
//! is what OpenTelemetry calls one.

mod id;
mod known;
mod parent;
mod span;
mod tree;

pub use id::{SpanId, TraceId};
pub use known::{Filter, Known};
pub use parent::{Parent, parse_parent, trace_of_text};
pub use span::{Kind, Outcome, Span};
pub use tree::{Branch, Row, Under, tree};
