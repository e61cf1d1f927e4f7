// SPDX-License-Identifier: Apache-2.0
//! What has left the store: Parquet files, a folder for each day (UTC) on which the events happened.
//!
//! `archive/events/day=2026-11-21/part-FIRST-LAST.parquet`, the numbers being those of the first and last event that left the store
//! together. A file has its name only when it is whole and on disk.

use super::block::{self, BLOCK};
use super::columns::{COLUMNS, Row, TYPES, Type, Value};
use super::error::{At as _, StoreError};
use super::reader::{ChunkInfo, Reader};
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How much of the archive is kept, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Counted from the day's end and from when the file was written: whichever is later.
    pub keep: Duration,
    pub max_size: u64,
}

/// Rows of a row group: what is in memory while it is written.
const GROUP: usize = 8192;
/// Days that one step writes at the most; with clocks that were set to and fro, the rest goes into the last of them.
const DAYS: usize = 32;

pub(super) fn dir(store: &Path) -> PathBuf {
    store.join("archive").join("events")
}

/// One file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub path: PathBuf,
    pub day: Date,
    /// The numbers of the first and the last event of the step that wrote it; other days' events may be between them.
    pub first: u64,
    pub last: u64,
    pub size: u64,
}

/// Every file of the archive of the store in `store`, by day and number.
pub fn parts(store: &Path) -> Result<Vec<Part>, StoreError> {
    let root = dir(store);
    let mut parts = Vec::new();
    for folder in entries(&root)? {
        let day = name(&folder).and_then(|name| name.strip_prefix("day=")?.parse::<Date>().ok());
        let Some(day) = day else { continue };
        for path in entries(&folder)? {
            let numbers = name(&path).and_then(|name| {
                let (first, last) = name.strip_prefix("part-")?.strip_suffix(".parquet")?.split_once('-')?;
                Some((first.parse().ok()?, last.parse().ok()?))
            });
            if let Some((first, last)) = numbers {
                let size = fs::metadata(&path).at(&path)?.len();
                parts.push(Part { path, day, first, last, size });
            }
        }
    }
    parts.sort_by_key(|part| (part.day, part.first));
    Ok(parts)
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.at(dir)?.map(|entry| entry.map(|entry| entry.path()).at(dir)).collect(),
    }
}

/// The highest number of an event in the archive; 0 when there is none, or it cannot be told.
pub(super) fn last_number(store: &Path) -> u64 {
    parts(store).unwrap_or_default().iter().map(|part| part.last).max().unwrap_or(0)
}

/// Writes the events of `chunks`. May be repeated until the chunks are forgotten: what an earlier attempt wrote is replaced.
pub(super) fn write(store: &Path, reader: &Reader, chunks: &[ChunkInfo]) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { return Ok(()) };
    let root = dir(store);
    fs::create_dir_all(&root).at(&root)?;
    let mut step = Step {
        root: &root,
        name: format!("part-{}-{}", first.first, last.first + last.count - 1),
        days: BTreeMap::new(),
    };
    for chunk in chunks {
        for start in (0..chunk.count).step_by(BLOCK) {
            step.block(reader, chunk, chunk.first + start)?;
        }
    }
    let days = step.finish()?;
    for old in parts(store)?.iter().filter(|part| part.first == first.first) {
        fs::remove_file(&old.path).at(&old.path)?;
    }
    for (new, path) in days {
        fs::rename(&new, &path).at(&path)?;
        sync_dir(path.parent().unwrap_or(&root))?;
    }
    sync_dir(&root)
}

fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).at(dir)
}

/// The files that one step writes.
struct Step<'a> {
    root: &'a Path,
    name: String,
    days: BTreeMap<Date, Day>,
}

struct Day {
    /// Under a name that no reader of the archive looks at.
    path: PathBuf,
    writer: SerializedFileWriter<File>,
    rows: Vec<Vec<Value>>,
}

impl Step<'_> {
    fn block(&mut self, reader: &Reader, chunk: &ChunkInfo, first: u64) -> Result<(), StoreError> {
        let lines = match reader.block(first) {
            Ok(lines) => lines,
            // The store has counted and told it already, and nobody can read it any more.
            Err(StoreError::Io { path, source }) => {
                tracing::error!("{}: the events from number {first} on are not archived: {source}", path.display());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for (number, line) in (first..).zip(block::lines(&lines)) {
            let (Some(event), Ok(line)) = (block::parse(line), std::str::from_utf8(line)) else { continue };
            let time = event.time.parse().ok().or_else(|| Timestamp::from_millisecond(chunk.recorded_ms).ok());
            let day = time.unwrap_or_default().to_zoned(TimeZone::UTC).date();
            let day = self.day(day)?;
            day.rows.push(Row { number, event: &event, line }.values());
            if day.rows.len() >= GROUP {
                day.write_group()?;
            }
        }
        Ok(())
    }

    fn day(&mut self, wanted: Date) -> Result<&mut Day, StoreError> {
        let last = self.days.keys().next_back().copied();
        let date =
            if self.days.len() < DAYS || self.days.contains_key(&wanted) { wanted } else { last.unwrap_or(wanted) };
        match self.days.entry(date) {
            std::collections::btree_map::Entry::Occupied(day) => Ok(day.into_mut()),
            std::collections::btree_map::Entry::Vacant(place) => {
                let folder = self.root.join(format!("day={date}"));
                fs::create_dir_all(&folder).at(&folder)?;
                Ok(place.insert(Day::new(folder.join(format!(".{}.new", self.name)))?))
            }
        }
    }

    /// What was written, and what it is to be called.
    fn finish(self) -> Result<Vec<(PathBuf, PathBuf)>, StoreError> {
        let name = format!("{}.parquet", self.name);
        self.days
            .into_values()
            .map(|day| {
                let path = day.path.with_file_name(&name);
                Ok((day.finish()?, path))
            })
            .collect()
    }
}

impl Day {
    fn new(path: PathBuf) -> Result<Self, StoreError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by(format!("lictor {}", env!("CARGO_PKG_VERSION")))
            .build();
        let schema = parse_message_type(&schema()).at(&path)?;
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&path).at(&path)?;
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).at(&path)?;
        Ok(Self { path, writer, rows: Vec::new() })
    }

    /// Where it is now.
    fn finish(mut self) -> Result<PathBuf, StoreError> {
        self.write_group()?;
        self.writer.finish().at(&self.path)?;
        self.writer.inner().sync_all().at(&self.path)?;
        Ok(self.path)
    }

    fn write_group(&mut self) -> Result<(), StoreError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut rows = std::mem::take(&mut self.rows);
        let mut group = self.writer.next_row_group().at(&self.path)?;
        for (at, kind) in TYPES.iter().enumerate() {
            let values = rows.iter_mut().map(|row| std::mem::replace(&mut row[at], Value::Null)).collect();
            write_column(&mut group, *kind, values).at(&self.path)?;
        }
        group.close().at(&self.path)?;
        Ok(())
    }
}

/// One file, written anew.
pub(super) struct PartWriter(Day);

impl PartWriter {
    /// Under a name beside `path` that no reader of the archive looks at.
    pub(super) fn beside(path: &Path) -> Result<Self, StoreError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Day::new(path.with_file_name(format!(".{name}.new"))).map(Self)
    }

    pub(super) fn push(&mut self, row: Vec<Value>) -> Result<(), StoreError> {
        self.0.rows.push(row);
        if self.0.rows.len() >= GROUP { self.0.write_group() } else { Ok(()) }
    }

    /// Puts what was written in the place of `path`.
    pub(super) fn replace(self, path: &Path) -> Result<(), StoreError> {
        let new = self.0.finish()?;
        fs::rename(&new, path).at(path)?;
        sync_dir(path.parent().unwrap_or(path))
    }
}

/// The message type, as Parquet writes it down.
fn schema() -> String {
    let fields = COLUMNS.iter().zip(TYPES).map(|((name, _), kind)| {
        let (physical, logical) = match kind {
            Type::Int => ("int64", ""),
            Type::Float => ("double", ""),
            Type::Text => ("binary", " (STRING)"),
            Type::Time => ("int64", " (TIMESTAMP(NANOS,true))"),
            Type::Bool => ("boolean", ""),
        };
        format!("optional {physical} {name}{logical};")
    });
    format!("message event {{ {} }}", fields.collect::<Vec<_>>().join(" "))
}

fn write_column(
    group: &mut SerializedRowGroupWriter<'_, File>,
    kind: Type,
    values: Vec<Value>,
) -> parquet::errors::Result<()> {
    fn put<T: DataType>(
        group: &mut SerializedRowGroupWriter<'_, File>,
        values: Vec<Option<T::T>>,
    ) -> parquet::errors::Result<()> {
        let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
        let values: Vec<T::T> = values.into_iter().flatten().collect();
        let missing = || parquet::errors::ParquetError::General("there are fewer columns than planned".into());
        let mut column = group.next_column()?.ok_or_else(missing)?;
        column.typed::<T>().write_batch(&values, Some(&levels), None)?;
        column.close()
    }
    let values = values.into_iter();
    match kind {
        Type::Int => put::<Int64Type>(group, values.map(as_int).collect()),
        Type::Bool => put::<BoolType>(group, values.map(|value| as_int(value).map(|number| number != 0)).collect()),
        Type::Float => {
            let float = |value| if let Value::Float(number) = value { Some(number) } else { None };
            put::<DoubleType>(group, values.map(float).collect())
        }
        Type::Time => {
            let nanoseconds = |value| match value {
                Value::Text(text) => i64::try_from(text.parse::<Timestamp>().ok()?.as_nanosecond()).ok(),
                _ => None,
            };
            put::<Int64Type>(group, values.map(nanoseconds).collect())
        }
        Type::Text => {
            let bytes =
                |value| if let Value::Text(text) = value { Some(ByteArray::from(text.into_bytes())) } else { None };
            put::<ByteArrayType>(group, values.map(bytes).collect())
        }
    }
}

fn as_int(value: Value) -> Option<i64> {
    if let Value::Int(number) = value { Some(number) } else { None }
}

/// Removes days that are too old, and the oldest while there is too much.
pub(super) fn prune(store: &Path, limits: &Limits, now: Timestamp) -> Result<(), StoreError> {
    let mut parts = parts(store)?;
    let oldest = now.checked_sub(limits.keep).unwrap_or(Timestamp::MIN);
    let mut total: u64 = parts.iter().map(|part| part.size).sum();
    parts.retain(|part| part.path.exists());
    for part in parts {
        let ended = part.day.tomorrow().and_then(|day| day.to_zoned(TimeZone::UTC)).map(|day| day.timestamp());
        let written = fs::metadata(&part.path).and_then(|metadata| metadata.modified()).at(&part.path)?;
        let old = ended.is_ok_and(|ended| ended < oldest) && Timestamp::try_from(written).is_ok_and(|at| at < oldest);
        if old || total > limits.max_size {
            fs::remove_file(&part.path).at(&part.path)?;
            total -= part.size;
            // Only an empty folder can be removed this way, which is what is meant.
            let _others_are_left = part.path.parent().map(fs::remove_dir);
        }
    }
    Ok(())
}

/// One file, read a row group and a column at a time.
pub(super) struct PartReader {
    path: PathBuf,
    reader: SerializedFileReader<File>,
    /// Where each of our columns stands in the file; a file of an earlier version may not have it.
    columns: Vec<Option<usize>>,
}

impl PartReader {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let reader = SerializedFileReader::new(File::open(path).at(path)?).at(path)?;
        let own = reader.metadata().file_metadata().schema_descr();
        let names: Vec<String> = own.columns().iter().map(|column| column.name().to_owned()).collect();
        let columns = COLUMNS.iter().map(|(name, _)| names.iter().position(|own| own == name)).collect();
        Ok(Self { path: path.to_owned(), reader, columns })
    }

    /// Rows of each row group.
    pub(super) fn groups(&self) -> Vec<usize> {
        let groups = self.reader.metadata().row_groups().iter();
        groups.map(|group| usize::try_from(group.num_rows()).unwrap_or(0)).collect()
    }

    pub(super) fn column(&self, group: usize, column: usize) -> Result<Vec<Value>, StoreError> {
        let rows = self.groups().get(group).copied().unwrap_or(0);
        let Some(own) = self.columns.get(column).copied().flatten() else { return Ok(vec![Value::Null; rows]) };
        let group = self.reader.get_row_group(group).at(&self.path)?;
        let reader = group.get_column_reader(own).at(&self.path)?;
        read_column(reader, TYPES[column], rows).at(&self.path)
    }
}

fn read_column(reader: ColumnReader, kind: Type, rows: usize) -> parquet::errors::Result<Vec<Value>> {
    fn get<T: DataType>(
        mut reader: ColumnReaderImpl<T>,
        rows: usize,
        convert: impl Fn(T::T) -> Value,
    ) -> parquet::errors::Result<Vec<Value>> {
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        while levels.len() < rows {
            let (records, ..) = reader.read_records(rows - levels.len(), Some(&mut levels), None, &mut values)?;
            if records == 0 {
                break;
            }
        }
        let mut values = values.into_iter().map(convert);
        let mut next = |level| if level == 0 { Value::Null } else { values.next().unwrap_or(Value::Null) };
        let mut out: Vec<Value> = levels.into_iter().map(&mut next).collect();
        out.resize(rows, Value::Null);
        Ok(out)
    }
    match reader {
        ColumnReader::Int64ColumnReader(reader) if kind == Type::Time => get(reader, rows, |nanoseconds| {
            let time = Timestamp::from_nanosecond(i128::from(nanoseconds));
            time.map_or(Value::Null, |time| Value::Text(format!("{time:.9}")))
        }),
        ColumnReader::Int64ColumnReader(reader) => get(reader, rows, Value::Int),
        ColumnReader::BoolColumnReader(reader) => get(reader, rows, |value| Value::Int(i64::from(value))),
        ColumnReader::DoubleColumnReader(reader) => get(reader, rows, Value::Float),
        ColumnReader::ByteArrayColumnReader(reader) => {
            get(reader, rows, |bytes| Value::Text(String::from_utf8_lossy(bytes.data()).into_owned()))
        }
        _ => Ok(vec![Value::Null; rows]),
    }
}
