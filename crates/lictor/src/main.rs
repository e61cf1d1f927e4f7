// SPDX-License-Identifier: Apache-2.0
//! `lictor`: the command people type. It reads arguments, asks `lictord` or the recorded events, and
//! prints; data on stdout, talk on stderr.

mod alerts;
mod audit;
mod cli;
mod context;
mod doctor;
mod events;
mod explain;
mod judge;
mod output;
mod policy;
mod ps;
mod query;
mod rules;
mod run;
mod sinks;
mod status;
mod token;
mod top;
mod verdicts;

use clap::{CommandFactory as _, Parser as _};
use cli::{Cli, Command, PolicyCommand, RulesCommand};
use context::Context;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::ExitCode;

/// `lictor run` could not do its own part, and the command was not started.
pub(crate) const RUN_FAILED: u8 = 125;

fn main() -> ExitCode {
    lictor_judge::abort_on_other_panics();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = inner_program(&arguments) {
        return code;
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let wanted_help = !error.use_stderr();
            if let Err(error) = error.print() {
                eprintln!("lictor: the message cannot be printed: {error}");
            }
            // Whoever scripts `lictor run` tells its failures from the command's by 125.
            let failure = if is_run(&arguments) { RUN_FAILED } else { 2 };
            return ExitCode::from(if wanted_help { 0 } else { failure });
        }
    };
    let is_run = matches!(cli.command, Command::Run(_));
    match execute(cli) {
        Ok(code) => code,
        // `lictor events | head` ends when head does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("{}lictor:{} {}", output::BAD, output::BAD.render_reset(), chain(&error));
            ExitCode::from(if is_run { RUN_FAILED } else { 1 })
        }
    }
}

/// What `lictor run` starts of itself: the waiting command, a private daemon and its canary.
fn inner_program(arguments: &[OsString]) -> Option<ExitCode> {
    let name = arguments.get(1)?;
    let mut rest = arguments.iter().skip(2).cloned();
    if name == run::START_ARGUMENT {
        Some(run::start_child(rest))
    } else if name == run::DAEMON_ARGUMENT {
        Some(run::private_daemon(rest))
    } else if name == lictord::CANARY_ARGUMENT {
        Some(lictord::canary(Path::new(&rest.next()?)))
    } else {
        None
    }
}

fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let context = Context::new(cli.control, cli.config)?;
    let mut out = io::BufWriter::new(anstream::stdout());
    let code = match cli.command {
        Command::Run(args) => return Ok(run::run(args, &context)),
        Command::Events(args) => events::run(&args, &context, &mut out)?,
        Command::Query(args) => query::run(&args, &context, &mut out)?,
        Command::Explain(args) => explain::run(&args, &context, &mut out)?,
        Command::Ps(args) => ps::run(&args, &context, &mut out)?,
        Command::Status(args) => status::run(&args, &context, &mut out)?,
        Command::Alerts(command) => alerts::run(&command, &context, &mut out)?,
        Command::Sinks(args) => sinks::run(&args, &context, &mut out)?,
        Command::Verdicts(command) => verdicts::run(&command, &context, &mut out)?,
        Command::Audit(command) => audit::run(&command, &context, &mut out)?,
        Command::Top(args) => top::run(&args, &context, &mut out)?,
        Command::Token(command) => token::run(&command, &context, &mut out)?,
        Command::Doctor(args) => doctor::run(&args, &mut out)?,
        Command::Policy(PolicyCommand::Check(args)) => policy::check(&args, &mut out)?,
        Command::Policy(PolicyCommand::Test(args)) => policy::test(&args, &mut out)?,
        Command::Judge(args) => judge::run(&args, &context, &mut out)?,
        Command::Rules(RulesCommand::List(args)) => rules::list(&args, &context, &mut out)?,
        Command::Rules(RulesCommand::Check(args)) => rules::check(&args, &mut out)?,
        Command::Rules(RulesCommand::Test(args)) => rules::test(&args, &mut out)?,
        Command::Rules(RulesCommand::SetState(args)) => rules::set_state(&args, &context, &mut out)?,
        Command::Rules(RulesCommand::Merge(args)) => rules::merge(&args, &mut out)?,
    };
    io::Write::flush(&mut out)?;
    Ok(code)
}

/// The error and its causes on one line, as `what: why`, each said once.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Whether the command line that could not be parsed was one of `lictor run`.
fn is_run(arguments: &[OsString]) -> bool {
    let mut arguments = arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            // The global options that take the next argument.
            Some("--control" | "--config") => {
                arguments.next();
            }
            Some(option) if option.starts_with('-') => {}
            other => return other.is_some_and(|name| Cli::command().find_subcommand(name).is_some() && name == "run"),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bad_command_line_of_run_is_known_as_such() {
        let check = |line: &str, expected: bool| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(is_run(&arguments), expected, "{line}");
        };
        check("lictor run --nonsense", true);
        check("lictor --control /x run --nonsense", true);
        check("lictor --control=/x run", true);
        check("lictor events --run", false);
        check("lictor", false);
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                if sub.has_subcommands() {
                    check(sub, &path);
                } else {
                    let after = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                    assert!(
                        after.contains(&format!("{path} ")) || after.contains(&format!("{path}\n")),
                        "{path} has no example"
                    );
                }
            }
        }
        check(&Cli::command(), "lictor");
    }
}
