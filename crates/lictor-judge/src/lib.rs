// SPDX-License-Identifier: Apache-2.0
//! Judges what the policy does not settle, in tiers, each asked only when the one before could not say: rules
//! (`rules`), a small local model (`classifier`), a language model (`llm`). `pipeline` is the order.
//!
//! Reads no event source and has no effect of its own: a [`Case`] goes in, a [`Judgement`] comes out; `lictord` acts on
//! it, `lictor judge` prints it. `stage` runs one tier so that it cannot hang or crash whoever asks; only `rules::store`
//! and what changes rule files touch the file system.

mod case;
pub mod classifier;
mod contain;
pub mod counters;
pub mod llm;
pub mod pipeline;
pub mod rules;
mod stage;
mod tier;

pub use case::{Basis, Case};
pub use contain::abort_on_other_panics;
pub use pipeline::{Asked, DefaultAction, Judgement, OutOfOrder, Pipeline};
pub use stage::{Limits, Stage};
pub use tier::{Answer, Failure, Finding, Judge, Outcome};
