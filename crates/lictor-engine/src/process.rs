// SPDX-License-Identifier: Apache-2.0
//! The process tree: who runs what, and whose child it is. Fed with forks, executions and exits; asked for the facts of
//! one process. Processes are known by number and start time, so a number that is used again is somebody else.

use std::collections::{HashMap, VecDeque};

/// A process, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    pub pid: u32,
    /// Start of its first thread, nanoseconds of CLOCK_BOOTTIME.
    pub start_ns: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    pub ppid: u32,
    pub uid: u32,
    pub gid: u32,
    pub exe: Option<Vec<u8>>,
    pub args: Vec<Vec<u8>>,
    pub cwd: Option<Vec<u8>>,
    pub session: u64,
    /// What was denied to it.
    pub denied: u64,
    /// Who created it, who created that one, and so on, nearest first. Unlike `ppid` it stays when they exit.
    pub creators: Vec<u32>,
    /// What it is about to run in an interpreter.
    script: Option<Vec<u8>>,
}

/// Exited processes are kept for a while: events of their last moments, and of their children, come later.
const EXITED_KEPT: usize = 4096;

/// Ancestors that are told of a process.
const MAX_DEPTH: usize = 64;

#[derive(Default, Debug)]
pub struct ProcessTree {
    alive: HashMap<u32, (u64, ProcessFacts)>,
    exited: HashMap<ProcessKey, ProcessFacts>,
    order: VecDeque<ProcessKey>,
}

impl ProcessTree {
    /// A process was seen acting; what is not known about it yet is inherited from its parent.
    pub fn seen(&mut self, key: ProcessKey, session: u64, ppid: u32, uid: u32, gid: u32) {
        if let Some((start, facts)) = self.alive.get_mut(&key.pid)
            && *start == key.start_ns
        {
            (facts.ppid, facts.uid, facts.gid) = (ppid, uid, gid);
            return;
        }
        let mut facts = match self.alive.get(&ppid) {
            Some((_, parent)) if parent.session == session => ProcessFacts { script: None, ..parent.clone() },
            _ => ProcessFacts::default(),
        };
        (facts.ppid, facts.uid, facts.gid, facts.session, facts.denied) = (ppid, uid, gid, session, 0);
        facts.creators.insert(0, ppid);
        facts.creators.truncate(MAX_DEPTH);
        self.alive.insert(key.pid, (key.start_ns, facts));
    }

    /// A fork: the child runs what its parent runs. Its start is filled in when it first acts.
    pub fn executed(&mut self, key: ProcessKey, exe: Vec<u8>, args: Vec<Vec<u8>>, cwd: Option<Vec<u8>>) {
        if let Some((start, facts)) = self.alive.get_mut(&key.pid)
            && *start == key.start_ns
        {
            facts.exe = Some(exe);
            facts.args = args;
            if cwd.is_some() {
                facts.cwd = cwd;
            }
        }
    }

    /// A script that a process is about to run in an interpreter.
    pub fn script(&mut self, key: ProcessKey, path: Vec<u8>) {
        if let Some((start, facts)) = self.alive.get_mut(&key.pid)
            && *start == key.start_ns
        {
            facts.script = Some(path);
        }
    }

    /// The script that [`ProcessTree::script`] told of, once.
    pub fn take_script(&mut self, key: ProcessKey) -> Option<Vec<u8>> {
        let (start, facts) = self.alive.get_mut(&key.pid)?;
        if *start == key.start_ns { facts.script.take() } else { None }
    }

    pub fn exited(&mut self, key: ProcessKey) {
        if let Some((start, facts)) = self.alive.remove(&key.pid) {
            let key = ProcessKey { pid: key.pid, start_ns: start };
            self.exited.insert(key, facts);
            self.order.push_back(key);
            if self.order.len() > EXITED_KEPT
                && let Some(oldest) = self.order.pop_front()
            {
                self.exited.remove(&oldest);
            }
        }
    }

    /// Something was denied to a process.
    pub fn denied(&mut self, key: ProcessKey) {
        if let Some((start, facts)) = self.alive.get_mut(&key.pid)
            && *start == key.start_ns
        {
            facts.denied += 1;
        }
    }

    pub fn has_exited(&self, key: ProcessKey) -> bool {
        self.exited.contains_key(&key)
    }

    pub fn get(&self, key: ProcessKey) -> Option<&ProcessFacts> {
        match self.alive.get(&key.pid) {
            Some((start, facts)) if *start == key.start_ns => Some(facts),
            _ => self.exited.get(&key),
        }
    }

    /// The process that has this number now.
    pub fn running(&self, pid: u32) -> Option<&ProcessFacts> {
        self.alive.get(&pid).map(|(_, facts)| facts)
    }

    /// The process with the number `pid` and those above it, nearest first, as far as they are known.
    pub fn ancestors(&self, pid: u32) -> impl Iterator<Item = (u32, &ProcessFacts)> {
        let of = |pid: u32| Some((pid, self.running(pid)?));
        // Numbers are used again, so a chain could close: no tree is deeper than this.
        std::iter::successors(of(pid), move |(_, facts)| of(facts.ppid)).take(MAX_DEPTH)
    }

    pub fn is_alive(&self, key: &ProcessKey) -> bool {
        self.alive.get(&key.pid).is_some_and(|(start, _)| *start == key.start_ns)
    }

    /// All live processes of the same session that this one started, directly or not.
    pub fn started_by(&self, key: ProcessKey) -> Vec<ProcessKey> {
        let session = self.get(key).map(|facts| facts.session);
        let inside = self.alive.iter().filter(|(_, (start, facts))| {
            *start >= key.start_ns && Some(facts.session) == session && facts.creators.contains(&key.pid)
        });
        inside.map(|(pid, (start, _))| ProcessKey { pid: *pid, start_ns: *start }).collect()
    }

    /// All live processes of a session, by number.
    pub fn of_session(&self, session: u64) -> Vec<(u32, &ProcessFacts)> {
        let mut found: Vec<_> = self
            .alive
            .iter()
            .filter(|(_, (_, facts))| facts.session == session)
            .map(|(pid, (_, facts))| (*pid, facts))
            .collect();
        found.sort_unstable_by_key(|(pid, _)| *pid);
        found
    }

    pub fn forget_session(&mut self, session: u64) {
        self.alive.retain(|_, (_, facts)| facts.session != session);
        self.exited.retain(|_, facts| facts.session != session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pid: u32, start_ns: u64) -> ProcessKey {
        ProcessKey { pid, start_ns }
    }

    #[test]
    fn a_child_runs_what_its_parent_runs_until_it_executes() {
        let mut tree = ProcessTree::default();
        tree.seen(key(10, 1), 7, 1, 0, 0);
        tree.executed(key(10, 1), b"/bin/sh".to_vec(), vec![b"sh".to_vec()], Some(b"/srv".to_vec()));
        tree.seen(key(11, 2), 7, 10, 0, 0);
        assert_eq!(tree.get(key(11, 2)).unwrap().exe.as_deref(), Some(&b"/bin/sh"[..]));
        tree.executed(key(11, 2), b"/bin/ls".to_vec(), vec![b"ls".to_vec()], None);
        let facts = tree.get(key(11, 2)).unwrap();
        assert_eq!((facts.exe.as_deref(), facts.cwd.as_deref()), (Some(&b"/bin/ls"[..]), Some(&b"/srv"[..])));
    }

    #[test]
    fn a_number_that_is_used_again_is_somebody_else() {
        let mut tree = ProcessTree::default();
        tree.seen(key(10, 1), 7, 1, 0, 0);
        tree.executed(key(10, 1), b"/bin/sh".to_vec(), vec![], None);
        tree.exited(key(10, 1));
        tree.seen(key(10, 9), 8, 1, 5, 5);
        assert_eq!(tree.get(key(10, 9)).unwrap().exe, None);
        assert_eq!(tree.get(key(10, 1)).unwrap().exe.as_deref(), Some(&b"/bin/sh"[..]));
    }

    #[test]
    fn the_exited_are_forgotten_in_their_order() {
        let mut tree = ProcessTree::default();
        for pid in 0..=EXITED_KEPT as u32 {
            tree.seen(key(pid, 1), 7, 1, 0, 0);
            tree.exited(key(pid, 1));
        }
        assert_eq!(tree.get(key(0, 1)), None);
        assert!(tree.get(key(1, 1)).is_some());
        tree.forget_session(7);
        assert_eq!(tree.get(key(1, 1)), None);
    }
}
