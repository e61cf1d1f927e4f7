// SPDX-License-Identifier: Apache-2.0
//! Personal data: sealed for each subject with its own key, so that destroying the key destroys the data. The chain holds a
//! commitment that tells nothing without the salt, and the salt is sealed with the text.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use data_encoding::BASE64;
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::checkpoint::random;
use super::entry::{Hash, hex, parse_hash};
use super::files::{self, AuditError, SUBJECTS, at};
use super::jsonl::remove_scrubbed;
use super::subject::{Person, Subject};

const SALT: usize = 32;
const NONCE: usize = 24;

/// A line of the file beside a chain file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealedText {
    /// The entry, and which of its texts, from 0.
    pub(crate) n: u64,
    pub(crate) i: u32,
    pub(crate) subject: String,
    /// Base64 of nonce (24 bytes) and ciphertext with its tag.
    pub(crate) text: String,
}

/// A subject's file, by its extension: its key is there, or is being destroyed.
const KEY: &str = "json";
const ERASING: &str = "erasing";

#[derive(Debug, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    id: String,
    subject: String,
    /// Names and home folders of the account when the key was made: an account can be gone when its data is to be erased.
    names: Vec<String>,
    homes: Vec<String>,
    made: String,
    /// Of an erasure: whether texts that name the person as a word go too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    by_name: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// One subject's key.
pub(crate) struct SubjectKey {
    pub(crate) id: String,
    pub(crate) person: Person,
    cipher: XChaCha20Poly1305,
}

impl SubjectKey {
    fn of_file(file: &KeyFile, path: &Path) -> Result<Self, AuditError> {
        let damaged =
            |what: &str| AuditError::Damaged { path: path.to_owned(), reason: format!("{what} cannot be read") };
        let key = file.key.as_deref().and_then(parse_hash).map(Zeroizing::new).ok_or_else(|| damaged("the key"))?;
        let subject = file.subject.parse().map_err(|()| damaged("the subject"))?;
        Ok(Self {
            id: file.id.clone(),
            person: Person { subject, names: file.names.clone(), homes: file.homes.clone(), by_name: false },
            cipher: XChaCha20Poly1305::new(&(*key).into()),
        })
    }

    /// The sealed text, and the commitment to it.
    pub(crate) fn seal(&self, chain: &Hash, n: u64, i: u32, text: &[u8]) -> io::Result<(SealedText, Hash)> {
        let mut random_bytes = [0; SALT + NONCE];
        random(&mut random_bytes)?;
        let (salt, nonce) = random_bytes.split_at(SALT);
        let commit = commitment(salt, text);
        let mut plain = Zeroizing::new(Vec::with_capacity(SALT + text.len()));
        plain.extend_from_slice(salt);
        plain.extend_from_slice(text);
        let place = place(chain, n, i);
        let nonce = XNonce::try_from(nonce).map_err(io::Error::other)?;
        let sealed = self
            .cipher
            .encrypt(&nonce, Payload { msg: &plain, aad: &place })
            .map_err(|_| io::Error::other("a text is too long to be sealed"))?;
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&sealed);
        random_bytes.zeroize();
        Ok((SealedText { n, i, subject: self.id.clone(), text: BASE64.encode(&bytes) }, commit))
    }

    /// The text and the commitment that it belongs to; `None` when it is not what was sealed for this place.
    pub(crate) fn open(&self, chain: &Hash, sealed: &SealedText) -> Option<(Zeroizing<Vec<u8>>, Hash)> {
        let bytes = BASE64.decode(sealed.text.as_bytes()).ok()?;
        let (nonce, cipher) = bytes.split_at_checked(NONCE)?;
        let place = place(chain, sealed.n, sealed.i);
        let nonce = XNonce::try_from(nonce).ok()?;
        let mut plain = Zeroizing::new(self.cipher.decrypt(&nonce, Payload { msg: cipher, aad: &place }).ok()?);
        let (salt, text) = plain.split_at_checked(SALT)?;
        let commit = commitment(salt, text);
        plain.drain(..SALT);
        Some((plain, commit))
    }
}

/// A text stays where it was sealed: it opens nowhere else.
fn place(chain: &Hash, n: u64, i: u32) -> Vec<u8> {
    [chain.as_slice(), &n.to_be_bytes(), &i.to_be_bytes()].concat()
}

/// HMAC-SHA-256 keyed with the salt.
fn commitment(salt: &[u8], text: &[u8]) -> Hash {
    // A key that is shorter than SHA-256's block counts as one that is filled up with zeros.
    let mut block = [0; 64];
    for (byte, salt) in block.iter_mut().zip(salt) {
        *byte = *salt;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(text);
    block.zeroize();
    mac.finalize().into_bytes().into()
}

/// The keys of all subjects, as the process that writes holds them.
pub(crate) struct Subjects {
    dir: PathBuf,
    keys: HashMap<Subject, SubjectKey>,
}

/// An erasure that was begun: its key is gone, its texts may not all be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) id: String,
    pub(crate) person: Person,
}

impl Subjects {
    pub(crate) fn open(audit: &Path) -> Result<Self, AuditError> {
        let dir = audit.join(SUBJECTS);
        files::make_dir(&dir)?;
        let mut subjects = Self { dir, keys: HashMap::new() };
        for path in list(&subjects.dir, ERASING)? {
            // A crash came between the two steps of `begin_erasure`.
            destroy(&path.with_extension(KEY))?;
        }
        for path in list(&subjects.dir, KEY)? {
            let key = SubjectKey::of_file(&read(&path)?, &path)?;
            subjects.keys.insert(key.person.subject.clone(), key);
        }
        Ok(subjects)
    }

    /// The key of `subject`; one is made, and on the disk, if there is none.
    pub(crate) fn key_of(&mut self, subject: &Subject) -> io::Result<&SubjectKey> {
        if !self.keys.contains_key(subject) {
            let made = self.make(subject)?;
            self.keys.insert(subject.clone(), made);
        }
        self.keys.get(subject).ok_or_else(|| io::Error::other("a key that was made is not there"))
    }

    fn make(&self, subject: &Subject) -> io::Result<SubjectKey> {
        let mut bytes = Zeroizing::new([0; 40]);
        random(&mut bytes[..])?;
        let (id, key) = bytes.split_at(8);
        let person = Person::of(subject.clone());
        let file = KeyFile {
            id: hex(id),
            subject: subject.to_string(),
            names: person.names.clone(),
            homes: person.homes.clone(),
            made: Timestamp::now().to_string(),
            by_name: false,
            key: Some(hex(key)),
        };
        let path = self.dir.join(&file.id).with_extension(KEY);
        let text = Zeroizing::new(serde_json::to_vec(&file)?);
        files::write_atomic(&path, &text, 0o600)?;
        SubjectKey::of_file(&file, &path).map_err(io::Error::other)
    }

    /// Destroys the key of `subject`, if it has one. The file that stays says whose texts are still to be removed.
    pub(crate) fn begin_erasure(&mut self, person: &Person) -> Result<Option<Begun>, AuditError> {
        let Some(key) = self.keys.remove(&person.subject) else { return Ok(None) };
        let file = KeyFile {
            id: key.id.clone(),
            subject: person.subject.to_string(),
            names: person.names.clone(),
            homes: person.homes.clone(),
            made: Timestamp::now().to_string(),
            by_name: person.by_name,
            key: None,
        };
        let path = self.dir.join(&key.id).with_extension(ERASING);
        let text = serde_json::to_vec(&file).map_err(|error| at("write", &path)(error.into()))?;
        files::write_atomic(&path, &text, 0o600).map_err(at("write", &path))?;
        destroy(&path.with_extension(KEY))?;
        Ok(Some(Begun { id: key.id, person: person.clone() }))
    }

    /// Erasures that were begun in this folder and not finished.
    pub(crate) fn begun(audit: &Path) -> Result<Vec<Begun>, AuditError> {
        let mut begun = Vec::new();
        for path in list(&audit.join(SUBJECTS), ERASING)? {
            let file = read(&path)?;
            let subject = file.subject.parse().map_err(|()| AuditError::Damaged {
                path: path.clone(),
                reason: "the subject cannot be read".into(),
            })?;
            let person =
                Person { subject, names: file.names.clone(), homes: file.homes.clone(), by_name: file.by_name };
            begun.push(Begun { id: file.id.clone(), person });
        }
        Ok(begun)
    }
}

/// The last trace of a subject's name.
pub(crate) fn finish_erasure(audit: &Path, id: &str) -> Result<(), AuditError> {
    destroy(&audit.join(SUBJECTS).join(id).with_extension(ERASING))
}

fn destroy(path: &Path) -> Result<(), AuditError> {
    remove_scrubbed(path).map_err(at("destroy", path))
}

fn list(dir: &Path, extension: &str) -> Result<Vec<PathBuf>, AuditError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(at("read", dir))? {
        let path = entry.map_err(at("read", dir))?.path();
        if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<KeyFile, AuditError> {
    let bytes = Zeroizing::new(fs::read(path).map_err(at("read", path))?);
    serde_json::from_slice(&bytes)
        .map_err(|error| AuditError::Damaged { path: path.to_owned(), reason: format!("not a subject's key: {error}") })
}

/// The keys by the subjects' random names, for readers. Whoever may not read them gets none.
#[derive(Default)]
pub(crate) struct Openers(HashMap<String, SubjectKey>);

impl Openers {
    pub(crate) fn load(audit: &Path) -> Self {
        let Ok(paths) = list(&audit.join(SUBJECTS), KEY) else { return Self::default() };
        let keys = paths.iter().filter_map(|path| SubjectKey::of_file(&read(path).ok()?, path).ok());
        Self(keys.map(|key| (key.id.clone(), key)).collect())
    }

    pub(crate) fn get(&self, id: &str) -> Option<&SubjectKey> {
        self.0.get(id)
    }

    /// Everybody who has a key.
    pub(crate) fn persons(&self) -> impl Iterator<Item = &Person> {
        self.0.values().map(|key| &key.person)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: Hash = [5; 32];

    #[test]
    fn a_text_opens_with_its_key_in_its_place_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut subjects = Subjects::open(dir.path()).unwrap();
        let (sealed, commit) = subjects.key_of(&Subject::Uid(7)).unwrap().seal(&CHAIN, 3, 0, b"secret").unwrap();
        let key = subjects.key_of(&Subject::Uid(7)).unwrap();
        let (text, found) = key.open(&CHAIN, &sealed).unwrap();
        assert_eq!((text.as_slice(), found), (&b"secret"[..], commit));
        assert!(key.open(&[6; 32], &sealed).is_none());
        assert!(key.open(&CHAIN, &SealedText { n: 4, ..sealed.clone() }).is_none());
        assert!(key.open(&CHAIN, &SealedText { i: 1, ..sealed.clone() }).is_none());
        assert!(key.open(&CHAIN, &SealedText { text: "AAAA".into(), ..sealed.clone() }).is_none());
        let (again, other) = key.seal(&CHAIN, 3, 0, b"secret").unwrap();
        assert!(again.text != sealed.text && other != commit, "equal texts look different");
        assert!(subjects.key_of(&Subject::Uid(8)).unwrap().open(&CHAIN, &sealed).is_none());
    }

    #[test]
    fn an_erased_key_is_gone_and_another_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let mut subjects = Subjects::open(dir.path()).unwrap();
        let subject = Subject::Token("t".into());
        let (sealed, _) = subjects.key_of(&subject).unwrap().seal(&CHAIN, 1, 0, b"x").unwrap();
        let begun = subjects.begin_erasure(&Person::of(subject.clone())).unwrap().unwrap();
        assert_eq!(begun.id, sealed.subject);
        assert!(Openers::load(dir.path()).get(&sealed.subject).is_none());

        let mut subjects = Subjects::open(dir.path()).unwrap();
        assert_eq!(Subjects::begun(dir.path()).unwrap(), [begun]);
        assert!(subjects.key_of(&subject).unwrap().open(&CHAIN, &sealed).is_none());
        finish_erasure(dir.path(), &sealed.subject).unwrap();
        assert!(Subjects::begun(dir.path()).unwrap().is_empty());
        assert!(subjects.begin_erasure(&Person::of(Subject::Unknown)).unwrap().is_none());
    }
}
