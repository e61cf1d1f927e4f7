// SPDX-License-Identifier: Apache-2.0
//! What brings records to the other side. One a sink, used by one thread; it may block, within the sink's time.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lictor_api::settings::sinks::{Sink, Target};
use thiserror::Error;

use super::file::FileTransport;
use super::otlp::Otlp;
use super::record::Record;
use super::syslog::Syslog;
use super::webhook::Webhook;
use crate::format::Host;
use crate::metrics::Metrics;

pub(crate) trait Transport: Send {
    /// Brings all of `records` to the other side, in order.
    fn deliver(&mut self, records: &[Record]) -> Result<Delivered, Failure>;

    /// How long the first record of a batch may wait for others.
    fn linger(&self) -> Duration;

    /// What has to be done from time to time; `Some` is when next.
    fn tick(&mut self, now: Instant) -> Option<Result<Instant, Failure>> {
        let _ = now;
        None
    }
}

/// What became of a batch that arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// How many of it the other side took and threw away.
    pub(crate) rejected: u64,
}

/// Why a batch did not arrive as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How many of it did, from the first.
    pub(crate) delivered: usize,
    pub(crate) remedy: Remedy,
    /// For people; holds no secret and no text of the other side.
    pub(crate) why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Try again, not before this long.
    Again(Option<Duration>),
    /// The other side will never take it as it is.
    GiveUp,
}

impl Failure {
    pub(crate) fn again(why: impl fmt::Display) -> Failure {
        Failure { delivered: 0, remedy: Remedy::Again(None), why: why.to_string() }
    }
}

/// Why a transport cannot be made. It is tried again: a missing key may come.
#[derive(Debug, Error)]
pub enum SetupError {
    #[error(transparent)]
    Outbound(#[from] lictor_judge::llm::outbound::SetupError),
    #[error("the address of the sink: {0}")]
    Address(String),
    #[error("{0}")]
    Client(String),
}

pub(crate) fn make(sink: &Sink, host: &Arc<Host>, metrics: &Arc<Metrics>) -> Result<Box<dyn Transport>, SetupError> {
    let host = Arc::clone(host);
    Ok(match &sink.to {
        Target::File { path, format, rotate_size, rotate_files } => {
            Box::new(FileTransport::new(path, *format, *rotate_size, *rotate_files, host))
        }
        Target::Syslog { address, format, facility, ca_file } => {
            Box::new(Syslog::new(address, *format, *facility, ca_file.as_deref(), sink.timeout, host)?)
        }
        Target::Webhook { url, format, secret, token, ca_file } => Box::new(Webhook::new(
            url,
            *format,
            secret.as_ref(),
            token.as_ref(),
            ca_file.as_deref(),
            sink.timeout,
            host,
        )?),
        Target::Otlp { url, token, ca_file, interval } => {
            let metrics =
                sink.send.contains(&lictor_api::settings::sinks::Stream::Metrics).then(|| Arc::clone(metrics));
            Box::new(Otlp::new(url, token.as_ref(), ca_file.as_deref(), sink.timeout, *interval, metrics, host)?)
        }
    })
}
