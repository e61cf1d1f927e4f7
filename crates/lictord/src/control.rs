// SPDX-License-Identifier: Apache-2.0
//! The control socket. Who may talk: root and members of the group `lictor`, and nobody who is governed, whatever he is.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{BufReader, BufWriter};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use lictor_api::bytes::unescape;
use lictor_api::control::{
    EventFilter, Mode, Pong, Reloaded, Reply, Request, SessionInfo, StartSession, Started, Summary, TaskInfo, VERSION,
};
use lictor_api::event::Event;
use lictor_api::{bytes, explain, wire};
use lictor_bpf::PidFd;
use lictor_engine::policy::{BUILTIN, PolicyFile};
use lictor_engine::process::ProcessFacts;
use lictor_store::audit::{self, Actor, Entry};
use lictor_store::events::{Reader, StoreError, history};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::{Gid, Group, Uid, chown};

use crate::census;
use crate::daemon::Daemon;
use crate::session::{Record, Session, session_name};

pub(crate) fn listen(daemon: &Daemon) -> Result<UnixListener> {
    let path = &daemon.settings.control;
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    let group = Group::from_name("lictor").context("cannot look up the group `lictor`")?.map(|group| group.gid);
    chown(path, Some(Uid::from_raw(0)), Some(group.unwrap_or(Gid::from_raw(0))))
        .with_context(|| format!("cannot give {} to the group `lictor`", path.display()))?;
    std::fs::set_permissions(path, Permissions::from_mode(if group.is_some() { 0o660 } else { 0o600 }))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    Ok(listener)
}

pub(crate) fn serve(daemon: &Arc<Daemon>, listener: &UnixListener) {
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                let daemon = Arc::clone(daemon);
                let spawned = std::thread::Builder::new().name("client".into()).spawn(move || {
                    if let Err(error) = client(&daemon, &stream) {
                        tracing::debug!("a client went away: {error:#}");
                    }
                });
                if let Err(error) = spawned {
                    tracing::error!("cannot serve a client: {error}");
                }
            }
            Err(error) => {
                tracing::error!("cannot accept a client: {error}");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

struct Peer {
    pid: u32,
    uid: u32,
}

impl Peer {
    fn actor(&self) -> Actor {
        Actor::User(self.uid)
    }
}

fn peer(daemon: &Daemon, stream: &UnixStream) -> Result<Peer> {
    let credentials = getsockopt(stream, sockopt::PeerCredentials).context("cannot tell who the client is")?;
    let pid = u32::try_from(credentials.pid()).context("the client has no process")?;
    // The hook on the socket refuses governed processes already; this is for one that handed its connection on.
    if daemon.governs(&PidFd::open(pid)?)? {
        bail!("governed processes may not talk to lictord");
    }
    Ok(Peer { pid, uid: credentials.uid() })
}

fn client(daemon: &Arc<Daemon>, stream: &UnixStream) -> Result<()> {
    let mut writer = BufWriter::new(stream.try_clone()?);
    let peer = match peer(daemon, stream) {
        Ok(peer) => peer,
        Err(error) => {
            wire::write(&mut writer, &Reply::error(format!("{error:#}")))?;
            return Ok(());
        }
    };
    let mut reader = BufReader::new(stream);
    let mut owned: Option<String> = None;
    loop {
        let request = match wire::read::<Request>(&mut reader) {
            Ok(Some(request)) => request,
            Ok(None) => break,
            Err(error) => {
                wire::write(&mut writer, &Reply::error(error))?;
                break;
            }
        };
        if let Request::Events { filter } = request {
            events(daemon, &mut writer, filter)?;
            continue;
        }
        if let Request::Processes { hashes } = request {
            processes(daemon, &peer, &mut writer, hashes)?;
            continue;
        }
        let starts = matches!(request, Request::StartSession(_));
        let reply = answer(daemon, &peer, request).unwrap_or_else(|error| Reply::error(format!("{error:#}")));
        if let (true, Reply::Started(started)) = (starts, &reply) {
            owned = Some(started.session.clone());
        }
        wire::write(&mut writer, &reply)?;
    }
    if daemon.private && owned.is_some() {
        // The private daemon's one client has gone; what it started may live on, and stays governed until it ends.
        while !daemon.lock().sessions.live.is_empty() {
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon.stopping.store(true, Ordering::Release);
    }
    Ok(())
}

fn answer(daemon: &Daemon, peer: &Peer, request: Request) -> Result<Reply> {
    Ok(match request {
        Request::Ping { version } => {
            ensure!(version == VERSION, "this lictord speaks version {VERSION} of the protocol, the client {version}");
            Reply::Pong(Pong { version: VERSION, program: env!("CARGO_PKG_VERSION").into() })
        }
        Request::StartSession(start) => start_session(daemon, peer, start)?,
        Request::WaitSession { session } => {
            daemon.flush();
            let number = number_of(&session)?;
            let changing = daemon.lock();
            let (events, denied) =
                changing.sessions.sums(number).with_context(|| format!("there is no session {session}"))?;
            let lost = daemon.sensor.counters()?.lost_ring;
            Reply::Summary(Summary { session, denied, events, lost })
        }
        Request::Explain { id } => {
            let recent = daemon.recorder().find(&id).map(|event| Event::clone(&event));
            let event = match recent {
                Some(event) => Some(event),
                None => history::find(&daemon.settings.state, reader(daemon)?, &id)?,
            };
            Reply::Explanation(Box::new(explain::explain(event.with_context(|| format!("there is no event {id}"))?)))
        }
        Request::Ps {} => Reply::Sessions(ps(daemon)?),
        Request::Status {} => Reply::Status(Box::new(daemon.status()?)),
        Request::Verdicts {} => Reply::Verdicts(daemon.verdicts()?),
        Request::SetVerdict { key, allow, ttl_s } => {
            ensure!(peer.uid == 0, "only root may set a verdict");
            let who = format!("uid {}", peer.uid);
            let decided = daemon.set_verdict(&key, allow, ttl_s.map(Duration::from_secs), &who)?;
            let entry = Entry::new(audit::Kind::VerdictSet)
                .with("key", key)
                .with("allow", allow)
                .with("ttl_s", ttl_s)
                .with("held_decided", decided);
            daemon.tell(entry.by(&peer.actor()));
            Reply::Done(decided)
        }
        Request::ClearVerdicts {} => {
            ensure!(peer.uid == 0, "only root may clear the verdicts");
            daemon.clear_verdicts()?;
            daemon.tell(Entry::new(audit::Kind::VerdictClear).by(&peer.actor()));
            Reply::Done(0)
        }
        Request::Reload {} => {
            ensure!(peer.uid == 0, "only root may reload the policy");
            daemon.reload(&peer.actor())?;
            let changing = daemon.lock();
            let agents = changing.policy.as_ref().map_or(0, |policy| policy.agents().count() as u64);
            Reply::Reloaded(Reloaded {
                policy: changing.policy.as_ref().map_or("built-in".into(), |policy| policy.file().to_owned()),
                agents,
                epoch: daemon.epoch.load(Ordering::Acquire),
            })
        }
        Request::AuditCheckpoint {} => Reply::Checkpoint(daemon.audit_checkpoint()?),
        Request::AuditErase { subject, mentions } => {
            ensure!(peer.uid == 0, "only root may erase");
            Reply::Erased(daemon.audit_erase(subject, mentions, peer.actor())?)
        }
        Request::Alerts { filter } => Reply::Alerts(told(daemon)?.alerts(&filter)),
        Request::ChangeAlert { id, change } => {
            let alert = told(daemon)?.change(&id, &change, &format!("uid {}", peer.uid))?;
            tracing::info!("alert {id} is {} by uid {}", alert.state, peer.uid);
            Reply::Alerts(vec![alert])
        }
        Request::Silences {} => Reply::Silences(told(daemon)?.silences()),
        Request::AddSilence { silence } => {
            let silence = told(daemon)?.silence(silence, &format!("uid {}", peer.uid))?;
            tracing::info!("silence {} until {} by uid {}", silence.id, silence.until, peer.uid);
            Reply::Silences(vec![silence])
        }
        Request::RemoveSilence { id } => {
            told(daemon)?.unsilence(&id)?;
            tracing::info!("silence {id} is ended by uid {}", peer.uid);
            Reply::Done(1)
        }
        Request::Sinks {} => Reply::Sinks(told(daemon)?.sinks()),
        Request::Events { .. } | Request::Processes { .. } => bail!("these are a stream"),
    })
}

fn told(daemon: &Daemon) -> Result<&lictor_sinks::Dispatcher> {
    daemon.dispatcher.as_deref().context("a private lictord has no alerts and no sinks: start the service")
}

fn number_of(session: &str) -> Result<u64> {
    session
        .strip_prefix("s-")
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        .with_context(|| format!("`{session}` is not a session"))
}

/// The numbers of /proc/PID/stat and status that say whose child a process is and who owns it.
fn parent_and_owner(pid: u32) -> Result<(u32, u32)> {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is gone"))?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse::<u32>().ok())
            .with_context(|| format!("/proc/{pid}/status has no {name}"))
    };
    Ok((field("PPid:")?, field("Uid:")?))
}

fn start_session(daemon: &Daemon, peer: &Peer, start: StartSession) -> Result<Reply> {
    ensure!(
        start.policy.is_none() || peer.uid == 0,
        "--policy needs root: a session's own policy replaces the one that the owner of this machine wrote"
    );
    let mode_wanted = start.mode;
    if mode_wanted != Some(Mode::Monitor) && !daemon.reasons().is_empty() {
        bail!("lictord is DEGRADED and cannot enforce: {}", daemon.reasons().join("; "));
    }
    let task = PidFd::open(start.pid)?;
    let (parent, owner) = parent_and_owner(start.pid)?;
    ensure!(parent == peer.pid, "process {} is not a child of the client", start.pid);
    ensure!(peer.uid == 0 || owner == peer.uid, "process {} belongs to somebody else", start.pid);
    ensure!(!daemon.governs(&task)?, "process {} is governed already", start.pid);

    let mut changing = daemon.lock();
    let changing = &mut *changing;
    let number = loop {
        let number = (ulid::Ulid::new().random() & 0xffff_ffff) as u64;
        if number != 0 && !changing.sessions.is_known(number) {
            break number;
        }
    };
    let asked = start.clone();
    let record = Record {
        number,
        slot: 0,
        agent: agent_name(
            start.agent,
            start.profile.as_deref(),
            start.policy.as_ref().map(|policy| (policy.file.as_str(), policy.text.as_str())),
            changing.policy.as_ref(),
        )?,
        mode: start.mode,
        policy: start.policy.map(|policy| (policy.file, policy.text)),
        home: unescape(&start.home),
        user: unescape(&start.user),
        cwd: unescape(&start.cwd),
        started: jiff::Timestamp::now().to_string(),
        all_events: start.all_events,
        container: crate::container::of_process(start.pid),
    };
    let session = changing.sessions.start(&daemon.sensor, &task, start.pid, record, changing.policy.as_ref())?;
    let started = Started {
        session: session_name(number),
        agent: session.record.agent.clone(),
        mode: session.mode,
        policy_source: session.source.clone(),
    };
    tracing::info!("session {} has started: agent {}, process {}", started.session, started.agent, start.pid);
    daemon.tell_session(&asked, owner, &started, &peer.actor());
    Ok(Reply::Started(started))
}

/// `--agent`, or the only agent of the session's own policy; else the agent of the daemon's policy that is named as the
/// command's profile, its `default`, the command's profile as it is built in, or the built-in `default`. In this order: a
/// `default` that the owner of this machine wrote is not to be got round by the name of a command.
fn agent_name(
    asked: Option<String>,
    profile: Option<&str>,
    own: Option<(&str, &str)>,
    daemon: Option<&PolicyFile>,
) -> Result<String> {
    if let Some(name) = asked {
        return Ok(name);
    }
    if let Some((file, text)) = own {
        let parsed = lictor_engine::policy::parse(file, text.as_bytes())
            .map_err(|problems| crate::session::problems_error(&problems))?;
        let names: Vec<String> = parsed.agents().map(|agent| agent.name().to_owned()).collect();
        return match names.as_slice() {
            [only] => Ok(only.clone()),
            names if names.iter().any(|name| name == "default") => Ok("default".into()),
            names => bail!("{file}: which agent? Say --agent with one of: {}", names.join(", ")),
        };
    }
    let Some(profile) = profile else { return Ok("default".into()) };
    ensure!(BUILTIN.contains(&profile), "there is no built-in profile `{profile}`");
    let has = |name: &str| daemon.is_some_and(|policy| policy.agent(name).is_some());
    Ok(if has("default") && !has(profile) { "default" } else { profile }.to_owned())
}

/// The arguments as a line, where they are known.
pub(crate) fn cmdline(facts: &ProcessFacts) -> Option<String> {
    let args: Vec<&[u8]> = facts.args().collect();
    (!args.is_empty()).then(|| bytes::escape(&args.join(&b' ')))
}

pub(crate) fn ps(daemon: &Daemon) -> Result<Vec<SessionInfo>> {
    let held: BTreeSet<u32> = daemon.sensor.held()?.into_iter().map(|held| held.pid).collect();
    let changing = daemon.lock();
    let info = |record: &Record, session: Option<&Session>, build: Option<String>| SessionInfo {
        id: record.name(),
        agent: record.agent.clone(),
        mode: session.map(|session| session.mode).or(record.mode).unwrap_or(Mode::Enforce),
        started: record.started.clone(),
        policy: session.map_or_else(|| "unknown".into(), |session| session.source.clone()),
        build,
        container: record.container.clone(),
        tasks: changing
            .tree
            .of_session(record.number)
            .into_iter()
            .map(|(pid, facts)| TaskInfo {
                pid,
                ppid: Some(facts.ppid),
                exe: facts.exe().map(bytes::escape),
                cmdline: cmdline(facts),
                uid: Some(facts.uid),
                denied: facts.denied.into(),
                held: held.contains(&pid),
            })
            .collect(),
        denied: session.map_or(0, |session| session.denied),
        events: session.map_or(0, |session| session.recorded),
    };
    let sessions = &changing.sessions;
    let older = sessions.older.values();
    Ok(older
        .map(|older| info(&older.record, older.session.as_ref(), Some(older.build.clone())))
        .chain(sessions.live.values().map(|session| info(&session.record, Some(session), None)))
        .collect())
}

/// Processes in one line of an answer: a host can have more than fit into one.
const PROCESSES_A_LINE: usize = 1000;

fn processes(daemon: &Daemon, peer: &Peer, writer: &mut BufWriter<UnixStream>, hashes: bool) -> Result<()> {
    let found = if peer.uid == 0 {
        census::processes(daemon).map(|mut all| {
            if hashes {
                census::add_hashes(daemon, &mut all);
            }
            all
        })
    } else {
        Err(anyhow!("only root may see every process of the host"))
    };
    match found {
        Ok(found) => {
            for some in found.chunks(PROCESSES_A_LINE) {
                wire::write(writer, &Reply::Processes(some.to_vec()))?;
            }
            Ok(wire::write(writer, &Reply::End(true))?)
        }
        Err(error) => Ok(wire::write(writer, &Reply::error(format!("{error:#}")))?),
    }
}

/// The store's, if this daemon has one.
fn reader(daemon: &Daemon) -> Result<Option<Reader>, StoreError> {
    let store = daemon.recorder().store();
    store.map(|store| store.reader()).transpose()
}

/// What is recorded and wanted, oldest first.
fn past(daemon: &Daemon, writer: &mut BufWriter<UnixStream>, filter: &EventFilter) -> Result<()> {
    let mut history = history::History::new(&daemon.settings.state, reader(daemon)?, filter)?;
    for event in history.by_ref() {
        wire::write(writer, &Reply::Event(Box::new(event?)))?;
    }
    for problem in history.problems() {
        tracing::warn!("{problem}");
    }
    Ok(())
}

fn events(daemon: &Daemon, writer: &mut BufWriter<UnixStream>, filter: EventFilter) -> Result<()> {
    use std::io::Write as _;
    if let Err(problem) = filter.check() {
        return Ok(wire::write(writer, &Reply::error(problem))?);
    }
    if !filter.follow {
        daemon.flush();
        return match past(daemon, writer, &filter) {
            Ok(()) => Ok(wire::write(writer, &Reply::End(true))?),
            Err(error) => match error.downcast::<StoreError>() {
                // The client is told, and may ask for something else.
                Ok(error) => {
                    // The thread that writes has not met the damage yet.
                    if let (true, Some(store)) = (error.is_damage(), daemon.recorder().store()) {
                        store.suspect();
                    }
                    Ok(wire::write(writer, &Reply::error(error))?)
                }
                Err(error) => Err(error),
            },
        };
    }
    let (past, queue) = daemon.recorder().follow(filter);
    for event in past {
        wire::write(writer, &Reply::Event(Box::new(Event::clone(&event))))?;
    }
    writer.flush()?;
    loop {
        match queue.recv_timeout(Duration::from_millis(500)) {
            Ok(event) => wire::write(writer, &Reply::Event(Box::new(Event::clone(&event))))?,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) if !daemon.stopping.load(Ordering::Acquire) => {}
            Err(_) => break,
        }
    }
    wire::write(writer, &Reply::End(true))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_chosen_by_the_nearest_word() {
        let daemon = |agents: &str| {
            let text = format!("version: 1\nagents: {{{agents}}}\n");
            lictor_engine::policy::parse("policy.yaml", text.as_bytes()).unwrap()
        };
        let check = |expected: &str, asked: Option<&str>, profile: Option<&str>, policy: Option<&PolicyFile>| {
            assert_eq!(agent_name(asked.map(str::to_owned), profile, None, policy).unwrap(), expected);
        };
        check("default", None, None, None);
        check("claude-code", None, Some("claude-code"), None);
        check("coder", Some("coder"), Some("claude-code"), None);
        check("claude-code", None, Some("claude-code"), Some(&daemon("coder: {}")));
        check("default", None, Some("claude-code"), Some(&daemon("default: {}")));
        check("claude-code", None, Some("claude-code"), Some(&daemon("default: {}, claude-code: {}")));
        assert!(agent_name(None, Some("coder"), None, Some(&daemon("coder: {}"))).is_err(), "no built-in profile");

        let own = |agents: &str| {
            let text = format!("version: 1\nagents: {{{agents}}}\n");
            agent_name(None, Some("claude-code"), Some(("own.yaml", &text)), None)
        };
        assert_eq!(own("only: {}").unwrap(), "only");
        assert_eq!(own("one: {}, default: {}").unwrap(), "default");
        assert!(own("one: {}, two: {}").unwrap_err().to_string().contains("one, two"));
    }
}
