// SPDX-License-Identifier: Apache-2.0
//! That the longest prefix alone gives the whole answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lictor_engine::policy::{Direction, PortSet, Protocol, right};
use proptest::prelude::*;

use super::{agent, compile};

fn connects(lines: &str, address: &str, port: u16, protocol: Protocol) -> bool {
    compile(&agent(lines)).decide_connect(address.parse().unwrap(), port, protocol).is_allowed()
}

#[test]
fn endpoints_match_as_documented() {
    use Protocol::{Tcp, Udp};
    let list = concat!(
        "    network: { connect: [\"10.0.1.50:8080\", \"10.0.0.0/8:443\", \"[2001:db8::/32]:443\",",
        " \"127.0.0.1:*\", \"10.0.0.53:53/udp\", \"[::ffff:192.0.2.1]:7000-7010\"] }\n"
    );
    let cases = [
        ("10.0.1.50", 8080, Tcp, true),
        ("10.0.1.50", 443, Tcp, true),
        ("10.0.1.50", 80, Tcp, false),
        ("10.0.1.51", 8080, Tcp, false),
        ("::ffff:10.9.9.9", 443, Tcp, true),
        ("10.9.9.9", 443, Udp, false),
        ("11.0.0.1", 443, Tcp, false),
        ("2001:db8:1::1", 443, Tcp, true),
        ("2001:db9::1", 443, Tcp, false),
        ("127.0.0.1", 1, Tcp, true),
        ("127.0.0.1", 65535, Tcp, true),
        ("127.0.0.2", 1, Tcp, false),
        ("10.0.0.53", 53, Udp, true),
        ("10.0.0.53", 53, Tcp, false),
        ("10.0.0.53", 443, Tcp, true),
        ("192.0.2.1", 7005, Tcp, true),
        ("192.0.2.1", 7011, Tcp, false),
    ];
    for (address, port, protocol, expected) in cases {
        assert_eq!(connects(list, address, port, protocol), expected, "{address} {port} {protocol:?}");
    }
}

#[test]
fn all_of_ipv6_is_not_ipv4() {
    let lines = "    network: { connect: [\"[::/0]:443\"] }\n";
    assert!(connects(lines, "2001:db8::1", 443, Protocol::Tcp));
    assert!(!connects(lines, "192.0.2.1", 443, Protocol::Tcp));
    assert!(connects("    network: { connect: [\"*:443\"] }\n", "192.0.2.1", 443, Protocol::Tcp));
    let deny = "    network: { connect: [\"*:*\"], deny: [\"[::/0]:*\"] }\n";
    assert!(!connects(deny, "2001:db8::1", 443, Protocol::Tcp));
    assert!(connects(deny, "192.0.2.1", 443, Protocol::Tcp));
}

#[test]
fn deny_beats_both_lists_and_their_absence() {
    let lines = "    network: { deny: [\"169.254.169.254:*\", \"10.0.0.0/8:25\"] }\n";
    let c = compile(&agent(lines));
    let metadata: IpAddr = "169.254.169.254".parse().unwrap();
    assert!(!c.decide_connect(metadata, 80, Protocol::Tcp).is_allowed());
    assert!(!c.decide_listen(metadata, 80, Protocol::Tcp).is_allowed());
    assert!(c.decide_connect(metadata, 80, Protocol::Udp).is_allowed(), "no protocol means TCP");
    assert!(c.decide_connect("10.1.1.1".parse().unwrap(), 26, Protocol::Tcp).is_allowed());
    let denied = c.decide_connect("10.1.1.1".parse().unwrap(), 25, Protocol::Tcp);
    assert_eq!(denied.rule().rule, "a.network.deny[1]");
    assert_eq!(denied.rule().source, "p.yaml:4:44");
}

#[test]
fn a_more_specific_permission_does_not_undo_a_wider_denial() {
    let lines = "    network: { connect: [\"10.0.0.7:443\"], deny: [\"10.0.0.0/24:443\"] }\n";
    assert!(!connects(lines, "10.0.0.7", 443, Protocol::Tcp));
}

#[test]
fn denying_loopback_denies_the_unspecified_address() {
    let lines = "    network: { deny: [\"127.0.0.0/8:6379\", \"[::1]:6379\"] }\n";
    for address in ["127.0.0.1", "0.0.0.0", "::1", "::"] {
        assert!(!connects(lines, address, 6379, Protocol::Tcp), "{address}");
    }
    assert!(connects(lines, "0.0.0.0", 6380, Protocol::Tcp));
}

#[test]
fn empty_lists_permit_nothing_and_absent_ones_everything() {
    let c = compile(&agent("    network: { connect: [] }\n"));
    assert!(!c.decide_connect(IpAddr::V4(Ipv4Addr::LOCALHOST), 80, Protocol::Tcp).is_allowed());
    assert!(c.decide_listen(IpAddr::V4(Ipv4Addr::LOCALHOST), 80, Protocol::Tcp).is_allowed());
    assert!(c.decide_unix(b"/run/x").is_allowed());
    assert!(c.flags.has_network && c.flags.has_connect && !c.flags.has_listen && !c.flags.has_unix);
}

#[test]
fn equal_port_sets_are_kept_once() {
    let c = compile(&agent(
        "    network: { connect: [\"10.0.0.1:80\", \"10.0.0.2:80\", \"10.0.0.3:80/udp\", \"*:*/udp\"] }\n",
    ));
    assert_eq!(c.network.sets.len(), 1);
    let root = c.network.prefixes.iter().find(|p| p.direction == Direction::Connect && p.len == 0).unwrap();
    assert_eq!((root.tcp, root.udp), (PortSet::None, PortSet::All));
}

#[test]
fn unix_names_are_paths_or_abstract() {
    let c = compile(&agent(
        "    files: { deny: [\"/run/docker.sock\"] }\n    network: { unix: [\"/run/**\", \"@app-*\"] }\n",
    ));
    assert!(c.decide_unix(b"/run/x.sock").is_allowed());
    assert!(!c.decide_unix(b"/tmp/x.sock").is_allowed());
    assert!(c.decide_unix(b"@app-1").is_allowed());
    assert!(!c.decide_unix(b"@other").is_allowed());
    assert!(!c.decide_unix(b"/run/docker.sock").is_allowed());
    assert_eq!(c.mask(b"/run/docker.sock"), right::DENY | right::UNIX);
}

#[derive(Clone, Debug)]
struct Line {
    text: String,
    v6: bool,
    any: bool,
    address: u128,
    length: u32,
    ports: (u16, u16),
    protocol: Protocol,
}

fn line() -> impl Strategy<Value = Line> {
    let address = (0..4u8, 0..4u8);
    (0..5u8, address, prop::sample::select(vec![0u32, 8, 22, 30, 31, 32]), 1..12u16, 0..6u16, any::<bool>()).prop_map(
        |(kind, (a, b), length, first, more, udp)| {
            let (suffix, protocol) = if udp { ("/udp", Protocol::Udp) } else { ("", Protocol::Tcp) };
            let ports = (first, first + more);
            let tail = format!("{}-{}{suffix}", ports.0, ports.1);
            let bits = u32::from_be_bytes([10, 0, a, b]);
            if kind == 0 {
                return Line {
                    text: format!("*:{tail}"),
                    v6: false,
                    any: true,
                    address: 0,
                    length: 0,
                    ports,
                    protocol,
                };
            }
            if kind == 1 {
                let length = 96 + length;
                let whole = u128::from(bits) | 0x2001_0db8 << 96;
                let address = if length == 96 { 0 } else { whole & (u128::MAX << (128 - length)) };
                let length = if length == 96 { 0 } else { length };
                let text = format!("[{}/{length}]:{tail}", Ipv6Addr::from(address));
                return Line { text, v6: true, any: false, address, length, ports, protocol };
            }
            let address = bits & u32::MAX.checked_shl(32 - length).unwrap_or(0);
            let text = format!("{}/{length}:{tail}", Ipv4Addr::from(address));
            Line { text, v6: false, any: false, address: address.into(), length, ports, protocol }
        },
    )
}

fn says(line: &Line, address: IpAddr, port: u16, protocol: Protocol) -> bool {
    let host = match address {
        _ if line.any => true,
        IpAddr::V4(a) => {
            !line.v6 && (u64::from(u32::from(a)) >> (32 - line.length)) == (line.address as u64 >> (32 - line.length))
        }
        IpAddr::V6(a) => {
            let shift = |n: u128| n.checked_shr(128 - line.length).unwrap_or(0);
            line.v6 && shift(a.into()) == shift(line.address)
        }
    };
    host && line.protocol == protocol && (line.ports.0..=line.ports.1).contains(&port)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_longest_prefix_says_what_the_lines_say(
        allow in prop::collection::vec(line(), 0..8),
        deny in prop::collection::vec(line(), 0..5),
        asked in prop::collection::vec((any::<bool>(), 0..4u8, 0..4u8, 0..20u16, any::<bool>()), 60),
    ) {
        let texts = |l: &[Line]| serde_json::to_string(&l.iter().map(|l| &l.text).collect::<Vec<_>>()).unwrap();
        let text = agent(&format!("    network: {{ connect: {}, deny: {} }}\n", texts(&allow), texts(&deny)));
        // The same endpoint in both lists is an error of its own.
        let Ok(_) = lictor_engine::policy::parse("p.yaml", text.as_bytes()) else { return Ok(()) };
        let c = compile(&text);
        for (v6, a, b, port, udp) in asked {
            let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
            let bits = u32::from_be_bytes([10, 0, a, b]);
            let address = if v6 {
                IpAddr::V6(Ipv6Addr::from(u128::from(bits) | 0x2001_0db8 << 96))
            } else {
                IpAddr::V4(Ipv4Addr::from(bits))
            };
            let named = |lines: &[Line]| lines.iter().any(|l| says(l, address, port, protocol));
            let decision = c.decide_connect(address, port, protocol);
            prop_assert_eq!(decision.is_allowed(), named(&allow) && !named(&deny), "{} {}", address, port);
        }
    }
}
