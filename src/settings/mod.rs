//! Where the state lives and what the configuration says.

pub mod keys;
mod layers;
mod place;

pub use layers::{Layer, MACHINE_FILE, Origin, Said, Settings};
pub use place::{Dirs, Place, Source};
