// SPDX-License-Identifier: Apache-2.0
//! The skeleton that the build script generates: here only for its types, which have the kernel programs' layout.
#![allow(
    clippy::all,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::undocumented_unsafe_blocks,
    unused,
    unreachable_pub,
    missing_docs
)]
include!(concat!(env!("OUT_DIR"), "/lictor.skel.rs"));

/// The compiled programs.
pub(crate) static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/lictor.bpf.o"));
