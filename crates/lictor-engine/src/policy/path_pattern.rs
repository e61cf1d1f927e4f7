// SPDX-License-Identifier: Apache-2.0
//! One path pattern by itself, for whoever compares a path outside of an agent's lists.

use std::fmt;

use super::compile::{Limits, SessionFacts};
use super::dfa::{self, Table};
use super::glob::{Glob, Space};

/// Room for the table of one pattern, in states and work: a thousand times what people write.
const LIMITS: Limits = Limits { max_cells: 1 << 16 };

/// A path pattern with the meaning that it has in a policy, ready to be compared.
pub struct PathPattern {
    text: String,
    table: Table,
}

impl PathPattern {
    /// Takes the pattern `text`, in which no session's `${...}` may stand.
    ///
    /// # Errors
    /// What is wrong with the pattern, as one sentence.
    pub fn parse(text: &str) -> Result<PathPattern, String> {
        let glob = Glob::parse(text, Space::Paths)?;
        if !glob.is_constant() {
            return Err("`${...}` stands for something only in a policy: write the path itself".into());
        }
        let nobody = SessionFacts { home: Vec::new(), user: Vec::new(), cwd: Vec::new() };
        let mut patterns = dfa::Patterns::default();
        patterns[0] = glob.fill(&nobody)?;
        match dfa::build(&patterns, LIMITS) {
            Ok(table) => Ok(PathPattern { text: text.to_owned(), table }),
            Err(dfa::Failure::TooBig) => {
                Err("the pattern is too complex: it needs more states than are allowed".into())
            }
            Err(dfa::Failure::Refused(why)) => Err(format!("the pattern cannot be compiled: {why}")),
        }
    }

    /// Whether the pattern names `path`, in time linear in its length.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        self.table.walk(path) != 0
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PathPattern").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_it_means_in_a_policy() {
        let check = |pattern: &str, path: &str, expected: bool| {
            assert_eq!(PathPattern::parse(pattern).unwrap().matches(path.as_bytes()), expected, "{pattern} {path}");
        };
        check("/etc/*", "/etc/shadow", true);
        check("/etc/*", "/etc/ssl/certs", false);
        check("/etc/**", "/etc/ssl/certs", true);
        check("/etc/**", "/etc", true);
        check("**/.env", "/srv/app/.env", true);
        check("**/.env", "/srv/app/.envrc", false);
        check("/home/*/.ssh/{id_*,known_hosts}", "/home/u/.ssh/id_rsa", true);
        check("/**", "/", true);
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_reason() {
        let check = |pattern: &str, part: &str| {
            let error = PathPattern::parse(pattern).unwrap_err();
            assert!(error.contains(part), "{pattern}: {error}");
        };
        check("", "empty");
        check("etc/x", "not absolute");
        check("${HOME}/x", "only in a policy");
        check("/a[", "`[`");
        check(&format!("/*a{}", "?".repeat(40)), "too complex");
    }
}
