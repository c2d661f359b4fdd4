//! Seams to the outside: each has a real form and a form for tests.

mod clock;
mod document;
mod env;
pub mod fs;
mod ids;
pub mod input;
pub mod leftover;
pub mod measure;
mod plant;
pub mod process;
mod scratch;
pub mod signal;
mod sweep;
pub mod tree;
pub mod usage;
pub mod volume;
mod watch;

pub use clock::{Boot, Clock, FixedClock, SystemClock};
pub use document::Document;
pub use env::Env;
pub use ids::{Ids, RandomIds, SequentialIds};
pub use plant::plant;
pub use scratch::Scratch;
pub use sweep::Sweep;
pub use watch::{Watch, Woken};
