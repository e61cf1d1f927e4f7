// SPDX-License-Identifier: Apache-2.0
//! What the daemon tells the audit chain, and erasure in everything that the daemon keeps.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lictor_api::control::{Erased, StartSession, Started};
use lictor_api::log::{CURRENT, PREVIOUS};
use lictor_api::settings::Settings;
use lictor_sinks::alerts::file::FileError;
use lictor_sinks::forget::{self, Whose};
use lictor_store::audit::{self, Actor, Audit, Copies, Entry, EventFiles, Kind, Options, Person, Request, Subject};
use lictor_store::events::history::store_dir;
use lictor_store::events::{self, Goes, Limits};
use serde_json::json;

use crate::daemon::Daemon;

/// How long the disk may take for a checkpoint that somebody waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The chain of this host. A private daemon keeps none: it leaves nothing behind.
pub(crate) fn open(settings: &Settings, private: bool) -> Result<Option<Arc<Audit>>> {
    if private {
        return Ok(None);
    }
    let dir = settings.state.join(audit::FOLDER);
    let audit = Audit::open(&dir, Options::default()).context("the audit chain cannot be opened")?;
    Ok(Some(Arc::new(audit)))
}

impl Daemon {
    /// Never waits: what finds no room is counted.
    pub(crate) fn tell(&self, entry: Entry) {
        if let Some(audit) = &self.audit {
            audit.append(entry);
        }
    }

    pub(crate) fn chain(&self) -> Result<&Arc<Audit>> {
        self.audit.as_ref().context("the private lictord of `lictor run` keeps no audit chain")
    }

    /// The first entries of a daemon; what an earlier one left unfinished is finished.
    pub(crate) fn tell_start(self: &Arc<Self>, taken_over: usize) -> Result<()> {
        self.tell(Entry::new(Kind::Start).with("version", env!("CARGO_PKG_VERSION")).with("pid", std::process::id()));
        if self.sensor.adopted() || taken_over > 0 || !self.legacy().is_empty() {
            let older: Vec<String> = self.legacy().iter().map(|older| older.build().to_owned()).collect();
            let entry = Entry::new(Kind::Takeover)
                .with("programs", self.sensor.adopted())
                .with("sessions", taken_over as u64)
                .with("older_builds", older);
            self.tell(entry);
        }
        let status = self.status()?;
        let entry = Entry::new(Kind::Mode)
            .with("state", status.state.as_str())
            .with("fail_closed", self.settings.fail_closed.as_str())
            .with("self_protection", self.settings.self_protection.as_str());
        let root = Subject::Uid(0);
        let reasons = json!({ "reasons": status.reasons });
        self.tell(if status.reasons.is_empty() { entry } else { entry.about(root, reasons) });
        self.tell_policy(&Ok(()), &Actor::Lictor);
        self.tell_rules(&Actor::Lictor);
        if self.audit.is_some() {
            let daemon = Arc::clone(self);
            std::thread::Builder::new().name("erasure".into()).spawn(move || daemon.resume_erasures())?;
        }
        Ok(())
    }

    fn resume_erasures(&self) {
        let Some(audit) = &self.audit else { return };
        match audit.resume(&[&RecordedEvents(self), &Told(self)]) {
            Ok(done) if !done.is_empty() => {
                tracing::info!("{} erasures that were interrupted are finished", done.len())
            }
            Ok(_) => {}
            Err(error) => tracing::error!("an erasure is not finished: {error}"),
        }
    }

    /// The policy that is in force, or why another one was refused.
    pub(crate) fn tell_policy(&self, loaded: &Result<()>, by: &Actor) {
        let text = std::fs::read(&self.settings.policy).ok();
        let file = self.settings.policy.display().to_string();
        let entry = Entry::new(Kind::Policy)
            .with("epoch", self.epoch.load(Ordering::Acquire))
            .with("in_force", loaded.is_ok())
            .with("sha256", text.map(|text| audit::sha256(&text)))
            .by(by);
        // A path or a message can name a home.
        let more = match loaded {
            Ok(()) => json!({ "file": file }),
            Err(error) => json!({ "file": file, "refused": format!("{error:#}") }),
        };
        self.tell(entry.about(by.subject(), more));
    }

    pub(crate) fn tell_rules(&self, by: &Actor) {
        let now = self.judging.rules.now();
        let entry = Entry::new(Kind::Rules).with("epoch", now.epoch).with("rules", now.counts().count() as u64);
        self.tell(entry.by(by));
    }

    pub(crate) fn tell_session(&self, start: &StartSession, owner: u32, started: &Started, by: &Actor) {
        let entry = Entry::new(Kind::SessionStart)
            .with("session", started.session.as_str())
            .with("agent", started.agent.as_str())
            .with("mode", started.mode.as_str())
            .with("own_policy", start.policy.as_ref().map(|policy| audit::sha256(policy.text.as_bytes())));
        let more = json!({
            "user": start.user, "home": start.home, "cwd": start.cwd, "pid": start.pid, "policy": started.policy_source,
        });
        self.tell(entry.by(by).about(Subject::Uid(owner), more));
    }

    pub(crate) fn audit_checkpoint(&self) -> Result<serde_json::Value> {
        Ok(serde_json::to_value(self.chain()?.checkpoint(PATIENCE)?)?)
    }

    pub(crate) fn audit_erase(&self, subject: String, by_name: bool, by: Actor) -> Result<Erased> {
        Ok(self.chain()?.erase(&Request { subject, by_name, by }, &[&RecordedEvents(self), &Told(self)])?)
    }

    /// Why the chain is not what it should be, for the status. It stops no session: a full disk opens and closes nothing.
    pub(crate) fn audit_problems(&self) -> Vec<String> {
        let Some(audit) = &self.audit else { return Vec::new() };
        let health = audit.health();
        let failing = health.failing.map(|reason| format!("the audit chain cannot be written: {reason}"));
        let tampering = health
            .tampering
            .into_iter()
            .map(|what| format!("the audit chain has been tampered with: {what}; see `lictor audit verify`"));
        failing.into_iter().chain(tampering).collect()
    }

    pub(crate) fn audit_counters(&self) -> [(&'static str, u64); 3] {
        let health = self.audit.as_ref().map(|audit| audit.health()).unwrap_or_default();
        [("audit_acknowledged", health.acknowledged), ("audit_queued", health.queued), ("audit_lost", health.lost)]
    }
}

/// What sessions without a daemon recorded.
fn event_files(settings: &Settings) -> Vec<PathBuf> {
    [PREVIOUS, CURRENT].map(|name| settings.state.join(name)).into()
}

fn goes(person: &Person) -> Goes {
    let person = person.clone();
    Arc::new(move |event| person.is_told_of_by(event))
}

/// The event store with its archive, event files, and events in memory.
struct RecordedEvents<'a>(&'a Daemon);

impl Copies for RecordedEvents<'_> {
    fn name(&self) -> &str {
        "recorded events"
    }

    fn erase(&self, person: &Person) -> Result<u64, String> {
        let store = {
            let mut recorder = self.0.recorder();
            recorder.forget(person);
            recorder.store()
        };
        // A file that sessions without a daemon left, and the store.
        let left = EventFiles::new(event_files(&self.0.settings)).erase(person)?;
        let kept = store.map_or(Ok(0), |store| store.erase(&goes(person), PATIENCE));
        kept.map(|kept| left + kept).map_err(|error| error.to_string())
    }
}

/// Alerts, and what sinks have not sent yet.
struct Told<'a>(&'a Daemon);

const TOLD: &str = "alerts and sinks";

impl Copies for Told<'_> {
    fn name(&self) -> &str {
        TOLD
    }

    fn erase(&self, person: &Person) -> Result<u64, String> {
        let Some(dispatcher) = &self.0.dispatcher else { return Ok(0) };
        with_whose(person, |whose| dispatcher.forget(whose))
    }
}

fn with_whose(person: &Person, act: impl FnOnce(&Whose<'_>) -> Result<u64, FileError>) -> Result<u64, String> {
    let whose = Whose { event: &|event| person.is_told_of_by(event), text: &|text| person.is_named_in(text) };
    act(&whose).map_err(|error| error.to_string())
}

/// Erasure where no daemon runs.
pub fn erase_stopped(settings: &Settings, request: &Request) -> Result<Erased> {
    struct Stopped<'a>(&'a Settings);
    impl Copies for Stopped<'_> {
        fn name(&self) -> &str {
            "recorded events"
        }
        fn erase(&self, person: &Person) -> Result<u64, String> {
            let left = EventFiles::new(event_files(self.0)).erase(person)?;
            let kept = events::erase_stopped(&store_dir(&self.0.state), &goes(person), Limits::new(&self.0.store));
            kept.map(|kept| left + kept).map_err(|error| error.to_string())
        }
    }
    struct StoppedTold<'a>(&'a Settings);
    impl Copies for StoppedTold<'_> {
        fn name(&self) -> &str {
            TOLD
        }
        fn erase(&self, person: &Person) -> Result<u64, String> {
            with_whose(person, |whose| forget::stopped(&self.0.state, whose))
        }
    }
    let dir = settings.state.join(audit::FOLDER);
    let audit = Audit::open(&dir, Options::default())?;
    Ok(audit.erase(request, &[&Stopped(settings), &StoppedTold(settings)])?)
}
