// SPDX-License-Identifier: Apache-2.0
//! The rules tier: conditions over one event, written in CEL, checked when they are loaded.
//!
//! Reading order follows the data: `parse` (files to rules), `syntax` and `check` with `fields`, `functions` and
//! `calls` (a condition to code), `eval` (code and an event to an answer), `set` (all rules and an event to hits),
//! `judge` (hits to an outcome); `filter` asks one condition about events that have their verdict; `trial` runs the tests that stand beside the rules, `store` keeps a directory of them
//! in force, `edit` and `merge` change files.

mod ascii;
mod calls;
mod check;
mod code;
mod edit;
mod eval;
mod fields;
mod files;
mod filter;
mod functions;
mod index;
mod judge;
mod merge;
mod parse;
mod place;
mod reference;
mod set;
mod store;
mod syntax;
mod trial;

pub use check::MAX_CONDITION;
pub use edit::{Changed, set_state};
pub use eval::{BUDGET, Fault};
pub use files::read;
pub use filter::{Filter, FilterError};
pub use judge::{ESCALATES, FAILED, InForce, Rules, Selector, TESTING};
pub use merge::{Conflict, ConflictKind, Merged, merge};
pub use parse::{MAX_RULES, parse};
pub use reference::{fields_reference, schema};
pub use set::{Act, Hit, Rule, RuleSet, Selection, State};
pub use store::{LAST_GOOD, RuleStatus, RuleStore};
pub use trial::{Expect, Trial, TrialResult, complete};
