// SPDX-License-Identifier: Apache-2.0
//! The kernel boundary of Lictor: loads the programs, fills their maps, turns ring-buffer bytes into [`RawEvent`]s.
//!
//! This is the only crate that knows a kernel byte layout and the only one with `unsafe` code. It decides nothing: the
//! policy comes in as tables ([`Tables`]), events go out as values.

pub mod abi;
mod decode;
mod error;
pub mod features;
mod identity;
mod iterator;
mod legacy;
mod mapping;
mod memory;
mod policy;
mod priority;
mod sensor;
mod skel;
mod task;
mod verdict;

pub use decode::{DecodeError, RawEvent, Sample, decode, encode};
pub use error::{Error, Result};
pub use identity::Identity;
pub use iterator::{Census, HostProcess};
pub use legacy::{Found, Legacy};
pub use memory::{keep_little_freed_memory, return_freed_memory};
pub use policy::{Cell, Hash, Network, PolicyStore, PortSet, Ports, Tables};
pub use priority::prefer_this_thread;
pub use sensor::{Counters, HeldPins, Options, Rings, Sensor, SessionState, any_session_alive, hold_pins};
pub use task::{
    PidFd, join_new_session_keyring, monotonic_ns, prepare_map_executable, set_close_on_exec, try_bpf,
    try_map_executable,
};
pub use verdict::{Fingerprint, Held};
