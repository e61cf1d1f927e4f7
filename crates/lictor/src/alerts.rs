// SPDX-License-Identifier: Apache-2.0
//! `lictor alerts`: what a person should look at, and what was done about it.

use crate::cli::{AlertsChangeArgs, AlertsCommand, AlertsListArgs, AlertsShowArgs, SilenceArgs};
use crate::context::Context;
use crate::output::{self, Cell};
use anyhow::Context as _;
use jiff::{Timestamp, tz::TimeZone};
use lictor_api::alert::{Alert, AlertChange, AlertFilter, AlertState, NewSilence, Silence, SilenceMatch};
use lictor_api::bytes::printable;
use lictor_api::event::Severity;
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

pub(crate) fn run(command: &AlertsCommand, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    match command {
        AlertsCommand::List(args) => list(args, context, out)?,
        AlertsCommand::Show(args) => show(args, context, out)?,
        AlertsCommand::Ack(args) => change(args, AlertState::Acknowledged, context, out)?,
        AlertsCommand::Close(args) => change(args, AlertState::Closed, context, out)?,
        AlertsCommand::Open(args) => change(args, AlertState::Open, context, out)?,
        AlertsCommand::Note(args) => {
            let change = AlertChange { state: None, note: Some(args.text.clone()) };
            context.connect()?.change_alert(args.id.clone(), change)?;
            eprintln!("lictor: the note is kept");
        }
        AlertsCommand::Silence(args) => silence(args, context)?,
        AlertsCommand::Silences(args) => {
            let silences = context.connect()?.silences()?;
            if args.json {
                json(out, &silences)?;
            } else if silences.is_empty() {
                eprintln!("lictor: nothing is silenced");
            } else {
                print_silences(out, &silences, &TimeZone::system())?;
            }
        }
        AlertsCommand::Unsilence(args) => {
            context.connect()?.remove_silence(args.id.clone())?;
            eprintln!("lictor: the silence has ended");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    writeln!(out)
}

fn list(args: &AlertsListArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let states = match (args.all, args.state.is_empty()) {
        (true, _) => Vec::new(),
        (false, true) => vec![AlertState::Open, AlertState::Acknowledged],
        (false, false) => args.state.clone(),
    };
    let filter = AlertFilter { states, severity: args.severity, session: args.session.clone(), limit: args.limit };
    let alerts = context.connect()?.alerts(filter)?;
    if args.json {
        json(out, &alerts)?;
    } else if alerts.is_empty() {
        eprintln!("lictor: there is no alert");
    } else {
        print(out, &alerts, &TimeZone::system())?;
    }
    Ok(())
}

fn style(severity: Severity) -> anstyle::Style {
    match severity {
        Severity::Critical | Severity::High => output::BAD,
        Severity::Medium => output::WARN,
        Severity::Low | Severity::Info => output::DIM,
    }
}

fn print(out: &mut impl Write, alerts: &[Alert], zone: &TimeZone) -> io::Result<()> {
    let row = |alert: &Alert| {
        vec![
            Cell::new(&alert.id),
            Cell::styled(alert.severity.as_str(), style(alert.severity)),
            Cell::new(alert.state.as_str()),
            Cell::new(alert.count.to_string()),
            Cell::new(output::short_time(&alert.last_seen, zone)),
            Cell::new(alert.session.as_deref().unwrap_or("-")),
            Cell::new(&alert.title),
        ]
    };
    let rows: Vec<Vec<Cell>> = alerts.iter().map(row).collect();
    output::table(out, &["ALERT", "SEVERITY", "STATE", "COUNT", "LAST SEEN", "SESSION", "WHAT"], &rows)
}

fn show(args: &AlertsShowArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let alerts = context.connect()?.alerts(AlertFilter::default())?;
    let alert = alerts.into_iter().find(|alert| alert.id == args.id);
    let alert = alert.with_context(|| format!("there is no alert `{}`", printable(&args.id)))?;
    if args.json {
        json(out, &alert)?;
    } else {
        print_one(out, &alert, &TimeZone::system())?;
    }
    Ok(())
}

fn print_one(out: &mut impl Write, alert: &Alert, zone: &TimeZone) -> io::Result<()> {
    let style = style(alert.severity);
    writeln!(out, "{style}{}{}  {}", alert.severity, style.render_reset(), printable(&alert.title))?;
    let mut line = |name: &str, value: Option<&str>| match value.filter(|value| !value.is_empty()) {
        Some(value) => output::row(out, &[10], &[Cell::styled(name, output::DIM), Cell::new(value)]),
        None => Ok(()),
    };
    let seen = format!(
        "{}, first {}, last {}",
        output::count(alert.count, "time"),
        output::short_time(&alert.first_seen, zone),
        output::short_time(&alert.last_seen, zone)
    );
    let state = alert.by.as_ref().map_or_else(|| alert.state.to_string(), |by| format!("{} by {by}", alert.state));
    line("alert", Some(&alert.id))?;
    line("state", Some(&state))?;
    line("note", alert.note.as_deref())?;
    line("seen", Some(&seen))?;
    line("source", Some(alert.source.as_str()))?;
    line("rule", alert.rule.as_deref())?;
    line("technique", Some(&alert.techniques.join(", ")))?;
    line("agent", alert.agent.as_deref())?;
    line("session", alert.session.as_deref())?;
    for (at, link) in alert.chain.iter().enumerate() {
        let pid = link.pid.map(|pid| format!("{pid} ")).unwrap_or_default();
        let text = link.cmdline.as_deref().or(link.exe.as_deref()).unwrap_or("?");
        line(if at == 0 { "process" } else { "started by" }, Some(&format!("{pid}{text}")))?;
    }
    line("event", alert.example_event.as_ref().map(|event| event.id.as_str()))?;
    line("before", alert.previous.as_deref())
}

fn change(args: &AlertsChangeArgs, state: AlertState, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let mut client = context.connect()?;
    let mut changed = Vec::new();
    for id in &args.ids {
        let change = AlertChange { state: Some(state), note: args.note.clone() };
        changed.extend(client.change_alert(id.clone(), change)?);
    }
    if args.json {
        json(out, &changed)?;
    } else {
        let number = u64::try_from(changed.len()).unwrap_or(u64::MAX);
        eprintln!("lictor: {} {state}", output::count(number, "alert"));
    }
    Ok(())
}

fn silence(args: &SilenceArgs, context: &Context) -> anyhow::Result<()> {
    let until = Timestamp::now().checked_add(args.span).context("the time is too far away")?;
    let matches = SilenceMatch {
        rule: args.rule.clone(),
        session: args.session.clone(),
        agent: args.agent.clone(),
        program: args.program.clone(),
    };
    let new = NewSilence { matches, until: until.to_string(), reason: args.reason.clone() };
    for silence in context.connect()?.add_silence(new)? {
        eprintln!("lictor: silence {} until {}", printable(&silence.id), printable(&silence.until));
    }
    Ok(())
}

fn print_silences(out: &mut impl Write, silences: &[Silence], zone: &TimeZone) -> io::Result<()> {
    let row = |silence: &Silence| {
        let matches = &silence.matches;
        let parts = [
            ("rule", &matches.rule),
            ("session", &matches.session),
            ("agent", &matches.agent),
            ("program", &matches.program),
        ];
        let parts: Vec<String> =
            parts.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}"))).collect();
        vec![
            Cell::new(&silence.id),
            Cell::new(output::short_time(&silence.until, zone)),
            Cell::new(&silence.by),
            Cell::new(parts.join(" ")),
            Cell::new(&silence.reason),
        ]
    };
    let rows: Vec<Vec<Cell>> = silences.iter().map(row).collect();
    output::table(out, &["SILENCE", "UNTIL", "BY", "WHAT", "REASON"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert() -> Alert {
        serde_json::from_str(
            r#"{"id":"01A","key":"k","title":"exec of /x\n\u001b[31m was denied","source":"rule","severity":"high","techniques":["T1059.004"],
                "state":"acknowledged","by":"uid 0","count":12,"first_seen":"2026-01-02T03:04:05Z","last_seen":"2026-01-02T03:05:05Z",
                "session":"s-1","chain":[{"pid":7,"exe":"/bin/sh","cmdline":"sh -c x"},{"pid":1,"exe":"/sbin/init"}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn an_alert_is_a_line_and_its_text_harmless() {
        assert_eq!(
            output::plain(|out| print(out, &[alert()], &TimeZone::UTC).unwrap()),
            "ALERT  SEVERITY  STATE         COUNT  LAST SEEN           SESSION  WHAT\n\
             01A    high      acknowledged  12     01-02 03:05:05.000  s-1      exec of /x\\n\\x1b[31m was denied\n"
        );
    }

    #[test]
    fn one_alert_shows_its_processes() {
        let shown = output::plain(|out| print_one(out, &alert(), &TimeZone::UTC).unwrap());
        assert!(shown.contains("state       acknowledged by uid 0\n"), "{shown}");
        assert!(shown.contains("process     7 sh -c x\nstarted by  1 /sbin/init\n"), "{shown}");
        assert!(!shown.contains('\u{1b}') && !shown.contains("note"), "{shown}");
    }
}
