//! Asks addresses whether they are well: one GET each, all at the same time, each with a time limit.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::http::chain;

/// What an address said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// The HTTP status; the body is not read, a redirect is not followed.
    Status(u16),
    /// Why there was none.
    Failed(String),
}

/// Asks them all; one answer for each, in their order. The error says why nobody could be asked.
pub fn ask(urls: &[String], limit: Duration) -> Result<Vec<Answer>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("no addresses can be asked: {e}"))?;
    // A second caller finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let secure = urls.iter().any(|url| url.starts_with("https:"));
    let mut builder = Client::builder()
        .redirect(Policy::none())
        // What is watched is the address itself, not what a proxy says of it.
        .no_proxy()
        .referer(false)
        .connect_timeout(limit)
        .timeout(limit)
        .user_agent(concat!("coord/", env!("CARGO_PKG_VERSION")));
    if !secure {
        // Reading the certificates of the system takes longer than an answer.
        builder = builder.tls_certs_only([]);
    }
    let client = builder.build().map_err(|e| format!("no addresses can be asked: {e}"))?;
    let answers = runtime.block_on(async {
        let asked: Vec<_> =
            urls.iter().map(|url| tokio::spawn(one(client.clone(), url.clone(), limit))).collect();
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.unwrap_or_else(|e| Answer::Failed(e.to_string())));
        }
        answers
    });
    // A name that nobody resolves may keep a thread for longer than the limit.
    runtime.shutdown_background();
    Ok(answers)
}

async fn one(client: Client, url: String, limit: Duration) -> Answer {
    match client.get(&url).send().await {
        Ok(response) => Answer::Status(response.status().as_u16()),
        Err(e) if e.is_timeout() => {
            Answer::Failed(format!("no answer within {} ms", limit.as_millis()))
        }
        Err(e) => Answer::Failed(chain(&e)),
    }
}

/// Whether it is an address of the web at all.
#[must_use]
pub fn is_web(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// An address that may be shown: without user, password and query.
#[must_use]
pub fn without_secrets(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return "an address".to_owned() };
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.set_query(None);
    parsed.set_fragment(None);
    parsed.to_string()
}
