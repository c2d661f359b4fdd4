//! What was asked and what it cost: one JSON line per attempt, and one per call.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};

use serde::{Deserialize, Serialize};

use super::{BackendName, Source, Usage, Usd};
use crate::sys::fs::{Access, Dir};

const FILE: &str = "ledger.jsonl";
const OLD: &str = "ledger.1.jsonl";

/// What a line tells of.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LineKind {
    /// One attempt.
    Attempt,
    /// A whole call, after its attempts.
    Call,
}

/// One line.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Line {
    /// What it tells of.
    pub kind: LineKind,
    /// When, RFC 3339.
    pub at: String,
    /// The call's own id; its attempts and its end have the same.
    pub call: String,
    /// The words of the command.
    pub command: String,
    /// The state directory of the project from which was asked: the ledger is that of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Who was asked.
    pub backend: Option<BackendName>,
    /// Which model.
    pub model: Option<String>,
    /// Which attempt, from 1; for a call how many there were.
    pub number: u32,
    /// The HTTP status.
    pub status: Option<u16>,
    /// `ok`, or what went wrong.
    pub outcome: String,
    /// Who answered; none if nobody did.
    pub source: Option<Source>,
    /// The service's id.
    pub request_id: Option<String>,
    /// How long was waited before it; for a call in all.
    pub wait_ms: u64,
    /// How long it took; for a call from its first failure to its end if anything failed.
    pub duration_ms: u64,
    /// From the first failure of a call to its answer or fallback; none if nothing failed.
    pub recovery_ms: Option<u64>,
    /// What was used.
    pub usage: Option<Usage>,
    /// What it cost; none if that is not known.
    pub cost_usd: Option<Usd>,
}

/// The ledger: a file, and the one before it.
#[derive(Debug)]
pub struct Ledger {
    dir: Option<Dir>,
    max: u64,
}

impl Ledger {
    pub(super) const fn new(dir: Option<Dir>, max: u64) -> Self {
        Self { dir, max }
    }

    /// Writes a line in one go, so that no two mix.
    pub(super) fn write(&self, line: &Line) -> Result<(), String> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let mut bytes = serde_json::to_vec(line).map_err(|e| e.to_string())?;
        bytes.push(b'\n');
        let mut file = match dir.file(FILE, Access::Append) {
            Err(e) if e.is_not_found() => {
                drop(dir.file(FILE, Access::Create).map_err(|e| e.to_string())?);
                dir.file(FILE, Access::Append)
            }
            other => other,
        }
        .map_err(|e| e.to_string())?;
        if file.metadata().is_ok_and(|about| about.len() >= self.max) && dir.names_file(FILE, &file)
        {
            // Two may find it full at once; the second renames a file that has few lines, or none.
            Self::rotate(dir, &file)?;
            file = dir.file(FILE, Access::Append).map_err(|e| e.to_string())?;
        }
        file.write_all(&bytes).map_err(|e| e.to_string())
    }

    fn rotate(dir: &Dir, full: &File) -> Result<(), String> {
        use fs2::FileExt;
        let lock = dir.file("ledger.lock", Access::Create).map_err(|e| e.to_string())?;
        FileExt::lock(&lock).map_err(|e| e.to_string())?;
        if dir.names_file(FILE, full) {
            dir.rename(FILE, dir, OLD).map_err(|e| e.to_string())?;
        }
        drop(dir.file(FILE, Access::Create).map_err(|e| e.to_string())?);
        Ok(())
    }

    /// Every line that can be read, oldest first; what cannot is left out.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        self.each(|line| lines.push(line));
        lines
    }

    /// What was spent on the day of this date (`2026-11-22`) and in its month, up to it.
    pub(super) fn spent(&self, day: &str) -> (Usd, Usd) {
        let (mut in_day, mut in_month) = (Usd::default(), Usd::default());
        self.each(|line| {
            let (LineKind::Attempt, Some(cost)) = (line.kind, line.cost_usd) else { return };
            if line.at.get(..7) == day.get(..7) {
                in_month = in_month + cost;
            }
            if line.at.get(..10) == Some(day) {
                in_day = in_day + cost;
            }
        });
        (in_day, in_month)
    }

    /// Begins anew, so that long tests do not read all of it each time.
    #[cfg(test)]
    pub(super) fn forget(&self) {
        for name in [OLD, FILE] {
            let _ = self.dir.as_ref().map(|dir| dir.remove(name));
        }
    }

    fn each(&self, mut see: impl FnMut(Line)) {
        let Some(dir) = &self.dir else { return };
        for name in [OLD, FILE] {
            let Ok(file) = dir.file(name, Access::Read) else { continue };
            for text in BufReader::new(file).split(b'\n').map_while(Result::ok) {
                if let Ok(line) = serde_json::from_slice(&text) {
                    see(line);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: u32, at: &str, cost: u64) -> Line {
        Line {
            kind: LineKind::Attempt,
            at: at.to_owned(),
            call: "c".to_owned(),
            command: "claude ask".to_owned(),
            store: None,
            backend: Some(BackendName::Api),
            model: Some("m".to_owned()),
            number: n,
            status: Some(200),
            outcome: "ok".to_owned(),
            source: Some(Source::Api),
            request_id: None,
            wait_ms: 0,
            duration_ms: 1,
            recovery_ms: None,
            usage: None,
            cost_usd: Some(Usd(cost)),
        }
    }

    #[test]
    fn a_full_ledger_begins_anew_and_one_old_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Dir::open(dir.path(), true).unwrap();
        let ledger = Ledger::new(Some(open()), 2_000);
        for n in 0..20 {
            ledger.write(&line(n, "2026-11-22T10:00:00Z", 1)).unwrap();
        }
        let lines = ledger.lines();
        assert!(lines.len() < 20 && lines.len() > 5, "{}", lines.len());
        assert_eq!(lines.last().unwrap().number, 19);
        assert!(lines.windows(2).all(|two| two[0].number < two[1].number));
        for name in [FILE, OLD] {
            assert!(dir.path().join(name).metadata().unwrap().len() < 2_500, "{name}");
        }
    }

    #[test]
    fn spending_is_by_day_and_month_and_damage_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Some(Dir::open(dir.path(), true).unwrap()), 1 << 20);
        for (at, cost) in [
            ("2026-10-31T23:59:59Z", 1),
            ("2026-11-01T00:00:00Z", 10),
            ("2026-11-22T01:00:00Z", 100),
        ] {
            ledger.write(&line(1, at, cost)).unwrap();
        }
        let mut file =
            std::fs::OpenOptions::new().append(true).open(dir.path().join(FILE)).unwrap();
        file.write_all(b"{\"kind\":\"att\n\xff\xfe\n").unwrap();
        ledger.write(&line(1, "2026-11-22T02:00:00Z", 1000)).unwrap();
        assert_eq!(ledger.spent("2026-11-22"), (Usd(1100), Usd(1110)));
        assert_eq!(ledger.lines().len(), 4);
    }
}
