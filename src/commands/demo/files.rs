//! The files of `examples/` that the demonstration works on, so that an installed program has them.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Work to add, one item a line.
pub(super) const BACKLOG: (&str, &str) =
    ("backlog.jsonl", include_str!("../../../examples/backlog.jsonl"));

/// The state of an old shell system, damaged as such files are.
const LEGACY: [(&str, &str); 8] = [
    ("active_sprints.json", include_str!("../../../examples/legacy/active_sprints.json")),
    ("agent_status.json", include_str!("../../../examples/legacy/agent_status.json")),
    ("backlog.yaml", include_str!("../../../examples/legacy/backlog.yaml")),
    ("coordination_log.json", include_str!("../../../examples/legacy/coordination_log.json")),
    ("real_work_queue.json", include_str!("../../../examples/legacy/real_work_queue.json")),
    ("telemetry_spans.jsonl", include_str!("../../../examples/legacy/telemetry_spans.jsonl")),
    ("velocity_log.txt", include_str!("../../../examples/legacy/velocity_log.txt")),
    ("work_claims.json", include_str!("../../../examples/legacy/work_claims.json")),
];

/// Lays them into `dir`: the backlog, and the old files in `legacy/`.
pub(super) fn lay(dir: &Path) -> io::Result<()> {
    let write = |path: &Path, text: &str| File::create(path)?.write_all(text.as_bytes());
    write(&dir.join(BACKLOG.0), BACKLOG.1)?;
    let legacy = dir.join("legacy");
    std::fs::create_dir(&legacy)?;
    LEGACY.iter().try_for_each(|(name, text)| write(&legacy.join(name), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_examples_is_laid() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/legacy");
        let names = |dir: &Path| {
            let mut names: Vec<_> =
                dir.read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let dir = tempfile::tempdir().unwrap();
        lay(dir.path()).unwrap();
        assert_eq!(names(&dir.path().join("legacy")), names(&examples));
    }
}
