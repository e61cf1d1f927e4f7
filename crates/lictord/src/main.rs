// SPDX-License-Identifier: Apache-2.0
//! `lictord`: stays in the foreground, logs to stderr, is ready when its control socket answers.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use lictor_api::settings::Settings;

/// Lictor's daemon: loads the kernel programs and keeps sessions under their policies.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n  lictord --check          check settings, policy and host; change nothing\n  lictord                  run in the foreground (systemd does this)"
)]
struct Args {
    /// The settings file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check settings, policy and host, and exit: 0 when lictord could enforce here.
    #[arg(long)]
    check: bool,
    /// Instead of `policy:` of the settings.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Instead of `state:` of the settings.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Instead of `control:` of the settings.
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// Instead of `pins:` of the settings.
    #[arg(long, value_name = "DIR")]
    pins: Option<PathBuf>,
}

fn main() -> ExitCode {
    lictor_judge::abort_on_other_panics();
    let mut raw = std::env::args_os().skip(1);
    if raw.next().is_some_and(|first| first == lictord::CANARY_ARGUMENT) {
        return lictord::canary(&PathBuf::from(raw.next().unwrap_or_default()));
    }
    let args = Args::parse();
    match start(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lictord: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: Args) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::load(args.config.as_deref())?;
    for (value, setting) in [
        (args.policy, &mut settings.policy),
        (args.state, &mut settings.state),
        (args.control, &mut settings.control),
        (args.pins, &mut settings.pins),
    ] {
        if let Some(value) = value {
            *setting = value;
        }
    }
    if args.check {
        return check(&settings);
    }
    lictord::init_log("info");
    let missing: Vec<_> =
        lictor_bpf::features::check().into_iter().filter(|check| !check.ok && check.name != "bpffs").collect();
    if !missing.is_empty() {
        for check in &missing {
            eprintln!("lictord: missing: {} ({}): {}", check.name, check.detail, check.fix);
        }
        return Ok(ExitCode::FAILURE);
    }
    lictord::run(lictord::Start { settings, config: args.config, private: false })?;
    Ok(ExitCode::SUCCESS)
}

fn check(settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut good = true;
    match std::fs::read(&settings.policy) {
        Ok(text) => match lictor_engine::policy::parse(&settings.policy.display().to_string(), &text) {
            Ok(policy) => println!("policy: ok, {} agents ({})", policy.agents().count(), policy.file()),
            Err(problems) => {
                good = false;
                for problem in problems {
                    println!("{problem}");
                }
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("policy: none at {}; the built-in profiles apply", settings.policy.display());
        }
        Err(error) => {
            good = false;
            println!("policy: cannot read {}: {error}", settings.policy.display());
        }
    }
    match lictor_sinks::Dispatcher::check(&settings.sinks) {
        Ok(()) => println!("sinks: ok, {} configured", settings.sinks.0.len()),
        Err(error) => {
            good = false;
            println!("sinks: {error}");
        }
    }
    for check in lictor_bpf::features::check() {
        println!("{}: {} ({})", check.name, if check.ok { "ok" } else { "missing" }, check.detail);
        if !check.ok {
            good = false;
            println!("  {}", check.fix);
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
