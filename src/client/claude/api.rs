//! The backend `api`: one HTTPS request, read to its end.
//!
//! Nothing of it is made before a request is really sent: the runtime, the certificates, the key.

use std::error::Error as _;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    USER_AGENT,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::secret::{self, HIDDEN, Key};
use super::stream::{Events, Message, Step};
use super::{
    Backend, BackendName, Call, Cause, Config, Failure, FailureKind, Fault, KeySource, Reply,
    Request, StopReason, Usage,
};
use crate::client::backoff::retry_after;
use crate::client::http::{chain, is_loopback};
use crate::domain::time::parse_rfc3339;
use crate::sys::{Clock, Env};

/// The API version that is spoken.
pub(super) const VERSION: &str = "2026-10-21";
/// The header for tokens of a login.
const LOGIN_BETA: &str = "oauth-2025-04-20";
/// No answer is larger.
const MOST: usize = 8 << 20;
/// How often an attempt looks whether the end was asked for.
const LOOK: Duration = Duration::from_millis(50);
/// How many redirects within the host are followed.
const REDIRECTS: usize = 3;

/// The backend.
pub(super) struct Api {
    url: Url,
    host: String,
    connect_timeout: Duration,
    ca_file: Option<std::path::PathBuf>,
    key_source: KeySource,
    env: Env,
    clock: Arc<dyn Clock>,
    key: Mutex<Option<Key>>,
    transport: OnceLock<Transport>,
}

/// What sends requests.
struct Transport {
    client: Client,
    runtime: Option<Runtime>,
}

impl Drop for Transport {
    fn drop(&mut self) {
        // A look-up of a name that hangs must not hold us.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Api {
    pub(super) fn new(config: &Config, env: Env, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            // The address itself may hold a password.
            Failure::new(FailureKind::NoBackend, format!("the address of the API is wrong: {why}"))
                .hint("it looks like `https://api.anthropic.com`: without `/v1`, user and query")
        };
        let mut url = Url::parse(&config.base_url).map_err(|e| wrong(&e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("it is neither `http` nor `https`"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(wrong("it holds a user or a query"));
        }
        let path = format!("{}/v1/messages", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url.set_fragment(None);
        let name = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        Ok(Self {
            url,
            host,
            connect_timeout: config.connect_timeout,
            ca_file: config.ca_file.clone(),
            key_source: config.key.clone(),
            env,
            clock,
            key: Mutex::new(None),
            transport: OnceLock::new(),
        })
    }

    /// Whether a key may go there: encrypted, or to this machine.
    pub(super) fn is_private(&self) -> bool {
        self.url.scheme() == "https" || is_loopback(&self.url)
    }

    fn key(&self) -> Result<Key, Box<Fault>> {
        let mut kept = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*kept {
            return Ok(key.clone());
        }
        let found = secret::find(&self.env, &self.key_source, &*self.clock);
        let key = found
            .map_err(|e| Fault::new(Cause::NotLoggedIn, e.message))?
            .ok_or_else(|| Fault::new(Cause::NotLoggedIn, "there is no key"))?;
        *kept = Some(key.clone());
        Ok(key)
    }

    fn transport(&self) -> Result<&Transport, Box<Fault>> {
        if let Some(made) = self.transport.get() {
            return Ok(made);
        }
        let made = self.build()?;
        Ok(self.transport.get_or_init(|| made))
    }

    fn build(&self) -> Result<Transport, Box<Fault>> {
        let tls = |why: String| Box::new(Fault::new(Cause::Tls, why));
        // The other provider needs a C library of its own. A second caller finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let origin = self.url.origin();
        let follow = Policy::custom(move |attempt| {
            let home = attempt.url().origin() == origin;
            if home && attempt.previous().len() <= REDIRECTS {
                attempt.follow()
            } else {
                attempt.stop()
            }
        });
        let mut builder = Client::builder()
            .connect_timeout(self.connect_timeout)
            .tcp_keepalive(Duration::from_mins(1))
            .redirect(follow)
            .referer(false);
        if self.url.scheme() == "http" {
            // Only to this machine: no proxy may see the key, and no certificate is needed.
            builder = builder.no_proxy().tls_certs_only([]);
        } else if let Some(file) = &self.ca_file {
            builder = builder.tls_certs_merge(certificates(file).map_err(tls)?);
        }
        let client =
            builder.build().map_err(|e| tls(format!("cannot set up TLS: {}", chain(&e))))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|e| Fault::new(Cause::Connect, format!("no runtime: {e}")))?;
        Ok(Transport { client, runtime: Some(runtime) })
    }

    fn headers(key: &Key, number: u32) -> Result<HeaderMap, Box<Fault>> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
            .map_err(|_| Fault::new(Cause::NotLoggedIn, "the key cannot stand in a header"))?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("coord/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert("anthropic-version", HeaderValue::from_static(VERSION));
        headers.insert("x-stainless-retry-count", HeaderValue::from(number.saturating_sub(1)));
        if key.is_login() {
            headers.insert("anthropic-beta", HeaderValue::from_static(LOGIN_BETA));
        }
        Ok(headers)
    }

    async fn send(
        &self,
        client: &Client,
        key: &Key,
        call: &mut Call<'_>,
        body: Vec<u8>,
    ) -> Result<Reply, Box<Fault>> {
        let request =
            client.post(self.url.clone()).headers(Self::headers(key, call.number)?).body(body);
        let sent = request.send();
        let response = match call.sink {
            // A stream may last, but it must begin.
            Some(_) => tokio::time::timeout(call.idle, sent)
                .await
                .map_err(|_| Fault::new(Cause::Idle, "the stream did not begin in time"))?,
            None => sent.await,
        };
        let response = response.map_err(|e| seen(&e))?;
        let said = Said::read(response.headers(), call.clock.wall());
        let status = response.status().as_u16();
        let streamed = call.sink.is_some()
            && response.headers().get(CONTENT_TYPE).is_some_and(|form| {
                form.to_str().is_ok_and(|form| form.starts_with("text/event-stream"))
            });
        let reply = match status {
            200 if streamed => read_stream(response, key, call).await,
            200 => read_message(response).await.and_then(|reply| show(reply, key, call)),
            300..=399 => Err(Box::new(Fault::new(Cause::Redirect, "a redirect to another host"))),
            _ => Err(read_error(response).await),
        };
        match reply {
            Ok(mut reply) => {
                reply.text = key.redact(reply.text);
                reply.request_id = said.request_id.map(|id| key.redact(id));
                reply.pause = said.pause;
                Ok(reply)
            }
            Err(mut fault) => {
                fault.status = Some(status);
                fault.message = key.redact(std::mem::take(&mut fault.message));
                let redact = |word: Option<String>| word.map(|word| key.redact(word));
                fault.error_type = redact(fault.error_type.take());
                fault.error_code = redact(fault.error_code.take());
                fault.request_id = redact(said.request_id.or(fault.request_id.take()));
                fault.should_retry = said.should_retry;
                fault.retry_after = said.retry_after;
                fault.pause = said.pause.max(said.retry_after);
                Err(fault)
            }
        }
    }
}

/// Reads certificates (PEM); there is at least one.
pub(super) fn certificates(file: &std::path::Path) -> Result<Vec<reqwest::Certificate>, String> {
    let shown = file.display();
    let wrong = |why: &dyn std::fmt::Display| format!("the certificates `{shown}`: {why}");
    let pem = crate::sys::input::read_file(file, 1 << 22).map_err(|e| wrong(&e))?;
    let certs = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| wrong(&e))?;
    if certs.is_empty() {
        return Err(format!("the file `{shown}` holds no certificate"));
    }
    Ok(certs)
}

impl Backend for Api {
    fn name(&self) -> BackendName {
        BackendName::Api
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn attempt(&self, call: &mut Call<'_>) -> Result<Reply, Box<Fault>> {
        if !self.is_private() {
            return Err(Box::new(Fault::new(
                Cause::Insecure,
                "a key is not sent over plain HTTP, except to this machine",
            )));
        }
        let key = self.key()?;
        let transport = self.transport()?;
        let Some(runtime) = &transport.runtime else {
            return Err(Box::new(Fault::new(Cause::Connect, "the runtime is gone")));
        };
        let body = call.request.body(call.model, call.sink.is_some()).to_string().into_bytes();
        let (stop, clock, timeout) = (call.stop, call.clock, call.timeout);
        let until = timeout.map(|time| clock.monotonic() + time);
        runtime.block_on(async {
            let mut sent = pin!(self.send(&transport.client, &key, call, body));
            loop {
                let left = until.map_or(LOOK, |until| until.saturating_sub(clock.monotonic()));
                match tokio::time::timeout(left.min(LOOK), sent.as_mut()).await {
                    Ok(result) => return result,
                    Err(_) if left.is_zero() => {
                        return Err(Box::new(Fault::new(Cause::Timeout, "no answer in time")));
                    }
                    Err(_) => {}
                }
                if let Some(stop) = stop() {
                    return Err(Box::new(Fault::new(
                        stop.into(),
                        format!("stopped by {}", stop.name()),
                    )));
                }
            }
        })
    }

    fn preview(&self, request: &Request, model: &str, stream: bool) -> Value {
        let key = secret::source(&self.env, &self.key_source);
        json!({
            "method": "POST",
            "url": self.url.as_str(),
            "headers": {
                "authorization": key.map(|_| format!("Bearer {HIDDEN}")),
                "content-type": "application/json",
                "accept": "application/json",
                "anthropic-version": VERSION,
            },
            "body": request.body(model, stream),
        })
    }
}

/// What the headers of an answer say.
struct Said {
    request_id: Option<String>,
    should_retry: Option<bool>,
    retry_after: Option<Duration>,
    pause: Option<Duration>,
}

impl Said {
    fn read(headers: &HeaderMap, now: DateTime<Utc>) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let retry = retry_after(text("retry-after-ms"), text(RETRY_AFTER.as_str()), now);
        Self {
            request_id: text("request-id").map(|id| id.chars().take(128).collect()),
            should_retry: match text("x-should-retry") {
                Some("true") => Some(true),
                Some("false") => Some(false),
                _ => None,
            },
            retry_after: retry,
            pause: pause(headers, now),
        }
    }
}

/// How long to leave the service alone: until the limit that has nothing left is reset.
fn pause(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let reset = |name: &HeaderName| {
        let base = name.as_str().strip_suffix("-remaining")?;
        let text = headers.get(format!("{base}-reset"))?.to_str().ok()?;
        let at = match text.parse::<i64>() {
            Ok(seconds) => DateTime::from_timestamp(seconds, 0)?,
            Err(_) => parse_rfc3339(text)?,
        };
        (at - now).to_std().ok()
    };
    headers
        .iter()
        .filter(|(name, value)| {
            let name = name.as_str();
            name.starts_with("anthropic-ratelimit-")
                && name.ends_with("-remaining")
                && *value == "0"
        })
        .filter_map(|(name, _)| reset(name))
        .max()
}

/// Reads a body that may not be larger than it should.
async fn read_body(mut response: Response) -> Result<Vec<u8>, Box<Fault>> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|e| seen(&e))? {
        if body.len() + piece.len() > MOST {
            return Err(Box::new(too_large()));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn too_large() -> Fault {
    Fault::new(Cause::TooLarge, format!("the answer has more than {} MiB", MOST >> 20))
}

async fn read_message(response: Response) -> Result<Reply, Box<Fault>> {
    let form = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let form: String = form.unwrap_or("no content type").chars().take(60).collect();
    let body = read_body(response).await?;
    message(&body).ok_or_else(|| {
        Box::new(Fault::new(Cause::Malformed, format!("the answer is no message ({form})")))
    })
}

/// Reads a whole message: the text blocks joined, wherever they stand.
fn message(body: &[u8]) -> Option<Reply> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let blocks = value["content"].as_array().filter(|_| value["type"] == "message")?;
    let text = blocks.iter().filter(|block| block["type"] == "text");
    Some(Reply {
        text: text.filter_map(|block| block["text"].as_str()).collect(),
        structured: None,
        stop_reason: value["stop_reason"].as_str().map(StopReason::read),
        model: value["model"].as_str().unwrap_or_default().to_owned(),
        usage: usage(&value["usage"], Usage::default()),
        cost: None,
        request_id: None,
        status: Some(200),
        pause: None,
    })
}

/// Shows a reply that came whole to somebody who waits for a stream.
fn show(reply: Reply, key: &Key, call: &mut Call<'_>) -> Result<Reply, Box<Fault>> {
    if let Some(sink) = &mut call.sink {
        sink(&key.redact(reply.text.clone())).map_err(|e| gone(&e))?;
    }
    Ok(reply)
}

fn gone(e: &std::io::Error) -> Fault {
    Fault { began: true, ..Fault::new(Cause::SinkClosed, e.to_string()) }
}

async fn read_stream(
    mut response: Response,
    key: &Key,
    call: &mut Call<'_>,
) -> Result<Reply, Box<Fault>> {
    let (mut events, mut message) = (Events::default(), Message::default());
    let (mut began, mut total) = (false, 0);
    let result = async {
        loop {
            let piece = tokio::time::timeout(call.idle, response.chunk())
                .await
                .map_err(|_| Fault::new(Cause::Idle, "the stream was silent for too long"))?
                .map_err(|e| seen(&e))?;
            let Some(piece) = piece else { return Ok(()) };
            total += piece.len();
            if total > MOST {
                return Err(Box::new(too_large()));
            }
            for data in events.feed(&piece) {
                match message.take(&data)? {
                    Step::None => {}
                    Step::Done => return Ok(()),
                    Step::Text(text) => {
                        if let Some(sink) = &mut call.sink {
                            sink(&key.redact(text)).map_err(|e| gone(&e))?;
                            began = true;
                        }
                    }
                }
            }
        }
    }
    .await;
    let used = message.used();
    let reply = match result {
        Ok(()) => message.finish(),
        Err(fault) => Err(fault),
    };
    reply.map_err(|mut fault: Box<Fault>| {
        fault.began |= began;
        fault.usage = fault.usage.or(used);
        fault
    })
}

async fn read_error(response: Response) -> Box<Fault> {
    let status = response.status();
    let mut fault =
        Fault::new(Cause::Status, status.canonical_reason().unwrap_or("no reason given"));
    if let Ok(body) = read_body(response).await
        && let Ok(value) = serde_json::from_slice::<Value>(&body)
    {
        said(&mut fault, &value);
    }
    Box::new(fault)
}

/// Takes what an error of the service says.
pub(super) fn said(fault: &mut Fault, value: &Value) {
    let short =
        |value: &Value| value.as_str().map(|text| text.chars().take(500).collect::<String>());
    let error = &value["error"];
    fault.error_type = short(&error["type"]);
    fault.error_code = short(&error["details"]["error_code"]);
    fault.request_id = short(&value["request_id"]);
    if let Some(message) = short(&error["message"]) {
        fault.message = message;
    }
}

/// Reads what was used; what is not told stays as it was.
pub(super) fn usage(value: &Value, before: Usage) -> Usage {
    let number = |value: &Value, before: u64| value.as_u64().unwrap_or(before);
    let written = &value["cache_creation"];
    let hour = number(&written["ephemeral_1h_input_tokens"], before.cache_write_1h_tokens);
    let all = value["cache_creation_input_tokens"].as_u64();
    let five = written["ephemeral_5m_input_tokens"].as_u64();
    Usage {
        input_tokens: number(&value["input_tokens"], before.input_tokens),
        cache_write_5m_tokens: five
            .or_else(|| all.map(|all| all.saturating_sub(hour)))
            .unwrap_or(before.cache_write_5m_tokens),
        cache_write_1h_tokens: hour,
        cache_read_tokens: number(&value["cache_read_input_tokens"], before.cache_read_tokens),
        output_tokens: number(&value["output_tokens"], before.output_tokens),
    }
}

/// What a failed exchange was, by what lies beneath it.
fn seen(e: &reqwest::Error) -> Box<Fault> {
    let text = chain(e);
    let lower = text.to_lowercase();
    let (mut tls, mut next) = (false, e.source());
    while let Some(e) = next {
        let within = e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        tls |= e.is::<rustls::Error>()
            || within.and_then(|e| e.downcast_ref::<rustls::Error>()).is_some();
        next = e.source();
    }
    let cause = if tls {
        Cause::Tls
    } else if lower.contains("dns error") || lower.contains("failed to lookup address") {
        Cause::Dns
    } else if lower.contains("tunnel") || lower.contains("proxy") {
        Cause::Proxy
    } else if e.is_timeout() {
        Cause::Timeout
    } else if e.is_connect() || e.is_request() {
        Cause::Connect
    } else {
        Cause::Broken
    };
    Box::new(Fault::new(cause, text))
}
