// SPDX-License-Identifier: Apache-2.0
//! The event store: everything that was recorded, durable and searchable, without a server.
//!
//! Events are kept in the order in which they were recorded and numbered in it. 16,384 of them are a *chunk*: 128 *blocks* of
//! compressed JSON Lines, and for each search term (a session, a program, a word, ...) which events of the chunk have it.
//! A question is answered from the terms, and only blocks that hold an answer are unpacked. The newest chunk is *open*: its
//! index is in memory, its events on disk as they were committed.
//!
//! ```text
//! DIR/events.db                                 SQLite, write-ahead log; what is younger than `keep`
//! DIR/events.db.damaged-UNIXMS                  a file that could not be read any more, put aside
//! DIR/archive/events/day=2026-11-21/part-*.parquet    what is older, by the day of the event (UTC)
//! DIR/lock                                      held by the one process that writes
//! ```
//!
//! - [`Store`]: takes events and never makes the caller wait; tells what it lost
//! - [`Reader`]: finds events, also while another process writes
//! - [`history`]: what is recorded on this host, one event after the other
//! - [`sql`]: SQL over store and archive
//! - [`archive`]: the Parquet files

pub mod archive;
mod block;
mod chunk;
mod columns;
mod erase;
mod error;
mod file;
pub mod history;
mod keeper;
mod reader;
mod rows;
pub mod sql;
mod store;
mod terms;
mod writer;

pub use columns::{COLUMNS, Value};
pub use erase::{Goes, erase_stopped};
pub use error::StoreError;
pub use reader::{Found, Order, Page, Reader};
pub use store::{Health, Limits, Store};
