// SPDX-License-Identifier: Apache-2.0
//! `lictor status`: whether Lictor enforces, and its counters.

use crate::cli::StatusArgs;
use crate::context::Context;
use crate::output::{self, Cell};
use lictor_api::bytes::printable;
use lictor_api::control::{State, Status};
use std::io::{self, Write};
use std::process::ExitCode;

pub(crate) fn run(args: &StatusArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let status = context.connect()?.status()?;
    if args.json {
        serde_json::to_writer(&mut *out, &status).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(out, &status)?;
    }
    Ok(match status.state {
        State::Enforcing | State::Monitoring => ExitCode::SUCCESS,
        State::Degraded => ExitCode::FAILURE,
    })
}

fn print(out: &mut impl Write, status: &Status) -> io::Result<()> {
    let style = match status.state {
        State::Enforcing => output::GOOD,
        State::Monitoring => output::WARN,
        State::Degraded => output::BAD,
    };
    writeln!(out, "{style}{}{}", status.state, style.render_reset())?;
    for reason in &status.reasons {
        writeln!(out, "  because {}", printable(reason))?;
    }
    let line = |out: &mut _, name: &str, value: String| {
        output::row(out, &[8], &[Cell::styled(name, output::DIM), Cell::new(value)])
    };
    let up = output::short_duration(status.uptime_ms);
    line(out, "lictord", format!("{}, pid {}, up {up}", status.version, status.pid))?;
    line(out, "kernel", format!("{}, security modules {}", status.kernel, status.lsm.join(",")))?;
    line(out, "policy", format!("{}, epoch {}", status.policy, status.epoch))?;
    line(out, "sessions", status.sessions.to_string())?;
    for older in &status.older_builds {
        let problem = older.problem.as_ref().map(|problem| format!("; {}", printable(problem))).unwrap_or_default();
        let value = format!("build {}: {}{problem}", printable(&older.build), output::count(older.sessions, "session"));
        line(out, "older", value)?;
    }
    let missing = match status.hooks.missing.as_slice() {
        [] => String::new(),
        missing => format!(", missing {}", missing.join(", ")),
    };
    line(out, "hooks", format!("{} attached{missing}", status.hooks.attached))?;
    for tier in &status.judge {
        let why = if tier.reasons.is_empty() { String::new() } else { format!(": {}", tier.reasons.join("; ")) };
        line(out, "tier", format!("{} {}{}", tier.tier, printable(&tier.state), printable(&why)))?;
    }
    if let Some(store) = &status.store {
        let why = if store.reasons.is_empty() { String::new() } else { format!(": {}", store.reasons.join("; ")) };
        let lost = if store.lost == 0 { String::new() } else { format!(", {} lost", store.lost) };
        line(out, "store", format!("{}, {} MB{lost}{why}", store.state, store.size >> 20))?;
    }
    if !status.counters.is_empty() {
        writeln!(out)?;
        let rows: Vec<Vec<Cell>> =
            status.counters.iter().map(|(name, value)| vec![Cell::new(name), Cell::new(value.to_string())]).collect();
        output::table(out, &["COUNTER", "VALUE"], &rows)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_api::control::{Hooks, OlderBuild};

    #[test]
    fn a_degraded_daemon_says_why() {
        let status = Status {
            state: State::Degraded,
            reasons: vec!["the canary of hook file_open was not denied".into()],
            version: "0.1.0".into(),
            pid: 12,
            kernel: "6.12.0".into(),
            lsm: vec!["capability".into(), "bpf".into()],
            hooks: Hooks { attached: 98, missing: vec!["uring_cmd".into()] },
            policy: "built-in".into(),
            epoch: 3,
            sessions: 2,
            older_builds: vec![OlderBuild { build: "0123456789abcdef".into(), sessions: 1, problem: None }],
            judge: Vec::new(),
            rules: serde_json::Value::Null,
            counters: [("denied".to_owned(), 4), ("events_total".to_owned(), 17)].into(),
            store: Some(lictor_api::control::StoreStatus {
                state: "degraded".into(),
                reasons: vec!["the disk is full".into()],
                lost: 7,
                size: 5 << 20,
                ..Default::default()
            }),
            uptime_ms: 61_000,
        };
        assert_eq!(
            output::plain(|out| print(out, &status).unwrap()),
            "\
DEGRADED
  because the canary of hook file_open was not denied
lictord   0.1.0, pid 12, up 1m 1s
kernel    6.12.0, security modules capability,bpf
policy    built-in, epoch 3
sessions  2
older     build 0123456789abcdef: 1 session
hooks     98 attached, missing uring_cmd
store     degraded, 5 MB, 7 lost: the disk is full

COUNTER       VALUE
denied        4
events_total  17
"
        );
    }
}
