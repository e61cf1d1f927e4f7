// SPDX-License-Identifier: Apache-2.0
//! The judging tiers with their real parts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper is a failed test")]

mod classifier;
