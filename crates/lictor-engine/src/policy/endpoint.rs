// SPDX-License-Identifier: Apache-2.0
//! One network pattern: `HOST:PORT[/udp|/tcp]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// The transport a pattern or a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// Which addresses; IPv4 and IPv6 are kept apart, since `[::/0]` is not a way to say all of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Host {
    Any,
    V4(Ipv4Net),
    V6(Ipv6Net),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    pub(super) host: Host,
    /// First and last port, both included.
    pub(super) ports: (u16, u16),
    pub(super) protocol: Protocol,
}

impl Host {
    /// Its prefix in the one table, where IPv4 stands as `::ffff:a.b.c.d`.
    pub(super) fn prefix(self) -> ([u8; 16], u8) {
        match self {
            Host::Any => ([0; 16], 0),
            Host::V4(net) => (net.network().to_ipv6_mapped().octets(), net.prefix_len() + 96),
            Host::V6(net) => (net.network().octets(), net.prefix_len()),
        }
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        match (self, address.to_canonical()) {
            (Host::Any, _) => true,
            (Host::V4(net), IpAddr::V4(a)) => net.contains(&a),
            (Host::V6(net), IpAddr::V6(a)) => net.contains(&a),
            _ => false,
        }
    }
}

impl Endpoint {
    pub(super) fn matches(&self, address: IpAddr, port: u16, protocol: Protocol) -> bool {
        self.protocol == protocol && self.ports.0 <= port && port <= self.ports.1 && self.host.contains(address)
    }

    pub(super) fn parse(text: &str) -> Result<Endpoint, String> {
        // The `/` of a protocol stands behind the last `:`, that of a prefix length before it.
        let (text, protocol) = match text.rsplit_once(':').and_then(|(_, tail)| tail.rsplit_once('/')) {
            Some((before, _)) if before.contains(']') => (text, Protocol::Tcp),
            Some((_, "tcp")) => (text.strip_suffix("/tcp").unwrap_or(text), Protocol::Tcp),
            Some((_, "udp")) => (text.strip_suffix("/udp").unwrap_or(text), Protocol::Udp),
            Some((_, other)) if !text.ends_with(']') => {
                return Err(format!("unknown protocol `{other}`: known are `/tcp` and `/udp`"));
            }
            _ => (text, Protocol::Tcp),
        };
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let Some((inside, after)) = rest.split_once(']') else {
                return Err(format!("`[` of `{text}` is never closed"));
            };
            let Some(port) = after.strip_prefix(':') else {
                return Err(format!("a port is missing: write `[{inside}]:443` or `[{inside}]:*`"));
            };
            (v6(inside)?, port)
        } else {
            let Some((host, port)) = text.rsplit_once(':') else {
                return Err(format!("a port is missing: write `{text}:443` or `{text}:*`"));
            };
            if host.contains(':') {
                return Err(format!("an IPv6 address stands in brackets: write `[{host}]:{port}`"));
            }
            (host_outside_brackets(host)?, port)
        };
        Ok(Endpoint { host, ports: ports(port)?, protocol })
    }
}

fn v6(text: &str) -> Result<Host, String> {
    let (address, length) = split_length(text, 128)?;
    let address: Ipv6Addr = address.parse().map_err(|_| format!("`{address}` is not an IPv6 address"))?;
    if let Some(v4) = address.to_ipv4_mapped() {
        if length < 96 {
            return Err(format!("`{text}` mixes mapped IPv4 and IPv6: write the IPv4 prefix itself"));
        }
        return v4_net(v4, length - 96);
    }
    let net = Ipv6Net::new(address, length).map_err(|e| e.to_string())?;
    if net.network() != address {
        return Err(format!("`{text}` has bits behind the prefix: write `{}`", net.trunc()));
    }
    Ok(Host::V6(net))
}

fn host_outside_brackets(text: &str) -> Result<Host, String> {
    if text == "*" {
        return Ok(Host::Any);
    }
    if text.is_empty() {
        return Err("the host is missing: write an address, a CIDR or `*`".into());
    }
    // Digits, dots and a length only: meant as an address. Everything else can only be a name.
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'/') {
        let (address, length) = split_length(text, 32)?;
        let address: Ipv4Addr = address.parse().map_err(|_| format!("`{address}` is not an IPv4 address"))?;
        return v4_net(address, length);
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    let labels = name.strip_suffix('.').unwrap_or(name).split('.');
    let well_formed = labels
        .clone()
        .all(|l| (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    if well_formed && name.len() <= 253 {
        return Err(format!(
            "names need the egress proxy, which is not running: write the addresses of `{text}` instead"
        ));
    }
    Err(format!("`{text}` is neither an address, a CIDR, a name nor `*`"))
}

fn v4_net(address: Ipv4Addr, length: u8) -> Result<Host, String> {
    let net = Ipv4Net::new(address, length).map_err(|e| e.to_string())?;
    if net.network() != address {
        return Err(format!("`{address}/{length}` has bits behind the prefix: write `{}`", net.trunc()));
    }
    Ok(Host::V4(net))
}

fn split_length(text: &str, max: u8) -> Result<(&str, u8), String> {
    let Some((address, length)) = text.split_once('/') else {
        return Ok((text, max));
    };
    match decimal(length) {
        Some(n) if n <= u32::from(max) => Ok((address, n as u8)),
        _ => Err(format!("`/{length}` is not a prefix length: it goes from 0 to {max}")),
    }
}

fn ports(text: &str) -> Result<(u16, u16), String> {
    let one = |text: &str| match decimal(text).and_then(|n| u16::try_from(n).ok()) {
        Some(n) if n > 0 => Ok(n),
        _ => Err(format!("`{text}` is not a port: it goes from 1 to 65535, or `*` for all")),
    };
    if text == "*" {
        return Ok((0, u16::MAX));
    }
    let Some((first, last)) = text.split_once('-') else {
        return one(text).map(|p| (p, p));
    };
    let (first, last) = (one(first)?, one(last)?);
    if first > last {
        return Err(format!("the port range `{text}` is reversed: write `{last}-{first}`"));
    }
    Ok((first, last))
}

/// Digits only, unlike `str::parse`, which takes a sign.
fn decimal(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}
