// SPDX-License-Identifier: Apache-2.0
//! `lictor ps`: sessions and their process trees; with `--all` every process of the host.

use crate::cli::PsArgs;
use crate::context::Context;
use crate::output::{self, count};
use jiff::tz::TimeZone;
use lictor_api::bytes::printable;
use lictor_api::control::{ProcessInfo, SessionInfo, TaskInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::process::ExitCode;

pub(crate) fn run(args: &PsArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    if args.all {
        let processes = context.connect()?.processes(args.hashes)?;
        if args.json {
            serde_json::to_writer(&mut *out, &processes).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            print_all(out, &processes)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let sessions = context.connect()?.ps()?;
    if args.json {
        serde_json::to_writer(&mut *out, &sessions).map_err(io::Error::from)?;
        writeln!(out)?;
    } else if sessions.is_empty() {
        eprintln!("lictor: no session is running; start one with `lictor run -- CMD`");
    } else {
        print(out, &sessions, &TimeZone::system())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl Write, sessions: &[SessionInfo], zone: &TimeZone) -> io::Result<()> {
    for (at, session) in sessions.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        writeln!(
            out,
            "{}{}{}  agent {}, {}, since {}, {}, {} denied, policy {}{}{}",
            output::HEAD,
            printable(&session.id),
            output::HEAD.render_reset(),
            printable(&session.agent),
            session.mode,
            output::short_time(&session.started, zone),
            count(session.events, "event"),
            session.denied,
            printable(&session.policy),
            session.build.as_ref().map(|build| format!(", older build {}", printable(build))).unwrap_or_default(),
            session
                .container
                .as_ref()
                .map(|container| format!(", in {}", printable(&container.to_string())))
                .unwrap_or_default(),
        )?;
        Tree::new(session.tasks.iter().map(row_of_task)).print(out, "  ", 0)?;
    }
    Ok(())
}

/// A process and its line.
struct Row {
    /// Number and start; a session's tree has no starts.
    key: (u32, u64),
    /// Whose child it is shown as, when that one is in the tree.
    parent: Option<(u32, u64)>,
    /// Between its number and the branches.
    columns: String,
    command: String,
    marks: String,
}

/// Processes by parent. One whose parent is not among them (any more) is a root.
struct Tree {
    rows: BTreeMap<(u32, u64), Row>,
    children: BTreeMap<(u32, u64), Vec<(u32, u64)>>,
    roots: Vec<(u32, u64)>,
}

impl Tree {
    fn new(rows: impl Iterator<Item = Row>) -> Self {
        let rows: BTreeMap<_, Row> = rows.map(|row| (row.key, row)).collect();
        let mut children: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut roots = Vec::new();
        for (key, row) in &rows {
            match row.parent.filter(|parent| parent != key && rows.contains_key(parent)) {
                Some(parent) => children.entry(parent).or_default().push(*key),
                None => roots.push(*key),
            }
        }
        Self { rows, children, roots }
    }

    fn print(&self, out: &mut impl Write, indent: &str, least: usize) -> io::Result<()> {
        let width = self.rows.keys().map(|(pid, _)| pid.to_string().len()).max().unwrap_or(0).max(least);
        let mut shown = BTreeSet::new();
        let line = |out: &mut dyn Write, key: (u32, u64), branches: &str| -> io::Result<()> {
            let Some(row) = self.rows.get(&key) else { return Ok(()) };
            writeln!(out, "{indent}{:>width$}  {}{branches}{}{}", key.0, row.columns, row.command, row.marks)
        };
        // Depth first with a stack of its own: a tree can be deeper than the program's stack.
        let mut stack: Vec<((u32, u64), String, String)> =
            self.roots.iter().rev().map(|key| (*key, String::new(), String::new())).collect();
        while let Some((key, branches, below)) = stack.pop() {
            if !shown.insert(key) {
                continue;
            }
            line(out, key, &branches)?;
            let children = self.children.get(&key).map(Vec::as_slice).unwrap_or_default();
            for (at, child) in children.iter().enumerate().rev() {
                let (branch, trunk) = if at + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
                stack.push((*child, format!("{below}{branch}"), format!("{below}{trunk}")));
            }
        }
        // Parents that were read at different moments can form a circle, which hangs from no root.
        for key in self.rows.keys().filter(|key| !shown.contains(key)) {
            line(out, *key, "")?;
        }
        Ok(())
    }
}

fn row_of_task(task: &TaskInfo) -> Row {
    let command = task.cmdline.as_deref().or(task.exe.as_deref());
    Row {
        key: (task.pid, 0),
        parent: task.ppid.map(|ppid| (ppid, 0)),
        columns: String::new(),
        command: printable(command.unwrap_or("?")),
        marks: marks(task.denied, task.held),
    }
}

/// Every process of the host: user, session, the tree.
fn print_all(out: &mut impl Write, processes: &[ProcessInfo]) -> io::Result<()> {
    let user = |process: &ProcessInfo| printable(&process.user.clone().unwrap_or_else(|| process.uid.to_string()));
    let session = |process: &ProcessInfo| printable(process.session.as_deref().unwrap_or("-"));
    let widest =
        |of: &dyn Fn(&ProcessInfo) -> String| processes.iter().map(|it| of(it).chars().count()).max().unwrap_or(0);
    let (users, sessions) = (widest(&user).max(4), widest(&session).max(7));
    let hashes = processes.iter().any(|process| process.sha256.is_some());
    // Who looks after it, where its creator is not known: its start is not told, so whoever lives has the number.
    let living: BTreeMap<u32, u64> =
        processes.iter().filter(|process| !process.ended).map(|process| (process.pid, process.start_time)).collect();
    let rows = processes.iter().map(|process| {
        let creator = process.parent.map(|parent| (parent.pid, parent.start_time));
        let hash = process.sha256.as_deref().map_or(String::new(), |hash| hash.chars().take(16).collect());
        let name = || process.name.as_ref().map(|name| format!("[{name}]"));
        let command = process.cmdline.clone().or_else(|| process.exe.clone()).or_else(name);
        let mut marks = marks(process.denied, process.held);
        if let Some(container) = &process.container {
            marks += &format!("  in {}", printable(&container.to_string()));
        }
        if process.ended {
            marks += &format!("  {}ended{}", output::DIM, output::DIM.render_reset());
        }
        Row {
            key: (process.pid, process.start_time),
            parent: creator.or_else(|| Some((process.ppid, *living.get(&process.ppid)?))),
            columns: format!("{:<users$}  {:<sessions$}  ", user(process), session(process))
                + &if hashes { format!("{hash:<16}  ") } else { String::new() },
            command: printable(&command.unwrap_or_else(|| "?".into())),
            marks,
        }
    });
    let title = |text: &str, width: usize| format!("{}{text:<width$}{}", output::HEAD, output::HEAD.render_reset());
    let digits = processes.iter().map(|process| process.pid.to_string().len()).max().unwrap_or(0).max(3);
    write!(out, "{:>1$}", "", digits - 3)?;
    write!(out, "{}  {}  {}  ", title("PID", 3), title("USER", users), title("SESSION", sessions))?;
    if hashes {
        write!(out, "{}  ", title("SHA-256", 16))?;
    }
    writeln!(out, "{}", title("COMMAND", 0))?;
    Tree::new(rows).print(out, "", digits)
}

/// What the judges and the policy said of the process.
fn marks(denied: u64, held: bool) -> String {
    let mut marks = String::new();
    if held {
        marks += &format!("  {}held{}", output::WARN, output::WARN.render_reset());
    }
    if denied > 0 {
        marks += &format!("  {}{denied} denied{}", output::BAD, output::BAD.render_reset());
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_api::control::{Creator, Mode};

    fn shown(tasks: &[(u32, u32, &str)]) -> String {
        let tasks = tasks.iter().map(|(pid, ppid, cmdline)| TaskInfo {
            pid: *pid,
            ppid: Some(*ppid),
            cmdline: Some((*cmdline).to_owned()),
            ..TaskInfo::default()
        });
        shown_tasks(tasks.collect())
    }

    fn shown_tasks(tasks: Vec<TaskInfo>) -> String {
        let session = SessionInfo {
            id: "s-7f3a".into(),
            agent: "coder".into(),
            mode: Mode::Enforce,
            started: "2026-01-02T03:04:05Z".into(),
            policy: "/etc/lictor/policy.yaml".into(),
            build: None,
            container: None,
            tasks,
            denied: 2,
            events: 1,
        };
        output::plain(|out| print(out, &[session], &TimeZone::UTC).unwrap())
    }

    #[test]
    fn a_session_is_a_tree() {
        assert_eq!(
            shown(&[(5, 1, "claude"), (10, 5, "bash -c make"), (12, 10, "cc\n1"), (11, 5, "node"), (90, 1, "daemon")]),
            "\
s-7f3a  agent coder, enforce, since 01-02 03:04:05.000, 1 event, 2 denied, policy /etc/lictor/policy.yaml
   5  claude
  10  ├─ bash -c make
  12  │  └─ cc\\n1
  11  └─ node
  90  daemon
"
        );
    }

    #[test]
    fn what_was_denied_and_what_waits_is_marked() {
        let task = |pid, denied, held| TaskInfo { pid, denied, held, cmdline: Some("x".into()), ..TaskInfo::default() };
        let shown = shown_tasks(vec![task(1, 0, false), task(2, 3, false), task(3, 1, true)]);
        assert!(shown.ends_with("  1  x\n  2  x  3 denied\n  3  x  held  1 denied\n"), "{shown}");
    }

    #[test]
    fn the_host_is_a_tree_with_who_has_ended() {
        let process = |pid, start_time, parent: Option<(u32, u64)>, cmdline: &str| ProcessInfo {
            pid,
            start_time,
            ppid: 1,
            parent: parent.map(|(pid, start_time)| Creator { pid, start_time }),
            cmdline: Some(cmdline.into()),
            ..ProcessInfo::default()
        };
        let processes = [
            process(1, 1, None, "init"),
            ProcessInfo { cmdline: None, name: Some("kthreadd".into()), ppid: 0, ..process(2, 1, None, "") },
            // Its number is used again, by one whose creator is not known.
            ProcessInfo { ended: true, ..process(40, 5, Some((1, 1)), "sh -c x &") },
            ProcessInfo { uid: 1000, user: Some("dev\u{1b}".into()), ..process(40, 90, None, "login") },
            ProcessInfo { session: Some("s-1".into()), denied: 2, ..process(41, 6, Some((40, 5)), "claude") },
        ];
        assert_eq!(
            output::plain(|out| print_all(out, &processes).unwrap()),
            "\
PID  USER     SESSION  COMMAND
  1  0        -        init
 40  0        -        ├─ sh -c x &  ended
 41  0        s-1      │  └─ claude  2 denied
 40  dev\\x1b  -        └─ login
  2  0        -        [kthreadd]
"
        );
    }

    #[test]
    fn processes_that_are_each_others_parents_are_shown_too() {
        assert!(shown(&[(1, 2, "a"), (2, 1, "b")]).ends_with("  1  a\n  2  b\n"));
    }
}
