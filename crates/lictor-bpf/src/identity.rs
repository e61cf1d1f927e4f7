// SPDX-License-Identifier: Apache-2.0
//! What an object is to the kernel: the numbers that the hooks compare, asked from the kernel itself because stat(2)
//! shows others on overlay and btrfs.

use std::collections::HashMap;
use std::io::Read as _;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::Sensor;
use crate::error::{Error, Result, io};
use crate::mapping::from_bytes;
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
        // SAFETY: all-zero is a valid bpf_iter_link_info.
        let mut info: libbpf_sys::bpf_iter_link_info = unsafe { std::mem::zeroed() };
        info.task.pid = std::process::id();
        let options = libbpf_sys::bpf_link_create_opts {
            sz: size_of::<libbpf_sys::bpf_link_create_opts>() as _,
            iter_info: &mut info,
            iter_info_len: size_of::<libbpf_sys::bpf_iter_link_info>() as u32,
            ..Default::default()
        };
        // SAFETY: the program's descriptor is open, and options and info live across the call.
        let link = unsafe {
            libbpf_sys::bpf_link_create(self.identify_program().as_raw_fd(), 0, libbpf_sys::BPF_TRACE_ITER, &options)
        };
        if link < 0 {
            return Err(io("cannot start the descriptor iterator")(std::io::Error::from_raw_os_error(-link)));
        }
        // SAFETY: the call just returned this descriptor to us alone.
        let link = unsafe { OwnedFd::from_raw_fd(link) };
        // SAFETY: plain call with an open descriptor.
        let iterator = unsafe { libbpf_sys::bpf_iter_create(link.as_raw_fd()) };
        if iterator < 0 {
            return Err(io("cannot read the descriptor iterator")(std::io::Error::from_raw_os_error(-iterator)));
        }
        // SAFETY: the call just returned this descriptor to us alone.
        let mut iterator = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(iterator) });
        let mut bytes = Vec::new();
        iterator.read_to_end(&mut bytes).map_err(io("cannot read the descriptor iterator"))?;
        let by_fd: HashMap<i32, Identity> = bytes
            .chunks_exact(size_of::<types::lictor_identity>())
            .filter_map(from_bytes::<types::lictor_identity>)
            .map(|id| (id.fd as i32, Identity { dev: id.dev, ino: id.ino, generation: id.generation }))
            .collect();
        files.iter().map(|file| by_fd.get(&file.as_raw_fd()).copied().ok_or(Error::Verify("identities"))).collect()
    }
}
