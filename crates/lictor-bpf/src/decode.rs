// SPDX-License-Identifier: Apache-2.0
//! Ring-buffer bytes to [`RawEvent`]. The bytes are the kernel's, but they carry what attackers chose: paths, names
//! and arguments stay bytes, and a length that does not fit is a counted failure, never a panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::mapping::from_bytes;
use crate::skel::types::lictor_event;
use crate::verdict::Fingerprint;

/// One event, numbers as in [`crate::abi`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEvent {
    pub kind: u32,
    pub op: u32,
    /// CLOCK_MONOTONIC
    pub time_ns: u64,
    pub session: u64,
    /// Start of the process, CLOCK_BOOTTIME; with `pid` its identity.
    pub start_ns: u64,
    pub latency_ns: u64,
    pub slot: u32,
    pub policy: u32,
    pub pid: u32,
    pub tid: u32,
    pub ppid: u32,
    pub uid: u32,
    pub gid: u32,
    pub denied: bool,
    pub enforced: bool,
    pub tier: u32,
    pub reason: u32,
    pub rights: u32,
    pub detail: u32,
    pub detail2: u32,
    pub family: u16,
    pub port: u16,
    pub protocol: u32,
    pub address: Option<IpAddr>,
    pub path: Vec<u8>,
    /// The other end of a rename or link; the working directory of an execution.
    pub path2: Vec<u8>,
    pub args: Vec<Vec<u8>>,
    /// The arguments went on behind what the event holds.
    pub args_cut: bool,
    /// Place in the policy's list of the hash that named the content.
    pub hash: Option<u32>,
    pub comm: Vec<u8>,
    /// Of an execution: what the kernel did about the judges' verdict, one of [`crate::abi::judged`].
    pub judged: u32,
    pub fingerprint: Fingerprint,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("an event of {0} bytes is shorter than its head")]
    Short(usize),
    #[error("an event says that it has {said} bytes and has {has}")]
    Length { said: usize, has: usize },
    #[error("an event of unknown kind {0}")]
    Kind(u16),
}

/// Decodes one ring-buffer record.
pub fn decode(bytes: &[u8]) -> Result<RawEvent, DecodeError> {
    let head: lictor_event = from_bytes(bytes).ok_or(DecodeError::Short(bytes.len()))?;
    if head.kind == 0 || u32::from(head.kind) > crate::abi::kind::HOST {
        return Err(DecodeError::Kind(head.kind));
    }
    let mut rest = bytes.get(head.path_off as usize..).unwrap_or(&[]);
    let said = (head.path_off as usize)
        .saturating_add(head.path_len as usize)
        .saturating_add(head.path2_len as usize)
        .saturating_add(head.args_len as usize);
    if said > bytes.len() {
        return Err(DecodeError::Length { said, has: bytes.len() });
    }
    let mut take = |len: u32| {
        let (part, after) = rest.split_at_checked(len as usize).unwrap_or((&[], &[]));
        rest = after;
        part
    };
    let path = take(head.path_len).to_vec();
    let path2 = take(head.path2_len).to_vec();
    let arguments = take(head.args_len);
    let args_cut = head.args_len > 0 && head.detail > head.args_len;
    let args = if arguments.is_empty() {
        Vec::new()
    } else {
        arguments.strip_suffix(&[0]).unwrap_or(arguments).split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
    };
    let v6 = Ipv6Addr::from(head.addr);
    let address = match (head.family, v6.to_ipv4_mapped()) {
        (2 | 10, Some(v4)) => Some(IpAddr::V4(v4)),
        (2, None) => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        (10, None) => Some(IpAddr::V6(v6)),
        _ => None,
    };
    let comm = head.comm.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect();
    Ok(RawEvent {
        kind: head.kind.into(),
        op: head.op.into(),
        time_ns: head.time_ns,
        session: head.session,
        start_ns: head.start_ns,
        latency_ns: head.latency_ns,
        slot: head.slot,
        policy: head.policy,
        pid: head.pid,
        tid: head.tid,
        ppid: head.ppid,
        uid: head.uid,
        gid: head.gid,
        denied: head.action != 0,
        enforced: head.enforced != 0,
        tier: head.tier.into(),
        reason: head.reason.into(),
        rights: head.rights,
        detail: head.detail,
        detail2: head.detail2,
        family: head.family,
        port: head.port,
        protocol: head.protocol,
        address,
        path,
        path2,
        args,
        args_cut,
        hash: head.hash.checked_sub(1),
        comm,
        judged: head.judged,
        fingerprint: Fingerprint { object: head.object, invocation: head.invocation, judge: head.judge },
    })
}

/// What a measurement without a kernel says of an event; everything else is 0.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample<'a> {
    pub kind: u32,
    pub op: u32,
    pub time_ns: u64,
    pub session: u64,
    pub pid: u32,
    pub ppid: u32,
    pub start_ns: u64,
    pub denied: bool,
    pub path: &'a [u8],
    /// Of an execution: the directory.
    pub path2: &'a [u8],
    /// Each ended by NUL.
    pub args: &'a [u8],
}

/// The record that the kernel would write.
#[doc(hidden)]
pub fn encode(sample: &Sample<'_>) -> Vec<u8> {
    let head = lictor_event {
        kind: sample.kind as u16,
        op: sample.op as u16,
        time_ns: sample.time_ns,
        session: sample.session,
        pid: sample.pid,
        tid: sample.pid,
        ppid: sample.ppid,
        start_ns: sample.start_ns,
        action: u16::from(sample.denied),
        enforced: 1,
        path_off: size_of::<lictor_event>() as u32,
        path_len: sample.path.len() as u32,
        path2_len: sample.path2.len() as u32,
        args_len: sample.args.len() as u32,
        detail: sample.args.len() as u32,
        ..Default::default()
    };
    [crate::mapping::bytes_of(&head), sample.path, sample.path2, sample.args].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::bytes_of;

    fn record(change: impl FnOnce(&mut lictor_event), tail: &[u8]) -> Vec<u8> {
        let mut head =
            lictor_event { kind: 2, op: 1, path_off: size_of::<lictor_event>() as u32, ..Default::default() };
        change(&mut head);
        let mut bytes = bytes_of(&head).to_vec();
        bytes.extend_from_slice(tail);
        bytes
    }

    #[test]
    fn paths_and_arguments_are_taken_byte_for_byte() {
        let bytes = record(
            |head| (head.kind, head.path_len, head.path2_len, head.args_len) = (1, 4, 2, 7),
            b"/a\n\xff/bls\0-l\0\0",
        );
        let event = decode(&bytes).unwrap();
        assert_eq!(event.path, b"/a\n\xff");
        assert_eq!(event.path2, b"/b");
        assert_eq!(event.args, [b"ls".to_vec(), b"-l".to_vec(), b"".to_vec()]);
    }

    #[test]
    fn a_length_behind_the_end_is_an_error() {
        let bytes = record(|head| head.path_len = 100, b"/a");
        assert!(matches!(decode(&bytes), Err(DecodeError::Length { .. })));
        let bytes = record(|head| (head.path_len, head.args_len) = (u32::MAX, u32::MAX), b"/a");
        assert!(matches!(decode(&bytes), Err(DecodeError::Length { .. })));
    }

    #[test]
    fn every_kind_has_a_decoder_and_others_are_errors() {
        for kind in 1..=crate::abi::kind::HOST as u16 {
            assert!(decode(&record(|head| head.kind = kind, b"")).is_ok());
        }
        assert_eq!(decode(&record(|head| head.kind = 99, b"")), Err(DecodeError::Kind(99)));
        assert_eq!(decode(b"short"), Err(DecodeError::Short(5)));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets();
        let event = decode(&record(|head| (head.kind, head.family, head.addr) = (3, 10, mapped), b"")).unwrap();
        assert_eq!(event.address, Some("10.0.0.1".parse().unwrap()));
    }
}
