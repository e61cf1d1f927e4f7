// SPDX-License-Identifier: Apache-2.0
//! Tasks as the kernel's storage knows them: a pidfd, never a number that can be reused.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::error::{Result, io};

pub struct PidFd(OwnedFd);

impl PidFd {
    /// The process that has this number now. The caller must check afterwards that it is the one that was meant.
    pub fn open(pid: u32) -> Result<PidFd> {
        // SAFETY: plain system call without pointers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
        if fd < 0 {
            return Err(io(format!("cannot open process {pid}"))(std::io::Error::last_os_error()));
        }
        // SAFETY: the call just returned this descriptor to us alone.
        Ok(PidFd(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    pub(crate) fn key(&self) -> [u8; 4] {
        self.0.as_raw_fd().to_ne_bytes()
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// CLOCK_MONOTONIC, the clock of every event.
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
