//! What Claude is asked about the work, and what is made of its answer.
//!
//! An analysis sends a bounded projection of the store ([`Facts`]), never whole files. The answer
//! must fit the schema of its [`Kind`]; what it says about items and agents that were not in the data
//! is dropped and told ([`check`]). Without Claude the same questions are answered by fixed rules
//! over the same data ([`rules::answer`]).

mod check;
mod facts;
mod kind;
pub mod rules;

pub use check::{Dropped, check};
pub use facts::{Facts, Source};
pub use kind::{Kind, Preset};
