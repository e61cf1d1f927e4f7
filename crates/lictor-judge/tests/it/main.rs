// SPDX-License-Identifier: Apache-2.0
//! One binary for all integration tests of the crate: linking is what takes time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy knows only functions marked as tests, not their helpers"
)]

mod llm_faults;
mod llm_limits;
mod llm_live;
mod llm_protocols;
mod llm_server;
mod llm_tls;
