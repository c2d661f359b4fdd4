//! Where the state lives and what the configuration says.

pub mod keys;
mod layers;
mod place;

pub use layers::{Origin, Settings};
pub use place::{Place, Source};
