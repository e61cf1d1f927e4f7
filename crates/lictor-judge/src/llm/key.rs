// SPDX-License-Identifier: Apache-2.0
//! The provider's key: read once, from a file that only its owner can read, or from the environment.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use lictor_api::settings::llm::KeySource;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::SetupError;

/// Longest key taken, in bytes.
const MAX_KEY: u64 = 8192;

/// Reads the key.
///
/// # Errors
/// Why it cannot be had, or is none. No error repeats any of it.
pub fn load(source: &KeySource) -> Result<SecretString, SetupError> {
    match source {
        KeySource::File(path) => from_file(path),
        KeySource::Env(name) => {
            let value = Zeroizing::new(std::env::var(name).map_err(|_| SetupError::KeyEnv { name: name.clone() })?);
            checked(&value).ok_or(SetupError::KeyForm)
        }
    }
}

fn from_file(path: &Path) -> Result<SecretString, SetupError> {
    let unreadable = |source| SetupError::KeyFile { path: path.to_owned(), source };
    // Without O_NONBLOCK a pipe in its place would stop the daemon's start.
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let facts = file.metadata().map_err(unreadable)?;
    let owner = facts.uid();
    if !facts.is_file() {
        return Err(SetupError::KeyFileKind { path: path.to_owned() });
    }
    if facts.mode() & 0o077 != 0 || (owner != 0 && owner != geteuid().as_raw()) {
        return Err(SetupError::KeyFileMode { path: path.to_owned(), mode: facts.mode() & 0o7777, owner });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_KEY + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_KEY {
        return Err(SetupError::KeyForm);
    }
    checked(&text).ok_or(SetupError::KeyForm)
}

fn checked(text: &str) -> Option<SecretString> {
    let key = text.trim();
    (!key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic())).then(|| SecretString::from(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_file_is_read_when_only_its_owner_can() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "sk-hunter2\n").unwrap();
        let load = |mode| {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            load(&KeySource::File(path.clone()))
        };
        assert_eq!(load(0o600).unwrap().expose_secret(), "sk-hunter2");
        assert_eq!(load(0o400).unwrap().expose_secret(), "sk-hunter2");
        for mode in [0o640, 0o604, 0o644, 0o660] {
            let error = load(mode).unwrap_err().to_string();
            assert!(error.contains("chmod 600") && !error.contains("hunter2"), "{error}");
        }
        assert!(!format!("{:?}", load(0o600).unwrap()).contains("hunter2"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for bad in ["", " \n", "two words", "sk-\u{fc}", "a\nb", &"x".repeat(9000)] {
            fs::write(&path, bad).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(load(&KeySource::File(path.clone())), Err(SetupError::KeyForm)), "{bad:.20}");
        }
        let error = load(&KeySource::File(dir.path().to_owned())).unwrap_err().to_string();
        assert!(error.contains("no regular file"), "{error}");
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(load(&KeySource::File(pipe)).is_err(), "and does not wait for a writer");
        assert!(load(&KeySource::File(dir.path().join("none"))).unwrap_err().to_string().contains("none"));
        let error = load(&KeySource::Env("LICTOR_TEST_NOT_SET".into())).unwrap_err().to_string();
        assert!(error.contains("LICTOR_TEST_NOT_SET"), "{error}");
    }
}
