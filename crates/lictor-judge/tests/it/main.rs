// SPDX-License-Identifier: Apache-2.0
//! One binary for all integration tests of the crate: linking is what takes time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy knows only functions marked as tests, not their helpers"
)]
mod classifier;
mod conditions;
mod evaluation;
mod files;
mod llm_faults;
mod llm_limits;
mod llm_live;
mod llm_protocols;
mod llm_server;
mod llm_tls;
mod pipeline;
mod reference;
mod rule_pack;
mod store;
mod verdicts;

use lictor_api::event::Event;
use lictor_judge::rules::{RuleSet, parse};
#[track_caller]
fn set(text: &str) -> RuleSet {
    match parse(&[("r.yaml".to_owned(), text.as_bytes().to_vec())]) {
        Ok(set) => set,
        Err(problems) => panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}
fn problems(text: &[u8]) -> Vec<String> {
    match parse(&[("r.yaml".to_owned(), text.to_vec())]) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}
fn rule(id: &str, action: &str, condition: &str) -> String {
    format!(
        "  - id: {id}\n    description: about {id}\n    severity: high\n    kinds: [exec]\n    condition: {}\n    action: {action}\n",
        serde_json::to_string(condition).unwrap()
    )
}
fn file(rules: &[String]) -> String {
    format!("version: 1\nrules:\n{}", rules.concat())
}
fn event(json: &str) -> Event {
    serde_json::from_str(json).unwrap()
}
