// SPDX-License-Identifier: Apache-2.0
//! `lictor audit`: is the chain what was written; what it says; a signed statement of how far it has come; erasure.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use lictor_api::bytes::printable;
use lictor_api::control::Erased;
use lictor_store::audit::{self, Actor, Checkpoint, Report, Request, Shown, Sources, verify};

use crate::context::Context;
use crate::output::{self, Cell};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Say whether the chain is what was written, and where it is not; needs no lictord and no other file
    Verify(VerifyArgs),
    /// Show the last entries, with the personal data that you may read
    Show(ShowArgs),
    /// Print a signed statement of how far the chain has come: keep it on another machine
    Checkpoint(CheckpointArgs),
    /// Erase a person's data from everything that Lictor keeps; the chain still verifies
    Erase(EraseArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo lictor audit verify
         lictor audit verify copy/chain-000000000001.jsonl --checkpoint kept.json --key kept.pub
         sudo lictor audit verify --json

Exit status: 0 when nothing was found wrong; 1 otherwise.")]
pub(crate) struct VerifyArgs {
    /// A file of the chain, or its folder [default: `audit` in the state folder]
    #[arg(value_name = "FILE")]
    path: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere; the chain must agree with it
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The public key that checkpoints must be signed with, as `key.pub` is
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo lictor audit show --limit 20
         sudo lictor audit show --kind policy,verdict-set --json")]
pub(crate) struct ShowArgs {
    /// The chain's folder [default: `audit` in the state folder]
    #[arg(value_name = "DIR")]
    path: Option<PathBuf>,
    /// The last so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Entries before this one
    #[arg(long, value_name = "ENTRY")]
    before: Option<u64>,
    /// Only these kinds: start, stop, verdict, policy, rules, erasure and so on
    #[arg(long, value_name = "K,...", value_delimiter = ',')]
    kind: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo lictor audit checkpoint > checkpoint.json")]
pub(crate) struct CheckpointArgs {}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo lictor audit erase --subject alice
         sudo lictor audit erase --subject uid:1000 --mentions")]
pub(crate) struct EraseArgs {
    /// Whose data: a user name, a uid, uid:NUMBER, token:NAME, or `unknown` for what has no owner
    #[arg(long, value_name = "S")]
    subject: String,
    /// Also what others did that names the person as a word; their home folder always counts
    #[arg(long)]
    mentions: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &AuditCommand, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Verify(args) => verify_chain(args, context, out),
        AuditCommand::Show(args) => show(args, context, out),
        AuditCommand::Checkpoint(_) => checkpoint(context, out),
        AuditCommand::Erase(args) => erase(args, context, out),
    }
}

fn folder(context: &Context) -> PathBuf {
    context.settings.state.join(audit::FOLDER)
}

fn json(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    writeln!(out)
}

fn verify_chain(args: &VerifyArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let report = verify(&Sources {
        path: args.path.clone().unwrap_or_else(|| folder(context)),
        checkpoints: args.checkpoint.clone(),
        keys: args.key.clone(),
    })?;
    if args.json {
        json(out, &report)?;
    } else {
        print_report(out, &report)?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_report(out: &mut impl Write, report: &Report) -> io::Result<()> {
    for problem in &report.problems {
        let entry = problem.entry.map(|entry| format!("entry {entry}: ")).unwrap_or_default();
        let (bad, file, message) = (output::BAD, printable(&problem.file), printable(&problem.message));
        writeln!(out, "{bad}{file}:{}: {entry}{}{}: {message}", problem.line, problem.kind, bad.render_reset())?;
    }
    if report.more_problems > 0 {
        writeln!(out, "and {} more", output::count(report.more_problems, "problem"))?;
    }
    let style = if report.ok { output::GOOD } else { output::BAD };
    let word = if report.ok { "the chain holds" } else { "the chain has been changed" };
    let range = match (report.first, report.last) {
        (Some(first), Some(last)) => format!(" (entries {first} to {last})"),
        _ => String::new(),
    };
    writeln!(
        out,
        "{style}{word}{}: {} lines in {}{range}, {} agree",
        style.render_reset(),
        report.entries,
        output::count(report.files, "file"),
        output::count(report.checkpoints, "checkpoint"),
    )?;
    let line = |out: &mut _, name: &str, value: String| {
        output::row(out, &[6], &[Cell::styled(name, output::DIM), Cell::new(value)])
    };
    let signed = report.signed.map_or_else(
        || "no checkpoint speaks for any entry".to_owned(),
        |signed| format!("up to entry {signed}; a later one could be changed or cut off without a trace"),
    );
    line(out, "signed", signed)?;
    if let Some(key) = &report.key {
        line(out, "key", key.clone())?;
    }
    if let Some(head) = &report.head {
        line(out, "head", head.clone())?;
    }
    if report.texts + report.unopened + report.erased > 0 {
        let (texts, unopened, erased) = (report.texts, report.unopened, report.erased);
        line(
            out,
            "texts",
            format!("{texts} opened and right, {unopened} without a key to open them, {erased} erased"),
        )?;
    }
    report.notes.iter().try_for_each(|note| line(out, "note", note.clone()))
}

fn show(args: &ShowArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let dir = args.path.clone().unwrap_or_else(|| folder(context));
    let wanted = |record: &audit::Record| args.kind.is_empty() || args.kind.contains(&record.kind);
    let mut items = audit::page(&dir, args.before, args.limit, wanted)?.items;
    items.reverse();
    if args.json {
        items.iter().try_for_each(|shown| json(out, shown))?;
    } else {
        let zone = TimeZone::system();
        let rows: Vec<Vec<Cell>> = items.iter().map(|shown| row(shown, &zone)).collect();
        output::table(out, &["ENTRY", "TIME", "KIND", "WHO", "WHAT"], &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(shown: &Shown, zone: &TimeZone) -> Vec<Cell> {
    let words = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    // Signatures are for programs.
    let facts = shown.data.iter().filter(|(name, _)| shown.kind != "checkpoint" || *name == "entry");
    let mut what: Vec<String> = facts.map(|(name, value)| format!("{name}={}", words(value))).collect();
    let mut who = Vec::new();
    for personal in &shown.personal {
        who.push(personal.subject.clone().unwrap_or_else(|| personal.state.clone()));
        for (name, value) in personal.text.iter().filter_map(serde_json::Value::as_object).flatten() {
            match serde_json::from_value::<lictor_api::Event>(value.clone()) {
                Ok(event) if name == "event" => what.push(format!("{} {}", event.operation(), event.object())),
                _ => what.push(format!("{name}={}", words(value))),
            }
        }
    }
    who.dedup();
    let (time, who) = (output::short_time(&shown.time, zone), who.join(","));
    vec![
        Cell::new(shown.n.to_string()),
        Cell::new(time),
        Cell::new(&shown.kind),
        Cell::new(if who.is_empty() { "-" } else { &who }),
        Cell::new(what.join(" ")),
    ]
}

fn checkpoint(context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    match context.connect() {
        Ok(mut client) => json(out, &client.audit_checkpoint()?)?,
        Err(error) if error.is_no_daemon() => {
            let path = folder(context).join("checkpoint.json");
            let bytes = std::fs::read(&path)
                .map_err(|source| anyhow::anyhow!("{error}; and {} cannot be read: {source}", path.display()))?;
            let checkpoint =
                Checkpoint::parse(&bytes).map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))?;
            eprintln!(
                "lictor: no lictord answers; this is the newest checkpoint, signed at {}",
                printable(&checkpoint.time)
            );
            json(out, &checkpoint)?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn erase(args: &EraseArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let erased = match context.connect() {
        Ok(mut client) => client.audit_erase(args.subject.clone(), args.mentions)?,
        Err(error) if error.is_no_daemon() && folder(context).is_dir() => {
            eprintln!("lictor: no lictord answers; erasing in {}", context.settings.state.display());
            let by = Actor::User(nix::unistd::getuid().as_raw());
            let request = Request { subject: args.subject.clone(), by_name: args.mentions, by };
            lictord::erase_stopped(&context.settings, &request)?
        }
        Err(error) => return Err(error.into()),
    };
    if args.json {
        json(out, &erased)?;
    } else {
        print_erased(out, &erased)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_erased(out: &mut impl Write, erased: &Erased) -> io::Result<()> {
    writeln!(out, "{}: the key is destroyed", printable(&erased.subject))?;
    let line = |out: &mut _, count: u64, what: &str| {
        output::row(out, &[8], &[Cell::new(format!("{count:>8}")), Cell::new(what)])
    };
    line(out, erased.texts, "sealed texts beside the audit chain")?;
    line(out, erased.others, "sealed texts of others that told of the person")?;
    erased.copies.iter().try_for_each(|(name, count)| line(out, *count, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_file_line_entry_and_what() {
        let report = Report {
            entries: 9,
            files: 1,
            first: Some(1),
            last: Some(9),
            problems: vec![audit::Problem {
                file: "a/chain.jsonl".into(),
                line: 5,
                entry: Some(5),
                kind: "changed".into(),
                message: "entry 5 was changed\u{1b}[2J".into(),
            }],
            ..Report::default()
        };
        let text = output::plain(|out| print_report(out, &report).unwrap());
        assert!(text.starts_with("a/chain.jsonl:5: entry 5: changed: entry 5 was changed\\x1b[2J\n"), "{text}");
        assert!(text.contains("the chain has been changed: 9 lines in 1 file (entries 1 to 9)"), "{text}");
    }

    #[test]
    fn an_entry_is_one_line_whatever_it_holds() {
        let shown: Shown = serde_json::from_str(
            r#"{"n":7,"time":"2026-01-02T03:04:05Z","kind":"verdict","data":{"action":"deny"},
                "personal":[{"id":"ab","subject":"uid:1000","state":"open",
                             "text":{"event":{"kind":"file","file":{"op":"read","path":"/x\ny\u001b[31m"}}}}]}"#,
        )
        .unwrap();
        let rows = [row(&shown, &TimeZone::UTC)];
        let text = output::plain(|out| output::table(out, &["A", "B", "C", "D", "E"], &rows).unwrap());
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("uid:1000") && text.contains(r"action=deny read /x\ny\x1b[31m"), "{text}");
    }
}
