//! Adapters to others. Nothing here runs before a command asks for it: no runtime, no TLS, no thread.

mod backoff;
pub mod claude;
pub mod endpoint;
mod http;
pub mod notify;
pub mod otlp;
