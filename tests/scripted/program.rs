//! A stand-in for the `claude` program: a shell script that notes how it was called and then plays
//! one of the cases that the real one was seen to play.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The stand-in, in a directory of its own.
pub(crate) struct Program {
    dir: PathBuf,
}

const SCRIPT: &str = r#"#!/bin/sh
here=${0%/*}
echo x >>"$here/calls"
for word in "$@"; do printf '%s\n' "$word"; done >"$here/argv"
env >"$here/env"
cat >"$here/stdin"
. "$here/play"
"#;

impl Program {
    /// Puts it into `dir` under the name `claude`, playing an answer.
    pub(crate) fn new(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let file = dir.join("claude");
        std::fs::write(&file, SCRIPT).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = Self { dir: dir.to_owned() };
        program.answers("answer of the program");
        program
    }

    /// Its path.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join("claude")
    }

    /// Plays lines of shell; `$here` is its directory.
    pub(crate) fn plays(&self, shell: &str) {
        std::fs::write(self.dir.join("play"), shell).unwrap();
    }

    /// Prints `out` and ends with `code`.
    pub(crate) fn prints(&self, out: &str, code: u8) {
        std::fs::write(self.dir.join("out"), out).unwrap();
        self.plays(&format!("cat \"$here/out\"\nexit {code}\n"));
    }

    /// Prints a result object, changed by `with`, and ends with `code`.
    pub(crate) fn results(&self, with: &Value, code: u8) {
        self.prints(&format!("{}\n", result(with)), code);
    }

    /// Gives an answer.
    pub(crate) fn answers(&self, text: &str) {
        self.results(&json!({ "result": text }), 0);
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.read("calls").lines().count()
    }

    /// What it noted: `argv`, `env`, `stdin`, or what a play wrote.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }
}

/// The result object of a call that went well, with these fields replaced; null takes one out.
pub(crate) fn result(with: &Value) -> Value {
    let mut result = json!({
        "type": "result",
        "subtype": "success",
        "is_error": false,
        "api_error_status": null,
        "terminal_reason": "completed",
        "result": "text",
        "stop_reason": "end_turn",
        "num_turns": 1,
        "session_id": "00000000-0000-0000-0000-000000000000",
        "total_cost_usd": 0.000_42,
        "usage": {
            "input_tokens": 100,
            "cache_creation_input_tokens": 30,
            "cache_creation": { "ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20 },
            "cache_read_input_tokens": 5,
            "output_tokens": 7,
        },
        "modelUsage": { "claude-haiku-5-5": { "outputTokens": 7, "costBasis": "known" } },
        "permission_denials": [],
        "duration_ms": 900,
    });
    for (name, value) in with.as_object().into_iter().flatten() {
        if value.is_null() {
            result.as_object_mut().unwrap().remove(name);
        } else {
            result[name] = value.clone();
        }
    }
    result
}
