// SPDX-License-Identifier: Apache-2.0
//! Which thread runs first when there is more to do than time.

use std::io;

/// As far ahead of ordinary threads as a service may put itself without real-time scheduling.
const AHEAD: libc::c_int = -10;

/// Puts this thread ahead of the process's others.
///
/// # Errors
/// The caller has no right to (`CAP_SYS_NICE`).
pub fn prefer_this_thread() -> io::Result<()> {
    // SAFETY: no memory is passed; on Linux, PRIO_PROCESS with 0 means the calling thread alone.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, AHEAD) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
