// SPDX-License-Identifier: Apache-2.0
//! Verdicts that the kernel remembers, and the processes that wait for one.

use std::os::fd::{AsFd as _, AsRawFd as _};

use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use crate::abi::{judged, label};
use crate::error::{Error, Result, bpf, io};
use crate::mapping::{bytes_of, from_bytes};
use crate::sensor::Sensor;
use crate::skel::types;
use crate::task::PidFd;

/// What a verdict is about. The numbers are the kernel's and mean nothing elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint {
    /// The executed file as it was.
    pub object: u64,
    /// Arguments, user, directory and the parent's program; 0: whatever they are.
    pub invocation: u64,
    /// Who judged by what.
    pub judge: u32,
}

/// A process that is stopped before its first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub pid: u32,
    pub session: u64,
    /// Start of the process, CLOCK_BOOTTIME.
    pub start_ns: u64,
    /// CLOCK_MONOTONIC
    pub since_ns: u64,
    pub fingerprint: Fingerprint,
}

fn waiting(pid: u32, value: &types::lictor_held) -> Held {
    Held {
        pid,
        session: value.session,
        start_ns: value.start_ns,
        since_ns: value.since_ns,
        fingerprint: Fingerprint { object: value.object, invocation: value.invocation, judge: value.judge },
    }
}

fn key(print: &Fingerprint) -> types::lictor_verdict_key {
    types::lictor_verdict_key { object: print.object, invocation: print.invocation, judge: print.judge, pad: 0 }
}

pub(crate) fn held_in(map: &MapHandle) -> Result<Vec<Held>> {
    let mut found = Vec::new();
    for bytes in map.keys() {
        let Some(pid) = from_bytes::<u32>(&bytes) else { continue };
        let value = map.lookup(&bytes, MapFlags::ANY).map_err(bpf("cannot read `held`"))?;
        let Some(value) = value.and_then(|value| from_bytes::<types::lictor_held>(&value)) else { continue };
        found.push(waiting(pid, &value));
    }
    Ok(found)
}

impl Sensor {
    /// From now on the kernel answers this by itself, until `expires_ns` (CLOCK_MONOTONIC) when there is one.
    pub fn remember(&self, print: &Fingerprint, allow: bool, expires_ns: Option<u64>) -> Result<()> {
        let verdict = types::lictor_verdict {
            expires_ns: expires_ns.unwrap_or(0),
            state: if allow { judged::ALLOW } else { judged::DENY },
            pad: 0,
        };
        self.map("verdicts")?
            .update(bytes_of(&key(print)), bytes_of(&verdict), MapFlags::ANY)
            .map_err(bpf("cannot remember a verdict"))
    }

    /// Takes a verdict back; false: there was none.
    pub fn forget(&self, print: &Fingerprint) -> Result<bool> {
        match self.map("verdicts")?.delete(bytes_of(&key(print))) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == libbpf_rs::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(bpf("cannot forget a verdict")(error)),
        }
    }

    /// Everything that the kernel remembers: the fingerprint, whether it permits, and until when.
    pub fn remembered(&self) -> Result<Vec<(Fingerprint, bool, Option<u64>)>> {
        let map = self.map("verdicts")?;
        let mut found = Vec::new();
        for bytes in map.keys() {
            let Some(key) = from_bytes::<types::lictor_verdict_key>(&bytes) else { continue };
            let value = map.lookup(&bytes, MapFlags::ANY).map_err(bpf("cannot read `verdicts`"))?;
            // Gone since: it expired and somebody took it out.
            let Some(value) = value.and_then(|value| from_bytes::<types::lictor_verdict>(&value)) else { continue };
            let print = Fingerprint { object: key.object, invocation: key.invocation, judge: key.judge };
            let expires = (value.expires_ns != 0).then_some(value.expires_ns);
            found.push((print, value.state == judged::ALLOW, expires));
        }
        Ok(found)
    }

    /// Everybody who waits, those of an earlier daemon included.
    pub fn held(&self) -> Result<Vec<Held>> {
        held_in(self.map("held")?)
    }

    /// The process of this number, if it waits.
    pub fn held_as(&self, pid: u32) -> Result<Option<Held>> {
        let value = self.map("held")?.lookup(&pid.to_ne_bytes(), MapFlags::ANY).map_err(bpf("cannot read `held`"))?;
        Ok(value.and_then(|value| from_bytes::<types::lictor_held>(&value)).map(|value| waiting(pid, &value)))
    }

    /// Gives a held process its rights back and lets it run. `task` must be the process that `held` names: compare its
    /// start time after opening it.
    pub fn release(&self, held: &Held, task: &PidFd) -> Result<()> {
        let labels = self.map("task_labels")?;
        let bytes = labels
            .lookup(&task.key(), MapFlags::ANY)
            .map_err(bpf("cannot read a label"))?
            .ok_or(Error::Verify("task_labels"))?;
        let mut mark: types::lictor_label = from_bytes(&bytes).ok_or(Error::Verify("task_labels"))?;
        mark.flags &= !label::HELD;
        // It is stopped, so nobody else writes its label meanwhile.
        labels.update(&task.key(), bytes_of(&mark), MapFlags::EXIST).map_err(bpf("cannot write a label"))?;
        // As the thread's copy has it; there is none when the process has ended meanwhile.
        let copies = self.map("governed_threads")?;
        if let Err(error) = copies.update(&held.pid.to_ne_bytes(), bytes_of(&mark), MapFlags::EXIST)
            && error.kind() != libbpf_rs::ErrorKind::NotFound
        {
            return Err(bpf("cannot write a label")(error));
        }
        let _ended_is_fine = self.map("held")?.delete(&held.pid.to_ne_bytes());
        signal(task, libc::SIGCONT)
    }

    /// Ends a process, whether it is held or not.
    pub fn kill(&self, task: &PidFd) -> Result<()> {
        signal(task, libc::SIGKILL)
    }
}

fn signal(task: &PidFd, number: i32) -> Result<()> {
    // SAFETY: a system call without pointers: no siginfo, no flags.
    let done = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, task.as_fd().as_raw_fd(), number, std::ptr::null::<u8>(), 0)
    };
    let error = std::io::Error::last_os_error();
    // Somebody else ended it: that is what a kill wanted, and nothing is left to be let go.
    if done == 0 || error.raw_os_error() == Some(libc::ESRCH) {
        return Ok(());
    }
    Err(io(format!("cannot send signal {number}"))(error))
}
