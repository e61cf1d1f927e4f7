// SPDX-License-Identifier: Apache-2.0
//! Erasure: a person's data goes from every copy, and the chain stays what it was.
//!
//! In this order, so that it can be taken up again after a crash at any point:
//! 1. the key is destroyed: from here on no sealed text of the person can be read by anybody
//! 2. an entry says that the erasure has begun; it stands in a new file, so that the ones before are written to no more
//! 3. an entry names the texts of others that tell of the person and go too
//! 4. the files of sealed texts are written anew without them, and the old bytes overwritten
//! 5. every other copy ([`Copies`]) does the same
//! 6. an entry says what was done; the file that links the random name to the person is destroyed

use std::collections::HashSet;
use std::io::BufReader;
use std::sync::PoisonError;
use std::time::Duration;

use lictor_api::control::Erased;
use nix::unistd::User;
use serde_json::{Map, json};

use super::entry::{Entry, Kind};
use super::files::{self, AuditError, Lines, MAX_SEALED_LINE, Segment, at};
use super::jsonl::{open_if_there, rewrite};
use super::recover::chain_of;
use super::seal::{Begun, Openers, SealedText, Subjects, finish_erasure};
use super::subject::{Actor, Person, Subject};
use super::writer::Audit;

/// How long the chain may take to write one entry.
const PATIENCE: Duration = Duration::from_secs(30);
/// Texts that one entry names.
const NAMED: usize = 5_000;

/// Another place where Lictor keeps what it recorded: the event store, its archive, files of events.
pub trait Copies: Sync {
    /// For people: `event store`.
    fn name(&self) -> &str;

    /// Removes everything for which [`Person::is_told_of_by`] holds, so that its bytes are in no file of this copy any
    /// more. Returns how many records went. It must be possible to do it again.
    fn erase(&self, person: &Person) -> Result<u64, String>;
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// A user name, a uid, `uid:NUMBER`, `token:NAME`, or `unknown`.
    pub subject: String,
    /// Also what others did that names the person as a word.
    pub by_name: bool,
    pub by: Actor,
}

impl Audit {
    /// Erases a person's data here and in `copies`. When a copy fails, the erasure stays begun, and [`Audit::resume`] or
    /// another request goes on with it.
    pub fn erase(&self, request: &Request, copies: &[&dyn Copies]) -> Result<Erased, AuditError> {
        let _one_at_a_time = self.erasing.lock().unwrap_or_else(PoisonError::into_inner);
        let person = self.person(request)?;
        let begun = self.forget(person.clone(), PATIENCE)?;
        // Earlier ones of the same person that were not finished are finished with it.
        let before = self.begun()?.into_iter().filter(|begun| begun.person.subject == person.subject);
        let mut ids: Vec<String> = before.map(|begun| begun.id).collect();
        ids.extend(begun.map(|begun| begun.id));
        ids.sort();
        ids.dedup();
        let entry = Entry::new(Kind::Erasure).with("state", "begun").with("subjects", ids.clone()).by(&request.by);
        self.write_now(entry)?;
        self.finish(&person, &ids, &request.by, copies)
    }

    /// Goes on with erasures that a crash, or a copy that failed, interrupted.
    pub fn resume(&self, copies: &[&dyn Copies]) -> Result<Vec<Erased>, AuditError> {
        let _one_at_a_time = self.erasing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = Vec::new();
        for Begun { id, person } in self.begun()? {
            let ids = [id];
            let entry = Entry::new(Kind::Erasure).with("state", "resumed").with("subjects", ids.to_vec());
            // So that the file that is written to has none of the person's texts, whenever the crash came.
            self.forget(Person { subject: Subject::Token(String::new()), ..person.clone() }, PATIENCE)?;
            self.write_now(entry)?;
            done.push(self.finish(&person, &ids, &Actor::Lictor, copies)?);
        }
        Ok(done)
    }

    fn begun(&self) -> Result<Vec<Begun>, AuditError> {
        Subjects::begun(self.dir())
    }

    /// The person whom `request` names, by today's accounts or by what was noted when the key was made.
    fn person(&self, request: &Request) -> Result<Person, AuditError> {
        let asked = request.subject.as_str();
        let openers = Openers::load(self.dir());
        let known: Vec<&Person> = openers.persons().collect();
        let subject = if let Ok(subject) = asked.parse() {
            subject
        } else if let Ok(uid) = asked.parse() {
            Subject::Uid(uid)
        } else if let Ok(Some(account)) = User::from_name(asked) {
            Subject::Uid(account.uid.as_raw())
        } else if let Some(person) = known.iter().find(|person| person.names.iter().any(|name| name == asked)) {
            person.subject.clone()
        } else {
            let known = known.iter().map(|person| person.subject.to_string()).collect();
            return Err(AuditError::NoSubject { asked: asked.to_owned(), known });
        };
        let mut person = Person::of(subject);
        person.by_name = request.by_name;
        if let Some(noted) = known.iter().find(|known| known.subject == person.subject) {
            for name in &noted.names {
                person.add_name(name);
            }
            for home in &noted.homes {
                person.add_home(home);
            }
        }
        Ok(person)
    }

    fn finish(
        &self,
        person: &Person,
        ids: &[String],
        by: &Actor,
        copies: &[&dyn Copies],
    ) -> Result<Erased, AuditError> {
        let dir = self.dir();
        let mut closed = files::segments(dir)?;
        closed.pop();
        let others = self.others(person, ids, &closed)?;
        for named in others.chunks(NAMED) {
            let entry = Entry::new(Kind::Erasure).with("state", "others").with("others", json!(named));
            self.write_now(entry)?;
        }
        let others: HashSet<(u64, u32)> = others.into_iter().collect();
        let mut erased = Erased { subject: person.subject.to_string(), ..Erased::default() };
        erased.others = others.len() as u64;
        {
            let _nobody_reads = files::lock_for_erasing(dir)?;
            for segment in &closed {
                let gone = rewrite(&segment.sealed, |line| {
                    serde_json::from_slice::<SealedText>(line)
                        .is_ok_and(|text| ids.contains(&text.subject) || others.contains(&(text.n, text.i)))
                });
                erased.texts += gone.map_err(at("erase from", &segment.sealed))?;
            }
        }
        erased.texts = erased.texts.saturating_sub(erased.others);
        for copy in copies {
            let gone =
                copy.erase(person).map_err(|reason| AuditError::Copy { copy: copy.name().to_owned(), reason })?;
            erased.copies.push((copy.name().to_owned(), gone));
        }
        let copies: Map<_, _> = erased.copies.iter().map(|(name, gone)| (name.clone(), json!(gone))).collect();
        let entry = Entry::new(Kind::Erasure)
            .with("state", "done")
            .with("subjects", ids.to_vec())
            .with("texts", erased.texts)
            .with("others", erased.others)
            .with("copies", copies)
            .by(by);
        self.write_now(entry)?;
        for id in ids {
            finish_erasure(dir, id)?;
        }
        Ok(erased)
    }

    /// Texts of others that tell of the person.
    fn others(&self, person: &Person, ids: &[String], closed: &[Segment]) -> Result<Vec<(u64, u32)>, AuditError> {
        let mut others = Vec::new();
        if person.homes.is_empty() && !person.by_name {
            return Ok(others);
        }
        let openers = Openers::load(self.dir());
        let chain = chain_of(self.dir())?.unwrap_or_default();
        for segment in closed {
            let Some(file) = open_if_there(&segment.sealed).map_err(at("read", &segment.sealed))? else { continue };
            let mut lines = Lines::new(BufReader::new(file), MAX_SEALED_LINE);
            while let Some(line) = lines.next().map_err(at("read", &segment.sealed))? {
                let Ok(sealed) = serde_json::from_slice::<SealedText>(&line.bytes) else { continue };
                let open = || openers.get(&sealed.subject)?.open(&chain, &sealed);
                if !ids.contains(&sealed.subject)
                    && let Some((text, _)) = open()
                    && person.is_named_in(&String::from_utf8_lossy(&text))
                {
                    others.push((sealed.n, sealed.i));
                }
            }
        }
        Ok(others)
    }

    fn write_now(&self, entry: Entry) -> Result<(), AuditError> {
        if !self.append(entry) {
            return Err(AuditError::NotWritten { reason: "its queue is full".into() });
        }
        self.flush(PATIENCE).map(drop)
    }
}
