//! The bounds of a call, proven exactly: time is virtual, so nothing but the ladder's own plan decides
//! how long a recovery takes. What a busy machine adds to it is seen in the campaign of `tests/claude`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::super::{
    Ask, Backend, BackendChoice, BackendName, Call, Cause, Claude, Config, Fault, Heuristic, Reply,
    Request, Source, StopReason, Usage,
};
use crate::sys::{Boot, Clock, Ids};

const SEED: u64 = 20_261_126;
const CALLS: u64 = 600;

/// A clock that only waiting and answering move.
#[derive(Default)]
struct Virtual(AtomicU64);

impl Virtual {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl Clock for Virtual {
    fn wall(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000, 0).unwrap() + self.now()
    }

    fn boot(&self) -> Boot {
        Boot { id: 1, ms: super::millis(self.now()) }
    }

    fn monotonic(&self) -> Duration {
        self.now()
    }

    fn sleep(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap().max(1);
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// The same dice in every run.
struct Dice(Mutex<u64>);

impl Dice {
    const fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// A number below `n`.
    fn below(&self, n: u64) -> u64 {
        self.bits() % n
    }

    fn time(&self, most: Duration) -> Duration {
        super::scale(most, self.bits())
    }
}

impl Ids for Dice {
    fn bits(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What an attempt was told to be, and what it was asked.
#[derive(Clone, Debug)]
struct Seen {
    at: Duration,
    timeout: Duration,
    floor: Option<Duration>,
    model: String,
}

/// A service that fails as the dice say, and takes its time over it.
struct Shaky {
    name: BackendName,
    clock: Arc<Virtual>,
    dice: Arc<Dice>,
    /// How many of a hundred attempts fail.
    bad: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Backend for Shaky {
    fn name(&self) -> BackendName {
        self.name
    }

    fn host(&self) -> &'static str {
        "nowhere"
    }

    fn attempt(&self, call: &mut Call<'_>) -> Result<Reply, Box<Fault>> {
        let (dice, at) = (&self.dice, self.clock.now());
        let timeout = call.timeout.expect("a call that is no stream is bounded");
        let mut fault = match dice.below(8) {
            0 => Fault::new(Cause::Timeout, "hangs"),
            1 => Fault::new(Cause::Connect, "refused"),
            2 => Fault::new(Cause::Malformed, "prose"),
            3 => Fault { status: Some(529), ..Fault::new(Cause::Status, "overloaded") },
            4 => Fault { status: Some(429), ..Fault::new(Cause::Status, "slower") },
            5 => Fault { status: Some(401), ..Fault::new(Cause::Status, "who?") },
            _ => Fault { status: Some(500), ..Fault::new(Cause::Status, "broken") },
        };
        if fault.status == Some(429) {
            let waits = [Duration::ZERO, Duration::from_millis(700), Duration::from_hours(1)];
            let wait = waits[usize::try_from(dice.below(3)).unwrap()];
            fault.retry_after = Some(wait).filter(|wait| !wait.is_zero());
        }
        let fails = dice.below(100) < self.bad.load(Ordering::Relaxed);
        let floor = fault.retry_after.filter(|_| fails);
        self.seen.lock().unwrap().push(Seen { at, timeout, floor, model: call.model.to_owned() });
        // A fault may come at once or at the very end; an answer takes a while.
        let takes =
            if fails && fault.cause == Cause::Timeout { timeout } else { dice.time(timeout) };
        self.clock.sleep(takes);
        if fails {
            return Err(Box::new(fault));
        }
        Ok(Reply {
            text: "answer".to_owned(),
            structured: None,
            stop_reason: Some(StopReason::EndTurn),
            model: call.model.to_owned(),
            usage: Usage::default(),
            cost: None,
            request_id: None,
            status: Some(200),
            pause: None,
        })
    }
}

struct Scene {
    _dir: tempfile::TempDir,
    clock: Arc<Virtual>,
    dice: Arc<Dice>,
    bad: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<Seen>>>,
    claude: Claude,
}

impl Scene {
    fn new(with_program: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("cache"), dir.path().join("state"));
        config.backend = BackendChoice::Auto;
        let clock = Arc::new(Virtual::default());
        clock.sleep(Duration::from_secs(1_000));
        let dice = Arc::new(Dice::new(SEED));
        let (bad, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
        let shaky = |name| Shaky {
            name,
            clock: Arc::clone(&clock),
            dice: Arc::clone(&dice),
            bad: Arc::clone(&bad),
            seen: Arc::clone(&seen),
        };
        let mut backends: Vec<(Box<dyn Backend>, bool)> =
            vec![(Box::new(shaky(BackendName::Api)), true)];
        if with_program {
            backends.push((Box::new(shaky(BackendName::Cli)), true));
        }
        let ids = Box::new(Dice::new(SEED + 1));
        let time: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let claude = Claude::with(config, backends, None, time, ids).unwrap();
        Self { _dir: dir, clock, dice, bad, seen, claude }
    }
}

#[test]
fn every_recovery_ends_within_its_time_whatever_fails() {
    println!("seed {SEED}");
    for with_program in [false, true] {
        let scene = Scene::new(with_program);
        let config = scene.claude.config().clone();
        let (mut slowest, mut recovered, mut by_rule, mut most) = (Duration::ZERO, 0, 0, 0);
        for n in 0..CALLS {
            // Quiet times, a bad day, a service that is down; pauses in which a breaker may close.
            scene.bad.store(
                [15, 50, 100][usize::try_from(scene.dice.below(3)).unwrap()],
                Ordering::Relaxed,
            );
            scene.clock.sleep(scene.dice.time(Duration::from_secs(20)));
            let deadline = [None, Some(scene.dice.time(Duration::from_secs(8)))]
                [usize::try_from(scene.dice.below(2)).unwrap()];
            let rule = || Heuristic { text: "by rule".to_owned(), structured: None };
            let mut ask = Ask::new(Request::new(format!("question {n}")), "campaign");
            ask.heuristic = Some(&rule);
            ask.switches.no_cache = true;
            ask.switches.deadline = deadline;
            scene.seen.lock().unwrap().clear();
            let begun = scene.clock.now();
            let answer = scene.claude.ask(ask).unwrap();
            let took = scene.clock.now().saturating_sub(begun);
            let whole = deadline.unwrap_or(config.deadline);
            assert!(took <= whole, "call {n} took {took:?} of {whole:?}: {answer:?}");
            most = most.max(answer.attempts.len());
            let seen = scene.seen.lock().unwrap();
            assert_eq!(seen.len(), answer.attempts.len());
            for (attempt, made) in answer.attempts.iter().zip(&*seen) {
                assert!(made.timeout <= config.attempt_timeout, "{attempt:?}");
            }
            for (two, made) in answer.attempts.windows(2).zip(seen.windows(2)) {
                // What the service asked for is waited, if that model is asked again at all.
                let same = two[0].backend == two[1].backend && made[0].model == made[1].model;
                let waited = made[1].at.saturating_sub(made[0].at);
                assert!(!same || made[0].floor.is_none_or(|floor| waited >= floor), "{made:?}");
            }
            match answer.source {
                Source::Api | Source::Cli => assert!(!answer.degraded && answer.text == "answer"),
                Source::Heuristic => {
                    by_rule += 1;
                    assert!(answer.degraded && answer.text == "by rule");
                }
                other => panic!("{other:?} for a question that was never asked before"),
            }
            let line = scene.claude.ledger().lines().pop().unwrap();
            if let Some(ms) = line.recovery_ms {
                recovered += 1;
                slowest = slowest.max(Duration::from_millis(ms));
                assert!(ms <= 5_000, "call {n} recovered in {ms} ms: {answer:?}");
            }
            if n % 50 == 0 {
                scene.claude.ledger().forget();
            }
        }
        println!(
            "program: {with_program}, {recovered} of {CALLS} calls met a fault, the slowest recovery \
             took {slowest:?}, {by_rule} answered by rule, {most} attempts at most"
        );
        assert!(recovered > CALLS / 4 && by_rule > CALLS / 20 && most == 5);
        // The time is used, not merely kept.
        assert!(slowest > Duration::from_secs(3), "{slowest:?}");
    }
}
