//! Named locks.

use super::*;
use crate::domain::name::Word;
use crate::store::{Acquired, Lock};

const MINUTE: Duration = Duration::from_mins(1);

fn name(text: &str) -> Word {
    text.parse().unwrap()
}

fn yes(got: Acquired) -> Lock {
    match got {
        Acquired::Yes(lock) => lock,
        Acquired::Held(lock) => panic!("held by {}", lock.holder),
    }
}

fn held(got: Acquired) -> Lock {
    match got {
        Acquired::Held(lock) => lock,
        Acquired::Yes(lock) => panic!("given to {}", lock.holder),
    }
}

pub(super) fn one_holder_at_a_time_and_tokens_grow(scene: &Scene) {
    let (mut a, mut b) = (scene.store(), scene.store());
    let deploy = name("deploy");
    let first = yes(a.acquire(&deploy, MINUTE, Some("why"), &scene.op("nova")).unwrap());
    assert_eq!((first.holder.as_str(), first.note.as_deref()), ("nova", Some("why")));
    assert_eq!(held(b.acquire(&deploy, MINUTE, None, &scene.op("orion")).unwrap()), first);
    assert_eq!(held(b.acquire(&deploy, MINUTE, None, &scene.op("nova")).unwrap()), first);
    assert!(!b.unlock(&deploy, first.token + 1, &scene.op("orion")).unwrap());
    assert!(a.unlock(&deploy, first.token, &scene.op("nova")).unwrap());
    assert!(!a.unlock(&deploy, first.token, &scene.op("nova")).unwrap());
    let second = yes(b.acquire(&deploy, MINUTE, None, &scene.op("orion")).unwrap());
    assert!(second.token > first.token);
    scene.clock.advance(MINUTE);
    let third = yes(a.acquire(&deploy, MINUTE, None, &scene.op("nova")).unwrap());
    assert!(third.token > second.token);
    // Whoever lost it renews and frees nothing.
    assert_eq!(held(b.renew(&deploy, second.token, &scene.op("orion")).unwrap()), third);
    assert!(!b.unlock(&deploy, second.token, &scene.op("orion")).unwrap());
    assert_eq!(a.locks(&scene.op("x")).unwrap(), [third]);
    // Another name is another lock.
    yes(b.acquire(&name("other"), MINUTE, None, &scene.op("orion")).unwrap());
    assert!(a.renew(&name("never"), 1, &scene.op("x")).is_err());
    assert!(a.unlock(&name("never"), 1, &scene.op("x")).is_err());
}

pub(super) fn a_lock_is_renewed_and_listed(scene: &Scene) {
    let mut store = scene.store();
    assert!(store.locks(&scene.op("x")).unwrap().is_empty());
    let b = yes(store.acquire(&name("b"), MINUTE, None, &scene.op("nova")).unwrap());
    yes(store.acquire(&name("a"), MINUTE, None, &scene.op("nova")).unwrap());
    let names = |store: &dyn Store| -> Vec<String> {
        store.locks(&scene.op("x")).unwrap().iter().map(|l| l.name.to_string()).collect()
    };
    assert_eq!(names(&*store), ["a", "b"]);
    scene.clock.advance(MINUTE / 2);
    let renewed = yes(store.renew(&name("b"), b.token, &scene.op("nova")).unwrap());
    assert_eq!((renewed.token, renewed.since), (b.token, b.since));
    scene.clock.advance(MINUTE * 3 / 4);
    assert_eq!(names(&*store), ["b"]);
    // It ran out, but nobody took it meanwhile: it is still ours.
    scene.clock.advance(MINUTE);
    assert!(names(&*store).is_empty());
    yes(store.renew(&name("b"), b.token, &scene.op("nova")).unwrap());
    assert!(store.unlock(&name("b"), b.token, &scene.op("nova")).unwrap());
    assert_eq!(held(store.renew(&name("b"), b.token, &scene.op("nova")).unwrap()).token, b.token);
}

pub(super) fn taking_a_lock_is_done_once(scene: &Scene) {
    let mut store = scene.store();
    let name = name("deploy");
    let first = yes(store.acquire(&name, MINUTE, None, &scene.named_op("L", "nova")).unwrap());
    let again = yes(store.acquire(&name, MINUTE, None, &scene.named_op("L", "nova")).unwrap());
    assert_eq!(again, first);
    held(store.acquire(&name, MINUTE, None, &scene.named_op("M", "nova")).unwrap());
}
