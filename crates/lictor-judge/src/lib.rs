// SPDX-License-Identifier: Apache-2.0
//! Judges what the policy does not settle, in tiers, each asked only when the one before could not say: rules
//! (`rules`), a small local model (`classifier`), a language model (`llm`). `pipeline` is the order.
//!
//! Reads no event source and has no effect of its own: a [`Case`] goes in, a [`Judgement`] comes out; `lictord` acts on
//! it, `lictor judge` prints it.

mod case;
pub mod classifier;
mod tier;

pub use case::{Basis, Case};
pub use tier::{Answer, Failure, Finding, Judge, Outcome};
