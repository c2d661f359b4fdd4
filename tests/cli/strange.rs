//! What others put under our names, and what they do to our files: nothing of it may hold us, end us or
//! keep the rest from being read.

use std::time::{Duration, SystemTime};

use crate::env::{Output, TestEnv};

/// Runs a command line that must end by itself.
fn ends(env: &TestEnv, line: &str) -> Output {
    let out = env.shell(&format!("ulimit -v 4000000; timeout 30 $COORD {line}"));
    assert!(![101, 124, 134, 137].contains(&out.code()), "{line}: {out}");
    out
}

#[test]
fn whatever_stands_for_the_quarantine_health_ends() {
    let env = TestEnv::new();
    for plant in ["mkfifo", "ln -s /dev/zero", "mkdir"] {
        assert_eq!(env.shell(&format!("{plant} .coord/quarantine.jsonl")).code(), 0);
        for line in ["health --json", "doctor --json"] {
            let out = ends(&env, line);
            assert!(out.out().contains("it cannot be read"), "{plant}: {line}: {out}");
        }
        assert_eq!(env.shell("rm -r .coord/quarantine.jsonl").code(), 0);
    }
}

#[test]
fn one_file_of_telemetry_that_is_none_switches_nothing_off() {
    let env = TestEnv::new();
    env.add("One");
    env.coord("alert silence response-time-high --for 1h --reason x --no-telemetry").done();
    for plant in ["mkfifo", "ln -s /etc/passwd", "ln -s /dev/zero", "mkdir"] {
        for file in ["ops.jsonl", "spans.jsonl", "ops.20260102T030405000000Z.jsonl"] {
            let set = format!("rm -rf .coord/ops* .coord/spans*; {plant} .coord/{file}");
            assert_eq!(env.shell(&set).code(), 0);
            for line in [
                "verify",
                "alert check",
                "telemetry report",
                "kpi report",
                "trace list",
                "trace export --dry-run --endpoint http://127.0.0.1:9",
                "health",
            ] {
                let out = ends(&env, line);
                assert_ne!(out.code(), 5, "{plant} {file}: {line}: {out}");
            }
            let out = ends(&env, "verify");
            assert_eq!(out.code(), 0, "{out}");
            assert!(out.out().contains(&format!("note: `{file}` is passed over")), "{out}");
        }
    }
}

#[test]
fn no_time_of_a_file_ends_us() {
    let env = TestEnv::new();
    // Ordinary file systems keep no such times.
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let dir = memory.path().join("state").display().to_string();
    env.coord(&format!("--dir {dir} add One")).done();
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(9_223_372_036_854_775);
    for name in ["ops.20260101T000000000000Z.jsonl", "work.jsonl", "spans.jsonl"] {
        let path = std::path::Path::new(&dir).join(name);
        let file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        file.set_modified(far).unwrap();
    }
    for line in [
        "health",
        "doctor",
        "cleanup --dry-run",
        "cleanup --dry-run --telemetry-older-than 1d --history-older-than 9d",
        "telemetry report --since 1h",
        "trace list",
        "verify",
        "add Two",
    ] {
        let out = ends(&env, &format!("--dir {dir} {line}"));
        assert!(!out.err().contains("panicked"), "{line}: {out}");
    }
}

#[test]
fn no_number_of_others_ends_us() {
    let env = TestEnv::new();
    env.add("One");
    let now = coord::domain::time::rfc3339(SystemTime::now().into());
    let line = |n: u64| {
        format!(
            "{{\"at\":\"{now}\",\"command\":\"work claim\",\"outcome\":\"ok\",\"exit_code\":0,\"duration_us\":{max},\"lock_wait_us\":{max},\"cpu_us\":{max},\"memory_kib\":{max},\"trace_id\":\"{n:032x}\",\"span_id\":\"{n:016x}\"}}\n",
            max = u64::MAX
        )
    };
    env.write(".coord/ops.jsonl", &(line(1) + &line(2)));
    for line in [
        "telemetry report",
        "telemetry report --prometheus",
        "telemetry report --json",
        "kpi report",
    ] {
        let out = ends(&env, line);
        assert_eq!(out.code(), 0, "{line}: {out}");
    }
    let record = "SF:a\nLF:18446744073709551615\nLH:1\nend_of_record\n";
    env.write("lcov.info", &format!("{record}{}", record.replace("SF:a", "SF:b")));
    let out = ends(&env, "kpi report --coverage lcov.info");
    assert!(matches!(out.code(), 0 | 1), "{out}");
}

#[test]
fn a_coverage_report_that_never_ends_is_refused() {
    let env = TestEnv::new();
    assert_eq!(env.shell("mkfifo pipe; ln -s /dev/zero zero").code(), 0);
    for file in ["pipe", "zero", "."] {
        let out = ends(&env, &format!("kpi report --coverage {file}"));
        assert_eq!(out.code(), 1, "{file}: {out}");
        assert!(out.err().contains("not a plain file"), "{file}: {out}");
    }
}

#[test]
fn what_people_put_beside_the_telemetry_is_theirs() {
    let env = TestEnv::new();
    env.add("One");
    let count = |env: &TestEnv| env.json("telemetry report")["operations"]["count"].clone();
    std::fs::copy(env.store().join("ops.jsonl"), env.store().join("ops.bak.jsonl")).unwrap();
    let notes = env.store().join("ops.MyNotesFromTheIncident.jsonl");
    std::fs::write(&notes, "{}\n").unwrap();
    let long_ago = SystemTime::now() - Duration::from_hours(24 * 400);
    std::fs::File::options().write(true).open(&notes).unwrap().set_modified(long_ago).unwrap();
    let lines = std::fs::read_to_string(env.store().join("ops.jsonl")).unwrap().lines().count();
    assert_eq!(count(&env), lines, "nothing counts twice");
    let _ = env.coord("cleanup --yes");
    assert!(notes.exists());
}
