// SPDX-License-Identifier: Apache-2.0
//! What people and other programs are told.
//!
//! An event comes in at [`Dispatcher::offer`] and goes this way: `alerts` (is it something for a person, and has it been
//! told before?), each sink's filter, each sink's queue (`sinks::queue`, memory first, then `sinks::spill`, the disk), and
//! from there, by a thread of the sink's own, through `format` to its transport (`file`, `syslog`, `webhook`, `otlp`).
//!
//! Nobody who offers an event ever waits: what finds no room is counted and told. Decides nothing about processes.

pub mod alerts;
mod dispatcher;
pub mod forget;
pub mod format;
mod metrics;
pub mod sinks;

pub use dispatcher::{ChangeError, Condition, Dispatcher, StartError};
pub use metrics::Metrics;
