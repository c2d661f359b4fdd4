//! What every store must do, whatever it is made of: one suite of tests, run against each.
//!
//! A new implementation adds a [`Scene`] to `suites!` and to the model test, and nothing else.

mod agents;
mod leases;
mod locks;
mod model;
mod queue;
mod reading;
mod repeating;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;

use super::memory::MemoryStore;
use super::{Changed, Claimed, Error, Result, Store};
use crate::domain::agent::Agent;
use crate::domain::name::{AgentId, ItemId};
use crate::domain::time::Stamp;
use crate::domain::work::transition::Holder;
use crate::domain::work::{Change, Draft, Found, NewItem, Op, Want};
use crate::store::files::{FileStore, Options};
use crate::sys::{Clock, FixedClock};

/// A state of its own, any number of handles on it, and a clock.
pub(super) struct Scene {
    open: Box<dyn Fn() -> Box<dyn Store>>,
    clock: Arc<FixedClock>,
    ops: Cell<u64>,
}

impl Scene {
    fn new(make: impl FnOnce(Arc<FixedClock>) -> Box<dyn Fn() -> Box<dyn Store>>) -> Self {
        let clock = Arc::new(FixedClock::new(DateTime::from_timestamp(1_767_323_045, 0).unwrap()));
        Self { open: make(clock.clone()), clock, ops: Cell::new(0) }
    }

    pub(super) fn memory() -> Self {
        let store = MemoryStore::default();
        Self::new(|_| Box::new(move || Box::new(store.clone())))
    }

    pub(super) fn files() -> Self {
        Self::new(|clock| {
            let dir = tempfile::tempdir().unwrap();
            let options = Options {
                dir: dir.path().join("state"),
                create: true,
                trust_dir: false,
                lock_timeout: Duration::from_secs(2),
                sync: false,
                command: "test".to_owned(),
                clock,
            };
            // A reader makes no store; the first writer does.
            let mut store = FileStore::open(options.clone()).unwrap();
            let clock = FixedClock::new(options.clock.wall());
            let scene =
                Self { open: Box::new(|| unreachable!()), clock: clock.into(), ops: Cell::new(0) };
            store.add(Vec::new(), &scene.op("boss")).unwrap();
            // The directory lives as long as the scene.
            Box::new(move || {
                let _ = dir.path();
                Box::new(FileStore::open(options.clone()).unwrap())
            })
        })
    }

    fn store(&self) -> Box<dyn Store> {
        (self.open)()
    }

    /// An operation with a fresh id, a little later than the one before.
    fn op(&self, by: &str) -> Op {
        self.ops.set(self.ops.get() + 1);
        self.clock.advance(Duration::from_millis(2));
        self.op_again(&format!("op-{}", self.ops.get()), by, false)
    }

    /// An operation whose id the caller chose.
    fn named_op(&self, id: &str, by: &str) -> Op {
        self.clock.advance(Duration::from_millis(2));
        self.op_again(id, by, true)
    }

    fn op_again(&self, id: &str, by: &str, given: bool) -> Op {
        let (wall, boot) = (self.clock.wall(), self.clock.boot());
        let now = Stamp { wall, boot: boot.id, boot_ms: boot.ms };
        Op { id: id.parse().unwrap(), given, by: by.parse().unwrap(), now }
    }

    /// Adds items and gives their ids.
    fn add(&self, store: &mut dyn Store, drafts: Vec<Draft>) -> Vec<ItemId> {
        let added = store.add(drafts.into_iter().map(new).collect(), &self.op("boss")).unwrap();
        added.items.into_iter().map(|found| found.item.id).collect()
    }

    /// Adds one item with nothing but a title.
    fn one(&self, store: &mut dyn Store, title: &str) -> ItemId {
        self.add(store, vec![titled(title)]).remove(0)
    }

    fn claim(&self, store: &mut dyn Store, want: &Want) -> Result<Claimed> {
        store.claim(want, &self.op(want.agent.as_str()))
    }

    /// Claims without a wish; nothing if there is nothing.
    fn take(&self, store: &mut dyn Store, agent: &str) -> Option<Found> {
        taken(self.claim(store, &want(agent)).unwrap())
    }

    fn change(&self, store: &mut dyn Store, id: &ItemId, change: &Change) -> Result<Changed> {
        store.change(id, change, &self.op("nova"))
    }

    fn complete(&self, store: &mut dyn Store, id: &ItemId, agent: &str) -> Result<Changed> {
        let change = Change::Complete { holder: holder(agent), result: None, points: None };
        self.change(store, id, &change)
    }

    /// Everything that was recorded, and nothing is wrong with it.
    fn check(&self, store: &mut dyn Store) {
        let verified = store.verify(false, &self.op("auditor")).unwrap();
        assert!(verified.problems.is_empty(), "{:#?}", verified.problems);
    }
}

fn new(draft: Draft) -> NewItem {
    draft.try_into().unwrap()
}

fn titled(title: &str) -> Draft {
    Draft { title: title.to_owned(), ..Draft::default() }
}

fn want(agent: &str) -> Want {
    Want {
        agent: agent.parse().unwrap(),
        id: None,
        team: None,
        kind: None,
        labels: Vec::new(),
        capabilities: Vec::new(),
        lease: Duration::from_mins(30),
    }
}

fn holder(agent: &str) -> Holder {
    Holder { agent: agent.parse().unwrap(), token: None }
}

fn by_token(agent: &str, token: u64) -> Holder {
    Holder { agent: agent.parse().unwrap(), token: Some(token) }
}

fn fail(agent: &str, retry: bool) -> Change {
    Change::Fail { holder: holder(agent), result: Some("it broke".to_owned()), retry }
}

fn progress(agent: &str, percent: u64) -> Change {
    let percent = Some(percent);
    Change::Progress { holder: holder(agent), percent, note: None, lease: None }
}

fn release(agent: &str) -> Change {
    Change::Release { holder: holder(agent), note: None }
}

fn taken(claimed: Claimed) -> Option<Found> {
    match claimed {
        Claimed::Taken(changed) => Some(changed.found),
        Claimed::Nothing { .. } | Claimed::Full { .. } => None,
    }
}

fn agent(scene: &Scene, id: &str, capacity: u32, capabilities: &[&str]) -> Agent {
    Agent {
        id: id.parse().unwrap(),
        team: None,
        capacity,
        specialization: None,
        capabilities: capabilities.iter().map(|c| c.parse().unwrap()).collect(),
        registered_at: scene.clock.wall(),
        extra: serde_json::Map::new(),
    }
}

fn ids(found: &[Found]) -> Vec<&str> {
    found.iter().map(|f| f.item.id.as_str()).collect()
}

fn id(text: &str) -> ItemId {
    text.parse().unwrap()
}

fn agent_id(text: &str) -> AgentId {
    text.parse().unwrap()
}

/// Everything a reader can see, to compare before and after.
fn everything(store: &dyn Store) -> (u64, Vec<Found>, usize) {
    let all = super::Query { all: true, ..super::Query::default() };
    let mut events = 0;
    let mut count = |_: &super::Event| {
        events += 1;
        true
    };
    store.events(0, &mut count).unwrap();
    (store.summary().unwrap().n, store.find(&all).unwrap().items, events)
}

/// Runs `work`, which must fail, and makes sure that it left no trace.
#[track_caller]
fn refused<T: std::fmt::Debug>(
    store: &mut dyn Store,
    work: impl FnOnce(&mut dyn Store) -> Result<T>,
) -> Error {
    let before = everything(store);
    let error = work(store).unwrap_err();
    assert_eq!(everything(store), before, "a refused operation left a trace: {error}");
    error
}

/// Makes each test run against every implementation.
macro_rules! suites {
    ($($place:ident :: $name:ident,)*) => {
        mod on_memory {
            $(#[test]
            fn $name() {
                super::$place::$name(&super::Scene::memory());
            })*
        }
        mod on_files {
            $(#[test]
            fn $name() {
                super::$place::$name(&super::Scene::files());
            })*
        }
    };
}

suites! {
    queue::a_batch_is_added_whole_or_not_at_all,
    queue::numbers_grow_by_one_and_the_token_is_the_number_of_the_claim,
    queue::the_best_item_is_the_most_urgent_then_the_oldest,
    queue::filters_of_a_claim,
    queue::an_item_kept_for_an_agent_goes_to_nobody_else,
    queue::a_named_item_is_given_or_the_reason_why_not,
    queue::what_is_needed_must_be_done_first,
    queue::needs_may_name_keys_and_ids_of_the_same_batch,
    queue::a_circle_of_needs_is_refused,
    queue::what_is_needed_must_be_there,
    queue::a_key_adds_once,
    queue::an_import_leaves_what_is_there_alone,
    queue::what_is_started_has_its_holder_from_the_first_moment,
    queue::two_handles_see_one_state,
    repeating::an_add_is_done_once,
    repeating::a_claim_is_done_once,
    repeating::a_start_is_done_once,
    repeating::every_change_is_done_once,
    repeating::an_import_and_an_assignment_are_done_once,
    repeating::removing_an_agent_is_done_once,
    repeating::an_id_stands_for_one_kind_of_operation,
    repeating::an_id_stands_for_one_item_and_one_claimer,
    repeating::a_claim_that_only_took_leases_back_may_be_repeated,
    repeating::ids_are_remembered_for_seven_days,
    leases::a_lease_that_ran_out_is_taken_back_by_the_next_claim,
    leases::a_wall_clock_that_jumps_changes_nothing,
    leases::a_sign_of_life_from_an_earlier_boot_stretches_no_lease,
    leases::after_a_reboot_the_wall_clock_decides,
    leases::signs_of_life_renew_the_lease,
    leases::an_item_that_failed_too_often_is_dead_until_it_is_retried,
    leases::releasing_does_not_count_the_attempt,
    leases::a_stale_token_moves_nothing,
    leases::who_does_not_hold_it_moves_nothing,
    leases::completing_twice_is_told,
    leases::nothing_to_claim_says_when_there_may_be,
    agents::an_agent_takes_as_much_as_it_registered_for,
    agents::what_an_agent_can_do_counts_in_a_claim,
    agents::what_is_known_of_an_agent,
    agents::an_agent_that_is_removed_gives_everything_back,
    agents::assigning_is_all_or_none,
    reading::every_event_is_kept_in_order,
    reading::an_item_is_found_by_the_beginning_of_its_id,
    reading::lists_are_what_a_plain_filter_gives,
    reading::counts_are_what_a_recount_gives,
    locks::one_holder_at_a_time_and_tokens_grow,
    locks::a_lock_is_renewed_and_listed,
    locks::taking_a_lock_is_done_once,
}
