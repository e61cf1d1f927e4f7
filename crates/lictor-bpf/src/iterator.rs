// SPDX-License-Identifier: Apache-2.0
//! Programs that the kernel runs once for each task, or each descriptor of one, when they are read.

use std::io::Read as _;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::Sensor;
use crate::error::{Result, io};
use crate::mapping::from_bytes;
use crate::skel::types;
use crate::task::clock_ns;

/// Everything that the program writes; with `pid`, about that process alone.
pub(crate) fn iterate<T: Copy>(program: BorrowedFd<'_>, pid: Option<u32>) -> Result<Vec<T>> {
    let failed = |error: i32| io("cannot start an iterator")(std::io::Error::from_raw_os_error(-error));
    // SAFETY: all-zero is a valid bpf_iter_link_info.
    let mut info: libbpf_sys::bpf_iter_link_info = unsafe { std::mem::zeroed() };
    let mut options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as _,
        ..Default::default()
    };
    if let Some(pid) = pid {
        info.task.pid = pid;
        options.iter_info = &mut info;
        options.iter_info_len = size_of::<libbpf_sys::bpf_iter_link_info>() as u32;
    }
    // SAFETY: the program's descriptor is open, and options and info live across the call.
    let link = unsafe { libbpf_sys::bpf_link_create(program.as_raw_fd(), 0, libbpf_sys::BPF_TRACE_ITER, &options) };
    if link < 0 {
        return Err(failed(link));
    }
    // SAFETY: the call just returned this descriptor to us alone.
    let link = unsafe { OwnedFd::from_raw_fd(link) };
    // SAFETY: plain call with an open descriptor.
    let iterator = unsafe { libbpf_sys::bpf_iter_create(link.as_raw_fd()) };
    if iterator < 0 {
        return Err(failed(iterator));
    }
    // SAFETY: the call just returned this descriptor to us alone.
    let mut iterator = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(iterator) });
    let mut bytes = Vec::new();
    iterator.read_to_end(&mut bytes).map_err(io("cannot read an iterator"))?;
    Ok(bytes.chunks_exact(size_of::<T>()).filter_map(from_bytes).collect())
}

/// A process that lives, as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostProcess {
    pub pid: u32,
    /// CLOCK_BOOTTIME, nanoseconds: as in [`crate::RawEvent`].
    pub start_ns: u64,
    pub ppid: u32,
    pub uid: u32,
    pub gid: u32,
    /// Number of its control group in the version 2 hierarchy.
    pub cgroup: u64,
    /// The session of this build that governs it; 0: none does.
    pub session: u64,
    pub comm: Vec<u8>,
}

/// Who lives.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// CLOCK_BOOTTIME before the first was asked for: who started later may be missing.
    pub at_ns: u64,
    pub processes: Vec<HostProcess>,
}

impl Sensor {
    /// Every process of the host that lives now, the kernel's own threads included.
    pub fn census(&self) -> Result<Census> {
        let at_ns = clock_ns(libc::CLOCK_BOOTTIME);
        let told = iterate::<types::lictor_process>(self.census_program(), None)?;
        let process = |p: types::lictor_process| HostProcess {
            pid: p.pid,
            start_ns: p.start_ns,
            ppid: p.ppid,
            uid: p.uid,
            gid: p.gid,
            cgroup: p.cgroup,
            session: p.session,
            comm: p.comm.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect(),
        };
        Ok(Census { at_ns, processes: told.into_iter().map(process).collect() })
    }
}
