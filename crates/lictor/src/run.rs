// SPDX-License-Identifier: Apache-2.0
//! `lictor run`: a command and everything that it starts as a governed session.
//!
//! Order of things: the child is started, becomes the wanted user and waits; the daemon labels it; it is told to go on
//! and executes the command. Nothing of the command runs before the label is on, and without a label it never runs.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lictor_api::bytes::{escape, printable};
use lictor_api::client::{Client, ClientError};
use lictor_api::control::{EventFilter, PolicyText, StartSession, Started, Summary};
use lictor_api::settings::Settings;
use lictor_engine::policy::profile_of_command;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, initgroups, pipe, setgid, setuid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;

use crate::RUN_FAILED;
use crate::cli::RunArgs;
use crate::context::Context;

const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// First arguments of the two hidden programs inside this one.
pub(crate) const START_ARGUMENT: &str = "__start";
pub(crate) const DAEMON_ARGUMENT: &str = "__lictord";

pub(crate) fn run(args: RunArgs, context: &Context) -> ExitCode {
    match session(&args, context) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let command = args.command.first().map(|word| word.to_string_lossy()).unwrap_or_default();
            eprintln!("lictor: {error:#}");
            eprintln!("lictor: `{command}` was not started");
            ExitCode::from(RUN_FAILED)
        }
    }
}

fn session(args: &RunArgs, context: &Context) -> Result<u8> {
    if let Some(rules) = &args.rules {
        check_rules(rules)?;
    }
    let policy = args.policy.as_deref().map(read_policy).transpose()?;
    let events = args
        .events
        .as_deref()
        .map(|path| File::create(path).with_context(|| format!("cannot write {}", path.display())))
        .transpose()?;
    let owner = Owner::find(args.user.as_deref())?;
    let daemon = Daemon::find(context, args.rules.as_deref())?;
    let mut client = daemon.client()?;

    let mut child = Waiting::start(args)?;
    let profile = args.command.first().and_then(|command| profile_of_command(command.as_bytes()));
    let started = client.start_session(StartSession {
        agent: args.agent.clone(),
        profile: profile.map(str::to_owned),
        policy,
        mode: args.mode.map(Into::into),
        pid: child.pid(),
        home: escape(owner.home.as_bytes()),
        user: escape(owner.name.as_bytes()),
        cwd: escape(std::env::current_dir().context("there is no working directory")?.as_os_str().as_bytes()),
        all_events: args.events.is_some(),
    });
    let started = match started {
        Ok(started) => started,
        Err(error) => {
            child.abandon();
            bail!("{error}");
        }
    };
    if let Some(line) = chosen_line(args, profile, &started)
        && !args.quiet
    {
        eprintln!("lictor: {line}");
    }
    let follower = match events {
        Some(file) => Some(Follower::start(&daemon, &started.session, file).inspect_err(|_| child.abandon())?),
        None => None,
    };
    let status = child.go()?;

    // The command has ended; what follows can no longer change its status.
    match client.wait_session(&started.session) {
        Ok(summary) => {
            if let Some(follower) = follower
                && let Err(error) = follower.finish(summary.events)
            {
                eprintln!("lictor: {error:#}");
            }
            if !args.quiet {
                say_summary(&summary);
            }
        }
        Err(error) => eprintln!("lictor: what the session did cannot be told: {error}"),
    }
    drop(client);
    daemon.leave();
    Ok(status)
}

/// Rules that are named must load: a session without them is not what was asked for.
fn check_rules(path: &Path) -> Result<()> {
    let problems = match lictor_judge::rules::read(path).and_then(|files| lictor_judge::rules::parse(&files)) {
        Ok(_) => return Ok(()),
        Err(problems) => problems,
    };
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    bail!("the rules cannot be used:\n{}", lines.join("\n"))
}

/// What was chosen for somebody who did not choose; `None` when there is nothing to tell.
fn chosen_line(args: &RunArgs, profile: Option<&str>, started: &Started) -> Option<String> {
    if args.agent.is_some() || args.policy.is_some() || profile != Some(&started.agent) {
        return None;
    }
    let command = args.command.first()?.to_string_lossy();
    let source = if started.policy_source == "built-in" {
        "the built-in profile".to_owned()
    } else {
        format!("the agent of {},", started.policy_source)
    };
    Some(format!("`{}` is governed by {source} {} (--agent chooses another)", printable(&command), started.agent))
}

fn say_summary(summary: &Summary) {
    let Summary { session, denied, lost, .. } = summary;
    match denied {
        0 => eprintln!("lictor: nothing was denied (session {session})"),
        1 => eprintln!("lictor: 1 action was denied; see it with: lictor events --denied --session {session}"),
        n => eprintln!("lictor: {n} actions were denied; see them with: lictor events --denied --session {session}"),
    }
    if *lost > 0 {
        eprintln!("lictor: {lost} events were lost since lictord started; every one of them was still judged");
    }
}

/// Checked here too, so that every problem is told before anything is started.
fn read_policy(path: &Path) -> Result<PolicyText> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the policy {}", path.display()))?;
    let file = path.display().to_string();
    if let Err(problems) = lictor_engine::policy::parse(&file, &bytes) {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        bail!("the policy cannot be used:\n{}", lines.join("\n"));
    }
    let text = String::from_utf8(bytes).with_context(|| format!("{file}: not valid UTF-8"))?;
    Ok(PolicyText { file, text })
}

/// Whose home and name the policy's variables mean.
struct Owner {
    name: OsString,
    home: OsString,
}

impl Owner {
    fn find(user: Option<&str>) -> Result<Owner> {
        let entry = match user {
            Some(name) => Some(user_entry(name)?),
            None => User::from_uid(nix::unistd::getuid()).context("cannot look up your user")?,
        };
        let own_home = if user.is_none() { std::env::var_os("HOME").filter(|home| !home.is_empty()) } else { None };
        Ok(match entry {
            Some(entry) => {
                Owner { home: own_home.unwrap_or_else(|| entry.dir.into_os_string()), name: entry.name.into() }
            }
            None => Owner {
                home: own_home.context("you have no entry in /etc/passwd and no $HOME: set HOME")?,
                name: nix::unistd::getuid().to_string().into(),
            },
        })
    }
}

fn user_entry(name: &str) -> Result<User> {
    User::from_name(name)
        .with_context(|| format!("cannot look up the user `{name}`"))?
        .with_context(|| format!("there is no user `{name}`"))
}

/// The daemon that the session joins: the host's, or one of its own.
struct Daemon {
    control: PathBuf,
    private: Option<Private>,
}

struct Private {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    fn find(context: &Context, rules: Option<&Path>) -> Result<Daemon> {
        let control = context.settings.control.clone();
        match Client::connect(&control) {
            Ok(_) if rules.is_some() => {
                bail!("--rules is for a session without a running lictord: this one judges by its own rules")
            }
            Ok(_) => Ok(Daemon { control, private: None }),
            Err(error) if !error.is_no_daemon() || context.control_given => Err(error.into()),
            Err(_) if nix::unistd::geteuid().is_root() => Daemon::private(context, rules),
            Err(error) => {
                let error: anyhow::Error = error.into();
                Err(error.context("a session needs a running lictord, or root to start a private one"))
            }
        }
    }

    fn private(context: &Context, rules: Option<&Path>) -> Result<Daemon> {
        let settings = &context.settings;
        let rules = match rules {
            Some(rules) => rules.canonicalize().with_context(|| format!("cannot find {}", rules.display()))?,
            None => settings.rules.clone(),
        };
        let missing: Vec<String> = lictor_bpf::features::check()
            .into_iter()
            .filter(|check| !check.ok && check.name != "bpffs")
            .map(|check| format!("  {}: {}\n    {}", check.name, check.detail, check.fix))
            .collect();
        if !missing.is_empty() {
            bail!("this host cannot enforce; missing:\n{}", missing.join("\n"));
        }
        sweep_private();
        let dir = PathBuf::from(format!("/run/lictor-run-{}", std::process::id()));
        let pins = format!("/sys/fs/bpf/lictor-run-{}", std::process::id());
        let mut child = Command::new("/proc/self/exe")
            .arg(DAEMON_ARGUMENT)
            .arg(&dir)
            .arg(&pins)
            .arg(&settings.state)
            .arg(&rules)
            .args(&context.config)
            .env("LICTOR_FAIL_CLOSED", settings.fail_closed.as_str())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start a private lictord")?;
        let said = Arc::new(Mutex::new(Vec::new()));
        if let Some(stderr) = child.stderr.take() {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(std::io::Result::ok) {
                    if let Ok(mut said) = said.lock() {
                        said.push(line);
                    }
                }
            });
        }
        let control = dir.join("control.sock");
        let began = Instant::now();
        loop {
            match Client::connect(&control) {
                Ok(_) => return Ok(Daemon { control, private: Some(Private { child, said }) }),
                Err(ClientError::NoDaemon { .. }) => {}
                Err(error) => {
                    let _gone_is_fine = child.kill();
                    return Err(error.into());
                }
            }
            if let Some(status) = child.try_wait().context("cannot wait for the private lictord")? {
                std::thread::sleep(Duration::from_millis(50));
                let said = said.lock().map(|said| said.join("\n")).unwrap_or_default();
                bail!("the private lictord did not start ({status}):\n{said}");
            }
            if began.elapsed() > Duration::from_secs(180) {
                let _gone_is_fine = child.kill();
                bail!("the private lictord did not get ready within 180 s");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn client(&self) -> Result<Client> {
        Client::connect(&self.control).map_err(|error| match &self.private {
            Some(private) => {
                let said = private.said.lock().map(|said| said.join("\n")).unwrap_or_default();
                anyhow::anyhow!("{error}\n{said}")
            }
            None => error.into(),
        })
    }

    /// A private daemon goes when the session is over. It usually is: wait, so that nothing is left behind. A process
    /// that lives on keeps it, and stays governed.
    ///
    /// The last it does itself is to remove its folder. The kernel then lets go of its programs one by one, a tenth of
    /// a second and more for each: nobody is governed by them any more, and nobody has to wait for that.
    fn leave(self) {
        let Some(mut private) = self.private else { return };
        let folder = self.control.parent().unwrap_or(&self.control);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            match private.child.try_wait() {
                Ok(Some(_)) | Err(_) => return,
                Ok(None) if !folder.exists() => return,
                Ok(None) => {}
            }
            if began.elapsed() > Duration::from_millis(500) && self.control.exists() && tasks_live_on(&self.control) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn tasks_live_on(control: &Path) -> bool {
    Client::connect(control)
        .and_then(|mut client| client.ps())
        .is_ok_and(|sessions| sessions.iter().any(|session| !session.tasks.is_empty()))
}

/// Private daemons that were killed together with their `lictor run` leave pins: they are taken away when neither the
/// client nor the daemon lives.
fn sweep_private() {
    for entry in std::fs::read_dir("/sys/fs/bpf").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_prefix("lictor-run-")?.parse::<u32>().ok()) else {
            continue;
        };
        let dir = PathBuf::from(format!("/run/lictor-run-{pid}"));
        let alive = Path::new(&format!("/proc/{pid}")).exists() || Client::connect(&dir.join("control.sock")).is_ok();
        if !alive && !lictor_bpf::any_session_alive(&entry.path()).unwrap_or(true) {
            let _next_time = std::fs::remove_dir_all(entry.path());
            let _next_time = std::fs::remove_dir_all(dir);
        }
    }
}

/// The child that waits to be governed.
struct Waiting {
    child: Child,
    go: File,
}

impl Waiting {
    fn start(args: &RunArgs) -> Result<Waiting> {
        let (ready_read, ready_write) = pipe().context("cannot make a pipe")?;
        let (go_read, go_write) = pipe().context("cannot make a pipe")?;
        for ours in [&ready_read, &go_write] {
            fcntl(ours, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).context("cannot prepare a pipe")?;
        }
        let mut command = Command::new("/proc/self/exe");
        command
            .arg(START_ARGUMENT)
            .arg(ready_write.as_raw_fd().to_string())
            .arg(go_read.as_raw_fd().to_string())
            .arg(args.user.as_deref().unwrap_or_default())
            .args(&args.command);
        if let Some(user) = args.user.as_deref() {
            let entry = user_entry(user)?;
            command
                .env("HOME", &entry.dir)
                .env("USER", &entry.name)
                .env("LOGNAME", &entry.name)
                .env("SHELL", &entry.shell);
        }
        let mut child = command.spawn().context("cannot start the command's process")?;
        drop((ready_write, go_read));
        let mut word = Vec::new();
        File::from(ready_read).read_to_end(&mut word).context("cannot hear the command's process")?;
        if word != b"ready" {
            let _ended = child.wait();
            bail!("{}", String::from_utf8_lossy(&word));
        }
        Ok(Waiting { child, go: File::from(go_write) })
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn abandon(&mut self) {
        let _gone_is_fine = self.child.kill();
        let _gone_is_fine = self.child.wait();
    }

    /// Lets it execute the command, and waits for the command's end; signals go to the command.
    fn go(mut self) -> Result<u8> {
        let pid = Pid::from_raw(self.child.id() as i32);
        let mut signals =
            SignalsInfo::<WithOrigin>::new([SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGINT, SIGQUIT, SIGWINCH])
                .context("cannot take signals")?;
        let handle = signals.handle();
        let thread = std::thread::spawn(move || {
            for origin in &mut signals {
                // From the terminal the command got it already: it is in the same process group.
                let from_terminal = origin.process.is_none();
                if !from_terminal && let Ok(signal) = Signal::try_from(origin.signal) {
                    let _gone_is_fine = kill(pid, signal);
                }
            }
        });
        self.go.write_all(b"g").context("the command's process went away before it was started")?;
        drop(self.go);
        let status = self.child.wait().context("cannot wait for the command")?;
        handle.close();
        let _it_only_forwards = thread.join();
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => code as u8,
            (None, Some(signal)) => (128 + signal) as u8,
            (None, None) => RUN_FAILED,
        })
    }
}

/// The waiting child itself: `__start READY GO USER CMD ARG...`.
pub(crate) fn start_child(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    match become_command(&mut args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("lictor: {error:#}");
            ExitCode::from(RUN_FAILED)
        }
    }
}

fn become_command(args: &mut impl Iterator<Item = OsString>) -> Result<u8> {
    let mut number = || -> Result<RawFd> {
        let word = args.next().context("a descriptor is missing")?;
        Ok(word.to_str().context("not a number")?.parse()?)
    };
    let (ready, go) = (number()?, number()?);
    let user = args.next().context("the user is missing")?;
    let command: Vec<OsString> = args.collect();
    let mut ready = open_descriptor(ready, true)?;
    let mut go = open_descriptor(go, false)?;

    if !user.is_empty()
        && let Err(error) = become_user(&user)
    {
        write!(ready, "{error:#}")?;
        return Ok(RUN_FAILED);
    }
    close_on_exec()?;
    if let Err(error) = lictor_bpf::join_new_session_keyring() {
        write!(ready, "cannot leave the session keyring: {error}")?;
        return Ok(RUN_FAILED);
    }
    ready.write_all(b"ready")?;
    drop(ready);
    let mut word = [0u8];
    if go.read_exact(&mut word).is_err() {
        return Ok(RUN_FAILED); // the session could not be opened; the parent says why
    }
    drop(go);
    let Some((program, arguments)) = command.split_first() else { bail!("there is no command") };
    let error = Command::new(program).args(arguments).exec();
    eprintln!("lictor: {}: {error}", program.to_string_lossy());
    Ok(if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE })
}

/// Our end of a pipe, opened anew through /proc: a number from the command line is not a descriptor we own.
fn open_descriptor(number: RawFd, write: bool) -> Result<File> {
    let path = format!("/proc/self/fd/{number}");
    let file = std::fs::OpenOptions::new().read(!write).write(write).open(&path);
    let file = file.with_context(|| format!("cannot open {path}"))?;
    nix::unistd::close(number).context("cannot close the inherited end")?;
    Ok(file)
}

fn become_user(name: &OsStr) -> Result<()> {
    let entry = user_entry(name.to_str().context("the user's name is not UTF-8")?)?;
    let c_name = std::ffi::CString::new(entry.name.as_bytes())?;
    initgroups(&c_name, entry.gid)
        .with_context(|| format!("cannot take the groups of `{}` (are you root?)", entry.name))?;
    setgid(entry.gid).with_context(|| format!("cannot take the group of `{}`", entry.name))?;
    setuid(entry.uid).with_context(|| format!("cannot become `{}`", entry.name))
}

/// The command inherits 0, 1 and 2 and nothing else: an open descriptor is a right.
fn close_on_exec() -> Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd").context("cannot list the open descriptors")? {
        let number: RawFd = match entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            Some(number) => number,
            None => continue,
        };
        if number > 2 {
            // The listing's own descriptor is in the list, and gone afterwards.
            let _closed_is_fine = set_close_on_exec(number);
        }
    }
    Ok(())
}

fn set_close_on_exec(number: RawFd) -> nix::Result<()> {
    lictor_bpf::set_close_on_exec(number)
}

/// `--events FILE`: every event of the session, as it comes.
struct Follower {
    written: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<Result<()>>,
    file: Arc<Mutex<BufWriter<File>>>,
}

impl Follower {
    fn start(daemon: &Daemon, session: &str, file: File) -> Result<Follower> {
        let filter = EventFilter { session: Some(session.to_owned()), follow: true, ..Default::default() };
        let events = daemon.client()?.events(filter)?;
        let written = Arc::new(AtomicU64::new(0));
        let file = Arc::new(Mutex::new(BufWriter::new(file)));
        let thread = {
            let (written, file) = (Arc::clone(&written), Arc::clone(&file));
            std::thread::spawn(move || {
                for event in events {
                    let line = serde_json::to_string(&event?)?;
                    let mut file = file.lock().map_err(|_| anyhow::anyhow!("the events file is unusable"))?;
                    writeln!(file, "{line}").context("cannot write the events file")?;
                    if written.fetch_add(1, Ordering::AcqRel).is_multiple_of(64) {
                        file.flush().context("cannot write the events file")?;
                    }
                }
                Ok(())
            })
        };
        Ok(Follower { written, thread, file })
    }

    /// Until all `expected` events are in the file.
    fn finish(self, expected: u64) -> Result<()> {
        let began = Instant::now();
        while self.written.load(Ordering::Acquire) < expected
            && !self.thread.is_finished()
            && began.elapsed() < Duration::from_secs(60)
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Ok(mut file) = self.file.lock() {
            file.flush().context("cannot write the events file")?;
        }
        let written = self.written.load(Ordering::Acquire);
        if written < expected {
            bail!("the events file holds {written} of {expected} events");
        }
        Ok(())
    }
}

/// `__lictord DIR PINS STATE RULES [CONFIG]`: a private daemon for one session.
pub(crate) fn private_daemon(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut next = || PathBuf::from(args.next().unwrap_or_else(|| OsString::from_vec(Vec::new())));
    let (dir, pins, state, rules) = (next(), next(), next(), next());
    let config = args.next().map(PathBuf::from);
    // Ctrl-C in the terminal is for the command.
    if let Err(error) = nix::unistd::setsid() {
        eprintln!("cannot leave the terminal: {error}");
        return ExitCode::FAILURE;
    }
    lictord::init_log("warn");
    let fail_closed = std::env::var("LICTOR_FAIL_CLOSED").ok().and_then(|word| word.parse().ok()).unwrap_or_default();
    let said = match Settings::load(config.as_deref()) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let settings = Settings { control: dir.join("control.sock"), pins, state, rules, fail_closed, ..said };
    match lictord::run(lictord::Start { settings, config: None, private: true }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
