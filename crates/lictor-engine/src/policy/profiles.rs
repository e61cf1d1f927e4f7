// SPDX-License-Identifier: Apache-2.0
//! The profiles that ship with Lictor. Each is an ordinary policy file with one agent of its name.

use super::agent::{Agent, PolicyFile};
use super::parse::parse;
use super::problem::Problem;

/// The profiles meant for people.
pub const BUILTIN: &[&str] = &["default", "claude-code", "codex", "gemini-cli", "opencode", "aider"];

/// The text of a built-in profile. `base` is what all of them share; it can be extended too.
pub fn builtin(name: &str) -> Option<&'static str> {
    Some(match name {
        "base" => include_str!("../../../../policies/base.yaml"),
        "default" => include_str!("../../../../policies/default.yaml"),
        "claude-code" => include_str!("../../../../policies/claude-code.yaml"),
        "codex" => include_str!("../../../../policies/codex.yaml"),
        "gemini-cli" => include_str!("../../../../policies/gemini-cli.yaml"),
        "opencode" => include_str!("../../../../policies/opencode.yaml"),
        "aider" => include_str!("../../../../policies/aider.yaml"),
        _ => return None,
    })
}

/// The built-in profile for an agent's own command, as people type it: a name, or a path to it.
pub fn profile_of_command(command: &[u8]) -> Option<&'static str> {
    let name = command.rsplit(|byte| *byte == b'/').next()?;
    Some(match name {
        b"claude" => "claude-code",
        b"codex" => "codex",
        b"gemini" => "gemini-cli",
        b"opencode" => "opencode",
        b"aider" => "aider",
        _ => return None,
    })
}

/// The parsed profile, with positions in `builtin:NAME`.
pub fn builtin_file(name: &str) -> Option<Result<PolicyFile, Vec<Problem>>> {
    builtin(name).map(|text| parse(&format!("builtin:{name}"), text.as_bytes()))
}

/// What governs a session when nothing was configured: all built-in profiles, `default` among them.
///
/// # Errors
/// The problems of a built-in profile, which a test of this crate rules out.
pub fn default_policy() -> Result<PolicyFile, Vec<Problem>> {
    let mut all = PolicyFile { file: "builtin".into(), agents: Default::default() };
    for name in BUILTIN {
        if let Some(agent) = resolved(name) {
            all.agents.insert((*name).to_owned(), agent?);
        }
    }
    Ok(all)
}

/// The agent of a built-in profile, with what it extends taken in.
pub(super) fn resolved(name: &str) -> Option<Result<Agent, Vec<Problem>>> {
    let file = match builtin_file(name)? {
        Ok(file) => file,
        Err(problems) => return Some(Err(problems)),
    };
    file.agents.into_values().find(|a| a.name() == name).map(Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_known_by_its_agents_command() {
        for (command, profile) in [
            ("claude", Some("claude-code")),
            ("/home/dev/.local/bin/claude", Some("claude-code")),
            ("codex", Some("codex")),
            ("gemini", Some("gemini-cli")),
            ("opencode", Some("opencode")),
            ("aider", Some("aider")),
            ("bash", None),
            ("claude-code", None),
            ("claude/", None),
            ("", None),
        ] {
            assert_eq!(profile_of_command(command.as_bytes()), profile, "{command}");
            assert!(profile.is_none_or(|profile| BUILTIN.contains(&profile)));
        }
    }
}
