// SPDX-License-Identifier: Apache-2.0
//! The policy: text to [`PolicyFile`] ([`parse`]), agent to kernel tables ([`Agent::compile`]), and
//! the same decision in Rust with its explanation ([`Compiled`]).
//!
//! Reading order follows the data: [`crate::yaml`] (text to a tree with positions), `parse` (tree to agents),
//! `glob` and `endpoint` (one list entry each), `profiles` (what is built in), `automaton` (all path
//! patterns to one table), `network` (addresses to a longest-prefix table), `compile` (an agent with
//! its session's facts to [`Compiled`]), `decide` (questions and answers).

mod agent;
mod automaton;
mod compile;
mod decide;
mod dfa;
mod endpoint;
mod glob;
mod network;
mod parse;
mod path_pattern;
mod problem;
mod profiles;
mod schema;

pub use agent::{Agent, ListKind, Mode, PolicyFile, Undecided, privilege};
pub use automaton::{Automaton, Cell, UNUSED};
pub use compile::{Anchor, Compiled, DenyGlob, Flags, Limits, SessionFacts};
pub use decide::{Access, Decision, RuleRef};
pub use endpoint::Protocol;
pub use network::{Direction, NetworkTable, PortSet, Prefix};
pub use parse::parse;
pub use path_pattern::PathPattern;
pub use problem::{Position, Problem, hint};
pub use profiles::{BUILTIN, builtin, builtin_file, default_policy, profile_of_command};
pub use schema::schema;

/// The rights a path can carry: the low eight bits of [`Cell::accept`].
pub mod right {
    /// Named by `files.read`.
    pub const READ: u8 = 1;
    /// Named by `files.write`.
    pub const WRITE: u8 = 2;
    /// Named by `files.deny`: nothing is permitted, whatever else is set.
    pub const DENY: u8 = 4;
    /// Named by `exec.allow`.
    pub const EXEC: u8 = 8;
    /// Named by `exec.deny`.
    pub const EXEC_DENY: u8 = 16;
    /// Named by `exec.libraries`.
    pub const LIBRARY: u8 = 32;
    /// Named by `network.unix`; abstract names are walked as `@name`.
    pub const UNIX: u8 = 64;
    /// Named by `files.readonly`: never written, whatever `files.write` says.
    pub const READONLY: u8 = 128;
}
