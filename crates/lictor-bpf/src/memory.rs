// SPDX-License-Identifier: Apache-2.0
//! How much memory that is free in this process is kept from others.

/// From here on a block is mapped for itself, and unmapped when it is freed.
#[cfg(target_env = "gnu")]
const OF_ITS_OWN: libc::c_int = 256 << 10;

/// To be called before the first thread is started. A session's start takes megabytes for a moment (its automaton is
/// made); each of glibc's arenas, of which there are up to eight for each processor, would keep as much for ever.
pub fn keep_little_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no memory is passed. What is refused leaves the default, which costs memory and nothing else.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
        libc::mallopt(libc::M_MMAP_THRESHOLD, OF_ITS_OWN);
        libc::mallopt(libc::M_TRIM_THRESHOLD, OF_ITS_OWN);
    }
    // The kernel would give whole pages of 2 MiB where a few blocks are left, and join again what was given back. Where it
    // does not know the call, that costs memory and nothing else.
    let _memory_only = nix::sys::prctl::set_thp_disable(true);
}

/// Gives the kernel back what has been freed: what a start or a storm of events took would else stay ours for good.
pub fn return_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no memory is passed; the allocator locks itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
