//! What the surroundings are: CI, container, WSL, SSH, terminal, worktree, Claude Code, init system;
//! each with the evidence that was seen.

use std::path::Path;

use rustix::termios::isatty;

use super::place::main_worktree;
use crate::sys::Env;

/// One thing that was found out, or not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fact {
    /// What it is about.
    pub name: &'static str,
    /// What was found; nothing if there is no sign of it.
    pub value: Option<String>,
    /// What was seen: a variable, a file.
    pub evidence: String,
}

/// Variables by which CI services tell themselves, the special ones before the general one.
const CI: [(&str, &str); 15] = [
    ("GITHUB_ACTIONS", "github-actions"),
    ("GITLAB_CI", "gitlab-ci"),
    ("BUILDKITE", "buildkite"),
    ("CIRCLECI", "circleci"),
    ("TRAVIS", "travis-ci"),
    ("APPVEYOR", "appveyor"),
    ("TF_BUILD", "azure-pipelines"),
    ("JENKINS_URL", "jenkins"),
    ("TEAMCITY_VERSION", "teamcity"),
    ("DRONE", "drone"),
    ("BITBUCKET_BUILD_NUMBER", "bitbucket-pipelines"),
    ("CODEBUILD_BUILD_ID", "aws-codebuild"),
    ("CIRRUS_CI", "cirrus-ci"),
    ("SEMAPHORE", "semaphore"),
    ("CI", "unknown-ci"),
];

/// Looks at everything. `root` is the root of the file system, `/` but for tests.
#[must_use]
pub fn detect(env: &Env, cwd: &Path, root: &Path) -> Vec<Fact> {
    vec![
        ci(env),
        container(env, root),
        wsl(env, root),
        named("ssh", env, &[("SSH_CONNECTION", "yes"), ("SSH_TTY", "yes"), ("SSH_CLIENT", "yes")]),
        terminal(env),
        worktree(cwd),
        named(
            "claude-code",
            env,
            &[("CLAUDECODE", "session"), ("CLAUDE_CODE_ENTRYPOINT", "session")],
        ),
        init(root),
    ]
}

fn fact(name: &'static str, value: &str, evidence: impl Into<String>) -> Fact {
    Fact { name, value: Some(value.to_owned()), evidence: evidence.into() }
}

fn none(name: &'static str, looked: &str) -> Fact {
    Fact { name, value: None, evidence: looked.to_owned() }
}

/// The first of these variables that is set and does not say no.
fn named(name: &'static str, env: &Env, variables: &[(&str, &str)]) -> Fact {
    for (variable, value) in variables {
        let says = env.get(variable).map(|v| v.to_string_lossy().into_owned());
        if let Some(says) = says.filter(|v| !matches!(v.as_str(), "0" | "false" | "no")) {
            return fact(name, value, format!("{variable}={says}"));
        }
    }
    let looked: Vec<_> = variables.iter().map(|(variable, _)| *variable).collect();
    none(name, &format!("not set: {}", looked.join(", ")))
}

fn ci(env: &Env) -> Fact {
    named("ci", env, &CI)
}

fn container(env: &Env, root: &Path) -> Fact {
    const NAME: &str = "container";
    if let Some(host) = env.text("KUBERNETES_SERVICE_HOST") {
        return fact(NAME, "kubernetes", format!("KUBERNETES_SERVICE_HOST={host}"));
    }
    for (file, kind) in [(".dockerenv", "docker"), ("run/.containerenv", "podman")] {
        if root.join(file).exists() {
            return fact(NAME, kind, format!("/{file} is there"));
        }
    }
    if let Some(kind) = env.text("container") {
        return fact(NAME, &kind, format!("container={kind}"));
    }
    let groups = text(&root.join("proc/1/cgroup"));
    for kind in ["kubepods", "docker", "containerd", "libpod", "lxc"] {
        if groups.contains(kind) {
            return fact(NAME, kind, format!("/proc/1/cgroup names {kind}"));
        }
    }
    none(NAME, "no /.dockerenv, /run/.containerenv, `container` or sign in /proc/1/cgroup")
}

fn wsl(env: &Env, root: &Path) -> Fact {
    if let Some(name) = env.text("WSL_DISTRO_NAME") {
        return fact("wsl", &name, format!("WSL_DISTRO_NAME={name}"));
    }
    let release = text(&root.join("proc/sys/kernel/osrelease"));
    if release.to_lowercase().contains("microsoft") {
        return fact("wsl", "yes", format!("the kernel is {}", release.trim()));
    }
    none("wsl", "WSL_DISTRO_NAME is not set, the kernel names no Microsoft")
}

fn terminal(env: &Env) -> Fact {
    let streams = [
        ("stdin", isatty(rustix::stdio::stdin())),
        ("stdout", isatty(rustix::stdio::stdout())),
        ("stderr", isatty(rustix::stdio::stderr())),
    ];
    let on: Vec<_> = streams.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    let term = env.text("TERM").map_or("TERM is not set".to_owned(), |term| format!("TERM={term}"));
    if on.is_empty() {
        return none("terminal", &format!("no stream is a terminal, {term}"));
    }
    fact("terminal", &on.join(","), term)
}

fn worktree(cwd: &Path) -> Fact {
    const NAME: &str = "git-worktree";
    if let Some(main) = main_worktree(cwd) {
        return fact(NAME, "linked", format!("its `.git` leads to {}", main.display()));
    }
    let found = cwd.ancestors().map(|above| above.join(".git")).find(|git| git.exists());
    match found {
        Some(git) => fact(NAME, "main", format!("{} is there", git.display())),
        None => none(NAME, "no `.git` here or above"),
    }
}

fn init(root: &Path) -> Fact {
    if root.join("run/systemd/system").is_dir() {
        return fact("init", "systemd", "/run/systemd/system is there");
    }
    let name = text(&root.join("proc/1/comm"));
    match name.trim() {
        "" => none("init", "/proc/1/comm cannot be read"),
        name => fact("init", name, "/proc/1/comm"),
    }
}

/// The beginning of a small file, as far as it can be read.
fn text(path: &Path) -> String {
    use std::io::Read as _;
    let mut text = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(1 << 14).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test sets its own scene")]
mod tests {
    use super::*;

    fn found(env: &[(&str, &str)], root: &Path, name: &str) -> (Option<String>, String) {
        let env: Env = env.iter().copied().collect();
        let facts = detect(&env, root, root);
        let fact = facts.into_iter().find(|fact| fact.name == name).unwrap();
        (fact.value, fact.evidence)
    }

    #[test]
    fn each_fact_comes_with_what_was_seen() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let yes = |value: &str, seen: &str| (Some(value.to_owned()), seen.to_owned());
        let github = [("CI", "true"), ("GITHUB_ACTIONS", "true")];
        assert_eq!(found(&github, root, "ci"), yes("github-actions", "GITHUB_ACTIONS=true"));
        assert_eq!(found(&github[..1], root, "ci"), yes("unknown-ci", "CI=true"));
        assert_eq!(found(&[("CI", "false")], root, "ci").0, None);
        assert_eq!(found(&[("CLAUDECODE", "1")], root, "claude-code").0.unwrap(), "session");
        for name in ["container", "wsl", "ssh", "git-worktree", "init"] {
            assert_eq!(found(&[], root, name).0, None, "{name}");
        }
        std::fs::create_dir_all(root.join("proc/sys/kernel")).unwrap();
        std::fs::create_dir_all(root.join("proc/1")).unwrap();
        std::fs::write(root.join("proc/1/comm"), "runit\n").unwrap();
        std::fs::write(root.join("proc/1/cgroup"), "0::/kubepods/pod1\n").unwrap();
        std::fs::write(root.join("proc/sys/kernel/osrelease"), "5.1-Microsoft\n").unwrap();
        assert_eq!(found(&[], root, "init"), yes("runit", "/proc/1/comm"));
        assert_eq!(found(&[], root, "wsl").0.unwrap(), "yes");
        assert_eq!(found(&[], root, "container").0.unwrap(), "kubepods");
        std::fs::write(root.join(".dockerenv"), "").unwrap();
        assert_eq!(found(&[], root, "container").0.unwrap(), "docker");
    }
}
