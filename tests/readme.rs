//! README.md tells the truth: every console block of it runs, and prints what it says.
//!
//! The blocks run in order in one scratch directory, as a reader would type them. In an expected
//! output `[..]` stands for any text within a line, a line `...` for any number of lines, and blanks
//! for blanks or tabs.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "a test starts programs and sets its own scene")]

use std::path::Path;
use std::process::{Command, Stdio};

/// A command of a block, and what the README says that it prints.
#[derive(Debug)]
struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

/// What stands between two fences: its language, the number of its first line, its lines.
struct Block<'a> {
    language: &'a str,
    line: usize,
    lines: Vec<&'a str>,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut open = false;
    for (at, line) in text.lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            if !open {
                blocks.push(Block { language, line: at + 2, lines: Vec::new() });
            }
            open = !open;
        } else if let Some(block) = blocks.last_mut().filter(|_| open) {
            block.lines.push(line);
        }
    }
    assert!(!open, "a fence is not closed");
    blocks
}

fn steps(block: &Block<'_>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut more = false;
    for (at, text) in block.lines.iter().enumerate() {
        let line = block.line + at;
        match (text.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) if !more => {
                steps.push(Step { line, command: command.to_owned(), expected: Vec::new() });
            }
            (_, Some(step)) if more => {
                step.command.push('\n');
                step.command.push_str(text);
            }
            (_, Some(step)) => step.expected.push((*text).to_owned()),
            (_, None) => panic!("README.md:{line}: output without a command"),
        }
        more = steps.last().is_some_and(|s| s.expected.is_empty() && s.command.ends_with('\\'));
    }
    steps
}

fn line_fits(pattern: &str, text: &str) -> bool {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let (pattern, text) = (words(pattern), words(text));
    let mut parts = pattern.split("[..]");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

fn fits(pattern: &[String], text: &[&str]) -> bool {
    match (pattern.first().map(String::as_str), text.first()) {
        (None, first) => first.is_none(),
        (Some("..."), _) => (0..=text.len()).any(|skip| fits(&pattern[1..], &text[skip..])),
        (Some(_), None) => false,
        (Some(want), Some(have)) => line_fits(want, have) && fits(&pattern[1..], &text[1..]),
    }
}

/// Runs a line as a reader would, with both streams in one; the reader has built it already.
fn run(command: &str, home: &Path) -> String {
    let command = command.replace("cargo run --release --", "coord");
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", home.join("bin").display());
    let mut sh = Command::new("timeout");
    sh.args(["60", "sh", "-c", &format!("exec 2>&1\n{command}")])
        .current_dir(home.join("project"))
        .stdin(Stdio::null())
        .env_clear()
        .env("PATH", path)
        .env("HOME", home)
        .env("LC_ALL", "C.UTF-8")
        .env("COLUMNS", "100");
    if let Some(file) = std::env::var_os("LLVM_PROFILE_FILE") {
        sh.env("LLVM_PROFILE_FILE", file);
    }
    String::from_utf8_lossy(&sh.output().unwrap().stdout).into_owned()
}

#[test]
fn every_console_block_prints_what_it_says() {
    let readme = include_str!("../README.md");
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("bin")).unwrap();
    std::fs::create_dir(home.path().join("project")).unwrap();
    let link = |from: &Path, to: &str| {
        std::os::unix::fs::symlink(from, home.path().join(to)).unwrap();
    };
    link(Path::new(env!("CARGO_BIN_EXE_coord")), "bin/coord");
    link(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"), "project/examples");
    let mut ran = 0;
    for block in blocks(readme) {
        if block.language != "console" {
            continue;
        }
        for step in steps(&block) {
            let output = run(&step.command, home.path());
            let lines: Vec<&str> = output.lines().collect();
            assert!(
                fits(&step.expected, &lines),
                "README.md:{}: `{}` is said to print\n{}\nbut prints\n{output}",
                step.line,
                step.command,
                step.expected.join("\n"),
            );
            ran += 1;
        }
    }
    assert!(ran >= 10, "the README shows only {ran} commands that run");
}

#[test]
fn every_block_says_what_it_is_and_only_installing_goes_unchecked() {
    for block in blocks(include_str!("../README.md")) {
        match block.language {
            "console" | "text" => {}
            "sh" => {
                for line in &block.lines {
                    assert!(
                        line.starts_with("cargo ")
                            || line.starts_with("rustup ")
                            || line.starts_with("./install.sh")
                            || line.starts_with("COORD_BLESS=1 cargo ")
                            || line.starts_with("tests/run"),
                        "README.md:{}: `{line}` would go unchecked: make it a console block",
                        block.line
                    );
                }
            }
            other => panic!("README.md:{}: a block of the language {other:?}", block.line),
        }
    }
}

#[test]
fn a_different_output_is_noticed() {
    let expect = |pattern: &str, text: &str| {
        let pattern: Vec<String> = pattern.lines().map(str::to_owned).collect();
        let text: Vec<&str> = text.lines().collect();
        fits(&pattern, &text)
    };
    assert!(expect("a\nb", "a\nb"));
    assert!(expect("a [..] c", "a bb c"));
    assert!(expect("a  b", "a\tb"));
    assert!(!expect("a b", "ab"));
    assert!(expect("[..]c", "c"));
    assert!(expect("a[..]", "a"));
    assert!(expect("...\nb", "x\ny\nb"));
    assert!(expect("...", ""));
    assert!(!expect("a", "a\nb"));
    assert!(!expect("a\nb", "a"));
    assert!(!expect("a [..] c", "a bb d"));
    assert!(!expect("a[..]b[..]c", "abd"));
    assert!(!expect("...\nb", "x\ny"));
    assert!(!expect("a[..]a", "a"));
}

#[test]
fn a_command_may_go_on_over_lines() {
    let text = "```console\n$ echo a \\\n  b\na b\n$ true\n```\n";
    let blocks = blocks(text);
    let steps = steps(&blocks[0]);
    assert_eq!(steps.len(), 2, "{steps:?}");
    assert_eq!(steps[0].command, "echo a \\\n  b");
    assert_eq!(steps[0].expected, ["a b"]);
    assert_eq!(steps[1].line, 5);
}
