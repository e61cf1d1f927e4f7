// SPDX-License-Identifier: Apache-2.0
//! Any bytes as a record of the kernel's ring: an event or an error, never a panic, and never more than the record held.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run event -- -max_len=40000`
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(event) = lictor_bpf::decode(bytes) {
        let held = event.path.len() + event.path2.len() + event.args.iter().map(|argument| argument.len() + 1).sum::<usize>();
        assert!(held <= bytes.len() + 1, "{held} bytes out of a record of {}", bytes.len());
        assert!(event.comm.len() <= 16);
    }
});
