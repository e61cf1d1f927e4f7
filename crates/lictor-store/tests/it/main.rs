// SPDX-License-Identifier: Apache-2.0
//! One binary for all integration tests of the crate: linking is what takes time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy knows only functions marked as tests, not their helpers"
)]

mod audit;
mod events;
