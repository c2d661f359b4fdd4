//! Where the state lives and what the configuration says.

mod describe;
mod detect;
pub mod keys;
mod layers;
mod place;

pub use describe::{commented, json_schema, reference};
pub use detect::{Fact, detect};
pub use layers::{Layer, MACHINE_FILE, Origin, Said, Settings};
pub use place::{Dirs, Place, Source};
