// SPDX-License-Identifier: Apache-2.0
//! `lictor run`: a command, and everything it starts, as a governed session.

use crate::RUN_FAILED;
use crate::cli::RunArgs;
use crate::context::Context;
use std::process::ExitCode;

pub(crate) fn run(args: RunArgs, context: &Context) -> ExitCode {
    let _ = (args, context);
    eprintln!("lictor: this build cannot govern a session; the command was not started");
    ExitCode::from(RUN_FAILED)
}
