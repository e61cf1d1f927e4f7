// SPDX-License-Identifier: Apache-2.0
//! A crash at any moment and at any byte: the chain holds, and nothing that was acknowledged is lost.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use lictor_store::audit::{Audit, Entry, Kind, Options, page};

use super::*;

const CHILD: &str = "LICTOR_TEST_AUDIT_CHILD";
const ROUNDS: u64 = 100;

/// What the parent kills: appends as fast as it can and tells what is acknowledged.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let options = Options {
        segment_bytes: 64 << 10,
        checkpoint_entries: 50,
        linger: Duration::from_millis(1),
        ..Options::default()
    };
    let audit = Audit::open(Path::new(&dir), options).unwrap();
    let mut out = std::io::stdout();
    let mut told = 0;
    for number in 0u64.. {
        let entry = match number % 2 {
            0 => Entry::of_event(&denied(7, &format!("/srv/{number}"))).unwrap(),
            _ => Entry::new(Kind::Rules).with("number", number),
        };
        audit.append(entry);
        let acknowledged = audit.acknowledged();
        if acknowledged > told {
            writeln!(out, "acknowledged {acknowledged}").unwrap();
            told = acknowledged;
        }
        if number % 64 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn killed_at_any_moment_the_chain_verifies_and_nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let audit = dir.path().join("audit");
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut total = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "audit::crash::child", "--nocapture"])
            .env(CHILD, &audit)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = 0;
        let began = Instant::now();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let life = Duration::from_micros((seed >> 33) % 90_000);
        let number = |line: &str| line.rsplit_once("acknowledged ").and_then(|(_, number)| number.parse::<u64>().ok());
        // Dies at a random moment after its first word, or (each tenth) before.
        if round % 10 != 0 {
            for line in lines.by_ref() {
                acknowledged = number(&line.unwrap()).unwrap_or(acknowledged);
                if acknowledged > 0 {
                    break;
                }
            }
        }
        std::thread::sleep(life.saturating_sub(began.elapsed() / 4));
        child.kill().unwrap();
        child.wait().unwrap();
        // A line that was cut off by the kill tells nothing.
        for line in lines {
            acknowledged = number(&line.unwrap()).filter(|number| *number > acknowledged).unwrap_or(acknowledged);
        }
        if !audit.exists() || files(&audit, "chain-").is_empty() {
            assert_eq!(acknowledged, 0);
            continue;
        }
        let report = check(&audit);
        assert!(report.ok, "round {round}: {:#?}", said(&report));
        assert!(
            report.last.unwrap_or(0) >= acknowledged,
            "round {round}: {acknowledged} were acknowledged, {report:?}"
        );
        total += acknowledged.saturating_sub(total);
    }
    assert!(total > ROUNDS, "the child wrote next to nothing: {total}");
    Audit::open(&audit, Options::default()).unwrap().close();
    let report = check(&audit);
    assert!(report.ok && report.texts > 0, "{:#?}", said(&report));
    println!("{ROUNDS} kills, {} entries, {} files", report.entries, report.files);
}

/// As a crash leaves it: without the checkpoint that a clean end writes.
fn crashed() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = folder();
    chain(dir.path(), 5, Options { segment_bytes: 1 << 20, checkpoint_entries: 4, ..quick() });
    fs::remove_file(dir.path().join("checkpoint.json")).unwrap();
    let (chain, sealed) = (files(dir.path(), "chain-").remove(0), files(dir.path(), "sealed-").remove(0));
    (dir, chain, sealed)
}

#[test]
fn cut_at_every_byte_the_chain_goes_on_and_says_so() {
    let (dir, chain, sealed) = crashed();
    let (good, good_sealed) = (fs::read(&chain).unwrap(), fs::read(&sealed).unwrap());
    for length in 0..=good.len() {
        for extra in files(dir.path(), "chain-").into_iter().skip(1).chain(files(dir.path(), "cut-")) {
            fs::remove_file(extra).unwrap();
        }
        fs::write(&chain, &good[..length]).unwrap();
        fs::write(&sealed, &good_sealed).unwrap();
        let whole = good[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
        let torn = length > 0 && good[length - 1] != b'\n';
        let before = check(dir.path());
        assert!(before.ok && before.entries == whole, "{length}: {:?}", said(&before));

        let audit = Audit::open(dir.path(), quick()).unwrap();
        assert!(audit.acknowledged() >= whole);
        audit.append(Entry::new(Kind::Stop));
        audit.close();
        let report = check(dir.path());
        assert!(report.ok, "{length}: {:#?}", said(&report));
        let repairs = page(dir.path(), None, 50, |record| record.kind == "repair").unwrap().items;
        assert_eq!(repairs.len(), usize::from(torn), "{length}: {repairs:?}");
        if let Some(repair) = repairs.first() {
            let bytes =
                length as u64 - good[..length].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1);
            assert_eq!(repair.data["bytes"], bytes);
            assert_eq!(repair.data["line"], whole + 1);
        }
        fs::remove_file(dir.path().join("checkpoint.json")).unwrap();
    }
}

#[test]
fn cut_at_every_byte_of_the_texts_those_of_the_entries_that_came_are_there() {
    let (dir, chain, sealed) = crashed();
    let (good, good_sealed) = (fs::read(&chain).unwrap(), fs::read(&sealed).unwrap());
    let line_ends: Vec<usize> =
        good.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    for length in 0..=good_sealed.len() {
        // Texts are on the disk before their entries: with one torn, its entry has not come.
        let texts = good_sealed[..length].iter().filter(|byte| **byte == b'\n').count();
        let entries = if texts == 0 { 1 } else { 2 + 3 * (texts - 1) };
        fs::write(&chain, &good[..line_ends[(entries - 1).min(line_ends.len() - 1)]]).unwrap();
        fs::write(&sealed, &good_sealed[..length]).unwrap();
        let audit = Audit::open(dir.path(), Options { segment_bytes: 1 << 20, ..quick() }).unwrap();
        audit.append(Entry::of_event(&denied(7, "/after")).unwrap());
        audit.close();
        let report = check(dir.path());
        assert!(report.ok, "{length}: {:#?}", said(&report));
        fs::remove_file(dir.path().join("checkpoint.json")).unwrap();
    }
}

#[test]
fn what_a_file_system_left_in_disorder_is_cut_off_and_kept() {
    let (dir, chain, _) = crashed();
    let mut bytes = fs::read(&chain).unwrap();
    let end = bytes.len();
    let third = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(2).unwrap().0 + 1;
    // The end of the group reached the disk, its beginning did not.
    bytes[third..third + 200].fill(0);
    fs::write(&chain, &bytes).unwrap();
    super::chain(dir.path(), 1, quick());
    let report = check(dir.path());
    assert!(report.ok, "{:#?}", said(&report));
    let kept = fs::read(files(dir.path(), "cut-").remove(0)).unwrap();
    assert_eq!(kept, bytes[third..end]);
    let repairs = page(dir.path(), None, 50, |record| record.kind == "repair").unwrap().items;
    assert_eq!(repairs[0].data["bytes"], (end - third) as u64);
}

#[test]
fn a_change_in_the_middle_is_never_mended_away() {
    let (dir, chain, _) = crashed();
    let mut lines: Vec<String> = fs::read_to_string(&chain).unwrap().lines().map(str::to_owned).collect();
    lines[2] = "nonsense".into();
    fs::write(&chain, lines.join("\n") + "\n").unwrap();
    super::chain(dir.path(), 4, quick());
    let report = check(dir.path());
    assert_eq!((report.problems.len(), report.problems[0].line), (1, 3), "{:#?}", said(&report));
}

#[test]
fn two_processes_never_write_to_one_chain() {
    let dir = folder();
    let first = Audit::open(dir.path(), quick()).unwrap();
    let error = Audit::open(dir.path(), quick()).err().unwrap().to_string();
    assert!(error.contains("is lictord running?"), "{error}");
    drop(first);
    Audit::open(dir.path(), quick()).unwrap();
}
