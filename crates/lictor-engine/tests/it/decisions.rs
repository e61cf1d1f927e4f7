// SPDX-License-Identifier: Apache-2.0
//! Decisions and their explanations.

use lictor_engine::policy::{Access, Decision, Mode, Undecided, parse, privilege};

use super::{agent, compile, facts};

#[test]
fn a_denial_names_rule_place_and_remedy() {
    let c = compile(&agent(concat!(
        "    files:\n",
        "      write: [\"${CWD}/**\"]\n",
        "      deny: [\"/etc/shadow\", \"**/.env\"]\n",
        "      readonly: [\"**/.git/config\"]\n",
    )));
    let Decision::Deny(rule) = c.decide_file(Access::Read, b"/srv/app/.env") else { panic!("permitted") };
    assert_eq!(rule.rule, "a.files.deny[1]");
    assert_eq!(rule.source, "p.yaml:6:29");
    assert_eq!(rule.reason, "files.deny forbids `**/.env`, which matches `/srv/app/.env`");
    assert_eq!(rule.fix, "agents.a.files.deny: remove \"**/.env\" (p.yaml:6:29)");

    let Decision::Deny(rule) = c.decide_file(Access::Write, b"/opt/x") else { panic!("permitted") };
    assert_eq!(rule.rule, "a.files.write");
    assert_eq!(rule.source, "p.yaml:5:14");
    assert_eq!(rule.fix, "agents.a.files.write: add \"/opt/x\"");

    let Decision::Deny(rule) = c.decide_file(Access::Write, b"/srv/app/.git/config") else { panic!("permitted") };
    assert_eq!(rule.rule, "a.files.readonly[0]");
    assert!(c.decide_file(Access::Read, b"/srv/app/.git/config").is_allowed());

    let Decision::Allow(rule) = c.decide_file(Access::Write, b"/srv/app/x") else { panic!("denied") };
    assert_eq!(rule.rule, "a.files.write[0]");
    let Decision::Allow(rule) = c.decide_file(Access::Read, b"/opt/x") else { panic!("denied") };
    assert_eq!(rule.rule, "a.files.read");

    let Decision::Deny(rule) = c.decide_file(Access::Read, b"/var/lib/lictor/x") else { panic!("permitted") };
    assert_eq!((rule.rule.as_str(), rule.fix.as_str()), ("floor.guard", ""));
}

#[test]
fn odd_names_are_shown_escaped() {
    let c = compile(&agent("    files: { read: [] }\n"));
    let decision = c.decide_file(Access::Read, b"/a\nb\xff\x1b");
    assert_eq!(decision.rule().reason, "`/a\\nb\\xff\\u{1b}` is not named by files.read");
}

#[test]
fn programs_and_libraries() {
    let hash = "ab".repeat(32);
    let other = "cd".repeat(32);
    let c = compile(&agent(&format!(
        "    exec: {{ allow: [\"/bin/*\", \"sha256:{hash}\"], deny: [\"/bin/nc\", \"sha256:{other}\"], libraries: [\"/lib/**\"] }}\n    files: {{ deny: [\"/bin/secret\"] }}\n"
    )));
    assert!(c.flags.has_hash_rules && c.flags.has_exec_allow && c.flags.has_libraries);
    assert!(c.decide_exec(b"/bin/ls", None).is_allowed());
    assert!(!c.decide_exec(b"/bin/nc", None).is_allowed());
    assert!(!c.decide_exec(b"/bin/nc", Some(&[0xab; 32])).is_allowed(), "deny beats an allowed hash");
    assert!(!c.decide_exec(b"/bin/secret", None).is_allowed());
    assert!(!c.decide_exec(b"/opt/x", None).is_allowed());
    assert!(c.decide_exec(b"/opt/x", Some(&[0xab; 32])).is_allowed());
    let denied = c.decide_exec(b"/bin/ls", Some(&[0xcd; 32]));
    assert_eq!(denied.rule().rule, "a.exec.deny[1]");
    assert!(c.decide_library(b"/lib/libc.so").is_allowed());
    assert!(c.decide_library(b"/bin/ls").is_allowed(), "what may run may be mapped");
    assert!(!c.decide_library(b"/bin/nc").is_allowed());
    assert!(!c.decide_library(b"/tmp/evil.so").is_allowed());
    assert_eq!(c.hashes, [([0xab; 32], true), ([0xcd; 32], false)]);
}

#[test]
fn defaults() {
    let c = compile(&agent("    exec: {}\n"));
    assert_eq!((c.flags.mode, c.flags.undecided), (Mode::Enforce, Undecided::Allow));
    assert!(!c.flags.anonymous_allowed && !c.flags.has_network && !c.flags.has_read && !c.flags.has_exec_allow);
    assert_eq!(c.flags.privileges, 0);
    assert!(c.decide_exec(b"/any", None).is_allowed() && c.decide_file(Access::Write, b"/any").is_allowed());
}

#[test]
fn scalars_are_read() {
    let c = compile(&agent(
        "    mode: monitor\n    undecided: deny\n    exec: { anonymous: allow }\n    privileges: [ptrace, bpf]\n    rules: [\"*\"]\n",
    ));
    assert_eq!((c.flags.mode, c.flags.undecided), (Mode::Monitor, Undecided::Deny));
    assert!(c.flags.anonymous_allowed);
    assert_eq!(c.flags.privileges, privilege::PTRACE | privilege::BPF);
}

#[test]
fn inheritance_appends_lists_and_overrides_scalars() {
    let text = concat!(
        "version: 1\nagents:\n",
        "  parent: { mode: monitor, files: { deny: [/p], read: [/r] }, privileges: [mount] }\n",
        "  a: { extends: parent, mode: enforce, files: { deny: [/c, /d] }, privileges: [bpf] }\n",
    );
    let c = compile(text);
    assert_eq!(c.flags.mode, Mode::Enforce);
    assert_eq!(c.flags.privileges, privilege::MOUNT | privilege::BPF);
    assert_eq!(c.decide_file(Access::Read, b"/p").rule().rule, "parent.files.deny[0]");
    assert_eq!(c.decide_file(Access::Read, b"/d").rule().rule, "a.files.deny[1]");
    assert!(c.decide_file(Access::Read, b"/r").is_allowed());
    assert!(!c.decide_file(Access::Read, b"/x").is_allowed());
}

#[test]
fn an_agent_may_extend_the_profile_of_its_own_name() {
    let text = "version: 1\nagents:\n  default: { extends: default, mode: monitor }\n";
    let file = parse("p.yaml", text.as_bytes()).unwrap();
    let c = file.agent("default").unwrap().compile(&facts(), &[], Default::default()).unwrap();
    assert_eq!(c.flags.mode, Mode::Monitor);
    assert!(!c.decide_file(Access::Read, b"/etc/shadow").is_allowed());
}
