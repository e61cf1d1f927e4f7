// SPDX-License-Identifier: Apache-2.0
//! `lictor events`: what happened, from the daemon, from what it recorded, or from a file.

use crate::cli::EventsArgs;
use crate::context::Context;
use crate::output::{self, Cell};
use anyhow::bail;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use lictor_api::{Event, EventFilter, EventLog};
use lictor_store::events::history::History;
use std::io::Write;
use std::process::ExitCode;

pub(crate) fn run(args: &EventsArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let filter = filter(args, Timestamp::now());
    filter.check().map_err(anyhow::Error::msg)?;
    let mut printer = Printer::new(args.json);
    if let Some(file) = &args.file {
        return recorded(&EventLog::of_file(file), &filter, &mut printer, out);
    }
    let events = match context.connect() {
        Ok(client) => client.events(filter)?,
        Err(error) if error.is_no_daemon() && !filter.follow => {
            let state = &context.settings.state;
            let history = History::new(state, None, &filter)?;
            if history.is_without_source(state) {
                bail!("{error}; and no events are recorded in {}", state.display());
            }
            eprintln!("lictor: no lictord answers; these are the events recorded in {}", state.display());
            return past(history, &mut printer, out);
        }
        Err(error) => return Err(error.into()),
    };
    for event in events {
        printer.print(out, &event?)?;
        if args.follow {
            out.flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what is recorded on this host.
fn past(mut history: History, printer: &mut Printer, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    for event in history.by_ref() {
        printer.print(out, &event?)?;
    }
    out.flush()?;
    for problem in history.problems() {
        eprintln!("lictor: {problem}");
    }
    Ok(if history.problems().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints what `log` holds. Damaged lines are named, and make the command fail when all else is printed.
fn recorded(
    log: &EventLog,
    filter: &EventFilter,
    printer: &mut Printer,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let (events, problems) = log.select(filter);
    events.iter().try_for_each(|event| printer.print(out, event))?;
    out.flush()?;
    for problem in &problems {
        eprintln!("lictor: {problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn filter(args: &EventsArgs, now: Timestamp) -> EventFilter {
    // A span that reaches back before the first representable time wants every event.
    let ago =
        |span: Option<SignedDuration>| span.and_then(|span| now.checked_sub(span).ok()).map(Timestamp::as_millisecond);
    EventFilter {
        session: args.session.clone(),
        agent: args.agent.clone(),
        kinds: args.kind.clone(),
        denied: args.denied,
        since_ms: ago(args.since),
        until_ms: ago(args.until),
        verdicts: args.verdict.clone(),
        severity: args.severity,
        pid: args.pid,
        program: args.program.clone(),
        path: args.path.clone(),
        address: args.address.clone(),
        rule: args.rule.clone(),
        text: args.text.clone(),
        limit: args.limit,
        follow: args.follow,
    }
}

/// Prints events as they come, so the columns' widths are fixed beforehand.
struct Printer {
    json: bool,
    zone: TimeZone,
    head_printed: bool,
}

const HEAD: [&str; 7] = ["EVENT", "TIME", "VERDICT", "OPERATION", "PROCESS", "RULE", "OBJECT"];
const WIDTHS: [usize; 6] = [26, 18, 10, 10, 18, 22];

impl Printer {
    fn new(json: bool) -> Self {
        Self { json, zone: TimeZone::system(), head_printed: false }
    }

    fn print(&mut self, out: &mut impl Write, event: &Event) -> anyhow::Result<()> {
        if self.json {
            serde_json::to_writer(&mut *out, event).map_err(std::io::Error::from)?;
            writeln!(out)?;
            return Ok(());
        }
        if !self.head_printed {
            self.head_printed = true;
            output::row(out, &WIDTHS, &HEAD.map(|text| Cell::styled(text, output::HEAD)))?;
        }
        output::row(out, &WIDTHS, &cells(event, &self.zone))?;
        Ok(())
    }
}

fn cells(event: &Event, zone: &TimeZone) -> [Cell; 7] {
    let rule = event.verdict.as_ref().map(|verdict| match &verdict.rule {
        Some(rule) => rule.clone(),
        None => verdict.tier.to_string(),
    });
    [
        Cell::styled(if event.id.is_empty() { "-" } else { &event.id }, output::DIM),
        Cell::new(output::short_time(&event.time, zone)),
        output::outcome(event),
        Cell::new(event.operation()),
        Cell::new(process(event)),
        Cell::new(rule.as_deref().unwrap_or("-")),
        Cell::new(event.object()),
    ]
}

/// `curl[412]`.
fn process(event: &Event) -> String {
    let exe = event.process.exe.as_deref().map(|exe| exe.rsplit('/').next().unwrap_or(exe));
    match (exe, event.process.pid) {
        (Some(exe), Some(pid)) => format!("{exe}[{pid}]"),
        (Some(exe), None) => exe.to_owned(),
        (None, Some(pid)) => format!("[{pid}]"),
        (None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;
    use std::fs;

    const EVENTS: &str = r#"{"id":"01J0000000000000000000000A","time":"2026-01-02T03:04:05.678901234Z","kind":"exec","session":"s-1","process":{"pid":412,"exe":"/usr/bin/bash"},"exec":{"path":"/usr/bin/curl"},"verdict":{"action":"allow","tier":"policy","rule":"coder.exec.allow[0]"}}
{"id":"01J0000000000000000000000B","time":"2026-01-02T03:04:06Z","kind":"network","session":"s-1","process":{"pid":412,"exe":"/usr/bin/curl"},"network":{"op":"connect","address":"169.254.169.254","port":80},"verdict":{"action":"deny","tier":"policy","rule":"coder.network.deny[0]","enforced":false}}
{"id":"01J0000000000000000000000C","time":"2026-01-02T03:04:07Z","kind":"privilege","session":"s-2","process":{"pid":9},"privilege":{"op":"mount","detail":"a\nb"},"verdict":{"action":"deny","tier":"floor"}}
{"kind":"lost","lost":{"count":3,"reason":"ring full"}}
"#;

    fn shown(line: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("e.jsonl");
        fs::write(&file, EVENTS).unwrap();
        let line = format!("lictor events --file {} {line}", file.display());
        let Command::Events(args) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else { panic!() };
        let mut printer = Printer { json: args.json, zone: TimeZone::UTC, head_printed: false };
        output::plain(|out| {
            recorded(&EventLog::of_file(&file), &filter(&args, Timestamp::UNIX_EPOCH), &mut printer, out).unwrap();
        })
    }

    #[test]
    fn events_are_a_table() {
        assert_eq!(
            shown(""),
            "\
EVENT                       TIME                VERDICT     OPERATION   PROCESS             RULE                    OBJECT
01J0000000000000000000000A  01-02 03:04:05.678  allow       exec        bash[412]           coder.exec.allow[0]     /usr/bin/curl
01J0000000000000000000000B  01-02 03:04:06.000  would-deny  connect     curl[412]           coder.network.deny[0]   169.254.169.254:80
01J0000000000000000000000C  01-02 03:04:07.000  deny        mount       [9]                 floor                   a\\nb
-                                               -           lost        -                   -                       3 events: ring full
"
        );
    }

    #[test]
    fn json_is_what_was_recorded() {
        assert_eq!(shown("--json"), EVENTS);
    }

    #[test]
    fn filters_choose() {
        // A line that is no event has no id; it is about what is missing and so shown whatever was asked for.
        let ids =
            |line: &str| shown(line).lines().skip(1).map(|line| line[25..26].replace(' ', "-")).collect::<String>();
        assert_eq!(ids("--denied"), "BC-");
        assert_eq!(ids("--session s-2"), "C-");
        assert_eq!(ids("--kind exec,network --limit 1"), "B");
    }
}
