// SPDX-License-Identifier: Apache-2.0
//! The audit chain: what was decided and changed, in numbered lines that each hold the SHA-256 of the one before.
//!
//! - [`Audit`] appends: entries go into a bounded queue and never make the caller wait; one thread writes them in groups
//!   and calls them acknowledged when they are on the disk
//! - [`verify`] reads the files alone and says where they are not what was written
//! - [`page`] reads entries, newest first, with the personal texts that can be opened
//! - personal data is sealed, [`Subject`] by subject; [`Audit::erase`] destroys a subject's key and texts
//!
//! `docs/audit.md` describes the files byte by byte.

mod checkpoint;
mod entry;
mod erase;
mod files;
mod jsonl;
mod read;
mod recover;
mod seal;
mod subject;
mod verify;
mod writer;

pub use checkpoint::{Checkpoint, PublicKey};
pub use entry::{Entry, Kind, Record};
pub use erase::{Copies, Request};
pub use files::AuditError;
pub use jsonl::{EventFiles, rewrite};
pub use read::{Page, Personal, Shown, page};
pub use subject::{Actor, Person, Subject};
pub use verify::{Problem, Report, Sources, verify};
pub use writer::{Audit, Health, Options};

/// The folder of the chain in the state folder.
pub const FOLDER: &str = "audit";

/// For entries that name a text without holding it: 64 hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    entry::hex(&entry::hash_of(bytes))
}

/// One line of a chain as the reader of hostile files sees it: for fuzzing.
#[doc(hidden)]
#[must_use]
pub fn parse_line(line: &[u8]) -> Option<Record> {
    Record::parse(line).ok()
}
