//! What every client over HTTP needs to know of addresses and failures.

use std::error::Error as _;

use reqwest::Url;

/// Whether an address is this very machine, whatever a name server says.
pub(super) fn is_loopback(url: &Url) -> bool {
    let name = url.host_str().unwrap_or_default();
    let plain = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || plain.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The texts of an error and its causes. The address is left out: it adds nothing.
pub(super) fn chain(e: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut next = e.source();
    while let Some(e) = next {
        let this = e.to_string();
        if !text.contains(&this) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&this);
        }
        next = e.source();
    }
    if text.is_empty() { "the exchange failed".to_owned() } else { text }
}
