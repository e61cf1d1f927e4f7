// SPDX-License-Identifier: Apache-2.0
//! The objects that a policy's forbidding rules name and that exist now: known to the kernel by what they are, another
//! name (a hard link, a bind mount, a rename by somebody else) does not get round the rule.
//!
//! A rule's own object is always marked; a directory that is denied with all below marks everything reached through it.
//! Below it, only files with several names need a mark of their own, and only they are looked for. A pattern such as
//! `**/.env` has no one place: its files are looked for in the session's working directory and home.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use lictor_bpf::{Identity, Sensor, abi};
use lictor_engine::policy::Compiled;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::session::Record;

/// Directory entries looked at for one session. A start must stay fast; what lies behind is said in the log.
const BUDGET: usize = 200_000;

pub(crate) fn named_by(sensor: &Sensor, compiled: &Compiled, record: &Record) -> Result<Vec<(Identity, u32)>> {
    let mut found = Found { sensor, files: Vec::new(), rights: Vec::new(), named: Vec::new() };
    let mut search = Search { left: BUDGET };
    for anchor in &compiled.anchors {
        let path = Path::new(OsStr::from_bytes(&anchor.path));
        let tree = if anchor.subtree { abi::rights::TREE } else { 0 };
        if found.add(path, u32::from(anchor.rights) | tree)? && anchor.subtree {
            search.several_names(path, &mut |path| found.add(path, u32::from(anchor.rights)).map(drop))?;
        }
    }
    let globs = compiled.deny_globs();
    let home = [&record.cwd, &record.home];
    let mut places: Vec<PathBuf> = Vec::new();
    for glob in &globs {
        if glob.directory == b"/" {
            places.extend(home.iter().map(|place| PathBuf::from(OsStr::from_bytes(place))));
        } else {
            places.push(PathBuf::from(OsStr::from_bytes(&glob.directory)));
        }
    }
    places.sort();
    // Sorted by components, what lies below a place comes right behind it; it is looked at with it.
    places.retain(|place| place.as_os_str() != "/");
    places.dedup_by(|place, above| place.starts_with(above));
    for place in places {
        search.several_names(&place, &mut |path| {
            for glob in globs.iter().filter(|glob| glob.matches(path.as_os_str().as_bytes())) {
                found.add(path, u32::from(glob.rights))?;
            }
            Ok(())
        })?;
    }
    if search.left == 0 {
        tracing::warn!(
            "session {}: more than {BUDGET} directory entries lie where the policy forbids; files there that have a second \
             name outside are only known by their names",
            record.name()
        );
    }
    found.finish()
}

/// Lictor's own files, programs and cgroups, for `self_protection: on`. The program that this process runs is the one
/// that PID 1 may bring the daemon back with after a crash.
pub(crate) fn own(sensor: &Sensor, paths: &[Vec<u8>]) -> Result<Vec<(Identity, u32)>> {
    let mut found = Found { sensor, files: Vec::new(), rights: Vec::new(), named: Vec::new() };
    for path in paths {
        found.add(Path::new(OsStr::from_bytes(path)), abi::rights::DENY | abi::rights::TREE)?;
    }
    let program = std::env::current_exe().context("cannot find the daemon's own program")?;
    found.add(&program.with_file_name("lictor"), abi::rights::DENY)?;
    found.add(&program, abi::rights::DENY | abi::rights::DAEMON)?;
    // From systemd 255 on, PID 1 starts its services through this one.
    for executor in ["/usr/lib/systemd/systemd-executor", "/lib/systemd/systemd-executor"] {
        found.add(Path::new(executor), abi::rights::EXECUTOR)?;
    }
    // The cgroup that we are in and those above it: whoever kills or freezes one of them does it to us.
    let root = lictor_bpf::features::cgroup_root();
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let inside = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    if let Some(root) = root {
        let mut folder = root.join(inside);
        while folder != root && folder.starts_with(&root) {
            found.add(&folder, abi::rights::READONLY)?;
            folder.pop();
        }
    }
    found.finish()
}

/// Descriptors held at once.
const BATCH: usize = 256;

struct Found<'a> {
    sensor: &'a Sensor,
    files: Vec<OwnedFd>,
    rights: Vec<u32>,
    named: Vec<(Identity, u32)>,
}

impl Found<'_> {
    /// False when there is nothing of that name: then it has no other name either, and its creation is refused by path.
    fn add(&mut self, path: &Path, rights: u32) -> Result<bool> {
        match nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(file) => {
                self.files.push(file);
                self.rights.push(rights);
                if self.files.len() == BATCH {
                    self.ask()?;
                }
                Ok(true)
            }
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES | Errno::ENAMETOOLONG) => Ok(false),
            Err(errno) => bail!("cannot look at {}: {errno}", path.display()),
        }
    }
}

impl Found<'_> {
    fn ask(&mut self) -> Result<()> {
        let identities = self.sensor.identities(&self.files)?;
        ensure!(
            identities.len() == self.rights.len(),
            "the kernel named {} of {} objects",
            identities.len(),
            self.rights.len()
        );
        self.named.extend(identities.into_iter().zip(self.rights.drain(..)));
        self.files.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<(Identity, u32)>> {
        self.ask()?;
        Ok(self.named)
    }
}

struct Search {
    left: usize,
}

impl Search {
    /// Calls `take` for each regular file below `top` that has more than one name, on the same filesystem.
    fn several_names(&mut self, top: &Path, take: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
        let Ok(metadata) = std::fs::symlink_metadata(top) else { return Ok(()) };
        let device = metadata.dev();
        let mut seen: HashSet<u64> = HashSet::new();
        let mut stack = vec![top.to_owned()];
        while let Some(folder) = stack.pop() {
            // What cannot be listed cannot be searched for a second name; the tree's own mark still holds.
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                if self.left == 0 {
                    return Ok(());
                }
                self.left -= 1;
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    if metadata.dev() == device && seen.insert(metadata.ino()) {
                        stack.push(entry.path());
                    }
                } else if metadata.is_file() && metadata.nlink() > 1 {
                    take(&entry.path())?;
                }
            }
        }
        Ok(())
    }
}
