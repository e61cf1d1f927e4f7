// SPDX-License-Identifier: Apache-2.0
//! `events.db`: its tables, how it is opened, written and put aside.

use super::block::{self, CHUNK};
use super::chunk::{Batch, Chunk};
use super::error::{At as _, StoreError};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, params};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const NAME: &str = "events.db";

/// "LICT": tells our file from another program's.
const APPLICATION_ID: i64 = 0x4c49_4354;

/// Each brings a file from the format of its place in the list to the next.
const MIGRATIONS: &[&str] = &["
    -- Events that are committed and not in a chunk yet: as many rows as there were commits.
    CREATE TABLE open (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, recorded_ms INTEGER NOT NULL, data BLOB NOT NULL) STRICT;
    CREATE TABLE chunk (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, recorded_ms INTEGER NOT NULL, min_ms INTEGER NOT NULL,
                        max_ms INTEGER NOT NULL, min_id TEXT NOT NULL, max_id TEXT NOT NULL) STRICT;
    CREATE TABLE block (first INTEGER PRIMARY KEY, min_ms INTEGER NOT NULL, max_ms INTEGER NOT NULL, min_id TEXT NOT NULL,
                        max_id TEXT NOT NULL, data BLOB NOT NULL) STRICT;
    -- By chunk first: a chunk is written, and forgotten, in one place of the file.
    CREATE TABLE term (chunk INTEGER NOT NULL, term INTEGER NOT NULL, places BLOB NOT NULL, PRIMARY KEY (chunk, term)) STRICT, WITHOUT ROWID;
    CREATE TABLE next (only INTEGER PRIMARY KEY CHECK (only = 0), number INTEGER NOT NULL) STRICT;
"];

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

/// The file, open for writing.
pub(super) struct File {
    pub(super) connection: Connection,
    path: PathBuf,
}

impl File {
    /// Opens it, makes it where there is none, and brings it to this program's format. `least` is below the number of the
    /// first event in a new file.
    pub(super) fn open(dir: &Path, least: u64) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).at(dir)?;
        let path = path(dir);
        // SQLite would make it readable for everybody; what it makes beside it gets the mode of this one.
        OpenOptions::new().append(true).create(true).mode(0o640).open(&path).at(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).at(&path)?;
        let mut file = Self { connection, path };
        file.prepare()?;
        file.migrate(least)?;
        Ok(file)
    }

    fn prepare(&self) -> Result<(), StoreError> {
        let connection = &self.connection;
        connection.busy_timeout(Duration::from_secs(5)).at(&self.path)?;
        // FULL: what is acknowledged survives a power cut. The size of the log is what it is cut back to after a rush.
        connection
            .execute_batch(
                "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 33554432; PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON;",
            )
            .at(&self.path)
    }

    fn migrate(&mut self, least: u64) -> Result<(), StoreError> {
        let path = self.path.clone();
        let known = MIGRATIONS.len() as i64;
        let transaction = self.connection.transaction().at(&path)?;
        let number = |name| transaction.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
        let (application, found) = (number("application_id").at(&path)?, number("user_version").at(&path)?);
        let tables: i64 =
            transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).at(&path)?;
        if tables > 0 && application != APPLICATION_ID {
            return Err(StoreError::Damaged { path, what: "it is another program's database".into() });
        }
        if found > known {
            return Err(StoreError::Newer { path, found, known });
        }
        if found < 0 {
            return Err(StoreError::Damaged { path, what: format!("it says that its format is {found}") });
        }
        for (at, migration) in (0i64..).zip(MIGRATIONS) {
            if at >= found {
                transaction.execute_batch(migration).at(&path)?;
            }
        }
        if found < known {
            transaction
                .execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {known}"))
                .at(&path)?;
        }
        if found == 0 {
            // Below 2^53 for 2,000 years and above every number of a file that was here before, if clocks are right:
            // nobody records 100,000 events a second for long.
            let number = (Timestamp::now().as_second().max(0) as u64 * 100_000).max(least + 1);
            transaction.execute("INSERT INTO next VALUES (0, ?)", [number]).at(&path)?;
        }
        transaction.commit().at(&path)
    }

    /// What is committed and in no chunk yet, and how many events of it could not be read.
    pub(super) fn open_chunk(&self) -> Result<(Chunk, u64), StoreError> {
        read_open(&self.connection, &self.path)
    }

    /// Makes `batch` durable behind the open chunk `before`; it is not in memory yet.
    pub(super) fn commit(&mut self, before: &Chunk, batch: &Batch, now_ms: i64) -> Result<(), StoreError> {
        let first = before.first + before.len() as u64;
        let data = block::pack(&batch.lines).at(&self.path)?;
        let transaction = self.connection.transaction().at(&self.path)?;
        transaction
            .prepare_cached("INSERT OR REPLACE INTO open VALUES (?, ?, ?, ?)")
            .and_then(|mut insert| insert.execute(params![first, batch.len() as u64, now_ms, data]))
            .at(&self.path)?;
        transaction.commit().at(&self.path)
    }

    /// Writes the open chunk anew into a file that does not have it.
    pub(super) fn restore(&mut self, chunk: &Chunk) -> Result<(), StoreError> {
        let transaction = self.connection.transaction().at(&self.path)?;
        transaction.execute("DELETE FROM open", []).at(&self.path)?;
        if chunk.len() > 0 {
            let data = block::pack(chunk.all_lines()).at(&self.path)?;
            transaction
                .execute(
                    "INSERT OR REPLACE INTO open VALUES (?, ?, ?, ?)",
                    params![chunk.first, chunk.len() as u64, chunk.opened_ms, data],
                )
                .at(&self.path)?;
        }
        let end = chunk.first + chunk.len() as u64;
        transaction.execute("UPDATE next SET number = max(number, ?)", [end]).at(&self.path)?;
        transaction.commit().at(&self.path)
    }

    /// Turns the open chunk into one that is searched on disk. May be repeated: an error of the disk can come after the deed.
    pub(super) fn close_chunk(&mut self, chunk: &Chunk, now_ms: i64) -> Result<(), StoreError> {
        let path = &self.path;
        let transaction = self.connection.transaction().at(path)?;
        write_blocks(&transaction, chunk, path)?;
        let span = chunk.span(0..chunk.len());
        transaction
            .execute(
                "INSERT OR REPLACE INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?)",
                params![chunk.first, chunk.len() as u64, now_ms, span.min_ms, span.max_ms, span.min_id, span.max_id],
            )
            .at(path)?;
        transaction.execute("DELETE FROM open", []).at(path)?;
        transaction.execute("UPDATE next SET number = ?", [chunk.first + chunk.len() as u64]).at(path)?;
        transaction.commit().at(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a closed chunk anew, with its terms.
    pub(super) fn replace_chunk(&mut self, chunk: &Chunk) -> Result<(), StoreError> {
        let path = &self.path;
        let transaction = self.connection.transaction().at(path)?;
        transaction.execute("DELETE FROM term WHERE chunk = ?", [chunk.first]).at(path)?;
        write_blocks(&transaction, chunk, path)?;
        transaction.commit().at(path)
    }

    /// Forgets the chunks that begin before event `number`: all of them, or none.
    pub(super) fn forget_before(&mut self, number: u64) -> Result<(), StoreError> {
        let path = &self.path;
        let transaction = self.connection.transaction().at(path)?;
        let end: Option<u64> = transaction
            .query_row("SELECT max(first + count) FROM chunk WHERE first < ?", [number], |row| row.get(0))
            .at(path)?;
        let Some(end) = end else { return Ok(()) };
        transaction.execute("DELETE FROM block WHERE first < ?", [end]).at(path)?;
        transaction.execute("DELETE FROM term WHERE chunk < ?", [number]).at(path)?;
        transaction.execute("DELETE FROM chunk WHERE first < ?", [number]).at(path)?;
        transaction.commit().at(path)
    }

    /// Events in closed chunks.
    pub(super) fn stored(&self) -> Result<u64, StoreError> {
        self.connection.query_row("SELECT coalesce(sum(count), 0) FROM chunk", [], |row| row.get(0)).at(&self.path)
    }

    /// Brings the log into the file, so that a store that nobody writes is one file.
    pub(super) fn fold(&self) -> Result<(), StoreError> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).at(&self.path)
    }

    /// Frees what is kept of the file in memory: for the time until there is more to write.
    pub(super) fn rest(&self) -> Result<(), StoreError> {
        self.connection.execute_batch("PRAGMA shrink_memory").at(&self.path)
    }

    /// Gives free pages back to the file system, at most so many.
    pub(super) fn shrink(&self, pages: u32) -> Result<(), StoreError> {
        let mut vacuum = self.connection.prepare(&format!("PRAGMA incremental_vacuum({pages})")).at(&self.path)?;
        let mut rows = vacuum.query([]).at(&self.path)?;
        while rows.next().at(&self.path)?.is_some() {}
        Ok(())
    }
}

fn write_blocks(transaction: &Connection, chunk: &Chunk, path: &Path) -> Result<(), StoreError> {
    let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO block VALUES (?, ?, ?, ?, ?, ?)").at(path)?;
    for (first, lines, span) in chunk.blocks() {
        let data = block::pack(lines).at(path)?;
        insert.execute(params![first, span.min_ms, span.max_ms, span.min_id, span.max_id, data]).at(path)?;
    }
    let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO term VALUES (?, ?, ?)").at(path)?;
    for (term, places) in chunk.sorted_terms() {
        insert.execute(params![chunk.first, term as i64, block::pack_places(places)]).at(path)?;
    }
    Ok(())
}

/// As [`File::open_chunk`], for whoever only reads.
pub(super) fn read_open(connection: &Connection, path: &Path) -> Result<(Chunk, u64), StoreError> {
    let number: u64 = connection.query_row("SELECT number FROM next", [], |row| row.get(0)).at(path)?;
    let mut select = connection.prepare("SELECT first, count, recorded_ms, data FROM open ORDER BY first").at(path)?;
    let mut rows = select.query([]).at(path)?;
    let mut chunk = Chunk::new(number);
    let mut unread = 0;
    while let Some(row) = rows.next().at(path)? {
        let first: u64 = row.get(0).at(path)?;
        let count: u64 = row.get(1).at(path)?;
        let recorded_ms = row.get(2).at(path)?;
        let data: Vec<u8> = row.get(3).at(path)?;
        if chunk.len() == 0 && unread == 0 {
            chunk.first = first;
        }
        let mut batch = Batch::default();
        for line in block::unpack(&data).iter().flat_map(|lines| block::lines(lines)) {
            if let Some(event) = block::parse(line).filter(|_| batch.len() < chunk.room()) {
                batch.push_line(line, &event);
            }
        }
        unread += count.saturating_sub(batch.len() as u64);
        chunk.append(&batch, recorded_ms);
    }
    Ok((chunk, unread))
}

/// Puts a damaged file and what belongs to it aside; the new name.
pub(super) fn put_aside(dir: &Path) -> Result<PathBuf, StoreError> {
    let path = path(dir);
    let stamp = Timestamp::now().as_millisecond();
    let aside = (stamp..).map(|stamp| dir.join(format!("{NAME}.damaged-{stamp}"))).find(|path| !path.exists());
    let aside = aside.unwrap_or_else(|| dir.join(format!("{NAME}.damaged")));
    // The log first: a new file must never meet the old one's log.
    for suffix in ["-wal", "-shm", ""] {
        let with = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        match std::fs::rename(with(&path), with(&aside)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).at(&with(&path)),
            _ => {}
        }
    }
    Ok(aside)
}

/// How many damaged files lie there.
pub(super) fn damaged_files(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let prefix = format!("{NAME}.damaged");
    names.filter(|name| name.starts_with(&prefix) && !name.ends_with("-wal") && !name.ends_with("-shm")).count() as u64
}

/// Removes the damaged files; gives how many there were.
pub(super) fn remove_damaged(dir: &Path) -> Result<u64, StoreError> {
    let count = damaged_files(dir);
    let prefix = format!("{NAME}.damaged");
    for entry in std::fs::read_dir(dir).at(dir)? {
        let path = entry.at(dir)?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&prefix)) {
            std::fs::remove_file(&path).at(&path)?;
        }
    }
    Ok(count)
}

/// Whether the whole file is sound; reads all of it.
pub(super) fn is_sound(connection: &Connection) -> bool {
    connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)).is_ok_and(|word| word == "ok")
}

/// Bytes in use of the file, and bytes of it that are free.
pub(super) fn size(connection: &Connection, path: &Path) -> Result<(u64, u64), StoreError> {
    let number = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, u64>(0)).at(path);
    let (pages, free, page) = (number("page_count")?, number("freelist_count")?, number("page_size")?);
    Ok(((pages - free.min(pages)) * page, free * page))
}

const _: () = assert!(CHUNK <= 1 << 16);
