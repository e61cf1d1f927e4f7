// SPDX-License-Identifier: Apache-2.0
//! Programs of another build that are still in force: an upgraded daemon loads its own beside them.
//!
//! Each build governs its own sessions and nobody else's: a label lives in the maps of one build. What another build
//! can be asked is fixed for ever: the beat is the first field of `control`, the number of a session's tasks the second
//! of `sessions`, a label begins with its session and ends with its flags, `own_objects` has keys of 8 bytes.

use std::collections::BTreeMap;
use std::fs;
use std::mem::offset_of;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libbpf_rs::{Link, MapCore as _, MapFlags, MapHandle};

use crate::abi;
use crate::error::{Error, Result, bpf, io};
use crate::mapping::{Mapping, from_bytes};
use crate::sensor::{
    Counters, Rings, Sensor, any_tasks, build_id, counters_in, label_daemon, mark_objects, objects_of, open_links,
    open_maps, remove_pins, session_in,
};
use crate::skel::types;
use crate::task::{PidFd, monotonic_ns};
use crate::verdict::{Held, held_in};

pub struct Legacy {
    build: String,
    dir: PathBuf,
    maps: BTreeMap<String, MapHandle>,
    /// None any more when it is removed.
    links: Mutex<Vec<Link>>,
    control: Mapping,
    removed: AtomicBool,
}

/// What lies below the pins beside this build's own.
#[derive(Default)]
pub struct Found {
    pub builds: Vec<Legacy>,
    /// Names of builds that cannot be looked after, and why. They stay as they are.
    pub unreadable: Vec<(String, Error)>,
}

impl Legacy {
    /// All other builds below `pins`. What a daemon left there that died before it attached anything is removed.
    pub fn find(pins: &Path) -> Result<Found> {
        let mut found = Found::default();
        let entries = match fs::read_dir(pins) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            entries => entries.map_err(io(format!("cannot read {}", pins.display())))?,
        };
        let own = build_id();
        for entry in entries {
            let dir = entry.map_err(io("cannot read the pins"))?.path();
            let build = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if build == own || build.strip_suffix("-new") == Some(&own) || !dir.is_dir() {
                continue;
            }
            let opened =
                if dir.join("links").is_dir() { Legacy::open(dir, build.clone()).map(Some) } else { leftover(&dir) };
            match opened {
                Ok(legacy) => found.builds.extend(legacy),
                Err(error) => found.unreadable.push((build, error)),
            }
        }
        Ok(found)
    }

    fn open(dir: PathBuf, build: String) -> Result<Legacy> {
        let maps = open_maps(&dir.join("maps"))?;
        let control = maps.get("control").ok_or_else(|| Error::Pins(dir.clone(), "no map `control`".into()))?;
        let control = Mapping::new(control.as_fd(), size_of::<types::lictor_control>(), "control")?;
        let legacy = Legacy {
            links: Mutex::new(open_links(&dir.join("links"))?),
            maps,
            control,
            build,
            dir,
            removed: AtomicBool::new(false),
        };
        for name in ["sessions", "task_labels"] {
            legacy.map(name)?;
        }
        Ok(legacy)
    }

    fn map(&self, name: &'static str) -> Result<&MapHandle> {
        self.maps.get(name).ok_or_else(|| Error::Pins(self.dir.clone(), format!("no map `{name}`")))
    }

    /// The name of its folder.
    pub fn build(&self) -> &str {
        &self.build
    }

    /// Their sessions shall know this process, and the sockets that it makes from now on, for the daemon: to be called
    /// by the first thread, before there are others.
    pub fn label_daemon(&self) -> Result<()> {
        label_daemon(self.map("task_labels")?)
    }

    /// Each build's guard shall keep its sessions from the other's maps, programs and links.
    pub fn guard_each_other(&self, sensor: &Sensor) -> Result<()> {
        mark_objects(sensor.map("own_objects")?, &objects_of(&self.maps, &self.links())?)?;
        mark_objects(self.map("own_objects")?, &sensor.objects()?)
    }

    /// Whether a task is governed by a session of that build.
    pub fn governs(&self, task: &PidFd) -> Result<bool> {
        Ok(session_in(self.map("task_labels")?, task)?.is_some())
    }

    pub fn beat(&self) {
        self.control.u64(0).store(monotonic_ns(), Ordering::Release);
    }

    /// The session of that build that governs the process with this number; 0: none does.
    pub fn session_of_pid(&self, pid: u32) -> Result<u64> {
        // A label begins with its session, in every build.
        let label = self.map("governed_threads")?.lookup(&pid.to_ne_bytes(), MapFlags::ANY);
        let label = label.map_err(bpf("cannot look for a governed process"))?;
        Ok(label.and_then(|label| from_bytes::<u64>(&label)).unwrap_or(0))
    }

    /// The host's processes are this build's to tell of.
    pub fn leave_host(&self) {
        if self.events_are_readable() {
            self.control.u32(offset_of!(types::lictor_control, watch_host)).store(0, Ordering::Release);
        }
    }

    /// Its events, denials first; `None` when they have a form that this build does not read.
    pub fn rings<'a>(&'a self, take: impl Fn(&[u8]) + Clone + 'a) -> Result<Rings<'a>> {
        Rings::of(&[self.map("denials")?, self.map("events")?], take)
    }

    /// Whether its events have the form that this build reads.
    pub fn events_are_readable(&self) -> bool {
        self.control.u32(offset_of!(types::lictor_control, abi)).load(Ordering::Acquire) == abi::ABI
    }

    /// Everybody who waits in its sessions; nobody, when that is told in a form that this build does not read.
    pub fn held(&self) -> Result<Vec<Held>> {
        if self.events_are_readable() { held_in(self.map("held")?) } else { Ok(Vec::new()) }
    }

    pub fn counters(&self) -> Result<Counters> {
        counters_in(self.map("counters")?)
    }

    /// Whether this session is one of that build's and has tasks.
    pub fn session_alive(&self, slot: u32, session: u64) -> Result<bool> {
        let bytes =
            self.map("sessions")?.lookup(&slot.to_ne_bytes(), MapFlags::ANY).map_err(bpf("cannot read a session"))?;
        let Some(bytes) = bytes else { return Ok(false) };
        let id = bytes.get(..8).and_then(from_bytes::<u64>);
        let tasks = bytes.get(8..16).and_then(from_bytes::<i64>).unwrap_or(0);
        Ok(id == Some(session) && tasks > 0)
    }

    /// Whether any session of that build still has tasks.
    pub fn in_use(&self) -> Result<bool> {
        any_tasks(self.map("sessions")?)
    }

    fn links(&self) -> MutexGuard<'_, Vec<Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes its pins away, its objects out of the guard, and its programs out of the kernel. The last takes seconds,
    /// and is done by a thread of its own: it may be the heart that lets go of this value last.
    pub fn remove(&self, sensor: &Sensor) -> Result<()> {
        let keys = objects_of(&self.maps, &self.links())?;
        remove_pins(&self.dir)?;
        let own = sensor.map("own_objects")?;
        for key in keys {
            // One that was never noted is no error: it was pinned after we looked.
            let _absent_is_fine = own.delete(&key.to_ne_bytes());
        }
        self.removed.store(true, Ordering::Release);
        let links = std::mem::take(&mut *self.links());
        std::thread::Builder::new()
            .name("unload".into())
            .spawn(move || drop(links))
            .map(drop)
            .map_err(io("cannot start a thread"))
    }

    /// Whether [`Legacy::remove`] was called: whoever still holds it should let go.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }
}

/// A folder without links: its daemon died before it attached, or its links are gone. Without tasks nobody needs it.
fn leftover(dir: &Path) -> Result<Option<Legacy>> {
    let sessions = dir.join("maps/sessions");
    if sessions.exists() {
        let sessions = MapHandle::from_pinned_path(&sessions).map_err(bpf("cannot open the sessions"))?;
        if any_tasks(&sessions)? {
            return Err(Error::Pins(dir.to_owned(), "its links are gone, and it has sessions".into()));
        }
    }
    remove_pins(dir).map(|()| None)
}
