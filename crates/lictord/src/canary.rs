// SPDX-License-Identifier: Apache-2.0
//! The proof: before the daemon says ENFORCING, a child of its own is governed and really tries one thing of each class.
//! What is not refused is a reason for DEGRADED.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, anyhow, ensure};
use lictor_bpf::PidFd;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::unistd::getppid;

use crate::daemon::Daemon;
use crate::session::Record;

/// First argument of the child.
pub const ARGUMENT: &str = "__canary";

/// The canary's session; its denials are proofs, not events.
pub(crate) const NUMBER: u64 = u64::MAX;
const POLICY: &str = "\
version: 1
agents:
  canary:
    exec: { allow: [], libraries: [] }
    files: { read: [], write: [] }
    network: { connect: [], listen: [], unix: [] }
";

/// Each class of hook that was not seen to refuse; empty when all did.
pub(crate) fn prove(daemon: &Daemon) -> Result<Vec<String>> {
    let dir = daemon.settings.state.join(format!("canary-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let result = try_all(daemon, &dir);
    std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    result
}

fn try_all(daemon: &Daemon, dir: &Path) -> Result<Vec<String>> {
    std::fs::write(dir.join("secret"), "canary")?;
    let _listener = UnixListener::bind(dir.join("socket"))?;
    let mut child = Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the canary")?;
    let mut output = BufReader::new(child.stdout.take().context("the canary has no output")?);
    let mut go = child.stdin.take().context("the canary has no input")?;
    // It must have loaded its libraries before it may load nothing any more.
    let mut ready = String::new();
    output.read_line(&mut ready).context("cannot hear the canary")?;
    let labelled =
        if ready == "ready\n" { label(daemon, child.id()) } else { Err(anyhow!("the canary did not start")) };
    if labelled.is_ok() {
        go.write_all(b"g").context("the canary went away")?;
    }
    drop(go);
    let mut said = String::new();
    output.read_to_string(&mut said).context("cannot hear the canary")?;
    child.wait().context("cannot wait for the canary")?;
    labelled?;

    let mut reasons = Vec::new();
    for (class, _) in ATTEMPTS {
        match said.lines().find_map(|line| line.strip_prefix(class)?.strip_prefix(' ')) {
            Some("EPERM") => {}
            Some(other) => reasons.push(format!("the canary's {class} was not refused with EPERM ({other})")),
            None => reasons.push(format!("the canary could not try {class}")),
        }
    }
    Ok(reasons)
}

fn label(daemon: &Daemon, pid: u32) -> Result<()> {
    let task = PidFd::open(pid)?;
    let record = Record {
        number: NUMBER,
        slot: 0,
        agent: "canary".into(),
        mode: None,
        policy: Some(("canary".into(), POLICY.into())),
        home: b"/".to_vec(),
        user: b"root".to_vec(),
        cwd: b"/".to_vec(),
        started: jiff::Timestamp::now().to_string(),
        all_events: false,
        container: None,
    };
    let mut changing = daemon.lock();
    changing.sessions.start(&daemon.sensor, &task, pid, record, None)?;
    ensure!(daemon.sensor.session_of(&task)? == Some(NUMBER), "the canary's label did not stay");
    Ok(())
}

type Attempt = fn(&Path) -> std::io::Result<()>;

/// Class, and what would work without a policy.
const ATTEMPTS: &[(&str, Attempt)] = &[
    ("file-read", |dir| std::fs::read(dir.join("secret")).map(drop)),
    ("file-create", |dir| std::fs::write(dir.join("new"), "x")),
    ("file-rename", |dir| std::fs::rename(dir.join("secret"), dir.join("moved"))),
    ("file-delete", |dir| std::fs::remove_file(dir.join("secret"))),
    ("file-attributes", |dir| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(dir.join("secret"), std::fs::Permissions::from_mode(0o777))
    }),
    ("exec", |_| Err(Command::new("/proc/self/exe").exec())),
    ("connect", |_| TcpStream::connect("127.0.0.1:9").map(drop)),
    ("listen", |_| TcpListener::bind("127.0.0.1:0").map(drop)),
    ("unix-connect", |dir| UnixStream::connect(dir.join("socket")).map(drop)),
    ("raw-socket", |_| Ok(socket(AddressFamily::Packet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).map(drop)?)),
    ("signal", |_| Ok(kill(getppid(), Signal::SIGWINCH)?)),
    ("mount", |dir| Ok(mount(Some("none"), dir, Some("tmpfs"), MsFlags::empty(), None::<&str>)?)),
    ("bpf", |_| lictor_bpf::try_bpf()),
    ("map-exec", |_| lictor_bpf::try_map_executable()),
];

/// The child: waits until it is governed, then tries everything.
pub fn child(dir: &Path) -> ExitCode {
    let mut go = [0u8];
    if lictor_bpf::prepare_map_executable().is_err() || writeln!(std::io::stdout(), "ready").is_err() {
        return ExitCode::FAILURE;
    }
    if std::io::stdin().read_exact(&mut go).is_err() {
        return ExitCode::FAILURE;
    }
    for (class, attempt) in ATTEMPTS {
        let outcome = match attempt(dir) {
            Ok(()) => "done".to_owned(),
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EPERM as i32) => "EPERM".to_owned(),
            Err(error) => error.to_string(),
        };
        if writeln!(std::io::stdout(), "{class} {outcome}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
