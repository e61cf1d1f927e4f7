// SPDX-License-Identifier: Apache-2.0
//! Whatever is appended comes back and verifies; whatever is changed is found, whatever bytes are read are no panic.

use std::fs;

use lictor_store::audit::{Audit, Entry, Kind, Options, Subject, page};
use proptest::prelude::*;

use super::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".*", "[\\x00-\\x1f\u{202e}\u{2028}\"\\\\\n]{0,20}", "[a-z]{0,2000}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_appended_comes_back(
        entries in proptest::collection::vec((text(), proptest::option::of((0u32..4, text()))), 1..40),
        segment_bytes in 200u64..4000,
        checkpoint_entries in 1u64..20,
    ) {
        let dir = folder();
        let options = || Options { segment_bytes, checkpoint_entries, ..quick() };
        let (first, second) = entries.split_at(entries.len() / 2);
        for part in [first, second] {
            let audit = Audit::open(dir.path(), options()).unwrap();
            for (text, personal) in part {
                let mut entry = Entry::new(Kind::Change).with("text", text.as_str());
                if let Some((uid, text)) = personal {
                    entry = entry.about(Subject::Uid(*uid), text.as_str().into());
                }
                prop_assert!(audit.append(entry));
            }
        }
        let report = check(dir.path());
        prop_assert!(report.ok, "{:?}", said(&report));
        let mut shown = Vec::new();
        let mut before = None;
        loop {
            let page = page(dir.path(), before, 7, |record| record.kind == "change").unwrap();
            shown.extend(page.items);
            before = page.next;
            if before.is_none() { break; }
        }
        shown.reverse();
        prop_assert_eq!(shown.len(), entries.len());
        for (shown, (text, personal)) in shown.iter().zip(&entries) {
            prop_assert_eq!(shown.data["text"].as_str(), Some(text.as_str()));
            let found = shown.personal.first().and_then(|personal| personal.text.clone());
            prop_assert_eq!(found, personal.as_ref().map(|(_, text)| text.as_str().into()));
        }
    }

    #[test]
    fn any_change_of_a_closed_chain_is_found(
        at in any::<proptest::sample::Index>(),
        with in proptest::collection::vec(any::<u8>(), 0..20),
        length in 0usize..20,
    ) {
        let dir = folder();
        chain(dir.path(), 9, Options { segment_bytes: 1 << 20, ..quick() });
        let path = files(dir.path(), "chain-").remove(0);
        let good = fs::read(&path).unwrap();
        let at = at.index(good.len());
        let mut bad = good.clone();
        bad.splice(at..(at + length).min(good.len()), with);
        prop_assume!(bad != good);
        // What follows the last whole line is not yet part of the chain.
        prop_assume!(!bad.starts_with(&good) || bad[good.len()..].contains(&b'\n'));
        fs::write(&path, &bad).unwrap();
        let report = check(dir.path());
        prop_assert!(!report.ok);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let dir = folder();
        let path = dir.path().join("chain-000000000001.jsonl");
        fs::write(&path, &bytes).unwrap();
        fs::write(dir.path().join("sealed-000000000001.jsonl"), &bytes).unwrap();
        let report = check(dir.path());
        prop_assert_eq!(report.ok, !bytes.contains(&b'\n'));
        chain(dir.path(), 1, quick());
        check(dir.path());
    }
}
