// SPDX-License-Identifier: Apache-2.0
//! What a judge is given.

use lictor_api::event::Event;

/// One thing to judge.
#[derive(Clone, Debug)]
pub struct Case {
    /// What happened; strings in the form of [`lictor_api::bytes::escape`], ancestors included as far as they are known.
    pub event: Event,
    /// What the same session did before, oldest first; bounded by whoever fills it.
    pub recent: Vec<Event>,
}

impl Case {
    #[must_use]
    pub fn new(event: Event) -> Case {
        Case { event, recent: Vec::new() }
    }
}

/// What an answer was taken from, and so what it may be remembered by. The order is from little to much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// The executed file alone: holds for every execution of it.
    #[default]
    Object,
    /// The file, its arguments, user, working directory and the parent's program: holds for the same again.
    Invocation,
    /// More than the kernel can compare (ancestors, environment, time, earlier events): holds for this one only.
    Once,
}
