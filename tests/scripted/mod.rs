//! A server that plays the API by a script, on real sockets: the right answers, every error of the
//! service, and every way in which a network spoils an answer. It keeps a log of what it was asked.
//!
//! A script is JSON: `{"steps": ["529", "ok"], "then": "ok", "seed": 7, "faulty": 0.15,
//! "faults": ["reset", "529"]}`. The steps are played in turn, one a request; after them comes
//! `then`, or, for the share `faulty` of the requests, one of `faults` by the dice of the seed.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test binary that includes this uses another part of it"
)]

pub(crate) mod act;
mod check;
mod http;
pub(crate) mod program;
pub(crate) mod tls;

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;

pub(crate) use act::{Act, Way};
use http::Line;

/// One request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `POST`.
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, if it is JSON.
    pub(crate) body: Value,
    /// When it had been read.
    pub(crate) at: Instant,
    /// What was done with it; absent if it was no request for a message.
    pub(crate) act: Option<Act>,
}

impl Seen {
    /// A header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What the server does in which order.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    steps: VecDeque<Act>,
    then: Act,
    faulty: f64,
    faults: Vec<Act>,
    dice: u64,
    models: Option<Vec<String>>,
}

impl Script {
    /// These in turn, and answers ever after.
    pub(crate) fn new(steps: impl IntoIterator<Item = Act>) -> Self {
        let steps = steps.into_iter().flat_map(|act| {
            let times = act.times;
            std::iter::repeat_n(act, times)
        });
        Self {
            steps: steps.collect(),
            then: Act::ok(),
            faulty: 0.0,
            faults: Vec::new(),
            dice: 1,
            models: None,
        }
    }

    /// The same for every request.
    pub(crate) fn always(act: Act) -> Self {
        Self { then: act, ..Self::new([]) }
    }

    /// A share of the requests meets one of these, by the dice of the seed.
    pub(crate) fn mixed(seed: u64, share: f64, faults: Vec<Act>) -> Self {
        Self { faulty: share, faults, dice: seed.max(1), ..Self::new([]) }
    }

    /// Only these models exist; all others are 404.
    pub(crate) fn models(mut self, models: &[&str]) -> Self {
        self.models = Some(models.iter().map(|&model| model.to_owned()).collect());
        self
    }

    /// Reads a script.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let acts = |name: &str| -> Result<Vec<Act>, String> {
            value[name].as_array().into_iter().flatten().map(Act::read).collect()
        };
        let mut script = Self::new(acts("steps")?);
        if !value["then"].is_null() {
            script.then = Act::read(&value["then"])?;
        }
        script.faults = acts("faults")?;
        script.faulty = value["faulty"].as_f64().unwrap_or(0.0);
        script.dice = value["seed"].as_u64().unwrap_or(1).max(1);
        Ok(script)
    }

    /// What is next.
    fn next(&mut self) -> Act {
        if let Some(act) = self.steps.pop_front() {
            return act;
        }
        let share = f64::from(self.roll() >> 8) / f64::from(1u32 << 24);
        if share < self.faulty && !self.faults.is_empty() {
            let at = self.roll() as usize % self.faults.len();
            return self.faults[at].clone();
        }
        self.then.clone()
    }

    /// The next throw of the dice (`xorshift64*`, whose upper half is the good one).
    fn roll(&mut self) -> u32 {
        self.dice ^= self.dice >> 12;
        self.dice ^= self.dice << 25;
        self.dice ^= self.dice >> 27;
        (self.dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }
}

struct Shared {
    script: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    asked: AtomicUsize,
    ended: AtomicBool,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// The running server; it ends when this is dropped.
pub(crate) struct Server {
    shared: Arc<Shared>,
    addr: SocketAddr,
}

impl Server {
    /// Over plain HTTP on loopback.
    pub(crate) fn start(script: Script) -> Self {
        Self::open(script, None)
    }

    /// Over TLS, with the certificate of `identity`.
    pub(crate) fn start_tls(script: Script, identity: &tls::Identity) -> Self {
        Self::open(script, Some(identity.config()))
    }

    fn open(script: Script, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            tls,
        });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if own.ended.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                own.connections.fetch_add(1, Ordering::SeqCst);
                let own = Arc::clone(&own);
                std::thread::spawn(move || serve(&own, stream));
            }
        });
        Self { shared, addr }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// Goes on with another script.
    pub(crate) fn play(&self, script: Script) {
        *self.shared.script.lock().unwrap() = script;
    }

    /// What it was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many requests for a message there were.
    pub(crate) fn count(&self) -> usize {
        self.seen().iter().filter(|seen| seen.act.is_some()).count()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // The thread waits for somebody to come.
        let _ = TcpStream::connect(self.addr);
    }
}

/// A port on which nobody listens.
pub(crate) fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Serves one connection until it ends. What fails here, the client has done.
fn serve(shared: &Shared, tcp: TcpStream) {
    let Some(mut line) = Line::open(tcp, shared.tls.clone()) else { return };
    while let Some(request) = line.request() {
        let mut seen = Seen {
            method: request.method,
            path: request.path,
            headers: request.headers,
            body: serde_json::from_slice(&request.body).unwrap_or(Value::Null),
            at: Instant::now(),
            act: None,
        };
        let number = shared.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let models = shared.script.lock().unwrap().models.clone();
        let refused = check::refuse(&seen, request.body.len(), models.as_deref());
        let is_message = seen.path.ends_with("/v1/messages") && seen.method == "POST";
        if is_message && refused.is_none() {
            seen.act = Some(shared.script.lock().unwrap().next());
        } else if is_message {
            seen.act.clone_from(&refused);
        }
        let (act, body) = (seen.act.clone(), seen.body.clone());
        let (method, path) = (seen.method.clone(), seen.path.clone());
        shared.seen.lock().unwrap().push(seen);
        let goes_on = match act.or(refused) {
            Some(act) => line.answer(&act, &body, number),
            None => line.other(&method, &path, &body, number),
        };
        if !goes_on {
            return;
        }
    }
}
