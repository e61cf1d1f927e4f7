// SPDX-License-Identifier: Apache-2.0
//! Checkpoints: a signed statement of how far the chain had come. Whoever has one can tell that the chain was cut, replaced
//! by an older one, or written anew.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::entry::{Hash, hex, parse_hash};
use super::files::{self, AuditError, at};
use super::jsonl::read_if_there;

/// The version of the statement.
const VERSION: u32 = 1;
/// An Ed25519 public key as SubjectPublicKeyInfo (RFC 8410) is these bytes and then the key.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// No key file is longer.
const MAX_KEY_FILE: u64 = 4096;

/// How far the chain had come, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    pub version: u32,
    /// The SHA-256 of the chain's first line: which chain it is.
    pub chain: String,
    /// The last entry that it speaks for.
    pub entry: u64,
    /// The SHA-256 of that entry's line.
    pub head: String,
    /// RFC 3339, UTC.
    pub time: String,
    /// The Ed25519 key that signed, 64 hexadecimal digits.
    pub key: String,
    /// Of the text that `docs/audit.md` gives; 128 hexadecimal digits.
    pub signature: String,
}

impl Checkpoint {
    /// The bytes that are signed.
    fn statement(&self) -> String {
        format!(
            "lictor audit checkpoint {}\n{}\n{}\n{}\n{}\n{}\n",
            self.version, self.chain, self.entry, self.head, self.time, self.key
        )
    }

    /// Reads what [`Checkpoint`] is written as: one JSON object.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("not a checkpoint: {error}"))
    }

    pub(crate) fn read(path: &Path) -> Result<Option<Self>, AuditError> {
        let Some(bytes) = read_if_there(path).map_err(at("read", path))? else { return Ok(None) };
        Self::parse(&bytes).map(Some).map_err(|reason| AuditError::Damaged { path: path.to_owned(), reason })
    }

    /// The key that it says it is signed with, if the signature is that key's.
    pub(crate) fn signer(&self) -> Result<PublicKey, String> {
        if self.version != VERSION {
            return Err(format!("version {} of the statement is not known here", self.version));
        }
        let key = parse_hash(&self.key).ok_or("`key` is not 64 hexadecimal digits")?;
        let signature = data_encoding::HEXLOWER
            .decode(self.signature.as_bytes())
            .ok()
            .and_then(|bytes| Signature::from_slice(&bytes).ok())
            .ok_or("`signature` is not 128 hexadecimal digits")?;
        let verifying = VerifyingKey::from_bytes(&key).map_err(|_| "`key` is no Ed25519 key")?;
        verifying
            .verify_strict(self.statement().as_bytes(), &signature)
            .map_err(|_| "the signature is not that of the statement")?;
        Ok(PublicKey(key))
    }

    pub(crate) fn chain_hash(&self) -> Option<Hash> {
        parse_hash(&self.chain)
    }

    pub(crate) fn head_hash(&self) -> Option<Hash> {
        parse_hash(&self.head)
    }
}

/// Whose signature a checkpoint must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub(crate) Hash);

impl PublicKey {
    /// From a file: PEM, as `key.pub` is, or 64 hexadecimal digits.
    pub fn read(path: &Path) -> Result<Self, AuditError> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_KEY_FILE).read_to_string(&mut text))
            .map_err(at("read", path))?;
        Self::parse(&text).ok_or_else(|| AuditError::Damaged {
            path: path.to_owned(),
            reason: "not an Ed25519 public key: PEM, or 64 hexadecimal digits, is expected".into(),
        })
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(key) = parse_hash(text) {
            return Some(Self(key));
        }
        let body = text.strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
        let der = data_encoding::BASE64.decode(body.split_whitespace().collect::<String>().as_bytes()).ok()?;
        der.strip_prefix(&SPKI)?.try_into().ok().map(Self)
    }

    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// As openssl reads it.
    #[must_use]
    pub fn pem(&self) -> String {
        let der: Vec<u8> = SPKI.iter().chain(&self.0).copied().collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", data_encoding::BASE64.encode(&der))
    }
}

/// The key that signs.
pub(crate) struct Signer {
    key: SigningKey,
}

impl Signer {
    /// Reads the key of `dir`, or makes one. True: it was made now.
    pub(crate) fn open(dir: &Path) -> Result<(Self, bool), AuditError> {
        let path = dir.join(files::SECRET_KEY);
        let (signer, made) = match fs::metadata(&path) {
            Ok(metadata) => {
                if metadata.mode() & 0o077 != 0 {
                    tracing::warn!("{} can be read by others than its owner: chmod 600 it", path.display());
                }
                (Self::read(&path)?, false)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (Self::make(&path)?, true),
            Err(error) => return Err(at("read", &path)(error)),
        };
        // Whoever changed it gains nothing: the chain names the key too.
        let public = dir.join(files::PUBLIC_KEY);
        let pem = signer.public().pem();
        if read_if_there(&public).map_err(at("read", &public))?.as_deref() != Some(pem.as_bytes()) {
            files::write_atomic(&public, pem.as_bytes(), 0o644).map_err(at("write", &public))?;
        }
        Ok((signer, made))
    }

    fn read(path: &Path) -> Result<Self, AuditError> {
        let mut text = Zeroizing::new(String::new());
        File::open(path)
            .and_then(|file| file.take(MAX_KEY_FILE).read_to_string(&mut text))
            .map_err(at("read", path))?;
        let seed = parse_hash(text.trim()).map(Zeroizing::new).ok_or_else(|| AuditError::Damaged {
            path: path.to_owned(),
            reason: "not a key: put the right one back, or remove it, and a new one is made and the chain says so"
                .into(),
        })?;
        Ok(Self { key: SigningKey::from_bytes(&seed) })
    }

    fn make(path: &Path) -> Result<Self, AuditError> {
        let mut seed = Zeroizing::new([0; 32]);
        random(&mut seed[..]).map_err(at("make", path))?;
        let mut text = hex(&seed[..]);
        let written = files::write_atomic(path, format!("{text}\n").as_bytes(), 0o600).map_err(at("write", path));
        text.zeroize();
        written?;
        Ok(Self { key: SigningKey::from_bytes(&seed) })
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey(self.key.verifying_key().to_bytes())
    }

    pub(crate) fn sign(&self, chain: &Hash, entry: u64, head: &Hash) -> Checkpoint {
        let mut checkpoint = Checkpoint {
            version: VERSION,
            chain: hex(chain),
            entry,
            head: hex(head),
            time: format!("{:.9}", Timestamp::now()),
            key: self.public().hex(),
            signature: String::new(),
        };
        checkpoint.signature = hex(&self.key.sign(checkpoint.statement().as_bytes()).to_bytes());
        checkpoint
    }
}

/// Bytes that nobody can guess.
pub(crate) fn random(bytes: &mut [u8]) -> std::io::Result<()> {
    getrandom::fill(bytes).map_err(|error| std::io::Error::other(format!("the kernel gives no random bytes: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_what_was_signed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (signer, made) = Signer::open(dir.path()).unwrap();
        assert!(made);
        let good = signer.sign(&[1; 32], 7, &[2; 32]);
        assert_eq!(good.signer(), Ok(signer.public()));
        for change in [
            |c: &mut Checkpoint| c.entry = 8,
            |c: &mut Checkpoint| c.chain = hex(&[9; 32]),
            |c: &mut Checkpoint| c.head = hex(&[9; 32]),
            |c: &mut Checkpoint| c.time.push('0'),
            |c: &mut Checkpoint| c.version = 2,
            |c: &mut Checkpoint| c.key = hex(&[3; 32]),
            |c: &mut Checkpoint| c.signature = c.signature.to_uppercase(),
            |c: &mut Checkpoint| c.signature.clear(),
        ] {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(bad.signer().is_err(), "{bad:?}");
        }
        let (again, made) = Signer::open(dir.path()).unwrap();
        assert!(!made);
        assert_eq!(again.public(), signer.public());
        assert_eq!(fs::metadata(dir.path().join("key")).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_public_key_is_read_as_it_is_written() {
        let key = PublicKey([7; 32]);
        assert_eq!(PublicKey::parse(&key.pem()), Some(key));
        assert_eq!(PublicKey::parse(&format!("{}\n", key.hex())), Some(key));
        for wrong in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "07"] {
            assert_eq!(PublicKey::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_damaged_key_is_not_replaced_silently() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("key"), "nonsense").unwrap();
        assert!(matches!(Signer::open(dir.path()), Err(AuditError::Damaged { .. })));
    }
}
