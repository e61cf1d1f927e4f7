// SPDX-License-Identifier: Apache-2.0
//! Lictor's daemon as a library: `lictord` runs it for the host, `lictor run` privately for one session.

mod audit;
mod canary;
mod census;
mod container;
mod control;
mod daemon;
pub mod desk;
mod effects;
mod judging;
mod loaders;
mod objects;
mod observe;
mod record;
pub mod replay;
mod rings;
mod session;
mod tables;
mod telling;
mod web;

pub use audit::erase_stopped;
pub use canary::{ARGUMENT as CANARY_ARGUMENT, child as canary};
pub use daemon::{Start, run};
#[doc(hidden)]
pub use rings::Intake;

/// Logs to stderr; `LICTOR_LOG` chooses what (as `RUST_LOG` does elsewhere).
pub fn init_log(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("LICTOR_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}
