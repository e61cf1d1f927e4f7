// SPDX-License-Identifier: Apache-2.0
//! Every process of the host, not only the governed: who lives when the daemon starts, and again every half minute, so
//! that what the kernel could not tell is found. What starts, executes and ends in between is told by the `host` ring.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lictor_api::bytes::escape;
use lictor_api::control::{Creator, ProcessInfo};
use lictor_api::event::Container;
use lictor_bpf::{RawEvent, abi, return_freed_memory};
use lictor_engine::process::{Counted, ProcessFacts, ProcessKey, ProcessTree, Program};
use nix::unistd::{Uid, User};
use sha2::{Digest as _, Sha256};

use crate::container;
use crate::control::cmdline;
use crate::daemon::Daemon;
use crate::effects::has_its_number;
use crate::judging::facts_of;
use crate::session::session_name;

/// Between two counts.
const EVERY: Duration = Duration::from_secs(30);
/// The same when the kernel could not tell everything meanwhile.
const SOON: Duration = Duration::from_secs(2);
/// A count on a host of a hundred thousand processes takes its time; it may not take more than this part of the daemon's.
const PART: u32 = 100;
/// Control groups that wait to be looked at.
const WAITING: usize = 1024;
/// Programs whose hash is remembered.
const HASHES_KEPT: usize = 4096;
/// How long programs are read for one answer: anybody can run an enormous file of holes.
const HASHING: Duration = Duration::from_secs(20);

/// What a control group's number stands for, and what was found out about programs.
#[derive(Default)]
pub(crate) struct Census {
    state: Mutex<State>,
    changed: Condvar,
    /// Somebody wants what is in the ring now.
    pub(crate) wanted: AtomicBool,
}

#[derive(Default)]
struct State {
    /// `None`: no container.
    groups: HashMap<u64, Option<Container>>,
    waiting: VecDeque<(ProcessKey, u64)>,
    soon: bool,
    hashes: HashMap<Stamp, [u8; 32]>,
}

/// The same file with the same content, as far as its filesystem tells: device, inode, size, and the nanoseconds of its
/// last change.
type Stamp = (u64, u64, u64, i64, i64);

impl Census {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kernel could not tell everything: count before long.
    pub(crate) fn ask(&self) {
        self.lock().soon = true;
        self.changed.notify_all();
    }

    /// A process executed in this control group; it tells what container that is while it lives.
    fn group(&self, key: ProcessKey, cgroup: u64) {
        let mut state = self.lock();
        if cgroup != 0 && state.waiting.len() < WAITING && !state.groups.contains_key(&cgroup) {
            state.waiting.push_back((key, cgroup));
            self.changed.notify_all();
        }
    }

    fn container(&self, cgroup: u64) -> Option<Container> {
        self.lock().groups.get(&cgroup).cloned().flatten()
    }

    /// SHA-256 of the program that the process runs. `None`: it runs none, is gone, or could not be read until `end`.
    fn hash(&self, pid: u32, end: Instant) -> Option<[u8; 32]> {
        let mut file = File::open(format!("/proc/{pid}/exe")).ok()?;
        let stat = file.metadata().ok()?;
        let stamp = (stat.dev(), stat.ino(), stat.size(), stat.ctime(), stat.ctime_nsec());
        if let Some(known) = self.lock().hashes.get(&stamp) {
            return Some(*known);
        }
        let mut hasher = Sha256::new();
        let mut part = vec![0; 1 << 16];
        loop {
            if Instant::now() > end {
                return None;
            }
            match file.read(&mut part).ok()? {
                0 => break,
                length => hasher.update(&part[..length]),
            }
        }
        let hash = hasher.finalize().into();
        let mut state = self.lock();
        if state.hashes.len() >= HASHES_KEPT {
            state.hashes.clear();
        }
        state.hashes.insert(stamp, hash);
        Some(hash)
    }
}

/// Takes what the kernel told of processes that nobody governs into the tree.
pub(crate) fn take(daemon: &Daemon, raws: &[RawEvent]) {
    let mut changing = daemon.lock();
    for raw in raws {
        told(raw, &mut changing.tree);
    }
    drop(changing);
    for raw in raws.iter().filter(|raw| raw.op == abi::host_op::EXEC) {
        daemon.census.group(ProcessKey { pid: raw.pid, start_ns: raw.start_ns }, raw.fingerprint.object);
    }
}

fn told(raw: &RawEvent, tree: &mut ProcessTree) {
    let key = ProcessKey { pid: raw.pid, start_ns: raw.start_ns };
    match raw.op {
        abi::host_op::FORK => tree.host_started(key, raw.ppid, raw.uid, raw.gid),
        abi::host_op::EXEC => tree.host_executed(Counted {
            key,
            ppid: raw.ppid,
            uid: raw.uid,
            gid: raw.gid,
            cgroup: raw.fingerprint.object,
            session: 0,
            program: Some(Program::new(Some(&raw.path), &raw.args, Some(&raw.path2), &raw.comm)),
        }),
        _ => tree.host_exited(key),
    }
}

/// Counts until the daemon stops.
pub(crate) fn keep(daemon: &Daemon) {
    for older in daemon.legacy() {
        older.leave_host();
    }
    daemon.sensor.watch_host(true);
    let mut next = Instant::now();
    while !daemon.stopping.load(Ordering::Acquire) {
        if Instant::now() >= next {
            let began = Instant::now();
            if let Err(error) = count(daemon) {
                tracing::error!("the host's processes cannot be counted: {error:#}");
            }
            next = Instant::now() + EVERY.max(began.elapsed() * PART);
        }
        let mut state = daemon.census.lock();
        if std::mem::take(&mut state.soon) {
            next = next.min(Instant::now() + SOON);
        }
        let waiting = std::mem::take(&mut state.waiting);
        if waiting.is_empty() {
            let wait = next.saturating_duration_since(Instant::now()).min(Duration::from_millis(500));
            drop(daemon.census.changed.wait_timeout(state, wait));
            continue;
        }
        drop(state);
        for (key, cgroup) in waiting {
            let found = container::of_process(key.pid);
            if has_its_number(&key) {
                daemon.census.lock().groups.insert(cgroup, found);
            }
        }
    }
    daemon.sensor.watch_host(false);
}

fn count(daemon: &Daemon) -> Result<()> {
    let census = daemon.sensor.census()?;
    // What the rings held at that time comes first.
    daemon.drain();
    let legacy = daemon.legacy();
    let key = |process: &lictor_bpf::HostProcess| ProcessKey { pid: process.pid, start_ns: process.start_ns };
    let unknown = daemon.lock().tree.unknown(census.processes.iter().map(key));
    let first = unknown.len() > 1000;
    let known: HashSet<u64> = daemon.census.lock().groups.keys().copied().collect();
    let mut groups = HashMap::new();
    let mut found = Vec::with_capacity(census.processes.len());
    for process in &census.processes {
        if !known.contains(&process.cgroup) && process.cgroup != 0 {
            groups.entry(process.cgroup).or_insert_with(|| container::of_process(process.pid));
        }
        let key = key(process);
        let program = unknown.contains(&key).then(|| {
            let facts = facts_of(process.pid);
            facts.map_or_else(
                || Program::new(None, &[], None, &process.comm),
                |facts| Program::new(facts.exe.as_deref(), &facts.args, facts.cwd.as_deref(), &process.comm),
            )
        });
        let &lictor_bpf::HostProcess { ppid, uid, gid, cgroup, mut session, .. } = process;
        if session == 0 {
            for older in &legacy {
                session = session.max(older.session_of_pid(process.pid)?);
            }
        }
        found.push(Counted { key, ppid, uid, gid, cgroup, session, program });
    }
    let keys: HashSet<ProcessKey> = found.iter().map(|counted| counted.key).collect();
    let mut gone = daemon.lock().tree.missing(&keys, census.at_ns);
    gone.retain(|key| !has_its_number(key));
    let living: HashSet<u64> = census.processes.iter().map(|process| process.cgroup).collect();
    let mut state = daemon.census.lock();
    state.groups.retain(|cgroup, _| living.contains(cgroup));
    state.groups.extend(groups);
    drop(state);
    daemon.lock().tree.count(found, &gone);
    if first {
        return_freed_memory();
    }
    Ok(())
}

/// For `lictor ps --all`: everybody who lives, and the ended from whom they descend; by number.
pub(crate) fn processes(daemon: &Daemon) -> Result<Vec<ProcessInfo>> {
    ensure!(
        daemon.watches_host(),
        "this lictord looks after governed processes only (`watch_host: off` in its settings, or it is a private one)"
    );
    daemon.drain();
    let held: HashSet<u32> = daemon.sensor.held()?.into_iter().map(|held| held.pid).collect();
    let mut list = listed(daemon, &held);
    let mut users: HashMap<u32, Option<String>> = HashMap::new();
    for process in &mut list {
        let name = |uid: u32| User::from_uid(Uid::from_raw(uid)).ok()?.map(|user| user.name);
        let user = users.entry(process.uid).or_insert_with(|| name(process.uid));
        process.user.clone_from(user);
    }
    list.sort_unstable_by_key(|process| (process.pid, process.start_time));
    Ok(list)
}

/// Reads each program that was not read before, the smallest first, for as long as [`HASHING`]; the others have no hash.
pub(crate) fn add_hashes(daemon: &Daemon, processes: &mut [ProcessInfo]) {
    let end = Instant::now() + HASHING;
    let mut due: Vec<_> = processes.iter_mut().filter(|process| !process.ended && process.exe.is_some()).collect();
    // An enormous program leaves out itself, and not those behind it.
    due.sort_by_cached_key(|process| {
        std::fs::metadata(format!("/proc/{}/exe", process.pid)).map_or(0, |program| program.size())
    });
    for process in due {
        let key = ProcessKey { pid: process.pid, start_ns: process.start_time };
        let hash = daemon.census.hash(process.pid, end).filter(|_| has_its_number(&key));
        process.sha256 = hash.map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect());
    }
}

fn listed(daemon: &Daemon, held: &HashSet<u32>) -> Vec<ProcessInfo> {
    let changing = daemon.lock();
    let tree = &changing.tree;
    let (mut list, mut ended) = (Vec::new(), HashSet::new());
    let mut above = Vec::new();
    for (key, facts) in tree.living() {
        list.push(info(daemon, &changing.sessions, key, facts, false, held.contains(&key.pid)));
        above.extend(facts.parent());
        while let Some(parent) = above.pop() {
            if let Some(facts) = tree.get(parent)
                && tree.has_exited(parent)
                && ended.insert(parent)
            {
                list.push(info(daemon, &changing.sessions, parent, facts, true, false));
                above.extend(facts.parent());
            }
        }
    }
    list
}

fn info(
    daemon: &Daemon,
    sessions: &crate::session::Sessions,
    key: ProcessKey,
    facts: &ProcessFacts,
    ended: bool,
    held: bool,
) -> ProcessInfo {
    let record = (facts.session != 0).then(|| sessions.record(facts.session)).flatten();
    ProcessInfo {
        pid: key.pid,
        start_time: key.start_ns,
        ppid: facts.ppid,
        parent: facts.parent().map(|parent| Creator { pid: parent.pid, start_time: parent.start_ns }),
        exe: facts.exe().map(escape),
        cmdline: cmdline(facts),
        name: (!facts.name().is_empty()).then(|| escape(facts.name())),
        cwd: facts.cwd().map(escape),
        sha256: None,
        uid: facts.uid,
        user: None,
        session: (facts.session != 0).then(|| session_name(facts.session)),
        agent: record.map(|record| record.agent.clone()),
        container: record.and_then(|record| record.container.clone()).or_else(|| daemon.census.container(facts.cgroup)),
        denied: facts.denied.into(),
        held,
        ended,
    }
}
