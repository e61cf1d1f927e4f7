// SPDX-License-Identifier: Apache-2.0
//! The loaded set of programs: load, attach and pin, or take over what an earlier daemon pinned.
//!
//! Pins live in `<pins>/<build>/{maps,links,programs}`. A daemon of the same build takes them over as they are: no
//! program is replaced, nothing is open for a moment. A daemon of another build leaves a build that still has sessions
//! in force ([`crate::Legacy`]), keeps its heart beating and removes it after its last session; new sessions get the new one.

use std::collections::BTreeMap;
use std::fs;
use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, Object, ObjectBuilder, OpenObject, PrintLevel, Program};
use sha2::{Digest, Sha256};

use crate::abi;
use crate::error::{Error, Result, bpf, errno, io};
use crate::features::{Hook, Kernel};
use crate::mapping::{Mapping, bytes_of, from_bytes};
use crate::skel::types;
use crate::task::{PidFd, monotonic_ns};

pub struct Options {
    /// A folder on bpffs; made when it is not there.
    pub pins: PathBuf,
    /// Size of the table that holds all automata, in cells of 16 bytes.
    pub cells: u32,
}

pub struct Sensor {
    pub(crate) maps: BTreeMap<String, MapHandle>,
    control: Mapping,
    identify: OwnedFd,
    census: OwnedFd,
    dir: PathBuf,
    hooks: Vec<String>,
    skipped: Vec<(String, String)>,
    adopted: bool,
    /// Beside the pins: should they be removed from under us, the programs stay attached as long as we live.
    links: Vec<Link>,
}

/// Sums over all CPUs since the programs were loaded.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counters {
    pub lost_ring: u64,
    pub lost_scratch: u64,
    /// Starts and ends of processes that the kernel told nobody of, as far as they are noticed.
    pub lost_task: u64,
    /// What was not told of processes that nobody governs; the next [`Sensor::census`] finds it.
    pub lost_host: u64,
    pub internal: u64,
    pub denied: u64,
    pub events: u64,
    pub label_fallback: u64,
    pub rename_retry: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct SessionState {
    pub id: u64,
    pub tasks: i64,
    pub events: u64,
    pub denied: u64,
}

const PROGRAM_TO_IDENTIFY: &str = "lictor_identify";
const PROGRAM_OF_CENSUS: &str = "lictor_census";

impl Sensor {
    /// Loads and attaches everything, or takes over the pins of the same build.
    pub fn start(options: &Options) -> Result<Sensor> {
        let kernel = Kernel::probe()?;
        let dir = options.pins.join(build_id());
        let sensor =
            if dir.join("links").is_dir() { Sensor::adopt(dir)? } else { Sensor::load(dir, options, &kernel)? };
        mark_objects(sensor.map("own_objects")?, &sensor.objects()?)?;
        sensor.control.u32(offset_of!(types::lictor_control, abi)).store(abi::ABI, Ordering::Release);
        // 6.2 made task storage answer also while it is busy on this CPU.
        let (major, minor) = kernel_version();
        sensor
            .control
            .u32(offset_of!(types::lictor_control, storage_may_fail))
            .store(u32::from((major, minor) < (6, 2)), Ordering::Release);
        sensor.choose_secret()?;
        sensor.beat();
        Ok(sensor)
    }

    /// The fingerprints' secret, once for as long as the maps live: a later daemon goes on with the same verdicts.
    fn choose_secret(&self) -> Result<()> {
        use std::io::Read as _;
        let words = [0, 8].map(|offset| self.control.u64(offset_of!(types::lictor_control, secret) + offset));
        if words.iter().any(|word| word.load(Ordering::Acquire) != 0) {
            return Ok(());
        }
        let mut random = fs::File::open("/dev/urandom").map_err(io("cannot open /dev/urandom"))?;
        for word in words {
            let mut bytes = [0; 8];
            random.read_exact(&mut bytes).map_err(io("cannot read /dev/urandom"))?;
            word.store(u64::from_ne_bytes(bytes), Ordering::Release);
        }
        Ok(())
    }

    fn load(dir: PathBuf, options: &Options, kernel: &Kernel) -> Result<Sensor> {
        let mut object = open_object()?;
        let mut skipped = Vec::new();
        for mut program in object.progs_mut() {
            let section = program.section().to_string_lossy().into_owned();
            let name = program.name().to_string_lossy().into_owned();
            let Some(hook) = lsm_hook(&section) else {
                continue;
            };
            match kernel.hook(hook) {
                Hook::Present(arguments) => {
                    // Two programs for one hook whose arguments changed: the one whose shape the kernel has.
                    let fits = match name.as_str() {
                        "lictor_inode_setattr" => arguments == 2,
                        "lictor_inode_setattr_idmap" => arguments == 3,
                        _ => true,
                    };
                    program.set_autoload(fits);
                }
                Hook::Optional(instead) => {
                    program.set_autoload(false);
                    skipped.push((hook.to_owned(), instead.to_owned()));
                }
                Hook::Missing => return Err(Error::Unsupported(format!("it has no hook `{hook}`"))),
            }
        }
        let cpus = libbpf_rs::num_possible_cpus().map_err(bpf("cannot count the CPUs"))? as u32;
        for mut map in object.maps_mut() {
            match map.name().to_str() {
                Some("cells") => map.set_max_entries(options.cells),
                Some("scratch") => map.set_max_entries(cpus * abi::SCRATCH_PER_CPU),
                _ => Ok(()),
            }
            .map_err(bpf("cannot size the maps"))?;
        }
        // Maps of the same build without links: a daemon died between the two. The sessions' labels live in them.
        let pinned_maps = dir.join("maps");
        if pinned_maps.is_dir() {
            for mut map in object.maps_mut() {
                let path = pinned_maps.join(map.name());
                if path.exists() {
                    map.reuse_pinned_map(&path).map_err(bpf(format!("cannot reuse {}", path.display())))?;
                }
            }
        }
        let began = std::time::Instant::now();
        let mut object = capture_log(|| object.load()).map_err(|(cause, log)| {
            if cause.kind() == libbpf_rs::ErrorKind::PermissionDenied && !log.contains("BEGIN PROG LOAD LOG") {
                Error::Unsupported(format!("it refuses to load BPF programs here ({cause})"))
            } else {
                Error::Refused { what: "the programs".into(), cause, log }
            }
        })?;

        tracing::debug!("the kernel took the programs in {:?}", began.elapsed());
        // No dot: bpffs keeps such names for itself.
        let fresh = options.pins.join(format!("{}-new", build_id()));
        remove_pins(&fresh)?;
        for part in ["links", "programs"] {
            fs::create_dir_all(fresh.join(part)).map_err(io(format!("cannot make {}", fresh.display())))?;
        }
        fs::create_dir_all(&pinned_maps).map_err(io(format!("cannot make {}", pinned_maps.display())))?;
        for mut map in object.maps_mut() {
            let name = map.name().to_owned();
            let path = pinned_maps.join(&name);
            if !path.exists() && !name.to_string_lossy().contains('.') {
                map.pin(&path).map_err(bpf(format!("cannot pin {}", path.display())))?;
            }
        }
        let maps = open_maps(&pinned_maps)?;
        let began = std::time::Instant::now();
        let links = attach_all(&mut object, &fresh)?;
        tracing::debug!("attached in {:?}", began.elapsed());
        fs::rename(fresh.join("programs"), dir.join("programs")).map_err(io("cannot place the pins"))?;
        // The last step: from now on the pins are complete.
        fs::rename(fresh.join("links"), dir.join("links")).map_err(io("cannot place the pins"))?;
        remove_pins(&fresh)?;
        Sensor::with(dir, maps, links, skipped, false)
    }

    fn adopt(dir: PathBuf) -> Result<Sensor> {
        let maps = open_maps(&dir.join("maps"))?;
        let links = open_links(&dir.join("links"))?;
        let kernel = Kernel::probe()?;
        let expected = expected_programs(&kernel)?;
        if links.len() != expected {
            let detail = format!("{} of {expected} links are there", links.len());
            // Programs and maps are still in force; a load that reuses the maps makes the set whole again.
            fs::remove_dir_all(dir.join("links")).map_err(io("cannot remove the damaged links"))?;
            return Err(Error::Pins(dir, detail));
        }
        Sensor::with(dir, maps, links, Vec::new(), true)
    }

    fn with(
        dir: PathBuf,
        maps: BTreeMap<String, MapHandle>,
        links: Vec<Link>,
        skipped: Vec<(String, String)>,
        adopted: bool,
    ) -> Result<Sensor> {
        let control_map = maps.get("control").ok_or_else(|| Error::Pins(dir.clone(), "no map `control`".into()))?;
        let control = Mapping::new(control_map.as_fd(), size_of::<types::lictor_control>(), "control")?;
        let program = |name: &str| {
            Program::fd_from_pinned_path(dir.join("programs").join(name))
                .map_err(bpf(format!("cannot open the pinned program {name}")))
        };
        let (identify, census) = (program(PROGRAM_TO_IDENTIFY)?, program(PROGRAM_OF_CENSUS)?);
        let hooks = fs::read_dir(dir.join("links"))
            .map_err(io("cannot read the pinned links"))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        Ok(Sensor { maps, control, identify, census, dir, hooks, skipped, adopted, links })
    }

    pub(crate) fn map(&self, name: &'static str) -> Result<&MapHandle> {
        self.maps.get(name).ok_or_else(|| Error::Pins(self.dir.clone(), format!("no map `{name}`")))
    }

    pub(crate) fn identify_program(&self) -> BorrowedFd<'_> {
        self.identify.as_fd()
    }

    pub(crate) fn census_program(&self) -> BorrowedFd<'_> {
        self.census.as_fd()
    }

    /// Names of the programs in force.
    pub fn hooks(&self) -> &[String] {
        &self.hooks
    }

    /// Hooks that this kernel does not have, and what stands in for each.
    pub fn skipped(&self) -> &[(String, String)] {
        &self.skipped
    }

    /// Whether an earlier daemon's programs were taken over.
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    pub fn pins(&self) -> &Path {
        &self.dir
    }

    /// "The daemon lives": to be called every 500 ms.
    pub fn beat(&self) {
        self.control.u64(offset_of!(types::lictor_control, beat_ns)).store(monotonic_ns(), Ordering::Release);
    }

    /// One of [`abi::fail`].
    pub fn set_fail_closed(&self, mode: u32) {
        self.control.u32(offset_of!(types::lictor_control, fail_closed)).store(mode, Ordering::Release);
    }

    pub fn set_self_protection(&self, on: bool) {
        self.control.u32(offset_of!(types::lictor_control, self_protection)).store(u32::from(on), Ordering::Release);
    }

    /// Whether processes that nobody governs are told of ([`Rings::of_host`]).
    pub fn watch_host(&self, on: bool) {
        self.control.u32(offset_of!(types::lictor_control, watch_host)).store(u32::from(on), Ordering::Release);
    }

    /// Marks this process as the daemon: to be called by the first thread, before there are others.
    pub fn label_daemon(&self) -> Result<()> {
        label_daemon(self.map("task_labels")?)
    }

    /// Makes a task the first of a session and reads the label back. The task must not run on before this returns.
    pub fn label_first_task(&self, task: &PidFd, tid: u32, session: u64, slot: u32) -> Result<()> {
        let label = types::lictor_label { session, slot, flags: abi::label::GOVERNED };
        let state = types::lictor_session { id: session, tasks: 1, events: 0, denied: 0 };
        self.map("sessions")?
            .update(&slot.to_ne_bytes(), bytes_of(&state), MapFlags::ANY)
            .map_err(bpf("cannot open the session"))?;
        self.map("governed_threads")?
            .update(&tid.to_ne_bytes(), bytes_of(&label), MapFlags::ANY)
            .map_err(bpf("cannot note the session's first task"))?;
        let labels = self.map("task_labels")?;
        labels.update(&task.key(), bytes_of(&label), MapFlags::ANY).map_err(bpf("cannot label the process"))?;
        let read = labels.lookup(&task.key(), MapFlags::ANY).map_err(bpf("cannot read the label back"))?;
        match read {
            Some(read) if read == bytes_of(&label) => Ok(()),
            _ => Err(Error::Verify("task_labels")),
        }
    }

    /// The session of a task; `None` when it is not governed.
    pub fn session_of(&self, task: &PidFd) -> Result<Option<u64>> {
        session_in(self.map("task_labels")?, task)
    }

    pub fn session_state(&self, slot: u32) -> Result<SessionState> {
        let bytes =
            self.map("sessions")?.lookup(&slot.to_ne_bytes(), MapFlags::ANY).map_err(bpf("cannot read a session"))?;
        let state =
            bytes.and_then(|bytes| from_bytes::<types::lictor_session>(&bytes)).ok_or(Error::Verify("sessions"))?;
        Ok(SessionState { id: state.id, tasks: state.tasks, events: state.events, denied: state.denied })
    }

    pub fn clear_session(&self, slot: u32) -> Result<()> {
        let empty = types::lictor_session::default();
        self.map("sessions")?
            .update(&slot.to_ne_bytes(), bytes_of(&empty), MapFlags::ANY)
            .map_err(bpf("cannot close a session"))
    }

    pub fn counters(&self) -> Result<Counters> {
        counters_in(self.map("counters")?)
    }

    /// For the guard: the keys of our maps, programs and links in `own_objects`.
    pub(crate) fn objects(&self) -> Result<Vec<u64>> {
        objects_of(&self.maps, &self.links)
    }

    /// Takes the pins away: the programs go with this process. Only for a private daemon whose session is over.
    pub fn unpin(&self) -> Result<()> {
        remove_pins(&self.dir)?;
        // Only ours was in there; a folder with other builds stays.
        if let Some(parent) = self.dir.parent() {
            let _only_when_empty = fs::remove_dir(parent);
        }
        Ok(())
    }
}

pub(crate) fn counters_in(map: &MapHandle) -> Result<Counters> {
    let sum = |index: u32| -> Result<u64> {
        let values = map.lookup_percpu(&index.to_ne_bytes(), MapFlags::ANY).map_err(bpf("cannot read the counters"))?;
        Ok(values.into_iter().flatten().filter_map(|value| from_bytes::<u64>(&value)).sum())
    };
    Ok(Counters {
        lost_ring: sum(abi::counter::LOST_RING)?,
        lost_scratch: sum(abi::counter::LOST_SCRATCH)?,
        lost_task: sum(abi::counter::LOST_TASK)?,
        lost_host: sum(abi::counter::LOST_HOST)?,
        internal: sum(abi::counter::INTERNAL)?,
        denied: sum(abi::counter::DENIED)?,
        events: sum(abi::counter::EVENTS)?,
        label_fallback: sum(abi::counter::LABEL_FALLBACK)?,
        rename_retry: sum(abi::counter::RENAME_RETRY)?,
    })
}

/// Keys in `own_objects`: the kind (1 map, 2 program, 3 link) above the kernel's id.
pub(crate) fn objects_of(maps: &BTreeMap<String, MapHandle>, links: &[Link]) -> Result<Vec<u64>> {
    let key = |kind: u64, id: u32| kind << 32 | u64::from(id);
    let mut keys = Vec::new();
    for map in maps.values() {
        keys.push(key(1, map.info().map_err(bpf("cannot ask for a map's id"))?.info.id));
    }
    for link in links {
        let info = link.info().map_err(bpf("cannot ask for a link's id"))?;
        keys.extend([key(3, info.id), key(2, info.prog_id)]);
    }
    Ok(keys)
}

pub(crate) fn mark_objects(own: &MapHandle, keys: &[u64]) -> Result<()> {
    keys.iter().try_for_each(|key| {
        own.update(&key.to_ne_bytes(), &1u32.to_ne_bytes(), MapFlags::ANY).map_err(bpf("cannot note our own objects"))
    })
}

/// The reading end of some rings.
pub struct Rings<'a>(Vec<libbpf_rs::RingBuffer<'a>>);

impl<'a> Rings<'a> {
    /// `take` is called with each record's bytes, denials first: what they tell apart is in order by its time only.
    pub fn open(sensor: &'a Sensor, take: impl Fn(&[u8]) + Clone + 'a) -> Result<Rings<'a>> {
        Rings::of(&[sensor.map("denials")?, sensor.map("events")?], take)
    }

    /// The ring of processes that nobody governs. Nothing wakes whoever waits for it.
    pub fn of_host(sensor: &'a Sensor, take: impl Fn(&[u8]) + Clone + 'a) -> Result<Rings<'a>> {
        Rings::of(&[sensor.map("host")?], take)
    }

    pub(crate) fn of(maps: &[&'a MapHandle], take: impl Fn(&[u8]) + Clone + 'a) -> Result<Rings<'a>> {
        let open = |map: &'a MapHandle| {
            let take = take.clone();
            let mut builder = libbpf_rs::RingBufferBuilder::new();
            builder
                .add(map, move |bytes: &[u8]| {
                    take(bytes);
                    0
                })
                .map_err(bpf("cannot read a ring"))?;
            builder.build().map_err(bpf("cannot read a ring"))
        };
        Ok(Rings(maps.iter().copied().map(open).collect::<Result<_>>()?))
    }

    /// Takes up to `most` records of each ring; when there are none, waits for some at the longest for `wait`. What is
    /// not taken stays in the kernel's rings: a flood costs events there, counted, and not memory here. Neither ring
    /// keeps the other waiting, and whatever a denial follows on is taken with it, unless there is too much of it.
    pub fn poll(&self, wait: Duration, most: usize) -> Result<()> {
        if self.take(most)? != 0 {
            return Ok(());
        }
        let waiting =
            |ring: &libbpf_rs::RingBuffer<'_>| libc::pollfd { fd: ring.epoll_fd(), events: libc::POLLIN, revents: 0 };
        let mut ready: Vec<libc::pollfd> = self.0.iter().map(waiting).collect();
        // SAFETY: as many valid pollfds as it is told, for the length of the call.
        unsafe { libc::poll(ready.as_mut_ptr(), ready.len() as libc::nfds_t, wait.as_millis() as libc::c_int) };
        self.take(most).map(drop)
    }

    /// Takes up to `most` records of each ring that are there now, and says how many.
    pub fn take(&self, most: usize) -> Result<usize> {
        self.0.iter().try_fold(0, |sum, ring| match ring.consume_raw_n(most) {
            error if error < 0 && error != -libc::EINTR => {
                Err(io("cannot read the rings")(std::io::Error::from_raw_os_error(-error)))
            }
            taken => Ok(sum + usize::try_from(taken).unwrap_or(0)),
        })
    }
}

pub(crate) fn label_daemon(labels: &MapHandle) -> Result<()> {
    let myself = PidFd::open(std::process::id())?;
    let label = types::lictor_label { session: 0, slot: 0, flags: abi::label::DAEMON };
    labels.update(&myself.key(), bytes_of(&label), MapFlags::ANY).map_err(bpf("cannot label the daemon"))
}

pub(crate) fn session_in(labels: &MapHandle, task: &PidFd) -> Result<Option<u64>> {
    let label = labels.lookup(&task.key(), MapFlags::ANY).map_err(bpf("cannot read the process's label"))?;
    let label = label.and_then(|bytes| from_bytes::<types::lictor_label>(&bytes));
    Ok(label.filter(|label| label.flags & abi::label::GOVERNED != 0).map(|label| label.session))
}

/// Whether a session of any build below `pins` still has tasks.
pub fn any_session_alive(pins: &Path) -> Result<bool> {
    for entry in fs::read_dir(pins).map_err(io(format!("cannot read {}", pins.display())))? {
        let sessions = entry.map_err(io("cannot read the pins"))?.path().join("maps/sessions");
        if sessions.exists() {
            let sessions = MapHandle::from_pinned_path(&sessions).map_err(bpf("cannot open the sessions"))?;
            if any_tasks(&sessions)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

pub(crate) fn any_tasks(sessions: &MapHandle) -> Result<bool> {
    for slot in 0..sessions.max_entries() {
        let state = sessions.lookup(&slot.to_ne_bytes(), MapFlags::ANY).map_err(bpf("cannot read a session"))?;
        if state.and_then(|bytes| from_bytes::<i64>(bytes.get(8..)?)).unwrap_or(0) > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Changes with every change of the programs or of their layout.
pub(crate) fn build_id() -> String {
    Sha256::digest(crate::skel::OBJECT).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn kernel_version() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn open_object() -> Result<OpenObject> {
    capture_log(|| ObjectBuilder::default().name("lictor")?.open_memory(crate::skel::OBJECT))
        .map_err(|(cause, log)| Error::Refused { what: "the object file".into(), cause, log })
}

/// The name of the LSM hook of a section, sleepable and optional ones too.
fn lsm_hook(section: &str) -> Option<&str> {
    let section = section.strip_prefix('?').unwrap_or(section);
    section.strip_prefix("lsm/").or_else(|| section.strip_prefix("lsm.s/"))
}

/// Every LSM hook that the programs use.
pub(crate) fn hooks() -> Vec<&'static str> {
    let Ok(object) = open_object() else {
        return Vec::new();
    };
    let mut hooks: Vec<&'static str> = object
        .progs()
        .filter_map(|program| lsm_hook(&program.section().to_string_lossy()).map(str::to_owned))
        .map(|hook| &*hook.leak())
        .collect();
    hooks.sort_unstable();
    hooks.dedup();
    hooks
}

fn expected_programs(kernel: &Kernel) -> Result<usize> {
    let object = open_object()?;
    Ok(object
        .progs()
        .filter(|program| {
            let section = program.section().to_string_lossy().into_owned();
            let name = program.name().to_string_lossy().into_owned();
            match lsm_hook(&section).map(|hook| kernel.hook(hook)) {
                Some(Hook::Present(arguments)) => match name.as_str() {
                    "lictor_inode_setattr" => arguments == 2,
                    "lictor_inode_setattr_idmap" => arguments == 3,
                    _ => true,
                },
                Some(_) => false,
                None => !section.starts_with("iter/"),
            }
        })
        .count())
}

pub(crate) fn open_maps(dir: &Path) -> Result<BTreeMap<String, MapHandle>> {
    let mut maps = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(io(format!("cannot read {}", dir.display())))? {
        let entry = entry.map_err(io("cannot read the pinned maps"))?;
        let map = MapHandle::from_pinned_path(entry.path())
            .map_err(bpf(format!("cannot open {}", entry.path().display())))?;
        maps.insert(entry.file_name().to_string_lossy().into_owned(), map);
    }
    Ok(maps)
}

pub(crate) fn open_links(dir: &Path) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    for entry in fs::read_dir(dir).map_err(io(format!("cannot read {}", dir.display())))? {
        let path = entry.map_err(io("cannot read the pinned links"))?.path();
        links.push(Link::open(&path).map_err(bpf(format!("cannot open {}", path.display())))?);
    }
    Ok(links)
}

fn attach_all(object: &mut Object, pins: &Path) -> Result<Vec<Link>> {
    let root = cgroup_root().ok_or_else(|| Error::Unsupported("cgroup version 2 is not mounted".into()))?;
    let root_cgroup = fs::File::open(&root).map_err(io(format!("cannot open {}", root.display())))?;
    let mut links = Vec::new();
    for mut program in object.progs_mut() {
        if !program.autoload() {
            continue;
        }
        let name = program.name().to_string_lossy().into_owned();
        let section = program.section().to_string_lossy().into_owned();
        if section.starts_with("iter/") {
            program.pin(pins.join("programs").join(&name)).map_err(bpf(format!("cannot pin {name}")))?;
            continue;
        }
        let mut link = if section.starts_with("cgroup/") {
            program.attach_cgroup(root_cgroup.as_raw_fd())
        } else {
            program.attach()
        }
        .map_err(bpf(format!("cannot attach {name} ({section})")))?;
        link.pin(pins.join("links").join(&name)).map_err(bpf(format!("cannot pin {name}")))?;
        links.push(link);
    }
    Ok(links)
}

/// Where the root of the cgroup v2 hierarchy is mounted.
pub(crate) fn cgroup_root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut fields = left.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        (right.starts_with("cgroup2 ") && root == "/").then(|| PathBuf::from(place))
    })
}

/// The folder of the pins, for as long as this value lives: two daemons that write to the same maps would undo each
/// other's work. Waits for `patience`: a daemon that was killed is there until its last thread is gone.
pub struct HeldPins(#[expect(dead_code, reason = "held, not read")] fs::File);

/// Makes the folder `pins` where it is not there, and holds it.
///
/// # Errors
/// Another daemon has it, or it is no folder on a BPF filesystem.
pub fn hold_pins(pins: &Path, patience: Duration) -> Result<HeldPins> {
    mount_bpffs(pins)?;
    let failed = |error| io(format!("cannot hold {}", pins.display()))(error);
    let folder = fs::File::open(pins).map_err(failed)?;
    let end = Instant::now() + patience;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(HeldPins(folder)),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            Err(fs::TryLockError::WouldBlock) => return Err(Error::Held(pins.to_owned())),
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

const BPF_FS: i64 = 0xcafe_4a11;

fn mount_bpffs(pins: &Path) -> Result<()> {
    let base = Path::new("/sys/fs/bpf");
    let is_bpffs = |path: &Path| nix::sys::statfs::statfs(path).is_ok_and(|stat| stat.filesystem_type().0 == BPF_FS);
    if pins.starts_with(base) && !is_bpffs(base) {
        nix::mount::mount(Some("bpf"), base, Some("bpf"), nix::mount::MsFlags::empty(), None::<&str>)
            .map_err(errno("cannot mount bpffs on /sys/fs/bpf"))?;
    }
    fs::create_dir_all(pins).map_err(io(format!("cannot make {}", pins.display())))?;
    if !is_bpffs(pins) {
        return Err(Error::Unsupported(format!("{} is not on a BPF filesystem", pins.display())));
    }
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(pins, fs::Permissions::from_mode(0o700)).map_err(io(format!("cannot close {}", pins.display())))
}

pub(crate) fn remove_pins(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(io(format!("cannot remove {}", dir.display()))),
    }
}

static LOG: Mutex<String> = Mutex::new(String::new());

fn keep(level: PrintLevel, text: String) {
    if level != PrintLevel::Debug
        && let Ok(mut log) = LOG.lock()
    {
        log.push_str(&text);
    }
}

/// Runs a libbpf call and hands over what it printed when it fails.
fn capture_log<T>(call: impl FnOnce() -> libbpf_rs::Result<T>) -> std::result::Result<T, (libbpf_rs::Error, String)> {
    let before = libbpf_rs::set_print(Some((PrintLevel::Info, keep)));
    let result = call();
    libbpf_rs::set_print(before);
    let log = LOG.lock().map(|mut log| std::mem::take(&mut *log)).unwrap_or_default();
    result.map_err(|cause| (cause, log))
}
