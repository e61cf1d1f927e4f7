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
    clock_ns(libc::CLOCK_MONOTONIC)
}

pub(crate) fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Asks the kernel for its first BPF program: what the canary tries, and must be refused.
pub fn try_bpf() -> std::io::Result<()> {
    let mut id = 0;
    // SAFETY: `id` is valid for the call to write.
    match unsafe { libbpf_sys::bpf_prog_get_next_id(0, &mut id) } {
        0 => Ok(()),
        error => Err(std::io::Error::from_raw_os_error(-error)),
    }
}

/// A descriptor of this program itself, to be mapped later with [`try_map_executable`].
static MYSELF: std::sync::OnceLock<std::fs::File> = std::sync::OnceLock::new();

/// To be called before the process is governed: afterwards it may not be able to open itself.
pub fn prepare_map_executable() -> std::io::Result<()> {
    let file = std::fs::File::open("/proc/self/exe")?;
    MYSELF.get_or_init(|| file);
    Ok(())
}

/// Maps this program executable once more: what the canary tries, and must be refused.
pub fn try_map_executable() -> std::io::Result<()> {
    let file = MYSELF.get().ok_or_else(|| std::io::Error::other("not prepared"))?;
    // SAFETY: a fresh private mapping at an address that the kernel chooses, given back at once and never executed.
    unsafe {
        let start = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_EXEC,
            libc::MAP_PRIVATE,
            file.as_raw_fd(),
            0,
        );
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        libc::munmap(start, 4096);
    }
    Ok(())
}

/// Marks a descriptor that was inherited, and that no Rust value owns, to be closed by the next execution.
pub fn set_close_on_exec(number: RawFd) -> nix::Result<()> {
    // SAFETY: plain system call; it fails with EBADF when the number is not open, and changes nothing but a flag.
    nix::errno::Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}

/// Leaves the inherited session keyring, with whatever tickets and keys its owner has, for a new and empty one.
pub fn join_new_session_keyring() -> std::io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    let no_name = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for an anonymous keyring; nothing else is passed.
    if unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, no_name) } < 0 {
        let error = std::io::Error::last_os_error();
        // A kernel without keys has nothing to leave.
        return if error.raw_os_error() == Some(libc::ENOSYS) { Ok(()) } else { Err(error) };
    }
    Ok(())
}
