// SPDX-License-Identifier: Apache-2.0
//! One request and its answer, with a limit on everything: time to connect, to the first byte, in all; bytes; redirects
//! (none); proxies (none but the configured one).

use std::error::Error as _;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};
use lictor_api::settings::llm::Llm;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout_at};

use super::SetupError;
use super::provider::{self, Reader};

/// Why a request brought no text of a model. No variant repeats what was sent, or more than a word of what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Connect(String),
    /// Certificates and handshakes: trying again does not help.
    Tls(String),
    /// A phase took too long.
    Slow(Phase),
    Cut(String),
    Status {
        code: u16,
        retry_after: Option<Duration>,
    },
    Redirect(u16),
    TooLarge(usize),
    /// The server does not speak the protocol.
    Malformed(String),
    /// The server does; the model's answer is none.
    Invalid(String),
    /// An error of the provider inside of an answer.
    Provider(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(why) => write!(f, "no connection: {why}"),
            Self::Tls(why) => write!(f, "no trusted connection: {why}"),
            Self::Slow(Phase::Connecting) => write!(f, "connecting took too long (connect_timeout)"),
            Self::Slow(Phase::FirstByte) => write!(f, "the first byte took too long (first_byte_timeout)"),
            Self::Slow(Phase::Whole) => write!(f, "the whole answer took too long"),
            Self::Cut(why) => write!(f, "the answer broke off: {why}"),
            Self::Status { code: code @ (401 | 403), .. } => write!(f, "status {code}: is the key right?"),
            Self::Status { code: 404, .. } => write!(f, "status 404: are base_url and model right?"),
            Self::Status { code: 429, .. } => write!(f, "status 429: too many requests for this key"),
            Self::Status { code, .. } => write!(f, "status {code}"),
            Self::Redirect(code) => {
                write!(f, "status {code}: it points elsewhere, which is not followed; set base_url to where it points")
            }
            Self::TooLarge(bytes) => write!(f, "the answer is longer than {bytes} bytes (max_answer_bytes)"),
            Self::Malformed(why) | Self::Invalid(why) => write!(f, "{why}"),
            Self::Provider(kind) => write!(f, "the provider reports an error: {kind}"),
        }
    }
}

/// The model's text, and what it took.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) text: Result<String, Trouble>,
    pub(crate) bytes: usize,
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting,
    FirstByte,
    Whole,
}

#[derive(Clone, Debug)]
pub(crate) struct Transport {
    client: Client,
    url: Url,
    settings: Arc<Llm>,
}

impl Transport {
    pub(crate) fn new(settings: Arc<Llm>, key: Option<&SecretString>) -> Result<Transport, SetupError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let (name, prefix) = provider::key_header(settings.provider);
            let mut value =
                HeaderValue::from_str(&format!("{prefix}{}", key.expose_secret())).map_err(|_| SetupError::KeyForm)?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        if settings.provider == lictor_api::settings::llm::Provider::Anthropic {
            headers.insert(HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
        }
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls(&settings)?)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .https_only(settings.base_url.is_https())
            .user_agent(concat!("lictor/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(settings.connect_timeout)
            .pool_max_idle_per_host(settings.parallel)
            .pool_idle_timeout(Duration::from_secs(30))
            // `http://localhost` was taken because it is this machine: no resolver gets to say otherwise.
            .resolve_to_addrs(
                "localhost",
                &[
                    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
                    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
                ],
            );
        if let Some(proxy) = &settings.proxy {
            let proxy =
                reqwest::Proxy::all(proxy.url().clone()).map_err(|error| SetupError::Client(describe(&error)))?;
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(|error| SetupError::Client(describe(&error)))?;
        let url = settings.base_url.join(provider::path(settings.provider));
        Ok(Transport { client, url, settings })
    }

    /// Sends `body` and reads the answer, until `deadline` at the latest.
    pub(crate) async fn ask(&self, body: Vec<u8>, deadline: Instant) -> Reply {
        let mut bytes = 0;
        let text = match timeout_at(deadline, self.exchange(body, &mut bytes)).await {
            Ok(text) => text,
            Err(_) => Err(Trouble::Slow(Phase::Whole)),
        };
        Reply { text, bytes }
    }

    async fn exchange(&self, body: Vec<u8>, bytes: &mut usize) -> Result<String, Trouble> {
        let first_byte = Instant::now() + self.settings.connect_timeout + self.settings.first_byte_timeout;
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let response = timeout_at(first_byte, request.send()).await.map_err(|_| Trouble::Slow(Phase::FirstByte))?;
        let mut response = response.map_err(|error| classify(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(Trouble::Redirect(status.as_u16()));
        }
        if !status.is_success() {
            // The body may repeat the request or a part of the key: it is not read.
            let retry_after = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| retry_after(value.to_str().ok()?, Timestamp::now()));
            return Err(Trouble::Status { code: status.as_u16(), retry_after });
        }
        let content_type =
            response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut reader = Reader::new(self.settings.provider, content_type)?;
        let mut first = true;
        loop {
            let chunk = if first {
                timeout_at(first_byte, response.chunk()).await.map_err(|_| Trouble::Slow(Phase::FirstByte))?
            } else {
                response.chunk().await
            };
            let Some(chunk) = chunk.map_err(|error| classify(&error))? else { break };
            first = first && chunk.is_empty();
            *bytes += chunk.len();
            if *bytes > self.settings.max_answer_bytes {
                return Err(Trouble::TooLarge(self.settings.max_answer_bytes));
            }
            if reader.push(&chunk)? {
                break;
            }
        }
        reader.finish()
    }
}

/// How long `Retry-After` asks to wait: seconds, or a date.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let then = rfc2822::parse(value.trim()).ok()?.timestamp();
    Some(Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// The trusted authorities, and ring, whatever else is linked into the program.
fn tls(settings: &Llm) -> Result<ClientConfig, SetupError> {
    let proxied = settings.proxy.as_ref().is_some_and(|proxy| proxy.url().scheme() == "https");
    trusting(settings.ca_file.as_deref(), settings.base_url.is_https() || proxied)
}

/// TLS as a client with the authorities in `ca_file` (PEM), or the host's where they are `needed`.
pub fn trusting(ca_file: Option<&Path>, needed: bool) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let bad = |why: String| SetupError::Authorities { path: path.to_owned(), why };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))? {
            let certificate = certificate.map_err(|error| bad(error.to_string()))?;
            roots.add(certificate).map_err(|error| bad(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(bad("it holds no certificate".to_owned()));
        }
    } else if needed {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(SetupError::NoAuthorities);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Client(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// What kind of failure reqwest means. Its own texts repeat the URL; their causes do not.
fn classify(error: &reqwest::Error) -> Trouble {
    if let Some(tls) = error.source().and_then(tls_error) {
        return Trouble::Tls(tls.to_string());
    }
    if error.is_timeout() {
        return Trouble::Slow(Phase::Connecting);
    }
    if error.is_connect() { Trouble::Connect(describe(error)) } else { Trouble::Cut(describe(error)) }
}

/// The error of rustls in `error`, however deep. It travels inside of io errors, whose `source` passes over what they wrap.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error
        .downcast_ref::<rustls::Error>()
        .or_else(|| wrapped.and_then(|wrapped| tls_error(wrapped)))
        .or_else(|| error.source().and_then(tls_error))
}

/// The innermost cause: "connection refused". No URL, which may hold a secret.
#[must_use]
pub fn describe(error: &reqwest::Error) -> String {
    let mut innermost: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(inner) = innermost.and_then(std::error::Error::source) {
        innermost = Some(inner);
    }
    innermost.map_or_else(|| "it failed".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        for (text, expected) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("99999999999999", None),
        ] {
            assert_eq!(retry_after(text, now), expected.map(Duration::from_secs), "{text}");
        }
    }
}
