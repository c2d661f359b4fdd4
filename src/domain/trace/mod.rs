//! Traces: which operation was part of which, across processes and machines.
//!
//! Identifiers and their textual forms are those of W3C Trace Context, level 1 (`traceparent`); a span
//! is what OpenTelemetry calls one.

mod id;
mod parent;
mod span;

pub use id::{SpanId, TraceId};
pub use parent::{Parent, parse_parent, trace_of_text};
pub use span::{Kind, Outcome, Span};
