//! What clients saw, held against the log: an exact check that the answers are linearizable.
//!
//! The number `n` that each write is given is the witness: the log in the order of `n`, played
//! through a small model of the queue, must give every answer that anybody got, and must not put an
//! operation before one that had returned before it was called.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;

use super::{Place, Ran};

/// One operation as its client saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Its operation id.
    pub(crate) op: String,
    /// Its verb as the log writes it.
    pub(crate) verb: &'static str,
    /// Who asked.
    pub(crate) agent: String,
    /// The item it named, if any.
    pub(crate) target: Option<String>,
    /// The progress that it told, if that was its purpose.
    pub(crate) percent: u64,
    /// How it ended; a process that was killed has told nothing.
    pub(crate) ran: Ran,
}

impl Seen {
    /// Whether success was told.
    pub(crate) fn acked(&self) -> bool {
        self.ran.code == 0 && self.ran.out.ends_with('\n')
    }

    /// The item in the answer, which for `add` is the first of its list.
    pub(crate) fn item(&self) -> Value {
        let data = self.ran.data();
        if self.verb == "add" { data["items"][0].clone() } else { data }
    }

    fn repeated(&self) -> bool {
        self.ran.data()["repeated"] == true
    }
}

/// An item at some number.
#[derive(Clone, Debug, Eq, PartialEq)]
struct State {
    status: String,
    holder: String,
    token: u64,
    progress: u64,
    rank: u64,
    born: u64,
}

/// The log played through the model.
#[derive(Default)]
pub(crate) struct Played {
    /// Every item's states, with the number at which each began.
    items: BTreeMap<String, Vec<(u64, State)>>,
    /// How many items were ready from each number on; the first entry is for 0.
    ready: Vec<usize>,
    /// The lines of each operation: number, item, verb, by.
    ops: HashMap<String, Vec<(u64, String, String, String)>>,
    /// What the log itself does wrong.
    pub(crate) wrong: Vec<String>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Played {
    /// Plays the lines of a log.
    pub(crate) fn new(lines: &[Value]) -> Self {
        let mut played = Self { ready: vec![0], ..Self::default() };
        let mut open: BTreeMap<(u64, u64), String> = BTreeMap::new();
        for line in lines {
            if line["coord"].is_string() || line["carried"] == true {
                continue;
            }
            let Some(n) = line["n"].as_u64() else {
                played.wrong.push(format!("not a line: {line}"));
                continue;
            };
            if n != played.ready.len() as u64 {
                played.wrong.push(format!("n={n} where {} was due", played.ready.len()));
            }
            if line["id"].is_string() {
                played.line(n, line, &mut open);
            }
            played.ready.push(open.len());
        }
        played
    }

    fn line(&mut self, n: u64, line: &Value, open: &mut BTreeMap<(u64, u64), String>) {
        let (id, verb, by) = (text(&line["id"]), text(&line["op"]), text(&line["by"]));
        let own = self.ops.entry(text(&line["op_id"])).or_default();
        own.push((n, id.clone(), verb.clone(), by.clone()));
        let rank = ["critical", "high", "medium", "low"];
        let rank = rank.iter().position(|p| line["priority"] == *p).unwrap_or(9) as u64;
        let states = self.items.entry(id.clone()).or_default();
        let old = states.last().map(|(_, state)| state.clone());
        let born = old.as_ref().map_or(n, |old| old.born);
        let state = State {
            status: text(&line["status"]),
            holder: text(&line["agent"]),
            token: line["token"].as_u64().unwrap_or(0),
            progress: line["progress"].as_u64().unwrap_or(0),
            rank,
            born,
        };
        let held = old.as_ref().is_some_and(|old| old.status == "active");
        let own = old.as_ref().is_some_and(|old| held && old.holder == by);
        let same = old.as_ref().is_some_and(|old| old.token == state.token);
        let fits = match verb.as_str() {
            "add" => old.is_none() && state.status == "pending",
            "claim" => {
                let best = open.first_key_value().map(|(key, _)| *key);
                let mine = best == Some((rank, born));
                mine && state.status == "active" && state.holder == by && state.token == n
            }
            "progress" => {
                let further = old.as_ref().is_some_and(|old| old.progress <= state.progress);
                own && same && further && state.status == "active" && state.holder == by
            }
            "complete" => own && same && state.status == "done" && state.holder == by,
            "release" => own && state.status == "pending" && state.holder.is_empty(),
            "expire" => held && matches!(state.status.as_str(), "pending" | "dead"),
            _ => false,
        };
        if !fits {
            self.wrong.push(format!("n={n}: `{verb}` of {id} by {by} does not follow {old:?}"));
        }
        if state.status == "pending" {
            open.insert((rank, born), id);
        } else {
            open.remove(&(rank, born));
        }
        states.push((n, state));
    }

    /// The last number.
    fn last(&self) -> u64 {
        self.ready.len() as u64 - 1
    }

    /// The lines of an operation: number, item, verb, by.
    fn of(&self, op: &str) -> &[(u64, String, String, String)] {
        self.ops.get(op).map_or(&[], Vec::as_slice)
    }

    /// Where the program's own sums are not those of the log.
    pub(crate) fn differs(&self, place: &Place) -> Vec<String> {
        let status = place.run(&["status", "--json"]).data();
        let ends: Vec<&State> =
            self.items.values().filter_map(|states| Some(&states.last()?.1)).collect();
        let mut wrong = Vec::new();
        for state in ["pending", "active", "done", "dead"] {
            let count = ends.iter().filter(|end| end.status == state).count();
            if status[state] != count {
                wrong.push(format!("{count} items are {state} by the log: {status}"));
            }
        }
        if status["n"] != self.last() {
            wrong.push(format!("n={} by the log: {status}", self.last()));
        }
        wrong
    }

    /// Whether an item had such a state at some number from `from` to `to`.
    fn was(&self, id: &str, from: u64, to: u64, fits: impl Fn(Option<&State>) -> bool) -> bool {
        let states = self.items.get(id).map_or(&[][..], Vec::as_slice);
        let at = |n: u64| states.iter().rfind(|(since, _)| *since <= n).map(|(_, state)| state);
        fits(at(from)) || states.iter().any(|(n, state)| *n > from && *n <= to && fits(Some(state)))
    }
}

/// Everything that is wrong between what clients saw and what the log says.
pub(crate) fn check(played: &Played, seen: &[Seen]) -> Vec<String> {
    let mut wrong = played.wrong.clone();
    let ids: HashSet<&str> = seen.iter().map(|s| s.op.as_str()).collect();
    if ids.len() != seen.len() {
        wrong.push("the clients reused an operation id".to_owned());
    }
    for (id, states) in &played.items {
        let done = states.iter().filter(|(_, state)| state.status == "done").count();
        if done > 1 {
            wrong.push(format!("{id} was completed {done} times"));
        }
    }
    // Call and return of those that wrote something, with their numbers.
    let mut points: Vec<(u64, Duration, Duration)> = Vec::new();
    for one in seen {
        let lines: Vec<_> = played.of(&one.op).iter().filter(|line| line.2 != "expire").collect();
        if lines.len() > 1 && one.verb != "add" {
            wrong.push(format!("{} was applied {} times", one.op, lines.len()));
        }
        if lines.iter().any(|line| line.2 != one.verb || line.3 != one.agent) {
            wrong.push(format!("{} did what nobody asked: {lines:?}", one.op));
        }
        let item = one.item();
        match lines.first() {
            Some((n, id, ..)) if one.acked() => {
                points.push((*n, one.ran.call, one.ran.ret));
                if item["n"] != *n || item["id"] != id.as_str() {
                    wrong.push(format!("{} answered {item}, the log says n={n} of {id}", one.op));
                }
                if one.verb == "claim" && item["token"] != *n {
                    wrong.push(format!("{} has token {}, not {n}", one.op, item["token"]));
                }
            }
            Some(_) if one.ran.code > 0 && one.ran.code != 9 => {
                wrong.push(format!("{} failed with {}, but it is there", one.op, one.ran.code));
            }
            None if one.acked() && !one.repeated() => {
                wrong.push(format!("{} ({}) was acknowledged and is lost", one.op, one.verb));
            }
            _ => {}
        }
    }
    points.sort_unstable();
    let mut latest = (Duration::ZERO, 0);
    for (n, call, ret) in &points {
        if *ret < latest.0 {
            wrong.push(format!("n={n} had returned before n={} was called", latest.1));
        }
        latest = latest.max((*call, *n));
    }
    if points.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        wrong.push("two operations share a number".to_owned());
    }
    wrong.extend(seen.iter().filter_map(|one| check_refusal(played, one, &points)));
    wrong
}

/// An answer that wrote nothing must have been true at some moment between call and return.
fn check_refusal(
    played: &Played,
    one: &Seen,
    points: &[(u64, Duration, Duration)],
) -> Option<String> {
    if !played.of(&one.op).is_empty() || one.ran.code < 0 {
        return None;
    }
    let from = points.iter().filter(|p| p.2 < one.ran.call).map(|p| p.0).max().unwrap_or(0);
    let next = points.iter().filter(|p| p.1 > one.ran.ret).map(|p| p.0).min();
    let to = next.map_or(played.last(), |n| n - 1);
    let may = |state: &State| {
        let told = one.verb != "progress" || state.progress <= one.percent;
        told && state.status == "active" && state.holder == one.agent
    };
    let id = one.target.as_deref().unwrap_or_default();
    let true_once = match one.ran.code {
        0 if one.verb == "complete" => {
            played.was(id, from, to, |s| s.is_some_and(|s| s.status == "done"))
        }
        6 => (from..=to).any(|n| played.ready[usize::try_from(n).unwrap()] == 0),
        1 | 4 if one.verb != "claim" => played.was(id, from, to, |s| !s.is_some_and(may)),
        _ => false,
    };
    let what = format!(
        "{} ({} {id} by {}) ended with {} and that was never so between n={from} and n={to}: {}{}",
        one.op, one.verb, one.agent, one.ran.code, one.ran.out, one.ran.err
    );
    (!true_once).then_some(what)
}
