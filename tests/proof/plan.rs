//! Operations that are disturbed and then repeated, as their users would.

use std::time::Duration;

use super::proof::history::Seen;
use super::proof::{Place, Ran};

/// What is done to the queue, by the verb that the log has for it.
pub(crate) const VERBS: [(&str, &str); 6] = [
    ("add", "add"),
    ("add", "batch"),
    ("claim", "claim"),
    ("progress", "progress"),
    ("complete", "complete"),
    ("release", "release"),
];

/// How long the next command may take.
const PROMPT: Duration = Duration::from_secs(1);

/// An operation that is ready to be run, any number of times.
pub(crate) struct Planned {
    pub(crate) verb: &'static str,
    pub(crate) op: String,
    pub(crate) agent: String,
    pub(crate) target: Option<String>,
    pub(crate) args: Vec<String>,
    pub(crate) input: String,
}

pub(crate) fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

impl Planned {
    /// Plans an operation; what it needs is done first.
    pub(crate) fn new(place: &Place, verb: &'static str, kind: &str, op: &str) -> Self {
        let mut target = None;
        if matches!(verb, "progress" | "complete" | "release") {
            let claim = place.run(&["claim", "-q"]);
            assert_eq!(claim.code, 0, "{claim:?}");
            target = Some(claim.out.trim().to_owned());
        }
        Self::of(verb, kind, op, "tester", target)
    }

    /// Plans an operation of some agent on what it already holds.
    pub(crate) fn of(
        verb: &'static str,
        kind: &str,
        op: &str,
        agent: &str,
        target: Option<String>,
    ) -> Self {
        let id = target.as_deref().unwrap_or_default();
        let (line, input) = match kind {
            "add" => ("add title".to_owned(), String::new()),
            "batch" => {
                let items = (0..20).map(|i| format!("{{\"title\":\"part {i}\"}}"));
                ("add".to_owned(), items.collect::<Vec<_>>().join("\n"))
            }
            "claim" => ("claim".to_owned(), String::new()),
            "progress" => (format!("progress {id} 40"), String::new()),
            "complete" => (format!("complete {id}"), String::new()),
            _ => (format!("work release {id}"), String::new()),
        };
        let args = words(&format!("{line} --json --op-id {op} --agent {agent}"));
        Self { verb, op: op.to_owned(), agent: agent.to_owned(), target, args, input }
    }

    /// Runs it undisturbed.
    pub(crate) fn run(&self, place: &Place) -> Ran {
        let mut cmd = place.seal(env!("CARGO_BIN_EXE_coord"));
        cmd.args(&self.args);
        place.feed(cmd, &self.input)
    }

    pub(crate) fn seen(self, ran: Ran) -> Seen {
        let Self { verb, op, agent, target, .. } = self;
        Seen { op, verb, agent, target, percent: 40, ran }
    }
}

/// Enough items for what is to come.
pub(crate) fn stock(place: &Place, count: usize) -> Ran {
    let mut add = place.seal(env!("CARGO_BIN_EXE_coord"));
    add.args(["add", "--json", "--op-id", "stock"]);
    let items = (0..count).map(|i| format!("{{\"title\":\"item {i}\",\"max_attempts\":1000}}"));
    let ran = place.feed(add, &items.collect::<Vec<_>>().join("\n"));
    assert_eq!(ran.code, 0, "{ran:?}");
    ran
}

/// What an answer says that a repetition must say as well.
pub(crate) fn answer(planned: &Planned, ran: &Ran) -> (String, String) {
    let data = ran.data();
    let item = if planned.verb == "add" { &data["items"][0] } else { &data };
    (item["id"].to_string(), item["n"].to_string())
}

/// Repeats an operation that was disturbed, as its user would, and notes what is wrong about that.
pub(crate) fn repeat(
    place: &Place,
    planned: Planned,
    first: &Ran,
    wrong: &mut Vec<String>,
) -> Seen {
    let again = planned.run(place);
    if again.code != 0 {
        wrong.push(format!("{} again: {again:?} after {first:?}", planned.op));
    }
    if again.ret.saturating_sub(again.call) > PROMPT {
        wrong.push(format!("{} took {:?}", planned.op, again.ret.saturating_sub(again.call)));
    }
    // What was told before the end counts, even if the process died right after.
    let told = first.out.ends_with('\n') && first.code <= 0;
    let same = answer(&planned, first) == answer(&planned, &again);
    if told && !(same && again.data()["repeated"] == true) {
        wrong.push(format!("{} said {} and then {}", planned.op, first.out, again.out));
    }
    planned.seen(Ran { call: first.call, ..again })
}
