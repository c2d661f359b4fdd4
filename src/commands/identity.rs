//! Who acts: said in the call, never a property of a process elsewhere.

use rustix::termios::{isatty, ttyname};

use crate::domain::name::{AgentId, MAX_NAME};
use crate::error::{Error, Kind, Result};
use crate::sys::Env;

/// Who acts.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct By {
    /// Who acts [env: COORD_AGENT] [default: a name made from user, host and terminal]
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<AgentId>,
}

/// The agent that the environment names, else one made from user, host and terminal.
pub(super) fn from_surroundings(env: &Env) -> Result<AgentId> {
    for name in ["COORD_AGENT", "AGENT_ID"] {
        if let Some(text) = env.get(name) {
            let text = text.to_string_lossy();
            return text.parse().map_err(|why| {
                Error::new(Kind::Config, format!("`{name}` is `{text}`, which is no name: {why}"))
                    .hint("a name is 1 to 64 letters, digits, `.`, `_` and `-`, such as `nova-1`")
            });
        }
    }
    let user = env
        .text("USER")
        .or_else(|| env.text("LOGNAME"))
        .unwrap_or_else(|| format!("u{}", rustix::process::geteuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = made(&[&user, host.split('.').next().unwrap_or("host"), &terminal()]);
    name.parse().map_err(|_| {
        Error::new(Kind::Config, "no name could be made for you").hint("say who acts: `--agent ID`")
    })
}

/// The name of the terminal without its directory, empty where there is none.
fn terminal() -> String {
    let streams = [rustix::stdio::stdin(), rustix::stdio::stderr(), rustix::stdio::stdout()];
    streams
        .into_iter()
        .filter(|fd| isatty(fd))
        .find_map(|fd| ttyname(fd, Vec::new()).ok())
        .map(|name| name.to_string_lossy().trim_start_matches("/dev/").replace('/', ""))
        .unwrap_or_default()
}

/// Joins parts to a name that keeps the grammar.
fn made(parts: &[&str]) -> String {
    let parts = parts.iter().filter(|part| !part.is_empty());
    let joined = parts.copied().collect::<Vec<_>>().join("-");
    let keep = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = joined.chars().map(keep).collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    let name = if name.is_empty() { "agent" } else { name };
    name.chars().take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_name_keeps_the_grammar() {
        assert_eq!(made(&["root", "host", "pts0"]), "root-host-pts0");
        assert_eq!(made(&["root", "host", ""]), "root-host");
        assert_eq!(made(&["ä b", "_x"]), "b-_x");
        assert_eq!(made(&["", "", ""]), "agent");
        for parts in [["\u{202e}", "é", "/"], [&"x".repeat(80), "h", ""]] {
            assert!(made(&parts).parse::<AgentId>().is_ok());
        }
    }

    #[test]
    fn the_environment_has_its_order_and_is_checked() {
        let both: Env = [("COORD_AGENT", "nova"), ("AGENT_ID", "old")].into_iter().collect();
        assert_eq!(from_surroundings(&both).unwrap().as_str(), "nova");
        let old: Env = [("COORD_AGENT", ""), ("AGENT_ID", "old")].into_iter().collect();
        assert_eq!(from_surroundings(&old).unwrap().as_str(), "old");
        let bad: Env = [("COORD_AGENT", "../x")].into_iter().collect();
        assert_eq!(from_surroundings(&bad).unwrap_err().kind(), Kind::Config);
    }
}
