// SPDX-License-Identifier: Apache-2.0
//! The published JSON Schema of the policy file, for editors. The parser stays the judge: it also
//! checks what a schema cannot say.

use std::collections::BTreeMap;

use schemars::{JsonSchema, generate::SchemaSettings};

/// The schema of a policy file.
pub fn schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Policy>();
    schema.insert("$id".into(), "https://github.com/lictor/lictor/schema/policy.schema.json".into());
    schema.to_value()
}

/// Lictor policy: what each agent's processes may do.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Policy {
    /// Version of the file's format.
    #[schemars(extend("const" = 1))]
    version: u8,
    /// Agents by name.
    #[schemars(extend("minProperties" = 1))]
    agents: BTreeMap<AgentName, Option<AgentSchema>>,
}

/// Letters, digits, `-`, `_` and `.`, at most 64.
#[derive(JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[schemars(transparent)]
#[allow(dead_code, reason = "only its schema is used")]
struct AgentName(#[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))] String);

/// One agent. `deny` beats everything; an absent list leaves its subject unrestricted, an empty list permits nothing.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Agent")]
#[allow(dead_code, reason = "only its schema is used")]
struct AgentSchema {
    /// A built-in profile or another agent of this file: its lists come first, scalars here win over it.
    extends: Option<String>,
    /// `monitor` judges and records, and denies nothing.
    mode: Option<ModeSchema>,
    /// What happens to an execution that no tier has decided.
    undecided: Option<UndecidedSchema>,
    exec: Option<Exec>,
    files: Option<Files>,
    network: Option<Network>,
    /// What the floor takes away and this agent gets back.
    privileges: Option<Vec<Privilege>>,
    /// Ids of the rules that judge this agent; `*` means all.
    rules: Option<Vec<String>>,
}

#[derive(JsonSchema)]
#[schemars(rename = "Undecided", rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum UndecidedSchema {
    /// It runs and is judged beside; a denial ends it and what it started.
    Allow,
    /// It waits before its first instruction until it is judged.
    Hold,
    /// It is refused and judged; the next attempt gets the answer.
    Deny,
}

#[derive(JsonSchema)]
#[schemars(rename = "Mode", rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum ModeSchema {
    Enforce,
    Monitor,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum Choice {
    Allow,
    Deny,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum Privilege {
    Ptrace,
    Mount,
    Userns,
    RawSockets,
    Bpf,
    Perf,
    Keyring,
    Modules,
}

/// Programs.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Exec {
    /// Programs that may run: path patterns or `sha256:` and 64 hexadecimal digits.
    allow: Option<Vec<Program>>,
    /// Programs that may not run.
    deny: Option<Vec<Program>>,
    /// Files that may be mapped executable besides what `allow` names.
    libraries: Option<Vec<PathPattern>>,
    /// Programs with no file behind them; `deny` when nothing is said.
    anonymous: Option<Choice>,
}

/// Files and directories.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Files {
    read: Option<Vec<PathPattern>>,
    write: Option<Vec<PathPattern>>,
    /// Neither read nor written nor run.
    deny: Option<Vec<PathPattern>>,
    /// May be read; never written, created, renamed or linked, whatever `write` says.
    readonly: Option<Vec<PathPattern>>,
}

/// Sockets.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Network {
    connect: Option<Vec<EndpointPattern>>,
    listen: Option<Vec<EndpointPattern>>,
    /// Beats `connect` and `listen`.
    deny: Option<Vec<EndpointPattern>>,
    /// Unix sockets: path patterns and `@abstract` names.
    unix: Option<Vec<UnixPattern>>,
}

/// An absolute path pattern or `sha256:` and 64 hexadecimal digits.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[allow(dead_code, reason = "only its schema is used")]
struct Program(#[schemars(regex(pattern = r"^(/|\*\*/|\$\{|\{|sha256:[0-9a-fA-F]{64}$)"))] String);

/// An absolute path pattern: `*` and `?` stay inside one component, `**` crosses them.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[allow(dead_code, reason = "only its schema is used")]
struct PathPattern(#[schemars(regex(pattern = r"^(/|\*\*/|\$\{|\{)"))] String);

/// An absolute path pattern or `@` and the pattern of an abstract name.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[allow(dead_code, reason = "only its schema is used")]
struct UnixPattern(#[schemars(regex(pattern = r"^(/|\*\*/|\$\{|\{|@.)"))] String);

/// `HOST:PORT[/udp|/tcp]`: address, CIDR, `[v6]`, `[v6/len]` or `*`; number, `a-b` or `*`.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[allow(dead_code, reason = "only its schema is used")]
struct EndpointPattern(#[schemars(regex(pattern = r"^.+:(\*|[0-9]+(-[0-9]+)?)(/tcp|/udp)?$"))] String);
