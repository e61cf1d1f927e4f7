// SPDX-License-Identifier: Apache-2.0
//! Network patterns to a table for longest-prefix match. The kernel finds one prefix only, so every
//! prefix already carries what all its covering prefixes say.

use std::collections::{BTreeMap, HashMap};

use super::endpoint::{Endpoint, Host, Protocol};

/// Which way: `connect` covers every way of sending to an address, `listen` binding to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    Connect,
    Listen,
}

/// The ports of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortSet {
    None,
    All,
    /// An index into [`NetworkTable::sets`].
    Set(u32),
}

/// What may be reached under one prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub direction: Direction,
    /// IPv4 stands as `::ffff:a.b.c.d`.
    pub addr: [u8; 16],
    /// 0 to 128.
    pub len: u8,
    pub tcp: PortSet,
    pub udp: PortSet,
}

/// All prefixes of an agent. An address under none of them is not permitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkTable {
    pub prefixes: Vec<Prefix>,
    /// Bit `p % 64` of word `p / 64` stands for port `p`.
    pub sets: Vec<Box<[u64; 1024]>>,
}

impl NetworkTable {
    /// The answer of the longest prefix that covers `address`, as the kernel finds it.
    pub fn permits(&self, direction: Direction, address: [u8; 16], port: u16, protocol: Protocol) -> bool {
        let covering = |p: &&Prefix| p.direction == direction && covers(&p.addr, p.len, &address);
        let Some(prefix) = self.prefixes.iter().filter(covering).max_by_key(|p| p.len) else {
            return false;
        };
        match if protocol == Protocol::Tcp { prefix.tcp } else { prefix.udp } {
            PortSet::None => false,
            PortSet::All => true,
            PortSet::Set(i) => self.sets[i as usize][usize::from(port) / 64] >> (port % 64) & 1 == 1,
        }
    }
}

/// Too many different port sets to be held in the kernel.
#[derive(Debug)]
pub(super) struct TooManySets;

/// Every set takes 8 KiB of kernel memory.
const MAX_SETS: usize = 4096;
const V4: ([u8; 16], u8) = ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0], 96);

/// Sorted port ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Ports(Vec<(u16, u16)>);

impl Ports {
    fn add(&mut self, ranges: impl Iterator<Item = (u16, u16)>) {
        self.0.extend(ranges);
        self.0.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(self.0.len());
        for &(low, high) in &self.0 {
            match merged.last_mut() {
                Some(last) if u32::from(low) <= u32::from(last.1) + 1 => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        self.0 = merged;
    }

    fn without(&self, other: &Ports) -> Ports {
        let mut rest = Vec::new();
        let mut cuts = other.0.iter().copied().peekable();
        for &(mut low, high) in &self.0 {
            let mut open = true;
            while let Some(&(from, to)) = cuts.peek() {
                if to < low {
                    cuts.next();
                    continue;
                }
                if from > high {
                    break;
                }
                if from > low {
                    rest.push((low, from - 1));
                }
                if to >= high {
                    open = false;
                    break;
                }
                low = to + 1;
                cuts.next();
            }
            if open {
                rest.push((low, high));
            }
        }
        Ports(rest)
    }
}

/// What one prefix and all that cover it say, TCP first, then UDP.
#[derive(Clone, Default)]
struct Sum {
    allow: [Ports; 2],
    deny: [Ports; 2],
}

impl Sum {
    fn add<'a>(&mut self, said: &'a Said, speaks: impl Fn(&&'a Endpoint) -> bool + Copy) {
        for (i, protocol) in [Protocol::Tcp, Protocol::Udp].into_iter().enumerate() {
            let ranges = |list: &'a [Endpoint]| {
                list.iter().filter(speaks).filter(move |e| e.protocol == protocol).map(|e| e.ports)
            };
            self.allow[i].add(ranges(&said.allow));
            self.deny[i].add(ranges(&said.deny));
        }
    }
}

/// What is said at exactly one prefix.
#[derive(Default)]
struct Said {
    allow: Vec<Endpoint>,
    deny: Vec<Endpoint>,
}

pub(super) struct Lists<'a> {
    /// `None` permits everything that `deny` does not name.
    pub(super) connect: Option<Vec<&'a Endpoint>>,
    pub(super) listen: Option<Vec<&'a Endpoint>>,
    pub(super) deny: Vec<&'a Endpoint>,
}

pub(super) fn build(lists: &Lists<'_>) -> Result<NetworkTable, TooManySets> {
    let mut table = NetworkTable::default();
    let mut known = HashMap::new();
    for (direction, allow) in [(Direction::Connect, &lists.connect), (Direction::Listen, &lists.listen)] {
        if allow.is_none() && lists.deny.is_empty() {
            continue;
        }
        direction_table(direction, allow.as_deref(), &lists.deny, &mut table, &mut known)?;
    }
    Ok(table)
}

fn direction_table(
    direction: Direction,
    allow: Option<&[&Endpoint]>,
    deny: &[&Endpoint],
    table: &mut NetworkTable,
    known: &mut HashMap<Ports, PortSet>,
) -> Result<(), TooManySets> {
    let mut said: BTreeMap<([u8; 16], u8), Said> = BTreeMap::new();
    let everything =
        [Protocol::Tcp, Protocol::Udp].map(|protocol| Endpoint { host: Host::Any, ports: (0, u16::MAX), protocol });
    let all: Vec<&Endpoint> = everything.iter().collect();
    for endpoint in allow.unwrap_or(&all) {
        said.entry(endpoint.host.prefix()).or_default().allow.push(**endpoint);
    }
    for endpoint in deny {
        for host in beside_loopback(endpoint.host) {
            said.entry(host.prefix()).or_default().deny.push(Endpoint { host, ..**endpoint });
        }
    }
    // IPv6 prefixes that reach over the mapped addresses say nothing about IPv4: this one takes over.
    said.entry(V4).or_default();

    let mut for_all = Sum::default();
    if let Some(root) = said.get(&([0; 16], 0)) {
        for_all.add(root, |e| e.host == Host::Any);
    }
    // Sorted by address and length, the prefixes that cover one stand before it: a stack holds them.
    let mut stack: Vec<(([u8; 16], u8), Sum)> = Vec::new();
    for (prefix, own) in said {
        while stack.last().is_some_and(|((addr, len), _)| *len > prefix.1 || !covers(addr, *len, &prefix.0)) {
            stack.pop();
        }
        let mut sum =
            if prefix == V4 { for_all.clone() } else { stack.last().map(|(_, sum)| sum.clone()).unwrap_or_default() };
        sum.add(&own, |_| true);
        let [tcp, udp] = [0, 1].map(|i| sum.allow[i].without(&sum.deny[i]));
        stack.push((prefix, sum));
        let (tcp, udp) = (intern(tcp, table, known)?, intern(udp, table, known)?);
        table.prefixes.push(Prefix { direction, addr: prefix.0, len: prefix.1, tcp, udp });
    }
    Ok(())
}

/// The kernel takes a connection to the unspecified address for one to the host itself, so denying
/// the loopback address denies that too.
fn beside_loopback(host: Host) -> Vec<Host> {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let mut hosts = vec![host];
    if host != Host::Any && host.contains(IpAddr::V4(Ipv4Addr::LOCALHOST)) {
        hosts.push(Host::V4(Ipv4Addr::UNSPECIFIED.into()));
    }
    if host != Host::Any && host.contains(IpAddr::V6(Ipv6Addr::LOCALHOST)) {
        hosts.push(Host::V6(Ipv6Addr::UNSPECIFIED.into()));
    }
    hosts
}

fn intern(ports: Ports, table: &mut NetworkTable, known: &mut HashMap<Ports, PortSet>) -> Result<PortSet, TooManySets> {
    if ports.0.is_empty() {
        return Ok(PortSet::None);
    }
    if ports.0 == [(0, u16::MAX)] {
        return Ok(PortSet::All);
    }
    if let Some(set) = known.get(&ports) {
        return Ok(*set);
    }
    if table.sets.len() == MAX_SETS {
        return Err(TooManySets);
    }
    let mut bits = Box::new([0u64; 1024]);
    for &(low, high) in &ports.0 {
        for port in low..=high {
            bits[usize::from(port) / 64] |= 1 << (port % 64);
        }
    }
    let set = PortSet::Set(table.sets.len() as u32);
    table.sets.push(bits);
    known.insert(ports, set);
    Ok(set)
}

fn covers(prefix: &[u8; 16], len: u8, address: &[u8; 16]) -> bool {
    let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
    u128::from_be_bytes(*prefix) & mask == u128::from_be_bytes(*address) & mask
}
