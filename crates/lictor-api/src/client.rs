// SPDX-License-Identifier: Apache-2.0
//! A blocking client for the control socket.

use crate::alert::{Alert, AlertChange, AlertFilter, NewSilence, Silence, SinkStatus};
use crate::control::{
    EventFilter, Explanation, ProcessInfo, Reloaded, Reply, Request, SessionInfo, StartSession, Started, Status,
    Summary, VERSION,
};
use crate::event::Event;
use crate::wire::{self, ReadError};
use std::io::{self, BufReader, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// How long the daemon may take for one answer. Compiling a policy of 10,000 patterns takes seconds on
/// a slow machine; a daemon that was stopped never answers, and a command must not hang with it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the daemon could not be asked, or what it answered instead.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error(
        "no lictord answers at {}: start it with `systemctl start lictord` (as root), or name its socket with --control",
        path.display()
    )]
    NoDaemon { path: PathBuf, source: io::Error },
    #[error("{} may not be opened: run as root, or as a member of the group `lictor`", path.display())]
    NotPermitted { path: PathBuf, source: io::Error },
    #[error("lictord at {} gave no answer within {} s: it is stopped or stuck; see `journalctl -u lictord`", path.display(), PATIENCE.as_secs())]
    Silent { path: PathBuf },
    #[error("lictord at {} closed the connection without an answer; see `journalctl -u lictord`", path.display())]
    HungUp { path: PathBuf },
    #[error("lictord at {}: {source}", path.display())]
    Broken { path: PathBuf, source: ReadError },
    #[error("lictord at {} answered `{got}` where `{wanted}` was expected: are lictor and lictord of the same version?", path.display())]
    Unexpected { path: PathBuf, wanted: &'static str, got: &'static str },
    #[error("lictord at {} speaks version {theirs} of the control protocol and this program version {VERSION}: install the same version of both", path.display())]
    Version { path: PathBuf, theirs: u32 },
    /// The daemon understood the request and refused it; the text is its own.
    #[error("{0}")]
    Refused(String),
}

impl ClientError {
    /// Whether nobody listens at all: then `lictor` may look at the recorded events itself.
    #[must_use]
    pub fn is_no_daemon(&self) -> bool {
        matches!(self, Self::NoDaemon { .. })
    }
}

/// One connection to the daemon.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Client {
    /// Connects, and makes sure that both sides mean the same protocol.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let classify = |source: io::Error| {
            let path = path.to_owned();
            match source.kind() {
                ErrorKind::PermissionDenied => ClientError::NotPermitted { path, source },
                _ => ClientError::NoDaemon { path, source },
            }
        };
        let stream = UnixStream::connect(path).map_err(classify)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(classify)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(classify)?;
        let reader = BufReader::new(stream.try_clone().map_err(classify)?);
        let mut client = Self { path: path.to_owned(), stream, reader };
        match client.ask(&Request::Ping { version: VERSION })? {
            Reply::Pong(pong) if pong.version == VERSION => Ok(client),
            Reply::Pong(pong) => Err(ClientError::Version { path: client.path, theirs: pong.version }),
            other => Err(client.unexpected("pong", &other)),
        }
    }

    pub fn start_session(&mut self, request: StartSession) -> Result<Started, ClientError> {
        match self.ask(&Request::StartSession(request))? {
            Reply::Started(started) => Ok(started),
            other => Err(self.unexpected("started", &other)),
        }
    }

    pub fn wait_session(&mut self, session: &str) -> Result<Summary, ClientError> {
        match self.ask(&Request::WaitSession { session: session.to_owned() })? {
            Reply::Summary(summary) => Ok(summary),
            other => Err(self.unexpected("summary", &other)),
        }
    }

    pub fn explain(&mut self, id: &str) -> Result<Explanation, ClientError> {
        match self.ask(&Request::Explain { id: id.to_owned() })? {
            Reply::Explanation(explanation) => Ok(*explanation),
            other => Err(self.unexpected("explanation", &other)),
        }
    }

    pub fn ps(&mut self) -> Result<Vec<SessionInfo>, ClientError> {
        match self.ask(&Request::Ps {})? {
            Reply::Sessions(sessions) => Ok(sessions),
            other => Err(self.unexpected("sessions", &other)),
        }
    }

    /// Every process of the host; with `hashes`, of each one's program too.
    pub fn processes(&mut self, hashes: bool) -> Result<Vec<ProcessInfo>, ClientError> {
        self.send(&Request::Processes { hashes })?;
        let mut all = Vec::new();
        loop {
            match self.receive()? {
                Reply::Processes(some) => all.extend(some),
                Reply::End(_) => return Ok(all),
                other => return Err(self.unexpected("processes", &other)),
            }
        }
    }

    pub fn status(&mut self) -> Result<Status, ClientError> {
        match self.ask(&Request::Status {})? {
            Reply::Status(status) => Ok(*status),
            other => Err(self.unexpected("status", &other)),
        }
    }

    pub fn reload(&mut self) -> Result<Reloaded, ClientError> {
        match self.ask(&Request::Reload {})? {
            Reply::Reloaded(reloaded) => Ok(reloaded),
            other => Err(self.unexpected("reloaded", &other)),
        }
    }

    pub fn verdicts(&mut self) -> Result<crate::control::Verdicts, ClientError> {
        match self.ask(&Request::Verdicts {})? {
            Reply::Verdicts(verdicts) => Ok(verdicts),
            other => Err(self.unexpected("verdicts", &other)),
        }
    }

    /// How many held processes it decided. See [`Request::SetVerdict`].
    pub fn set_verdict(&mut self, key: String, allow: bool, ttl_s: Option<u64>) -> Result<u64, ClientError> {
        self.done(&Request::SetVerdict { key, allow, ttl_s })
    }

    pub fn clear_verdicts(&mut self) -> Result<(), ClientError> {
        self.done(&Request::ClearVerdicts {}).map(drop)
    }

    /// A checkpoint of the audit chain, signed now. See [`Request::AuditCheckpoint`].
    pub fn audit_checkpoint(&mut self) -> Result<serde_json::Value, ClientError> {
        match self.ask(&Request::AuditCheckpoint {})? {
            Reply::Checkpoint(checkpoint) => Ok(checkpoint),
            other => Err(self.unexpected("checkpoint", &other)),
        }
    }

    /// Erases a person's data. See [`Request::AuditErase`].
    pub fn audit_erase(&mut self, subject: String, mentions: bool) -> Result<crate::control::Erased, ClientError> {
        // Writing gigabytes anew takes as long as it takes.
        self.stream.set_read_timeout(None).map_err(|source| self.broken(source.into()))?;
        match self.ask(&Request::AuditErase { subject, mentions })? {
            Reply::Erased(erased) => Ok(erased),
            other => Err(self.unexpected("erased", &other)),
        }
    }

    pub fn alerts(&mut self, filter: AlertFilter) -> Result<Vec<Alert>, ClientError> {
        self.some_alerts(&Request::Alerts { filter })
    }

    /// The alert as it is afterwards.
    pub fn change_alert(&mut self, id: String, change: AlertChange) -> Result<Vec<Alert>, ClientError> {
        self.some_alerts(&Request::ChangeAlert { id, change })
    }

    fn some_alerts(&mut self, request: &Request) -> Result<Vec<Alert>, ClientError> {
        match self.ask(request)? {
            Reply::Alerts(alerts) => Ok(alerts),
            other => Err(self.unexpected("alerts", &other)),
        }
    }

    pub fn silences(&mut self) -> Result<Vec<Silence>, ClientError> {
        self.some_silences(&Request::Silences {})
    }

    /// The silence as it was made.
    pub fn add_silence(&mut self, silence: NewSilence) -> Result<Vec<Silence>, ClientError> {
        self.some_silences(&Request::AddSilence { silence })
    }

    fn some_silences(&mut self, request: &Request) -> Result<Vec<Silence>, ClientError> {
        match self.ask(request)? {
            Reply::Silences(silences) => Ok(silences),
            other => Err(self.unexpected("silences", &other)),
        }
    }

    pub fn remove_silence(&mut self, id: String) -> Result<u64, ClientError> {
        self.done(&Request::RemoveSilence { id })
    }

    pub fn sinks(&mut self) -> Result<Vec<SinkStatus>, ClientError> {
        match self.ask(&Request::Sinks {})? {
            Reply::Sinks(sinks) => Ok(sinks),
            other => Err(self.unexpected("sinks", &other)),
        }
    }

    fn done(&mut self, request: &Request) -> Result<u64, ClientError> {
        match self.ask(request)? {
            Reply::Done(count) => Ok(count),
            other => Err(self.unexpected("done", &other)),
        }
    }

    /// The events that `filter` wants; the connection is used up by it.
    pub fn events(mut self, filter: EventFilter) -> Result<Events, ClientError> {
        if filter.follow {
            // The next event may be hours away.
            self.stream.set_read_timeout(None).map_err(|source| self.broken(source.into()))?;
        }
        self.send(&Request::Events { filter })?;
        Ok(Events { client: self, ended: false })
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        self.send(request)?;
        self.receive()
    }

    fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        wire::write(&mut self.stream, request).map_err(|source| self.broken(source.into()))
    }

    /// The next reply; a refusal is an error here, so that no caller can overlook it.
    fn receive(&mut self) -> Result<Reply, ClientError> {
        match wire::read(&mut self.reader) {
            Ok(Some(Reply::Error(failure))) => Err(ClientError::Refused(failure.message)),
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(ClientError::HungUp { path: self.path.clone() }),
            Err(source) => Err(self.broken(source)),
        }
    }

    fn broken(&self, source: ReadError) -> ClientError {
        let path = self.path.clone();
        match &source {
            ReadError::Io(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                ClientError::Silent { path }
            }
            ReadError::Io(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                ClientError::HungUp { path }
            }
            _ => ClientError::Broken { path, source },
        }
    }

    fn unexpected(&self, wanted: &'static str, got: &Reply) -> ClientError {
        ClientError::Unexpected { path: self.path.clone(), wanted, got: got.name() }
    }
}

/// A stream of events from the daemon.
#[derive(Debug)]
pub struct Events {
    client: Client,
    ended: bool,
}

impl Iterator for Events {
    type Item = Result<Event, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = match self.client.receive() {
            Ok(Reply::Event(event)) => return Some(Ok(*event)),
            Ok(Reply::End(_)) => None,
            Ok(other) => Some(Err(self.client.unexpected("event", &other))),
            Err(error) => Some(Err(error)),
        };
        self.ended = true;
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Pong;
    use crate::event::Kind;
    use std::os::unix::net::UnixListener;
    use std::thread::{self, JoinHandle};

    /// A daemon that checks each request and gives the reply lines prepared for it.
    fn daemon(path: &Path, script: Vec<(&'static str, &'static str)>) -> JoinHandle<()> {
        let listener = UnixListener::bind(path).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            for (request, reply) in script {
                let got: serde_json::Value = wire::read(&mut reader).unwrap().unwrap();
                assert_eq!(got, serde_json::from_str::<serde_json::Value>(request).unwrap());
                io::Write::write_all(&mut stream, reply.as_bytes()).unwrap();
            }
        })
    }

    const PING: &str = r#"{"op":"ping","version":1}"#;
    const PONG: &str = "{\"pong\":{\"version\":1,\"program\":\"0.1.0\"}}\n";

    #[test]
    fn a_session_is_started_and_summed_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let server = daemon(
            &path,
            vec![
                (PING, PONG),
                (
                    r#"{"op":"start_session","pid":7,"home":"/h","user":"u","cwd":"/c"}"#,
                    "{\"started\":{\"session\":\"s-1\",\"agent\":\"default\",\"mode\":\"enforce\",\"policy_source\":\"built-in\"}}\n",
                ),
                (
                    r#"{"op":"wait_session","session":"s-1"}"#,
                    "{\"summary\":{\"session\":\"s-1\",\"denied\":1,\"events\":4,\"lost\":0}}\n",
                ),
                (r#"{"op":"explain","id":"x"}"#, "{\"error\":{\"message\":\"no event `x`\"}}\n"),
            ],
        );
        let mut client = Client::connect(&path).unwrap();
        let request = StartSession {
            agent: None,
            profile: None,
            policy: None,
            mode: None,
            pid: 7,
            home: "/h".into(),
            user: "u".into(),
            cwd: "/c".into(),
            all_events: false,
        };
        assert_eq!(client.start_session(request).unwrap().session, "s-1");
        assert_eq!(client.wait_session("s-1").unwrap().denied, 1);
        assert_eq!(client.explain("x").unwrap_err().to_string(), "no event `x`");
        assert!(matches!(client.status(), Err(ClientError::HungUp { .. })));
        server.join().unwrap();
    }

    #[test]
    fn events_stream_until_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let server = daemon(
            &path,
            vec![
                (PING, PONG),
                (
                    r#"{"op":"events","filter":{"limit":2}}"#,
                    "{\"event\":{\"id\":\"1\",\"kind\":\"exec\"}}\n{\"event\":{\"id\":\"2\",\"kind\":\"lost\"}}\n{\"end\":true}\n",
                ),
            ],
        );
        let filter = EventFilter { limit: Some(2), ..Default::default() };
        let events = Client::connect(&path).unwrap().events(filter).unwrap();
        let kinds: Vec<Kind> = events.map(|event| event.unwrap().kind).collect();
        assert_eq!(kinds, [Kind::Exec, Kind::Lost]);
        server.join().unwrap();
    }

    #[test]
    fn a_stream_that_breaks_off_is_an_error_not_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let server =
            daemon(&path, vec![(PING, PONG), (r#"{"op":"events","filter":{}}"#, "{\"event\":{\"kind\":\"exec\"}}\n")]);
        let mut events = Client::connect(&path).unwrap().events(EventFilter::default()).unwrap();
        assert!(events.next().unwrap().is_ok());
        assert!(matches!(events.next(), Some(Err(ClientError::HungUp { .. }))));
        assert!(events.next().is_none());
        server.join().unwrap();
    }

    #[test]
    fn nobody_there_and_another_version_say_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let error = Client::connect(&path).unwrap_err();
        assert!(error.is_no_daemon());
        assert!(error.to_string().contains("start it with"), "{error}");
        let pong = serde_json::to_string(&Reply::Pong(Pong { version: 9, program: "9".into() })).unwrap() + "\n";
        let server = daemon(&path, vec![(PING, pong.leak())]);
        let error = Client::connect(&path).unwrap_err();
        assert!(error.to_string().contains("install the same version"), "{error}");
        server.join().unwrap();
    }
}
