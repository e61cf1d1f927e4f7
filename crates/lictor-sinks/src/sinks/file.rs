// SPDX-License-Identifier: Apache-2.0
//! Lines in a file, which is put aside when it is large enough: `x.jsonl`, `x.jsonl.1`, `x.jsonl.2`, ...

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lictor_api::settings::sinks::Format;
use nix::fcntl::OFlag;

use super::record::Record;
use super::transport::{Delivered, Failure, Transport};
use crate::format::{self, Host};

pub(crate) struct FileTransport {
    path: PathBuf,
    format: Format,
    rotate_size: u64,
    rotate_files: u32,
    host: Arc<Host>,
    open: Option<Open>,
}

struct Open {
    file: File,
    size: u64,
}

impl FileTransport {
    pub(crate) fn new(path: &Path, format: Format, rotate_size: u64, rotate_files: u32, host: Arc<Host>) -> Self {
        Self { path: path.to_owned(), format, rotate_size, rotate_files, host, open: None }
    }

    /// The file that has our name now: somebody else may have moved it away.
    fn current(&mut self) -> io::Result<&mut Open> {
        let still =
            self.open.as_ref().is_some_and(|open| match (open.file.metadata(), fs::symlink_metadata(&self.path)) {
                (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
                _ => false,
            });
        if !still {
            self.open = None;
        }
        match self.open {
            Some(ref mut open) => Ok(open),
            None => Ok(self.open.insert(open(&self.path)?)),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let name = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..self.rotate_files).rev() {
            match fs::rename(name(number), name(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, name(1))?;
        self.open = None;
        Ok(())
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        let rotate_size = self.rotate_size;
        let open = self.current()?;
        if rotate_size > 0 && open.size > 0 && open.size + text.len() as u64 > rotate_size {
            self.rotate()?;
        }
        let open = self.current()?;
        if let Err(error) = open.file.write_all(text.as_bytes()) {
            // A line that is there in part would be read as another.
            let restored = open.file.set_len(open.size);
            self.open = None;
            return Err(restored.err().unwrap_or(error));
        }
        open.size += text.len() as u64;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<Open> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    // A link or a pipe in its place is somebody's trap.
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o640).custom_flags(flags).open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut size = facts.len();
    if size > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        // A crash left half a line.
        if last != *b"\n" {
            file.write_all(b"\n")?;
            size += 1;
        }
    }
    Ok(Open { file, size })
}

impl Transport for FileTransport {
    fn deliver(&mut self, records: &[Record]) -> Result<Delivered, Failure> {
        // As large as a file may become, so that a batch is not what makes one too large.
        let room = if self.rotate_size > 0 { self.rotate_size } else { u64::MAX };
        let (mut text, mut done, mut rejected) = (String::new(), 0, 0);
        let fail = |done: usize, error: io::Error, path: &Path| Failure {
            delivered: done,
            ..Failure::again(format!("{} cannot be written: {error}", path.display()))
        };
        for (at, record) in records.iter().enumerate() {
            let Ok(line) = format::line(self.format, record, &self.host) else {
                rejected += 1;
                continue;
            };
            let size = self.open.as_ref().map_or(0, |open| open.size);
            if !text.is_empty() && size + (text.len() + line.len()) as u64 >= room {
                self.write(&text).map_err(|error| fail(done, error, &self.path))?;
                text.clear();
                done = at;
            }
            text.push_str(&line);
            text.push('\n');
        }
        self.write(&text).map_err(|error| fail(done, error, &self.path))?;
        Ok(Delivered { rejected })
    }

    fn linger(&self) -> Duration {
        Duration::from_millis(100)
    }
}
