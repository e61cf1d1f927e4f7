// SPDX-License-Identifier: Apache-2.0
//! What Lictor's programs say to each other and to people's tools.
//!
//! - [`event`]: the JSON event, one object a line
//! - [`alert`]: what a person should look at, silences, how the sinks do
//! - [`bytes`]: how the kernel's byte strings become JSON strings and back
//! - [`control`]: the protocol on the control socket, and [`wire`], its framing
//! - [`client`]: a blocking client for it
//! - [`log`]: reads the daemon's event files when no daemon answers
//! - [`search`]: what it means that an event is about a program, a path, an address, some words
//! - [`explain`]: turns one event into an answer to "why, and what would change it"
//! - [`settings`]: `lictord.yaml`, which both programs read
//! - [`view`]: what the HTTP interface shows, and [`query`], which events are asked for
//!
//! This crate decides nothing and depends on no other crate of Lictor's.

pub mod alert;
pub mod bytes;
pub mod client;
pub mod control;
pub mod event;
pub mod explain;
pub mod log;
pub mod query;
pub mod search;
pub mod settings;
pub mod view;
pub mod wire;

pub use client::{Client, ClientError};
pub use control::{EventFilter, Reply, Request};
pub use event::Event;
pub use log::EventLog;
