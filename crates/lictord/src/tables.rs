// SPDX-License-Identifier: Apache-2.0
//! The engine's compiled policy in the kernel crate's words: one conversion, so that neither shapes the other.

use lictor_api::control::Mode;
use lictor_bpf::{Cell, Hash, Identity, Network, PortSet, Ports, Tables, abi::flags};
use lictor_engine::policy::{self, Compiled, Direction};

pub(crate) struct Owned<'a> {
    cells: Vec<Cell>,
    networks: Vec<Network>,
    ports: Vec<&'a Ports>,
    hashes: Vec<Hash>,
    start: u32,
    flags: u32,
    privileges: u32,
    judge: u32,
}

impl<'a> Owned<'a> {
    pub(crate) fn new(compiled: &'a Compiled, mode: Mode, all_events: bool, judge: u32) -> Owned<'a> {
        let said = &compiled.flags;
        let mut bits = 0;
        for (set, bit) in [
            (said.has_read, flags::HAS_READ),
            (said.has_write, flags::HAS_WRITE),
            (said.has_exec_allow, flags::HAS_EXEC),
            (said.has_libraries, flags::HAS_LIBRARIES),
            (said.has_network, flags::HAS_NETWORK),
            (said.checks_connect(), flags::HAS_CONNECT),
            (said.checks_listen(), flags::HAS_LISTEN),
            (said.has_unix, flags::HAS_UNIX),
            (said.anonymous_allowed, flags::ANONYMOUS_ALLOWED),
            (said.undecided == policy::Undecided::Deny, flags::UNDECIDED_DENY),
            (mode == Mode::Enforce, flags::ENFORCE),
            (said.undecided == policy::Undecided::Hold, flags::UNDECIDED_HOLD),
            (judge != 0, flags::JUDGED),
            (all_events, flags::REPORT_READS),
        ] {
            if set {
                bits |= bit;
            }
        }
        let ports = |set: policy::PortSet| match set {
            policy::PortSet::None => PortSet::None,
            policy::PortSet::All => PortSet::All,
            policy::PortSet::Set(index) => PortSet::Set(index),
        };
        Owned {
            cells: compiled
                .automaton
                .cells
                .iter()
                .map(|cell| Cell { check: cell.check, next: cell.next, default: cell.default, accept: cell.accept })
                .collect(),
            networks: compiled
                .network
                .prefixes
                .iter()
                .map(|prefix| Network {
                    listen: prefix.direction == Direction::Listen,
                    addr: prefix.addr,
                    len: prefix.len,
                    tcp: ports(prefix.tcp),
                    udp: ports(prefix.udp),
                })
                .collect(),
            ports: compiled.network.sets.iter().map(|set| &**set).collect(),
            hashes: compiled.hashes.iter().map(|(sha256, allow)| Hash { sha256: *sha256, allow: *allow }).collect(),
            start: compiled.automaton.start,
            flags: bits,
            privileges: said.privileges,
            judge,
        }
    }

    pub(crate) fn tables<'b>(&'b self, identities: &'b [(Identity, u32)]) -> Tables<'b> {
        Tables {
            cells: &self.cells,
            start: self.start,
            flags: self.flags,
            privileges: self.privileges,
            judge: self.judge,
            networks: &self.networks,
            ports: &self.ports,
            hashes: &self.hashes,
            identities,
        }
    }
}
