//! The program that shows what the machine can do at best.

use std::path::{Path, PathBuf};

use crate::sys::measure::Program;

/// Its file beside this program's.
const NAME: &str = "coord-bench-limit";

/// The physical limit, as a program of its own or, where that is not installed, a mode of this one.
pub(super) struct Yardstick {
    path: PathBuf,
    separate: bool,
}

impl Yardstick {
    /// Looks beside `exe`.
    pub(super) fn find(exe: &Path) -> Self {
        let beside = exe.with_file_name(NAME);
        if beside.is_file() {
            Self { path: beside, separate: true }
        } else {
            Self { path: exe.to_owned(), separate: false }
        }
    }

    /// Whether it is a program of its own: a mode of this large one starts more slowly, which
    /// flatters everything that is compared with it.
    pub(super) const fn is_separate(&self) -> bool {
        self.separate
    }

    /// A process that does nothing.
    pub(super) fn empty(&self) -> Program {
        self.program().args(["empty"])
    }

    /// A lock, an append, a flush if `sync`, a line of output.
    pub(super) fn append(&self, dir: &Path, sync: bool) -> Program {
        let mode = if sync { "append" } else { "append-unsynced" };
        self.program().args([mode]).args([dir.as_os_str()])
    }

    fn program(&self) -> Program {
        let program = Program::new(&self.path);
        if self.separate { program } else { program.args([super::bare::WORD]) }
    }
}
