// SPDX-License-Identifier: Apache-2.0
//! The judges at work: which executions wait for them, what becomes of their judgement, what the kernel is told to
//! remember. The order in which tiers are asked is `lictor_judge::pipeline`.
//!
//! An execution that the kernel could not answer comes here with its event ([`Work`]). A worker asks the pipeline, acts
//! (lets it go, ends it, leaves it waiting for a person), tells the kernel, and only then records the event, so that an
//! event never says what has not been done.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lictor_api::control::TierStatus;
use lictor_api::event::{Action, Event, Kind, Tier, Verdict};
use lictor_api::settings::{self, Settings};
use lictor_bpf::{Fingerprint, abi::judged};
use lictor_engine::policy::Undecided;
use lictor_engine::process::ProcessKey;
use lictor_judge::classifier::{Classifier, ClassifierError};
use lictor_judge::counters::RuleCounts;
use lictor_judge::llm::LlmJudge;
use lictor_judge::rules::{RuleStore, Rules};
use lictor_judge::{Basis, Case, DefaultAction, Judge, Judgement, Limits, Pipeline, Stage};

/// Executions judged at a time. Most of them wait for a model.
pub(crate) const WORKERS: usize = 8;
/// Executions that may wait for a worker. One more gets the default action, and that is counted.
const QUEUE: usize = 65_536;
/// What a language model is told of what the session did before.
const RECENT: usize = 24;
/// Verdicts that the kernel is told to remember at once; then it starts anew.
const REMEMBERED: usize = 200_000;
/// A file that was changed less than this before its execution could be changed again without its time showing it.
const SETTLED: Duration = Duration::from_secs(2);
/// Rules are bounded by their own budget; this ends what is not.
const RULES_BUDGET: Duration = Duration::from_millis(250);
/// Milliseconds on an idle machine; a busy one must not make an execution undecided.
const CLASSIFIER_BUDGET: Duration = Duration::from_secs(2);

/// One execution for the judges.
pub(crate) struct Work {
    pub(crate) event: Event,
    pub(crate) key: ProcessKey,
    pub(crate) session: u64,
    pub(crate) fingerprint: Fingerprint,
    /// [`judged`]: it runs, waits, or was refused.
    pub(crate) state: u32,
    /// Whether its session enforces; else a denial is only said.
    pub(crate) enforce: bool,
    /// The event does not hold all arguments.
    pub(crate) args_cut: bool,
}

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    closed: bool,
}

pub(crate) struct Judging {
    pub(crate) rules: Arc<Rules>,
    store: Mutex<RuleStore>,
    pipeline: Pipeline,
    /// For events that are no executions.
    rules_alone: Pipeline,
    llm: Option<Arc<LlmJudge>>,
    classifies: bool,
    pub(crate) default_action: DefaultAction,
    pub(crate) hold_limit: Duration,
    /// Tiers that are wanted and cannot work, with the reason.
    broken: Vec<(Tier, String)>,
    selectors: Arc<RwLock<HashMap<String, Arc<[String]>>>>,
    numbers: Mutex<HashMap<String, u32>>,
    next_number: AtomicU32,
    queue: Mutex<Queue>,
    arrived: Condvar,
    /// Taken from the kernel and not recorded yet.
    pending: AtomicUsize,
    /// Held processes that a worker has, or had and left to a person.
    known: Mutex<HashSet<ProcessKey>>,
    /// What the kernel remembers, with the words for it.
    remembered: Mutex<HashMap<Fingerprint, Verdict>>,
    recent: Mutex<HashMap<u64, VecDeque<Event>>>,
    overflowed: AtomicU64,
    default_applied: AtomicU64,
}

/// The model, if there is one or if one is wanted: on a host without an installed model nobody misses it.
fn classifier(wanted: &settings::classifier::Classifier) -> Result<Option<Classifier>, ClassifierError> {
    let unasked = *wanted == settings::classifier::Classifier::default();
    if unasked && !wanted.model.exists() {
        return Ok(None);
    }
    let get = |threshold: Option<settings::classifier::Probability>| threshold.map(|threshold| threshold.get());
    Classifier::load(&wanted.model, wanted.library.as_deref())?
        .with_thresholds(get(wanted.benign), get(wanted.malicious))
        .map(Some)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Judging {
    /// Reads rules and models. A tier that cannot work is said in the status and passed over.
    pub(crate) fn open(settings: &Settings) -> Result<Judging> {
        let selectors: Arc<RwLock<HashMap<String, Arc<[String]>>>> = Arc::default();
        let every: Arc<[String]> = Arc::from(["*".to_owned()]);
        let lists = Arc::clone(&selectors);
        let rules = Arc::new(Rules::new(Box::new(move |event: &Event| {
            let lists = lists.read().unwrap_or_else(PoisonError::into_inner);
            let list = event.session.as_ref().and_then(|session| lists.get(session));
            Arc::clone(list.unwrap_or(&every))
        })));
        std::fs::create_dir_all(&settings.state)
            .with_context(|| format!("cannot make {}", settings.state.display()))?;
        let store = RuleStore::open(&settings.rules, &settings.state, Arc::clone(&rules));
        let mut broken = Vec::new();
        let mut stages = vec![Stage::inline(Arc::clone(&rules) as Arc<dyn Judge>, RULES_BUDGET)];
        match classifier(&settings.judge.classifier) {
            Ok(Some(judge)) => {
                let limits = Limits { budget: CLASSIFIER_BUDGET, threads: 2, waiting: WORKERS, stuck: WORKERS };
                stages.push(Stage::threads(Arc::new(judge), limits)?);
            }
            Ok(None) => {}
            Err(error) => broken.push((Tier::Classifier, error.to_string())),
        }
        let classifies = stages.len() > 1;
        let mut llm = None;
        if let Some(wanted) = &settings.judge.llm {
            match LlmJudge::new(wanted, Some(&settings.state)) {
                Ok(judge) => {
                    let judge = Arc::new(judge);
                    let limits =
                        Limits { budget: settings.judge.hold_limit, threads: 4, waiting: WORKERS, stuck: WORKERS };
                    stages.push(Stage::threads(Arc::clone(&judge) as Arc<dyn Judge>, limits)?);
                    llm = Some(judge);
                }
                Err(error) => broken.push((Tier::Llm, error.to_string())),
            }
        }
        let default_action = match settings.judge.default_action {
            settings::DefaultAction::Allow => DefaultAction::Allow,
            settings::DefaultAction::Deny => DefaultAction::Deny,
            settings::DefaultAction::Hold => DefaultAction::Hold,
        };
        let judging = Judging {
            pipeline: Pipeline::new(stages, default_action)?,
            rules_alone: Pipeline::new(
                vec![Stage::inline(Arc::clone(&rules) as Arc<dyn Judge>, RULES_BUDGET)],
                DefaultAction::Allow,
            )?,
            rules,
            store: Mutex::new(store),
            llm,
            classifies,
            default_action,
            hold_limit: settings.judge.hold_limit,
            broken,
            selectors,
            numbers: Mutex::default(),
            next_number: AtomicU32::new(1),
            queue: Mutex::default(),
            arrived: Condvar::new(),
            pending: AtomicUsize::new(0),
            known: Mutex::default(),
            remembered: Mutex::default(),
            recent: Mutex::default(),
            overflowed: AtomicU64::new(0),
            default_applied: AtomicU64::new(0),
        };
        judging.report_rules();
        for (tier, reason) in &judging.broken {
            tracing::error!("the tier `{tier}` is DEGRADED: {reason}");
        }
        Ok(judging)
    }

    fn report_rules(&self) {
        let store = lock(&self.store);
        let status = store.status();
        for problem in &status.problems {
            tracing::error!("rules: {problem}");
        }
        if status.problems.is_empty() {
            tracing::info!("{} rules are in force (epoch {})", status.rules, status.epoch);
        } else if status.epoch > 0 {
            tracing::warn!("the rules in force stay: {} rules (epoch {})", status.rules, status.epoch);
        }
    }

    /// Looks for changed rules; true when another set is in force now, and sessions need new numbers.
    pub(crate) fn poll_rules(&self) -> bool {
        let (before, after, news) = {
            let mut store = lock(&self.store);
            let before = store.status().epoch;
            let news = store.poll(Instant::now());
            (before, store.status().epoch, news)
        };
        if news {
            self.report_rules();
        }
        if before != after
            && let Some(llm) = &self.llm
        {
            llm.forget();
        }
        before != after
    }

    /// Loads the rules again because somebody asked; true when another set is in force now.
    pub(crate) fn reload_rules(&self) -> bool {
        let (before, after) = {
            let mut store = lock(&self.store);
            let before = store.status().epoch;
            store.reload();
            (before, store.status().epoch)
        };
        self.report_rules();
        before != after
    }

    /// Who judges a session's executions by what, as one number for the kernel: part of every remembered verdict, and
    /// another one when agent, policy, rules or settings are others. 0: nobody judges them.
    pub(crate) fn number(
        &self,
        session: &str,
        agent: &str,
        policy: &str,
        rules: &[String],
        undecided: Undecided,
    ) -> u32 {
        let globs: Arc<[String]> = Arc::from(rules);
        self.selectors.write().unwrap_or_else(PoisonError::into_inner).insert(session.to_owned(), Arc::clone(&globs));
        let now = self.rules.now();
        let by_rules = now.selection(&globs).len(Kind::Exec) > 0;
        if !by_rules && undecided != Undecided::Hold && self.llm.is_none() && !self.classifies {
            return 0;
        }
        let who = format!("{agent}\0{policy}\0{}\0{}", rules.join("\0"), now.epoch);
        let mut numbers = lock(&self.numbers);
        *numbers.entry(who).or_insert_with(|| self.next_number.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn forget_session(&self, number: u64, name: &str) {
        self.selectors.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        lock(&self.recent).remove(&number);
    }

    /// Hands an execution to the workers; gives it back when they have too much to do.
    pub(crate) fn submit(&self, work: Work) -> Result<(), Box<Work>> {
        // Once by its event, once by whoever thought that its event was lost: once is enough.
        if work.state == judged::HELD && !lock(&self.known).insert(work.key) {
            return Ok(());
        }
        let mut queue = lock(&self.queue);
        if queue.closed || queue.work.len() >= QUEUE {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
            drop(queue);
            self.decided(&work.key);
            return Err(Box::new(work));
        }
        self.pending.fetch_add(1, Ordering::AcqRel);
        queue.work.push_back(work);
        drop(queue);
        self.arrived.notify_one();
        Ok(())
    }

    /// The next execution; `None` when the daemon stops.
    pub(crate) fn next(&self) -> Option<Work> {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(work) = queue.work.pop_front() {
                return Some(work);
            }
            if queue.closed {
                return None;
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn close(&self) {
        lock(&self.queue).closed = true;
        self.arrived.notify_all();
    }

    pub(crate) fn done(&self) {
        self.pending.fetch_sub(1, Ordering::AcqRel);
    }

    /// Executions that were taken and are not recorded yet.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Acquire)
    }

    /// Asks the tiers.
    pub(crate) fn judge(&self, work: &Work) -> Judgement {
        let recent = lock(&self.recent).get(&work.session).map(|recent| recent.iter().cloned().collect());
        let case = Case { event: work.event.clone(), recent: recent.unwrap_or_default() };
        let judgement = self.pipeline.judge(&case);
        if !judgement.decided {
            self.default_applied.fetch_add(1, Ordering::Relaxed);
        }
        judgement
    }

    /// The judgement where there was no room for one.
    pub(crate) fn overflowed(&self) -> Judgement {
        let action = match self.default_action {
            DefaultAction::Allow => Action::Allow,
            DefaultAction::Deny => Action::Deny,
            DefaultAction::Hold => Action::Hold,
        };
        Judgement {
            action,
            tier: Tier::Rules,
            rule: None,
            source: None,
            reason: format!("more than {QUEUE} executions wait to be judged, so the default action applies: {action}"),
            severity: Some(lictor_api::event::Severity::Medium),
            findings: Vec::new(),
            decided: false,
            basis: Basis::Once,
            cacheable: false,
            ttl: None,
            asked: Vec::new(),
            took: Duration::ZERO,
        }
    }

    /// What the rules say of an event that is no execution: alerts are noted in its verdict. True: a rule denies it, and
    /// it has happened already, so whoever did it is to be ended.
    pub(crate) fn annotate(&self, event: &mut Event) -> bool {
        let selection = {
            let lists = self.selectors.read().unwrap_or_else(PoisonError::into_inner);
            let Some(list) = event.session.as_ref().and_then(|session| lists.get(session)) else { return false };
            self.rules.now().selection(list)
        };
        if selection.len(event.kind) == 0 {
            return false;
        }
        let judgement = self.rules_alone.judge(&Case::new(event.clone()));
        if judgement.findings.is_empty() {
            return false;
        }
        let said = judgement.verdict();
        let Some(verdict) = &mut event.verdict else { return false };
        let denied = verdict.action == Action::Deny;
        verdict.severity = said.severity;
        verdict.tags = said.tags;
        verdict.also = said.also;
        match (denied, said.action) {
            // The policy's reason stays the reason; the rules are named beside it.
            (true, _) | (_, Action::Allow) => {
                if let Some(rule) = said.rule
                    && denied
                {
                    verdict.also.insert(0, rule);
                }
                false
            }
            (false, action) => {
                (verdict.tier, verdict.rule, verdict.source, verdict.reason) =
                    (Tier::Rules, said.rule, said.source, said.reason);
                verdict.action = if action == Action::Deny { Action::Kill } else { Action::Alert };
                action == Action::Deny
            }
        }
    }

    pub(crate) fn noted(&self, session: u64, event: &Event) {
        let mut recent = lock(&self.recent);
        let events = recent.entry(session).or_default();
        if events.len() == RECENT {
            events.pop_front();
        }
        events.push_back(event.clone());
    }

    /// Held processes whose judgement is on its way.
    pub(crate) fn known(&self) -> HashSet<ProcessKey> {
        lock(&self.known).clone()
    }

    pub(crate) fn decided(&self, key: &ProcessKey) {
        lock(&self.known).remove(key);
    }

    /// What was said of this execution when it was judged.
    pub(crate) fn said_of(&self, print: &Fingerprint) -> Option<Verdict> {
        let remembered = lock(&self.remembered);
        let object = Fingerprint { invocation: 0, ..*print };
        remembered.get(print).or_else(|| remembered.get(&object)).cloned()
    }

    /// Under which fingerprint a judgement may be remembered, if it may.
    pub(crate) fn memorable(&self, work: &Work, judgement: &Judgement) -> Option<Fingerprint> {
        if !judgement.cacheable || work.fingerprint.object == 0 {
            return None;
        }
        let print = match judgement.basis {
            Basis::Object => Fingerprint { invocation: 0, ..work.fingerprint },
            // Refused before its arguments were final: only that somebody looked at the program is known.
            _ if work.state == judged::REFUSED && judgement.permits() => {
                Fingerprint { invocation: 0, ..work.fingerprint }
            }
            Basis::Invocation if work.fingerprint.invocation != 0 => work.fingerprint,
            Basis::Invocation | Basis::Once => return None,
        };
        is_settled(work).then_some(print)
    }

    /// True: there are so many that the kernel should forget all before it learns this one.
    pub(crate) fn note_remembered(&self, print: Fingerprint, verdict: Verdict) -> bool {
        let mut remembered = lock(&self.remembered);
        let full = remembered.len() >= REMEMBERED;
        if full {
            remembered.clear();
        }
        remembered.insert(print, verdict);
        full
    }

    pub(crate) fn forget_one(&self, print: &Fingerprint) {
        lock(&self.remembered).remove(print);
    }

    pub(crate) fn forget_remembered(&self) {
        lock(&self.remembered).clear();
    }

    pub(crate) fn status(&self) -> Vec<TierStatus> {
        let store = lock(&self.store);
        let rules = store.status();
        let mut tiers: Vec<TierStatus> = self
            .pipeline
            .counts()
            .into_iter()
            .map(|(tier, counts)| TierStatus {
                tier,
                state: "working".into(),
                reasons: Vec::new(),
                counts: serde_json::to_value(counts).unwrap_or_default(),
            })
            .collect();
        for tier in &mut tiers {
            if tier.tier == Tier::Rules && !rules.problems.is_empty() {
                tier.state = "degraded".into();
                tier.reasons = rules.problems.iter().map(ToString::to_string).collect();
            }
            if tier.tier == Tier::Llm
                && let Some(llm) = &self.llm
            {
                tier.counts = serde_json::to_value(llm.snapshot()).unwrap_or_default();
            }
        }
        tiers.extend(self.broken.iter().map(|(tier, reason)| TierStatus {
            tier: *tier,
            state: "degraded".into(),
            reasons: vec![reason.clone()],
            counts: serde_json::Value::Null,
        }));
        tiers
    }

    /// For the status: executions that found no room, and those that no tier decided.
    pub(crate) fn counters(&self) -> [(&'static str, u64); 3] {
        [
            ("judge_overflowed", self.overflowed.load(Ordering::Relaxed)),
            ("judge_default_action", self.default_applied.load(Ordering::Relaxed)),
            ("judge_remembered", lock(&self.remembered).len() as u64),
        ]
    }

    /// Each rule's id and counts.
    pub(crate) fn rule_list(&self) -> Vec<(String, RuleCounts)> {
        self.rules.now().counts().map(|(id, counts)| (id.to_owned(), counts)).collect()
    }

    /// The same for the status.
    pub(crate) fn rule_counts(&self) -> serde_json::Value {
        let now = self.rules.now();
        now.counts().map(|(id, counts)| (id.to_owned(), serde_json::to_value(counts).unwrap_or_default())).collect()
    }
}

/// Whether a change of the executed file since would show in its times.
fn is_settled(work: &Work) -> bool {
    let running = format!("/proc/{}/exe", work.key.pid);
    let path = work.event.exec.as_ref().and_then(|exec| exec.path.as_deref());
    let metadata = std::fs::metadata(running).or_else(|error| path.map_or(Err(error), std::fs::metadata));
    let Ok(metadata) = metadata else { return false };
    use std::os::unix::fs::MetadataExt as _;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).is_ok_and(|now| now - metadata.ctime() > SETTLED.as_secs() as i64)
}

/// What /proc tells of a process.
pub(crate) struct Facts {
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) exe: Option<Vec<u8>>,
    pub(crate) cwd: Option<Vec<u8>>,
}

/// The arguments, directory and program of a process as /proc tells them; for one that does not run yet they are final.
pub(crate) fn facts_of(pid: u32) -> Option<Facts> {
    use std::os::unix::ffi::OsStrExt as _;
    let proc = Path::new("/proc").join(pid.to_string());
    let line = std::fs::read(proc.join("cmdline")).ok()?;
    let args = match line.as_slice() {
        [] => Vec::new(), // one of the kernel's own threads
        line => line.strip_suffix(&[0]).unwrap_or(line).split(|byte| *byte == 0).map(<[u8]>::to_vec).collect(),
    };
    let link = |name: &str| std::fs::read_link(proc.join(name)).ok().map(|path| path.as_os_str().as_bytes().to_vec());
    Some(Facts { args, exe: link("exe"), cwd: link("cwd") })
}
