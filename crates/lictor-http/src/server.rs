// SPDX-License-Identifier: Apache-2.0
//! Connections: where they are taken, how many, how slow they may be.

use std::convert::Infallible;
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::unistd::{Gid, Group, Uid, chown};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::access::Access;
use crate::backend::Backend;
use crate::guard::Peer;
use crate::live::Live;
use crate::rate::Rates;
use crate::routes::{self, App, Inner};
use crate::tokens::{self, TokenError, TokenFile};

/// Where the interface listens, and how much it bears.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub unix: Option<UnixSocket>,
    pub tcp: Option<Tcp>,
    pub limits: Limits,
}

#[derive(Debug, Clone)]
pub struct UnixSocket {
    pub path: PathBuf,
    /// The group that may use it; without such a group only its owner may.
    pub group: String,
}

#[derive(Debug, Clone)]
pub struct Tcp {
    /// Port 0 takes any that is free.
    pub listen: SocketAddr,
    pub tls: Option<Tls>,
    /// Where the token made at start is written, with mode 0600.
    pub token: PathBuf,
    /// The file of named tokens.
    pub tokens: Option<PathBuf>,
    /// `HOST:PORT` under which it is reached, beside the address and `localhost`.
    pub hosts: Vec<String>,
}

/// Files in PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What one side may cost the other.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Of each kind: TCP and unix.
    pub connections: usize,
    /// Of those, WebSockets.
    pub streams: usize,
    /// Requests that one client may make at once, and how many it gets back in a second.
    pub burst: u32,
    pub per_second: u32,
    /// How long the head of a request may take, or the next request.
    pub head: Duration,
    /// How long a client may not read what it is sent.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            streams: 512,
            burst: 600,
            per_second: 200,
            head: Duration::from_secs(15),
            write: Duration::from_secs(30),
        }
    }
}

/// The head of a request, its address line included, in bytes; and its lines.
const HEAD: usize = 32 << 10;
const HEADERS: usize = 64;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long requests that are being answered may go on when the daemon stops.
const STOP: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
pub enum StartError {
    #[error("cannot {what} {}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("{0} is no loopback address: `http.listen` needs `http.tls` for it")]
    NotLoopback(SocketAddr),
    #[error("{}: {message}", path.display())]
    Tls { path: PathBuf, message: String },
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the interface's description cannot be written: {0}")]
    Description(serde_json::Error),
    #[error("the threads of the HTTP interface cannot be started: {0}")]
    Threads(io::Error),
}

/// The interface at work; it stops when this is dropped, or by [`Running::stop`].
pub struct Running {
    runtime: Option<tokio::runtime::Runtime>,
    stop: watch::Sender<bool>,
    accepting: Vec<tokio::task::JoinHandle<()>>,
    address: Option<SocketAddr>,
    files: Vec<PathBuf>,
}

impl Running {
    /// Where it listens on TCP.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Takes no more connections, lets requests end that are being answered, and ends the rest.
    pub fn stop(mut self) {
        self.stop_now();
    }

    fn stop_now(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        // Nobody listening for it has nothing to stop.
        let _nobody = self.stop.send(true);
        let accepting = std::mem::take(&mut self.accepting);
        runtime.block_on(async {
            for task in accepting {
                if tokio::time::timeout(2 * STOP, task).await.is_err() {
                    tracing::warn!("connections of the HTTP interface are cut");
                }
            }
            // Live streams outlive the request that began them; each holds a receiver until it has said goodbye.
            if tokio::time::timeout(STOP, self.stop.closed()).await.is_err() {
                tracing::warn!("live streams of the HTTP interface are cut");
            }
        });
        runtime.shutdown_timeout(STOP);
        for file in &self.files {
            // A leftover is replaced at the next start.
            let _gone_is_fine = std::fs::remove_file(file);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop_now();
    }
}

/// Listens, and serves from threads of its own.
///
/// # Errors
/// What cannot be listened on, read or written; nothing is left running then.
pub fn start(options: Options, backend: Arc<dyn Backend>, live: Live) -> Result<Running, StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(StartError::Threads)?;
    let (stop, stopping) = watch::channel(false);
    let mut running = Running { runtime: None, stop, accepting: Vec::new(), address: None, files: Vec::new() };
    let within = runtime.enter();
    let tcp = options.tcp.as_ref().map(listen_tcp).transpose()?;
    let tls = options.tcp.as_ref().and_then(|tcp| tcp.tls.as_ref()).map(acceptor).transpose()?;
    let mut hosts = Vec::new();
    let mut start_token = None;
    if let (Some(options), Some((_, address))) = (&options.tcp, &tcp) {
        hosts = host_names(*address, &options.hosts, tls.is_some());
        let token = tokens::secret()?;
        tokens::write_private(&options.token, format!("{token}\n").as_bytes()).map_err(|source| StartError::File {
            what: "write",
            path: options.token.clone(),
            source,
        })?;
        running.files.push(options.token.clone());
        running.address = Some(*address);
        start_token = Some(token);
    }
    let file = options.tcp.as_ref().and_then(|tcp| tcp.tokens.as_deref()).map(TokenFile::new);
    let limits = options.limits;
    let app: App = Arc::new(Inner {
        backend: Arc::clone(&backend),
        live,
        access: Access::new(start_token.as_deref(), file)?,
        rates: Rates::new(limits.burst, limits.per_second),
        hosts,
        tls: tls.is_some(),
        workers: Inner::workers(),
        streams: Arc::new(Semaphore::new(limits.streams)),
        stopping: stopping.clone(),
    });
    let router = routes::router(app).map_err(StartError::Description)?;
    let serving =
        |limits: &Limits| Serving { router: router.clone(), limits: limits.clone(), stopping: stopping.clone() };
    if let Some(unix) = &options.unix {
        let listener = listen_unix(unix)?;
        running.files.push(unix.path.clone());
        running.accepting.push(runtime.spawn(serving(&limits).accept_unix(listener, backend)));
    }
    if let Some((listener, _)) = tcp {
        running.accepting.push(runtime.spawn(serving(&limits).accept_tcp(listener, tls)));
    }
    drop(within);
    running.runtime = Some(runtime);
    Ok(running)
}

fn listen_tcp(options: &Tcp) -> Result<(TcpListener, SocketAddr), StartError> {
    if !options.listen.ip().is_loopback() && options.tls.is_none() {
        return Err(StartError::NotLoopback(options.listen));
    }
    let failed = |source| StartError::Listen { address: options.listen, source };
    let listener = std::net::TcpListener::bind(options.listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((TcpListener::from_std(listener).map_err(failed)?, address))
}

/// What a browser may say in `Host`.
fn host_names(address: SocketAddr, named: &[String], tls: bool) -> Vec<String> {
    let port = address.port();
    let mut hosts = vec![address.to_string()];
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        hosts.extend([format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")]);
    }
    for name in named {
        // Browsers leave out the port that their scheme implies.
        let implied = if tls { ":443" } else { ":80" };
        hosts.extend(name.strip_suffix(implied).map(str::to_owned));
        hosts.push(name.clone());
    }
    hosts
}

fn listen_unix(options: &UnixSocket) -> Result<UnixListener, StartError> {
    let path = &options.path;
    let failed = |what| move |source| StartError::File { what, path: path.clone(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("replace")(error)),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path).map_err(failed("listen on"))?;
    // Before anybody else may: bind() made it with what the umask left.
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed("set the mode of"))?;
    let group = Group::from_name(&options.group).map_err(|error| failed("find the group of")(error.into()))?;
    if let Some(group) = group {
        let owner = Uid::effective();
        if owner.is_root() {
            chown(path, Some(owner), Some(Gid::from_raw(group.gid.as_raw())))
                .map_err(|error| failed("give its group to")(error.into()))?;
            std::fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(failed("set the mode of"))?;
        }
    }
    listener.set_nonblocking(true).map_err(failed("listen on"))?;
    UnixListener::from_std(listener).map_err(failed("listen on"))
}

fn acceptor(tls: &Tls) -> Result<TlsAcceptor, StartError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: String| StartError::Tls { path, message: error }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| failed(&tls.certificate)(error.to_string()));
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| failed(&tls.key)(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&tls.certificate)(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain?, key)
        .map_err(|error| failed(&tls.certificate)(error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves the connections of one listener.
struct Serving {
    router: Router,
    limits: Limits,
    stopping: watch::Receiver<bool>,
}

impl Serving {
    async fn accept_tcp(self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let mut stopping = self.stopping.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopped(&mut stopping) => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    cannot_accept(&error).await;
                    continue;
                }
            };
            // One too many is closed at once: whoever waits for a place would wait for ever.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            // Events are to be seen when they happen. A connection that cannot be set so is served all the same.
            let _as_it_is = stream.set_nodelay(true);
            let peer = Peer::Tcp { address };
            let server = self.connection();
            match tls.clone() {
                None => drop(tokio::spawn(server.run(stream, peer, place))),
                Some(tls) => drop(tokio::spawn(async move {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                        server.run(stream, peer, place).await;
                    }
                })),
            }
        }
        self.finish(&places).await;
    }

    async fn accept_unix(self, listener: UnixListener, backend: Arc<dyn Backend>) {
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let mut stopping = self.stopping.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopped(&mut stopping) => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    cannot_accept(&error).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let server = self.connection();
            let backend = Arc::clone(&backend);
            drop(tokio::spawn(async move {
                let Ok(credentials) = stream.peer_cred() else { return };
                let Some(pid) = credentials.pid().and_then(|pid| u32::try_from(pid).ok()) else { return };
                let admitted = tokio::task::spawn_blocking(move || backend.admit(pid)).await;
                match admitted {
                    Ok(Ok(())) => server.run(stream, Peer::Unix { uid: credentials.uid() }, place).await,
                    Ok(Err(reason)) => tracing::warn!("a client of the HTTP socket is refused: {reason}"),
                    Err(error) => tracing::error!("a client of the HTTP socket cannot be looked at: {error}"),
                }
            }));
        }
        self.finish(&places).await;
    }

    /// Waits until all connections have ended, but not for ever.
    async fn finish(&self, places: &Semaphore) {
        let all = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        if tokio::time::timeout(STOP, places.acquire_many(all)).await.is_err() {
            tracing::debug!("connections of the HTTP interface did not end in time");
        }
    }

    fn connection(&self) -> Connection {
        Connection {
            router: self.router.clone(),
            head: self.limits.head,
            write: self.limits.write,
            stopping: self.stopping.clone(),
        }
    }
}

/// Returns when the daemon stops.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // That nobody can say so any more says so, too.
    drop(stopping.wait_for(|stopping| *stopping).await);
}

async fn cannot_accept(error: &io::Error) {
    tracing::error!("cannot accept a client of the HTTP interface: {error}");
    // Most likely there is no descriptor left: asking again at once would not help.
    tokio::time::sleep(Duration::from_millis(100)).await;
}

struct Connection {
    router: Router,
    head: Duration,
    write: Duration,
    stopping: watch::Receiver<bool>,
}

impl Connection {
    async fn run<S>(self, stream: S, peer: Peer, place: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.write));
        let router = self.router;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let router = router.clone();
            async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head)
            .max_buf_size(HEAD)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(Box::pin(stream)), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let mut stopping = self.stopping;
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!("a client of the HTTP interface went away: {error}");
        }
        // A WebSocket goes on, in one of the places for those.
        drop(place);
    }
}
