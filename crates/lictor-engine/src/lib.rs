// SPDX-License-Identifier: Apache-2.0
//! The pure core of Lictor: what a policy says, and what it decides.
//!
//! Values go in, values and problems come out. Nothing here reads a file, asks the clock or talks to
//! the kernel, so the same policy text and the same facts always give the same tables, and the same
//! decision can be taken in Rust to check what the kernel program decided.

pub mod policy;
pub mod process;
pub mod yaml;
