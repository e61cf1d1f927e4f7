// SPDX-License-Identifier: Apache-2.0
//! `lictor rules`: rules without a daemon, as any user who may read or write their files.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use lictor_engine::policy::Problem;
use lictor_judge::rules::{self, RuleSet};

use crate::cli::RulesCheckArgs;
use crate::output::count;

/// Prints each problem as `FILE:LINE:COLUMN: message`.
pub(crate) fn check(args: &RulesCheckArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let mut all_good = true;
    for path in &args.paths {
        let Some((files, set)) = load(path, out)? else {
            all_good = false;
            continue;
        };
        let tests: usize = set.rules().iter().map(|rule| rule.tests.len()).sum();
        writeln!(
            out,
            "{}: ok, {}, {}, {}",
            lictor_api::bytes::printable(&path.display().to_string()),
            count(files as u64, "file"),
            count(set.rules().len() as u64, "rule"),
            count(tests as u64, "test")
        )?;
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many files there are, and their rules; prints the problems where there is no set.
fn load(path: &Path, out: &mut impl Write) -> io::Result<Option<(usize, RuleSet)>> {
    let loaded = rules::read(path).and_then(|files| rules::parse(&files).map(|set| (files.len(), set)));
    match loaded {
        Ok(loaded) => Ok(Some(loaded)),
        Err(problems) => {
            print(&problems, out)?;
            Ok(None)
        }
    }
}

fn print(problems: &[Problem], out: &mut impl Write) -> io::Result<()> {
    problems.iter().try_for_each(|problem| writeln!(out, "{problem}"))
}
