// SPDX-License-Identifier: Apache-2.0
//! Takes lines out of files of lines so that nothing of them is left, and the copy of recorded events that is such files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use lictor_api::event::Event;

use super::erase::Copies;
use super::files::{self, Lines, MAX_SEALED_LINE};
use super::subject::Person;

/// Writes `path` anew without the lines that `goes` names, and overwrites what it held. Returns how many went. With none
/// to go the file stays as it is. Nobody may append to it meanwhile.
pub fn rewrite(path: &Path, mut goes: impl FnMut(&[u8]) -> bool) -> io::Result<u64> {
    let old = match files::open_writable(path) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let metadata = old.metadata()?;
    let temporary = path.with_extension("tmp");
    let result = (|| {
        let new = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(metadata.mode() & 0o777)
            .open(&temporary)?;
        new.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o777))?;
        let mut out = BufWriter::new(new);
        let mut gone = 0;
        let mut lines = Lines::new(BufReader::new(&old), MAX_SEALED_LINE);
        while let Some(line) = lines.next()? {
            // A line that is too long to look at could hold anything.
            if line.too_long || goes(&line.bytes) {
                gone += 1;
                continue;
            }
            out.write_all(&line.bytes)?;
            if line.whole {
                out.write_all(b"\n")?;
            }
        }
        let new = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        if gone > 0 {
            new.sync_all()?;
            fs::rename(&temporary, path)?;
            files::sync_dir(path.parent().unwrap_or(Path::new(".")))?;
        }
        Ok(gone)
    })();
    match &result {
        Ok(gone) if *gone > 0 => files::scrub(old)?,
        _ => remove_scrubbed(&temporary)?,
    }
    result
}

/// Removes a file after overwriting it.
pub(crate) fn remove_scrubbed(path: &Path) -> io::Result<()> {
    match files::open_writable(path) {
        Ok(file) => {
            files::scrub(file)?;
            fs::remove_file(path)?;
            files::sync_dir(path.parent().unwrap_or(Path::new(".")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Files of recorded events, one JSON object a line, that nobody writes to during the erasure.
#[derive(Debug, Clone)]
pub struct EventFiles {
    files: Vec<PathBuf>,
}

impl EventFiles {
    #[must_use]
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self { files }
    }

    /// Whether a line of events is to go: those that are no events too, if they name the person.
    #[must_use]
    pub fn goes(person: &Person, line: &[u8]) -> bool {
        match serde_json::from_slice::<Event>(line) {
            Ok(event) => person.is_told_of_by(&event),
            Err(_) => person.is_named_in(&String::from_utf8_lossy(line)),
        }
    }
}

impl Copies for EventFiles {
    fn name(&self) -> &str {
        "event files"
    }

    fn erase(&self, person: &Person) -> Result<u64, String> {
        let mut gone = 0;
        for path in &self.files {
            gone += rewrite(path, |line| Self::goes(person, line))
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(gone)
    }
}

/// Reads a whole file, of which there need not be one.
pub(crate) fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The file, of which there need not be one.
pub(crate) fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_and_their_bytes_with_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.jsonl");
        fs::write(&path, "keep 1\nsecret\nkeep 2\ntorn").unwrap();
        // A second name of the same inode sees what is left of the old content.
        let old = dir.path().join("old");
        fs::hard_link(&path, &old).unwrap();
        assert_eq!(rewrite(&path, |line| line == b"secret").unwrap(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), "keep 1\nkeep 2\ntorn");
        assert!(fs::read(&old).unwrap().iter().all(|byte| *byte == 0));
        assert_eq!(rewrite(&path, |line| line == b"secret").unwrap(), 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file stays");
        assert_eq!(rewrite(&dir.path().join("none"), |_| true).unwrap(), 0);
    }
}
