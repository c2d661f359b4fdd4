//! Whether the recorded life of an item is one that the rules allow: what must hold for every line
//! about it, and which line may follow which.
//!
//! The transition rules refuse what is wrong before it is written; this finds what was written all the
//! same, by a hand, a merge or a defect. Items that were imported are judged from their first claim on:
//! what happened to them elsewhere followed other rules.

use std::collections::BTreeMap;

use super::{Item, Status};
use crate::domain::name::ItemId;

/// What must hold for an item after a write, whatever was written. `n` is the number of the write.
///
/// The error says what does not hold.
pub fn image(item: &Item, n: u64) -> Result<(), String> {
    let id = &item.id;
    if item.progress > 100 {
        return Err(format!("`{id}` is at {} %", item.progress));
    }
    if item.status == Status::Active {
        let lacking = [
            ("agent", item.agent.is_none()),
            ("token", item.token.is_none()),
            ("lease", item.lease.is_none()),
        ];
        if let Some((what, _)) = lacking.iter().find(|(_, lacks)| *lacks) {
            return Err(format!("`{id}` is active without {what}"));
        }
    } else if item.lease.is_some() {
        return Err(format!("`{id}` is {} and has a lease", item.status));
    }
    if item.status == Status::Pending && item.token.is_some() {
        return Err(format!("`{id}` is pending and has the token of a claim"));
    }
    if item.token.is_some_and(|token| token > n) {
        let token = item.token.unwrap_or_default();
        return Err(format!("`{id}` has token {token}, which no write before {n} gave"));
    }
    if item.needs.contains(id) {
        return Err(format!("`{id}` needs itself"));
    }
    Ok(())
}

/// Whether an item may have become `after` from `before` by `verb`, the word of the log. Words that
/// are not known here are taken as they are.
pub fn follows(before: Option<&Item>, after: &Item, verb: &str, n: u64) -> Result<(), String> {
    let id = &after.id;
    let Some(before) = before else {
        return match verb {
            "add" if after.status == Status::Pending && after.attempt == 0 => Ok(()),
            "add" => Err(format!("`{id}` was added as {}", after.status)),
            "import" => Ok(()),
            _ => Err(format!("`{verb}` of `{id}`, which nobody had added")),
        };
    };
    let from = |allowed: &[Status]| {
        let fits = allowed.contains(&before.status);
        if fits { Ok(()) } else { Err(format!("`{verb}` of `{id}`, which was {}", before.status)) }
    };
    let to = |allowed: &[Status]| {
        let fits = allowed.contains(&after.status);
        if fits { Ok(()) } else { Err(format!("`{verb}` left `{id}` {}", after.status)) }
    };
    match verb {
        "add" | "import" => Err(format!("`{verb}` of `{id}`, which was there already")),
        "claim" => {
            from(&[Status::Pending])?;
            to(&[Status::Active])?;
            if after.token != Some(n) {
                return Err(format!("the claim of `{id}` has not its own number as its token"));
            }
            if after.attempt != before.attempt.saturating_add(1) {
                return Err(format!(
                    "the claim of `{id}` is attempt {} after {}",
                    after.attempt, before.attempt
                ));
            }
            Ok(())
        }
        "progress" => {
            from(&[Status::Active])?;
            to(&[Status::Active])?;
            same_claim(before, after, verb)
        }
        "complete" => {
            from(&[Status::Active])?;
            to(&[Status::Done])?;
            same_claim(before, after, verb)
        }
        "fail" | "expire" => {
            from(&[Status::Active])?;
            match after.status {
                Status::Pending => Ok(()),
                Status::Dead => same_claim(before, after, verb),
                Status::Failed if verb == "fail" => same_claim(before, after, verb),
                _ => to(&[]),
            }
        }
        "release" => from(&[Status::Active]).and_then(|()| to(&[Status::Pending])),
        "retry" => {
            from(&[Status::Failed, Status::Dead])?;
            to(&[Status::Pending])
        }
        "assign" => from(&[Status::Pending]).and_then(|()| to(&[Status::Pending])),
        "edit" => {
            to(&[before.status])?;
            if before.status == Status::Done {
                return from(&[]);
            }
            same_claim(before, after, verb)
        }
        _ => Ok(()),
    }
}

/// Whether the claim is the one that was there before.
fn same_claim(before: &Item, after: &Item, verb: &str) -> Result<(), String> {
    if (&before.agent, before.token) == (&after.agent, after.token) {
        return Ok(());
    }
    let who = |item: &Item| {
        let agent = item.agent.as_ref().map_or("nobody", |agent| agent.as_str()).to_owned();
        item.token.map_or_else(|| agent.clone(), |token| format!("{agent} with token {token}"))
    };
    let (id, by, of) = (&after.id, who(after), who(before));
    Err(format!("`{verb}` of `{id}` by {by}, but the claim was that of {of}"))
}

/// Circles among items that wait for each other: the members of each in turn, the first also last.
/// `needs` holds, for each item that is not done, what it needs; every item is looked at once.
#[must_use]
pub fn cycles(needs: &BTreeMap<&ItemId, Vec<&ItemId>>) -> Vec<Vec<ItemId>> {
    let (mut found, mut state) = (Vec::new(), BTreeMap::<&ItemId, bool>::new());
    for start in needs.keys() {
        if state.contains_key(start) {
            continue;
        }
        // On the way: false; left behind: true.
        state.insert(start, false);
        let mut way: Vec<(&ItemId, usize)> = vec![(start, 0)];
        while let Some((id, next)) = way.last_mut() {
            let Some(need) = needs.get(*id).and_then(|list| list.get(*next)).copied() else {
                state.insert(id, true);
                way.pop();
                continue;
            };
            *next += 1;
            match state.get(need) {
                None if needs.contains_key(need) => {
                    state.insert(need, false);
                    way.push((need, 0));
                }
                Some(false) => {
                    let from = way.iter().position(|(on, _)| *on == need).unwrap_or(0);
                    let mut circle: Vec<ItemId> =
                        way[from..].iter().map(|(on, _)| (*on).clone()).collect();
                    circle.push(need.clone());
                    found.push(circle);
                }
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;

    use super::*;
    use crate::domain::time::Stamp;
    use crate::domain::work::transition::{self, Holder, Outcome};
    use crate::domain::work::{Change, Edit, Lease};

    fn now() -> Stamp {
        Stamp { wall: DateTime::from_timestamp(1_767_323_045, 0).unwrap(), boot: 7, boot_ms: 9 }
    }

    fn bare() -> Item {
        Item::bare("w-1".parse().unwrap(), "One".to_owned(), now().wall)
    }

    fn claimed(n: u64) -> Item {
        let (agent, length) = ("nova".parse().unwrap(), Duration::from_mins(1));
        transition::claim(&bare(), 0, &agent, length, n, now()).unwrap()
    }

    fn changed(item: &Item, change: &Change) -> Item {
        match transition::apply(item, 0, change, now()).unwrap() {
            Outcome::Changed(item) => *item,
            Outcome::Already => panic!("nothing changed"),
        }
    }

    #[test]
    fn what_the_rules_do_is_a_life() {
        let holder = || Holder { agent: "nova".parse().unwrap(), token: None };
        let (active, assign) = (claimed(2), Change::Assign(Some("vega".parse().unwrap())));
        let progress =
            Change::Progress { holder: holder(), percent: Some(5), note: None, lease: None };
        let edit = Change::Edit(Box::new(Edit { title: Some("Two".into()), ..Edit::default() }));
        let complete = Change::Complete { holder: holder(), result: None, points: None };
        let fail = |retry| Change::Fail { holder: holder(), result: None, retry };
        let release = Change::Release { holder: holder(), note: None };
        let failed = changed(&active, &fail(false));
        let last = Item { attempt: 3, ..active.clone() };
        for (before, change) in [
            (&bare(), &assign),
            (&bare(), &edit),
            (&active, &progress),
            (&active, &edit),
            (&active, &complete),
            (&active, &fail(true)),
            (&active, &fail(false)),
            (&last, &fail(true)),
            (&active, &release),
            (&failed, &Change::Retry),
        ] {
            let after = changed(before, change);
            let verb = change.verb();
            assert_eq!(
                (image(&after, 3), follows(Some(before), &after, verb, 3)),
                (Ok(()), Ok(()))
            );
        }
        assert_eq!(follows(None, &bare(), "add", 1), Ok(()));
        assert_eq!(follows(Some(&bare()), &active, "claim", 2), Ok(()));
        for before in [&active, &last] {
            let after = transition::expire(before, now());
            assert_eq!(follows(Some(before), &after, "expire", 3), Ok(()));
        }
    }

    #[track_caller]
    fn wrong(result: Result<(), String>, words: &str) {
        let text = result.unwrap_err();
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn what_they_would_refuse_is_told() {
        let (free, active) = (bare(), claimed(2));
        let done = |item: &Item| Item { status: Status::Done, lease: None, ..item.clone() };
        wrong(follows(Some(&free), &done(&active), "complete", 3), "which was pending");
        wrong(follows(None, &done(&active), "complete", 3), "nobody had added");
        let other = Item { agent: Some("vega".parse().unwrap()), ..done(&active) };
        wrong(follows(Some(&active), &other, "complete", 3), "the claim was that of nova");
        let stale = Item { token: Some(1), ..done(&active) };
        wrong(follows(Some(&active), &stale, "complete", 3), "with token 1");
        wrong(follows(Some(&active), &claimed(3), "claim", 3), "which was active");
        wrong(follows(Some(&free), &active, "claim", 3), "as its token");
        let twice = Item { attempt: 2, ..active.clone() };
        wrong(follows(Some(&free), &twice, "claim", 2), "attempt 2 after 0");
        wrong(follows(Some(&free), &free, "add", 3), "already");
        wrong(follows(None, &active, "add", 3), "added as active");
        wrong(follows(Some(&done(&active)), &done(&active), "edit", 3), "which was done");
        wrong(follows(Some(&active), &free, "edit", 3), "left `w-1` pending");
        assert_eq!(follows(Some(&free), &active, "a-word-of-tomorrow", 3), Ok(()));
        wrong(image(&Item { lease: None, ..active.clone() }, 3), "without lease");
        wrong(image(&Item { token: None, ..active.clone() }, 3), "without token");
        wrong(image(&active, 1), "no write before");
        let lease = Some(Lease::start(now(), Duration::from_secs(1)));
        wrong(image(&Item { lease, ..free.clone() }, 3), "has a lease");
        wrong(image(&Item { token: Some(1), ..free.clone() }, 3), "token of a claim");
        wrong(image(&Item { needs: vec![free.id.clone()], ..free }, 3), "needs itself");
    }

    #[test]
    fn every_circle_is_found_once_however_long() {
        let id = |n: usize| format!("w-{n}").parse::<ItemId>().unwrap();
        let ids: Vec<ItemId> = (0..50_000).map(id).collect();
        let chain = |n: usize| vec![&ids[(n + 1).min(ids.len() - 1)]];
        let mut needs: BTreeMap<&ItemId, Vec<&ItemId>> =
            (0..ids.len() - 1).map(|n| (&ids[n], chain(n))).collect();
        assert!(cycles(&needs).is_empty());
        needs.insert(&ids[2], vec![&ids[3], &ids[0]]);
        let found = cycles(&needs);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].len(), found[0].first()), (4, found[0].last()));
        needs.insert(&ids[ids.len() - 1], vec![&ids[0]]);
        assert_eq!(cycles(&needs).len(), 2);
    }
}
