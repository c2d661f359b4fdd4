//! The layer itself, called as a library, against the scripted server: what each fault leads to, who
//! waits for whom, what is spent. What the commands make of it is tested next door.

use std::sync::Arc;
use std::time::Duration;

use coord::client::claude::{
    Answer, Ask, BackendChoice, Claude, Config, Failure, FailureKind, Heuristic, Request, Source,
    Usd,
};
use coord::sys::{Env, RandomIds, SystemClock};

use crate::scripted::{Act, Script, Server, Way};

/// A layer with a home of its own.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    pub(crate) config: Config,
}

impl Home {
    pub(crate) fn new(server: &Server) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("cache"), dir.path().join("state"));
        config.backend = BackendChoice::Api;
        config.base_url = server.url();
        config.attempt_timeout = Duration::from_secs(1);
        config.idle_timeout = Duration::from_secs(1);
        Self { dir, config }
    }

    pub(crate) fn claude(&self) -> Claude {
        let env: Env = [("ANTHROPIC_API_KEY", "sk-test-key")].into_iter().collect();
        let clock = Arc::new(SystemClock);
        Claude::new(self.config.clone(), env, clock, Box::new(RandomIds)).unwrap()
    }

    fn ask(&self, prompt: &str) -> Result<Answer, Failure> {
        self.claude().ask(Ask::new(Request::new(prompt), "test"))
    }
}

fn words(answer: &Result<Answer, Failure>) -> Vec<String> {
    let attempts = match answer {
        Ok(answer) => &answer.attempts,
        Err(failure) => &failure.attempts,
    };
    attempts.iter().map(|attempt| attempt.outcome.clone()).collect()
}

#[test]
fn what_is_transient_is_tried_again_and_answers() {
    for (act, word) in [
        (Act::status(408), "invalid_request_error"),
        (Act::status(409), "conflict_error"),
        (Act::status(429), "rate_limit_error"),
        (Act::status(500), "api_error"),
        (Act::way(Way::Html), "status"),
        (Act::status(504), "timeout_error"),
        (Act::status(529), "overloaded_error"),
        (Act::status(400).header("x-should-retry", "true"), "invalid_request_error"),
        (Act::status(429).header("retry-after", "0"), "rate_limit_error"),
        (Act::status(429).header("retry-after", "soon"), "rate_limit_error"),
        (Act::status(429).header("retry-after-ms", "50"), "rate_limit_error"),
        (Act::way(Way::Reset), "connect"),
        (Act::way(Way::Close), "connect"),
        (Act::way(Way::ResetBody), "broken"),
        (Act::way(Way::CutBody), "broken"),
        (Act::way(Way::BadChunk), "broken"),
        (Act::way(Way::Stall), "timeout"),
        (Act::way(Way::Silent), "timeout"),
        (Act::way(Way::WrongShape), "malformed"),
        (Act::way(Way::NotJson), "malformed"),
        (Act::way(Way::Empty), "empty"),
        (Act::way(Way::Thinking), "empty"),
        (Act::way(Way::NotHttp), "connect"),
    ] {
        let server = Server::start(Script::new([act.clone()]));
        let answer = Home::new(&server).ask("q");
        assert_eq!(words(&answer), [word, "ok"], "{act:?}");
        let answer = answer.unwrap();
        assert_eq!((answer.source, answer.degraded), (Source::Api, false));
        assert_eq!(answer.text, "answer to: q");
    }
}

#[test]
fn what_is_permanent_is_not_tried_again() {
    for (act, kind, word) in [
        (Act::status(400), FailureKind::Rejected, "invalid_request_error"),
        (Act::status(401), FailureKind::Unavailable, "authentication_error"),
        (Act::status(402), FailureKind::Unavailable, "billing_error"),
        (Act::status(403), FailureKind::Unavailable, "permission_error"),
        (Act::status(413), FailureKind::Rejected, "request_too_large"),
        (
            Act::status(429).code("enforced_spend_limit_reached"),
            FailureKind::Unavailable,
            "enforced_spend_limit_reached",
        ),
        (
            Act::status(429).code("contract_spend_limit_reached"),
            FailureKind::Unavailable,
            "contract_spend_limit_reached",
        ),
        (Act::status(500).header("x-should-retry", "false"), FailureKind::Unavailable, "api_error"),
        (Act::way(Way::Huge), FailureKind::Rejected, "too-large"),
    ] {
        let server = Server::start(Script::always(act.clone()));
        let mut home = Home::new(&server);
        // A busy machine needs a while for 9 MiB.
        home.config.attempt_timeout = Duration::from_secs(30);
        let answer = home.ask("q");
        assert_eq!(words(&answer), [word], "{act:?}");
        assert_eq!(server.count(), 1, "{act:?}");
        assert_eq!(answer.unwrap_err().kind, kind, "{act:?}");
    }
}

#[test]
fn the_next_model_answers_for_one_that_is_not_there_or_has_no_room() {
    let server = Server::start(Script::new([]).models(&["claude-sonnet-5-5"]));
    let answer = Home::new(&server).ask("q").unwrap();
    assert_eq!(answer.model.as_deref(), Some("claude-sonnet-5-5"));
    assert_eq!(answer.attempts.len(), 2);
    let server = Server::start(Script::new([Act::status(529).times(2)]));
    let answer = Home::new(&server).ask("q").unwrap();
    assert_eq!(answer.model.as_deref(), Some("claude-sonnet-5-5"));
    assert_eq!(server.count(), 3);
}

#[test]
fn a_long_retry_after_is_not_waited_and_nobody_else_calls() {
    let server = Server::start(Script::always(Act::status(429).header("retry-after", "3600")));
    let home = Home::new(&server);
    let answer = home.ask("q");
    // Once for each model: the one wait that would be needed is longer than all there is.
    assert_eq!(server.count(), 2);
    assert_eq!(answer.unwrap_err().kind, FailureKind::Unavailable);
    assert!(home.ask("another").is_err());
    assert_eq!(server.count(), 2, "the others know it too");
}

#[test]
fn results_that_are_no_answers_are_told_apart_and_never_kept() {
    for (stop, kind) in [
        ("refusal", FailureKind::Refused),
        ("max_tokens", FailureKind::CutShort),
        ("never_heard_of", FailureKind::CutShort),
    ] {
        let act = Act { stop: Some(stop.to_owned()), ..Act::ok() };
        let server = Server::start(Script::always(act));
        let home = Home::new(&server);
        for calls in [1, 2] {
            assert_eq!(home.ask("q").unwrap_err().kind, kind);
            assert_eq!(server.count(), calls, "{stop}");
        }
    }
}

#[test]
fn an_answer_is_cached_goes_stale_and_stands_in_with_its_age() {
    let server = Server::start(Script::new([]));
    let mut home = Home::new(&server);
    assert_eq!(home.ask("q").unwrap().source, Source::Api);
    let again = home.ask("q").unwrap();
    assert_eq!(
        (again.source, again.age_s.is_some(), again.attempts.len()),
        (Source::Cache, true, 0)
    );
    assert_eq!(server.count(), 1);
    home.config.cache_ttl = Duration::ZERO;
    server.play(Script::always(Act::status(401)));
    let stale = home.ask("q").unwrap();
    assert_eq!(
        (stale.source, stale.degraded, stale.text.as_str()),
        (Source::Stale, true, "answer to: q")
    );
    let mut ask = Ask::new(Request::new("q"), "test");
    ask.switches.require_fresh = true;
    assert_eq!(home.claude().ask(ask).unwrap_err().kind, FailureKind::NotFresh);
    // An entry that was damaged is a miss, and what is left is the caller's own rule.
    for shelf in std::fs::read_dir(home.dir.path().join("cache")).unwrap().map(Result::unwrap) {
        for entry in std::fs::read_dir(shelf.path()).into_iter().flatten().map(Result::unwrap) {
            if entry.file_name().len() == 64 && shelf.file_name().len() == 2 {
                let mut bytes = std::fs::read(entry.path()).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                std::fs::write(entry.path(), bytes).unwrap();
            }
        }
    }
    let rule = || Heuristic { text: "by rule".to_owned(), structured: None };
    let mut ask = Ask::new(Request::new("q"), "test");
    ask.heuristic = Some(&rule);
    let answer = home.claude().ask(ask).unwrap();
    assert_eq!(
        (answer.source, answer.degraded, answer.text.as_str()),
        (Source::Heuristic, true, "by rule")
    );
    assert_eq!(home.claude().cache().verify(false).len(), 1);
}

#[test]
fn offline_asks_nobody() {
    let server = Server::start(Script::new([]));
    let home = Home::new(&server);
    let offline = |prompt: &str| {
        let mut ask = Ask::new(Request::new(prompt), "test");
        ask.switches.offline = true;
        home.claude().ask(ask)
    };
    assert_eq!(offline("q").unwrap_err().kind, FailureKind::Offline);
    assert_eq!(server.connections(), 0);
    home.ask("q").unwrap();
    let connections = server.connections();
    assert_eq!(offline("q").unwrap().text, "answer to: q");
    assert_eq!(server.connections(), connections);
}

#[test]
fn many_who_ask_the_same_make_one_request_and_share_its_failure() {
    for (act, works) in [
        (Act { delay_ms: 300, ..Act::ok() }, true),
        (Act { delay_ms: 300, ..Act::status(401) }, false),
    ] {
        let server = Server::start(Script::always(act));
        let home = Home::new(&server);
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..32).map(|_| scope.spawn(|| home.ask("q"))).collect();
            for asked in asked {
                assert_eq!(asked.join().unwrap().is_ok(), works);
            }
        });
        assert_eq!(server.count(), 1, "works: {works}");
    }
}

#[test]
fn a_stream_must_end_and_is_not_tried_again_once_it_was_seen() {
    let stream = |act: Act| {
        let server = Server::start(Script::new([act]));
        let mut text = String::new();
        let mut sink = |piece: &str| {
            text.push_str(piece);
            Ok(())
        };
        let mut ask = Ask::new(Request::new("q"), "test");
        ask.sink = Some(&mut sink);
        let answer = Home::new(&server).claude().ask(ask);
        (answer, text, server.count())
    };
    let (answer, text, _) = stream(Act::ok());
    assert_eq!((answer.unwrap().text.as_str(), text.as_str()), ("answer to: q", "answer to: q"));
    for way in [Way::Truncated, Way::StreamError, Way::CutBody, Way::ResetBody] {
        let (answer, _, count) = stream(Act::way(way));
        assert_eq!((answer.unwrap_err().kind, count), (FailureKind::Broken, 1), "{way:?}");
    }
    let (answer, text, count) = stream(Act::status(529));
    assert_eq!((answer.unwrap().text, count), (text, 2));
}

#[test]
fn an_answer_that_does_not_fit_is_asked_for_again_twice() {
    let schema = serde_json::json!({"type": "object", "properties": {"n": {"type": "integer"}},
        "required": ["n"], "additionalProperties": false});
    let ask = |steps: Vec<Act>| {
        let server = Server::start(Script::new(steps));
        let home = Home::new(&server);
        let request = Request { schema: Some(schema.clone()), ..Request::new("q") };
        (home.claude().ask(Ask::new(request, "test")), server)
    };
    let (answer, server) =
        ask(vec![Act::text("prose"), Act::text("{\"n\":\"one\"}"), Act::text("{\"n\":1}")]);
    assert_eq!(answer.unwrap().structured, Some(serde_json::json!({"n": 1})));
    let last = server.seen().last().unwrap().body["messages"].to_string();
    assert!(last.contains("validator says") && last.contains("`/n`"), "{last}");
    let (answer, server) = ask(vec![Act::text("prose").times(5)]);
    assert_eq!((answer.unwrap_err().kind, server.count()), (FailureKind::Unfit, 3));
}

#[test]
fn a_dead_service_is_left_alone_and_money_has_an_end() {
    let server = Server::start(Script::always(Act::status(500)));
    let home = Home::new(&server);
    for n in 0..4 {
        assert!(home.ask(&format!("q{n}")).is_err());
    }
    let count = server.count();
    assert!(home.ask("one more").is_err());
    assert_eq!(server.count(), count, "both breakers are open");
    assert!(home.claude().state().lines.iter().all(|line| line.breaker == "open"));
    // A damaged state counts as closed, and that is told.
    std::fs::write(home.dir.path().join("state/state.json"), "{\"version\":").unwrap();
    let claude = home.claude();
    assert!(claude.ask(Ask::new(Request::new("again"), "test")).is_err());
    assert!(server.count() > count);
    assert!(claude.take_warnings().iter().any(|warning| warning.contains("damaged")));

    let server = Server::start(Script::new([]));
    let mut home = Home::new(&server);
    home.config.daily_budget = Some(Usd(3_000_000));
    assert!(home.ask("q").is_ok());
    home.config.daily_budget = Some(Usd(1_000));
    assert_eq!(home.ask("r").unwrap_err().kind, FailureKind::Budget);
    home.config.daily_budget = None;
    home.config.max_cost = Some(Usd(1_000));
    assert_eq!(home.ask("r").unwrap_err().kind, FailureKind::Budget);
    assert_eq!(server.count(), 1);
}

#[test]
fn where_nobody_is_there_is_no_answer_and_no_key_goes_astray() {
    let server = Server::start(Script::new([]));
    let mut home = Home::new(&server);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    home.config.base_url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    assert_eq!(words(&home.ask("q")), ["connect"; 5]);
    home.config.base_url = "https://no-such-host.invalid".to_owned();
    // Where the resolver itself does not answer, the time for the attempt runs out first.
    assert!(words(&home.ask("q")).iter().all(|word| word == "dns" || word == "timeout"));
    home.config.base_url = "http://192.0.2.1".to_owned();
    assert_eq!(words(&home.ask("q")), ["insecure"]);
    // A redirect to somebody else is not followed, whatever he would answer.
    let elsewhere = Server::start(Script::new([]));
    let leads = Act::way(Way::Redirect).header("location", &elsewhere.url());
    server.play(Script::always(leads));
    home.config.base_url = server.url();
    let answer = home.ask("q");
    assert_eq!(words(&answer), ["redirect"], "{answer:?}");
    assert_eq!((server.count(), elsewhere.connections()), (1, 0));
}

#[test]
fn a_limit_that_is_used_up_is_known_to_all() {
    let used_up = Act::ok()
        .header("anthropic-ratelimit-requests-remaining", "0")
        .header("anthropic-ratelimit-requests-reset", "2099-01-01T00:00:00Z");
    let server = Server::start(Script::always(used_up));
    let home = Home::new(&server);
    // Each model has a limit of its own.
    let models: Vec<_> =
        (0..2).map(|n| home.ask(&format!("{n}")).unwrap().model.unwrap()).collect();
    assert_eq!(models, ["claude-haiku-5-5", "claude-sonnet-5-5"]);
    assert_eq!(home.ask("2").unwrap_err().kind, FailureKind::Unavailable);
    assert_eq!(server.count(), 2);
}

#[test]
fn a_model_is_not_given_up_for_one_that_is_not_asked_now() {
    let down = || Act::status(500);
    let server = Server::start(Script::new(std::iter::repeat_with(down).take(5)));
    let mut home = Home::new(&server);
    home.config.recovery = Duration::from_mins(1);
    let models = home.config.models.clone();
    home.config.models = models[1..].to_vec();
    assert_eq!(words(&home.ask("opens its breaker")), ["api_error"; 5]);
    home.config.models = models;
    server.play(Script::new(std::iter::repeat_with(down).take(4)));
    let answer = home.ask("q");
    assert_eq!(words(&answer), ["api_error", "api_error", "api_error", "api_error", "ok"]);
    assert_eq!(answer.unwrap().model.unwrap(), "claude-haiku-5-5");
}
