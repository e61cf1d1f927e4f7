// SPDX-License-Identifier: Apache-2.0
//! `SELECT` over one table, `events`: the archive and the store.
//!
//! The engine is SQLite on an empty database in memory, whose one view calls back for each value. So a query has nothing that it
//! could change: the store's own file is open elsewhere, for reading. On top of that, everything but reading is refused, and a
//! query that takes too long is ended.

use super::columns::{COLUMNS, Value, index};
use super::error::StoreError;
use super::rows::Rows;
use jiff::Timestamp;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Batch, Connection, Error, ErrorCode, ffi};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question<'a> {
    /// One `SELECT` (or `WITH`, `VALUES`, `EXPLAIN`).
    pub sql: &'a str,
    /// Only what happened at or after this moment, Unix milliseconds. What is older is not even read.
    pub since_ms: Option<i64>,
    /// Only what happened before this moment.
    pub until_ms: Option<i64>,
    pub time_limit: Duration,
}

/// Takes an answer as it comes. An error ends the query.
pub trait Sink {
    fn head(&mut self, columns: &[String]) -> std::io::Result<()>;
    fn row(&mut self, values: &[Value]) -> std::io::Result<()>;
}

/// Longest text or blob in a query, and longest query, in bytes.
const MAX_LENGTH: i32 = 64 << 20;
const MAX_SQL: i32 = 1 << 20;
/// Steps of SQLite between two looks at the clock.
const STEPS: i32 = 1000;

/// Answers `question` over the store in `store`. How many events could not be read and are missing from the answer.
pub fn query(store: &Path, question: &Question<'_>, sink: &mut impl Sink) -> Result<u64, StoreError> {
    let rows = Arc::new(Mutex::new(Rows::open(store, question.since_ms, question.until_ms)?));
    let failure: Arc<Mutex<Option<StoreError>>> = Arc::default();
    let connection = prepare(&rows, &failure, question).map_err(|error| StoreError::Query(error.to_string()))?;
    let end = Instant::now() + question.time_limit;
    let answered = restrict(&connection, end).and_then(|()| answer(&connection, question.sql, sink));
    if let Some(error) = failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    answered.map_err(|error| explain(error, question.time_limit))?;
    let damaged = rows.lock().unwrap_or_else(PoisonError::into_inner).damaged;
    Ok(damaged)
}

/// The database with the view.
fn prepare(
    rows: &Arc<Mutex<Rows>>,
    failure: &Arc<Mutex<Option<StoreError>>>,
    question: &Question<'_>,
) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    rusqlite::vtab::series::load_module(&connection)?;
    let count = rows.lock().unwrap_or_else(PoisonError::into_inner).count();
    let (rows, failure) = (Arc::clone(rows), Arc::clone(failure));
    connection.create_scalar_function("event_value", 2, FunctionFlags::SQLITE_UTF8, move |context| {
        let (row, column): (u64, usize) = (context.get(0)?, context.get(1)?);
        let value = rows.lock().unwrap_or_else(PoisonError::into_inner).value(row, column);
        value.map(output).map_err(|error| {
            let message = error.to_string();
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            Error::UserFunctionError(message.into())
        })
    })?;
    connection.execute_batch(&view(count, question))?;
    Ok(connection)
}

fn output(value: Value) -> ToSqlOutput<'static> {
    ToSqlOutput::Owned(match value {
        Value::Null => SqlValue::Null,
        Value::Int(number) => SqlValue::Integer(number),
        Value::Float(number) => SqlValue::Real(number),
        Value::Text(text) => SqlValue::Text(text),
        Value::Bytes(bytes) => SqlValue::Blob(bytes),
    })
}

fn view(count: u64, question: &Question<'_>) -> String {
    let columns: Vec<String> =
        COLUMNS.iter().enumerate().map(|(at, (name, _))| format!("event_value(value, {at}) AS \"{name}\"")).collect();
    let time = index("time").unwrap_or(0);
    let mut conditions = Vec::new();
    // Times are RFC 3339 in UTC with nine digits, so that text sorts as time does. What has no time is not left out.
    for (sign, bound) in [(">=", question.since_ms), ("<", question.until_ms)] {
        if let Some(bound) = bound.and_then(|ms| Timestamp::from_millisecond(ms).ok()) {
            conditions.push(format!("ifnull(event_value(value, {time}) {sign} '{bound:.9}', 1)"));
        }
    }
    let condition = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
    // generate_series counts to its end, which is one too many for an empty store.
    format!(
        "CREATE VIEW events AS SELECT {} FROM generate_series(0, {}) WHERE {} AND {condition}",
        columns.join(", "),
        count.saturating_sub(1),
        u8::from(count > 0),
    )
}

/// From here on the connection only reads, and only until `end`.
fn restrict(connection: &Connection, end: Instant) -> rusqlite::Result<()> {
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_LENGTH)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_SQL)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    // Sorting 10 million rows is done in a temporary file, not in memory.
    connection.execute_batch("PRAGMA temp_store = FILE; PRAGMA query_only = ON;")?;
    connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if function_name != "load_extension" => Authorization::Allow,
        _ => Authorization::Deny,
    }))?;
    connection.progress_handler(STEPS, Some(move || Instant::now() >= end))
}

fn answer(connection: &Connection, sql: &str, sink: &mut impl Sink) -> rusqlite::Result<()> {
    let mut batch = Batch::new(connection, sql);
    let only_one = || Error::UserFunctionError("there must be one statement, a SELECT".into());
    let mut statement = batch.next()?.ok_or_else(only_one)?;
    if batch.next()?.is_some() || statement.column_count() == 0 {
        return Err(only_one());
    }
    let to_sink = |error: std::io::Error| Error::ToSqlConversionFailure(Box::new(error));
    let head: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    sink.head(&head).map_err(to_sink)?;
    let mut rows = statement.raw_query();
    let mut values = Vec::with_capacity(head.len());
    while let Some(row) = rows.next()? {
        values.clear();
        for at in 0..head.len() {
            values.push(match row.get_ref(at)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Int(number),
                ValueRef::Real(number) => Value::Float(number),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
            });
        }
        sink.row(&values).map_err(to_sink)?;
    }
    Ok(())
}

/// SQLite's error in words that say what to do.
fn explain(error: Error, limit: Duration) -> StoreError {
    if let Error::ToSqlConversionFailure(inner) = error {
        return match inner.downcast::<std::io::Error>() {
            Ok(source) => StoreError::Io { path: "the output".into(), source: *source },
            Err(other) => StoreError::Query(other.to_string()),
        };
    }
    StoreError::Query(match (error.sqlite_error_code(), &error) {
        (Some(ErrorCode::OperationInterrupted), _) => format!(
            "it takes longer than {} s: look at less with --since, or give it more time with --timeout",
            limit.as_secs_f64()
        ),
        (Some(ErrorCode::AuthorizationForStatementDenied), _) => {
            "it may only read, and only from `events`: write it as one SELECT".to_owned()
        }
        (_, Error::SqlInputError { msg, offset, .. }) => match usize::try_from(*offset) {
            Ok(offset) => format!("{msg} (at character {})", offset + 1),
            Err(_) => msg.clone(),
        },
        (_, Error::SqliteFailure(ffi::Error { .. }, Some(message))) => message.clone(),
        (_, other) => other.to_string(),
    })
}
