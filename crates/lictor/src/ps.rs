// SPDX-License-Identifier: Apache-2.0
//! `lictor ps`: sessions and their process trees.

use crate::cli::PsArgs;
use crate::context::Context;
use crate::output::{self, count};
use jiff::tz::TimeZone;
use lictor_api::bytes::printable;
use lictor_api::control::{SessionInfo, TaskInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::process::ExitCode;

pub(crate) fn run(args: &PsArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
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
        Tree::new(&session.tasks).print(out)?;
    }
    Ok(())
}

/// A session's processes by parent. A process whose parent is not in the session (any more) is a root.
struct Tree<'a> {
    tasks: BTreeMap<u32, &'a TaskInfo>,
    children: BTreeMap<u32, Vec<u32>>,
    roots: Vec<u32>,
}

impl<'a> Tree<'a> {
    fn new(tasks: &'a [TaskInfo]) -> Self {
        let tasks: BTreeMap<u32, &TaskInfo> = tasks.iter().map(|task| (task.pid, task)).collect();
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut roots = Vec::new();
        for (pid, task) in &tasks {
            match task.ppid.filter(|ppid| ppid != pid && tasks.contains_key(ppid)) {
                Some(ppid) => children.entry(ppid).or_default().push(*pid),
                None => roots.push(*pid),
            }
        }
        Self { tasks, children, roots }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let width = self.tasks.keys().map(|pid| pid.to_string().len()).max().unwrap_or(0);
        let mut shown = BTreeSet::new();
        let line = |out: &mut dyn Write, pid: u32, branches: &str| -> io::Result<()> {
            let task = self.tasks.get(&pid).copied();
            let command = task.and_then(|task| task.cmdline.as_ref().or(task.exe.as_ref()));
            let command = printable(command.map_or("?", String::as_str));
            writeln!(out, "  {pid:>width$}  {branches}{command}{}", task.map(marks).unwrap_or_default())
        };
        // Depth first with a stack of its own: a tree can be deeper than the program's stack.
        let mut stack: Vec<(u32, String, String)> =
            self.roots.iter().rev().map(|pid| (*pid, String::new(), String::new())).collect();
        while let Some((pid, branches, below)) = stack.pop() {
            if !shown.insert(pid) {
                continue;
            }
            line(out, pid, &branches)?;
            let children = self.children.get(&pid).map(Vec::as_slice).unwrap_or_default();
            for (at, child) in children.iter().enumerate().rev() {
                let (branch, trunk) = if at + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
                stack.push((*child, format!("{below}{branch}"), format!("{below}{trunk}")));
            }
        }
        // Parents that were read at different moments can form a circle, which hangs from no root.
        for pid in self.tasks.keys().filter(|pid| !shown.contains(pid)) {
            line(out, *pid, "")?;
        }
        Ok(())
    }
}

/// What the judges and the policy said of the process.
fn marks(task: &TaskInfo) -> String {
    let mut marks = String::new();
    if task.held {
        marks += &format!("  {}held{}", output::WARN, output::WARN.render_reset());
    }
    if task.denied > 0 {
        marks += &format!("  {}{} denied{}", output::BAD, task.denied, output::BAD.render_reset());
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_api::control::Mode;

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
    fn processes_that_are_each_others_parents_are_shown_too() {
        assert!(shown(&[(1, 2, "a"), (2, 1, "b")]).ends_with("  1  a\n  2  b\n"));
    }
}
