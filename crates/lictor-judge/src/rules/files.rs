// SPDX-License-Identifier: Apache-2.0
//! Rule files as they lie in a directory.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use lictor_api::bytes::printable;
use lictor_engine::policy::Problem;
use lictor_engine::yaml::MAX_INPUT;

/// What all files of a set may have together, in bytes.
const MAX_SET: usize = 4 * MAX_INPUT;

/// The rule files at `path`: itself, or each `*.yaml` of the directory, by name. Hidden files are passed over.
///
/// # Errors
/// Every file that cannot be read, and what looks like a rule file and would not be one.
pub fn read(path: &Path) -> Result<Vec<(String, Vec<u8>)>, Vec<Problem>> {
    let metadata = std::fs::metadata(path).map_err(|error| vec![unreadable(path, &error)])?;
    if !metadata.is_dir() {
        return read_file(path).map(|bytes| vec![(name(path), bytes)]).map_err(|problem| vec![problem]);
    }
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    let mut left = MAX_SET;
    for path in list(path).map_err(|problem| vec![problem])? {
        if path.extension().is_some_and(|extension| extension == "yml") {
            let message = "only files that end in `.yaml` are rule files: rename it, or move it away";
            problems.push(problem(&path, message.to_owned()));
            continue;
        }
        match read_file(&path) {
            Ok(bytes) if bytes.len() > left => {
                problems.push(problem(&path, format!("all rule files together may have at most {MAX_SET} bytes")));
                break;
            }
            Ok(bytes) => {
                left -= bytes.len();
                files.push((name(&path), bytes));
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// The files of a directory that are rule files or look like them, by name.
pub(crate) fn list(directory: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = std::fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(directory, &error))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let named = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if named && !hidden {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Problem> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(problem(path, "this is not a file".to_owned()));
    }
    let mut bytes = Vec::new();
    // One byte more than may be, so that the parser sees that it is too long.
    let limit = u64::try_from(MAX_INPUT).unwrap_or(u64::MAX) + 1;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| unreadable(path, &error))
}

/// Replaces a file so that whoever reads it finds the old or the new content, also after a crash.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".lictor-").suffix(".tmp").tempfile_in(directory)?;
    temporary.write_all(bytes)?;
    // A rule file has the rights that it had; a new one can be read by everybody, like other configuration.
    let permissions = match std::fs::metadata(path) {
        Ok(metadata) => metadata.permissions(),
        Err(_) => std::os::unix::fs::PermissionsExt::from_mode(0o644),
    };
    temporary.as_file().set_permissions(permissions)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

pub(crate) fn name(path: &Path) -> String {
    printable(&path.display().to_string())
}

pub(crate) fn problem(path: &Path, message: String) -> Problem {
    Problem { file: name(path), line: 1, column: 1, message }
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    problem(path, format!("cannot be read: {error}"))
}
