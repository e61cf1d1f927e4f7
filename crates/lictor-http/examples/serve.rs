// SPDX-License-Identifier: Apache-2.0
//! The HTTP interface over a recording, without a kernel: for working on the web pages and for tests of the interface.
//!
//! `cargo run -p lictor-http --example serve -- --events FILE.jsonl --listen 127.0.0.1:7480`

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use jiff::Timestamp;
use lictor_api::control::{Hooks, RememberedInfo, State, Status, Verdicts};
use lictor_api::event::Event;
use lictor_api::log::EventLog;
use lictor_api::settings::Settings;
use lictor_api::view::{Actor, Component, Done, HealthState, SessionRow, VerdictAction};
use lictor_http::{Fault, Live, Measure, Options, Tcp, UnixSocket};
use lictor_judge::counters::RuleCounts;
use lictor_sinks::Dispatcher;
use lictor_sinks::format::Host as Named;
use lictor_store::audit::{Audit, Entry, Kind};
use lictord::desk::{Desk, Host, Recording};

#[derive(Parser)]
struct Args {
    /// A recording: JSON Lines. May be given more than once.
    #[arg(long, required = true, value_name = "FILE")]
    events: Vec<PathBuf>,
    #[arg(long, default_value = "127.0.0.1:7480")]
    listen: SocketAddr,
    /// The start token is written there, too.
    #[arg(long, default_value = "/tmp/lictor-serve")]
    state: PathBuf,
    /// The policy file [default: policy.yaml in the state folder]
    #[arg(long)]
    policy: Option<PathBuf>,
    /// The directory of rules [default: rules.d in the state folder]
    #[arg(long)]
    rules: Option<PathBuf>,
    /// Another HOST:PORT that pages may come from, such as that of a development server.
    #[arg(long)]
    host: Vec<String>,
    /// Sends the recording to listeners, over and over, so many events a second.
    #[arg(long, value_name = "EVENTS")]
    replay: Option<u32>,
    /// Moves all times so that the last event has just happened.
    #[arg(long)]
    shift: bool,
    /// Requests that one client may make in a second.
    #[arg(long, default_value_t = 200)]
    rate: u32,
}

/// What is true without a kernel: nothing enforces, all that there is is the recording. What is changed here goes into a chain
/// of its own, and verdicts that are set are remembered by nobody else.
struct Recorded {
    settings: Settings,
    epoch: AtomicU64,
    files: Vec<PathBuf>,
    events: usize,
    started: Timestamp,
    audit: Arc<Audit>,
    verdicts: Mutex<BTreeMap<String, (bool, Option<Timestamp>)>>,
}

const NO_KERNEL: &str = "this server shows a recording: no kernel enforces anything";

impl Recorded {
    /// Those that have not ended.
    fn remembered(&self) -> MutexGuard<'_, BTreeMap<String, (bool, Option<Timestamp>)>> {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now();
        verdicts.retain(|_, (_, until)| until.is_none_or(|until| until > now));
        verdicts
    }
}

impl Host for Recorded {
    fn status(&self) -> Result<Status, Fault> {
        let uptime_ms = Timestamp::now().as_millisecond() - self.started.as_millisecond();
        Ok(Status {
            state: State::Degraded,
            reasons: vec![NO_KERNEL.into()],
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            kernel: String::new(),
            lsm: Vec::new(),
            hooks: Hooks::default(),
            policy: self.settings.policy.display().to_string(),
            epoch: self.epoch(),
            sessions: 0,
            older_builds: Vec::new(),
            counters: [("events".to_owned(), self.events as u64)].into(),
            judge: Vec::new(),
            rules: serde_json::Value::Null,
            store: None,
            uptime_ms: u64::try_from(uptime_ms).unwrap_or(0),
        })
    }

    fn health(&self) -> Result<Vec<Component>, Fault> {
        let files = self.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
        Ok(vec![
            Component { name: "kernel".into(), state: HealthState::Failed, detail: NO_KERNEL.into() },
            Component {
                name: "events".into(),
                state: HealthState::Ok,
                detail: format!("{} from {files}", self.events),
            },
        ])
    }

    fn settings(&self) -> Result<serde_json::Value, Fault> {
        Ok(
            serde_json::json!({ "policy": self.settings.policy, "rules": self.settings.rules, "state": self.settings.state }),
        )
    }

    fn readiness(&self) -> Result<(), String> {
        Err(NO_KERNEL.into())
    }

    fn measures(&self) -> Result<Vec<Measure>, Fault> {
        Ok(Vec::new())
    }

    fn admit(&self, _pid: u32) -> Result<(), String> {
        Ok(())
    }

    fn noted(&self, actor: &Actor, what: &str) {
        tracing::info!("{} ({}): {what}", actor.name, actor.role);
        let kind = if matches!(what, "login" | "logout") { Kind::Login } else { Kind::Change };
        self.audit.append(Entry::new(kind).with("role", actor.role.as_str()).with("what", what));
    }

    fn live_sessions(&self) -> Result<Option<Vec<SessionRow>>, Fault> {
        Ok(None)
    }

    fn rule_counts(&self) -> Result<Option<Vec<(String, RuleCounts)>>, Fault> {
        Ok(None)
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    fn reload(&self, actor: &Actor, what: &str) -> Result<(), Fault> {
        self.noted(actor, what);
        self.epoch.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn verdicts(&self) -> Result<Verdicts, Fault> {
        let row = |(key, (allow, until)): (&String, &(bool, Option<Timestamp>))| RememberedInfo {
            key: key.clone(),
            allow: *allow,
            expires_in_ms: until
                .map(|until| u64::try_from(until.duration_since(Timestamp::now()).as_millis()).unwrap_or(0)),
            verdict: None,
        };
        Ok(Verdicts { remembered: self.remembered().iter().map(row).collect(), held: Vec::new() })
    }

    fn set_verdict(
        &self,
        actor: &Actor,
        key: &str,
        action: VerdictAction,
        ttl: Option<Duration>,
    ) -> Result<Done, Fault> {
        self.noted(actor, &format!("verdict {action} for {}", key.escape_debug()));
        let until = ttl.map(|ttl| Timestamp::now().checked_add(ttl)).transpose();
        let until = until.map_err(|error| Fault::Invalid(error.to_string()))?;
        self.remembered().insert(key.to_owned(), (action == VerdictAction::Allow, until));
        Ok(Done { done: 0 })
    }

    fn remove_verdict(&self, actor: &Actor, key: &str) -> Result<Done, Fault> {
        self.noted(actor, &format!("verdict for {} removed", key.escape_debug()));
        let none = || Fault::NotFound(format!("no verdict `{}` is remembered", key.escape_debug()));
        self.remembered().remove(key).map(|_| Done { done: 1 }).ok_or_else(none)
    }

    fn clear_verdicts(&self, actor: &Actor) -> Result<Done, Fault> {
        self.noted(actor, "all verdicts removed");
        Ok(Done { done: std::mem::take(&mut *self.remembered()).len() as u64 })
    }
}

fn load(args: &Args) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for file in &args.events {
        for entry in EventLog::of_file(file).entries() {
            events.push(entry?.event);
        }
    }
    let time = |event: &Event| event.time.parse::<Timestamp>().ok();
    events.sort_by_key(time);
    if let Some(last) = events.iter().filter_map(time).max().filter(|_| args.shift) {
        let by = Timestamp::now().duration_since(last);
        for event in &mut events {
            if let Some(time) = time(event) {
                event.time = format!("{:.9}", time.checked_add(by).context("a time is out of range")?);
            }
        }
    }
    Ok(events)
}

fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    let args = Args::parse();
    std::fs::create_dir_all(&args.state)?;
    let events = load(&args)?;
    let recording = Arc::new(Recording::new(events.len().max(100_000)));
    let live = Live::new();
    for event in &events {
        let event = Arc::new(event.clone());
        recording.add(Arc::clone(&event));
        live.publish(event);
    }
    let settings = Settings {
        policy: args.policy.clone().unwrap_or_else(|| args.state.join("policy.yaml")),
        rules: args.rules.clone().unwrap_or_else(|| args.state.join("rules.d")),
        state: args.state.clone(),
        ..Settings::default()
    };
    let chain = args.state.join("audit");
    let audit = Arc::new(Audit::open(&chain, lictor_store::audit::Options::default())?);
    audit.append(Entry::new(Kind::Start).with("events", events.len()));
    let host = Recorded {
        audit: Arc::clone(&audit),
        verdicts: Mutex::default(),
        epoch: AtomicU64::new(1),
        files: args.events.clone(),
        events: events.len(),
        started: Timestamp::now(),
        settings: settings.clone(),
    };
    let name = Named { name: "recording".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let dispatcher = Arc::new(Dispatcher::start(&settings.sinks, &settings.state, name)?);
    for event in &events {
        let event = Arc::new(event.clone());
        dispatcher.offer(&event);
        if let Some(entry) = Entry::of_event(&event) {
            audit.append(entry);
        }
    }
    let desk = Desk::new(Arc::clone(&recording) as _, Arc::new(host), settings.policy, settings.rules)
        .keeping(Some(dispatcher), Some(chain));
    let token = args.state.join("http.token");
    let mut options = Options {
        unix: Some(UnixSocket { path: args.state.join("http.sock"), group: "lictor".into() }),
        tcp: Some(Tcp {
            listen: args.listen,
            tls: None,
            token: token.clone(),
            tokens: Some(args.state.join("http-tokens.json")),
            hosts: args.host.clone(),
        }),
        ..Options::default()
    };
    (options.limits.per_second, options.limits.burst) = (args.rate, args.rate.saturating_mul(3));
    let running = lictor_http::start(options, Arc::new(desk), live.clone())?;
    let address = running.address().context("it does not listen")?;
    println!("http://{address}/ with {} events; token: {}", events.len(), std::fs::read_to_string(&token)?.trim());
    replay(&args, &events, &recording, &live);
    // Until somebody ends it.
    loop {
        std::thread::park();
    }
}

fn replay(args: &Args, events: &[Event], recording: &Recording, live: &Live) {
    let Some(per_second) = args.replay.filter(|rate| *rate > 0 && !events.is_empty()) else { return };
    let pause = Duration::from_secs_f64(1.0 / f64::from(per_second));
    for (round, event) in events.iter().cycle().enumerate() {
        let mut event = event.clone();
        // The same thing at another time is another event.
        event.id = format!("{}-{}", event.id, round / events.len() + 1);
        event.time = format!("{:.9}", Timestamp::now());
        let event = Arc::new(event);
        recording.add(Arc::clone(&event));
        live.publish(event);
        std::thread::sleep(pause);
    }
}
