// SPDX-License-Identifier: Apache-2.0
//! The objects that a policy's forbidding rules name and that exist now: known to the kernel by what they are, another
//! name (a hard link, a bind mount, a rename by somebody else) does not get round the rule.
//!
//! A rule's own object is always marked; a directory that is denied with all below marks everything reached through it.
//! Below it, only files with several names need a mark of their own, and only they are looked for. Braces are so many
//! patterns, and a pattern with `*` is the objects that it names now. A pattern such as `**/.env` has no one place: its
//! files are looked for in the session's working directory and home, those with several names only.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use lictor_bpf::{Identity, Sensor, abi};
use lictor_engine::policy::{Compiled, DenyGlob, right};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC, statfs};

use crate::session::Record;

/// Directory entries looked at for one session. A start must stay fast; what lies behind is said in the log.
const BUDGET: usize = 200_000;

pub(crate) fn named_by(sensor: &Sensor, compiled: &Compiled, record: &Record) -> Result<Vec<(Identity, u32)>> {
    let mut found = Found { sensor, files: Vec::new(), rights: Vec::new(), named: Vec::new() };
    let mut search = Search { left: BUDGET };
    let (anywhere, placed): (Vec<_>, Vec<_>) = compiled.deny_globs().into_iter().partition(|glob| glob.any_depth);
    // What may not even be read comes first, and what has a place before what may be anywhere: should the budget not
    // last, it has gone into secrets.
    for secret in [true, false] {
        let due = |rights: u8| (rights & right::DENY != 0) == secret;
        for glob in placed.iter().filter(|glob| due(glob.rights)) {
            let mut objects = Vec::new();
            search.objects(glob, &mut objects);
            for path in objects {
                search.mark(&mut found, &path, glob.rights, glob.subtree)?;
            }
        }
        for anchor in compiled.anchors.iter().filter(|anchor| due(anchor.rights)) {
            search.mark(&mut found, path_of(&anchor.path), anchor.rights, anchor.subtree)?;
        }
    }
    search.anywhere(&mut found, &anywhere, [&record.cwd, &record.home])?;
    if search.left == 0 {
        tracing::warn!(
            "session {}: more than {BUDGET} directory entries lie where the policy forbids; files there that have a second \
             name outside are only known by their names",
            record.name()
        );
    }
    found.finish()
}

fn path_of(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
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
    /// Marks what a rule names, and with `subtree` what lies below and has a second name somewhere.
    fn mark(&mut self, found: &mut Found<'_>, path: &Path, rights: u8, subtree: bool) -> Result<()> {
        let tree = if subtree { abi::rights::TREE } else { 0 };
        if found.add(path, u32::from(rights) | tree)? && subtree {
            self.several_names(path, |_| true, &mut |path| found.add(path, u32::from(rights)).map(drop))?;
        }
        Ok(())
    }

    /// What a pattern names now whose matches lie at known depths.
    fn objects(&mut self, glob: &DenyGlob<'_>, objects: &mut Vec<PathBuf>) {
        let leads_below = |path: &Path, _: &Metadata| glob.leads_below(path.as_os_str().as_bytes());
        self.walk(path_of(&glob.directory), leads_below, &mut |path, _| {
            if glob.names(path.as_os_str().as_bytes()) {
                objects.push(path.to_owned());
            }
            Ok(())
        })
        .unwrap_or_else(|error: std::convert::Infallible| match error {});
    }

    /// Patterns whose matches may lie at any depth: files with several names, below where the pattern begins, or in
    /// `homes` when it begins nowhere.
    fn anywhere(&mut self, found: &mut Found<'_>, globs: &[DenyGlob<'_>], homes: [&Vec<u8>; 2]) -> Result<()> {
        let mut places: Vec<PathBuf> = Vec::new();
        for glob in globs {
            if glob.directory == b"/" {
                places.extend(homes.iter().map(|home| path_of(home).to_owned()));
            } else {
                places.push(path_of(&glob.directory).to_owned());
            }
        }
        places.sort();
        // Sorted by components, what lies below a place comes right behind it; it is looked at with it.
        places.retain(|place| place.as_os_str() != "/");
        places.dedup_by(|place, above| place.starts_with(above));
        for place in places {
            let leads_below = |path: &Path| globs.iter().any(|glob| glob.leads_below(path.as_os_str().as_bytes()));
            self.several_names(&place, leads_below, &mut |path| {
                for glob in globs.iter().filter(|glob| glob.names(path.as_os_str().as_bytes())) {
                    found.add(path, u32::from(glob.rights))?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Calls `take` for each regular file below `top` that has more than one name.
    fn several_names(
        &mut self,
        top: &Path,
        enter: impl Fn(&Path) -> bool,
        take: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<()> {
        // A second name is on the same filesystem.
        let Ok(device) = std::fs::symlink_metadata(top).map(|metadata| metadata.dev()) else { return Ok(()) };
        let enter = |path: &Path, metadata: &Metadata| metadata.dev() == device && enter(path);
        self.walk(top, enter, &mut |path, metadata| {
            if metadata.is_file() && metadata.nlink() > 1 { take(path) } else { Ok(()) }
        })
    }

    /// Calls `look` for everything below `top`, as far as `enter` lets it into directories.
    fn walk<E>(
        &mut self,
        top: &Path,
        enter: impl Fn(&Path, &Metadata) -> bool,
        look: &mut dyn FnMut(&Path, &Metadata) -> Result<(), E>,
    ) -> Result<(), E> {
        let Ok(metadata) = std::fs::symlink_metadata(top) else { return Ok(()) };
        let mut seen: HashSet<(u64, u64)> = HashSet::new();
        let mut stack = if metadata.is_dir() { vec![top.to_owned()] } else { Vec::new() };
        while let Some(folder) = stack.pop() {
            if made_by_the_kernel(&folder) {
                continue;
            }
            // What cannot be listed cannot be searched; the path still holds, and so does the mark of a tree.
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                if self.left == 0 {
                    return Ok(());
                }
                self.left -= 1;
                let Ok(metadata) = entry.metadata() else { continue };
                let path = entry.path();
                look(&path, &metadata)?;
                if metadata.is_dir() && seen.insert((metadata.dev(), metadata.ino())) && enter(&path, &metadata) {
                    stack.push(path);
                }
            }
        }
        Ok(())
    }
}

/// Whether the files there are views of the kernel's state: they have no second names, their inodes are made when they
/// are looked at, and `/proc` alone could take the whole budget.
fn made_by_the_kernel(path: &Path) -> bool {
    let kinds = [PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC];
    statfs(path).is_ok_and(|about| kinds.contains(&about.filesystem_type()))
}
