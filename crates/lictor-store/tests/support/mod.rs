// SPDX-License-Identifier: Apache-2.0
//! Events as a busy host has them: agents at work in a few hundred sessions, each with its own project, many programs, some
//! denials. The same seed gives the same events.

#![allow(unreachable_pub, dead_code, clippy::unwrap_used)]

use lictor_api::event::{
    Action, Event, Exec, File, FileOp, Kind, Network, NetworkOp, Parent, Privilege, Process, ProcessEvent, ProcessOp,
    Severity, Tier, Verdict,
};

/// 2026-11-01T00:00:00Z.
pub const BEGIN_MS: i64 = 1_793_491_200_000;

pub struct Generator {
    state: u64,
    number: u64,
    /// Milliseconds between two events, in thousandths.
    step_us: u64,
}

impl Generator {
    /// `step_us`: microseconds between two events.
    pub fn new(seed: u64, step_us: u64) -> Self {
        Self { state: seed.wrapping_mul(2).wrapping_add(1), number: 0, step_us }
    }

    fn random(&mut self) -> u64 {
        // xorshift64*: good enough for names, and always the same.
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random() % limit
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }

    /// Few are met often, many seldom.
    fn skewed(&mut self, limit: u64) -> u64 {
        let (a, b) = (self.below(limit) + 1, self.below(limit) + 1);
        a * b / limit % limit
    }

    pub fn next_event(&mut self) -> Event {
        let number = self.number;
        self.number += 1;
        let micros = BEGIN_MS as u64 * 1000 + number * self.step_us;
        let time = jiff::Timestamp::from_microsecond(micros as i64).unwrap();
        let id =
            ulid::Ulid::from_parts(micros / 1000, (u128::from(number) << 40) | u128::from(self.random() & 0xff_ffff));
        let kind = match self.below(100) {
            0..40 => Kind::File,
            40..62 => Kind::Exec,
            62..84 => Kind::Process,
            84..97 => Kind::Network,
            _ => Kind::Privilege,
        };
        let mut event = Event::new(kind, id.to_string(), format!("{time:.9}"));
        // About 150 sessions live at a time, and give way to others.
        let session = number / 40_000 * 20 + self.skewed(150);
        event.session = Some(format!("s-{:08x}", session.wrapping_mul(0x9e37_79b9) & 0xffff_ffff));
        let agent = ["coder", "claude-code", "codex", "reviewer", "builder"][(session % 5) as usize];
        event.agent = Some(agent.into());
        event.process = self.process(session, number);
        let denied = self.below(200) == 0;
        match kind {
            Kind::File => event.file = Some(self.file(session, denied)),
            Kind::Exec => {
                let path = event.process.exe.clone();
                event.exec = Some(Exec { path, sha256: None, interpreter: None, args: Vec::new() });
            }
            Kind::Process => {
                let op = if self.below(2) == 0 { ProcessOp::Fork } else { ProcessOp::Exit };
                let target = (op == ProcessOp::Fork).then(|| 2000 + (number % 3_000_000) as u32);
                event.process_event = Some(ProcessEvent { op, target, code: (op == ProcessOp::Exit).then_some(0) });
            }
            Kind::Network => event.network = Some(self.network(denied)),
            _ => event.privilege = Some(Privilege { op: "capability".into(), detail: Some("net_admin".into()) }),
        }
        event.verdict = Some(self.verdict(agent, kind, denied));
        event
    }

    fn process(&mut self, session: u64, number: u64) -> Process {
        let home = format!("/home/dev{}/src/{}", session % 9, self.project(session));
        let file = self.skewed(4000);
        let (exe, args): (&str, Vec<String>) = match self.below(9) {
            0 => ("/usr/bin/git", vec!["git".into(), "status".into(), "--short".into()]),
            1 => ("/usr/bin/bash", vec!["bash".into(), "-c".into(), format!("cd {home} && make test-{}", file % 300)]),
            2 => (
                "/usr/local/rustup/toolchains/stable-x86_64-unknown-linux-gnu/bin/rustc",
                [
                    "rustc",
                    "--crate-name",
                    &format!("unit_{file}"),
                    "--edition=2024",
                    &format!("src/m{file}/lib.rs"),
                    "--crate-type",
                    "lib",
                    "--emit=dep-info,metadata,link",
                    "-C",
                    "embed-bitcode=no",
                    "-C",
                    &format!("metadata={:016x}", file.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                ]
                .map(str::to_owned)
                .to_vec(),
            ),
            3 => (
                "/usr/bin/python3.12",
                ["python3", "-m", "pytest", &format!("tests/test_{file}.py"), "-q"].map(str::to_owned).to_vec(),
            ),
            4 => ("/usr/bin/node", ["node", "/usr/local/bin/coder", "--project", &home].map(str::to_owned).to_vec()),
            5 => (
                "/usr/bin/sed",
                ["sed", "-n", &format!("{},{}p", file, file + 40), &format!("src/m{file}/lib.rs")]
                    .map(str::to_owned)
                    .to_vec(),
            ),
            6 => (
                "/usr/bin/gcc-14",
                ["gcc", "-O2", "-c", &format!("lib/c{file}.c"), "-o", &format!("/tmp/cc{:08x}.o", self.below(1 << 32))]
                    .map(str::to_owned)
                    .to_vec(),
            ),
            7 => ("/usr/bin/rg", ["rg", "-n", &format!("fn handle_{}", file % 700), "src"].map(str::to_owned).to_vec()),
            _ => ("/usr/bin/cat", vec!["cat".into(), format!("src/m{file}/lib.rs")]),
        };
        let parent = Parent {
            pid: Some(1200 + session as u32 % 20_000),
            exe: Some("/usr/bin/node".into()),
            args: None,
            cmdline: Some(format!("node /usr/local/bin/coder --project {home}")),
        };
        let shell =
            Parent { pid: Some(900), exe: Some("/usr/bin/bash".into()), args: None, cmdline: Some("-bash".into()) };
        Process {
            // A process tells of itself about six times.
            pid: Some(2000 + (number / 6 % 3_000_000) as u32),
            start_time: Some(number / 6 * 1_000_003),
            ppid: parent.pid,
            exe: Some(exe.into()),
            cmdline: Some(args.join(" ")),
            args: Some(args),
            cwd: Some(home),
            uid: Some(1000 + (session % 9) as u32),
            gid: Some(1000),
            parent: Some(parent.clone()),
            ancestors: vec![parent, shell],
            container: None,
        }
    }

    fn project(&self, session: u64) -> String {
        format!(
            "{}-{}",
            ["api", "shop", "kernel", "docs", "ml", "infra", "mobile"][(session % 7) as usize],
            session % 60
        )
    }

    fn file(&mut self, session: u64, denied: bool) -> File {
        let op = *[FileOp::Read, FileOp::Write, FileOp::Create, FileOp::Delete].get(self.below(4) as usize).unwrap();
        let path = if denied {
            self.pick(&["/etc/shadow", "/home/dev1/.ssh/id_ed25519", "/home/dev2/.aws/credentials", "/srv/app/.env"])
                .to_owned()
        } else if self.below(12) == 0 {
            format!("/tmp/rustc{:08x}/rmeta.lib", self.below(1 << 32))
        } else {
            let (folder, file) = (self.skewed(400), self.skewed(40));
            format!("/home/dev{}/src/{}/src/m{folder}/part_{file}.rs", session % 9, self.project(session))
        };
        File { op, path: Some(path), to: None }
    }

    fn network(&mut self, denied: bool) -> Network {
        let address = if denied {
            "169.254.169.254".to_owned()
        } else {
            format!("10.{}.{}.{}", self.below(4), self.skewed(60), self.skewed(250))
        };
        Network {
            op: NetworkOp::Connect,
            family: Some("inet".into()),
            protocol: Some("tcp".into()),
            address: Some(address),
            port: Some(if denied { 80 } else { *[443, 443, 443, 8080, 5432].get(self.below(5) as usize).unwrap() }),
            domain: None,
        }
    }

    fn verdict(&mut self, agent: &str, kind: Kind, denied: bool) -> Verdict {
        let mut verdict = Verdict::new(if denied { Action::Deny } else { Action::Allow }, Tier::Policy);
        let (list, entry) = (kind.as_str(), self.below(8));
        verdict.rule = Some(format!("{agent}.{list}.{}[{entry}]", if denied { "deny" } else { "allow" }));
        verdict.source = Some(format!("/etc/lictor/policy.yaml:{}:{}", 10 + entry, 14));
        verdict.latency_us = Some(self.below(40));
        if denied {
            verdict.reason = Some("the policy denies it".into());
            if self.below(8) == 0 {
                verdict.tier = Tier::Rules;
                verdict.rule = Some("secrets-read-by-tool".into());
                verdict.severity = Some(if self.below(10) == 0 { Severity::Critical } else { Severity::High });
                verdict.tags = vec!["T1552.001".into()];
            }
        }
        verdict
    }
}
