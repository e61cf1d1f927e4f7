// SPDX-License-Identifier: Apache-2.0
//! A disk without room: nobody waits, what is lost is counted and told, and it mends itself.

use super::*;
use lictor_api::event::Kind;
use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

/// A file system of its own; `None` where this user may not make one.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(megabytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output().ok()?;
        if !mounted.status.success() {
            println!("skipped, needs root: {}", String::from_utf8_lossy(&mounted.stderr).trim());
            return None;
        }
        Some(Self(dir))
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.path().join("filler")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _nothing_more_can_be_done = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_told_and_mends_itself() {
    let Some(disk) = Disk::new(12) else { return };
    let dir = disk.0.path().join("store");
    let store = Store::open(&dir, Limits { queue: 1000, ..limits() }).unwrap();
    let events = generated(4, 6000);
    store.submit(events[..100].iter().cloned().map(Arc::new));
    store.flush(PATIENCE).unwrap();
    disk.fill();
    // A few may still fit into pages that are there.
    let began = Instant::now();
    let mut lost = 0;
    for some in events[100..].chunks(100) {
        lost += store.submit(some.iter().cloned().map(Arc::new));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(began.elapsed() < Duration::from_secs(10), "submitting waited for the disk");
    assert!(lost > 0 && lost < 5900, "{lost}");
    wait_for("the problem is told", || store.health().problem.is_some());
    let error = store.flush(Duration::from_millis(300)).unwrap_err().to_string();
    assert!(error.contains("not on disk yet") && error.contains("full"), "{error}");
    assert_eq!(store.health().lost, lost);
    disk.free();
    store.flush(PATIENCE).unwrap();
    wait_for("the loss is told", || {
        store.health().problem.is_none() && {
            let told = all(&store.reader().unwrap());
            told.iter().filter_map(|event| event.lost.as_ref()).map(|lost| lost.count).sum::<u64>() == lost
        }
    });
    let stored = all(&store.reader().unwrap());
    let kept = stored.iter().filter(|event| event.kind != Kind::Lost).count() as u64;
    assert_eq!(kept + lost, 6000, "stored or counted");
}

#[test]
fn a_full_disk_at_the_start_is_waited_for() {
    let Some(disk) = Disk::new(4) else { return };
    let dir = disk.0.path().join("store");
    std::fs::create_dir(&dir).unwrap();
    disk.fill();
    let store = open(&dir);
    store.submit(generated(1, 10).into_iter().map(Arc::new));
    assert!(store.flush(Duration::from_millis(200)).is_err());
    assert!(store.health().problem.is_some());
    disk.free();
    store.flush(PATIENCE).unwrap();
    assert_eq!(all(&store.reader().unwrap()).len(), 10);
}
