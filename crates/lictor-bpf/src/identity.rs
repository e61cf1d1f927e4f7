// SPDX-License-Identifier: Apache-2.0
//! What an object is to the kernel: the numbers that the hooks compare, asked from the kernel itself because stat(2)
//! shows others on overlay and btrfs.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::Sensor;
use crate::error::{Error, Result};
use crate::iterator::iterate;
use crate::skel::types;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    pub dev: u32,
    pub ino: u64,
    pub generation: u32,
}

impl Sensor {
    /// The identities of open descriptors of this process (O_PATH is enough), in their order.
    pub fn identities(&self, files: &[OwnedFd]) -> Result<Vec<Identity>> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let told = iterate::<types::lictor_identity>(self.identify_program(), Some(std::process::id()))?;
        let by_fd: HashMap<i32, Identity> = told
            .into_iter()
            .map(|id| (id.fd as i32, Identity { dev: id.dev, ino: id.ino, generation: id.generation }))
            .collect();
        files.iter().map(|file| by_fd.get(&file.as_raw_fd()).copied().ok_or(Error::Verify("identities"))).collect()
    }
}
