// SPDX-License-Identifier: Apache-2.0
//! Each way to change a chain is found, and its place named.

use std::fs;
use std::path::Path;

use lictor_store::audit::{Audit, Checkpoint, Entry, Kind, Options, Sources, verify};
use sha2::{Digest as _, Sha256};

use super::*;

/// One file, checkpoints at entry 11, 22 and the end.
fn one_file() -> tempfile::TempDir {
    let dir = folder();
    chain(dir.path(), 25, Options { segment_bytes: 1 << 20, ..quick() });
    let report = check(dir.path());
    assert!(report.ok, "{:?}", said(&report));
    dir
}

fn first_file(dir: &Path) -> PathBuf {
    files(dir, "chain-").remove(0)
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn put(path: &Path, lines: &[String]) {
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

/// Changes the lines of the first file, and expects problems that begin like these, and no others.
fn expect(change: impl FnOnce(&mut Vec<String>), problems: &[&str]) {
    let dir = one_file();
    let path = first_file(dir.path());
    let mut text = lines(&path);
    change(&mut text);
    put(&path, &text);
    let report = check(dir.path());
    let found = said(&report);
    assert!(!report.ok);
    let as_expected =
        found.len() == problems.len() && problems.iter().all(|start| found.iter().any(|line| line.contains(start)));
    assert!(as_expected, "expected {problems:#?}, found {found:#?}");
}

#[test]
fn an_edited_entry_is_named_with_its_line() {
    expect(|lines| lines[3] = lines[3].replace("number", "nUmber"), &[".jsonl:4 changed: entry 4 was changed"]);
    expect(
        |lines| lines[4] = lines[4].replace("\"action\":\"deny\"", "\"action\":\"hold\""),
        &[".jsonl:5 changed: entry 5"],
    );
}

#[test]
fn one_byte_anywhere_is_found() {
    let dir = one_file();
    let path = first_file(dir.path());
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        let report = check(dir.path());
        assert!(!report.ok, "byte {at} ({:?})", char::from(good[at]));
        // At the line of the byte, or where the line's entry should be.
        let line = 1 + good[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
        let near = report.problems.iter().any(|problem| problem.line.abs_diff(line) <= 1);
        assert!(near, "byte {at}, line {line}: {:#?}", said(&report));
    }
}

#[test]
fn deleted_entries_are_named() {
    expect(|lines| drop(lines.remove(3)), &[".jsonl:4 missing: entry 4 is missing"]);
    expect(|lines| drop(lines.drain(2..4)), &[".jsonl:3 missing: entries 3 to 4 are missing"]);
    expect(|lines| drop(lines.drain(..1)), &["missing: entry 1 is missing", ":1 renamed: "]);
    // Its text stays, and tells too.
    expect(|lines| drop(lines.remove(4)), &[".jsonl:5 missing: entry 5 is missing", "no entry commits itself"]);
}

#[test]
fn swapped_entries_are_named() {
    expect(|lines| lines.swap(2, 3), &[".jsonl:4 moved: entry 3 was moved"]);
    expect(
        |lines| {
            let line = lines.remove(2);
            lines.insert(12, line);
        },
        &[".jsonl:13 moved: entry 3 was moved: it stands behind entry 13"],
    );
}

#[test]
fn repeated_and_inserted_entries_are_named() {
    expect(
        |lines| {
            let line = lines[2].clone();
            lines.insert(8, line);
        },
        &[".jsonl:9 repeated: entry 3 stands where entry 9 is expected: the same entry 3 stands at"],
    );
    expect(|lines| lines.insert(5, "nonsense".into()), &[".jsonl:6 malformed"]);
    expect(|lines| lines[5] = "nonsense".into(), &[".jsonl:6 malformed"]);
    expect(|lines| lines[5] = lines[5].replacen("\"n\":6", "\"n\":60", 1), &[".jsonl:6 changed: it is numbered 60"]);
}

#[test]
fn a_cut_tail_is_found_by_the_checkpoint_beside_it() {
    for kept in [1, 10, 24, 27] {
        let dir = one_file();
        let path = first_file(dir.path());
        let mut text = lines(&path);
        let all = text.len();
        text.truncate(kept);
        put(&path, &text);
        let report = check(dir.path());
        let found = said(&report);
        let expected = format!("entries {} to {all} were cut off", kept + 1);
        assert!(found.iter().any(|line| line.contains("truncated") && line.contains(&expected)), "{found:#?}");
    }
}

#[test]
fn everything_removed_is_found_by_the_checkpoint() {
    let dir = one_file();
    for path in files(dir.path(), "chain-") {
        fs::remove_file(path).unwrap();
    }
    let report = check(dir.path());
    assert_eq!(report.problems[0].kind, "truncated", "{:?}", said(&report));
}

/// Changes entry `at` and computes the hashes of all that follow anew, as somebody without the key can.
fn rewrite_from(lines: &mut [String], at: usize) {
    lines[at] = lines[at].replace("number", "nomber").replace("\"tier\":\"policy\"", "\"tier\":\"human\"");
    for next in at + 1..lines.len() {
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(lines[next - 1].as_bytes()));
        let begin = lines[next].find("\"prev\":\"").unwrap() + 8;
        lines[next].replace_range(begin..begin + 64, &hash);
    }
}

#[test]
fn a_rewritten_tail_is_found_by_the_next_signature() {
    let dir = one_file();
    let path = first_file(dir.path());
    let mut text = lines(&path);
    rewrite_from(&mut text, 13);
    put(&path, &text);
    let report = check(dir.path());
    let found = said(&report);
    assert!(found.iter().all(|line| line.contains("rewritten")), "{found:#?}");
    let first = &report.problems[0];
    let entry = first.entry.unwrap();
    assert!(
        entry > 14 && first.message.contains(&format!("entries 11 to {} may have been written anew", entry - 1)),
        "{found:#?}"
    );
    assert_eq!(first.line, entry);
}

#[test]
fn a_rewritten_tail_without_its_checkpoints_is_found_by_the_one_kept_elsewhere() {
    let dir = one_file();
    let kept = dir.path().join("kept.json");
    fs::rename(dir.path().join("checkpoint.json"), &kept).unwrap();
    let path = first_file(dir.path());
    let mut text = lines(&path);
    let all = text.len() as u64;
    // Nothing signed is left behind entry 11, and every number and hash is right.
    text.retain(|line| !line.contains("\"kind\":\"checkpoint\"") || line.contains("\"n\":11,"));
    for (line, number) in text.iter_mut().zip(1u64..) {
        let end = line.find(",\"prev\"").unwrap();
        line.replace_range(..end, &format!("{{\"n\":{number}"));
    }
    rewrite_from(&mut text, 12);
    // The texts would betray it: they open in their places only.
    let alone = folder();
    let path = alone.path().join("chain-000000000001.jsonl");
    put(&path, &text);
    assert!(check(&path).problems.is_empty(), "{:?}", said(&check(&path)));
    let report = verify(&Sources { path, checkpoints: vec![kept], ..Sources::default() }).unwrap();
    let found = said(&report);
    assert!(
        !report.ok && found.iter().all(|line| line.contains("cut off") || line.contains("rewritten")),
        "{found:#?}"
    );
    assert!(report.last.unwrap() < all);
}

#[test]
fn an_old_copy_in_the_place_of_the_chain_is_found() {
    let dir = folder();
    let options = || Options { segment_bytes: 1 << 20, ..quick() };
    chain(dir.path(), 12, options());
    let old = folder();
    copy_folder(dir.path(), old.path());
    chain(dir.path(), 12, options());
    let newest = dir.path().join("checkpoint.json");

    // Only the file is replaced: the checkpoint beside it says so.
    let replayed = folder();
    copy_folder(dir.path(), replayed.path());
    fs::copy(first_file(old.path()), first_file(replayed.path())).unwrap();
    let report = check(replayed.path());
    assert!(report.problems.iter().any(|problem| problem.kind == "truncated"), "{:?}", said(&report));

    // The whole folder is replaced: a checkpoint that was kept elsewhere says so.
    assert!(check(old.path()).ok);
    let sources = Sources { path: old.path().into(), checkpoints: vec![newest], ..Sources::default() };
    let report = verify(&sources).unwrap();
    assert_eq!(report.problems.len(), 1, "{:?}", said(&report));
    assert_eq!(report.problems[0].kind, "truncated");

    // And lictord says so at its next start, for ever.
    chain(replayed.path(), 1, options());
    let report = check(replayed.path());
    let found = said(&report);
    assert!(found.iter().any(|line| line.contains("tampering") && line.contains("are gone")), "{found:#?}");
}

#[test]
fn another_chain_and_another_key_are_found() {
    let (dir, other) = (one_file(), one_file());
    let sources = |checkpoint: bool, key: bool| Sources {
        path: dir.path().into(),
        checkpoints: checkpoint.then(|| other.path().join("checkpoint.json")).into_iter().collect(),
        keys: key.then(|| other.path().join("key.pub")).into_iter().collect(),
    };
    let foreign = verify(&sources(true, false)).unwrap();
    assert!(!foreign.ok && foreign.problems.iter().all(|problem| problem.kind == "foreign"), "{:?}", said(&foreign));
    let key = verify(&sources(false, true)).unwrap();
    assert!(key.problems.len() >= 3, "{:?}", said(&key));
    assert!(said(&key).iter().all(|line| line.contains("none of the keys given")), "{:?}", said(&key));
    let own = Sources { path: dir.path().into(), keys: vec![dir.path().join("key.pub")], ..Sources::default() };
    let report = verify(&own).unwrap();
    assert!(report.ok && report.notes.is_empty(), "{report:?}");
}

#[test]
fn a_lost_key_is_replaced_and_never_silently() {
    let dir = one_file();
    let first = fs::read(dir.path().join("key.pub")).unwrap();
    fs::write(dir.path().join("first.pub"), first).unwrap();
    fs::remove_file(dir.path().join("key")).unwrap();
    chain(dir.path(), 3, quick());
    let report = check(dir.path());
    assert_eq!(report.problems.len(), 1, "{:?}", said(&report));
    assert_eq!(report.problems[0].kind, "key");
    // Whoever knows both keys says so.
    let keys = vec![dir.path().join("first.pub"), dir.path().join("key.pub")];
    let report = verify(&Sources { path: dir.path().into(), keys, ..Sources::default() }).unwrap();
    assert!(report.ok, "{:?}", said(&report));
}

#[test]
fn files_that_are_removed_renamed_or_swapped_are_found() {
    let made = folder();
    chain(made.path(), 60, quick());
    let all = files(made.path(), "chain-");
    assert!(all.len() > 3, "{all:?}");
    let try_it = |change: &dyn Fn(&[PathBuf]), kinds: &[&str]| {
        let dir = folder();
        copy_folder(made.path(), dir.path());
        change(&files(dir.path(), "chain-"));
        let report = check(dir.path());
        assert!(!report.ok);
        for kind in kinds {
            assert!(report.problems.iter().any(|problem| problem.kind == *kind), "{kind}: {:#?}", said(&report));
        }
    };
    try_it(&|files| fs::remove_file(&files[1]).unwrap(), &["missing"]);
    try_it(&|files| fs::remove_file(&files[0]).unwrap(), &["missing"]);
    try_it(&|files| fs::remove_file(files.last().unwrap()).unwrap(), &["truncated"]);
    try_it(
        &|files| {
            let aside = files[1].with_extension("aside");
            fs::rename(&files[1], &aside).unwrap();
            fs::rename(&files[2], &files[1]).unwrap();
            fs::rename(&aside, &files[2]).unwrap();
        },
        &["renamed", "moved"],
    );
}

#[test]
fn each_file_can_be_verified_alone() {
    let dir = folder();
    chain(dir.path(), 60, quick());
    let mut entries = 0;
    for path in files(dir.path(), "chain-") {
        let alone = folder();
        let copy = alone.path().join(path.file_name().unwrap());
        fs::copy(&path, &copy).unwrap();
        let report = check(&copy);
        assert!(report.ok, "{:?}", said(&report));
        entries += report.entries;
    }
    assert_eq!(entries, check(dir.path()).entries);
}

#[test]
fn changed_removed_and_exchanged_texts_are_found() {
    let made = one_file();
    let try_it = |change: &dyn Fn(&mut Vec<String>), said_of_it: &str| {
        let dir = folder();
        copy_folder(made.path(), dir.path());
        let path = files(dir.path(), "sealed-").remove(0);
        let mut text = lines(&path);
        change(&mut text);
        put(&path, &text);
        let report = check(dir.path());
        let found = said(&report);
        assert!(!report.ok && found.iter().all(|line| line.contains("text: ")), "{found:#?}");
        assert!(found.iter().any(|line| line.contains(said_of_it)), "{found:#?}");
    };
    try_it(&|lines| drop(lines.remove(1)), "was removed, and no erasure says so");
    try_it(&|lines| lines.swap(1, 2), "no entry commits itself");
    try_it(&|lines| lines[1] = lines[1].replacen("\"text\":\"", "\"text\":\"AAAA", 1), "was changed");
    try_it(
        &|lines| {
            let number = |line: &str| line[5..line.find(',').unwrap()].to_owned();
            let (one, other) = (number(&lines[1]), number(&lines[2]));
            let moved = lines[2].replacen(&format!("{{\"n\":{other},"), &format!("{{\"n\":{one},"), 1);
            lines[1] = moved;
        },
        "was changed",
    );
    try_it(&|lines| lines[0] = "nonsense".into(), "no sealed text");
    try_it(&|lines| lines.insert(0, lines[0].replacen("\"i\":0", "\"i\":1", 1)), "no entry commits itself");

    let dir = folder();
    copy_folder(made.path(), dir.path());
    let aside = Audit::open(dir.path(), quick()).unwrap();
    aside.append(Entry::of_event(&denied(8, "/x")).unwrap());
    aside.close();
    // The key of uid 7 goes, and nobody says that it was erased.
    for entry in fs::read_dir(dir.path().join("subjects")).unwrap() {
        let path = entry.unwrap().path();
        if fs::read_to_string(&path).unwrap().contains("uid:7") {
            fs::remove_file(path).unwrap();
        }
    }
    let found = said(&check(dir.path()));
    assert!(found.iter().any(|line| line.contains("the key of its sealed text is gone")), "{found:#?}");
}

#[test]
fn a_checkpoint_on_demand_speaks_for_everything_before_it() {
    let dir = folder();
    let audit = Audit::open(dir.path(), quick()).unwrap();
    add(&audit, 3);
    let one: Checkpoint = audit.checkpoint(PATIENCE).unwrap();
    assert!(one.entry >= 4, "{one:?}");
    assert_eq!(audit.checkpoint(PATIENCE).unwrap().entry, one.entry, "nothing new, nothing to sign");
    audit.append(Entry::new(Kind::Stop));
    assert!(audit.checkpoint(PATIENCE).unwrap().entry > one.entry);
    drop(audit);
    assert!(check(dir.path()).ok);
}
