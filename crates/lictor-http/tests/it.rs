// SPDX-License-Identifier: Apache-2.0
//! A real server on real sockets, over a recording, asked by real clients.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy knows only functions marked as tests, not their helpers"
)]

#[path = "it/access.rs"]
mod access;
#[path = "it/answers.rs"]
mod answers;
#[path = "it/limits.rs"]
mod limits;
#[path = "it/live.rs"]
mod live;
#[path = "it/server.rs"]
mod server;
