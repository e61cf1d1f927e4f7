// SPDX-License-Identifier: Apache-2.0
mod run;
use std::process::ExitCode;
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;
#[derive(Parser)]
enum Cmd { Run { #[arg(long)] agent: Option<String>, #[arg(long)] policy: Option<PathBuf>, #[arg(long)] mode: Option<lictor_api::control::Mode>, #[arg(long)] user: Option<String>, #[arg(long)] events: Option<PathBuf>, #[arg(long)] quiet: bool, #[arg(long)] control: Option<PathBuf>, #[arg(trailing_var_arg=true, required=true)] command: Vec<OsString> } }
fn main() -> ExitCode {
    let mut raw = std::env::args_os().skip(1);
    match raw.next() { Some(w) if w == run::START_ARGUMENT => return run::start_child(raw), Some(w) if w == run::DAEMON_ARGUMENT => return run::private_daemon(raw), Some(w) if w == lictord::CANARY_ARGUMENT => return lictord::canary(&PathBuf::from(raw.next().unwrap_or_default())), _ => {} }
    let Cmd::Run { agent, policy, mode, user, events, quiet, command, control } = Cmd::parse();
    let mut settings = lictor_api::settings::Settings::default(); if let Some(c) = control { settings.control = c; }
    run::run(&run::RunArgs { agent, policy, rules: None, mode, user, events, quiet, command, settings })
}
