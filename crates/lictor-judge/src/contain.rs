// SPDX-License-Identifier: Apache-2.0
//! Panics that are somebody's failure, and panics that are the program's end.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

thread_local! {
    /// How many calls of [`contain`] are around what this thread does.
    static CONTAINED: Cell<u32> = const { Cell::new(0) };
}

/// Runs `work`; a panic in it is an error here.
///
/// What `work` was changing may be half done: it must not be used afterwards, or bear it.
pub(crate) fn contain<T>(work: impl FnOnce() -> T) -> std::thread::Result<T> {
    CONTAINED.set(CONTAINED.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(CONTAINED.get() - 1);
    result
}

/// Makes every panic that no tier's containment catches the end of the process, as `panic = "abort"` would: a daemon
/// that has lost a thread must not look alive. To be called first in `main`.
pub fn abort_on_other_panics() {
    let tell = take_hook();
    set_hook(Box::new(move |info| {
        tell(info);
        if CONTAINED.get() == 0 {
            std::process::abort();
        }
    }));
}
