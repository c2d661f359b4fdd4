//! Spans for a collector: OTLP over HTTP in protobuf, and as OTLP/JSON for files.
//!
//! Nothing of it is made before a request is really sent: the runtime, the certificates. A batch that
//! was not taken for a passing reason (429, 502, 503, 504, no connection, no answer) is sent again, after
//! the time that the receiver asks for or one that doubles. So it may arrive twice.

mod encode;
mod json;
mod proto;
mod target;

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use prost::Message as _;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::backoff::{delay, retry_after, worth};
use super::http::{chain, is_loopback};
use crate::domain::trace::Span;
use crate::sys::signal::Stop;
use crate::sys::{Clock, Ids};

pub use target::{Target, resource};

/// The media type of what is sent and what is answered.
const PROTOBUF: &str = "application/x-protobuf";
/// How often it is looked whether the end was asked for.
const LOOK: Duration = Duration::from_millis(50);
/// Making a connection may take no longer.
const CONNECT: Duration = Duration::from_secs(5);
/// No answer is larger.
const MOST: usize = 1 << 20;

/// What a receiver said to a batch.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Accepted {
    /// How many spans it did not take, and will not take.
    pub rejected: u64,
    /// What it has to say: why, or a warning.
    pub message: Option<String>,
    /// How many attempts it took.
    pub attempts: u32,
}

/// Why a batch was not taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// What happened, for people.
    pub message: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What sort of failure it is.
    pub why: Why,
}

/// What sort of failure it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// Trying again would give the same.
    Final,
    /// It is more than the receiver takes at once.
    TooLarge,
    /// It may go well at another time.
    Passing,
    /// There was no answer in time.
    Timeout,
    /// The end was asked for.
    Stopped(Stop),
}

/// A failed attempt.
struct Fault {
    message: String,
    why: Why,
    /// How long the receiver wants to be left alone.
    after: Option<Duration>,
}

impl Fault {
    fn new(why: Why, message: impl Into<String>) -> Self {
        Self { message: message.into(), why, after: None }
    }
}

/// Time, chance and the wish to end, while something is sent.
pub struct Surroundings<'a> {
    /// The clock.
    pub clock: &'a dyn Clock,
    /// Chance.
    pub ids: &'a dyn Ids,
    /// Whether the end was asked for.
    pub stop: &'a dyn Fn() -> Option<Stop>,
    /// For how long a batch is tried.
    pub deadline: Duration,
    /// Hears why the first attempt failed, if there will be another.
    pub again: &'a dyn Fn(&str),
}

/// What sends spans to one receiver.
pub struct Exporter {
    target: Target,
    resource: BTreeMap<String, String>,
    /// How many spans are sent at once; a receiver may take fewer than come.
    most: usize,
    transport: Option<(Client, Runtime)>,
}

impl Exporter {
    /// Opens no connection yet. The resource says who did what is sent, see [`resource`].
    #[must_use]
    pub const fn new(target: Target, resource: BTreeMap<String, String>) -> Self {
        Self { target, resource, most: usize::MAX, transport: None }
    }

    /// Sends a batch, again if need be, and in smaller parts if the receiver finds it too large. A span
    /// that alone is too large counts as rejected, unless none of several is taken.
    pub fn send(&mut self, spans: &[Span], around: &Surroundings<'_>) -> Result<Accepted, Refusal> {
        let (mut sum, mut rest, mut too_large) = (Accepted::default(), spans, 0);
        while !rest.is_empty() {
            let (part, later) = rest.split_at(rest.len().min(self.most.max(1)));
            match self.part(part, around) {
                Ok(accepted) => {
                    sum.attempts = sum.attempts.saturating_add(accepted.attempts);
                    sum.rejected = sum.rejected.saturating_add(accepted.rejected);
                    sum.message = accepted.message.or(sum.message);
                    rest = later;
                }
                Err(refusal) if refusal.why == Why::TooLarge && part.len() > 1 => {
                    sum.attempts = sum.attempts.saturating_add(refusal.attempts);
                    self.most = part.len() / 2;
                }
                Err(refusal) if refusal.why == Why::TooLarge => {
                    too_large += 1;
                    if too_large == spans.len() && too_large > 1 {
                        return Err(Refusal { why: Why::Final, ..refusal });
                    }
                    sum.attempts = sum.attempts.saturating_add(refusal.attempts);
                    sum.rejected = sum.rejected.saturating_add(1);
                    sum.message = Some(refusal.message);
                    rest = later;
                    // The others may well be small.
                    self.most = usize::MAX;
                }
                Err(refusal) => {
                    let attempts = refusal.attempts.saturating_add(sum.attempts);
                    return Err(Refusal { attempts, ..refusal });
                }
            }
        }
        Ok(sum)
    }

    fn part(&mut self, spans: &[Span], around: &Surroundings<'_>) -> Result<Accepted, Refusal> {
        let body = encode::request(spans, &self.resource).encode_to_vec();
        let until = around.clock.monotonic() + around.deadline;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let left = until.saturating_sub(around.clock.monotonic());
            let fault = match self.attempt(&body, left.max(LOOK), around) {
                Ok(accepted) => return Ok(Accepted { attempts, ..accepted }),
                Err(fault) => fault,
            };
            let refused = |message: String, why| Err(Refusal { message, attempts, why });
            if !matches!(fault.why, Why::Passing | Why::Timeout) {
                return refused(fault.message, fault.why);
            }
            let wait = delay(attempts - 1, around.ids.bits(), fault.after);
            let left = until.saturating_sub(around.clock.monotonic());
            if worth(wait, left).is_none() {
                let asked = fault.after.filter(|after| *after >= left && !left.is_zero());
                let asked = asked.map(|after| {
                    let after = crate::domain::time::human_duration(after);
                    format!("; it asks to be left alone for {after}")
                });
                return refused(fault.message + &asked.unwrap_or_default(), fault.why);
            }
            if attempts == 1 {
                (around.again)(&fault.message);
            }
            let until = around.clock.monotonic() + wait;
            loop {
                if let Some(stop) = (around.stop)() {
                    return refused("stopped".to_owned(), Why::Stopped(stop));
                }
                let left = until.saturating_sub(around.clock.monotonic());
                if left.is_zero() {
                    break;
                }
                around.clock.sleep(left.min(LOOK));
            }
        }
    }

    fn attempt(
        &mut self,
        body: &[u8],
        left: Duration,
        around: &Surroundings<'_>,
    ) -> Result<Accepted, Fault> {
        if self.transport.is_none() {
            self.transport = Some(self.build()?);
        }
        let Some((client, runtime)) = &self.transport else {
            return Err(Fault::new(Why::Final, "there is no client"));
        };
        let request =
            client.post(self.target.url.clone()).headers(self.headers()).body(body.to_vec());
        let (clock, now) = (around.clock, around.clock.wall());
        let until = clock.monotonic() + self.target.timeout.min(left);
        runtime.block_on(async {
            let mut sent = pin!(exchange(request, now));
            loop {
                let left = until.saturating_sub(clock.monotonic());
                match tokio::time::timeout(left.min(LOOK), sent.as_mut()).await {
                    Ok(result) => return result,
                    Err(_) if left.is_zero() => {
                        return Err(Fault::new(Why::Timeout, "no answer in time"));
                    }
                    Err(_) => {}
                }
                if let Some(stop) = (around.stop)() {
                    return Err(Fault::new(Why::Stopped(stop), "stopped"));
                }
            }
        })
    }

    /// What the user says counts more, except for the form of the body.
    fn headers(&self) -> HeaderMap {
        let mut headers = self.target.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static(PROTOBUF));
        let name = HeaderValue::from_static(concat!("coord/", env!("CARGO_PKG_VERSION")));
        headers.entry(USER_AGENT).or_insert(name);
        headers
    }

    fn build(&self) -> Result<(Client, Runtime), Fault> {
        let failed = |why: String| Fault::new(Why::Final, why);
        // A second caller finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // What is sent must not turn up where nobody sent it.
        let mut builder = Client::builder().connect_timeout(CONNECT).redirect(Policy::none());
        if is_loopback(&self.target.url) {
            builder = builder.no_proxy();
        }
        if self.target.url.scheme() == "http" {
            // Looking for the system's certificates takes time, and none is needed.
            builder = builder.tls_certs_only([]);
        } else if let Some(file) = &self.target.ca_file {
            let shown = file.display();
            let pem = crate::sys::input::read_file(file, 1 << 22)
                .map_err(|e| failed(format!("the certificates `{shown}`: {e}")))?;
            let certs = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|e| failed(format!("the certificates `{shown}`: {e}")))?;
            if certs.is_empty() {
                return Err(failed(format!("the file `{shown}` holds no certificate")));
            }
            builder = builder.tls_certs_merge(certs);
        }
        let client =
            builder.build().map_err(|e| failed(format!("cannot set up TLS: {}", chain(&e))))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok((client, runtime.map_err(|e| failed(format!("no runtime: {e}")))?))
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // A look-up of a name that hangs must not hold us.
        if let Some((_, runtime)) = self.transport.take() {
            runtime.shutdown_background();
        }
    }
}

/// Spans as one line of OTLP/JSON, without its end.
#[must_use]
pub fn json_line(spans: &[Span], resource: &BTreeMap<String, String>) -> String {
    json::request(&encode::request(spans, resource)).to_string()
}

async fn exchange(request: reqwest::RequestBuilder, now: DateTime<Utc>) -> Result<Accepted, Fault> {
    let broken = |e: reqwest::Error| Fault::new(Why::Passing, chain(&e));
    let response = request.send().await.map_err(broken)?;
    let status = response.status();
    let text = |name| response.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let form = text(CONTENT_TYPE).unwrap_or_default().to_owned();
    let after = retry_after(None, text(RETRY_AFTER), now);
    let body = read(response).await.map_err(broken)?;
    if status.is_success() {
        return accepted(&form, &body).ok_or_else(|| {
            let form: String = form.chars().take(60).collect();
            let form = if form.is_empty() { "no content type".to_owned() } else { form };
            Fault::new(Why::Final, format!("what answers there is no receiver of OTLP ({form})"))
        });
    }
    let said = complaint(&form, &body).map(|said| format!(": {said}")).unwrap_or_default();
    let reason = status.canonical_reason().unwrap_or("no reason given");
    let message = format!("the receiver answered {} {reason}{said}", status.as_u16());
    let why = match status.as_u16() {
        429 | 502 | 503 | 504 => Why::Passing,
        413 => Why::TooLarge,
        _ => Why::Final,
    };
    Err(Fault { message, why, after })
}

/// Reads a body, as far as it is of interest.
async fn read(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        body.extend_from_slice(&piece);
        if body.len() > MOST {
            break;
        }
    }
    Ok(body)
}

/// Reads the answer to a batch that was taken; nothing if it is none.
fn accepted(form: &str, body: &[u8]) -> Option<Accepted> {
    if body.is_empty() {
        return Some(Accepted::default());
    }
    let (rejected, message) = if form.starts_with(PROTOBUF) {
        let partial = proto::ExportResponse::decode(body).ok()?.partial_success.unwrap_or_default();
        (partial.rejected_spans, partial.error_message)
    } else if form.starts_with("application/json") {
        let value: Value = serde_json::from_slice(body).ok()?;
        let partial = &value.as_object()?.get("partialSuccess").cloned().unwrap_or_default();
        let number = &partial["rejectedSpans"];
        let number = number.as_i64().or_else(|| number.as_str()?.parse().ok()).unwrap_or(0);
        (number, partial["errorMessage"].as_str().unwrap_or_default().to_owned())
    } else {
        return None;
    };
    Some(Accepted {
        rejected: u64::try_from(rejected).unwrap_or(0),
        message: short(&message),
        attempts: 0,
    })
}

/// What a receiver says is wrong.
fn complaint(form: &str, body: &[u8]) -> Option<String> {
    let text = if form.starts_with(PROTOBUF) {
        proto::RpcStatus::decode(body).ok()?.message
    } else if form.starts_with("application/json") {
        serde_json::from_slice::<Value>(body).ok()?["message"].as_str()?.to_owned()
    } else if form.starts_with("text/plain") {
        String::from_utf8_lossy(body).into_owned()
    } else {
        return None;
    };
    short(&text)
}

fn short(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.chars().take(500).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span() -> Span {
        serde_json::from_value(serde_json::json!({
            "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "00f067aa0ba902b7",
            "parent_span_id": "b7ad6b7169203331", "remote_parent": true, "name": "work claim",
            "kind": "client", "start": "2026-01-02T03:04:05.000006Z", "duration_us": 7,
            "outcome": "error", "message": "why",
            "attributes": {"n": 3, "f": 0.5, "yes": true, "list": ["a"], "big": u64::MAX},
        }))
        .unwrap()
    }

    #[test]
    fn json_has_ids_in_hex_and_large_numbers_as_text() {
        let resource = BTreeMap::from([("service.name".to_owned(), "coord".to_owned())]);
        let value: Value = serde_json::from_str(&json_line(&[span()], &resource)).unwrap();
        let of = &value["resourceSpans"][0];
        assert_eq!(of["resource"]["attributes"][0]["value"]["stringValue"], "coord");
        let span = &of["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span["parentSpanId"], "b7ad6b7169203331");
        assert_eq!((&span["kind"], &span["flags"]), (&3.into(), &0x301.into()));
        assert_eq!(span["startTimeUnixNano"], "1767323045000006000");
        assert_eq!(span["endTimeUnixNano"], "1767323045000013000");
        assert_eq!(span["status"], serde_json::json!({"code": 2, "message": "why"}));
        let attribute = |key: &str| {
            let all = span["attributes"].as_array().unwrap();
            all.iter().find(|a| a["key"] == key).unwrap()["value"].clone()
        };
        assert_eq!(attribute("n"), serde_json::json!({"intValue": "3"}));
        assert_eq!(attribute("list")["arrayValue"]["values"][0]["stringValue"], "a");
        assert!(attribute("big")["doubleValue"].is_number());
    }

    #[test]
    fn answers_are_read_in_both_forms() {
        let partial = proto::PartialSuccess { rejected_spans: 2, error_message: "old".into() };
        let answer = proto::ExportResponse { partial_success: Some(partial) }.encode_to_vec();
        let told = Accepted { rejected: 2, message: Some("old".into()), attempts: 0 };
        assert_eq!(accepted("application/x-protobuf", &answer), Some(told.clone()));
        let json = br#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"old"}}"#;
        assert_eq!(accepted("application/json; charset=utf-8", json), Some(told));
        assert_eq!(accepted("application/json", b"{}"), Some(Accepted::default()));
        assert_eq!(accepted("", b""), Some(Accepted::default()));
        assert_eq!(accepted("text/html", b"<html>"), None);
        assert_eq!(accepted("application/x-protobuf", b"\xff\xff"), None);
        assert_eq!(accepted("application/json", b"[]"), None);
        let status = proto::RpcStatus { code: 3, message: "bad\n".into() }.encode_to_vec();
        assert_eq!(complaint("application/x-protobuf", &status).as_deref(), Some("bad"));
        assert_eq!(complaint("text/html", b"<html>"), None);
    }
}
