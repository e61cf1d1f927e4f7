// SPDX-License-Identifier: Apache-2.0
//! A full disk: nobody waits, what is lost is counted and told, and the chain goes on when there is room.

use std::fs;
use std::process::Command;
use std::time::Instant;

use lictor_store::audit::{Audit, Entry, Kind, Options, page};

use super::*;

const CHILD: &str = "LICTOR_TEST_AUDIT_DISK";

/// Runs on a file system of 1 MiB.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let dir = Path::new(&dir);
    let ballast = dir.join("ballast");
    let folder = dir.join("audit");
    let options = Options { segment_bytes: 256 << 10, queue_entries: 500, ..quick() };
    let audit = Audit::open(&folder, options).unwrap();
    add(&audit, 5);
    fs::write(&ballast, vec![1; 700 << 10]).unwrap();

    let mut waited = Duration::ZERO;
    let mut refused = 0;
    for number in 0..20_000u64 {
        let began = Instant::now();
        let entry =
            if number % 2 == 0 { Entry::of_event(&denied(7, "/srv/full")).unwrap() } else { Entry::new(Kind::Rules) };
        refused += u64::from(!audit.append(entry));
        waited = waited.max(began.elapsed());
        if number % 50 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let health = audit.health();
    assert!(health.failing.as_deref().is_some_and(|reason| reason.contains("No space")), "{health:?}");
    assert!(refused > 1000 && health.lost == refused, "{health:?}, {refused}");
    assert!(waited < Duration::from_millis(500), "somebody waited {waited:?}");
    assert!(audit.flush(Duration::from_millis(50)).is_err());
    let acknowledged = audit.acknowledged();
    let report = check(&folder);
    assert!(report.ok && report.last.unwrap() >= acknowledged, "{:#?}", said(&report));

    fs::remove_file(&ballast).unwrap();
    audit.flush(PATIENCE).unwrap();
    assert_eq!(audit.health().failing, None);
    add(&audit, 2);
    audit.close();
    let report = check(&folder);
    assert!(report.ok, "{:#?}", said(&report));
    let lost = page(&folder, None, 10, |record| record.kind == "lost").unwrap().items;
    assert_eq!(lost.iter().filter_map(|entry| entry.data["entries"].as_u64()).sum::<u64>(), refused);
    println!("refused {refused}, {} entries stand", report.entries);
}

#[test]
fn a_full_disk_makes_nobody_wait_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m none \"$LICTOR_TEST_AUDIT_DISK\" && exec \"$0\" --exact audit::disk::child --nocapture";
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, dir.path())
        .output()
        .unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("refused"), "needs unshare(1) and user namespaces\n{out}\n{error}");
}
