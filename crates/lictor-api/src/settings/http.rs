// SPDX-License-Identifier: Apache-2.0
//! `http:` of `lictord.yaml`: where the HTTP interface listens. The unix socket is always there.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Http {
    /// The unix socket; without it `http.sock` beside the control socket.
    pub socket: Option<PathBuf>,
    /// An address and port of TCP; without it there is no TCP.
    pub listen: Option<SocketAddr>,
    pub tls: Option<Tls>,
    /// The file of named tokens; without it `http-tokens.json` in the state directory.
    pub tokens: Option<PathBuf>,
    /// `HOST:PORT` under which browsers reach it, beside the address itself and `localhost`.
    pub hosts: Vec<String>,
}

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate, then those that signed it.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Written {
    socket: Option<PathBuf>,
    listen: Option<String>,
    tls: Option<Tls>,
    tokens: Option<PathBuf>,
    hosts: Vec<String>,
}

impl<'de> Deserialize<'de> for Http {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { socket, listen, tls, tokens, hosts } = Written::deserialize(deserializer)?;
        let listen = listen.map(|text| address(&text).map_err(D::Error::custom)).transpose()?;
        match listen {
            None if tls.is_some() || !hosts.is_empty() => {
                return Err(D::Error::custom("`http.tls` and `http.hosts` are for `http.listen`, which is missing"));
            }
            Some(listen) if !listen.ip().is_loopback() && tls.is_none() => {
                return Err(D::Error::custom(format!(
                    "`http.listen: {listen}` is no loopback address: it needs `http.tls` with `certificate` and `key`"
                )));
            }
            _ => {}
        }
        if let Some(wrong) = hosts.iter().find(|host| !is_host(host)) {
            return Err(D::Error::custom(format!("`http.hosts`: `{}` is not HOST:PORT", wrong.escape_debug())));
        }
        Ok(Self { socket, listen, tls, tokens, hosts })
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("`http.listen: {}` is not ADDRESS:PORT, such as 127.0.0.1:7480", text.escape_debug());
    let address: SocketAddr = text.parse().map_err(|_| wrong())?;
    if address.port() == 0 {
        return Err("`http.listen` needs a port".to_owned());
    }
    Ok(address)
}

fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '[' | ']' | ':');
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests {
    use crate::settings::Settings;

    #[test]
    fn what_would_be_unsafe_is_refused_when_it_is_read() {
        let check = |text: &str, word: &str| {
            let error = Settings::parse("l.yaml", text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("l.yaml:1:") && error.contains(word), "{error}");
        };
        check("http: {listen: '0.0.0.0:7480'}", "needs `http.tls`");
        check("http: {listen: '192.0.2.1:7480'}", "needs `http.tls`");
        check("http: {listen: '[::]:7480'}", "needs `http.tls`");
        check("http: {listen: '7480'}", "ADDRESS:PORT");
        check("http: {listen: '127.0.0.1:0'}", "needs a port");
        check("http: {hosts: ['a:1']}", "`http.listen`");
        check("http: {listen: '127.0.0.1:1', hosts: ['a']}", "HOST:PORT");
        check("http: {listen: '127.0.0.1:1', hosts: ['a/b:1']}", "HOST:PORT");
        check("http: {liste: 1}", "liste");
    }

    #[test]
    fn what_is_said_is_taken() {
        let parse = |text: &str| Settings::parse("l.yaml", text.as_bytes()).unwrap().http;
        assert_eq!(parse("state: /x"), super::Http::default());
        let http = parse("http: {listen: '[::1]:7480', hosts: ['lictor.example:443']}");
        assert_eq!((http.listen.unwrap().port(), http.hosts.len()), (7480, 1));
        let http = parse("http: {listen: '0.0.0.0:443', tls: {certificate: /c, key: /k}}");
        assert!(http.tls.is_some());
    }
}
