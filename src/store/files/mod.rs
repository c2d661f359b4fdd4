//! The file store: a log of after-images, and an index that can always be made anew.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::sys::Clock;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// The state directory.
    pub dir: PathBuf,
    /// Whether a missing store is made.
    pub create: bool,
    /// Whether somebody else's directory, or one on a network file system, is used all the same.
    pub trust_dir: bool,
    /// How long to wait for the lock.
    pub lock_timeout: Duration,
    /// Whether an operation waits until it is durable. Off for scratch use only.
    pub sync: bool,
    /// What the lock file says about its holder, such as `work claim`.
    pub command: String,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// The file store.
pub struct FileStore {}

impl FileStore {
    /// Opens the store in a directory.
    pub fn open(_options: Options) -> super::Result<Self> {
        todo!()
    }
}
