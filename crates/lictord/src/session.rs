// SPDX-License-Identifier: Apache-2.0
//! Sessions: from a request to a labelled process under a policy, through reloads, to the end of the last task.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lictor_api::control::Mode;
use lictor_api::event::Container;
use lictor_bpf::{Legacy, PidFd, PolicyStore, Sensor, abi};
use lictor_engine::policy::{self, Agent, Compiled, Limits, PolicyFile, Problem, SessionFacts};
use serde::{Deserialize, Serialize};

use crate::judging::Judging;
use crate::observe::Answers;
use crate::{objects, tables};

/// What a session needs to be made again by a restarted daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) number: u64,
    pub(crate) slot: u32,
    pub(crate) agent: String,
    pub(crate) mode: Option<Mode>,
    /// A policy of the session's own; else the daemon's.
    pub(crate) policy: Option<(String, String)>,
    pub(crate) home: Vec<u8>,
    pub(crate) user: Vec<u8>,
    pub(crate) cwd: Vec<u8>,
    pub(crate) started: String,
    pub(crate) all_events: bool,
    /// What its processes are in, and cannot leave.
    #[serde(default)]
    pub(crate) container: Option<Container>,
}

impl Record {
    pub(crate) fn name(&self) -> String {
        session_name(self.number)
    }
}

pub(crate) fn session_name(number: u64) -> String {
    format!("s-{number:08x}")
}

pub(crate) struct Session {
    pub(crate) record: Record,
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) source: String,
    pub(crate) mode: Mode,
    pub(crate) recorded: u64,
    pub(crate) denied: u64,
    pub(crate) answers: RefCell<Answers>,
    /// Which rules judge it, as globs of their ids.
    pub(crate) rules: Vec<String>,
    /// What the number of its judges is made of, beside agent and rules.
    policy_mark: String,
    /// Whether its executions are judged.
    pub(crate) judged: bool,
    /// When it was seen that its last task has ended.
    over: Option<Instant>,
}

/// A session that is over stays for this long at most while others flood the rings.
const OVER_MOST: Duration = Duration::from_secs(5);

/// Ended sessions, for whoever asks for the sums late.
const ENDED_KEPT: usize = 256;

/// A session that an older build's programs govern: told of, and otherwise left as it is. Its policy stays the one that
/// was in force when the daemon was replaced.
pub(crate) struct Older {
    pub(crate) record: Record,
    pub(crate) build: String,
    /// What its events are explained with; `None` when its policy cannot be made again.
    pub(crate) session: Option<Session>,
}

pub(crate) struct Sessions {
    pub(crate) live: BTreeMap<u64, Session>,
    pub(crate) older: BTreeMap<u64, Older>,
    pub(crate) ended: HashMap<u64, (u64, u64)>,
    store: PolicyStore,
    state: PathBuf,
    guard: Vec<Vec<u8>>,
    cells: u32,
    judging: Arc<Judging>,
    /// Counts the daemon's policies: sessions under different ones share no verdict.
    policy_epoch: u64,
    recent: Recent,
}

/// What was compiled last, the newest first: the same agent is started again and again in the same folder.
#[derive(Default)]
struct Recent(RefCell<VecDeque<(Agent, SessionFacts, Arc<Compiled>)>>);

/// How many are kept, and of how many cells (16 bytes each) together.
const RECENT: usize = 8;
const RECENT_CELLS: usize = 1 << 17;

impl Recent {
    fn compiled(
        &self,
        agent: Agent,
        facts: SessionFacts,
        guard: &[Vec<u8>],
        limits: Limits,
    ) -> Result<Arc<Compiled>, Vec<Problem>> {
        let mut kept = self.0.borrow_mut();
        // All that the agent says is compared, its places in the file too: events name them.
        let found = kept.iter().position(|(other, of, _)| *other == agent && *of == facts);
        if let Some(found) = found.and_then(|at| kept.remove(at)) {
            let compiled = Arc::clone(&found.2);
            kept.push_front(found);
            return Ok(compiled);
        }
        let compiled = Arc::new(agent.compile(&facts, guard, limits)?);
        kept.push_front((agent, facts, Arc::clone(&compiled)));
        let mut cells = 0;
        let fits = kept.iter().take(RECENT).take_while(|(.., compiled)| {
            cells += compiled.automaton.cells.len();
            cells <= RECENT_CELLS
        });
        let fits = fits.count();
        kept.truncate(fits);
        Ok(compiled)
    }
}

impl Sessions {
    /// Makes the sessions of an earlier daemon again. One whose policy cannot be made again keeps what is in force.
    pub(crate) fn open(
        sensor: &Sensor,
        legacy: &[Arc<Legacy>],
        state: &Path,
        guard: Vec<Vec<u8>>,
        cells: u32,
        daemon_policy: Option<&PolicyFile>,
        judging: Arc<Judging>,
    ) -> Result<Sessions> {
        let dir = state.join("sessions");
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let mut records = Vec::new();
        let mut older_records = Vec::new();
        for entry in std::fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            match serde_json::from_slice::<Record>(&text) {
                Ok(record) => {
                    let state = sensor.session_state(record.slot)?;
                    if state.id == record.number && state.tasks > 0 {
                        records.push(record);
                    } else if let Some(build) = build_of(legacy, &record)? {
                        older_records.push((record, build));
                    } else {
                        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
                    }
                }
                Err(error) => {
                    tracing::warn!("{} is not a session's record ({error}); put aside", path.display());
                    std::fs::rename(&path, path.with_extension("damaged"))?;
                }
            }
        }
        let slots: Vec<u32> = records.iter().map(|record| record.slot).collect();
        let store = PolicyStore::open(sensor, &slots)?;
        let mut sessions = Sessions {
            live: BTreeMap::new(),
            older: BTreeMap::new(),
            ended: HashMap::new(),
            store,
            state: dir,
            guard,
            cells,
            judging,
            policy_epoch: 0,
            recent: Recent::default(),
        };
        for record in records {
            let name = record.name();
            match sessions.prepare(record, daemon_policy) {
                Ok(mut session) => match sessions.install(sensor, &mut session) {
                    Ok(()) => {
                        sessions.live.insert(session.record.number, session);
                    }
                    Err(error) => tracing::error!("session {name} keeps the policy that is in force: {error:#}"),
                },
                Err(error) => tracing::error!("session {name} keeps the policy that is in force: {error:#}"),
            }
        }
        for (record, build) in older_records {
            let session = sessions.prepare(record.clone(), daemon_policy);
            if let Err(error) = &session {
                tracing::warn!("events of session {} will not name their rules: {error:#}", record.name());
            }
            sessions.older.insert(record.number, Older { record, build, session: session.ok() });
        }
        Ok(sessions)
    }

    /// A session that events can be told of, whichever build governs it.
    pub(crate) fn find_mut(&mut self, number: u64) -> Option<&mut Session> {
        match self.live.get_mut(&number) {
            Some(session) => Some(session),
            None => self.older.get_mut(&number)?.session.as_mut(),
        }
    }

    pub(crate) fn record(&self, number: u64) -> Option<&Record> {
        let live = self.live.get(&number).map(|session| &session.record);
        live.or_else(|| Some(&self.older.get(&number)?.record))
    }

    /// What was recorded and denied so far; `None` when there is no such session.
    pub(crate) fn sums(&self, number: u64) -> Option<(u64, u64)> {
        let older = || self.older.get(&number).map(|older| older.session.as_ref());
        let session = self.live.get(&number).map(Some).or_else(older);
        match session {
            Some(session) => Some(session.map_or((0, 0), |session| (session.recorded, session.denied))),
            None => self.ended.get(&number).copied(),
        }
    }

    pub(crate) fn is_known(&self, number: u64) -> bool {
        self.live.contains_key(&number) || self.older.contains_key(&number) || self.ended.contains_key(&number)
    }

    fn prepare(&self, record: Record, daemon_policy: Option<&PolicyFile>) -> Result<Session> {
        let record_policy = record.policy.clone();
        let own = match &record.policy {
            Some((file, text)) => {
                Some(policy::parse(file, text.as_bytes()).map_err(|problems| problems_error(&problems))?)
            }
            None => None,
        };
        let (agent, source) = find_agent(&record.agent, own.as_ref().or(daemon_policy), own.is_some())?;
        let facts = SessionFacts { home: record.home.clone(), user: record.user.clone(), cwd: record.cwd.clone() };
        let (mode, rules) = (agent.mode(), agent.rules());
        let rules =
            rules.map_or_else(|| vec!["*".to_owned()], |rules| rules.iter().map(|(glob, _)| glob.clone()).collect());
        let compiled = self
            .recent
            .compiled(agent, facts, &self.guard, Limits { max_cells: self.cells })
            .map_err(|problems| problems_error(&problems))?;
        if !compiled.hashes.is_empty() && !lictor_bpf::features::content_hashes() {
            bail!(
                "agent {}: rules with `sha256:` need a kernel that measures files (IMA), and this one has no \
                 /sys/kernel/security/ima",
                record.agent
            );
        }
        let mode = record.mode.unwrap_or(match mode {
            policy::Mode::Enforce => Mode::Enforce,
            policy::Mode::Monitor => Mode::Monitor,
        });
        Ok(Session {
            record,
            compiled,
            source,
            mode,
            recorded: 0,
            denied: 0,
            answers: RefCell::default(),
            rules,
            policy_mark: own.as_ref().map_or_else(
                || format!("daemon {}", self.policy_epoch),
                |_| record_policy.map_or_else(String::new, |(file, text)| format!("own {file}\0{text}")),
            ),
            judged: false,
            over: None,
        })
    }

    fn install(&mut self, sensor: &Sensor, session: &mut Session) -> Result<()> {
        let undecided = session.compiled.flags.undecided;
        let judge = self.judging.number(
            &session.record.name(),
            &session.record.agent,
            &session.policy_mark,
            &session.rules,
            undecided,
        );
        session.judged = judge != 0;
        let identities = objects::named_by(sensor, &session.compiled, &session.record)?;
        let owned = tables::Owned::new(&session.compiled, session.mode, session.record.all_events, judge);
        self.store
            .install(sensor, session.record.slot, session.record.number, &owned.tables(&identities))
            .context("the policy cannot be put into force")?;
        Ok(())
    }

    /// Opens a session for a process that waits. On any error the process is not governed and must not go on.
    pub(crate) fn start(
        &mut self,
        sensor: &Sensor,
        task: &PidFd,
        tid: u32,
        mut record: Record,
        daemon_policy: Option<&PolicyFile>,
    ) -> Result<&Session> {
        record.slot = self.free_slot(sensor)?;
        let mut session = self.prepare(record, daemon_policy)?;
        let (slot, number) = (session.record.slot, session.record.number);
        self.install(sensor, &mut session)?;
        let path = self.state.join(format!("{}.json", session.record.name()));
        let opened =
            write_record(&path, &session.record).and_then(|()| Ok(sensor.label_first_task(task, tid, number, slot)?));
        if let Err(error) = opened {
            self.store.remove(sensor, slot)?;
            let _absent_is_fine = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(self.live.entry(number).or_insert(session))
    }

    fn free_slot(&self, sensor: &Sensor) -> Result<u32> {
        let taken: std::collections::HashSet<u32> = self.live.values().map(|session| session.record.slot).collect();
        for slot in (0..abi::SESSIONS).filter(|slot| !taken.contains(slot)) {
            // A session whose policy could not be made again is not listed, and keeps its slot all the same.
            if sensor.session_state(slot)?.tasks <= 0 {
                return Ok(slot);
            }
        }
        bail!("there are {} sessions already, which is all there is room for", abi::SESSIONS)
    }

    /// Compiles every session of the daemon's policy anew, then switches all; when one does not compile, none is
    /// switched.
    pub(crate) fn reload(&mut self, sensor: &Sensor, daemon_policy: Option<&PolicyFile>) -> Result<()> {
        self.policy_epoch += 1;
        let mut renewed = Vec::new();
        for session in self.live.values() {
            if session.record.policy.is_none() {
                let name = session.record.name();
                let mut next = self.prepare(session.record.clone(), daemon_policy).with_context(|| {
                    format!("the new policy cannot govern session {name} (agent {})", session.record.agent)
                })?;
                (next.recorded, next.denied) = (session.recorded, session.denied);
                renewed.push(next);
            }
        }
        for mut session in renewed {
            self.install(sensor, &mut session)?;
            self.live.insert(session.record.number, session);
        }
        Ok(())
    }

    /// Gives every session's judges their number anew: other rules are in force, and nothing that earlier ones said
    /// holds any more.
    pub(crate) fn renew_judges(&mut self, sensor: &Sensor) -> Result<()> {
        let numbers: Vec<u64> = self.live.keys().copied().collect();
        for number in numbers {
            let Some(mut session) = self.live.remove(&number) else { continue };
            let done = self.install(sensor, &mut session);
            self.live.insert(number, session);
            done?;
        }
        Ok(())
    }

    /// One more event of a session, for its sums.
    pub(crate) fn count(&mut self, number: u64, denied: bool) {
        if let Some(session) = self.find_mut(number) {
            session.recorded += 1;
            session.denied += u64::from(denied);
        } else if let Some((recorded, sum)) = self.ended.get_mut(&number) {
            *recorded += 1;
            *sum += u64::from(denied);
        }
    }

    /// Whether one waits for its last events to be taken.
    pub(crate) fn any_over(&self) -> bool {
        self.live.values().any(|session| session.over.is_some())
    }

    /// Frees every session whose last task has ended; returns their numbers. Its last events can have come into the rings
    /// after these were read: it goes when they have been `emptied` once more.
    pub(crate) fn collect(&mut self, sensor: &Sensor, legacy: &[Arc<Legacy>], emptied: bool) -> Result<Vec<u64>> {
        let mut gone = Vec::new();
        for (number, session) in &mut self.live {
            let state = sensor.session_state(session.record.slot)?;
            if state.id != *number || state.tasks > 0 {
                continue;
            }
            match session.over {
                Some(since) if emptied || since.elapsed() > OVER_MOST => gone.push(*number),
                Some(_) => {}
                None => session.over = Some(Instant::now()),
            }
        }
        for number in &gone {
            if let Some(session) = self.live.remove(number) {
                self.store.remove(sensor, session.record.slot)?;
                sensor.clear_session(session.record.slot)?;
                self.forget(&session.record, (session.recorded, session.denied))?;
            }
        }
        let mut older_gone = Vec::new();
        for (number, older) in &self.older {
            if build_of(legacy, &older.record)?.is_none() {
                older_gone.push(*number);
            }
        }
        for number in &older_gone {
            let sums = self.sums(*number).unwrap_or_default();
            if let Some(older) = self.older.remove(number) {
                self.forget(&older.record, sums)?;
            }
        }
        gone.extend(older_gone);
        Ok(gone)
    }

    fn forget(&mut self, record: &Record, sums: (u64, u64)) -> Result<()> {
        self.judging.forget_session(record.number, &record.name());
        let path = self.state.join(format!("{}.json", record.name()));
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        if self.ended.len() >= ENDED_KEPT {
            self.ended.clear();
        }
        self.ended.insert(record.number, sums);
        Ok(())
    }
}

/// The older build that governs a session; `None` when the session has no task left in any.
fn build_of(legacy: &[Arc<Legacy>], record: &Record) -> Result<Option<String>> {
    for older in legacy {
        if older.session_alive(record.slot, record.number)? {
            return Ok(Some(older.build().to_owned()));
        }
    }
    Ok(None)
}

/// The agent of a session: from the policy when there is one, else from the built-in profiles.
fn find_agent(name: &str, policy: Option<&PolicyFile>, own: bool) -> Result<(Agent, String)> {
    if let Some(file) = policy {
        if let Some(agent) = file.agent(name) {
            return Ok((agent.clone(), file.file().to_owned()));
        }
        if own {
            let names: Vec<&str> = file.agents().map(Agent::name).collect();
            bail!("{}: there is no agent `{name}`; the file has: {}", file.file(), names.join(", "));
        }
    }
    let Some(builtin) = policy::builtin_file(name) else {
        bail!("there is no agent `{name}`: built in are {}", policy::BUILTIN.join(", "));
    };
    let builtin = builtin.map_err(|problems| problems_error(&problems))?;
    let agent = builtin.agent(name).with_context(|| format!("the built-in profile `{name}` does not name itself"))?;
    Ok((agent.clone(), "built-in".to_owned()))
}

pub(crate) fn problems_error(problems: &[policy::Problem]) -> anyhow::Error {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{}", lines.join("\n"))
}

fn write_record(path: &Path, record: &Record) -> Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(record)?).with_context(|| format!("cannot write {}", new.display()))?;
    std::fs::rename(&new, path).with_context(|| format!("cannot place {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(text: &str) -> Agent {
        policy::parse("policy.yaml", text.as_bytes()).unwrap().agent("a").unwrap().clone()
    }

    fn of(recent: &Recent, text: &str, cwd: &str) -> Arc<Compiled> {
        let facts = SessionFacts { home: b"/root".to_vec(), user: b"root".to_vec(), cwd: cwd.into() };
        recent.compiled(agent(text), facts, &[], Limits::default()).unwrap()
    }

    #[test]
    fn what_was_compiled_is_taken_again_for_the_same_only() {
        let recent = Recent::default();
        let text = "version: 1\nagents:\n  a:\n    files: {write: ['${CWD}/**']}\n";
        let first = of(&recent, text, "/srv/one");
        assert!(Arc::ptr_eq(&first, &of(&recent, text, "/srv/one")));
        assert!(!Arc::ptr_eq(&first, &of(&recent, text, "/srv/two")));
        let moved = text.replace("agents:", "# a line more\nagents:");
        assert!(!Arc::ptr_eq(&first, &of(&recent, &moved, "/srv/one")), "events would name the wrong line");
        assert!(!Arc::ptr_eq(&first, &of(&recent, &text.replace("write", "readonly"), "/srv/one")));
        assert!(Arc::ptr_eq(&first, &of(&recent, text, "/srv/one")));
        for number in 0..RECENT {
            of(&recent, text, &format!("/srv/{number}"));
        }
        assert!(!Arc::ptr_eq(&first, &of(&recent, text, "/srv/one")));
        assert_eq!(recent.0.borrow().len(), RECENT);
    }

    #[test]
    fn what_is_kept_has_a_bound_in_cells_too() {
        let recent = Recent::default();
        let many: Vec<String> = (1..1500_u128).map(|number| format!("/srv/{:032x}/**", number.pow(12))).collect();
        let text = format!("version: 1\nagents:\n  a:\n    files: {{write: {many:?}}}\n");
        let cells = of(&recent, &text, "/one").automaton.cells.len();
        let fit = RECENT_CELLS / cells;
        assert!(fit < RECENT, "{cells} cells");
        for number in 0..=fit {
            of(&recent, &text, &format!("/{number}"));
        }
        assert_eq!(recent.0.borrow().len(), fit);
    }
}
