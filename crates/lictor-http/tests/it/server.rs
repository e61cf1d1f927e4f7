// SPDX-License-Identifier: Apache-2.0
//! The server under test.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use lictor_api::control::{Hooks, RememberedInfo, State, Status, Verdicts};
use lictor_api::event::Event;
use lictor_api::view::{Actor, Component, Done, Role, SessionRow, VerdictAction};
use lictor_http::tokens::TokenFile;
use lictor_http::{Fault, Limits, Live, Measure, Options, Running, StartError, Tcp, Tls, UnixSocket, start};
use lictor_judge::counters::RuleCounts;
use lictord::desk::{Desk, Host, Recording};
use reqwest::blocking::{Client, Response};
use serde_json::Value;

/// What the host was told, in order.
pub(crate) type Told = Arc<Mutex<Vec<String>>>;

struct Recorder {
    told: Told,
    refuse_reload: Arc<std::sync::atomic::AtomicBool>,
}

impl Host for Recorder {
    fn status(&self) -> Result<Status, Fault> {
        Ok(Status {
            state: State::Monitoring,
            reasons: Vec::new(),
            version: "0".into(),
            pid: 1,
            kernel: "6.12".into(),
            lsm: Vec::new(),
            hooks: Hooks::default(),
            policy: "built-in".into(),
            epoch: 1,
            sessions: 0,
            older_builds: Vec::new(),
            counters: Default::default(),
            judge: Vec::new(),
            rules: Value::Null,
            store: None,
            uptime_ms: 1,
        })
    }
    fn health(&self) -> Result<Vec<Component>, Fault> {
        Err(Fault::Failed("the health cannot be told".into()))
    }
    fn settings(&self) -> Result<Value, Fault> {
        Ok(serde_json::json!({"state": "/x"}))
    }
    fn readiness(&self) -> Result<(), String> {
        Err("a secret reason".into())
    }
    fn measures(&self) -> Result<Vec<Measure>, Fault> {
        Ok(vec![Measure::gauge("sessions", "Live sessions", 2.0)])
    }
    fn admit(&self, _: u32) -> Result<(), String> {
        Ok(())
    }
    fn noted(&self, actor: &Actor, what: &str) {
        self.told.lock().unwrap().push(format!("{} {what}", actor.name));
    }
    fn live_sessions(&self) -> Result<Option<Vec<SessionRow>>, Fault> {
        Ok(None)
    }
    fn rule_counts(&self) -> Result<Option<Vec<(String, RuleCounts)>>, Fault> {
        Ok(None)
    }
    fn epoch(&self) -> u64 {
        1
    }
    fn reload(&self, actor: &Actor, what: &str) -> Result<(), Fault> {
        self.noted(actor, what);
        match self.refuse_reload.load(std::sync::atomic::Ordering::Relaxed) {
            true => Err(Fault::Conflict("a session cannot be governed by it".into())),
            false => Ok(()),
        }
    }
    fn verdicts(&self) -> Result<Verdicts, Fault> {
        let verdict = RememberedInfo { key: "1-2-3".into(), allow: true, expires_in_ms: None, verdict: None };
        Ok(Verdicts { remembered: vec![verdict], held: Vec::new() })
    }
    fn set_verdict(
        &self,
        actor: &Actor,
        key: &str,
        action: VerdictAction,
        ttl: Option<Duration>,
    ) -> Result<Done, Fault> {
        self.noted(actor, &format!("{action} {key} {ttl:?}"));
        Ok(Done { done: 1 })
    }
    fn remove_verdict(&self, _: &Actor, key: &str) -> Result<Done, Fault> {
        Err(Fault::NotFound(format!("no {key}")))
    }
    fn clear_verdicts(&self, actor: &Actor) -> Result<Done, Fault> {
        self.noted(actor, "clear");
        Ok(Done { done: 1 })
    }
}

pub(crate) struct Server {
    pub(crate) running: Option<Running>,
    pub(crate) address: SocketAddr,
    pub(crate) live: Live,
    pub(crate) recording: Arc<Recording>,
    pub(crate) told: Told,
    pub(crate) token: String,
    pub(crate) tokens: TokenFile,
    pub(crate) refuse_reload: Arc<std::sync::atomic::AtomicBool>,
    pub(crate) dir: tempfile::TempDir,
    certificate: Option<reqwest::Certificate>,
}

pub(crate) const RECORDING: &str = r#"
{"id":"01","time":"2026-01-02T03:00:00Z","kind":"exec","session":"s-1","agent":"coder","process":{"pid":10,"start_time":100,"ppid":1,"exe":"/bin/bash","cmdline":"bash x.sh","uid":7},"exec":{"path":"/bin/bash"},"verdict":{"action":"allow","tier":"policy","latency_us":9}}
{"id":"02","time":"2026-01-02T03:00:01Z","kind":"file","session":"s-1","agent":"coder","process":{"pid":11,"start_time":200,"ppid":10,"exe":"/bin/cat","parent":{"pid":10,"exe":"/bin/bash"}},"file":{"op":"read","path":"/etc/shadow"},"verdict":{"action":"deny","tier":"rules","rule":"shadow","reason":"<script>alert(1)</script>"}}
{"id":"03","time":"2026-01-02T03:00:02Z","kind":"network","session":"s-2","agent":"other","process":{"pid":12},"network":{"op":"connect","address":"10.0.0.1","port":443},"verdict":{"action":"allow","tier":"policy"}}
"#;

pub(crate) const RULE: &str = "version: 1
rules:
  - id: shadow
    description: reads what nobody needs
    state: testing
    severity: high
    kinds: [file]
    action: deny
    condition: file.path == '/etc/shadow'
";

pub(crate) fn events() -> Vec<Event> {
    RECORDING.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl Server {
    pub(crate) fn new() -> Server {
        Server::with(|_| {})
    }

    /// Why it does not start.
    pub(crate) fn refused(change: impl FnOnce(&mut Tcp)) -> StartError {
        Server::try_with(|options| change(options.tcp.as_mut().unwrap())).err().unwrap()
    }

    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Server {
        Server::try_with(change).unwrap()
    }

    fn try_with(change: impl FnOnce(&mut Options)) -> Result<Server, StartError> {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { dir.path().join(name) };
        std::fs::create_dir(path("rules.d")).unwrap();
        std::fs::write(path("rules.d/base.yaml"), RULE).unwrap();
        let recording = Arc::new(Recording::new(10_000));
        events().into_iter().map(Arc::new).for_each(|event| recording.add(event));
        let (told, refuse_reload) = (Told::default(), Arc::default());
        let host = Recorder { told: Arc::clone(&told), refuse_reload: Arc::clone(&refuse_reload) };
        let desk = Desk::new(Arc::clone(&recording) as _, Arc::new(host), path("policy.yaml"), path("rules.d"));
        let mut options = Options {
            unix: Some(UnixSocket { path: path("http.sock"), group: "no-such-group".into() }),
            tcp: Some(Tcp {
                listen: "127.0.0.1:0".parse().unwrap(),
                tls: None,
                token: path("http.token"),
                tokens: Some(path("tokens.json")),
                hosts: vec!["lictor.example:443".into()],
            }),
            limits: Limits { burst: 100_000, per_second: 100_000, ..Limits::default() },
        };
        change(&mut options);
        let live = Live::new();
        let running = start(options, Arc::new(desk), live.clone())?;
        Ok(Server {
            address: running.address().unwrap(),
            token: std::fs::read_to_string(path("http.token")).unwrap().trim().to_owned(),
            tokens: TokenFile::new(&path("tokens.json")),
            running: Some(running),
            live,
            recording,
            told,
            refuse_reload,
            dir,
            certificate: None,
        })
    }

    pub(crate) fn with_tls() -> Server {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
        let files = tempfile::tempdir().unwrap();
        let (certificate, key) = (files.path().join("c.pem"), files.path().join("k.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let mut server = Server::with(|options| options.tcp.as_mut().unwrap().tls = Some(Tls { certificate, key }));
        server.certificate = Some(reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap());
        server
    }

    pub(crate) fn client(&self) -> Client {
        // Another test may have done it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder().no_proxy();
        builder = match &self.certificate {
            Some(certificate) => builder.tls_certs_only([certificate.clone()]),
            None => builder.tls_certs_only([]),
        };
        builder.build().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.client().get(self.url(path)).bearer_auth(&self.token).send().unwrap()
    }

    /// The JSON of a good answer.
    pub(crate) fn json(&self, path: &str) -> Value {
        let response = self.get(path);
        let status = response.status();
        let text = response.text().unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &Value, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = self.client().request(method.parse().unwrap(), self.url(path)).bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.header("content-type", "application/json").body(body.to_string()).send().unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().unwrap()).unwrap_or_default())
    }

    pub(crate) fn token(&self, name: &str, role: Role) -> String {
        self.tokens.add(name, role, jiff::Timestamp::now(), None).unwrap()
    }

    /// What a request that is written by hand is answered; empty when the connection is just closed.
    pub(crate) fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // It may be closed before all is written.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}
