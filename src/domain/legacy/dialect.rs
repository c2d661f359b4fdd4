//! The words of the old command line, and the command that does each of them now.

/// A kind of old command, in the order in which help shows them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Group {
    /// Claiming, reporting, finishing.
    Work,
    /// Agents.
    Agents,
    /// Ceremonies.
    Scrum,
    /// Analyses that Claude was asked for.
    Claude,
    /// Running the system.
    Operations,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 5] =
        [Self::Work, Self::Agents, Self::Scrum, Self::Claude, Self::Operations];

    /// Its heading.
    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Work => "Work Management Commands",
            Self::Agents => "Agent Commands",
            Self::Scrum => "Scrum at Scale Commands",
            Self::Claude => "Claude Intelligence Commands",
            Self::Operations => "Utility Commands",
        }
    }
}

/// An old command.
#[derive(Clone, Copy, Debug)]
pub struct Spelling {
    /// Its name, then its aliases.
    pub names: &'static [&'static str],
    /// Its arguments, by position; `<…>` is needed, `[…]` is not.
    pub arguments: &'static str,
    /// What it does, in a few words.
    pub about: &'static str,
    /// The command of the new command line that stands for it.
    pub now: &'static str,
    /// Where help shows it.
    pub group: Group,
}

impl Spelling {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.names[0]
    }

    /// Whether one of its arguments is a text that may be anything.
    #[must_use]
    pub fn takes_text(&self) -> bool {
        let texts = ["<description>", "[status]", "[result]", "[spec]", "[focus]", "<input>"];
        (self.group != Group::Work || self.name() != "list-work")
            && self.arguments.split_whitespace().any(|word| texts.contains(&word))
    }
}

const fn row(
    group: Group,
    names: &'static [&'static str],
    arguments: &'static str,
    now: &'static str,
    about: &'static str,
) -> Spelling {
    Spelling { names, arguments, about, now, group }
}

use Group::{Agents, Claude, Operations, Scrum, Work};

const CLAIM: &str = "<type> <description> [priority] [team]";

/// Every command that the old program knew, or promised.
pub const COMMANDS: &[Spelling] = &[
    row(
        Work,
        &["claim", "claim-fast", "claim-slow"],
        CLAIM,
        "coord work claim",
        "Make an item and take it at once",
    ),
    row(
        Work,
        &["claim-intelligent", "claim-ai"],
        CLAIM,
        "coord work claim",
        "The same, with advice before it",
    ),
    row(
        Work,
        &["progress"],
        "<work_id> <percent> [status]",
        "coord work progress",
        "Report how far an item is",
    ),
    row(
        Work,
        &["complete"],
        "<work_id> [result] [points]",
        "coord work complete",
        "Finish an item and credit its points",
    ),
    row(Work, &["add-work"], CLAIM, "coord work add", "Queue an item without taking it"),
    row(Work, &["list-work", "list-work-fast"], "[status]", "coord work list", "List the items"),
    row(
        Agents,
        &["register", "register-agent"],
        "<agent_id> [team] [capacity] [spec]",
        "coord agent register",
        "Tell what an agent is",
    ),
    row(
        Agents,
        &["remove-agent"],
        "<agent_id>",
        "coord agent remove",
        "Remove an agent and hand its work back",
    ),
    row(Agents, &["generate-id"], "", "coord agent register", "Make an agent id"),
    row(Agents, &["list-agents"], "", "coord agent list", "List the agents"),
    row(
        Agents,
        &["agent-performance"],
        "[agent_id]",
        "coord agent list",
        "What agents finished, and how well",
    ),
    row(
        Agents,
        &["agent-workload"],
        "[agent_id]",
        "coord agent list",
        "What agents hold, and how much they take",
    ),
    row(
        Agents,
        &["agent-health"],
        "[agent_id]",
        "coord agent list",
        "When agents were last heard of",
    ),
    row(Agents, &["agent-scale"], "<count>", "coord swarm run", "Run more or fewer workers"),
    row(Scrum, &["dashboard", "dashboard-fast"], "", "coord dashboard", "The whole at a glance"),
    row(
        Scrum,
        &["pi-planning"],
        "",
        "coord scrum plan",
        "Backlog, capacity and velocity for the next increment",
    ),
    row(Scrum, &["scrum-of-scrums"], "", "coord scrum sync", "Done, next and blocked per team"),
    row(
        Scrum,
        &["innovation-planning", "ip"],
        "",
        "coord scrum plan",
        "Innovation and planning iteration",
    ),
    row(Scrum, &["system-demo"], "", "coord scrum review", "What was finished"),
    row(
        Scrum,
        &["inspect-adapt", "ia"],
        "",
        "coord scrum review",
        "Results of the increment, and what went wrong",
    ),
    row(Scrum, &["art-sync"], "", "coord scrum sync", "Risks and dependencies across teams"),
    row(Scrum, &["portfolio-kanban"], "", "coord scrum plan", "Work by stage"),
    row(Scrum, &["coach-training"], "", "coord scrum plan", "What a coach would look at"),
    row(
        Scrum,
        &["value-stream", "vsm"],
        "",
        "coord scrum review",
        "Lead, process and waiting time",
    ),
    row(
        Claude,
        &["claude-analyze-priorities", "claude-priorities"],
        "",
        "coord claude priorities",
        "What to do first",
    ),
    row(
        Claude,
        &["claude-optimize-assignments", "claude-optimize", "claude-rebalance-recommendations"],
        "[team]",
        "coord claude assign",
        "Who should do what",
    ),
    row(
        Claude,
        &["claude-recommend-work", "claude-recommend"],
        "[type]",
        "coord claude assign",
        "What this agent should take",
    ),
    row(
        Claude,
        &["claude-health-analysis", "claude-health", "claude-analyze-health"],
        "",
        "coord claude health",
        "How the whole is doing",
    ),
    row(
        Claude,
        &["claude-team-analysis", "claude-team", "claude-suggest-teams", "claude-teams"],
        "[team]",
        "coord claude team",
        "How the teams are doing",
    ),
    row(
        Claude,
        &["claude-stream", "stream", "claude-intelligence-stream"],
        "[focus] [seconds]",
        "coord claude stream",
        "Insights, one after the other",
    ),
    row(
        Claude,
        &["claude-pipe", "pipe"],
        "[analysis_type]",
        "coord claude ask",
        "Ask about what comes on standard input",
    ),
    row(
        Claude,
        &["claude-enhanced", "enhanced"],
        "<type> <input> <output>",
        "coord claude ask",
        "The same from file to file",
    ),
    row(
        Claude,
        &["claude-dashboard", "intelligence"],
        "",
        "coord claude check",
        "Which analyses there are",
    ),
    row(Operations, &["status"], "", "coord status", "Counts by state"),
    row(Operations, &["health"], "", "coord health", "What needs attention"),
    row(Operations, &["metrics"], "", "coord telemetry report", "Counts, points and times"),
    row(Operations, &["reports"], "", "coord kpi report", "The same for each team, and targets"),
    row(Operations, &["logs"], "[count]", "coord telemetry report", "The last events"),
    row(Operations, &["audit"], "", "coord verify", "Check the whole audit trail"),
    row(Operations, &["environment"], "", "coord env", "Where everything is, and why"),
    row(Operations, &["config"], "", "coord config show", "The settings"),
    row(Operations, &["sync"], "", "coord compat", "Write the old files anew"),
    row(Operations, &["optimize"], "", "coord cleanup", "Tidy up what is finished"),
    row(Operations, &["start"], "", "coord swarm run", "Start workers"),
    row(Operations, &["stop"], "", "coord swarm run", "Stop workers"),
    row(Operations, &["restart"], "", "coord swarm run", "Start workers anew"),
    row(Operations, &["deploy"], "", "coord deploy run", "Release a version"),
    row(Operations, &["rollback"], "", "coord deploy rollback", "Return to the version before"),
    row(Operations, &["alerts"], "", "coord alert check", "Evaluate alert rules"),
    row(Operations, &["webhook"], "", "coord serve", "Tell others of events"),
    row(Operations, &["api"], "", "coord serve", "Serve the store over HTTP"),
    row(Operations, &["backup"], "[directory]", "coord backup", "Take a snapshot"),
    row(Operations, &["restore"], "<archive> [--yes]", "coord restore", "Load a snapshot"),
    row(Operations, &["help"], "", "coord help", "This list"),
];

/// Finds an old command by its name or an alias.
#[must_use]
pub fn find(word: &str) -> Option<&'static Spelling> {
    COMMANDS.iter().find(|spelling| spelling.names.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_stands_twice_and_every_one_is_found() {
        let words: Vec<_> = COMMANDS.iter().flat_map(|s| s.names).collect();
        let mut once = words.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), words.len());
        for word in words {
            let found = find(word).unwrap();
            assert!(found.names.contains(word) && found.now.starts_with("coord "), "{word}");
        }
        assert!(find("claims").is_none());
        assert!(Group::ALL.iter().all(|group| COMMANDS.iter().any(|s| s.group == *group)));
    }
}
