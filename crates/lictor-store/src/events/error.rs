// SPDX-License-Identifier: Apache-2.0
//! What can go wrong with the store.

use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the store cannot be written, read or asked. Each says where and what to do.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("{} cannot be used: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{} cannot be used: {source}", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("{} is damaged ({what}): lictord puts it aside and begins a new one", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("{} is of a later version of Lictor (format {found}, this program reads {known}): install that version", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{} is in use by another lictord: stop it first, or give this one another `state` in its settings", path.display())]
    InUse { path: PathBuf },
    #[error("no events are stored in {}", path.display())]
    Missing { path: PathBuf },
    #[error("{} cannot be read as an archive of events: {source}", path.display())]
    Archive { path: PathBuf, source: parquet::errors::ParquetError },
    #[error("{0}")]
    Filter(String),
    #[error(transparent)]
    Log(lictor_api::log::LogError),
    #[error("the query cannot be answered: {0}")]
    Query(String),
    #[error("events are not erased: {0}")]
    NotErased(String),
    #[error("the last events are not on disk yet: {0}")]
    NotDurable(String),
}

impl StoreError {
    /// Whether the file's content is wrong, so that no repetition helps.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

/// Names the file in errors of SQLite's and of the file system, and tells damage from the rest.
pub(super) trait At<T> {
    fn at(self, path: &Path) -> Result<T, StoreError>;
}

impl<T> At<T> for rusqlite::Result<T> {
    fn at(self, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| {
            let path = path.to_owned();
            match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                    StoreError::Damaged { path, what: source.to_string() }
                }
                _ => StoreError::Database { path, source },
            }
        })
    }
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io { path: path.to_owned(), source })
    }
}

impl<T> At<T> for parquet::errors::Result<T> {
    fn at(self, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Archive { path: path.to_owned(), source })
    }
}
