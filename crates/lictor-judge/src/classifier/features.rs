// SPDX-License-Identifier: Apache-2.0
//! From an execution to the model's input. The same code runs in training (`examples/featurize.rs`) and in the daemon.
//!
//! An execution becomes *pieces* (commands, cut where they are very long), pieces become *windows* of bounded size, and
//! each window becomes one input: `dense` numbers with a fixed meaning, and hashed `sparse` ones. The model's answer for
//! the execution is the highest of its windows', so that nothing can be hidden behind padding.

use super::lexicon::{self, CONTEXT, KINDS, Kind, PATTERNS, SIGNS};
use super::pieces::{PIECE_BYTES, Piece, Pieces, STEP, WINDOW, WINDOW_BYTES, floor, windows};
use super::places::{CLASSES, path_class};
use super::programs::{EVERYDAY, SHELLS, WRITERS};
use super::shell::{Command, Join, program_name};
use super::signs::signs;
use super::text::{self, Oddities};

/// Number of hashed features; the model's weight tables have as many rows, and one of zeros for padding.
pub const SPARSE: usize = 1 << 17;
/// Hashed features of one window at most; a window's size keeps it below.
pub const MAX_SPARSE: usize = 16384;

const ACCESSES: usize = 3;
const NUMBERS: usize = 36;

/// Length of the dense part: kinds in commands and in data (severity, count), sums, places by access, numbers, patterns.
pub const DENSE: usize =
    KINDS * 3 + 10 + CLASSES.len() * ACCESSES + NUMBERS + PATTERNS.len() + CONTEXT.len() + SIGNS.len();

/// The model's input for one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// [`DENSE`] numbers, most of them 0 to 1.
    pub dense: Vec<f32>,
    /// Index below [`SPARSE`] and value; each index once, in rising order.
    pub sparse: Vec<(u32, f32)>,
}

/// The inputs of all windows.
pub(crate) fn inputs(pieces: &Pieces) -> Vec<Input> {
    windows(&pieces.pieces).into_iter().map(|window| input(pieces, &pieces.pieces[window])).collect()
}

/// The input of one window.
pub(crate) fn input(all: &Pieces, pieces: &[Piece]) -> Input {
    let mut build = Builder { dense: vec![0.0; DENSE], hashed: Vec::with_capacity(1024) };
    let mut main = String::with_capacity(512);
    let mut data = String::new();
    let mut facts = Facts::default();
    let mut before: Option<String> = None;
    for piece in pieces {
        let command = &piece.command;
        let name = command.words.first().map(|word| program_token(&word.text)).unwrap_or_default();
        main.push_str(match command.join {
            _ if main.is_empty() => "",
            Join::After => " ; ",
            Join::Pipe => " | ",
            Join::Inside => " @ ",
            Join::Wrapped => " ",
        });
        render(command, &name, !piece.data.trim().is_empty(), &mut main);
        data.push_str(&text::generalise(&piece.data));
        if !piece.data.is_empty() {
            data.push('\n');
        }
        build.command(command, &name, before.as_deref(), all.directory.as_deref(), &mut facts);
        before = Some(name);
    }
    main.truncate(floor(&main, main.len().min(2 * WINDOW_BYTES)));
    data.truncate(floor(&data, data.len().min(2 * WINDOW_BYTES)));
    build.patterns(&main, &data, &all.context, &signs(pieces));
    build.numbers(&main, &data, pieces, &facts, &all.odd);
    build.grams(&main, "g");
    build.data(&data);
    build.finish()
}

/// The program as a token: its name; where it lies when that is unusual.
fn program_token(word: &str) -> String {
    if word.starts_with('$') {
        return "$VAR".to_owned();
    }
    let name = program_name(word);
    match path_class(word) {
        "tmp" | "tmphidden" | "shm" => format!("TMP/{}", text::normalise(&name)),
        "here" | "dotfile" | "dots" => format!("./{}", text::normalise(&name)),
        "home" | "homehidden" => format!("~/{}", text::normalise(&name)),
        _ => name,
    }
}

/// The normal form: program, arguments, redirections, with hosts and blobs as their kind.
fn render(command: &Command, name: &str, data: bool, out: &mut String) {
    for word in &command.assignments {
        out.push_str(&text::generalise(&word.text));
        out.push(' ');
    }
    if let Some(first) = command.words.first() {
        let special = name.starts_with("TMP/") || name.starts_with("./") || name.starts_with("~/") || name == "$VAR";
        out.push_str(if special { &first.text } else { name });
    }
    for word in command.words.iter().skip(1) {
        if word.followed {
            continue;
        }
        out.push(' ');
        let text = text::generalise(&word.text);
        if word.code {
            out.push_str(&text.replace(['\n', '\r'], " "));
        } else {
            out.push_str(&text);
        }
    }
    if data {
        out.push_str(" TEXT");
    }
    for redirect in &command.redirects {
        out.push(' ');
        out.push_str(&redirect.operator);
        out.push_str(&text::generalise(&redirect.target));
    }
}

#[derive(Default)]
struct Facts {
    commands: u32,
    pipes: u32,
    everyday: u32,
    local: u32,
    depth: u8,
    substitutions: u32,
    flags: u32,
    code: usize,
    code_words: u32,
    urls: u32,
    blobs: u32,
    longest: String,
    wrapped: u32,
    shells: u32,
}

struct Builder {
    dense: Vec<f32>,
    /// Hash and group; the value of a group's features is one over the root of their number.
    hashed: Vec<(u32, u8)>,
}

/// Groups of hashed features, each scaled by itself.
const GROUPS: usize = 5;
const TOKENS: u8 = 0;
const GRAMS: u8 = 1;
const CODE: u8 = 2;
const DATA: u8 = 3;
const ACROSS: u8 = 4;

impl Builder {
    fn add(&mut self, group: u8, parts: &[&str]) {
        let mut bytes: [&[u8]; 4] = [&[]; 4];
        for (slot, part) in bytes.iter_mut().zip(parts) {
            *slot = part.as_bytes();
        }
        self.add_bytes(group, &bytes[..parts.len().min(4)]);
    }

    /// FNV-1a over the parts, mixed so that the low bits are as good as the high ones.
    fn add_bytes(&mut self, group: u8, parts: &[&[u8]]) {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for part in parts {
            for byte in *part {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
            hash = (hash ^ 0xff).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash ^= hash >> 29;
        hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^= hash >> 32;
        self.hashed.push(((hash % SPARSE as u64) as u32, group));
    }

    fn place(&mut self, access: usize, class: &str) {
        if let Some(at) = CLASSES.iter().position(|known| *known == class) {
            self.dense[KINDS * 3 + 10 + access * CLASSES.len() + at] = 1.0;
        }
    }

    fn command(
        &mut self,
        command: &Command,
        name: &str,
        before: Option<&str>,
        directory: Option<&str>,
        facts: &mut Facts,
    ) {
        facts.commands += 1;
        facts.everyday += u32::from(EVERYDAY.contains(&name));
        facts.local += u32::from(name.contains('/'));
        facts.depth = facts.depth.max(command.depth);
        facts.pipes += u32::from(command.join == Join::Pipe);
        facts.wrapped += u32::from(command.wrapper.is_some());
        facts.shells += u32::from(SHELLS.contains(&name));
        self.add(TOKENS, &["p", name]);
        if let Some(before) = before {
            let join = match command.join {
                Join::Pipe => "|",
                Join::After => ";",
                Join::Inside => "@",
                Join::Wrapped => "w",
            };
            self.add(TOKENS, &["pp", before, join, name]);
            if command.join != Join::After {
                self.add(TOKENS, &["pj", join, name]);
            }
        }
        if let Some(wrapper) = &command.wrapper {
            self.add(TOKENS, &["in", wrapper, name]);
        }
        let writes =
            WRITERS.contains(&name) || (name == "sed" && command.words.iter().any(|word| word.text.starts_with("-i")));
        let class_of = |word: &str| match directory {
            Some(directory) if !word.starts_with(['/', '~', '$', '-']) => path_class(&format!("{directory}/{word}")),
            _ => path_class(word),
        };
        let mut previous: Option<String> = None;
        for (at, word) in command.words.iter().enumerate() {
            let text = word.text.as_str();
            facts.substitutions += text.matches("$()").count() as u32;
            if text.len() > facts.longest.len() && text.len() <= PIECE_BYTES {
                facts.longest = text.to_owned();
            }
            if at == 0 {
                if text.contains('/') {
                    let class = class_of(text);
                    self.add(TOKENS, &["px", class]);
                    self.place(2, class);
                }
                continue;
            }
            if word.followed {
                self.add(TOKENS, &["line", name]);
                continue;
            }
            if word.code {
                facts.code += text.len();
                facts.code_words += 1;
                self.add(TOKENS, &["code", name]);
                self.code(text, name);
                continue;
            }
            let kind: String = if text.starts_with('-') && text.len() > 1 {
                facts.flags += 1;
                let flag = text.split('=').next().unwrap_or(text);
                let flag = text::normalise(flag);
                self.add(TOKENS, &["f", &flag]);
                self.add(TOKENS, &["pf", name, &flag]);
                if let Some((_, value)) = text.split_once('=')
                    && !value.is_empty()
                {
                    let class = class_of(value);
                    self.add(TOKENS, &["fv", &flag, class]);
                    if value.contains('/') {
                        self.place(0, class);
                    }
                }
                flag
            } else if text.contains("://") {
                facts.urls += 1;
                let url = text::generalise(text);
                let host = if url.contains("LOCAL") {
                    "URL-local"
                } else if url.contains("IP4") {
                    "URL-ip"
                } else {
                    "URL"
                };
                self.add(TOKENS, &["a", host]);
                self.add(TOKENS, &["pa", name, host]);
                host.to_owned()
            } else if text.contains('/') || text.starts_with('~') || text.starts_with('.') {
                // `of=/dev/sda`, `user@host:/etc/x`
                let path = text.rsplit(['=', ':', '@']).next().unwrap_or(text);
                let path = if path.is_empty() { text } else { path };
                let class = class_of(path);
                let access = if writes || text.starts_with("of=") { "w" } else { "r" };
                self.place(usize::from(access == "w"), class);
                self.add(TOKENS, &[access, class]);
                self.add(TOKENS, &["pa", name, class]);
                if let Some(extension) = extension(path) {
                    self.add(TOKENS, &["pe", name, extension]);
                }
                class.to_owned()
            } else {
                facts.blobs += u32::from(text::is_blob(text));
                let short = text::normalise(text);
                if short.len() <= 32 {
                    self.add(TOKENS, &["w", &short]);
                    if at == 1 || previous.as_deref().is_some_and(|previous| previous.starts_with('-')) {
                        self.add(TOKENS, &["pw", name, &short]);
                    }
                }
                if let Some(extension) = extension(text) {
                    self.add(TOKENS, &["pe", name, extension]);
                }
                if directory.is_some() {
                    let class = class_of(text);
                    self.place(usize::from(writes), class);
                    self.add(TOKENS, &["pa", name, class]);
                }
                if word.text.contains(' ') { "TEXT".to_owned() } else { "WORD".to_owned() }
            };
            if let Some(previous) = &previous {
                self.add(TOKENS, &["b", previous, &kind]);
            }
            previous = Some(kind);
        }
        for word in &command.assignments {
            let (variable, value) = word.text.split_once('=').unwrap_or((&word.text, ""));
            self.add(TOKENS, &["set", &text::normalise(variable)]);
            self.add(TOKENS, &["setv", class_of(value)]);
        }
        for redirect in &command.redirects {
            let class = class_of(&redirect.target);
            self.add(TOKENS, &["r", &redirect.operator, class]);
            self.add(TOKENS, &["pr", name, &redirect.operator, class]);
            let access = usize::from(redirect.operator.contains('>'));
            self.place(access, class);
            if let Some(extension) = extension(&redirect.target) {
                self.add(TOKENS, &["re", &redirect.operator, extension]);
            }
        }
        if command.input.is_some() {
            self.add(TOKENS, &["input", name]);
        }
    }

    /// Identifiers of program text and which follow which.
    fn code(&mut self, text: &str, language: &str) {
        let mut previous: Option<&str> = None;
        for ident in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|ident| !ident.is_empty()) {
            let ident = if ident.len() > 24 || ident.bytes().all(|byte| byte.is_ascii_digit()) { "0" } else { ident };
            self.add(CODE, &["c", ident]);
            if let Some(previous) = previous {
                self.add(CODE, &["cc", previous, ident]);
            }
            if previous.is_none() {
                self.add(CODE, &["cl", language, ident]);
            }
            previous = Some(ident);
        }
    }

    /// Text that is written or printed: single words, for it says little what they stand beside.
    fn data(&mut self, text: &str) {
        for word in text
            .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '(' | ')'))
            .filter(|word| !word.is_empty())
        {
            if word.contains('/') {
                self.add(DATA, &["dp", path_class(word)]);
            } else if word.len() <= 24 {
                self.add(DATA, &["d", &text::normalise(word)]);
            }
        }
    }

    /// Runs of 3 to 5 characters inside words, of 5 and 6 across them.
    fn grams(&mut self, text: &str, space: &str) {
        let normal = text::normalise(text).to_ascii_lowercase();
        let mut seen = std::collections::HashSet::new();
        let mut padded = Vec::with_capacity(64);
        for word in normal.split_whitespace() {
            if !seen.insert(word) {
                continue;
            }
            padded.clear();
            padded.push(b' ');
            padded.extend_from_slice(word.as_bytes());
            padded.push(b' ');
            for size in 3..=5 {
                for gram in padded.windows(size) {
                    self.add_bytes(GRAMS, &[space.as_bytes(), gram]);
                }
            }
        }
        for size in [5, 6] {
            for gram in normal.as_bytes().windows(size).filter(|gram| gram[1..size - 1].contains(&b' ')) {
                self.add_bytes(ACROSS, &[space.as_bytes(), gram]);
            }
        }
    }

    fn patterns(&mut self, main: &str, data: &str, context: &[bool], signs: &[usize]) {
        let base = DENSE - PATTERNS.len() - CONTEXT.len() - SIGNS.len();
        let mut sums = [0.0_f32; 2];
        let mut worst = [0_u8; 2];
        let mut kinds = [[0_u8; KINDS]; 2];
        let mut found = |dense: &mut Vec<f32>, place: usize, kind: Kind, severity: u8| {
            let kind = kind as usize;
            sums[place] += f32::from(severity);
            worst[place] = worst[place].max(severity);
            kinds[place][kind] = kinds[place][kind].max(severity);
            if place == 0 {
                dense[KINDS + kind] = (dense[KINDS + kind] + 0.25).min(1.0);
            }
        };
        for at in lexicon::hits(main) {
            let (name, kind, severity, _) = PATTERNS[at];
            self.dense[base + at] = 1.0;
            found(&mut self.dense, 0, kind, severity);
            self.add(TOKENS, &["x", name]);
        }
        for (at, (name, kind, severity)) in CONTEXT.iter().enumerate() {
            if context[at] {
                self.dense[base + PATTERNS.len() + at] = 1.0;
                found(&mut self.dense, 0, *kind, *severity);
                self.add(TOKENS, &["x", name]);
            }
        }
        for at in signs {
            let (name, kind, severity) = SIGNS[*at];
            self.dense[base + PATTERNS.len() + CONTEXT.len() + at] = 1.0;
            found(&mut self.dense, 0, kind, severity);
            self.add(TOKENS, &["s", name]);
        }
        if !data.is_empty() {
            for at in lexicon::hits(data) {
                let (name, kind, severity, _) = PATTERNS[at];
                found(&mut self.dense, 1, kind, severity);
                self.add(DATA, &["dx", name]);
            }
        }
        for (kind, severity) in kinds[0].iter().enumerate() {
            self.dense[kind] = f32::from(*severity) / 4.0;
        }
        for (kind, severity) in kinds[1].iter().enumerate() {
            self.dense[KINDS * 2 + kind] = f32::from(*severity) / 4.0;
        }
        for place in 0..2 {
            let at = KINDS * 3 + place * 5;
            self.dense[at] = f32::from(worst[place]) / 4.0;
            self.dense[at + 1] = (1.0 + sums[place]).ln() / 3.0;
            for (slot, least) in [2_u8, 3, 4].into_iter().enumerate() {
                self.dense[at + 2 + slot] =
                    kinds[place].iter().filter(|severity| **severity >= least).count() as f32 / 4.0;
            }
        }
        for severity in 1..=4_u8 {
            if worst[0] >= severity {
                self.add(TOKENS, &["worst", &severity.to_string()]);
            }
        }
    }

    fn numbers(&mut self, main: &str, data: &str, pieces: &[Piece], facts: &Facts, odd: &Oddities) {
        let share = |count: usize| count as f32 / main.len().max(1) as f32;
        let count = |test: fn(&u8) -> bool| main.bytes().filter(test).count();
        let commands = facts.commands.max(1) as f32;
        let log = |number: usize| (1.0 + number as f32).ln() / 8.0;
        let has = |part: &str| f32::from(u8::from(main.contains(part)));
        let numbers: [f32; NUMBERS] = [
            log(main.len()),
            log(data.len()),
            log(facts.commands as usize),
            log(facts.pipes as usize),
            f32::from(facts.depth) / 4.0,
            text::entropy(main) / 8.0,
            text::entropy(&facts.longest) / 8.0,
            log(facts.longest.len()),
            share(count(|byte| !byte.is_ascii_alphanumeric() && *byte != b' ')),
            share(count(u8::is_ascii_digit)),
            share(count(u8::is_ascii_uppercase)),
            share(count(|byte| matches!(byte, b'\\' | b'$' | b'{' | b'`'))),
            share(count(|byte| *byte == b'/')),
            share(count(|byte| matches!(byte, b'<' | b'>' | b'&'))),
            log(odd.invisible as usize),
            log(odd.lookalike as usize),
            log(odd.binary as usize),
            log(odd.foreign as usize),
            facts.everyday as f32 / commands,
            facts.local as f32 / commands,
            log(facts.substitutions as usize),
            log(facts.flags as usize),
            log(facts.code),
            log(facts.code_words as usize),
            log(facts.urls as usize),
            log(facts.blobs as usize),
            log(facts.wrapped as usize),
            log(facts.shells as usize),
            has("IP4"),
            has("LOCAL"),
            has("HOST"),
            has("B64"),
            has("HEX"),
            has("sudo "),
            f32::from(u8::from(pieces.iter().any(|piece| piece.command.input.is_some()))),
            log(pieces.iter().map(|piece| piece.command.redirects.len()).sum()),
        ];
        let at = KINDS * 3 + 10 + CLASSES.len() * ACCESSES;
        self.dense[at..at + NUMBERS].copy_from_slice(&numbers);
    }

    fn finish(mut self) -> Input {
        self.hashed.sort_unstable();
        self.hashed.dedup();
        let mut counts = [0_u32; GROUPS];
        for (_, group) in &self.hashed {
            counts[usize::from(*group)] += 1;
        }
        let scale = counts.map(|count| 1.0 / (count.max(8) as f32).sqrt());
        let mut sparse: Vec<(u32, f32)> = Vec::with_capacity(self.hashed.len());
        for (index, group) in self.hashed {
            let value = scale[usize::from(group)];
            match sparse.last_mut() {
                Some((last, sum)) if *last == index => *sum += value,
                _ => sparse.push((index, value)),
            }
        }
        // Only a window of very many short words comes near it; the dense part still sees all of it.
        sparse.truncate(MAX_SPARSE);
        Input { dense: self.dense, sparse }
    }
}

/// `py` of `a/b.py`.
fn extension(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    let (stem, extension) = name.rsplit_once('.')?;
    (!stem.is_empty()
        && (1..=5).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    .then_some(extension)
}

/// What the dense inputs mean, in their order.
#[must_use]
pub fn dense_names() -> Vec<String> {
    let kinds: Vec<String> = [
        "remote",
        "escape",
        "fetch-run",
        "persist",
        "privilege",
        "secret",
        "evade",
        "discover",
        "lateral",
        "exfiltrate",
        "impact",
        "breakout",
        "collect",
        "tool",
    ]
    .map(str::to_owned)
    .into();
    let mut names = Vec::with_capacity(DENSE);
    for group in ["severity", "count", "data-severity"] {
        names.extend(kinds.iter().map(|kind| format!("{group}:{kind}")));
    }
    for place in ["command", "data"] {
        names.extend(["worst", "sum", "kinds-2", "kinds-3", "kinds-4"].map(|what| format!("{place}:{what}")));
    }
    for access in ["read", "write", "run"] {
        names.extend(CLASSES.iter().map(|class| format!("{access}:{class}")));
    }
    names.extend(
        [
            "length",
            "data-length",
            "commands",
            "pipes",
            "depth",
            "entropy",
            "longest-entropy",
            "longest",
            "symbols",
            "digits",
            "capitals",
            "expansions",
            "slashes",
            "redirections",
            "invisible",
            "lookalike",
            "binary",
            "foreign",
            "everyday",
            "local",
            "substitutions",
            "flags",
            "code",
            "code-words",
            "urls",
            "blobs",
            "wrapped",
            "shells",
            "ip",
            "loopback",
            "host",
            "base64",
            "hex",
            "sudo",
            "input",
            "redirects",
        ]
        .map(|what| format!("number:{what}")),
    );
    names.extend(PATTERNS.iter().map(|(name, ..)| format!("pattern:{name}")));
    names.extend(CONTEXT.iter().map(|(name, ..)| format!("context:{name}")));
    names.extend(SIGNS.iter().map(|(name, ..)| format!("sign:{name}")));
    names
}

/// Raised whenever a feature's meaning changes without its name.
const VERSION: u32 = 1;

/// What a model must have been trained on: 64 hexadecimal digits over names, sizes and version.
#[must_use]
pub fn fingerprint() -> String {
    use sha2::{Digest, Sha256};
    let mut hasher = Sha256::new();
    hasher.update(format!("{VERSION} {SPARSE} {MAX_SPARSE} {WINDOW} {STEP}\n"));
    for name in dense_names() {
        hasher.update(name);
        hasher.update("\n");
    }
    for (_, _, severity, pattern) in PATTERNS {
        hasher.update(format!("{severity} {pattern}\n"));
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
