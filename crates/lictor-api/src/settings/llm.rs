// SPDX-License-Identifier: Apache-2.0
//! `judge.llm`: which language model is asked, how long, how often, and what leaves the machine.
//!
//! `docs/llm.md` tells what each key does; a test compares its table with [`Llm`]'s defaults.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use serde::{Deserialize, Deserializer, Serialize, de};
use url::{Host, Url};

use crate::event::words;

/// The settings below `judge.llm`. `provider` and `model` have no default, everything else does.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Llm {
    pub provider: Provider,
    /// As the provider names it.
    pub model: String,
    pub base_url: BaseUrl,
    /// Where the key is, if the provider wants one. The key itself is never a setting.
    pub key: Option<KeySource>,
    /// Certificate authorities to trust instead of the host's; PEM.
    pub ca_file: Option<PathBuf>,
    /// The HTTP proxy to go through. The environment's proxy variables are not looked at.
    pub proxy: Option<ProxyUrl>,
    /// Whether the answer is asked for piece by piece.
    pub stream: bool,
    /// For one judgement, repetition and waiting included.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// From the request's end to the answer's first byte.
    pub first_byte_timeout: Duration,
    /// Questions asked at the same time.
    pub parallel: usize,
    /// Questions that may wait for their turn.
    pub queue: usize,
    /// What becomes of a question beyond `queue` or `per_minute`.
    pub overflow: Overflow,
    /// Requests, repetitions included.
    pub per_minute: u32,
    /// Requests of a UTC day, repetitions included; kept across restarts.
    pub per_day: u32,
    /// Everything the provider sends for one request, its envelope included.
    pub max_answer_bytes: usize,
    pub max_evidence_bytes: usize,
    /// Length of the model's answer, in its own unit; models that think aloud need more.
    pub max_tokens: u32,
    /// Earlier events of the session that go along.
    pub recent_events: usize,
    /// A verdict less certain than this counts as "unsure"; 0 to 1.
    pub min_confidence: f64,
    /// How long an answer is remembered; zero remembers nothing.
    pub cache_ttl: Duration,
    /// Answers remembered at the most.
    pub cache_entries: usize,
    /// Failures in a row after which the model is left alone for a while.
    pub breaker_failures: u32,
    /// For how long at first; it doubles with each failed attempt after that, up to 10 minutes.
    pub breaker_pause: Duration,
}

// `min_confidence` is never NaN, so equality is total.
impl Eq for Llm {}

words! {
    /// Which protocol is spoken.
    Provider { OpenAi = "openai", Ollama = "ollama", Anthropic = "anthropic" }
}

words! {
    #[derive(Default)]
    Overflow {
        /// The question fails at once; the default action applies.
        #[default] Fail = "fail",
        /// It waits, at most until its time is up.
        Wait = "wait",
    }
}

impl Provider {
    fn default_base_url(self) -> &'static str {
        match self {
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Ollama => "http://127.0.0.1:11434",
            Self::Anthropic => "https://api.anthropic.com",
        }
    }
}

/// Where the key is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    File(PathBuf),
    /// Name of an environment variable.
    Env(String),
}

/// `https`, or `http` to this machine; no user, password, query or fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// The address of `path` (without a slash in front) below this one.
    #[must_use]
    pub fn join(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        let path = format!("{}/{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }

    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }

    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::str::FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = plain_url(text)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("`{text}` has a query or a fragment: give the address up to the path only"));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => {
                return Err(format!(
                    "`{text}` would send evidence and key unprotected: use https, or http to this machine only"
                ));
            }
            other => return Err(format!("`{text}` is of scheme `{other}`: use https")),
        }
        Ok(Self(url))
    }
}

/// `http://HOST:PORT` or `https://HOST:PORT` of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyUrl(Url);

impl ProxyUrl {
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl std::str::FromStr for ProxyUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = plain_url(text)?;
        match url.scheme() {
            "http" | "https" => Ok(Self(url)),
            other => Err(format!("`{text}` is of scheme `{other}`: a proxy is http://HOST:PORT or https://HOST:PORT")),
        }
    }
}

/// A URL with a host and without a user; its text is only repeated when it holds no password.
fn plain_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("this is no address: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address holds a user or a password: keys belong into `key_file` or `key_env`".to_owned());
    }
    if url.host().is_none() {
        return Err(format!("`{text}` names no host"));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // The client resolves this one itself, to loopback addresses only.
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// The keys as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    provider: Provider,
    #[serde(deserialize_with = "not_empty")]
    model: String,
    #[serde(default, deserialize_with = "parsed")]
    base_url: Option<BaseUrl>,
    #[serde(default)]
    key_file: Option<PathBuf>,
    #[serde(default)]
    key_env: Option<String>,
    #[serde(default)]
    ca_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "parsed")]
    proxy: Option<ProxyUrl>,
    #[serde(default = "yes")]
    stream: bool,
    #[serde(default = "seconds::<20>", deserialize_with = "period::<_, 100, 600_000>")]
    timeout: Duration,
    #[serde(default = "seconds::<3>", deserialize_with = "period::<_, 10, 60_000>")]
    connect_timeout: Duration,
    #[serde(default = "seconds::<15>", deserialize_with = "period::<_, 10, 600_000>")]
    first_byte_timeout: Duration,
    #[serde(default = "number::<_, 2>", deserialize_with = "within::<_, _, 1, 64>")]
    parallel: usize,
    #[serde(default = "number::<_, 64>", deserialize_with = "within::<_, _, 0, 10_000>")]
    queue: usize,
    #[serde(default)]
    overflow: Overflow,
    #[serde(default = "number::<_, 60>", deserialize_with = "within::<_, _, 1, 100_000>")]
    per_minute: u32,
    #[serde(default = "number::<_, 5000>", deserialize_with = "within::<_, _, 1, 10_000_000>")]
    per_day: u32,
    #[serde(default = "number::<_, 262_144>", deserialize_with = "within::<_, _, 1024, 16_777_216>")]
    max_answer_bytes: usize,
    #[serde(default = "number::<_, 16_384>", deserialize_with = "within::<_, _, 4096, 1_048_576>")]
    max_evidence_bytes: usize,
    #[serde(default = "number::<_, 1024>", deserialize_with = "within::<_, _, 64, 65_536>")]
    max_tokens: u32,
    #[serde(default = "number::<_, 20>", deserialize_with = "within::<_, _, 0, 200>")]
    recent_events: usize,
    #[serde(default = "min_confidence", deserialize_with = "share")]
    min_confidence: f64,
    #[serde(default = "seconds::<600>", deserialize_with = "period::<_, 0, 86_400_000>")]
    cache_ttl: Duration,
    #[serde(default = "number::<_, 4096>", deserialize_with = "within::<_, _, 1, 1_000_000>")]
    cache_entries: usize,
    #[serde(default = "number::<_, 5>", deserialize_with = "within::<_, _, 1, 1000>")]
    breaker_failures: u32,
    #[serde(default = "seconds::<30>", deserialize_with = "period::<_, 10, 600_000>")]
    breaker_pause: Duration,
}

impl TryFrom<Written> for Llm {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let key = match (written.key_file, written.key_env) {
            (Some(_), Some(_)) => return Err("`key_file` and `key_env` are both given: keep one".to_owned()),
            (Some(path), None) => Some(KeySource::File(path)),
            (None, Some(name)) => Some(KeySource::Env(name)),
            (None, None) => None,
        };
        let base_url = match written.base_url {
            Some(url) => url,
            None => written.provider.default_base_url().parse()?,
        };
        Ok(Self {
            provider: written.provider,
            model: written.model,
            base_url,
            key,
            ca_file: written.ca_file,
            proxy: written.proxy,
            stream: written.stream,
            timeout: written.timeout,
            connect_timeout: written.connect_timeout,
            first_byte_timeout: written.first_byte_timeout,
            parallel: written.parallel,
            queue: written.queue,
            overflow: written.overflow,
            per_minute: written.per_minute,
            per_day: written.per_day,
            max_answer_bytes: written.max_answer_bytes,
            max_evidence_bytes: written.max_evidence_bytes,
            max_tokens: written.max_tokens,
            recent_events: written.recent_events,
            min_confidence: written.min_confidence,
            cache_ttl: written.cache_ttl,
            cache_entries: written.cache_entries,
            breaker_failures: written.breaker_failures,
            breaker_pause: written.breaker_pause,
        })
    }
}

fn yes() -> bool {
    true
}

fn min_confidence() -> f64 {
    0.6
}

fn seconds<const SECONDS: u64>() -> Duration {
    Duration::from_secs(SECONDS)
}

fn number<T: From<u16> + TryFrom<u32>, const NUMBER: u32>() -> T {
    // Every default is far below u32::MAX, and no target of ours has a smaller usize.
    T::try_from(NUMBER).unwrap_or_else(|_| T::from(u16::MAX))
}

fn not_empty<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if text.trim().is_empty() { Err(de::Error::custom("`model` is empty: name a model")) } else { Ok(text) }
}

fn parsed<'de, D: Deserializer<'de>, T: std::str::FromStr<Err = String>>(from: D) -> Result<Option<T>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(de::Error::custom)
}

/// A duration as people write it; the bounds are milliseconds.
pub(crate) fn period<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let wrong = || de::Error::custom(format!("`{text}` is no duration: write it like 500ms, 30s, 10m or 1h"));
    let span: Span = text.parse().map_err(|_| wrong())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    let duration = Duration::try_from(duration).map_err(|_| wrong())?;
    let (min, max) = (Duration::from_millis(MIN), Duration::from_millis(MAX));
    if (min..=max).contains(&duration) {
        Ok(duration)
    } else {
        Err(de::Error::custom(format!("`{text}` is outside of {min:?} to {max:?}")))
    }
}

fn within<'de, D, T, const MIN: u64, const MAX: u64>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    // Read as text, so that the message can repeat what stands there.
    let text = String::deserialize(from)?;
    let wrong = || de::Error::custom(format!("`{text}` is no whole number from {MIN} to {MAX}"));
    let number = text.parse::<u64>().map_err(|_| wrong())?;
    if !(MIN..=MAX).contains(&number) {
        return Err(wrong());
    }
    T::try_from(number).map_err(|_| wrong())
}

fn share<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(from)?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err(de::Error::custom(format!("{share} is outside of 0 to 1")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn parse(llm: &str) -> Result<Llm, String> {
        let text = format!("judge:\n  llm:\n{llm}");
        let settings = Settings::parse("l.yaml", text.as_bytes()).map_err(|error| error.to_string())?;
        settings.judge.llm.ok_or_else(|| "no llm".to_owned())
    }

    #[test]
    fn a_provider_and_a_model_are_enough() {
        let llm = parse("    provider: anthropic\n    model: m\n").unwrap();
        assert_eq!(llm.base_url.join("v1/messages").as_str(), "https://api.anthropic.com/v1/messages");
        assert_eq!((llm.timeout, llm.per_day, llm.overflow), (Duration::from_secs(20), 5000, Overflow::Fail));
        assert_eq!(llm.key, None);
        let llm = parse("    provider: openai\n    model: m\n").unwrap();
        assert_eq!(llm.base_url.join("chat/completions").as_str(), "https://api.openai.com/v1/chat/completions");
    }

    #[test]
    fn every_key_is_taken() {
        let llm = parse(
            "    provider: ollama\n    model: qwen\n    base_url: http://[::1]:8080/x/\n    key_file: /k\n    stream: false\n    \
             timeout: 500ms\n    connect_timeout: 20ms\n    first_byte_timeout: 1s\n    parallel: 3\n    queue: 0\n    \
             overflow: wait\n    per_minute: 7\n    per_day: 8\n    max_answer_bytes: 4096\n    max_evidence_bytes: 5000\n    \
             max_tokens: 99\n    recent_events: 0\n    min_confidence: 1\n    cache_ttl: 0s\n    cache_entries: 5\n    \
             breaker_failures: 2\n    breaker_pause: 50ms\n    ca_file: /ca\n    proxy: http://10.0.0.1:3128\n",
        )
        .unwrap();
        assert_eq!(llm.base_url.join("api/chat").as_str(), "http://[::1]:8080/x/api/chat");
        assert_eq!(llm.key, Some(KeySource::File("/k".into())));
        assert_eq!((llm.timeout, llm.cache_ttl), (Duration::from_millis(500), Duration::ZERO));
        assert_eq!((llm.parallel, llm.queue, llm.per_minute, llm.per_day), (3, 0, 7, 8));
        assert_eq!(llm.proxy.unwrap().url().as_str(), "http://10.0.0.1:3128/");
    }

    #[test]
    fn problems_are_named_with_their_place() {
        let check = |line: &str, place: &str, word: &str| {
            let error = parse(&format!("    provider: openai\n    model: m\n    {line}\n")).unwrap_err();
            assert!(error.starts_with(&format!("l.yaml:{place}: ")) && error.contains(word), "{line}: {error}");
        };
        check("api_key: sk-1", "5:5", "api_key");
        check("timeout: soon", "5:14", "`soon` is no duration");
        check("timeout: 5h", "5:14", "outside of 100ms to 600s");
        check("timeout: -5s", "5:14", "no duration");
        check("per_day: 0", "5:14", "`0` is no whole number from 1 to 10000000");
        check("queue: many", "5:12", "`many` is no whole number from 0 to 10000");
        check("queue: -1", "5:12", "`-1` is no whole number");
        check("min_confidence: 1.5", "5:21", "outside of 0 to 1");
        check("min_confidence: .nan", "5:21", "outside of 0 to 1");
        check("overflow: drop", "5:15", "drop");
        check("base_url: http://10.0.0.1/v1", "5:15", "use https");
        check("base_url: http://localhost.example.com/", "5:15", "use https");
        check("base_url: http://127.0.0.1@example.com/", "5:15", "user or a password");
        check("base_url: file:///etc/passwd", "5:15", "no host");
        check("base_url: https://example.com/?key=1", "5:15", "query");
        check("base_url: https://u:hunter2@example.com", "5:15", "user or a password");
        let error = parse("    provider: openai\n    model: m\n    base_url: https://u:hunter2@example.com\n");
        assert!(!error.unwrap_err().contains("hunter2"));
        let error = parse("    provider: openai\n    model: m\n    key_file: /a\n    key_env: B\n").unwrap_err();
        assert!(error.starts_with("l.yaml:") && error.contains("keep one"), "{error}");
        assert!(parse("    provider: openai\n").unwrap_err().contains("model"));
        assert!(parse("    provider: closedai\n    model: m\n").unwrap_err().starts_with("l.yaml:3:15: "));
    }

    #[test]
    fn the_documentation_tells_the_defaults() {
        let text = include_str!("../../../../docs/llm.md");
        let rows: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| {
                let mut cells = line.strip_prefix("| `")?.split(" | ");
                Some((cells.next()?.trim_end_matches('`'), cells.next()?.trim_matches('`')))
            })
            .collect();
        // Each key with the default that stands there is what each key without is.
        let written = |(key, default): &(&str, &str)| match (*key, *default) {
            ("provider", _) => "    provider: openai\n".to_owned(),
            ("model", _) => "    model: m\n".to_owned(),
            ("base_url", all) => format!("    base_url: {}\n", all.split('`').next().unwrap()),
            (_, "none" | "the host's authorities") => String::new(),
            (key, default) => format!("    {key}: {default}\n"),
        };
        let told = parse(&rows.iter().map(written).collect::<String>()).unwrap();
        assert_eq!(told, parse("    provider: openai\n    model: m\n").unwrap());
        assert_eq!(rows.len(), 25, "{rows:?}");
        // And every key is told: a wrong one names those there are.
        let error = parse("    provider: openai\n    model: m\n    nonsense: 1\n").unwrap_err();
        for (key, _) in &rows {
            assert!(error.contains(key), "{key}: {error}");
        }
    }

    #[test]
    fn http_is_for_this_machine_only() {
        for good in ["http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]", "http://LOCALHOST:8080", "https://a.b"] {
            assert!(good.parse::<BaseUrl>().is_ok(), "{good}");
        }
        for bad in ["http://0.0.0.0", "http://[::ffff:10.0.0.1]", "http://localhost.", "ftp://127.0.0.1", "nonsense"] {
            assert!(bad.parse::<BaseUrl>().is_err(), "{bad}");
        }
    }
}
