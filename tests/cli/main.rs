//! The command line, from outside.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "tests stand outside the program")]

mod agent;
mod agent_run;
mod alert;
mod alert_prometheus;
mod backup;
mod bench;
mod cleanup;
mod compat;
mod complete;
mod demo;
mod env;
mod foreign;
mod health;
mod import;
mod kpi;
mod legacy;
mod lock;
mod schema;
mod scripts;
mod selftest;
mod shell;
mod strange;
mod streams;
mod swarm;
mod telemetry;
mod telemetry_report;
mod trace;
mod trace_export;
mod verify;
mod work_add;
mod work_assign;
mod work_claim;
mod work_life;
mod work_list;

#[test]
fn no_test_file_is_forgotten() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let main = std::fs::read_to_string(here.join("main.rs")).unwrap();
    for entry in std::fs::read_dir(here).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(stem) = name.strip_suffix(".rs").filter(|s| *s != "main") {
            assert!(main.contains(&format!("mod {stem};")), "main.rs lacks `mod {stem};`");
        }
    }
}
