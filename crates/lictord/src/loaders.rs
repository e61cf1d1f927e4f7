// SPDX-License-Identifier: Apache-2.0
//! The dynamic loaders of this host: a loader that is run by hand executes what it maps, so the kernel has to know it.

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Result;
use lictor_bpf::{Identity, Sensor, abi};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

/// Where distributions put them: directly in a library folder, or one folder below it.
const FOLDERS: [&str; 6] = ["/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64", "/usr/lib32"];

pub(crate) fn find(sensor: &Sensor) -> Result<Vec<(Identity, u32)>> {
    let mut files: Vec<OwnedFd> = Vec::new();
    for folder in FOLDERS {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if is_loader(&path) {
                files.extend(open(&path));
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) && folder.ends_with("lib") {
                for inner in std::fs::read_dir(&path).into_iter().flatten().flatten() {
                    if is_loader(&inner.path()) {
                        files.extend(open(&inner.path()));
                    }
                }
            }
        }
    }
    Ok(sensor.identities(&files)?.into_iter().map(|identity| (identity, abi::rights::EXEC)).collect())
}

fn is_loader(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name == "ld.so" || (name.starts_with("ld-") && name.contains(".so")))
}

/// Through symbolic links: the object is what counts. One that is gone between the two looks is not a loader.
fn open(path: &Path) -> Option<OwnedFd> {
    nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()
}
