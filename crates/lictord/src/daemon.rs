// SPDX-License-Identifier: Apache-2.0
//! The daemon: wiring only. What starts, in which order, and which thread does what.
//!
//! - the heart: tells the kernel every 500 ms that we live, other builds' programs too, and nothing else;
//! - the ring thread: raw events to the tree, to words, to the record; collects ended sessions;
//! - the census: who lives on this host, at start and every half minute;
//! - the control thread: a thread for each client;
//! - the main thread waits for signals (SIGHUP: reload) and for changes of the policy file, and removes the programs of
//!   other builds after their last session.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use lictor_api::control::{Hooks, Mode, OlderBuild, State, Status};
use lictor_api::settings::{FailClosed, Settings, Switch};
use lictor_bpf::{Counters, Legacy, Options, PidFd, Sensor, abi, hold_pins, keep_little_freed_memory};
use lictor_engine::policy::{self, PolicyFile};
use lictor_engine::process::{ProcessKey, ProcessTree};
use lictor_sinks::Dispatcher;
use lictor_store::audit::{Actor, Audit, Entry, Kind};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::census::Census;
use crate::judging::{Judging, WORKERS};
use crate::record::Recorder;
use crate::session::{Sessions, problems_error};
use crate::{audit, canary, census, control, effects, loaders, objects, rings, telling, web};

/// How the daemon was started.
pub struct Start {
    pub settings: Settings,
    /// The file that the settings came from.
    pub config: Option<PathBuf>,
    /// For one `lictor run`: nothing is loaded from /etc, and it ends when its session does.
    pub private: bool,
}

pub(crate) struct Daemon {
    pub(crate) settings: Settings,
    pub(crate) private: bool,
    pub(crate) sensor: Sensor,
    pub(crate) state: Mutex<Changing>,
    pub(crate) recorder: Mutex<Recorder>,
    pub(crate) audit: Option<Arc<Audit>>,
    /// Alerts and sinks; a private daemon has none.
    pub(crate) dispatcher: Option<Arc<Dispatcher>>,
    pub(crate) judging: Arc<Judging>,
    pub(crate) census: Census,
    /// Programs of other builds whose sessions live on.
    legacy: Mutex<Vec<Arc<Legacy>>>,
    /// Those that cannot be looked after, and why.
    unreadable: Vec<(String, String)>,
    /// Why it does not enforce, found out once at start.
    reasons: OnceLock<Vec<String>>,
    pub(crate) epoch: AtomicU64,
    pub(crate) stopping: AtomicBool,
    /// Rounds of the ring thread that emptied the rings; a client that waits for two has everything that was in the rings when it asked.
    rounds: (Mutex<u64>, Condvar),
    started: Instant,
    /// Milliseconds since the start at the last beat.
    beat_ms: AtomicU64,
}

pub(crate) struct Changing {
    pub(crate) sessions: Sessions,
    pub(crate) tree: ProcessTree,
    pub(crate) policy: Option<PolicyFile>,
    /// Ended by a judgement: what they start before they are gone is ended too.
    pub(crate) doomed: HashSet<ProcessKey>,
    pub(crate) lost_reported: Counters,
    pub(crate) undecodable: u64,
}

/// What the sinks have to send the last records when the daemon stops; the rest waits on disk.
const GRACE: Duration = Duration::from_secs(1);
/// What the last daemon has to be gone, when it was killed on a machine that is busy.
const HAND_OVER: Duration = Duration::from_secs(10);
pub(crate) const BEAT: Duration = Duration::from_millis(500);
/// How long a client waits for the last events at the most.
const FLUSH: Duration = Duration::from_secs(55);
/// How long it waits for the disk then: what is not there yet is not found.
const STORE_FLUSH: Duration = Duration::from_secs(5);

/// Runs until SIGTERM (or, private, until the session is over).
pub fn run(start: Start) -> Result<()> {
    let Start { settings, config, private } = start;
    if !nix::unistd::geteuid().is_root() {
        bail!("lictord must be root to load programs into the kernel");
    }
    keep_little_freed_memory();
    // A broken policy does not stop the daemon: with none, governed sessions are denied everything; but at the first
    // start somebody is there to mend it.
    let policy = if private { None } else { load_policy(&settings.policy)? };

    let _alone = hold_pins(&settings.pins, HAND_OVER)?;
    let found = Legacy::find(&settings.pins)?;
    let unreadable: Vec<(String, String)> =
        found.unreadable.into_iter().map(|(build, error)| (build, error.to_string())).collect();
    for (build, error) in &unreadable {
        tracing::error!("build {build} cannot be looked after, so its sessions stay without network: {error}");
    }
    let legacy: Vec<Arc<Legacy>> = found.builds.into_iter().map(Arc::new).collect();
    let sensor = beating(&legacy, || start_sensor(&settings))?;
    sensor.label_daemon()?;
    for older in &legacy {
        older.label_daemon()?;
        older.guard_each_other(&sensor)?;
        older.beat();
    }
    sensor.set_fail_closed(match settings.fail_closed {
        FailClosed::Off => abi::fail::OFF,
        FailClosed::Network => abi::fail::NETWORK,
        FailClosed::All => abi::fail::ALL,
    });
    // Until the census begins; also when it does not.
    sensor.watch_host(false);
    sensor.beat();
    let guard = guarded_paths(&settings, config);
    let judging = Arc::new(Judging::open(&settings)?);
    let sessions = Sessions::open(
        &sensor,
        &legacy,
        &session_state(&settings, private),
        guard.clone(),
        settings.automaton_cells,
        policy.as_ref(),
        Arc::clone(&judging),
    )?;
    let taken_over = sessions.live.len();
    for older in &legacy {
        let count = sessions.older.values().filter(|session| session.build == older.build()).count();
        tracing::info!("the programs of build {} stay in force for their {count} sessions", older.build());
    }
    sensor.set_common_identities(&loaders::find(&sensor)?)?;
    let audit = audit::open(&settings, private)?;
    let dispatcher = telling::start(&settings, private)?;
    let recorder = Recorder::open(&settings, private, audit.clone(), dispatcher.clone())?;
    let own = guard;
    // Numbers of judges start anew with each daemon: what an earlier one was told means nothing any more.
    for (print, ..) in sensor.remembered()? {
        sensor.forget(&print)?;
    }

    let daemon = Arc::new(Daemon {
        private,
        sensor,
        state: Mutex::new(Changing {
            sessions,
            tree: ProcessTree::default(),
            policy,
            doomed: HashSet::new(),
            lost_reported: Counters::default(),
            undecodable: 0,
        }),
        recorder: Mutex::new(recorder),
        audit,
        dispatcher,
        judging,
        census: Census::default(),
        legacy: Mutex::new(legacy),
        unreadable,
        reasons: OnceLock::new(),
        epoch: AtomicU64::new(1),
        stopping: AtomicBool::new(false),
        rounds: (Mutex::new(0), Condvar::new()),
        started: Instant::now(),
        beat_ms: AtomicU64::new(0),
        settings,
    });
    let heart = {
        let daemon = Arc::clone(&daemon);
        std::thread::Builder::new().name("heart".into()).spawn(move || heart(&daemon))?
    };
    let reasons = canary::prove(&daemon)?;
    daemon.reasons.get_or_init(|| reasons);
    if daemon.settings.self_protection == Switch::On {
        daemon.sensor.forget_common_identities(abi::rights::DAEMON | abi::rights::EXECUTOR)?;
        daemon.sensor.set_common_identities(&objects::own(&daemon.sensor, &own)?)?;
        daemon.sensor.set_self_protection(true);
    } else {
        daemon.sensor.set_self_protection(false);
    }
    daemon.tell_start(taken_over)?;
    let rings = {
        let daemon = Arc::clone(&daemon);
        std::thread::Builder::new().name("rings".into()).spawn(move || rings::read(&daemon))?
    };
    let mut judges = Vec::new();
    for _ in 0..WORKERS {
        let daemon = Arc::clone(&daemon);
        judges.push(std::thread::Builder::new().name("judge".into()).spawn(move || effects::work(&daemon))?);
    }
    {
        let daemon = Arc::clone(&daemon);
        judges.push(std::thread::Builder::new().name("bailiff".into()).spawn(move || daemon.watch_held())?);
    }
    if daemon.watches_host() {
        let daemon = Arc::clone(&daemon);
        judges.push(std::thread::Builder::new().name("census".into()).spawn(move || census::keep(&daemon))?);
    }
    // A private daemon serves one client, and nobody else is to know of it. Whoever is answered on the control socket
    // finds this one, too.
    let web = if daemon.private { None } else { Some(web::start(&daemon)?) };
    let listener = control::listen(&daemon)?;
    {
        let daemon = Arc::clone(&daemon);
        std::thread::Builder::new().name("control".into()).spawn(move || control::serve(&daemon, &listener))?;
    }
    let status = daemon.status()?;
    tracing::info!(
        "{}: {} programs{}, {taken_over} sessions taken over, policy {}",
        status.state,
        status.hooks.attached,
        if daemon.sensor.adopted() { " (taken over)" } else { "" },
        status.policy
    );
    for reason in &status.reasons {
        tracing::warn!("degraded: {reason}");
    }
    notify_systemd("READY=1");
    wait(&daemon)?;

    // Whoever may stop the daemon (with self_protection that is PID 1) may look after its files and pins too.
    daemon.sensor.set_self_protection(false);
    daemon.stopping.store(true, Ordering::Release);
    notify_systemd("STOPPING=1");
    let _gone_is_fine = std::fs::remove_file(&daemon.settings.control);
    let began = Instant::now();
    let stopped = |what: &str| tracing::debug!("stopping: {what} after {:?}", began.elapsed());
    daemon.judging.close();
    let pump = web.map(|(running, pump)| {
        daemon.beat_while(|| running.stop());
        pump
    });
    stopped("no more pages");
    for thread in [heart, rings].into_iter().chain(pump).chain(judges) {
        if thread.join().is_err() {
            tracing::error!("a thread of lictord panicked");
        }
    }
    stopped("the last events are recorded");
    if let Some(audit) = &daemon.audit {
        audit.append(Entry::new(Kind::Stop));
        daemon.beat_while(|| audit.close());
    }
    stopped("the audit chain is on disk");
    if let Some(dispatcher) = &daemon.dispatcher {
        // After the ring thread, whose last events it gets.
        daemon.beat_while(|| dispatcher.close(GRACE));
    }
    stopped("the sinks have told");
    // Clients may hold on to the daemon, so nothing is written by dropping it.
    let store = daemon.recorder().store();
    if let Some(store) = store {
        daemon.beat_while(|| {
            if let Err(error) = store.flush(STORE_FLUSH) {
                tracing::error!("{error}");
            }
        });
    }
    stopped("the store is on disk");
    // Whoever comes next has all the time there is from now on.
    daemon.beat();
    if daemon.private {
        daemon.unload()?;
        if let Some(dir) = daemon.settings.control.parent() {
            std::fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
    }
    Ok(())
}

fn start_sensor(settings: &Settings) -> Result<Sensor> {
    let options = Options { pins: settings.pins.clone(), cells: settings.automaton_cells };
    match Sensor::start(&options) {
        Err(error @ lictor_bpf::Error::Pins(..)) => {
            tracing::warn!("{error}: loading the programs again with the same maps");
            Ok(Sensor::start(&options)?)
        }
        other => Ok(other?),
    }
}

/// Sessions of a private daemon end with it; those of the daemon are made again after a restart.
fn session_state(settings: &Settings, private: bool) -> PathBuf {
    if private {
        settings.control.parent().unwrap_or(Path::new("/run/lictor")).to_owned()
    } else {
        settings.state.clone()
    }
}

/// Lictor's own trees, for every governed session.
fn guarded_paths(settings: &Settings, config: Option<PathBuf>) -> Vec<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut paths: Vec<PathBuf> = vec![
        "/etc/lictor".into(),
        "/var/lib/lictor".into(),
        "/run/lictor".into(),
        "/etc/systemd/system/lictord.service".into(),
        "/lib/systemd/system/lictord.service".into(),
        "/usr/lib/systemd/system/lictord.service".into(),
        settings.policy.clone(),
        settings.rules.clone(),
        settings.state.clone(),
        settings.control.clone(),
        settings.pins.clone(),
        settings.http_socket(),
        settings.http_tokens(),
    ];
    paths.extend(settings.http.tls.iter().map(|tls| tls.key.clone()));
    paths.extend(config);
    paths.extend(telling::files(settings).map(Path::to_owned));
    // As the kernel will see them; what does not exist yet keeps its name.
    for path in &mut paths {
        if let Ok(resolved) = path.canonicalize() {
            *path = resolved;
        }
    }
    paths.retain(|path| path.is_absolute());
    paths.sort();
    paths.dedup();
    paths.into_iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect()
}

/// The policy file; `None` when there is none.
fn load_policy(path: &Path) -> Result<Option<PolicyFile>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    policy::parse(&path.display().to_string(), &text).map(Some).map_err(|problems| problems_error(&problems))
}

fn heart(daemon: &Daemon) {
    go_ahead("the heart");
    while !daemon.stopping.load(Ordering::Acquire) {
        daemon.beat();
        std::thread::sleep(BEAT);
    }
}

/// What enforcement and the record wait for goes before sinks, pages and the audit chain, which catch up.
pub(crate) fn go_ahead(what: &str) {
    if let Err(error) = lictor_bpf::prefer_this_thread() {
        tracing::warn!("{what} may not go before other threads: {error}");
    }
}

/// Keeps the hearts of other builds beating meanwhile: loading programs can take longer than the kernel waits.
fn beating<T>(legacy: &[Arc<Legacy>], work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // The thread ends before anything asks for this process to have one thread only.
        scope.spawn(|| {
            while !legacy.is_empty() && !done.load(Ordering::Acquire) {
                for older in legacy {
                    older.beat();
                }
                std::thread::sleep(rings::ROUND);
            }
        });
        let result = work();
        done.store(true, Ordering::Release);
        result
    })
}

impl Daemon {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Changing> {
        // A thread that panicked with the lock has been reported; the maps hold the truth, so go on.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn beat(&self) {
        self.sensor.beat();
        for older in &self.legacy() {
            older.beat();
        }
        self.beat_ms.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// For the end, when the heart stands still: sessions must not lose their network over what takes its time.
    fn beat_while(&self, work: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let working = scope.spawn(work);
            while !working.is_finished() {
                self.beat();
                std::thread::sleep(Duration::from_millis(20));
            }
        });
    }

    /// How long ago the kernel was told that we live.
    pub(crate) fn heart_age(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.beat_ms.load(Ordering::Relaxed)))
    }

    pub(crate) fn legacy(&self) -> Vec<Arc<Legacy>> {
        self.legacy.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Removes the programs of other builds that have no session left.
    fn retire(&self) {
        for older in self.legacy() {
            let used = self.lock().sessions.older.values().any(|session| session.build == older.build());
            match if used { Ok(true) } else { older.in_use() } {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!("cannot tell whether build {} has sessions: {error}", older.build());
                    continue;
                }
            }
            match older.remove(&self.sensor) {
                Ok(()) => {
                    let mut legacy = self.legacy.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    legacy.retain(|other| !Arc::ptr_eq(other, &older));
                    tracing::info!("build {} has no session left: its programs are being removed", older.build());
                }
                Err(error) => tracing::error!("the programs of build {} cannot be removed: {error}", older.build()),
            }
        }
    }

    /// Whether a task is governed, by this build or by one whose sessions live on.
    pub(crate) fn governs(&self, task: &PidFd) -> Result<bool> {
        if self.sensor.session_of(task)?.is_some() {
            return Ok(true);
        }
        for older in self.legacy() {
            if older.governs(task)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The ring thread emptied the rings.
    pub(crate) fn round_done(&self) {
        let (number, changed) = &self.rounds;
        if let Ok(mut number) = number.lock() {
            *number = number.saturating_add(1);
            changed.notify_all();
        }
    }

    /// There is nobody any more who empties the rings, and nothing to wait for.
    pub(crate) fn no_more_rounds(&self) {
        let (number, changed) = &self.rounds;
        if let Ok(mut number) = number.lock() {
            *number = u64::MAX;
            changed.notify_all();
        }
    }

    /// Two more, and everything that was in the rings at the call is recorded.
    pub(crate) fn round(&self) -> u64 {
        self.rounds.0.lock().map_or(u64::MAX, |number| *number)
    }

    /// Whether the processes that nobody governs are in the tree too.
    pub(crate) fn watches_host(&self) -> bool {
        !self.private && self.settings.watch_host == Switch::On
    }

    /// Returns when everything that was in the rings at the call has been taken out.
    pub(crate) fn drain(&self) {
        self.census.wanted.store(true, Ordering::Release);
        let (round, changed) = &self.rounds;
        let Ok(guard) = round.lock() else { return };
        let target = guard.saturating_add(2);
        let _waited = changed.wait_timeout_while(guard, FLUSH, |round| *round < target);
    }

    /// Returns when everything that was in the rings at the call is recorded.
    pub(crate) fn flush(&self) {
        let began = Instant::now();
        self.drain();
        // What went to the judges is recorded when they have answered.
        while self.judging.pending() > 0 && began.elapsed() < FLUSH && !self.stopping.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let store = self.recorder().store();
        if let Some(Err(error)) = store.map(|store| store.flush(STORE_FLUSH)) {
            tracing::warn!("{error}");
        }
    }

    pub(crate) fn reload(&self, by: &Actor) -> Result<()> {
        let loaded = self.load_again(by);
        self.tell_policy(&loaded, by);
        loaded
    }

    fn load_again(&self, by: &Actor) -> Result<()> {
        let other_rules = self.judging.reload_rules();
        let next = load_policy(&self.settings.policy);
        let mut changing = self.lock();
        if other_rules {
            self.tell_rules(by);
            changing.sessions.renew_judges(&self.sensor)?;
        }
        let next = next?;
        changing.sessions.reload(&self.sensor, next.as_ref())?;
        if !changing.sessions.older.is_empty() {
            tracing::warn!(
                "{} sessions of an older build keep the policy that they had when lictord was upgraded",
                changing.sessions.older.len()
            );
        }
        changing.policy = next;
        self.epoch.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    pub(crate) fn reasons(&self) -> &[String] {
        self.reasons.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn status(&self) -> Result<Status> {
        let counters = self.sensor.counters()?;
        let changing = self.lock();
        let monitoring = !changing.sessions.live.is_empty()
            && changing.sessions.live.values().all(|session| session.mode == Mode::Monitor);
        let mut reasons = self.reasons().to_vec();
        reasons.extend(self.audit_problems());
        let state = match (reasons.is_empty(), monitoring) {
            (false, _) => State::Degraded,
            (true, true) => State::Monitoring,
            (true, false) => State::Enforcing,
        };
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Ok(Status {
            state,
            reasons,
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            kernel: read("/proc/sys/kernel/osrelease"),
            lsm: read("/sys/kernel/security/lsm").split(',').map(str::to_owned).collect(),
            hooks: Hooks {
                attached: self.sensor.hooks().len() as u64,
                missing: self.sensor.skipped().iter().map(|(hook, instead)| format!("{hook} ({instead})")).collect(),
            },
            policy: match &changing.policy {
                Some(file) => file.file().to_owned(),
                None => "built-in".into(),
            },
            epoch: self.epoch.load(Ordering::Acquire),
            sessions: (changing.sessions.live.len() + changing.sessions.older.len()) as u64,
            older_builds: self.older_builds(&changing.sessions),
            counters: [
                ("events", counters.events),
                ("denied", counters.denied),
                ("lost_ring", counters.lost_ring),
                ("lost_buffers", counters.lost_scratch),
                ("lost_tasks", counters.lost_task),
                ("lost_host", counters.lost_host),
                ("left_out", changing.tree.left_out()),
                ("internal", counters.internal),
                ("label_fallback", counters.label_fallback),
                ("rename_retries", counters.rename_retry),
                ("undecodable", changing.undecodable),
            ]
            .into_iter()
            .chain(self.judging.counters())
            .chain(self.audit_counters())
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
            judge: self.judging.status(),
            rules: self.judging.rule_counts(),
            store: self.recorder().store_status(),
            uptime_ms: self.started.elapsed().as_millis() as u64,
        })
    }

    fn older_builds(&self, sessions: &Sessions) -> Vec<OlderBuild> {
        let known = |build: &str| sessions.older.values().filter(|session| session.build == build).count() as u64;
        let legacy = self.legacy();
        let readable = legacy.iter().map(|older| OlderBuild {
            build: older.build().to_owned(),
            sessions: known(older.build()),
            problem: None,
        });
        let unreadable = self.unreadable.iter().map(|(build, problem)| OlderBuild {
            build: build.clone(),
            sessions: 0,
            problem: Some(problem.clone()),
        });
        readable.chain(unreadable).collect()
    }

    fn unload(&self) -> Result<()> {
        self.sensor.unpin().context("cannot take the programs out of the kernel")
    }
}

/// Until a signal says stop; a private daemon also until its session and its client are gone.
fn wait(daemon: &Arc<Daemon>) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let reload = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    signal_hook::flag::register(SIGHUP, Arc::clone(&reload))?;
    let mut file = FileStamp::of(&daemon.settings.policy);
    let mut ticks = 0u32;
    let mut watch = telling::Watch::default();
    loop {
        std::thread::sleep(Duration::from_millis(20));
        if stop.load(Ordering::Acquire) || daemon.stopping.load(Ordering::Acquire) {
            return Ok(());
        }
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(50) {
            daemon.retire();
        }
        if let Some(dispatcher) = daemon.dispatcher.as_ref().filter(|_| ticks % 250 == 1) {
            watch.look(dispatcher, daemon.reasons(), &daemon.judging.status());
        }
        let now =
            if !daemon.private && ticks.is_multiple_of(25) { FileStamp::of(&daemon.settings.policy) } else { file };
        if reload.swap(false, Ordering::AcqRel) || now != file {
            file = FileStamp::of(&daemon.settings.policy);
            match daemon.reload(&Actor::Lictor) {
                Ok(()) => tracing::info!("policy {} is in force", daemon.settings.policy.display()),
                Err(error) => tracing::error!("the policy in force stays: {error:#}"),
            }
        }
    }
}

/// Whether a file is still the one that was loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileStamp(Option<(u64, u64, SystemTime)>);

impl FileStamp {
    fn of(path: &Path) -> FileStamp {
        use std::os::unix::fs::MetadataExt as _;
        FileStamp(
            std::fs::metadata(path)
                .ok()
                .and_then(|metadata| Some((metadata.ino(), metadata.size(), metadata.modified().ok()?))),
        )
    }
}

/// sd_notify(3): one datagram to the socket that systemd names.
fn notify_systemd(message: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = std::os::unix::net::UnixDatagram::unbound().and_then(|socket| socket.send_to(message.as_bytes(), &path));
    if let Err(error) = sent {
        tracing::warn!("cannot notify {}: {error}", path.display());
    }
}
