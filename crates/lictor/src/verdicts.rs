// SPDX-License-Identifier: Apache-2.0
//! `lictor verdicts`: what the kernel remembers of judgements, who waits for one, and a person's own word.

use crate::cli::{Decision, VerdictsCommand};
use crate::context::Context;
use crate::output::{self, Cell};
use lictor_api::bytes::printable;
use lictor_api::control::Verdicts;
use std::io::{self, Write};
use std::process::ExitCode;

pub(crate) fn run(command: &VerdictsCommand, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let mut client = context.connect()?;
    match command {
        VerdictsCommand::List(args) => {
            let verdicts = client.verdicts()?;
            if args.json {
                serde_json::to_writer(&mut *out, &verdicts).map_err(io::Error::from)?;
                writeln!(out)?;
            } else if verdicts.held.is_empty() && verdicts.remembered.is_empty() {
                eprintln!("lictor: nothing is held, and the kernel remembers no verdict");
            } else {
                print(out, &verdicts)?;
            }
        }
        VerdictsCommand::Set(args) => {
            let ttl = args.ttl.map(|ttl| u64::try_from(ttl.as_secs()).unwrap_or(0));
            let decided = client.set_verdict(args.key.clone(), args.decision == Decision::Allow, ttl)?;
            eprintln!("lictor: {} decided", output::count(decided, "held process"));
        }
        VerdictsCommand::Clear(_) => {
            client.clear_verdicts()?;
            eprintln!("lictor: the kernel has forgotten all verdicts");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl Write, verdicts: &Verdicts) -> io::Result<()> {
    if !verdicts.held.is_empty() {
        let rows: Vec<Vec<Cell>> = verdicts
            .held
            .iter()
            .map(|held| {
                vec![
                    Cell::new(&held.key),
                    Cell::new(held.pid.to_string()),
                    Cell::new(&held.session),
                    Cell::new(output::short_duration(held.waiting_ms)),
                    Cell::new(printable(held.cmdline.as_deref().unwrap_or("-"))),
                ]
            })
            .collect();
        output::table(out, &["HELD", "PID", "SESSION", "WAITS", "COMMAND"], &rows)?;
    }
    if !verdicts.held.is_empty() && !verdicts.remembered.is_empty() {
        writeln!(out)?;
    }
    if !verdicts.remembered.is_empty() {
        let rows: Vec<Vec<Cell>> = verdicts
            .remembered
            .iter()
            .map(|known| {
                let said = known.verdict.as_ref();
                vec![
                    Cell::new(&known.key),
                    Cell::new(if known.allow { "allow" } else { "deny" }),
                    Cell::new(said.map_or_else(|| "-".to_owned(), |said| said.tier.to_string())),
                    Cell::new(known.expires_in_ms.map_or_else(|| "-".to_owned(), output::short_duration)),
                    Cell::new(printable(said.and_then(|said| said.reason.as_deref()).unwrap_or("-"))),
                ]
            })
            .collect();
        output::table(out, &["REMEMBERED", "VERDICT", "TIER", "EXPIRES", "REASON"], &rows)?;
    }
    Ok(())
}
