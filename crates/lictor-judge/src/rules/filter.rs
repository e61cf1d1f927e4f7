// SPDX-License-Identifier: Apache-2.0
//! One condition about recorded events: which of them somebody wants.

use lictor_api::event::Event;
use thiserror::Error;

use super::check;
use super::code::Bool;
use super::eval::{self, Facts, Fault};
use crate::contain::contain;

/// A condition as rules have it, which may also name `verdict.action`, `.tier`, `.rule`, `.reason`, `.severity` and `.tags`.
#[derive(Debug)]
pub struct Filter {
    code: Bool,
    text: String,
}

/// What is wrong with a condition; each line is `COLUMN: message`, columns count characters from 1.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct FilterError(String);

impl Filter {
    /// Checks `text`.
    ///
    /// # Errors
    /// All mistakes: unknown names, clashes of types, patterns that are none.
    pub fn new(text: &str) -> Result<Filter, FilterError> {
        let checked = check::check_filter(text).map_err(|mistakes| {
            let place = |offset: usize| text.get(..offset).map_or(0, |before| before.chars().count()) + 1;
            let lines = mistakes.iter().map(|mistake| format!("{}: {}", place(mistake.offset), mistake.message));
            FilterError(lines.collect::<Vec<_>>().join("; "))
        })?;
        Ok(Filter { code: checked.code, text: text.to_owned() })
    }

    /// Whether the event is wanted. A number that the event does not have fits no condition.
    ///
    /// # Errors
    /// The condition failed while it ran.
    pub fn matches(&self, event: &Event) -> Result<bool, Fault> {
        let held = contain(|| eval::holds(&self.code, &Facts::new(event, None))).unwrap_or(Err(Fault::Broken));
        match held {
            Err(Fault::Absent(_)) => Ok(false),
            other => other,
        }
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_filter_sees_the_verdict_and_every_kind() {
        let denied = event(
            r#"{"kind":"network","network":{"op":"connect","port":443},"verdict":{"action":"deny","tier":"rules","severity":"high","tags":["T1041"]}}"#,
        );
        let plain = event(r#"{"kind":"exec","process":{"args":["ls"]}}"#);
        for (condition, of_denied, of_plain) in [
            (r#"verdict.action == "deny""#, true, false),
            (r#"verdict.severity in ["high", "critical"] || kind == "exec""#, true, true),
            (r#"network.port == 443"#, true, false),
            (r#"network.port != 443"#, false, false),
            (r#"verdict.tags.exists(t, t.startsWith("T10"))"#, true, false),
            (r#"has(verdict.severity)"#, true, false),
        ] {
            let filter = Filter::new(condition).unwrap();
            assert_eq!(filter.matches(&denied), Ok(of_denied), "{condition}");
            assert_eq!(filter.matches(&plain), Ok(of_plain), "{condition}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_column() {
        for (condition, words) in [
            (r#"verdict.actoin == "deny""#, "actoin"),
            (r#"verdict.action == "denied""#, "denied"),
            ("process.pid", "true or false"),
            ("kind ==", ""),
        ] {
            let error = Filter::new(condition).unwrap_err().to_string();
            assert!(error.contains(words) && error.starts_with(|c: char| c.is_ascii_digit()), "{condition}: {error}");
        }
    }

    #[test]
    fn rules_do_not_see_a_verdict_that_is_not_there_yet() {
        assert!(check::check(r#"verdict.action == "deny""#, &[lictor_api::event::Kind::Exec]).is_err());
    }
}
