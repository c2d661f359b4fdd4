//! Many processes at once on one store: nothing is given twice, nothing is lost, and the answers
//! are those of some order in which they could have come one after the other.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "tests stand outside the program")]

mod proof;

use std::collections::{HashMap, HashSet};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use proof::history::{Played, Seen, check};
use proof::{Dice, Place, Ran, full, log_lines, report, seed};

/// Starts all commands, each waiting in a shell at a gate, then opens the gate for all at once.
fn at_once(place: &Place, commands: &[Vec<String>]) -> Vec<Ran> {
    let (gate, opener) = std::io::pipe().unwrap();
    let waiting: Vec<_> = commands
        .iter()
        .map(|args| {
            place
                .seal("/bin/sh")
                .args(["-c", "read -r _; exec \"$@\" </dev/null", "sh"])
                .arg(env!("CARGO_BIN_EXE_coord"))
                .args(args)
                .stdin(Stdio::from(gate.try_clone().unwrap()))
                .spawn()
                .unwrap()
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let call = place.now();
    drop(opener);
    std::thread::scope(|scope| {
        let ends: Vec<_> =
            waiting.into_iter().map(|child| scope.spawn(move || place.end(child, call))).collect();
        ends.into_iter().map(|end| end.join().unwrap()).collect()
    })
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// Queues items and gives their ids.
fn fill(place: &Place, count: usize) -> Vec<String> {
    let titles = (0..count).map(|i| format!("{{\"title\":\"item {i}\",\"max_attempts\":1000}}"));
    let mut add = place.seal(env!("CARGO_BIN_EXE_coord"));
    add.args(["add", "--json", "--op-id", "fill"]);
    let ran = place.feed(add, &titles.collect::<Vec<_>>().join("\n"));
    let items = ran.data()["items"].as_array().cloned().unwrap_or_default();
    assert_eq!(items.len(), count, "{ran:?}");
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn codes(ran: &[Ran], code: i32) -> usize {
    ran.iter().filter(|r| r.code == code).count()
}

/// A hundred claims at once on so many items, and everything that is wrong about them.
fn claims(place: &Place, items: usize) -> Vec<String> {
    let ids = fill(place, items);
    let commands: Vec<_> =
        (0..100).map(|i| words(&format!("claim --json --agent a{i} --op-id c{i}"))).collect();
    let ran = at_once(place, &commands);
    let mut wrong = Vec::new();
    if codes(&ran, 0) != items || codes(&ran, 6) != 100 - items {
        let bad = ran.iter().find(|r| r.code != 0 && r.code != 6);
        wrong.push(format!("{} claims won {items} items: {bad:?}", codes(&ran, 0)));
    }
    let won = ran.iter().filter(|r| r.code == 0);
    let won: HashSet<_> = won.map(|r| r.data()["id"].as_str().unwrap_or("?").to_owned()).collect();
    if won != ids.into_iter().collect() {
        wrong.push(format!("{} different items were given away", won.len()));
    }
    let history = ran.into_iter().enumerate().map(|(i, ran)| Seen {
        op: format!("c{i}"),
        verb: "claim",
        agent: format!("a{i}"),
        target: None,
        percent: 0,
        ran,
    });
    wrong.extend(check(&Played::new(&log_lines(&place.store())), &history.collect::<Vec<_>>()));
    wrong.extend(place.verify());
    wrong
}

#[test]
fn a_hundred_claims_get_a_hundred_items() {
    let place = Place::new();
    report("claims-100-of-100", 100, &claims(&place, 100), 0);
}

#[test]
fn a_hundred_claims_share_sixty_items() {
    let place = Place::new();
    report("claims-100-of-60", 100, &claims(&place, 60), 0);
}

#[test]
fn a_hundred_completions_are_recorded_once_each() {
    let place = Place::new();
    let mut wrong = claims(&place, 100);
    let held = log_lines(&place.store());
    let held: Vec<(String, String)> = held
        .iter()
        .filter(|line| line["op"] == "claim")
        .map(|line| (line["agent"].as_str().unwrap().into(), line["id"].as_str().unwrap().into()))
        .collect();
    let commands: Vec<_> = held
        .iter()
        .map(|(agent, id)| words(&format!("complete --json {id} --agent {agent}")))
        .collect();
    // Twice over at the same time: each item has two who say that it is done.
    let ran = at_once(&place, &[commands.clone(), commands].concat());
    if codes(&ran, 0) != 200 {
        wrong.push(format!("{:?}", ran.iter().find(|r| r.code != 0)));
    }
    let first = ran.iter().filter(|r| r.data()["repeated"] == false).count();
    if first != 100 {
        wrong.push(format!("{first} of 200 completions say that they were the first"));
    }
    let lines = log_lines(&place.store());
    let done: Vec<_> = lines.iter().filter(|line| line["op"] == "complete").collect();
    let items: HashSet<_> = done.iter().map(|line| line["id"].to_string()).collect();
    if done.len() != 100 || items.len() != 100 {
        wrong.push(format!("{} events complete {} items", done.len(), items.len()));
    }
    let status = place.run(&["status", "--json"]).data();
    if status["done"] != 100 || status["active"] != 0 || status["total"] != 100 {
        wrong.push(format!("{status}"));
    }
    wrong.extend(place.verify());
    report("completions-200-of-100", 200, &wrong, 0);
}

#[test]
fn a_hundred_additions_get_a_hundred_ids() {
    let place = Place::new();
    let commands: Vec<_> =
        (0..100).map(|i| words(&format!("add --json --op-id p{i} title-{i}"))).collect();
    let ran = at_once(&place, &commands);
    let mut wrong = Vec::new();
    let ids: HashSet<String> = ran.iter().map(|r| r.data()["items"][0]["id"].to_string()).collect();
    if ids.len() != 100 || codes(&ran, 0) != 100 {
        wrong.push(format!("{} ids from {} successes", ids.len(), codes(&ran, 0)));
    }
    let status = place.run(&["status", "--json"]).data();
    if status["pending"] != 100 || status["n"] != 100 {
        wrong.push(format!("{status}"));
    }
    let history = ran.into_iter().enumerate().map(|(i, ran)| Seen {
        op: format!("p{i}"),
        verb: "add",
        agent: "tester".into(),
        target: None,
        percent: 0,
        ran,
    });
    wrong.extend(check(&Played::new(&log_lines(&place.store())), &history.collect::<Vec<_>>()));
    wrong.extend(place.verify());
    report("additions-100", 100, &wrong, 0);
}

/// One client: does what is next, remembers what it holds, sometimes asks for what is not its own.
fn client(place: &Place, number: u64, count: u64, seed: u64) -> Vec<Seen> {
    let mut dice = Dice(seed ^ (number << 32));
    let agent = format!("agent-{number}");
    let (mut history, mut held): (Vec<Seen>, Vec<String>) = (Vec::new(), Vec::new());
    for i in 0..count {
        let op = format!("m{number}-{i}");
        let any = dice.throw(10) == 0 || held.is_empty();
        let other = format!("w-{}", 1 + dice.throw(40 + history.len() as u64));
        let at = usize::try_from(dice.throw(held.len().max(1) as u64)).unwrap();
        let target = if any { other } else { held[at].clone() };
        let (verb, target) = match dice.throw(12) {
            0..3 => ("add", None),
            3..7 => ("claim", None),
            7..9 => ("progress", Some(target)),
            9..11 => ("complete", Some(target)),
            _ => ("release", Some(target)),
        };
        let mut args = vec![verb.to_owned()];
        match verb {
            "add" => {
                let priority = ["low", "medium", "high", "critical"];
                let priority = priority[usize::try_from(dice.throw(4)).unwrap()];
                args.extend(words(&format!("job-{op} --priority {priority}")));
            }
            "release" => args = words("work release"),
            _ => {}
        }
        args.extend(target.clone());
        let percent = dice.throw(101);
        if verb == "progress" {
            args.push(percent.to_string());
        }
        args.extend(words(&format!("--json --agent {agent} --op-id {op}")));
        let one = Seen { op, verb, agent: agent.clone(), target, percent, ran: place.run(&args) };
        if let Some(id) = one.item()["id"].as_str().filter(|_| one.acked()) {
            let id = id.to_owned();
            match verb {
                "claim" => held.push(id),
                "complete" | "release" => held.retain(|own| *own != id),
                _ => {}
            }
        }
        history.push(one);
    }
    history
}

/// Mixed operations of many clients, and everything that is wrong about their answers.
fn mixed(place: &Place, clients: u64, each: u64, seed: u64) -> (usize, Vec<String>) {
    fill(place, 40);
    let all = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..clients {
            let all = &all;
            scope.spawn(move || {
                let history = client(place, number, each, seed);
                all.lock().unwrap().extend(history);
            });
        }
    });
    let history = all.into_inner().unwrap();
    let played = Played::new(&log_lines(&place.store()));
    let mut wrong = check(&played, &history);
    wrong.extend(played.differs(place));
    wrong.extend(place.verify());
    (history.len(), wrong)
}

#[test]
fn mixed_operations_are_linearizable() {
    let (place, seed) = (Place::new(), seed());
    let (n, wrong) = mixed(&place, 32, if full() { 320 } else { 47 }, seed);
    report("linearizable-32-clients", n, &wrong, seed);
}

/// Clients that let their leases run out and go on all the same, and everything that is wrong.
///
/// A holder may think that an item is its own from the return of the claim until the lease has
/// passed since the call: nobody else's claim may fall between.
fn leases(place: &Place, clients: u64, rounds: u64, seed: u64) -> (usize, Vec<String>) {
    const LEASE: Duration = Duration::from_secs(1);
    fill(place, 3);
    let all = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..clients {
            let all = &all;
            scope.spawn(move || {
                let mut dice = Dice(seed ^ (number << 32));
                for round in 0..rounds {
                    let agent = format!("lessee-{number}");
                    let line = format!("claim --json --lease 1s --wait 5s --agent {agent}");
                    let claim = place.run(&words(&line));
                    if claim.code != 0 {
                        all.lock().unwrap().push((number, round, claim, None));
                        continue;
                    }
                    // Some come back in time, some too late.
                    std::thread::sleep(LEASE * u32::try_from(dice.throw(15)).unwrap() / 10);
                    let token = claim.data()["token"].to_string();
                    let id = claim.data()["id"].as_str().unwrap().to_owned();
                    let line = format!("progress {id} 50 --json --agent {agent} --token {token}");
                    let late = place.run(&words(&line));
                    all.lock().unwrap().push((number, round, claim, Some(late)));
                }
            });
        }
    });
    let history = all.into_inner().unwrap();
    let mut wrong = Vec::new();
    let mut spans = Vec::new();
    for (number, round, claim, late) in &history {
        if claim.code == 0 {
            let id = claim.data()["id"].as_str().unwrap().to_owned();
            let token = claim.data()["token"].as_u64().unwrap();
            let renewed = late.as_ref().filter(|late| late.code == 0);
            let until = renewed.map_or(claim.call, |late| late.call) + LEASE;
            spans.push((id, token, claim.call, claim.ret, until));
        } else if claim.code != 6 && claim.code != 124 {
            wrong.push(format!("client {number}, round {round}: {claim:?}"));
        }
        if let Some(late) = late.as_ref().filter(|late| ![0, 1, 4].contains(&late.code)) {
            wrong.push(format!("client {number}, round {round}: {late:?}"));
        }
    }
    spans.sort();
    for pair in spans.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        // The second claim was over before the first lease was.
        if pair[1].3 < pair[0].4 {
            wrong.push(format!("two held one item: {pair:?}"));
        }
        if pair[1].1 == pair[0].1 {
            wrong.push(format!("one token was given twice: {pair:?}"));
        }
    }
    // No progress may stand in the log for a token that had been superseded.
    let mut current: HashMap<String, u64> = HashMap::new();
    for line in log_lines(&place.store()) {
        let (id, token) = (line["id"].to_string(), line["token"].as_u64().unwrap_or(0));
        let newest = current.entry(id).or_default();
        if token != 0 && token < *newest {
            wrong.push(format!("an old token was let in: {line}"));
        }
        *newest = token.max(*newest);
    }
    wrong.extend(place.verify());
    (spans.len(), wrong)
}

#[test]
fn no_item_is_held_by_two() {
    let (place, seed) = (Place::new(), seed());
    let (n, wrong) = leases(&place, 8, if full() { 20 } else { 3 }, seed);
    report("leases-8-of-3", n, &wrong, seed);
}

/// Without the lock the same checks must find something.
#[cfg(feature = "test-hooks")]
#[test]
fn a_store_without_its_lock_is_found_out() {
    for plant in ["claims", "mixed"] {
        let found = (0..20).any(|round| {
            let place = Place::planted("no-lock");
            let wrong = match plant {
                "claims" => claims(&place, 60),
                _ => mixed(&place, 8, 12, round).1,
            };
            wrong.iter().any(|what| {
                ["lost", "given away", "does not follow", "was due", "verify"]
                    .iter()
                    .any(|sign| what.contains(sign))
            })
        });
        assert!(found, "20 rounds of {plant} without a lock, and nothing was noticed");
    }
}
