// SPDX-License-Identifier: Apache-2.0
//! An agent with its session's facts to what the kernel walks.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use regex_automata::nfa::thompson::pikevm::PikeVM;

use super::agent::{Agent, Entry, ListKind, Mode, Undecided, What};
use super::automaton::Automaton;
use super::dfa::{self, Failure, Patterns};
use super::endpoint::Endpoint;
use super::glob::{self, Token};
use super::network::{self, Lists, NetworkTable};
use super::problem::{Position, Problem, show};
use super::right;

/// What is only known when a session starts. Values are bytes as the system has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFacts {
    pub home: Vec<u8>,
    pub user: Vec<u8>,
    pub cwd: Vec<u8>,
}

/// How big the tables may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Cells of 16 bytes. Memory and time of the compilation are bounded in proportion.
    pub max_cells: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_cells: 4 << 20 }
    }
}

/// What the tables mean: which lists are there, and the scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    pub mode: Mode,
    pub undecided: Undecided,
    pub has_read: bool,
    pub has_write: bool,
    pub has_exec_allow: bool,
    pub has_libraries: bool,
    /// A `network` section is there: rare address families are denied.
    pub has_network: bool,
    pub has_connect: bool,
    pub has_listen: bool,
    pub has_unix: bool,
    /// `network.deny` names something: the table decides even where `connect` or `listen` is absent.
    pub has_network_deny: bool,
    pub has_hash_rules: bool,
    pub anonymous_allowed: bool,
    /// [`super::privilege`] bits.
    pub privileges: u32,
}

impl Flags {
    /// Whether the network table decides on connecting.
    pub fn checks_connect(&self) -> bool {
        self.has_connect || self.has_network_deny
    }

    /// Whether the network table decides on listening.
    pub fn checks_listen(&self) -> bool {
        self.has_listen || self.has_network_deny
    }
}

/// An object that a forbidding pattern names exactly, so that its identity can be marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub path: Vec<u8>,
    /// [`right::DENY`], [`right::EXEC_DENY`], [`right::READONLY`].
    pub rights: u8,
    /// Everything below the path is meant too.
    pub subtree: bool,
}

/// A forbidding pattern that names no single object: what it matches must be looked for.
#[derive(Debug)]
pub struct DenyGlob<'a> {
    /// The deepest directory that all matches are below; `/` for a pattern of any depth.
    pub directory: Vec<u8>,
    /// As in [`Anchor::rights`].
    pub rights: u8,
    /// Everything below what [`DenyGlob::names`] is meant too.
    pub subtree: bool,
    /// Matches can lie at any depth: finding them all would mean looking at every file there.
    pub any_depth: bool,
    /// The pattern as it was written.
    pub text: &'a str,
    names: Vec<Vec<Token>>,
    name_matcher: Matcher,
    way_matcher: Matcher,
}

type Matcher = OnceLock<Option<Box<PikeVM>>>;

impl DenyGlob<'_> {
    /// Whether this pattern names the object `path`; with [`DenyGlob::subtree`], the one above all that is meant.
    pub fn names(&self, path: &[u8]) -> bool {
        let matcher = self.name_matcher.get_or_init(|| dfa::matcher(&self.names).map(Box::new));
        matcher.as_ref().is_some_and(|m| dfa::matches(m, path))
    }

    /// Whether something that this pattern names can lie below the directory `path`.
    pub fn leads_below(&self, path: &[u8]) -> bool {
        let ways = || self.names.iter().flat_map(|tokens| glob::ways_to(tokens)).collect::<Vec<_>>();
        let matcher = self.way_matcher.get_or_init(|| dfa::matcher(&ways()).map(Box::new));
        // A matcher that cannot be built must not hide anything.
        matcher.as_ref().is_none_or(|m| dfa::matches(m, path))
    }
}

/// An agent ready for the kernel, and able to answer the same questions here.
#[derive(Debug)]
pub struct Compiled {
    pub agent: String,
    pub flags: Flags,
    pub automaton: Automaton,
    pub network: NetworkTable,
    /// SHA-256 of programs; `true` when allowed.
    pub hashes: Vec<([u8; 32], bool)>,
    pub anchors: Vec<Anchor>,
    /// Where the agent's definition stands.
    pub source: String,
    pub(super) entries: Vec<CompiledEntry>,
    /// Where each list stands, for the advice of a denial.
    pub(super) lists: Vec<(ListKind, Position)>,
}

/// One list entry, for explanations.
#[derive(Debug)]
pub(super) struct CompiledEntry {
    pub(super) kind: ListKind,
    pub(super) rule: String,
    /// `None` for what no policy can change.
    pub(super) at: Option<Position>,
    pub(super) text: String,
    pub(super) what: Subject,
}

#[derive(Debug)]
pub(super) enum Subject {
    Path { branches: Vec<Vec<Token>>, matcher: Matcher },
    Hash([u8; 32]),
    Endpoint(Endpoint),
}

impl CompiledEntry {
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let Subject::Path { branches, matcher } = &self.what else {
            return false;
        };
        let matcher = matcher.get_or_init(|| dfa::matcher(branches).map(Box::new));
        matcher.as_ref().is_some_and(|m| dfa::matches(m, path))
    }
}

impl Agent {
    /// Builds the tables for one session. `guard` are the absolute paths of Lictor's own trees: whatever
    /// the policy says, the session has no access to them.
    ///
    /// # Errors
    /// What only shows with the facts filled in: a value that is no path, an entry that can never take
    /// effect, patterns that together need more states than `limits` allow.
    pub fn compile(&self, facts: &SessionFacts, guard: &[Vec<u8>], limits: Limits) -> Result<Compiled, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut entries = Vec::with_capacity(self.pattern_count() + guard.len());
        let mut patterns = Patterns::default();
        let mut constants: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut hashes = Vec::new();
        for path in guard {
            let tokens = glob::literal_subtree(path);
            push(&mut patterns, right::DENY | right::READONLY, &tokens);
            entries.push(CompiledEntry {
                kind: ListKind::FilesDeny,
                rule: "floor.guard".into(),
                at: None,
                text: show(path),
                what: Subject::Path { branches: vec![tokens], matcher: OnceLock::new() },
            });
        }
        for (kind, list) in &self.lists {
            for entry in &list.entries {
                let what = match &entry.what {
                    What::Path(glob) => match glob.fill(facts) {
                        Ok(branches) => {
                            for branch in &branches {
                                push(&mut patterns, right_of(*kind), branch);
                                let own = entry.owner == self.name && kind.permits() && glob.is_constant();
                                if let (true, Some((path, false))) = (own, glob::literal(branch)) {
                                    constants.push((entries.len(), path));
                                }
                            }
                            Subject::Path { branches, matcher: OnceLock::new() }
                        }
                        Err(message) => {
                            problems.push(entry.at.problem(format!("{}: {message}", kind.key())));
                            continue;
                        }
                    },
                    What::Hash(hash) => {
                        hashes.push((*hash, *kind == ListKind::ExecAllow));
                        Subject::Hash(*hash)
                    }
                    What::Endpoint(endpoint) => Subject::Endpoint(*endpoint),
                };
                entries.push(compiled_entry(*kind, entry, what));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let automaton = Automaton::build(&patterns, limits).map_err(|f| vec![self.explosion(&f, limits)])?;
        let network = self.network_table(&entries)?;
        hashes.sort_unstable();
        hashes.dedup();
        let compiled = Compiled {
            agent: self.name.to_string(),
            flags: self.flags(!hashes.is_empty()),
            automaton,
            network,
            hashes,
            anchors: anchors(&entries),
            source: self.at.to_string(),
            entries,
            lists: self.lists.iter().map(|(kind, list)| (*kind, list.at.clone())).collect(),
        };
        compiled.check_effect(&constants)?;
        Ok(compiled)
    }

    fn flags(&self, has_hash_rules: bool) -> Flags {
        let has = |kind| self.lists.contains_key(&kind);
        Flags {
            mode: self.mode(),
            undecided: self.undecided(),
            has_read: has(ListKind::FilesRead),
            has_write: has(ListKind::FilesWrite),
            has_exec_allow: has(ListKind::ExecAllow),
            has_libraries: has(ListKind::ExecLibraries),
            has_network: self.has_network,
            has_connect: has(ListKind::NetworkConnect),
            has_listen: has(ListKind::NetworkListen),
            has_unix: has(ListKind::NetworkUnix),
            has_network_deny: self.lists.get(&ListKind::NetworkDeny).is_some_and(|l| !l.entries.is_empty()),
            has_hash_rules,
            anonymous_allowed: self.anonymous_allowed(),
            privileges: self.privileges(),
        }
    }

    fn network_table(&self, entries: &[CompiledEntry]) -> Result<NetworkTable, Vec<Problem>> {
        let of = |kind| {
            let endpoints = entries.iter().filter(move |e| e.kind == kind).filter_map(|e| match &e.what {
                Subject::Endpoint(endpoint) => Some(endpoint),
                _ => None,
            });
            self.lists.contains_key(&kind).then(|| endpoints.collect())
        };
        let lists = Lists {
            connect: of(ListKind::NetworkConnect),
            listen: of(ListKind::NetworkListen),
            deny: of(ListKind::NetworkDeny).unwrap_or_default(),
        };
        network::build(&lists).map_err(|_| {
            let message = format!(
                "agent `{}`: network names more than 4096 different sets of ports: use the same ports for several hosts",
                self.name
            );
            vec![self.at.problem(message)]
        })
    }

    /// Names the list that is most likely meant: the one with the most wildcards.
    fn explosion(&self, failure: &Failure, limits: Limits) -> Problem {
        let wildcards = |entry: &&Entry| entry.text.bytes().filter(|b| matches!(b, b'*' | b'?' | b'[')).count();
        let heaviest = self
            .lists
            .iter()
            .flat_map(|(kind, list)| list.entries.iter().map(move |e| (*kind, e)))
            .filter(|(_, e)| matches!(e.what, What::Path(_)))
            .max_by_key(|(_, e)| wildcards(e));
        let (at, key) = match heaviest {
            Some((kind, entry)) => (&entry.at, kind.key()),
            None => (&self.at, "files"),
        };
        let agent = &self.name;
        at.problem(match failure {
            Failure::TooBig => format!(
                "agent `{agent}`: its path patterns together need more than {} table cells; this entry of {key} has the \
                 most wildcards: use fewer `**`, `?` and `[...]` in one pattern, or name directories instead",
                limits.max_cells
            ),
            Failure::Refused(why) => format!("agent `{agent}`: its path patterns cannot be compiled: {why}"),
        })
    }
}

impl Compiled {
    /// The forbidding patterns that name no single object. Together with [`Compiled::anchors`] they are
    /// everything whose identity must be marked.
    pub fn deny_globs(&self) -> Vec<DenyGlob<'_>> {
        let mut found = Vec::new();
        for entry in self.entries.iter().filter(|e| !e.kind.permits()) {
            // What one line names in one place is looked for together.
            let mut places: BTreeMap<(Vec<u8>, bool, bool), Vec<Vec<Token>>> = BTreeMap::new();
            for mut tokens in single_patterns(entry).filter(|t| glob::literal(t).is_none()) {
                let prefix = glob::literal_prefix(&tokens);
                // `/a/b*` is looked for in `/a`; `/a` with `/**/x` behind it in `/a` itself.
                let whole = matches!(tokens.get(prefix.len()), Some(Token::SubtreeOf));
                let end = if whole { prefix.len() } else { prefix.iter().rposition(|b| *b == b'/').unwrap_or(0) };
                let directory = if end == 0 { b"/".to_vec() } else { prefix[..end].to_vec() };
                let subtree = tokens.pop_if(|last| *last == Token::SubtreeOf).is_some();
                let deep = |t: &Token| matches!(t, Token::SubtreeOf | Token::Globstar | Token::Alternatives(_));
                let any_depth = tokens.iter().any(deep);
                places.entry((directory, subtree, any_depth)).or_default().push(tokens);
            }
            for ((directory, subtree, any_depth), names) in places {
                let (name_matcher, way_matcher) = (Matcher::new(), Matcher::new());
                let (rights, text) = (right_of(entry.kind), entry.text.as_str());
                found.push(DenyGlob { directory, rights, subtree, any_depth, text, names, name_matcher, way_matcher });
            }
        }
        found
    }

    /// A permitted path that a wider pattern forbids is a line that does nothing.
    fn check_effect(&self, constants: &[(usize, Vec<u8>)]) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        for (index, path) in constants {
            let entry = &self.entries[*index];
            let mask = self.mask(path);
            let beaten = match entry.kind {
                ListKind::FilesWrite => mask & (right::DENY | right::READONLY),
                ListKind::ExecAllow | ListKind::ExecLibraries => mask & (right::DENY | right::EXEC_DENY),
                _ => mask & right::DENY,
            };
            if beaten == 0 {
                continue;
            }
            let forbids = |e: &&CompiledEntry| !e.kind.permits() && right_of(e.kind) & beaten != 0 && e.matches(path);
            let by = match self.entries.iter().find(forbids) {
                Some(CompiledEntry { at: Some(at), kind, text, .. }) => format!("{} `{text}` at {at}", kind.key()),
                _ => "the protection of Lictor's own files".into(),
            };
            if let Some(at) = &entry.at {
                let message = format!(
                    "`{}` in {} can never take effect: {by} forbids it; remove one of the two",
                    entry.text.escape_debug(),
                    entry.kind.key()
                );
                problems.push(at.problem(message));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// The bit a list sets on what it names; endpoints have none.
pub(super) fn right_of(kind: ListKind) -> u8 {
    match kind {
        ListKind::ExecAllow => right::EXEC,
        ListKind::ExecDeny => right::EXEC_DENY,
        ListKind::ExecLibraries => right::LIBRARY,
        ListKind::FilesRead => right::READ,
        ListKind::FilesWrite => right::WRITE,
        ListKind::FilesDeny => right::DENY,
        ListKind::FilesReadonly => right::READONLY,
        ListKind::NetworkUnix => right::UNIX,
        ListKind::NetworkConnect | ListKind::NetworkListen | ListKind::NetworkDeny => 0,
    }
}

fn push(patterns: &mut Patterns, rights: u8, tokens: &[Token]) {
    for (bit, list) in patterns.iter_mut().enumerate() {
        if rights >> bit & 1 == 1 {
            list.push(tokens.to_vec());
        }
    }
}

fn compiled_entry(kind: ListKind, entry: &Entry, what: Subject) -> CompiledEntry {
    CompiledEntry {
        kind,
        rule: format!("{}.{}[{}]", entry.owner, kind.key(), entry.index),
        at: Some(entry.at.clone()),
        text: entry.text.clone(),
        what,
    }
}

/// The patterns without braces that an entry stands for.
fn single_patterns(entry: &CompiledEntry) -> impl Iterator<Item = Vec<Token>> {
    let branches = match &entry.what {
        Subject::Path { branches, .. } => branches.as_slice(),
        Subject::Hash(_) | Subject::Endpoint(_) => &[],
    };
    branches.iter().flat_map(|tokens| glob::spelled_out(tokens))
}

fn anchors(entries: &[CompiledEntry]) -> Vec<Anchor> {
    let mut anchors: Vec<Anchor> = Vec::new();
    for entry in entries.iter().filter(|e| !e.kind.permits()) {
        let guard = if entry.at.is_none() { right::READONLY } else { 0 };
        let literal = single_patterns(entry).filter_map(|tokens| glob::literal(&tokens));
        anchors.extend(literal.map(|(path, subtree)| Anchor { path, rights: right_of(entry.kind) | guard, subtree }));
    }
    anchors.sort_by(|a, b| (&a.path, a.subtree).cmp(&(&b.path, b.subtree)));
    anchors.dedup_by(|later, kept| {
        let same = later.path == kept.path && later.subtree == kept.subtree;
        if same {
            kept.rights |= later.rights;
        }
        same
    });
    anchors
}

/// Kernel tables and answers travel between threads.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Arc<Compiled>>();
};
