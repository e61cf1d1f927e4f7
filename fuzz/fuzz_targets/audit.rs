// SPDX-License-Identifier: Apache-2.0
//! Any bytes as a chain with its texts and checkpoint: a report, never a panic; and a chain that was opened on such bytes
//! goes on.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run audit -- -max_len=8000`
#![no_main]

use libfuzzer_sys::fuzz_target;
use lictor_store::audit::{Audit, Entry, Kind, Options, Sources, page, parse_line, verify};

fuzz_target!(|bytes: &[u8]| {
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some(record) = parse_line(line) {
            assert!(record.n > 0 && record.prev.len() == 64);
        }
    }
    let dir = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let name = |name: &str| dir.path().join(name);
    let mut parts = bytes.split(|byte| *byte == 0);
    for file in ["chain-000000000001.jsonl", "sealed-000000000001.jsonl", "checkpoint.json", "key.pub"] {
        if let Some(part) = parts.next() {
            std::fs::write(name(file), part).expect("memory");
        }
    }
    let sources = Sources { path: dir.path().into(), ..Sources::default() };
    if let Ok(report) = verify(&sources) {
        assert_eq!(report.ok, report.problems.is_empty());
    }
    let _an_error_is_fine = page(dir.path(), None, 10, |_| true);
    let options = Options { linger: std::time::Duration::ZERO, ..Options::default() };
    if let Ok(audit) = Audit::open(dir.path(), options) {
        assert!(audit.append(Entry::new(Kind::Stop)));
        audit.close();
        assert!(audit.acknowledged() > 0);
        verify(&sources).expect("a chain that was just written");
    }
});
