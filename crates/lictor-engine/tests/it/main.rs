// SPDX-License-Identifier: Apache-2.0
//! One binary for all tests of the engine's public face.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper is a failed test")]

mod decisions;
mod errors;
mod hostile;
mod network;
mod patterns;
mod profiles;
mod schema;

use lictor_engine::policy::{Compiled, Limits, SessionFacts, parse};

pub fn facts() -> SessionFacts {
    SessionFacts { home: b"/home/u".to_vec(), user: b"u".to_vec(), cwd: b"/srv/app".to_vec() }
}

/// Compiles agent `a` of a policy that must be right.
pub fn compile(text: &str) -> Compiled {
    let file = parse("p.yaml", text.as_bytes()).unwrap_or_else(|p| panic!("{p:#?}"));
    let agent = file.agent("a").expect("the test's agent is called a");
    agent.compile(&facts(), &[b"/var/lib/lictor".to_vec()], Limits::default()).unwrap_or_else(|p| panic!("{p:#?}"))
}

/// A policy with one agent and the lines given for it, indented as they stand.
pub fn agent(lines: &str) -> String {
    format!("version: 1\nagents:\n  a:\n{lines}")
}
