//! `coord bench claude`.

mod report;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::report::{
    ANSWERED, CACHED, ClaudeReport, Crowd, EMPTY, KINDS, OPEN, P_ANSWERED, P_CACHED, P_OPEN, Taken,
    calls, figures, targets,
};
use super::args::{Judging, scratch};
use super::latency::Latency;
use super::report::{Machine, cores};
use super::server::Server;
use super::stage::{Stage, answer, failed};
use super::stats::tenth;
use super::yardstick::Yardstick;
use crate::client::claude::{Ask, BackendChoice, Claude, Config, Heuristic, Request, Source};
use crate::commands::{Context, Verb, values};
use crate::domain::time::parse_duration;
use crate::error::{Error, Kind, Result};
use crate::output::Shape;
use crate::sys::measure::{Program, load, run};
use crate::sys::{Clock, Env, RandomIds};

/// Measure what our part of a call to Claude costs
///
/// The service is a small server of this program's own on loopback, so that no network and no key
/// is needed and nothing is paid. Compared in turns: a bare HTTP exchange, a call through the layer
/// (retries, breaker, budget, ledger), an answer from the cache, and advice by rules while the
/// breaker is open; each within this process and as a process of its own. Then many processes ask
/// at once, first each its own question, then all the same one, which has to be asked once.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coord bench claude                          Half a minute
  coord bench claude --rounds 1000 --json     More exactly, for a program
  coord bench claude --parallel 32 --service-time 500ms
  coord bench claude --save base.json         Keep the figures…
  coord bench claude --baseline base.json     …and exit 10 if they have become worse")]
pub(crate) struct Args {
    /// How often each kind of call is measured
    #[arg(long, value_name = "N", default_value_t = 200)]
    #[arg(value_parser = values::within::<u64, 10, 100_000>)]
    rounds: u64,

    /// How many processes ask at once where many do
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = values::within::<u32, 1, 500>)]
    parallel: u32,

    /// How long the service takes for an answer where many ask at once
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = parse_duration)]
    service_time: Duration,

    #[command(flatten)]
    judging: Judging,
}

/// Rounds before the first one that counts.
const WARM: u64 = 3;

/// Times in which all processes ask the same.
const TOGETHER: u64 = 5;

/// A key that nobody would take.
const KEY: &str = "sk-ant-bench";

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<ClaudeReport>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let load = load();
        let conditions = format!(
            "{} at once, {} ms of service, {} cores",
            self.parallel,
            self.service_time.as_millis(),
            cores(),
        );
        let before = self.judging.before::<ClaudeReport>(&conditions)?;
        let scratch = scratch(None, cx)?.swept().map_err(super::stage::failed)?;
        let exe = std::env::current_exe().map_err(failed)?;
        let bench = Bench::prepare(cx, &exe, scratch.path(), self.parallel, self.service_time)?;
        let (taken, requests_seen) = bench.rounds(cx, self.rounds)?;
        let crowd = bench.crowd(cx, self.rounds)?;
        let asked_for_one_question = bench.together(cx)?;
        // A bare exchange and two calls that go through.
        let requests_expected = (self.rounds + WARM) * 3;
        let figures = figures(&taken);
        let calls = calls(&taken);
        let targets =
            targets(&calls, asked_for_one_question, requests_seen.abs_diff(requests_expected));
        let report = ClaudeReport {
            machine: Machine::here(&Yardstick::find(&exe), scratch.path(), load)?,
            rounds: self.rounds,
            service_ms: u64::try_from(self.service_time.as_millis()).unwrap_or(u64::MAX),
            conditions,
            calls,
            crowd,
            asked_for_one_question,
            requests_expected,
            requests_seen,
            targets,
            compared: self.judging.compare(before.as_ref(), &figures),
            figures,
        };
        self.judging.show(cx, &report)?;
        self.judging.judge(&report.compared, &[], &report.targets)
    }
}

struct Bench {
    quick: Server,
    slow: Server,
    down: Server,
    layer: Claude,
    broken: Claude,
    program: Program,
    empty: Program,
    parallel: u32,
    service_time: Duration,
}

impl Bench {
    fn prepare(
        cx: &Context,
        exe: &Path,
        scratch: &Path,
        parallel: u32,
        service_time: Duration,
    ) -> Result<Self> {
        let server = |time, down| Server::start(time, down, Arc::clone(&cx.clock)).map_err(failed);
        let (quick, slow, down) = (
            server(Duration::ZERO, false)?,
            server(service_time, false)?,
            server(Duration::ZERO, true)?,
        );
        let layer = |name: &str, server: &Server| -> Result<Claude> {
            let mut config =
                Config::new(scratch.join(name).join("cache"), scratch.join(name).join("state"));
            config.backend = BackendChoice::Api;
            config.base_url = server.url();
            config.breaker_failures = 1;
            config.breaker_open = Duration::from_hours(24);
            let env: Env = [("ANTHROPIC_API_KEY", KEY)].into_iter().collect();
            Claude::new(config, env, Arc::clone(&cx.clock), Box::new(RandomIds)).map_err(failed)
        };
        let store = scratch.join("store");
        Stage::fill(store.clone(), 100, &cx.clock, cx.ids.as_ref(), |_| ())?;
        let program = Program::new(exe)
            .env("COORD_DIR", store)
            .env("COORD_AGENT", super::stage::AGENT)
            .env("HOME", scratch)
            // No program of Claude is to be found.
            .env("PATH", "/nonexistent")
            .env("ANTHROPIC_API_KEY", KEY)
            .env("COORD_CLAUDE_BACKEND", "api")
            .env("COORD_CLAUDE_BREAKER_FAILURES", "1")
            .env("COORD_CLAUDE_BREAKER_OPEN", "24h")
            .env("COORD_CLAUDE_MAX_IN_FLIGHT", parallel.to_string());
        let bench = Self {
            layer: layer("layer", &quick)?,
            broken: layer("broken", &down)?,
            quick,
            slow,
            down,
            program,
            empty: Yardstick::find(exe).empty(),
            parallel,
            service_time,
        };
        bench.prime(cx)?;
        Ok(bench)
    }

    /// A command against one of the servers, with cache and breaker of its own.
    fn coord(&self, server: &Server, words: &[&str]) -> Program {
        let name = server.url().rsplit(':').next().unwrap_or_default().to_owned();
        let home = self.program.env.iter().find(|(name, _)| name == "HOME");
        let home = home.map(|(_, home)| PathBuf::from(home)).unwrap_or_default();
        self.program
            .clone()
            .env("ANTHROPIC_BASE_URL", server.url())
            .env("COORD_CACHE_DIR", home.join(format!("cache-{name}")))
            .env("COORD_CLAUDE_DIR", home.join(format!("claude-{name}")))
            .args(words)
    }

    /// Fills the cache, and lets the breakers open: after this nobody asks the server that is down.
    fn prime(&self, cx: &Context) -> Result<()> {
        let clock = cx.clock.as_ref();
        self.cached()?;
        let cached = self.coord(&self.quick, &["claude", "ask", CACHED]);
        answer(&run(&cached, clock).map_err(failed)?, &cached)?;
        for _ in 0..20 {
            let before = self.down.asked();
            self.open()?;
            let open = self.coord(&self.down, &P_OPEN_WORDS);
            answer(&run(&open, clock).map_err(failed)?, &open)?;
            if self.down.asked() == before {
                return Ok(());
            }
        }
        Err(Error::new(Kind::External, "the breaker does not open")
            .hint("please report it: a service that is down is asked again and again"))
    }

    fn ask(layer: &Claude, ask: Ask<'_>, wanted: Source) -> Result<()> {
        let answer = layer.ask(ask).map_err(failed)?;
        if answer.source == wanted {
            return Ok(());
        }
        let have = answer.source.as_str();
        Err(Error::new(Kind::External, format!("the answer came from `{have}`"))
            .hint(format!("it should have come from `{}`; please report it", wanted.as_str())))
    }

    fn answered(&self, question: &str) -> Result<()> {
        let mut ask = Ask::new(Request::new(question), "bench claude");
        ask.switches.no_cache = true;
        Self::ask(&self.layer, ask, Source::Api)
    }

    fn cached(&self) -> Result<()> {
        let ask = Ask::new(Request::new(CACHED), "bench claude");
        if self.quick.asked() == 0 {
            return Self::ask(&self.layer, ask, Source::Api);
        }
        Self::ask(&self.layer, ask, Source::Cache)
    }

    fn open(&self) -> Result<()> {
        let rules = || Heuristic { text: "by rules".to_owned(), structured: None };
        let mut ask = Ask::new(Request::new(OPEN), "bench claude");
        ask.switches.no_cache = true;
        ask.heuristic = Some(&rules);
        Self::ask(&self.broken, ask, Source::Heuristic)
    }

    /// Measures every kind in every round, in an order that shifts; also tells how many questions
    /// came to the server.
    fn rounds(&self, cx: &Context, rounds: u64) -> Result<(Taken, u64)> {
        let clock = cx.clock.as_ref();
        let mut progress = cx.ui.progress(rounds, "measuring", clock.monotonic());
        let (asked, down) = (self.quick.asked(), self.down.asked());
        let mut taken = Taken::new();
        for round in 0..rounds + WARM {
            let shift = usize::try_from(round).unwrap_or(0) % KINDS.len();
            for kind in KINDS.into_iter().cycle().skip(shift).take(KINDS.len()) {
                let question = format!("{kind} {round}");
                let process = |program: &Program| -> Result<()> {
                    answer(&run(program, clock).map_err(failed)?, program).map(drop)
                };
                let words = ["claude", "ask", "--no-cache", &question];
                let program = match kind {
                    EMPTY => Some(self.empty.clone()),
                    P_ANSWERED => Some(self.coord(&self.quick, &words)),
                    P_CACHED => Some(self.coord(&self.quick, &["claude", "ask", CACHED])),
                    P_OPEN => Some(self.coord(&self.down, &P_OPEN_WORDS)),
                    _ => None,
                };
                let start = clock.monotonic();
                match (kind, &program) {
                    (_, Some(program)) => process(program)?,
                    (ANSWERED, _) => self.answered(&question)?,
                    (CACHED, _) => self.cached()?,
                    (OPEN, _) => self.open()?,
                    _ => self.quick.exchange(&question).map_err(failed)?,
                }
                let time = clock.monotonic().saturating_sub(start);
                if round >= WARM {
                    taken.entry(kind).or_default().push(time);
                }
            }
            progress.set(round.saturating_sub(WARM), rounds, clock.monotonic());
        }
        progress.finish();
        Ok((taken, self.quick.asked() - asked + (self.down.asked() - down)))
    }

    /// Lets so many processes at a time ask, until `calls` are answered; each its own question
    /// unless there is one for all.
    fn many(
        &self,
        clock: &dyn Clock,
        calls: u64,
        one: Option<&str>,
    ) -> Result<(Latency, Duration)> {
        let next = AtomicU64::new(0);
        let all: Mutex<Latency> = Mutex::default();
        let start = clock.monotonic();
        let work = || -> Result<()> {
            let mut own = Latency::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= calls {
                    break;
                }
                let question = one.map_or_else(|| format!("crowd {number}"), str::to_owned);
                let program = self.coord(&self.slow, &["claude", "ask", &question]);
                let ran = run(&program, clock).map_err(failed)?;
                answer(&ran, &program)?;
                own.record(ran.time);
            }
            all.lock().unwrap_or_else(PoisonError::into_inner).merge(&own);
            Ok(())
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..self.parallel).map(|_| scope.spawn(work)).collect();
            all.into_iter().try_for_each(|one| {
                one.join().unwrap_or_else(|_| Err(failed(io::Error::other("a thread died"))))
            })
        })?;
        let time = clock.monotonic().saturating_sub(start);
        Ok((all.into_inner().unwrap_or_else(PoisonError::into_inner), time))
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    fn crowd(&self, cx: &Context, rounds: u64) -> Result<Crowd> {
        let calls = rounds.max(self.parallel.into());
        let (latency, time) = self.many(cx.clock.as_ref(), calls, None)?;
        let service = self.service_time.as_secs_f64();
        Ok(Crowd {
            processes: self.parallel,
            calls,
            calls_per_s: tenth(calls as f64 / time.as_secs_f64().max(1e-9)),
            most_per_s: (service > 0.0).then(|| tenth(f64::from(self.parallel) / service)),
            times: latency.percentiles(),
        })
    }

    /// How often the service is asked at worst when all have the same question.
    fn together(&self, cx: &Context) -> Result<u64> {
        let mut worst = 0;
        for time in 0..TOGETHER {
            let before = self.slow.asked();
            let question = format!("the same for all, {time}");
            self.many(cx.clock.as_ref(), self.parallel.into(), Some(&question))?;
            worst = worst.max(self.slow.asked() - before);
        }
        Ok(worst)
    }
}

/// What is asked of the service that is down: advice that rules can give as well.
const P_OPEN_WORDS: [&str; 3] = ["claude", "priorities", "--no-cache"];
