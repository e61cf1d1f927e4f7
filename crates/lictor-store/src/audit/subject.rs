// SPDX-License-Identifier: Apache-2.0
//! Whose data it is.

use std::fmt;
use std::str::FromStr;

use lictor_api::event::{Event, ProcessOp};
use nix::unistd::{Uid, User};
use serde_json::{Value, json};

/// Whose data a text is: each has a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    Uid(u32),
    /// A named token of the programming interface.
    Token(String),
    /// Nobody knows: the process was gone before anything could be asked.
    Unknown,
}

impl Subject {
    /// The user whose process acted.
    #[must_use]
    pub fn of_event(event: &Event) -> Self {
        event.process.uid.map_or(Self::Unknown, Self::Uid)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => write!(f, "uid:{uid}"),
            Self::Token(name) => write!(f, "token:{name}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl FromStr for Subject {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once(':') {
            Some(("uid", number)) => number.parse().map(Self::Uid).map_err(drop),
            Some(("token", name)) if !name.is_empty() => Ok(Self::Token(name.to_owned())),
            None if text == "unknown" => Ok(Self::Unknown),
            _ => Err(()),
        }
    }
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A user, over a unix socket or a signal.
    User(u32),
    /// Whoever had this token.
    Token(String),
    /// Nobody asked: a file changed, a time was over.
    Lictor,
}

impl Actor {
    /// Under whose key it is sealed that it was them.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self {
            Self::User(uid) => Subject::Uid(*uid),
            Self::Token(name) => Subject::Token(name.clone()),
            // What Lictor does of itself is done as root.
            Self::Lictor => Subject::Uid(0),
        }
    }

    pub(crate) fn describe(&self) -> Value {
        match self {
            Self::User(uid) => json!({ "uid": uid }),
            Self::Token(name) => json!({ "token": name }),
            Self::Lictor => json!({ "program": "lictord" }),
        }
    }
}

/// A subject with everything that a text could name it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub subject: Subject,
    /// Names of the account, now and when the subject was first seen.
    pub names: Vec<String>,
    /// Home folders of people; those of the system's own accounts (below 1000) tell of nobody.
    pub homes: Vec<String>,
    /// Whether a name that stands anywhere as a word makes a text theirs.
    pub by_name: bool,
}

/// The first uid that is given to people.
const FIRST_PERSON: u32 = 1000;
/// `nobody`.
const NOBODY: u32 = 65534;

impl Person {
    /// What the host's accounts say of `subject` today.
    #[must_use]
    pub fn of(subject: Subject) -> Self {
        let mut person = Self { subject, names: Vec::new(), homes: Vec::new(), by_name: false };
        match &person.subject {
            Subject::Uid(uid) => {
                let account = match User::from_uid(Uid::from_raw(*uid)) {
                    Ok(account) => account,
                    Err(error) => {
                        tracing::warn!("the accounts of this host cannot be asked for uid {uid}: {error}");
                        None
                    }
                };
                if let Some(account) = account {
                    person.add_home(&account.dir.to_string_lossy());
                    person.names.push(account.name);
                }
            }
            Subject::Token(name) => person.names.push(name.clone()),
            Subject::Unknown => {}
        }
        person
    }

    /// Adds a home folder, if it is one of a person's own.
    pub(crate) fn add_home(&mut self, home: &str) {
        let Subject::Uid(uid) = self.subject else { return };
        let home = home.trim_end_matches('/');
        let personal = (FIRST_PERSON..NOBODY).contains(&uid) || uid > NOBODY;
        // `/`, `/root`, `/home` are nobody's own.
        if personal && home.matches('/').count() >= 2 && !self.homes.iter().any(|known| known == home) {
            self.homes.push(home.to_owned());
        }
    }

    pub(crate) fn add_name(&mut self, name: &str) {
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
    }

    /// Whether `text` (JSON, or anything) names a home folder of theirs or, with `by_name`, the person.
    #[must_use]
    pub fn is_named_in(&self, text: &str) -> bool {
        self.homes.iter().any(|home| stands_in(text, home))
            || (self.by_name && self.names.iter().any(|name| stands_in(text, name)))
    }

    /// Whether a recorded event is theirs, or tells of them.
    #[must_use]
    pub fn is_told_of_by(&self, event: &Event) -> bool {
        if Subject::of_event(event) == self.subject {
            return true;
        }
        if let (Subject::Uid(uid), Some(process)) = (&self.subject, &event.process_event)
            && process.op == ProcessOp::Setuid
            && process.code.and_then(|code| u32::try_from(code).ok()) == Some(*uid)
        {
            return true;
        }
        // An event that cannot be written as text is not kept as text either.
        serde_json::to_string(event).is_ok_and(|text| self.is_named_in(&text))
    }
}

/// Whether `word` stands in `text` with nothing before or after it that would make it another name.
fn stands_in(text: &str, word: &str) -> bool {
    let part_of_a_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + word.len()..].chars().next();
            let starts = word.starts_with('/') || !before.is_some_and(part_of_a_name);
            starts && !after.is_some_and(part_of_a_name)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice(by_name: bool) -> Person {
        let mut person =
            Person { subject: Subject::Uid(1000), names: vec!["alice".into()], homes: Vec::new(), by_name };
        person.add_home("/home/alice/");
        person
    }

    #[test]
    fn a_subject_is_read_as_it_is_written() {
        for subject in [Subject::Uid(0), Subject::Token("ci:1".into()), Subject::Unknown] {
            assert_eq!(subject.to_string().parse(), Ok(subject));
        }
        for wrong in ["", "alice", "uid:", "uid:-1", "token:", "x:1"] {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_home_names_its_owner_and_a_longer_name_another_person() {
        let check = |text: &str, home: bool, name: bool| {
            assert_eq!(alice(false).is_named_in(text), home, "{text}");
            assert_eq!(alice(true).is_named_in(text), name, "{text}");
        };
        check("/home/alice/.ssh/id", true, true);
        check("cat /srv/home/alice", true, true);
        check("\"cwd\":\"/home/alice\"", true, true);
        check("/home/alice2/x", false, false);
        check("/home/alice-old/x", false, false);
        check("mail alice@example.org", false, true);
        check("malice", false, false);
    }

    #[test]
    fn homes_of_the_system_are_nobodys() {
        let homes = |uid: u32, home: &str| {
            let mut person = Person { subject: Subject::Uid(uid), names: vec![], homes: vec![], by_name: false };
            person.add_home(home);
            person.homes.len()
        };
        assert_eq!(homes(0, "/root"), 0);
        assert_eq!(homes(33, "/var/www"), 0);
        assert_eq!(homes(1000, "/"), 0);
        assert_eq!(homes(65534, "/none/existent"), 0);
        assert_eq!(homes(1000, "/home/alice"), 1);
    }
}
