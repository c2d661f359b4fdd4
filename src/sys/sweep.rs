//! What must not outlive a process that a signal ends.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use super::{Clock as _, SystemClock, signal};

/// What goes; nothing before the first of it, since nobody listens yet.
static PLACES: Mutex<Option<Vec<PathBuf>>> = Mutex::new(None);
/// How often a directory is removed that the rest of the process still writes to.
const TRIES: u32 = 40;

/// A file or a directory that goes when SIGINT, SIGTERM or SIGHUP ends the process, until this is
/// dropped. The process ends as it would without it.
#[derive(Debug)]
pub struct Sweep(PathBuf);

impl Sweep {
    /// Begins. What has the path then need not be there yet.
    pub fn over(path: &Path) -> io::Result<Self> {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *places {
            Some(list) => list.push(path.to_owned()),
            none => {
                listen()?;
                *none = Some(vec![path.to_owned()]);
            }
        }
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        // Waits while a signal is being obeyed: nothing may be done with the path any more.
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = &mut *places
            && let Some(at) = list.iter().position(|path| *path == self.0)
        {
            list.swap_remove(at);
        }
    }
}

/// Lets a thread wait for the signals, for the rest of the process.
fn listen() -> io::Result<()> {
    let (mut hear, tell) = UnixStream::pair()?;
    let which = Arc::new(AtomicUsize::new(0));
    for (signal, number) in [(SIGINT, 2), (SIGTERM, 15), (SIGHUP, 1)] {
        if signal == SIGHUP && signal::is_ignored(Signal::HUP) {
            continue;
        }
        flag::register_usize(signal, Arc::clone(&which), number)?;
        low_level::pipe::register(signal, tell.try_clone()?)?;
    }
    let wait = move || {
        if hear.read_exact(&mut [0]).is_err() {
            return;
        }
        let places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        for path in places.iter().flatten() {
            remove(path);
        }
        let signal = match which.load(Ordering::SeqCst) {
            2 => SIGINT,
            1 => SIGHUP,
            _ => SIGTERM,
        };
        let _ = low_level::emulate_default_handler(signal);
    };
    std::thread::Builder::new().name("sweep".into()).spawn(wait).map(drop)
}

fn remove(path: &Path) {
    for _ in 0..TRIES {
        let gone =
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        match gone {
            Ok(()) => return,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(_) => SystemClock.sleep(Duration::from_millis(5)),
        }
    }
}
