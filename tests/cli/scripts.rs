//! `coord scripts audit`: the census against the machine's own tools, and the shims.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;

use serde_json::Value;

use crate::env::TestEnv;

/// Every name of the program's own table.
fn old_names() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/domain/behaviour/scripts.tsv");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split_once('\t').unwrap().0.to_owned()).collect()
}

/// A tree of copies: every old name once or more, with contents that repeat, and others beside them.
fn tree() -> TestEnv {
    let env = TestEnv::bare();
    for (number, name) in old_names().iter().enumerate() {
        let text = format!("#!/bin/bash\n{}", "echo step\n".repeat(number % 17));
        env.write(format!("tree/old/{name}"), &text);
        if number % 3 == 0 {
            env.write(format!("tree/copy of/deep/{name}"), &text);
        }
        if number % 5 == 0 {
            env.write(format!("tree/other/{name}"), &format!("{text}# changed {number}"));
        }
        if number % 50 == 0 {
            env.write(format!("tree/mine/own-{number}"), &text);
            env.write(format!("tree/mine/own-{number}.sh"), "no shebang, no end");
        }
    }
    env.write("tree/mine/empty.sh", "");
    env.write("tree/mine/new\nline.sh", "#!/bin/sh\n");
    env.write("tree/mine/notes.txt", "no script");
    env.write("tree/.git/hooks/pre-commit", "#!/bin/sh\n");
    symlink("old", env.root().join("tree/linked")).unwrap();
    symlink("../old/claude", env.root().join("tree/mine/link.sh")).unwrap();
    env
}

/// The same census by the machine's own tools.
const TOOLS: &str = r#"
cd tree
find . -name .git -prune -o -type f -print0 | sort -z | while IFS= read -r -d "" file; do
  case $file in *.sh) ;; *) [ "$(head -c 2 "$file")" = '#!' ] || continue ;; esac
  printf '%s %s %s\n' "$(sha256sum < "$file" | cut -d ' ' -f 1)" \
    "$(awk 'END { print NR }' "$file")" "$(printf '%s' "${file##*/}" | tr '\n' '?')"
done > ../census
cd ..
echo "scripts $(wc -l < census)"
echo "distinct $(cut -d ' ' -f 1 census | sort -u | wc -l)"
echo "total $(awk '{ n += $2 } END { print n }' census)"
echo "copied $(sort census | awk '$1 == last { n += $2 } { last = $1 } END { print n + 0 }')"
echo "groups $(cut -d ' ' -f 1 census | sort | uniq -d | wc -l)"
echo "namesakes $(cut -d ' ' -f 3 census | sort | uniq -d | wc -l)"
"#;

#[test]
fn the_census_is_that_of_sha256sum_sort_and_uniq() {
    let env = tree();
    let out = env.shell(TOOLS);
    out.done();
    let text = out.out();
    let tools: BTreeMap<&str, u64> = text
        .lines()
        .map(|l| l.split_once(' ').unwrap())
        .map(|(k, v)| (k, v.parse().unwrap()))
        .collect();
    assert!(tools["scripts"] > 400 && tools["copied"] > 500, "{text}");
    let data = env.json("scripts audit tree");
    let count = |value: &Value| value.as_array().unwrap().len() as u64;
    assert_eq!(data["scripts"], tools["scripts"], "{data}");
    assert_eq!(data["distinct"], tools["distinct"]);
    assert_eq!(data["lines"]["total"], tools["total"]);
    assert_eq!(data["lines"]["copied"], tools["copied"]);
    assert_eq!(count(&data["copies"]), tools["groups"]);
    assert_eq!(count(&data["namesakes"]), tools["namesakes"]);
    assert_eq!(count(&data["known"]), 278);
    assert_eq!((data["links"].as_u64(), data["unread"].as_u64()), (Some(2), Some(0)));
    // Each group, to the file.
    let (mut hashes, mut sums) = (Vec::new(), Command::new("sha256sum"));
    for group in data["copies"].as_array().unwrap() {
        for path in group["paths"].as_array().unwrap() {
            hashes.push(group["sha256"].as_str().unwrap());
            sums.arg(env.root().join("tree").join(path.as_str().unwrap()));
        }
    }
    let sums = String::from_utf8(sums.output().unwrap().stdout).unwrap();
    let sums = sums.lines().map(|l| l.trim_start_matches('\\').split(' ').next().unwrap());
    assert_eq!(hashes, sums.collect::<Vec<_>>());
    // Every known script leads to a command, and each counts its files.
    let files: u64 =
        data["known"].as_array().unwrap().iter().map(|k| k["files"].as_u64().unwrap()).sum();
    assert_eq!(files + count(&data["unknown"]), tools["scripts"]);
    let lines = &data["lines"];
    let replaced: u64 = data["known"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|known| !known["now"].is_null())
        .map(|known| known["lines"].as_u64().unwrap())
        .sum();
    assert_eq!(lines["replaced"], replaced);
    assert!(lines["removable"].as_u64() > Some(replaced) && replaced > 0);
    assert!(lines["removable"].as_u64() < lines["total"].as_u64());
    // The same again, to the byte; and from elsewhere.
    let again = || env.coord("scripts audit tree --json").out();
    assert_eq!(again(), again());
    let inside = env.shell("cd tree && $COORD scripts audit . --json").data();
    assert_eq!((&inside["copies"], &inside["unknown"]), (&data["copies"], &data["unknown"]));
    assert!(!env.store().exists());
}

#[test]
fn what_cannot_be_counted_is_told() {
    let env = TestEnv::bare();
    env.write("tree/good.sh", "echo one\n");
    env.write("tree/binary.sh", "#!/bin/sh\n\0\0");
    let huge = std::fs::File::create(env.root().join("tree/huge.sh")).unwrap();
    huge.set_len(3 << 30).unwrap();
    env.write("tree/node_modules/x.sh", "echo two\n");
    // Nothing of a file of 3 GB is kept.
    let out =
        env.shell("ulimit -v 400000; $COORD scripts audit tree --exclude node_modules --json");
    out.done();
    let data = out.data();
    assert_eq!((data["scripts"].as_u64(), data["lines"]["total"].as_u64()), (Some(1), Some(1)));
    assert_eq!(data["not_read"][0]["path"], "binary.sh");
    assert_eq!(data["not_read"][1]["why"], "it has more than 16 MiB");
    env.coord("scripts audit no-such").fails(1, "cannot read the directory");
    env.coord("scripts audit tree/good.sh").fails(1, "is not a directory");
    env.coord("scripts audit").fails(2, "missing: `<DIR>`");
    env.coord("scripts audit tree --yes").fails(2, "--write-shims");
    let none = env.coord("scripts audit tree/node_modules --exclude x");
    assert!(none.out().starts_with("1 script with 1 line under"), "{none}");
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_counted() {
    let env = TestEnv::bare();
    env.write("tree/good.sh", "echo one\n");
    env.write("tree/closed/x.sh", "echo two\n");
    env.write("tree/secret.sh", "echo three\n");
    let close = |name: &str| {
        let mode = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(env.root().join(name), mode).unwrap();
    };
    close("tree/closed");
    close("tree/secret.sh");
    let mut command = env.command();
    if std::fs::metadata(env.root()).unwrap().uid() == 0 {
        // Nothing is closed to root, so that somebody else has to look.
        for dir in [env.root(), env.root().parent().unwrap().to_owned()] {
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let program = env.root().join("coord");
        std::fs::copy(env!("CARGO_BIN_EXE_coord"), &program).unwrap();
        command = env.sealed("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    }
    let output = command.args(["scripts", "audit", "tree", "--json"]).output().unwrap();
    std::fs::set_permissions(
        env.root().join("tree/closed"),
        std::fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    let out = crate::env::Output(output);
    assert_eq!(out.code(), 10, "{out}");
    assert!(out.err().contains("2 places could not be read"), "{out}");
    let data = out.data();
    assert_eq!((data["scripts"].as_u64(), data["unread"].as_u64()), (Some(1), Some(2)));
    assert_eq!(data["not_read"][0]["path"], "closed");
    assert_eq!(data["not_read"][1]["path"], "secret.sh");
}

/// A directory for the path that has the program under its own name.
fn installed(env: &TestEnv) -> String {
    let bin = env.root().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_coord"), bin.join("coord")).unwrap();
    format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display())
}

#[test]
fn shims_run_the_new_commands() {
    let env = tree();
    let path = installed(&env);
    let dry = env.json("scripts audit tree --write-shims 'new shims' --dry-run");
    assert_eq!(dry["dry_run"], true);
    assert!(!env.root().join("new shims").exists(), "a dry run writes nothing");
    let data = env.json("scripts audit tree --write-shims 'new shims'");
    assert_eq!(data["shims"], dry["shims"]);
    let all = data["shims"].as_array().unwrap();
    assert_eq!(all.len(), 278);
    let written: Vec<_> = all.iter().filter(|shim| shim["done"] == "written").collect();
    assert!(written.len() > 100, "{}", written.len());
    assert_eq!(std::fs::read_dir(env.root().join("new shims")).unwrap().count(), written.len());
    for shim in &written {
        let file = env.root().join("new shims").join(shim["name"].as_str().unwrap());
        assert_eq!(file.metadata().unwrap().mode() & 0o500, 0o500);
        let text = std::fs::read_to_string(file).unwrap();
        let runs = format!("\nexec coord {} \"$@\"\n", shim["command"].as_str().unwrap());
        assert!(text.ends_with(&runs), "{text}");
        // The command is there.
        env.coord(&format!("{} --help", shim["command"].as_str().unwrap())).done();
    }
    assert!(all.iter().any(|s| s["name"] == "claude" && s["done"] == "left-out"));
    let checked = env.shell("shellcheck 'new shims'/*");
    // Where shellcheck is not installed, the shell's own eye has to do.
    if checked.code() != 127 {
        checked.done();
    }
    env.shell("for shim in 'new shims'/*; do sh -n \"$shim\" || exit 1; done").done();
    // Arguments and exit codes go through.
    let run =
        |line: &str| env.shell(&format!("PATH='{path}'; PATH=$PWD/new\\ shims:$PATH; {line}"));
    run("coord init && create_real_work_items.sh -q \"It's a 'title' * with  blanks\"").done();
    assert_eq!(env.json("work list")["items"][0]["title"], "It's a 'title' * with  blanks");
    assert_eq!(run("intelligent_completion_engine.sh no-such").code(), 1);
    assert_eq!(run("autonomous_decision_engine.sh --no-such-flag").code(), 2);
    assert_eq!(run("system-verification.sh --json").data()["sound"], true);
    // A second run changes nothing, and shims count as no scripts.
    let again = env.json("scripts audit tree --write-shims 'new shims'");
    let unchanged = again["shims"].as_array().unwrap().iter().filter(|s| s["done"] == "unchanged");
    assert_eq!(unchanged.count(), written.len());
    let shims = env.json("scripts audit 'new shims'");
    assert_eq!((shims["scripts"].as_u64(), shims["lines"]["total"].as_u64()), (Some(0), Some(0)));
    assert_eq!(shims["shims_found"], written.len());
}

#[test]
fn a_shim_takes_the_place_of_another_file_only_when_told_to() {
    let env = TestEnv::bare();
    env.write("tree/worker_001.sh", "#!/bin/bash\necho old\n");
    env.write("tree/real_agent_worker.sh", "#!/bin/bash\necho old too\n");
    env.write("elsewhere", "keep me");
    let refused = env.coord("scripts audit tree --write-shims tree");
    refused.fails(
        2,
        "files that are no shims are in the way: `real_agent_worker.sh`, `worker_001.sh`",
    );
    let text = |name: &str| std::fs::read_to_string(env.root().join(name)).unwrap();
    assert_eq!(text("tree/worker_001.sh"), "#!/bin/bash\necho old\n", "all or nothing");
    env.coord("scripts audit tree --write-shims tree --yes").done();
    assert!(text("tree/worker_001.sh").contains("exec coord agent run"));
    // An older shim is renewed without a word; a link is somebody else's, and so is its target.
    let old = text("tree/worker_001.sh").replace("exec coord", "exec  coord");
    env.write("shims/worker_001.sh", &old);
    symlink("../elsewhere", env.root().join("shims/real_agent_worker.sh")).unwrap();
    env.write("more/worker_001.sh", "#!/bin/sh\n");
    env.write("more/real_agent_worker.sh", "#!/bin/sh\n");
    let out = env.coord("scripts audit more --write-shims shims");
    out.fails(2, "`real_agent_worker.sh`");
    assert!(!out.err().contains("worker_001"), "{out}");
    env.coord("scripts audit more --write-shims shims --yes").done();
    assert_eq!(text("elsewhere"), "keep me");
    assert!(text("shims/real_agent_worker.sh").contains("exec coord agent run"));
    assert!(!text("shims/worker_001.sh").contains("exec  coord"));
    std::fs::create_dir_all(env.root().join("dirs/worker_001.sh")).unwrap();
    env.coord("scripts audit more --write-shims dirs --yes").fails(1, "is a directory");
}
