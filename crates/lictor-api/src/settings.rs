// SPDX-License-Identifier: Apache-2.0
//! `lictord.yaml`: where things are, and how the daemon behaves. Every key is optional, an unknown
//! key is an error.

pub mod classifier;
pub mod http;
pub mod llm;
pub mod sinks;
pub mod store;

use crate::event::words;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where the settings are looked for when no flag names a file.
pub const DEFAULT_PATH: &str = "/etc/lictor/lictord.yaml";

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The agents.
    pub policy: PathBuf,
    /// The directory of rules.
    pub rules: PathBuf,
    /// What the daemon remembers: recorded events.
    pub state: PathBuf,
    /// The control socket.
    pub control: PathBuf,
    /// Where programs, maps and links are pinned; on a bpffs.
    pub pins: PathBuf,
    /// Whether attacks on Lictor from ungoverned root are refused too.
    pub self_protection: Switch,
    /// What is denied to enforcing sessions when the daemon has not been heard of.
    pub fail_closed: FailClosed,
    /// Whether the process tree has the processes that nobody governs, too.
    pub watch_host: Switch,
    pub judge: Judge,
    /// Where events, alerts and metrics are sent.
    pub sinks: sinks::Sinks,
    /// Where the HTTP interface listens.
    pub http: http::Http,
    pub store: store::Store,
    /// Room in the kernel for the path patterns of all sessions, in cells of 16 bytes.
    pub automaton_cells: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: "/etc/lictor/policy.yaml".into(),
            rules: "/etc/lictor/rules.d".into(),
            state: "/var/lib/lictor".into(),
            control: "/run/lictor/control.sock".into(),
            pins: "/sys/fs/bpf/lictor".into(),
            self_protection: Switch::Off,
            fail_closed: FailClosed::Network,
            watch_host: Switch::On,
            judge: Judge::default(),
            sinks: sinks::Sinks::default(),
            http: http::Http::default(),
            store: store::Store::default(),
            automaton_cells: 1 << 20,
        }
    }
}

words! {
    Switch { Off = "off", On = "on" }
}
words! {
    #[derive(Default)]
    FailClosed { #[default] Network = "network", All = "all", Off = "off" }
}

words! {
    /// What happens to an execution that no tier decides.
    #[derive(Default)]
    DefaultAction { #[default] Allow = "allow", Deny = "deny", Hold = "hold" }
}

/// Settings of the judging tiers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Judge {
    /// `hold`: a person decides, with `lictor verdicts set`.
    pub default_action: DefaultAction,
    /// How long an execution is held at the most; then the default action applies, and after `hold` it is ended.
    #[serde(deserialize_with = "llm::period::<_, 100, 86_400_000>")]
    pub hold_limit: std::time::Duration,
    /// The small local model.
    pub classifier: classifier::Classifier,
    /// The language model; without it none is asked.
    pub llm: Option<llm::Llm>,
}

impl Default for Judge {
    fn default() -> Self {
        Self {
            default_action: DefaultAction::Allow,
            hold_limit: std::time::Duration::from_secs(30),
            classifier: classifier::Classifier::default(),
            llm: None,
        }
    }
}

#[derive(Debug, Error)]
pub enum SettingsError {
    #[error("{} cannot be read: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{message}")]
    Invalid { message: String },
}

impl Settings {
    /// Reads `path`; without one the default path, which need not exist.
    pub fn load(path: Option<&Path>) -> Result<Self, SettingsError> {
        let file = path.unwrap_or(Path::new(DEFAULT_PATH));
        match std::fs::read(file) {
            Ok(bytes) => Self::parse(&file.display().to_string(), &bytes),
            Err(source) if path.is_none() && source.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(SettingsError::Io { path: file.to_owned(), source }),
        }
    }

    /// The unix socket of the HTTP interface.
    #[must_use]
    pub fn http_socket(&self) -> PathBuf {
        self.http.socket.clone().unwrap_or_else(|| self.control.with_file_name("http.sock"))
    }

    /// The file of named tokens.
    #[must_use]
    pub fn http_tokens(&self) -> PathBuf {
        self.http.tokens.clone().unwrap_or_else(|| self.state.join("http-tokens.json"))
    }

    /// Parses the text of `file`; messages start with `FILE:LINE:COLUMN`.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, SettingsError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            SettingsError::Invalid { message: format!("{file}:{line}:1: the line is not valid UTF-8") }
        })?;
        // An empty document is null in YAML, and for people a file without settings.
        let settings: Option<Self> = serde_saphyr::from_str(text).map_err(|error| {
            let message = error.without_snippet().to_string();
            let message = match error.location() {
                Some(location) => format!("{file}:{}:{}: {}", location.line(), location.column(), first_line(&message)),
                None => format!("{file}:1:1: {}", first_line(&message)),
            };
            SettingsError::Invalid { message }
        })?;
        Ok(settings.unwrap_or_default())
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_its_default() {
        for text in ["", "# nothing\n", "{}"] {
            assert_eq!(Settings::parse("l.yaml", text.as_bytes()).unwrap(), Settings::default(), "{text:?}");
        }
        let settings =
            Settings::parse("l.yaml", b"state: /srv/l\nfail_closed: all\nself_protection: on\njudge: {}\n").unwrap();
        assert_eq!(settings.state, Path::new("/srv/l"));
        assert_eq!((settings.fail_closed, settings.self_protection), (FailClosed::All, Switch::On));
    }

    #[test]
    fn problems_are_named_with_their_place() {
        let check = |text: &[u8], start: &str, word: &str| {
            let error = Settings::parse("l.yaml", text).unwrap_err().to_string();
            assert!(error.starts_with(start) && error.contains(word), "{error}");
        };
        check(b"state: /x\npolice: /y\n", "l.yaml:2:1: ", "police");
        check(b"fail_closed: never\n", "l.yaml:1:14: ", "never");
        check(b"a: b\n\xff", "l.yaml:2:1: ", "UTF-8");
        check(b"judge: {lllm: 1}\n", "l.yaml:1:", "lllm");
    }

    #[test]
    fn only_the_default_file_may_be_missing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Settings::load(Some(&dir.path().join("x"))), Err(SettingsError::Io { .. })));
    }
}
