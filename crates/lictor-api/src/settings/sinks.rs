// SPDX-License-Identifier: Apache-2.0
//! `sinks:`: where events, alerts and metrics are sent beside the event store. `docs/sinks.md` tells what each key does.

use super::llm::{KeySource, period};
use crate::event::words;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::{Host, Url};

/// By name: letters, digits, `-` and `_`, at most 64. The name is part of file names and of metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sinks(pub BTreeMap<String, Sink>);

/// One sink.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Sink {
    pub to: Target,
    pub send: Vec<Stream>,
    /// A condition over the event, or over an alert's example.
    pub filter: Option<String>,
    /// Records that wait in memory at the most.
    pub queue: usize,
    /// Bytes that wait on disk at the most; 0 keeps nothing there.
    pub spill: u64,
    /// Records of one delivery at the most.
    pub batch: usize,
    /// How long a delivery may take.
    pub timeout: Duration,
    /// Wait after the first failure; it doubles up to `retry_max`.
    pub retry: Duration,
    pub retry_max: Duration,
}

words! {
    /// What is sent.
    Stream { Events = "events", Alerts = "alerts", Metrics = "metrics" }
}

words! {
    /// How a record is written.
    Format {
        /// The event or alert as JSON, one a line.
        Json = "json",
        /// One line for people.
        Text = "text",
        /// The Open Cybersecurity Schema Framework, JSON.
        Ocsf = "ocsf",
        /// Slack's incoming webhooks, and what speaks like them.
        Slack = "slack",
    }
}

words! {
    /// The kind of a sink.
    SinkType { File = "file", Syslog = "syslog", Webhook = "webhook", Otlp = "otlp" }
}

/// Where it goes, with what only this kind of sink has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    File {
        path: PathBuf,
        format: Format,
        rotate_size: u64,
        rotate_files: u32,
    },
    Syslog {
        address: SyslogAddress,
        format: Format,
        facility: u8,
        ca_file: Option<PathBuf>,
    },
    Webhook {
        url: UrlSource,
        format: Format,
        secret: Option<KeySource>,
        token: Option<KeySource>,
        ca_file: Option<PathBuf>,
    },
    Otlp {
        url: UrlSource,
        token: Option<KeySource>,
        ca_file: Option<PathBuf>,
        interval: Duration,
    },
}

impl Sink {
    /// Files of the sink's own: what it writes, and what it reads secrets from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let (written, keys) = match &self.to {
            Target::File { path, .. } => (Some(path), [None, None, None]),
            Target::Syslog { .. } => (None, [None, None, None]),
            Target::Webhook { url, secret, token, .. } => (None, [url.key(), secret.as_ref(), token.as_ref()]),
            Target::Otlp { url, token, .. } => (None, [url.key(), None, token.as_ref()]),
        };
        let read = keys.into_iter().flatten().filter_map(|key| match key {
            KeySource::File(path) => Some(path),
            KeySource::Env(_) => None,
        });
        written.into_iter().chain(read).map(PathBuf::as_path)
    }
}

impl UrlSource {
    fn key(&self) -> Option<&KeySource> {
        match self {
            Self::Plain(_) => None,
            Self::Secret(key) => Some(key),
        }
    }
}

impl Target {
    #[must_use]
    pub fn kind(&self) -> SinkType {
        match self {
            Self::File { .. } => SinkType::File,
            Self::Syslog { .. } => SinkType::Syslog,
            Self::Webhook { .. } => SinkType::Webhook,
            Self::Otlp { .. } => SinkType::Otlp,
        }
    }
}

/// An address in the settings, or, where the address is itself a secret, elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlSource {
    Plain(HttpUrl),
    Secret(KeySource),
}

/// `https`, or `http` to this machine; no user and no password. Its text may hold a secret: `Debug` shows the host only.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(Url);

impl HttpUrl {
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }

    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

impl std::str::FromStr for HttpUrl {
    type Err = String;

    /// No message repeats the text: it may be a secret.
    fn from_str(text: &str) -> Result<Self, String> {
        let url: Url = text.trim().parse().map_err(|error| format!("this is no address: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the address holds a user or a password: use `token_file` or `token_env`".to_owned());
        }
        let local = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
            None => return Err("the address names no host".to_owned()),
        };
        match (url.scheme(), local) {
            ("https", _) | ("http", true) => Ok(Self(url)),
            ("http", false) => {
                Err("http would send everything unprotected: use https, or http to this machine only".to_owned())
            }
            (other, _) => Err(format!("`{other}:` is not spoken here: use https")),
        }
    }
}

/// `/dev/log`, `udp://HOST[:514]`, `tcp://HOST[:601]` or `tls://HOST[:6514]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogAddress {
    Unix(PathBuf),
    Udp { host: String, port: u16 },
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16 },
}

impl std::str::FromStr for SyslogAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        let wrong = || {
            format!(
                "`{text}` is no syslog address: write /dev/log, udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT"
            )
        };
        let url: Url = text.parse().map_err(|_| wrong())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let more = !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some();
        if more || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong());
        }
        match url.scheme() {
            "udp" => Ok(Self::Udp { host, port: url.port().unwrap_or(514) }),
            "tcp" => Ok(Self::Tcp { host, port: url.port().unwrap_or(601) }),
            "tls" => Ok(Self::Tls { host, port: url.port().unwrap_or(6514) }),
            _ => Err(wrong()),
        }
    }
}

/// Names of RFC 5424's facilities, in the order of their numbers.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// The keys as they are written. One flat set, so that a message can say which key does not belong to which type.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    r#type: SinkType,
    send: Option<Vec<Stream>>,
    filter: Option<String>,
    #[serde(default, deserialize_with = "bounded::<_, 1, 1_000_000>")]
    queue: Option<u64>,
    #[serde(default, deserialize_with = "size")]
    spill: Option<u64>,
    #[serde(default, deserialize_with = "bounded::<_, 1, 10_000>")]
    batch: Option<u64>,
    #[serde(default = "seconds::<10>", deserialize_with = "period::<_, 10, 600_000>")]
    timeout: Duration,
    #[serde(default = "seconds::<1>", deserialize_with = "period::<_, 10, 600_000>")]
    retry: Duration,
    #[serde(default = "seconds::<60>", deserialize_with = "period::<_, 10, 3_600_000>")]
    retry_max: Duration,
    format: Option<Format>,
    path: Option<PathBuf>,
    #[serde(default, deserialize_with = "size")]
    rotate_size: Option<u64>,
    #[serde(default, deserialize_with = "bounded::<_, 1, 1000>")]
    rotate_files: Option<u64>,
    address: Option<String>,
    facility: Option<String>,
    url: Option<String>,
    url_file: Option<PathBuf>,
    url_env: Option<String>,
    secret_file: Option<PathBuf>,
    secret_env: Option<String>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
    ca_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "optional_period")]
    interval: Option<Duration>,
}

impl Written {
    /// The first key that is given and that this type does not have.
    fn stranger(&self) -> Option<&'static str> {
        use SinkType::{File, Otlp, Syslog, Webhook};
        let keys: [(&str, bool, &[SinkType]); 15] = [
            ("path", self.path.is_some(), &[File]),
            ("rotate_size", self.rotate_size.is_some(), &[File]),
            ("rotate_files", self.rotate_files.is_some(), &[File]),
            ("format", self.format.is_some(), &[File, Syslog, Webhook]),
            ("address", self.address.is_some(), &[Syslog]),
            ("facility", self.facility.is_some(), &[Syslog]),
            ("url", self.url.is_some(), &[Webhook, Otlp]),
            ("url_file", self.url_file.is_some(), &[Webhook, Otlp]),
            ("url_env", self.url_env.is_some(), &[Webhook, Otlp]),
            ("secret_file", self.secret_file.is_some(), &[Webhook]),
            ("secret_env", self.secret_env.is_some(), &[Webhook]),
            ("token_file", self.token_file.is_some(), &[Webhook, Otlp]),
            ("token_env", self.token_env.is_some(), &[Webhook, Otlp]),
            ("ca_file", self.ca_file.is_some(), &[Syslog, Webhook, Otlp]),
            ("interval", self.interval.is_some(), &[Otlp]),
        ];
        keys.iter().find(|(_, given, of)| *given && !of.contains(&self.r#type)).map(|(name, ..)| *name)
    }

    fn url(&mut self) -> Result<UrlSource, String> {
        let key = key("url", self.url_file.take(), self.url_env.take())?;
        match (self.url.take(), key) {
            (Some(text), None) => Ok(UrlSource::Plain(text.parse()?)),
            (None, Some(key)) => Ok(UrlSource::Secret(key)),
            (Some(_), Some(_)) => {
                Err("the address is given twice: keep one of `url`, `url_file`, `url_env`".to_owned())
            }
            (None, None) => Err("`url` is missing (or `url_file`, `url_env` where the address is a secret)".to_owned()),
        }
    }

    fn format(&self, known: &[Format]) -> Result<Format, String> {
        let format = self.format.unwrap_or(known[0]);
        if known.contains(&format) {
            return Ok(format);
        }
        let words: Vec<_> = known.iter().map(|format| format.as_str()).collect();
        Err(format!("a {} sink has no format `{format}`: {}", self.r#type, words.join(", ")))
    }

    fn target(&mut self) -> Result<Target, String> {
        Ok(match self.r#type {
            SinkType::File => {
                let path = self.path.take().ok_or("`path` is missing: a file sink needs one")?;
                if !path.is_absolute() {
                    return Err(format!("`{}` is not absolute", path.display()));
                }
                Target::File {
                    path,
                    format: self.format(&[Format::Json, Format::Text, Format::Ocsf])?,
                    rotate_size: self.rotate_size.unwrap_or(64 << 20),
                    rotate_files: self.rotate_files.map_or(5, |files| u32::try_from(files).unwrap_or(u32::MAX)),
                }
            }
            SinkType::Syslog => {
                let facility = self.facility.as_deref().unwrap_or("authpriv");
                let number = FACILITIES.iter().position(|name| *name == facility);
                Target::Syslog {
                    address: self.address.as_deref().unwrap_or("/dev/log").parse()?,
                    format: self.format(&[Format::Text, Format::Json, Format::Ocsf])?,
                    facility: number
                        .and_then(|number| u8::try_from(number).ok())
                        .ok_or_else(|| format!("`{facility}` is no facility: {}", FACILITIES.join(", ")))?,
                    ca_file: self.ca_file.take(),
                }
            }
            SinkType::Webhook => Target::Webhook {
                url: self.url()?,
                format: self.format(&[Format::Json, Format::Slack, Format::Ocsf])?,
                secret: key("secret", self.secret_file.take(), self.secret_env.take())?,
                token: key("token", self.token_file.take(), self.token_env.take())?,
                ca_file: self.ca_file.take(),
            },
            SinkType::Otlp => Target::Otlp {
                url: self.url()?,
                token: key("token", self.token_file.take(), self.token_env.take())?,
                ca_file: self.ca_file.take(),
                interval: self.interval.unwrap_or(Duration::from_secs(60)),
            },
        })
    }
}

impl TryFrom<Written> for Sink {
    type Error = String;

    fn try_from(mut written: Written) -> Result<Self, String> {
        if let Some(name) = written.stranger() {
            return Err(format!("a {} sink has no key `{name}`", written.r#type));
        }
        let to = written.target()?;
        let usual = match to.kind() {
            SinkType::Webhook => vec![Stream::Alerts],
            SinkType::Otlp => vec![Stream::Events, Stream::Alerts, Stream::Metrics],
            SinkType::File | SinkType::Syslog => vec![Stream::Events, Stream::Alerts],
        };
        let send = written.send.take().unwrap_or(usual);
        if send.is_empty() {
            return Err("`send` is empty: the sink would never be used; name events, alerts or metrics".to_owned());
        }
        if send.contains(&Stream::Metrics) && to.kind() != SinkType::Otlp {
            return Err(format!("a {} sink sends no metrics: only otlp does", to.kind()));
        }
        if written.retry > written.retry_max {
            return Err("`retry` is longer than `retry_max`".to_owned());
        }
        let slack = matches!(to, Target::Webhook { format: Format::Slack, .. });
        let number =
            |value: Option<u64>, usual: usize| value.map_or(usual, |value| usize::try_from(value).unwrap_or(usual));
        Ok(Self {
            send,
            filter: written.filter,
            queue: number(written.queue, 10_000),
            spill: written.spill.unwrap_or(64 << 20),
            // Slack takes one message a request.
            batch: if slack { 1 } else { number(written.batch, 500) },
            timeout: written.timeout,
            retry: written.retry,
            retry_max: written.retry_max,
            to,
        })
    }
}

impl<'de> Deserialize<'de> for Sinks {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let sinks = BTreeMap::<String, Sink>::deserialize(from)?;
        let proper = |name: &str| {
            (1..=64).contains(&name.len())
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        match sinks.keys().find(|name| !proper(name)) {
            Some(name) => Err(de::Error::custom(format!(
                "`{}` is no name for a sink: letters, digits, `-` and `_`, at most 64",
                name.escape_debug()
            ))),
            None => Ok(Self(sinks)),
        }
    }
}

fn key(what: &str, file: Option<PathBuf>, env: Option<String>) -> Result<Option<KeySource>, String> {
    match (file, env) {
        (Some(_), Some(_)) => Err(format!("`{what}_file` and `{what}_env` are both given: keep one")),
        (Some(path), None) => Ok(Some(KeySource::File(path))),
        (None, Some(name)) => Ok(Some(KeySource::Env(name))),
        (None, None) => Ok(None),
    }
}

fn seconds<const SECONDS: u64>() -> Duration {
    Duration::from_secs(SECONDS)
}

fn optional_period<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    period::<D, 100, 86_400_000>(from).map(Some)
}

fn bounded<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(from: D) -> Result<Option<u64>, D::Error> {
    // Read as text, so that the message can repeat what stands there.
    let text = String::deserialize(from)?;
    let number = text.parse::<u64>().ok().filter(|number| (MIN..=MAX).contains(number));
    number.map(Some).ok_or_else(|| de::Error::custom(format!("`{text}` is no whole number from {MIN} to {MAX}")))
}

/// `64MiB`, `1GiB`, `500kB`, or bytes.
fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(from)?;
    let wrong = || de::Error::custom(format!("`{text}` is no size: write it like 64MiB, 1GB or 65536"));
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit: u64 = match text.get(digits.len()..).unwrap_or_default().trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)?;
    if bytes != 0 && bytes < 4096 {
        return Err(de::Error::custom(format!("`{text}` is less than 4 KiB, too little to be of use")));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn parse(sinks: &str) -> Result<Sinks, String> {
        let text = format!("sinks:\n{sinks}");
        Settings::parse("l.yaml", text.as_bytes()).map(|settings| settings.sinks).map_err(|error| error.to_string())
    }

    #[test]
    fn each_type_has_its_defaults() {
        let sinks = parse(
            "  a: {type: file, path: /var/log/l.jsonl}\n  b: {type: syslog}\n  c: {type: webhook, url: \"https://x.example/h?s=1\"}\n  \
             d: {type: webhook, url_file: /etc/lictor/slack, format: slack}\n  e: {type: otlp, url: \"http://127.0.0.1:4318\", interval: 5s}\n",
        )
        .unwrap()
        .0;
        assert_eq!(sinks["a"].send, [Stream::Events, Stream::Alerts]);
        assert_eq!((sinks["a"].queue, sinks["a"].spill, sinks["a"].batch), (10_000, 64 << 20, 500));
        let Target::Syslog { address, facility, format, .. } = &sinks["b"].to else { panic!() };
        assert_eq!((address, *facility, *format), (&SyslogAddress::Unix("/dev/log".into()), 10, Format::Text));
        assert_eq!(sinks["c"].send, [Stream::Alerts]);
        assert!(!format!("{:?}", sinks["c"]).contains("s=1"), "a query may be a secret");
        assert_eq!(sinks["d"].batch, 1);
        let Target::Otlp { interval, .. } = &sinks["e"].to else { panic!() };
        assert_eq!(*interval, Duration::from_secs(5));
    }

    #[test]
    fn what_cannot_be_meant_is_an_error_with_its_line() {
        for (text, words) in [
            ("  a: {type: file}\n", "`path` is missing"),
            ("  a: {type: file, path: x}\n", "not absolute"),
            ("  a: {type: file, path: /x, url: \"https://x\"}\n", "a file sink has no key `url`"),
            ("  a: {type: file, path: /x, format: slack}\n", "no format `slack`"),
            ("  a: {type: file, path: /x, colour: red}\n", "colour"),
            ("  a: {type: kafka}\n", "kafka"),
            ("  a: {type: syslog, address: \"http://x\"}\n", "no syslog address"),
            ("  a: {type: syslog, facility: red}\n", "no facility"),
            ("  a: {type: webhook}\n", "`url` is missing"),
            ("  a: {type: webhook, url: \"http://x.example/\"}\n", "unprotected"),
            ("  a: {type: webhook, url: \"https://u:p@x.example/\"}\n", "password"),
            ("  a: {type: webhook, url: \"https://x\", url_env: X}\n", "twice"),
            ("  a: {type: webhook, url: \"https://x\", secret_file: /a, secret_env: B}\n", "both"),
            ("  a: {type: webhook, url: \"https://x\", send: [metrics]}\n", "only otlp"),
            ("  a: {type: syslog, send: []}\n", "`send` is empty"),
            ("  a: {type: syslog, queue: 0}\n", "`0`"),
            ("  a: {type: syslog, spill: 64MX}\n", "no size"),
            ("  a: {type: syslog, retry: 2m}\n", "retry_max"),
            ("  ../a: {type: syslog}\n", "no name for a sink"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("l.yaml:2:") && error.contains(words), "{text}: {error}");
            assert!(!error.contains("u:p"), "{error}");
        }
    }

    #[test]
    fn syslog_addresses_have_the_usual_ports() {
        let parse = |text: &str| text.parse::<SyslogAddress>().unwrap();
        assert_eq!(parse("udp://h"), SyslogAddress::Udp { host: "h".into(), port: 514 });
        assert_eq!(parse("tcp://[::1]:99"), SyslogAddress::Tcp { host: "::1".into(), port: 99 });
        assert_eq!(parse("tls://siem.example"), SyslogAddress::Tls { host: "siem.example".into(), port: 6514 });
    }
}
