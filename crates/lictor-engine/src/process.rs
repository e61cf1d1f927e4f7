// SPDX-License-Identifier: Apache-2.0
//! The process tree: who runs what, and whose child it is. Fed with forks, executions and exits of governed processes,
//! and of everybody else's where the host is watched; asked for the facts of one process. Processes are known by number
//! and start time, so a number that is used again is somebody else.
//!
//! Its size is bounded: the ended are forgotten in their order, those last from whom somebody descends who lives.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// A process, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    pub pid: u32,
    /// Start of its first thread, nanoseconds of CLOCK_BOOTTIME.
    pub start_ns: u64,
}

/// What a process runs. A child runs what its parent runs until it executes, and shares it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    exe: Option<Box<[u8]>>,
    cwd: Option<Box<[u8]>>,
    /// The kernel's short name for it; its own threads have nothing else.
    name: Box<[u8]>,
    /// Each with a NUL behind it.
    args: Box<[u8]>,
}

impl Program {
    pub fn new(exe: Option<&[u8]>, args: &[Vec<u8>], cwd: Option<&[u8]>, name: &[u8]) -> Program {
        let some = |bytes: Option<&[u8]>| bytes.filter(|bytes| !bytes.is_empty()).map(Box::from);
        let joined: Vec<u8> = args.iter().flat_map(|arg| arg.iter().copied().chain([0])).collect();
        Program { exe: some(exe), cwd: some(cwd), name: name.into(), args: joined.into() }
    }

    fn text(&self) -> usize {
        let length = |bytes: &Option<Box<[u8]>>| bytes.as_ref().map_or(0, |bytes| bytes.len());
        length(&self.exe) + length(&self.cwd) + self.name.len() + self.args.len()
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    pub ppid: u32,
    pub uid: u32,
    pub gid: u32,
    /// What was denied to it.
    pub denied: u32,
    /// 0: nobody governs it.
    pub session: u64,
    /// Number of its control group in the version 2 hierarchy; 0: not told.
    pub cgroup: u64,
    program: Option<Arc<Program>>,
    /// Who created it, as far as the tree knew that one.
    parent: Option<ProcessKey>,
    /// How many in the tree it created.
    children: u32,
    /// Kept for those whom it created, although its time is over.
    kept: bool,
    /// Of a governed process: who created it, who created that one, and so on, nearest first. Unlike `ppid` it stays when
    /// they exit, and it does not depend on what else the tree remembers.
    creators: Box<[u32]>,
    /// What it is about to run in an interpreter.
    script: Option<Box<[u8]>>,
}

impl ProcessFacts {
    pub fn exe(&self) -> Option<&[u8]> {
        self.program.as_ref()?.exe.as_deref()
    }

    pub fn cwd(&self) -> Option<&[u8]> {
        self.program.as_ref()?.cwd.as_deref()
    }

    /// The kernel's short name; empty when it was not told.
    pub fn name(&self) -> &[u8] {
        self.program.as_ref().map_or(&[], |program| &program.name)
    }

    /// None, where they are not known.
    pub fn args(&self) -> impl Iterator<Item = &[u8]> {
        let joined = self.program.as_ref().map_or(&[][..], |program| &program.args);
        joined.strip_suffix(&[0]).into_iter().flat_map(|args| args.split(|byte| *byte == 0))
    }

    /// Whether the process with this number created it, or created who created it, and so on. Of governed processes only.
    pub fn descends_from(&self, pid: u32) -> bool {
        self.creators.contains(&pid)
    }

    /// Who created it, as far as that is known.
    pub fn parent(&self) -> Option<ProcessKey> {
        self.parent
    }
}

/// A process that a census found.
#[derive(Clone, Debug)]
pub struct Counted {
    pub key: ProcessKey,
    pub ppid: u32,
    pub uid: u32,
    pub gid: u32,
    pub cgroup: u64,
    /// 0: nobody governs it.
    pub session: u64,
    /// Where the tree did not know it, or knew no more than a name.
    pub program: Option<Program>,
}

/// Exited processes are kept for a while: events of their last moments, and of their children, come later. As many of
/// the governed, and of the others.
const ENDED_KEPT: usize = 4096;

/// Those of the ended who are kept on, because somebody lives whom they created.
const PARENTS_KEPT: usize = 16_384;

/// Processes that live and that nobody governs; those beyond are not taken in.
const HOST_KEPT: usize = 200_000;

/// Bytes of names, directories and arguments. Beyond, the ended go first; then arguments of those whom nobody governs.
const TEXT_KEPT: usize = 32 << 20;

/// Ancestors that are told of a process.
const MAX_DEPTH: usize = 64;

#[derive(Default, Debug)]
pub struct ProcessTree {
    alive: HashMap<u32, (u64, ProcessFacts)>,
    ended: HashMap<ProcessKey, ProcessFacts>,
    governed_order: VecDeque<ProcessKey>,
    host_order: VecDeque<ProcessKey>,
    /// With some that are gone meanwhile.
    kept: VecDeque<ProcessKey>,
    text: usize,
    left_out: u64,
}

impl ProcessTree {
    /// A governed process was seen acting; what is not known about it yet is inherited from its parent.
    pub fn seen(&mut self, key: ProcessKey, session: u64, ppid: u32, uid: u32, gid: u32) {
        self.back(key);
        match self.living_mut(key) {
            Some(facts) if facts.session == session => {
                (facts.ppid, facts.uid, facts.gid) = (ppid, uid, gid);
                return;
            }
            _ => {}
        }
        let mut creators = vec![ppid];
        let mut program = None;
        if let Some((_, parent)) = self.alive.get(&ppid)
            && parent.session == session
        {
            creators.extend(parent.creators.iter().take(MAX_DEPTH - 1));
            program = parent.program.clone();
        }
        let creators = creators.into();
        match self.living_mut(key) {
            Some(facts) => {
                (facts.ppid, facts.uid, facts.gid) = (ppid, uid, gid);
                (facts.session, facts.creators) = (session, creators);
            }
            None => self.insert(key, ProcessFacts { ppid, uid, gid, session, program, creators, ..Default::default() }),
        }
    }

    /// A process whom nobody governs started, or was seen for the first time. One that is known stays as it is.
    pub fn host_started(&mut self, key: ProcessKey, ppid: u32, uid: u32, gid: u32) {
        if self.get(key).is_some() {
            return;
        }
        if self.alive.len() >= HOST_KEPT {
            self.left_out += 1;
            return;
        }
        let parent = self.alive.get(&ppid).map(|(_, parent)| parent);
        let (program, cgroup) = parent.map_or((None, 0), |parent| (parent.program.clone(), parent.cgroup));
        self.insert(key, ProcessFacts { ppid, uid, gid, cgroup, program, ..Default::default() });
    }

    /// A process whom nobody governs executed `program`.
    pub fn host_executed(&mut self, counted: Counted) {
        let Counted { key, ppid, uid, gid, cgroup, session: _, program } = counted;
        self.host_started(key, ppid, uid, gid);
        let Some(facts) = self.living_mut(key) else { return };
        if facts.session != 0 {
            return;
        }
        (facts.ppid, facts.uid, facts.gid) = (ppid, uid, gid);
        if cgroup != 0 {
            facts.cgroup = cgroup;
        }
        if let Some(mut program) = program {
            if self.text + program.text() > TEXT_KEPT {
                self.forget_ended(program.text());
            }
            if self.text + program.text() > TEXT_KEPT {
                program.args = Box::default();
            }
            self.run(key, program);
        }
    }

    pub fn host_exited(&mut self, key: ProcessKey) {
        if self.living_mut(key).is_some_and(|facts| facts.session == 0) {
            self.exited(key);
        }
    }

    /// Which of these the tree has no more than a name of: the kernel's own threads take theirs after they have begun.
    pub fn unknown(&self, keys: impl Iterator<Item = ProcessKey>) -> HashSet<ProcessKey> {
        keys.filter(|key| self.get(*key).is_none_or(|facts| facts.exe().is_none())).collect()
    }

    /// Who is not among the `found` of a census that began at `at_ns` of CLOCK_BOOTTIME, and was there before. Everything
    /// that was told before the census must have been taken in. A census can miss a process whose thread just executes.
    pub fn missing(&self, found: &HashSet<ProcessKey>, at_ns: u64) -> Vec<ProcessKey> {
        let alive = self.alive.iter().map(|(pid, (start_ns, _))| ProcessKey { pid: *pid, start_ns: *start_ns });
        alive.filter(|key| key.start_ns < at_ns && !found.contains(key)).collect()
    }

    /// Takes a census in: newcomers, and who has ended since they were told of.
    pub fn count(&mut self, mut found: Vec<Counted>, gone: &[ProcessKey]) {
        found.sort_unstable_by_key(|counted| counted.key.start_ns);
        for key in gone {
            self.exited(*key);
        }
        for counted in found {
            if self.ended.contains_key(&counted.key) {
                continue; // its end was told since
            }
            self.adopt(counted.key, counted.ppid);
            if counted.session == 0 {
                self.host_executed(counted);
                continue;
            }
            let Counted { key, ppid, uid, gid, cgroup, session, program } = counted;
            self.seen(key, session, ppid, uid, gid);
            if let Some(facts) = self.living_mut(key) {
                facts.cgroup = cgroup;
            }
            if let Some(program) = program {
                self.run(key, program);
            }
        }
    }

    /// A governed process executed a program. Its directory stays when it is not told.
    pub fn executed(&mut self, key: ProcessKey, exe: &[u8], args: &[Vec<u8>], cwd: Option<&[u8]>) {
        let Some(facts) = self.living_mut(key) else { return };
        let cwd = cwd.or(facts.cwd()).map(<[u8]>::to_vec);
        let program = Program::new(Some(exe), args, cwd.as_deref(), &[]);
        if self.text + program.text() > TEXT_KEPT {
            self.forget_ended(program.text());
        }
        self.run(key, program);
    }

    /// A script that a process is about to run in an interpreter.
    pub fn script(&mut self, key: ProcessKey, path: &[u8]) {
        if let Some(facts) = self.living_mut(key) {
            facts.script = Some(path.into());
        }
    }

    /// The script that [`ProcessTree::script`] told of, once.
    pub fn take_script(&mut self, key: ProcessKey) -> Option<Vec<u8>> {
        Some(self.living_mut(key)?.script.take()?.into_vec())
    }

    pub fn exited(&mut self, key: ProcessKey) {
        if self.living_mut(key).is_none() {
            return;
        }
        let Some((_, facts)) = self.alive.remove(&key.pid) else { return };
        let governed = facts.session != 0;
        self.ended.insert(key, facts);
        let order = if governed { &mut self.governed_order } else { &mut self.host_order };
        order.push_back(key);
        if order.len() > ENDED_KEPT
            && let Some(oldest) = order.pop_front()
        {
            self.over(oldest);
        }
    }

    /// Something was denied to a process.
    pub fn denied(&mut self, key: ProcessKey) {
        if let Some(facts) = self.living_mut(key) {
            facts.denied = facts.denied.saturating_add(1);
        }
    }

    pub fn has_exited(&self, key: ProcessKey) -> bool {
        self.ended.contains_key(&key)
    }

    pub fn get(&self, key: ProcessKey) -> Option<&ProcessFacts> {
        match self.alive.get(&key.pid) {
            Some((start, facts)) if *start == key.start_ns => Some(facts),
            _ => self.ended.get(&key),
        }
    }

    /// The process of the session that has this number now, and those above it in the session, nearest first.
    pub fn ancestors(&self, pid: u32, session: u64) -> impl Iterator<Item = (u32, &ProcessFacts)> {
        let of = move |pid: u32| {
            let (_, facts) = self.alive.get(&pid)?;
            (facts.session == session).then_some((pid, facts))
        };
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
            *start >= key.start_ns && Some(facts.session) == session && facts.descends_from(key.pid)
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

    /// Everybody who lives, in no order.
    pub fn living(&self) -> impl Iterator<Item = (ProcessKey, &ProcessFacts)> {
        self.alive.iter().map(|(pid, (start, facts))| (ProcessKey { pid: *pid, start_ns: *start }, facts))
    }

    /// How often a process was not taken in, because there are too many.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    pub fn forget_session(&mut self, session: u64) {
        let of_it = |facts: &ProcessFacts| facts.session == session;
        let living = self.alive.iter().filter(|(_, (_, facts))| of_it(facts));
        let living: Vec<_> = living.map(|(pid, (start, _))| ProcessKey { pid: *pid, start_ns: *start }).collect();
        let ended: Vec<_> = self.ended.iter().filter(|(_, facts)| of_it(facts)).map(|(key, _)| *key).collect();
        for key in living {
            if let Some((_, facts)) = self.alive.remove(&key.pid) {
                self.ended.insert(key, facts);
            }
            self.remove(key);
        }
        for key in ended {
            self.remove(key);
        }
        let ended = &self.ended;
        self.governed_order.retain(|key| ended.contains_key(key));
    }

    fn living_mut(&mut self, key: ProcessKey) -> Option<&mut ProcessFacts> {
        let (start, facts) = self.alive.get_mut(&key.pid)?;
        (*start == key.start_ns).then_some(facts)
    }

    /// Somebody acts whose end was taken in: what is known of it is known on.
    fn back(&mut self, key: ProcessKey) {
        if let Some(mut facts) = self.ended.remove(&key) {
            facts.kept = false;
            self.make_room(key.pid);
            self.alive.insert(key.pid, (key.start_ns, facts));
        }
    }

    /// Whoever had the number before has ended, whether that was told or not.
    fn make_room(&mut self, pid: u32) {
        if let Some((start_ns, _)) = self.alive.get(&pid) {
            self.exited(ProcessKey { pid, start_ns: *start_ns });
        }
    }

    /// One who is not in the tree.
    fn insert(&mut self, key: ProcessKey, mut facts: ProcessFacts) {
        self.make_room(key.pid);
        if let Some((start_ns, parent)) = self.alive.get_mut(&facts.ppid) {
            parent.children += 1;
            facts.parent = Some(ProcessKey { pid: facts.ppid, start_ns: *start_ns });
        }
        self.alive.insert(key.pid, (key.start_ns, facts));
    }

    /// One whose creator was not known when it was first told of: who looks after it is the best that is known.
    fn adopt(&mut self, key: ProcessKey, ppid: u32) {
        if self.living_mut(key).is_none_or(|facts| facts.parent.is_some()) {
            return;
        }
        let Some((start_ns, above)) = self.alive.get_mut(&ppid).filter(|(start_ns, _)| *start_ns <= key.start_ns)
        else {
            return;
        };
        above.children += 1;
        let parent = ProcessKey { pid: ppid, start_ns: *start_ns };
        if let Some(facts) = self.living_mut(key) {
            facts.parent = Some(parent);
        }
    }

    fn run(&mut self, key: ProcessKey, program: Program) {
        let added = program.text();
        let Some(facts) = self.living_mut(key) else { return };
        let before = facts.program.replace(Arc::new(program));
        self.text += added;
        self.release(before);
    }

    /// Nobody of the tree may hold `program` any more.
    fn release(&mut self, program: Option<Arc<Program>>) {
        if let Some(program) = program.and_then(Arc::into_inner) {
            self.text = self.text.saturating_sub(program.text());
        }
    }

    /// Its time as one of the ended is over; it stays for those whom it created.
    fn over(&mut self, key: ProcessKey) {
        match self.ended.get_mut(&key) {
            Some(facts) if facts.children > 0 && !facts.kept => facts.kept = true,
            _ => return self.remove(key),
        }
        self.kept.push_back(key);
        if self.kept.len() <= PARENTS_KEPT {
            return;
        }
        // A part at once, so that a storm does not pay for it at each end.
        let ended = &self.ended;
        self.kept.retain(|key| ended.get(key).is_some_and(|facts| facts.kept));
        while self.kept.len() > PARENTS_KEPT / 4 * 3
            && let Some(oldest) = self.kept.pop_front()
        {
            self.remove(oldest);
        }
    }

    /// Takes one of the ended out, and those above it who were kept for it alone.
    fn remove(&mut self, key: ProcessKey) {
        let mut next = Some(key);
        while let Some(facts) = next.take().and_then(|key| self.ended.remove(&key)) {
            self.release(facts.program);
            let Some(parent) = facts.parent else { return };
            match self.alive.get_mut(&parent.pid) {
                // Not as many as it had, when it was forgotten and came back.
                Some((start_ns, above)) if *start_ns == parent.start_ns => {
                    above.children = above.children.saturating_sub(1);
                }
                _ => {
                    if let Some(above) = self.ended.get_mut(&parent) {
                        above.children = above.children.saturating_sub(1);
                        next = (above.kept && above.children == 0).then_some(parent);
                    }
                }
            }
        }
    }

    /// Takes the oldest of the ended out until there is room for so much text.
    fn forget_ended(&mut self, room: usize) {
        while self.text + room > TEXT_KEPT
            && let Some(oldest) = self
                .host_order
                .pop_front()
                .or_else(|| self.kept.pop_front())
                .or_else(|| self.governed_order.pop_front())
        {
            self.remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pid: u32, start_ns: u64) -> ProcessKey {
        ProcessKey { pid, start_ns }
    }

    fn running(key: ProcessKey, ppid: u32, exe: &str, arg: &str) -> Counted {
        let program = Program::new(Some(exe.as_bytes()), &[arg.as_bytes().to_vec()], Some(b"/"), b"");
        Counted { key, ppid, uid: 0, gid: 0, cgroup: 0, session: 0, program: Some(program) }
    }

    #[test]
    fn a_child_runs_what_its_parent_runs_until_it_executes() {
        let mut tree = ProcessTree::default();
        tree.seen(key(10, 1), 7, 1, 0, 0);
        tree.executed(key(10, 1), b"/bin/sh", &[b"sh".to_vec(), b"".to_vec()], Some(b"/srv"));
        tree.seen(key(11, 2), 7, 10, 0, 0);
        let facts = tree.get(key(11, 2)).unwrap();
        assert_eq!(facts.exe(), Some(&b"/bin/sh"[..]));
        assert_eq!(facts.args().collect::<Vec<_>>(), [&b"sh"[..], b""]);
        tree.executed(key(11, 2), b"/bin/ls", &[], None);
        let facts = tree.get(key(11, 2)).unwrap();
        assert_eq!((facts.exe(), facts.cwd()), (Some(&b"/bin/ls"[..]), Some(&b"/srv"[..])));
        assert_eq!(facts.args().count(), 0);
        assert!(facts.descends_from(10) && facts.descends_from(1) && !facts.descends_from(11));
    }

    #[test]
    fn a_number_that_is_used_again_is_somebody_else() {
        let mut tree = ProcessTree::default();
        tree.seen(key(10, 1), 7, 1, 0, 0);
        tree.executed(key(10, 1), b"/bin/sh", &[], None);
        tree.exited(key(10, 1));
        tree.seen(key(10, 9), 8, 1, 5, 5);
        assert_eq!(tree.get(key(10, 9)).unwrap().exe(), None);
        assert_eq!(tree.get(key(10, 1)).unwrap().exe(), Some(&b"/bin/sh"[..]));
        // An end that was not told.
        tree.seen(key(10, 20), 8, 1, 5, 5);
        assert!(tree.has_exited(key(10, 9)) && tree.is_alive(&key(10, 20)));
        tree.exited(key(10, 9));
        assert!(tree.is_alive(&key(10, 20)));
    }

    #[test]
    fn the_exited_are_forgotten_in_their_order() {
        let mut tree = ProcessTree::default();
        for pid in 0..=ENDED_KEPT as u32 {
            tree.seen(key(pid, 1), 7, 99_999, 0, 0);
            tree.exited(key(pid, 1));
        }
        assert_eq!(tree.get(key(0, 1)), None);
        assert!(tree.get(key(1, 1)).is_some());
        tree.forget_session(7);
        assert_eq!(tree.get(key(1, 1)), None);
        assert!(tree.ended.is_empty() && tree.governed_order.is_empty());
    }

    #[test]
    fn whom_nobody_governs_costs_a_session_nothing_of_what_is_remembered() {
        let mut tree = ProcessTree::default();
        tree.seen(key(1, 1), 7, 0, 0, 0);
        tree.exited(key(1, 1));
        for pid in 2..3 * ENDED_KEPT as u32 {
            tree.host_started(key(pid, 1), 0, 0, 0);
            tree.host_exited(key(pid, 1));
        }
        assert!(tree.has_exited(key(1, 1)));
        assert!(tree.ended.len() <= ENDED_KEPT + 1);
    }

    #[test]
    fn who_created_somebody_that_lives_is_kept() {
        let mut tree = ProcessTree::default();
        tree.host_executed(running(key(1, 1), 0, "/sbin/init", "init"));
        tree.host_executed(running(key(2, 2), 1, "/bin/sh", "sh"));
        tree.host_executed(running(key(3, 3), 2, "/usr/sbin/daemon", "daemon"));
        tree.host_exited(key(2, 2));
        for pid in 10..20 + ENDED_KEPT as u32 {
            tree.host_started(key(pid, 9), 1, 0, 0);
            tree.host_exited(key(pid, 9));
        }
        let parent = tree.get(key(3, 3)).unwrap().parent().unwrap();
        assert_eq!(tree.get(parent).unwrap().exe(), Some(&b"/bin/sh"[..]));
        assert!(tree.has_exited(key(2, 2)));
        // Until that one is gone and forgotten too.
        tree.host_exited(key(3, 3));
        for pid in 10..20 + ENDED_KEPT as u32 {
            tree.host_started(key(pid, 10), 1, 0, 0);
            tree.host_exited(key(pid, 10));
        }
        assert!(tree.get(key(2, 2)).is_none() && tree.get(key(3, 3)).is_none());
    }

    #[test]
    fn a_chain_of_processes_that_end_does_not_grow_for_ever() {
        let mut tree = ProcessTree::default();
        let rounds = (2 * PARENTS_KEPT + ENDED_KEPT) as u32;
        for pid in 1..rounds {
            tree.host_executed(running(key(pid, pid.into()), pid - 1, "/bin/true", &"x".repeat(100)));
            tree.host_exited(key(pid - 1, (pid - 1).into()));
        }
        assert!(tree.ended.len() <= PARENTS_KEPT + ENDED_KEPT, "{}", tree.ended.len());
        let held: usize = tree.ended.values().chain(tree.alive.values().map(|(_, facts)| facts)).map(own_text).sum();
        assert_eq!(tree.text, held);
    }

    /// Nobody shares a program here.
    fn own_text(facts: &ProcessFacts) -> usize {
        facts.program.as_ref().map_or(0, |program| program.text())
    }

    #[test]
    fn who_acts_after_its_end_is_the_same() {
        let mut tree = ProcessTree::default();
        tree.seen(key(9, 1), 7, 1, 0, 0);
        tree.seen(key(10, 2), 7, 9, 0, 0);
        tree.executed(key(10, 2), b"/bin/sh", &[b"sh".to_vec()], None);
        for _ in 0..3 {
            tree.exited(key(10, 2));
            tree.seen(key(10, 2), 7, 9, 0, 0);
            assert!(tree.is_alive(&key(10, 2)) && !tree.has_exited(key(10, 2)));
            assert_eq!(tree.get(key(10, 2)).unwrap().exe(), Some(&b"/bin/sh"[..]));
        }
        assert_eq!((tree.alive[&9].1.children, tree.text), (1, "/bin/shsh\0".len()));
        tree.forget_session(7);
        assert_eq!((tree.text, tree.ended.len(), tree.alive.len()), (0, 0, 0));
    }

    #[test]
    fn a_creator_that_was_forgotten_and_acts_again_is_no_error() {
        let mut tree = ProcessTree::default();
        tree.seen(key(1, 1), 7, 0, 0, 0);
        tree.seen(key(2, 2), 7, 1, 0, 0);
        tree.exited(key(1, 1));
        tree.remove(key(1, 1));
        tree.seen(key(1, 1), 7, 0, 0, 0);
        tree.exited(key(2, 2));
        tree.forget_session(7);
        assert!(tree.alive.is_empty() && tree.ended.is_empty());
    }

    #[test]
    fn a_process_becomes_governed_and_stays_so() {
        let mut tree = ProcessTree::default();
        tree.host_executed(running(key(10, 1), 1, "/usr/bin/lictor", "lictor"));
        tree.host_started(key(11, 2), 10, 0, 0);
        assert_eq!(tree.get(key(11, 2)).unwrap().exe(), Some(&b"/usr/bin/lictor"[..]));
        tree.seen(key(11, 2), 7, 10, 0, 0);
        tree.executed(key(11, 2), b"/usr/bin/claude", &[], None);
        // What another build's programs still say of it.
        tree.host_executed(running(key(11, 2), 10, "/tmp/other", "other"));
        tree.host_exited(key(11, 2));
        let facts = tree.get(key(11, 2)).unwrap();
        assert_eq!((facts.session, facts.exe()), (7, Some(&b"/usr/bin/claude"[..])));
        assert!(tree.is_alive(&key(11, 2)));
        // Its session's tree ends where the session does.
        assert_eq!(tree.ancestors(11, 7).count(), 1);
        tree.host_started(key(12, 3), 11, 0, 0);
        tree.seen(key(12, 3), 7, 11, 0, 0);
        assert!([10, 11].into_iter().all(|pid| tree.get(key(12, 3)).unwrap().descends_from(pid)));
        assert_eq!(tree.started_by(key(11, 2)), [key(12, 3)]);
        let facts = tree.get(key(11, 2)).unwrap();
        assert_eq!(tree.get(facts.parent().unwrap()).unwrap().exe(), Some(&b"/usr/bin/lictor"[..]));
    }

    #[test]
    fn a_census_finds_who_was_not_told_of() {
        let mut tree = ProcessTree::default();
        tree.host_executed(running(key(1, 1), 0, "/sbin/init", "init"));
        tree.host_executed(running(key(2, 2), 1, "/bin/gone", "gone"));
        tree.seen(key(3, 3), 7, 1, 0, 0);
        tree.host_executed(running(key(9, 90), 1, "/bin/late", "late"));
        tree.host_started(key(7, 7), 0, 0, 0);
        assert_eq!(tree.unknown([key(1, 1), key(4, 4), key(7, 7)].into_iter()), HashSet::from([key(4, 4), key(7, 7)]));
        let known = |key| Counted { key, ppid: 0, uid: 5, gid: 5, cgroup: 0, session: 0, program: None };
        let governed = Counted { session: 8, ..running(key(6, 7), 5, "/usr/bin/agent", "agent") };
        let found = [running(key(5, 6), 4, "/bin/child", "child"), running(key(4, 4), 1, "/bin/new", "new"), governed];
        let found: Vec<Counted> = found.into_iter().chain([known(key(1, 1))]).collect();
        let gone = tree.missing(&found.iter().map(|counted| counted.key).collect(), 50);
        assert_eq!(gone.iter().copied().collect::<HashSet<_>>(), HashSet::from([key(2, 2), key(3, 3), key(7, 7)]));
        tree.count(found, &gone);
        let facts = tree.get(key(6, 7)).unwrap();
        assert_eq!((facts.session, facts.exe()), (8, Some(&b"/usr/bin/agent"[..])));
        assert!(facts.descends_from(5) && tree.of_session(8).len() == 1);
        assert_eq!(tree.get(key(1, 1)).map(|facts| (facts.uid, facts.exe())), Some((5, Some(&b"/sbin/init"[..]))));
        assert!(tree.has_exited(key(2, 2)) && tree.has_exited(key(3, 3)));
        assert!(tree.is_alive(&key(9, 90)), "it began after the census");
        assert_eq!(tree.get(key(5, 6)).unwrap().parent(), Some(key(4, 4)));
        // Told of before whoever created it.
        tree.seen(key(31, 60), 9, 30, 0, 0);
        tree.host_executed(running(key(30, 59), 1, "/usr/bin/lictor", "lictor"));
        assert_eq!(tree.get(key(31, 60)).unwrap().parent(), None);
        let late = Counted { session: 9, ..running(key(31, 60), 30, "/usr/bin/agent", "agent") };
        tree.count(vec![known(key(1, 1)), running(key(30, 59), 1, "/usr/bin/lictor", "lictor"), late], &[]);
        assert_eq!(tree.get(key(31, 60)).unwrap().parent(), Some(key(30, 59)));
    }

    #[test]
    fn a_hundred_thousand_processes_fit_into_a_hundred_megabytes() {
        let resident = || {
            let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
            pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
        };
        let before = resident();
        let mut tree = ProcessTree::default();
        for pid in 1..=100_000 {
            let arg = format!("--worker={pid} --config=/etc/service/{:0>200}.yaml", pid % 977);
            let mut process = running(key(pid, pid.into()), pid / 10, "/usr/lib/service/libexec/worker", &arg);
            process.cgroup = pid.into();
            tree.host_executed(process);
        }
        let took = resident() - before;
        eprintln!("{took} bytes resident");
        assert_eq!(tree.living().count(), 100_000);
        assert!(took < 100_000_000, "{took}");
        // Whatever their arguments are.
        for pid in 1..=100_000 {
            tree.host_executed(running(key(pid, pid.into()), pid / 10, "/usr/bin/x", &"y".repeat(4096)));
        }
        assert!(tree.text <= TEXT_KEPT);
        let took = resident() - before;
        assert!(took < 100_000_000, "{took}");
    }
}
