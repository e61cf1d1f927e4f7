// SPDX-License-Identifier: Apache-2.0
//! Where something stands in a policy, and what is wrong with it.

use std::fmt;
use std::sync::Arc;

/// A place in a policy text. Lines and columns count from one; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Name of the file as it was given, or `builtin:NAME` for a profile that ships with Lictor.
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
}

impl Position {
    /// A problem that stands here.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { file: self.file.to_string(), line: self.line, column: self.column, message: message.into() }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that keeps a policy from being loaded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub file: String,
    pub line: u32,
    pub column: u32,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for Problem {}

/// Bytes for a message: text as it is, everything that could disturb a terminal or a log as `\xNN`.
pub(crate) fn show(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// "did you mean" where one known word is close, else the whole choice when it is short.
pub fn hint(word: &str, known: &[&str]) -> String {
    let close = known.iter().map(|k| (distance(word, k), *k)).min().filter(|(d, k)| *d <= k.len().div_ceil(3));
    match close {
        Some((_, k)) => format!(": did you mean `{k}`?"),
        None if known.len() <= 16 => format!(": known are {}", known.join(", ")),
        None => String::new(),
    }
}

/// Edit distance; words only, so long ones count as far away without being compared.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(40).collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = if x == y { diagonal } else { 1 + diagonal.min(row[j]).min(row[j + 1]) };
            diagonal = row[j + 1];
            row[j + 1] = cost;
        }
    }
    row[b.len()]
}
