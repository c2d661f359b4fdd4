//! One HTTP request per attempt, signed.
//!
//! The headers are those of the Standard Webhooks specification, so that its libraries can verify them:
//! `webhook-id`, `webhook-timestamp` (seconds since 1970) and `webhook-signature`, which is `v1,` and
//! the Base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`. A secret of the form `whsec_…` is Base64 of
//! the key; any other is the key itself.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use tokio::runtime::Runtime;

use super::{Fault, Hook};
use crate::client::backoff::retry_after;
use crate::client::claude::secret::{self, Key};
use crate::client::http::chain;
use crate::sys::Clock;

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// What sends requests.
pub(super) struct Webhook {
    url: Url,
    key: Option<Key>,
    client: Client,
    runtime: Option<Runtime>,
}

impl Drop for Webhook {
    fn drop(&mut self) {
        // A look-up of a name that hangs must not hold us.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Webhook {
    pub(super) fn new(hook: &Hook, clock: &dyn Clock) -> Result<Self, Fault> {
        // The address may hold a secret of its own and is not shown.
        let wrong = || Fault::lasting("the address is wrong: `https://host/path` is expected");
        let url = Url::parse(&hook.url).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong());
        }
        let key = match (&hook.secret_file, hook.secret_command.is_empty()) {
            (Some(file), _) => Some(secret::from_file(file)),
            (None, false) => Some(secret::from_command(&hook.secret_command, clock)),
            (None, true) => None,
        };
        let key =
            key.transpose().map_err(|e| Fault::lasting(format!("no secret: {}", e.message)))?;
        let client = client(&url, hook)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Fault::lasting(format!("no runtime: {e}")))?;
        Ok(Self { url, key, client, runtime: Some(runtime) })
    }

    /// Sends it once.
    pub(super) fn post(
        &self,
        id: &str,
        body: &[u8],
        left: Duration,
        clock: &dyn Clock,
    ) -> Result<(), Fault> {
        let headers = self.headers(id, body, clock.wall().timestamp())?;
        let Some(runtime) = &self.runtime else { return Err(Fault::lasting("no runtime")) };
        let request = self.client.post(self.url.clone()).headers(headers).body(body.to_vec());
        let sent = runtime
            .block_on(async { tokio::time::timeout(left.min(ATTEMPT), request.send()).await });
        let response = sent
            .map_err(|_| Fault::passing("no answer in time"))?
            .map_err(|e| Fault::passing(chain(&e)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let passing = status.is_server_error()
            || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        let pause = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let pause = retry_after(None, pause, clock.wall());
        Err(Fault { why: format!("the answer was HTTP {}", status.as_u16()), passing, pause })
    }

    fn headers(&self, id: &str, body: &[u8], timestamp: i64) -> Result<HeaderMap, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let agent = concat!("coord/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let mut put = |name: &'static str, value: String| {
            let value = HeaderValue::from_str(&value)
                .map_err(|_| Fault::lasting(format!("`{name}` cannot stand in a header")))?;
            headers.insert(HeaderName::from_static(name), value);
            Ok(())
        };
        put("webhook-id", id.to_owned())?;
        put("webhook-timestamp", timestamp.to_string())?;
        if let Some(key) = &self.key {
            put("webhook-signature", sign(key.expose(), id, timestamp, body)?)?;
        }
        Ok(headers)
    }
}

fn client(url: &Url, hook: &Hook) -> Result<Client, Fault> {
    // A second caller finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder =
        Client::builder().connect_timeout(CONNECT).redirect(Policy::none()).referer(false);
    if url.scheme() == "http" {
        // No certificate is needed, and reading them all takes longer than the request.
        builder = builder.tls_certs_only([]);
    } else if let Some(file) = &hook.ca_file {
        let wrong =
            |why: String| Fault::lasting(format!("the certificates `{}`: {why}", file.display()));
        let pem = crate::sys::input::read_file(file, 1 << 22).map_err(|e| wrong(e.to_string()))?;
        let certs =
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| wrong(e.to_string()))?;
        if certs.is_empty() {
            return Err(wrong("there is none in it".to_owned()));
        }
        builder = builder.tls_certs_merge(certs);
    }
    builder.build().map_err(|e| Fault::lasting(format!("cannot set up TLS: {}", chain(&e))))
}

/// The header of a signature.
fn sign(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Result<String, Fault> {
    let key = match secret.strip_prefix("whsec_") {
        Some(coded) => STANDARD
            .decode(coded)
            .map_err(|_| Fault::lasting("the secret begins with `whsec_` but is no Base64"))?,
        None => secret.as_bytes().to_vec(),
    };
    let mut signed = format!("{id}.{timestamp}.").into_bytes();
    signed.extend_from_slice(body);
    Ok(format!("v1,{}", STANDARD.encode(hmac_sha256::HMAC::mac(signed, key))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example of the specification's reference libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        let signature = sign(secret, id, 1_614_265_330, body).ok().unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(sign("whsec_?", id, 0, body).is_err());
    }
}
