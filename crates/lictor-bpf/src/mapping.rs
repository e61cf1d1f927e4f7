// SPDX-License-Identifier: Apache-2.0
//! A kernel array map seen as memory: single fields can be written atomically, and a big table without a system call
//! for each entry.

use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::error::{Result, io};

pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory is shared with the kernel and only touched through atomics or under `&mut`.
unsafe impl Send for Mapping {}
// SAFETY: `&Mapping` gives access through atomics only.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of an array map that was made with `BPF_F_MMAPABLE`.
    pub(crate) fn new(map: impl AsFd, len: usize, what: &str) -> Result<Mapping> {
        // SAFETY: a fresh mapping at an address that the kernel chooses; the descriptor is open for the call.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_fd().as_raw_fd(),
                0,
            )
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Mapping { start, len }),
            _ => Err(io(format!("cannot map the kernel's table `{what}`"))(std::io::Error::last_os_error())),
        }
    }

    fn at<T>(&self, offset: usize) -> *mut T {
        assert!(offset.is_multiple_of(align_of::<T>()) && offset + size_of::<T>() <= self.len, "outside the mapping");
        self.start.as_ptr().wrapping_add(offset).cast()
    }

    pub(crate) fn u64(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: `at` checked bounds and alignment; the mapping lives as long as `self`; the kernel writes whole words.
        unsafe { AtomicU64::from_ptr(self.at(offset)) }
    }

    pub(crate) fn u32(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: as in `u64`.
        unsafe { AtomicU32::from_ptr(self.at(offset)) }
    }

    /// Copies 32-bit words in, `offset` bytes from the start.
    pub(crate) fn write_words(&self, offset: usize, words: impl Iterator<Item = u32>) {
        for (index, word) in words.enumerate() {
            self.u32(offset + index * 4).store(word, Ordering::Relaxed);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped, and nobody can hold a reference into it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A struct of the C contract as bytes, for the map calls.
pub(crate) fn bytes_of<T: Copy>(value: &T) -> &[u8] {
    // SAFETY: T is one of the skeleton's repr(C) structs, whose padding is explicit and initialised.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// The other way: `None` when there are too few bytes.
pub(crate) fn from_bytes<T: Copy>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: long enough, read unaligned; T is a repr(C) struct of integers, for which every bit pattern is a value.
    Some(unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast()) })
}
