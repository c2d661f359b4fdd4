//! What `coord` is compared with, where it is installed: SQLite with every write flushed, and a
//! shell script of the kind that it replaces. Both are asked for what a claim does.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::sys::fs::Dir;
use crate::sys::measure::{Program, run};
use crate::sys::{Clock, Env};

use super::stage::failed;

/// The script, as it stands beside this file.
const SCRIPT: &str = include_str!("rival.sh");

/// A competitor with its own state.
#[derive(Clone, Debug)]
pub(super) struct Rival {
    claim: Program,
    undo: Program,
}

impl Rival {
    /// A claim, to be measured.
    pub(super) const fn claim(&self) -> &Program {
        &self.claim
    }

    /// What makes room for the next claim, given the answer of the last; not measured.
    pub(super) fn undo(&self, answer: &str) -> Program {
        let mut undo = self.undo.clone();
        for arg in &mut undo.args {
            if let Some(text) = arg.to_str().filter(|t| t.contains("ANSWER")) {
                *arg = text.replace("ANSWER", answer.trim()).into();
            }
        }
        undo
    }

    /// SQLite in write-ahead mode, every commit flushed, one process an operation.
    pub(super) fn sqlite(
        dir: &Path,
        items: u64,
        env: &Env,
        clock: &dyn Clock,
    ) -> Result<Option<Self>> {
        let Some(program) = installed("sqlite3", env) else { return Ok(None) };
        let file = dir.join("rival.db");
        let sql = |text: &str| {
            Program::new(&program)
                .args([file.as_os_str()])
                .args([format!("PRAGMA busy_timeout=10000; PRAGMA synchronous=FULL; {text}")])
        };
        let made = sql(&format!(
            "PRAGMA journal_mode=WAL;
             CREATE TABLE item (id TEXT PRIMARY KEY, status TEXT, rank INTEGER, agent TEXT, body TEXT);
             CREATE INDEX ready ON item (status, rank);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {items})
             INSERT INTO item SELECT 'w-' || i, 'pending', i, NULL, printf('%.*c', 120, 'x') FROM n;"
        ));
        must(&made, clock)?;
        let claim = sql("UPDATE item SET status = 'active', agent = 'nova' WHERE id =
             (SELECT id FROM item WHERE status = 'pending' ORDER BY rank LIMIT 1) RETURNING id;");
        let undo = sql("UPDATE item SET status = 'pending', agent = NULL WHERE status = 'active';");
        Ok(Some(Self { claim, undo }))
    }

    /// One JSON array, rewritten whole by jq under a lock file.
    pub(super) fn script(dir: &Path, items: u64, env: &Env) -> Result<Option<Self>> {
        let (Some(bash), Some(_)) = (installed("bash", env), installed("jq", env)) else {
            return Ok(None);
        };
        let file = dir.join("rival.sh");
        let state: Vec<_> = (1..=items)
            .map(|i| {
                serde_json::json!({
                    "id": format!("w-{i}"), "status": "pending", "rank": i, "agent": null,
                    "at": null, "title": "x".repeat(120),
                })
            })
            .collect();
        let state = serde_json::Value::from(state).to_string();
        let open = Dir::open(dir, true).map_err(failed)?;
        for (name, text) in [("rival.sh", SCRIPT), ("work.json", state.as_str())] {
            open.replace(name, "rival.tmp", text.as_bytes(), false).map_err(failed)?;
        }
        let program = |words: [&str; 2]| {
            Program::new(&bash)
                .args([file.as_os_str(), dir.as_os_str()])
                .args(words)
                .env("PATH", env.get("PATH").unwrap_or_default())
        };
        Ok(Some(Self { claim: program(["claim", "nova"]), undo: program(["complete", "ANSWER"]) }))
    }
}

/// Where a program is installed, if it is.
pub(super) fn installed(name: &str, env: &Env) -> Option<PathBuf> {
    let path = env.get("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Runs a preparation that has to succeed.
fn must(program: &Program, clock: &dyn Clock) -> Result<()> {
    super::stage::answer(&run(program, clock).map_err(failed)?, program).map(drop)
}
