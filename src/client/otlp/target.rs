//! Where spans are sent, and with what: the rules of the OpenTelemetry specification for the variables
//! of an OTLP exporter.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{Error, Kind, Result};
use crate::sys::Env;

/// How long an attempt may take, unless somebody says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What the path of a base address is followed by.
const TRACES: &str = "v1/traces";

/// Where spans are sent, and with what.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) ca_file: Option<PathBuf>,
}

impl Target {
    /// From a flag, or else the environment: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` as it is, or
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` with `/v1/traces` behind it. Nothing if nobody names one: nothing is
    /// ever sent unasked.
    pub fn find(flag: Option<&str>, timeout: Option<Duration>, env: &Env) -> Result<Option<Self>> {
        let url = match flag {
            Some(text) => url(text, "--endpoint", Kind::Usage, true)?,
            None => match env.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
                Some(text) => {
                    url(&text, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", Kind::Config, false)?
                }
                None => match env.text("OTEL_EXPORTER_OTLP_ENDPOINT") {
                    Some(text) => url(&text, "OTEL_EXPORTER_OTLP_ENDPOINT", Kind::Config, true)?,
                    None => return Ok(None),
                },
            },
        };
        if flag.is_none() {
            protocol(env)?;
        }
        Ok(Some(Self {
            url,
            headers: headers(env)?,
            timeout: match timeout {
                Some(timeout) => timeout,
                None => env_timeout(env)?,
            },
            ca_file: specific(env, "CERTIFICATE").map(|(_, path)| path.into()),
        }))
    }

    /// The address, for people.
    #[must_use]
    pub fn address(&self) -> &str {
        self.url.as_str()
    }

    /// Whether headers, which may hold secrets, would go over the network in the clear.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        !self.headers.is_empty()
            && self.url.scheme() == "http"
            && !crate::client::http::is_loopback(&self.url)
    }
}

/// The variable for traces, else the one for every signal.
fn specific(env: &Env, name: &str) -> Option<(String, String)> {
    ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"].iter().find_map(|prefix| {
        let name = format!("{prefix}{name}");
        let text = env.text(&name)?;
        Some((name, text))
    })
}

/// Reads an address; a base address is completed.
fn url(text: &str, from: &str, kind: Kind, base: bool) -> Result<Url> {
    // The address itself may hold a secret.
    let wrong = |why: &str| {
        Error::new(kind, format!("the address in `{from}` is wrong: {why}"))
            .hint("it looks like `http://localhost:4318`; what must stay secret belongs into OTEL_EXPORTER_OTLP_HEADERS")
    };
    let mut url = Url::parse(text.trim()).map_err(|e| wrong(&e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("it is neither `http` nor `https`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it holds a user"));
    }
    url.set_fragment(None);
    if base && !url.path().ends_with(&format!("/{TRACES}")) {
        let path = format!("{}/{TRACES}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Ok(url)
}

/// Refuses a protocol that is not spoken: what listens there would not understand.
fn protocol(env: &Env) -> Result<()> {
    match specific(env, "PROTOCOL") {
        Some((name, text)) if text != "http/protobuf" => Err(Error::new(
            Kind::Config,
            format!("`{name}` asks for `{}`, which is not spoken", text.escape_debug()),
        )
        .hint(
            "only `http/protobuf` is; `--endpoint` names a receiver for it, usually at port 4318",
        )),
        _ => Ok(()),
    }
}

fn env_timeout(env: &Env) -> Result<Duration> {
    let Some((name, text)) = specific(env, "TIMEOUT") else { return Ok(TIMEOUT) };
    let ms = text.trim().parse::<u64>().ok().filter(|ms| *ms > 0);
    ms.map(Duration::from_millis).ok_or_else(|| {
        Error::new(Kind::Config, format!("`{name}` is no number of milliseconds"))
            .hint("give it as `10000` for ten seconds, or use `--timeout`")
    })
}

fn headers(env: &Env) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let Some((name, text)) = specific(env, "HEADERS") else { return Ok(headers) };
    let wrong = || {
        Error::new(Kind::Config, format!("`{name}` is no list of headers"))
            .hint("write `name=value,other=value`; what is special in a value is written as `%20`")
    };
    for (key, value) in pairs(&text).ok_or_else(wrong)? {
        let key: HeaderName = key.parse().map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

/// What the program says about itself: `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`, its version, and
/// the name of the machine. The flag tells whether the attributes could be read; if not, all of them are
/// left out, as the specification wants it.
#[must_use]
pub fn resource(env: &Env, host: Option<String>) -> (BTreeMap<String, String>, bool) {
    let mut resource: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: &str| resource.insert(name.to_owned(), value.to_owned());
    set("service.name", "coord");
    set("service.version", env!("CARGO_PKG_VERSION"));
    if let Some(host) = host {
        set("host.name", &host);
    }
    let told = env.text("OTEL_RESOURCE_ATTRIBUTES").map(|text| pairs(&text));
    let readable = told != Some(None);
    resource.extend(told.flatten().into_iter().flatten());
    if let Some(name) = env.text("OTEL_SERVICE_NAME") {
        resource.insert("service.name".to_owned(), name);
    }
    (resource, readable)
}

/// Reads `name=value,other=value`, with values in percent-encoding.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let name = decoded(name.trim()).filter(|name| !name.is_empty())?;
        Some((name, decoded(value.trim())?))
    };
    parts.map(pair).collect()
}

fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let digits = str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const OWN: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

    fn find(flag: Option<&str>, env: &[(&str, &str)]) -> Result<Option<Target>> {
        Target::find(flag, None, &env.iter().copied().collect())
    }

    #[test]
    fn addresses_are_made_as_the_specification_wants_them() {
        let at = |flag, env: &[_]| find(flag, env).unwrap().map(|t| t.address().to_owned());
        for (flag, env, url) in [
            (None, &[][..], None),
            (None, &[(BASE, "http://c:4318")], Some("http://c:4318/v1/traces")),
            (None, &[(BASE, "http://c:4318/")], Some("http://c:4318/v1/traces")),
            (None, &[(BASE, "https://c/my/otlp")], Some("https://c/my/otlp/v1/traces")),
            (None, &[(OWN, "http://c:4318")], Some("http://c:4318/")),
            (None, &[(OWN, "http://c/x"), (BASE, "http://d")], Some("http://c/x")),
            (Some("http://e"), &[(OWN, "http://c/x")], Some("http://e/v1/traces")),
            (Some("http://e/v1/traces"), &[], Some("http://e/v1/traces")),
        ] {
            assert_eq!(at(flag, env).as_deref(), url, "{flag:?} {env:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_and_no_secret_with_it() {
        for (flag, env, kind) in [
            (Some("collector:4318"), &[][..], Kind::Usage),
            (Some("ftp://c"), &[], Kind::Usage),
            (Some("http://user:geheim@c"), &[], Kind::Usage),
            (None, &[(BASE, "nonsense")], Kind::Config),
            (None, &[(BASE, "http://c"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], Kind::Config),
            (None, &[(BASE, "http://c"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")], Kind::Config),
            (None, &[(BASE, "http://c"), ("OTEL_EXPORTER_OTLP_HEADERS", "geheim")], Kind::Config),
            (
                None,
                &[(BASE, "http://c"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=%0ageheim")],
                Kind::Config,
            ),
        ] {
            let error = find(flag, env).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(!error.hints().is_empty() && !error.to_string().contains("geheim"), "{error}");
        }
    }

    #[test]
    fn headers_are_decoded_and_the_own_ones_stand_alone() {
        let general = ("OTEL_EXPORTER_OTLP_HEADERS", "a=1, B=x%20y%3D,c=p=q");
        let target = find(Some("http://c"), &[general]).unwrap().unwrap();
        let get = |target: &Target, name: &str| {
            target.headers.get(name).map(|v| v.to_str().unwrap().to_owned())
        };
        assert_eq!(get(&target, "b").as_deref(), Some("x y="));
        assert_eq!(get(&target, "c").as_deref(), Some("p=q"));
        assert!(target.is_exposed() && !format!("{target:?}").contains("x y"));
        let own = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "d=4");
        let target = find(Some("http://127.0.0.1"), &[general, own]).unwrap().unwrap();
        assert_eq!((get(&target, "a"), get(&target, "d").as_deref()), (None, Some("4")));
        assert!(!target.is_exposed());
    }

    #[test]
    fn a_resource_says_who_it_is() {
        let told = |env: &[(&str, &str)]| resource(&env.iter().copied().collect(), None);
        let of = "OTEL_RESOURCE_ATTRIBUTES";
        let (plain, readable) = told(&[]);
        assert_eq!((plain["service.name"].as_str(), readable), ("coord", true));
        let (more, _) = told(&[(of, "service.name=ci,deployment.environment.name=a%2Cb")]);
        assert_eq!(more["service.name"], "ci");
        assert_eq!(more["deployment.environment.name"], "a,b");
        let (named, _) = told(&[(of, "service.name=ci"), ("OTEL_SERVICE_NAME", "mine")]);
        assert_eq!(named["service.name"], "mine");
        let (broken, readable) = told(&[(of, "a=1,b=%zz")]);
        assert_eq!((broken, readable), (plain, false));
    }
}
