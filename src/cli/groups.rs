//! Groups the commands in the top-level help, most used first: clap has no such thing of its own.

use std::fmt::Write as _;

use clap::Command;

use crate::output::style::{HEADER, LITERAL};

/// Every top-level command, in the group and the order in which help shows it.
const GROUPS: &[(&str, &[&str])] = &[
    ("Every day", &["add", "claim", "progress", "complete", "status"]),
    ("Work", &["work", "agent", "swarm", "claude", "lock"]),
    (
        "Store",
        &["init", "env", "config", "verify", "backup", "restore", "cleanup", "health", "doctor"],
    ),
    ("See it", &["telemetry", "trace", "alert", "kpi"]),
    ("Coming from shell scripts", &["import", "compat", "scripts"]),
    ("Try it", &["demo", "selftest", "bench"]),
    ("Help", &["help"]),
];

/// Replaces the flat list of commands with the groups.
pub(super) fn apply(cmd: Command) -> Command {
    let mut body = String::new();
    for (title, names) in GROUPS {
        let _ = writeln!(body, "{HEADER}{title}:{HEADER:#}");
        for name in *names {
            let Some(sub) = cmd.find_subcommand(name) else { continue };
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(body, "  {LITERAL}{name:<10}{LITERAL:#} {about}");
        }
        body.push('\n');
    }
    cmd.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{body}{HEADER}Options:{HEADER:#}\n{{options}}{{after-help}}"
    ))
    .after_help(
        "`coord help COMMAND` tells more; topics: exit-codes, environment, config, formats, legacy",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        let cmd = crate::cli::command();
        let mut names: Vec<_> =
            cmd.get_subcommands().filter(|c| !c.is_hide_set()).map(Command::get_name).collect();
        grouped.sort_unstable();
        names.sort_unstable();
        assert_eq!(grouped, names);
    }
}
