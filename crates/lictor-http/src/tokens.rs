// SPDX-License-Identifier: Apache-2.0
//! Tokens: who they name, what they may do, until when. On disk only their hashes are kept.
//!
//! A token is 32 random bytes, so that one round of SHA-256 hides it as well as a slow hash would.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use lictor_api::view::{Actor, Role};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

/// What every token begins with, so that one that leaks is recognised.
pub const PREFIX: &str = "lictor_";
/// The longest name of a token.
const MAX_NAME: usize = 64;
const MAX_TOKENS: usize = 1000;

#[derive(Debug, Error)]
pub enum TokenError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is not a file of tokens: {source}", path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("{}: others than its owner may write it (mode {mode:o}): chmod 600 {}", path.display(), path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("a token's name has 1 to {MAX_NAME} letters, digits, `-`, `_`, `.` or `@`")]
    Name,
    #[error("there is a token `{0}` already")]
    Taken(String),
    #[error("there is no token `{0}`")]
    Unknown(String),
    #[error("there are {MAX_TOKENS} tokens, which is all there is room for")]
    Full,
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    pub name: String,
    pub role: Role,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    pub created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenList {
    tokens: Vec<Token>,
}

/// The file of named tokens. Every change replaces it as a whole.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// All tokens, expired ones too; none when there is no file.
    pub fn list(&self) -> Result<Vec<Token>, TokenError> {
        let io = |source| TokenError::Io { path: self.path.clone(), source };
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(io(source)),
        };
        let mode = fs::metadata(&self.path).map_err(io)?.mode();
        if mode & 0o022 != 0 {
            return Err(TokenError::Exposed { path: self.path.clone(), mode: mode & 0o777 });
        }
        let list: TokenList =
            serde_json::from_slice(&bytes).map_err(|source| TokenError::Damaged { path: self.path.clone(), source })?;
        Ok(list.tokens)
    }

    /// Makes a token and gives back its secret, which is kept nowhere.
    pub fn add(
        &self,
        name: &str,
        role: Role,
        now: Timestamp,
        expires: Option<Timestamp>,
    ) -> Result<String, TokenError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(fits) {
            return Err(TokenError::Name);
        }
        let mut tokens = self.list()?;
        if tokens.iter().any(|token| token.name == name) {
            return Err(TokenError::Taken(name.to_owned()));
        }
        if tokens.len() >= MAX_TOKENS {
            return Err(TokenError::Full);
        }
        let secret = secret()?;
        tokens.push(Token { name: name.to_owned(), role, sha256: hex(&hash(&secret)), created: now, expires });
        self.write(tokens)?;
        Ok(secret)
    }

    pub fn remove(&self, name: &str) -> Result<(), TokenError> {
        let mut tokens = self.list()?;
        let before = tokens.len();
        tokens.retain(|token| token.name != name);
        if tokens.len() == before {
            return Err(TokenError::Unknown(name.to_owned()));
        }
        self.write(tokens)
    }

    fn write(&self, tokens: Vec<Token>) -> Result<(), TokenError> {
        let json = serde_json::to_vec_pretty(&TokenList { tokens })
            .map_err(|source| TokenError::Damaged { path: self.path.clone(), source })?;
        write_private(&self.path, &json).map_err(|source| TokenError::Io { path: self.path.clone(), source })
    }

    /// What changes when the file does.
    pub(crate) fn stamp(&self) -> Option<(u64, u64, i64, i64)> {
        fs::metadata(&self.path).ok().map(|it| (it.ino(), it.size(), it.mtime(), it.mtime_nsec()))
    }
}

/// Replaces `path` by a file that only its owner may read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// A new token.
pub fn secret() -> Result<String, TokenError> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(TokenError::Random)?;
    Ok(format!("{PREFIX}{}", hex(&bytes)))
}

pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether two secrets are the same; how long it takes tells nothing of where they differ.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// Why a token is not taken. Both are told alike, so that nobody learns which tokens there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    Unknown,
    Expired,
}

/// Whose token `presented` (its hash) is at `now`, and until when.
pub(crate) fn find(
    tokens: &[Token],
    presented: &[u8; 32],
    now: Timestamp,
) -> Result<(Actor, Option<Timestamp>), Rejected> {
    let presented = hex(presented);
    let mut found = Err(Rejected::Unknown);
    // All are compared, whichever fits.
    for token in tokens {
        if same(token.sha256.as_bytes(), presented.as_bytes()) {
            found = match token.expires {
                Some(expires) if expires <= now => Err(Rejected::Expired),
                expires => Ok((Actor { name: token.name.clone(), role: token.role }, expires)),
            };
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_is_known_until_it_expires_or_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::new(&dir.path().join("tokens.json"));
        let secret = file.add("ci", Role::Viewer, at(0), Some(at(100))).unwrap();
        assert!(secret.starts_with(PREFIX) && secret.len() == PREFIX.len() + 64);
        let text = fs::read_to_string(dir.path().join("tokens.json")).unwrap();
        assert!(!text.contains(&secret[PREFIX.len()..]), "the secret is not kept");

        let tokens = file.list().unwrap();
        let of = |secret: &str, now| find(&tokens, &hash(secret), at(now));
        assert_eq!(of(&secret, 99).unwrap().0, Actor { name: "ci".into(), role: Role::Viewer });
        assert_eq!(of(&secret, 100), Err(Rejected::Expired));
        assert_eq!(of("lictor_0", 1), Err(Rejected::Unknown));
        file.remove("ci").unwrap();
        assert!(file.list().unwrap().is_empty());
        assert!(matches!(file.remove("ci"), Err(TokenError::Unknown(_))));
    }

    #[test]
    fn names_are_plain_and_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::new(&dir.path().join("tokens.json"));
        for name in ["", "a b", "a\n", &"x".repeat(65)] {
            assert!(matches!(file.add(name, Role::Admin, at(0), None), Err(TokenError::Name)), "{name:?}");
        }
        file.add("a", Role::Admin, at(0), None).unwrap();
        assert!(matches!(file.add("a", Role::Admin, at(0), None), Err(TokenError::Taken(_))));
    }

    #[test]
    fn a_file_that_others_may_write_is_not_believed() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        // The folder is made: at the first start nobody has.
        let path = dir.path().join("run/tokens.json");
        let file = TokenFile::new(&path);
        file.add("a", Role::Admin, at(0), None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert!(matches!(file.list(), Err(TokenError::Exposed { mode: 0o620, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{}").unwrap();
        assert!(matches!(file.list(), Err(TokenError::Damaged { .. })));
    }
}
