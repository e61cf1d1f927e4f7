// SPDX-License-Identifier: Apache-2.0
//! `lictor explain`: one verdict, the line it comes from, and the line that would change it.

use crate::cli::ExplainArgs;
use crate::context::Context;
use crate::output::{self, Cell};
use anyhow::{Context as _, bail};
use lictor_api::bytes::printable;
use lictor_api::control::Explanation;
use lictor_api::{EventFilter, EventLog, explain};
use lictor_store::events::history::{self, History};
use std::io::{Read as _, Write};
use std::process::ExitCode;
use unicode_width::UnicodeWidthStr as _;

/// A policy is at most this long, so a line is not looked for in anything longer.
const MAX_SOURCE: u64 = 16 << 20;

pub(crate) fn run(args: &ExplainArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let explanation = find(args, context)?;
    if args.json {
        serde_json::to_writer(&mut *out, &explanation).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        print(out, &explanation)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn find(args: &ExplainArgs, context: &Context) -> anyhow::Result<Explanation> {
    let state = &context.settings.state;
    let event = match &args.file {
        Some(file) => EventLog::of_file(file).find(&args.id).map_err(anyhow::Error::from),
        None => match context.connect() {
            Ok(mut client) => return Ok(client.explain(&args.id)?),
            Err(error) if error.is_no_daemon() => {
                let history = History::new(state, None, &EventFilter { limit: Some(0), ..EventFilter::default() })?;
                if history.is_without_source(state) {
                    bail!(
                        "{error}; and no events are recorded in {}: name a file of events with --file",
                        state.display()
                    );
                }
                history::find(state, None, &args.id).map_err(anyhow::Error::from)
            }
            Err(error) => return Err(error.into()),
        },
    };
    let place = || args.file.as_ref().unwrap_or(state).display().to_string();
    let event = event.with_context(|| format!("event {} was not found", args.id))?;
    let event = event.with_context(|| {
        format!("no event {} is recorded in {}: `lictor events` lists those that are", printable(&args.id), place())
    })?;
    Ok(explain::explain(event))
}

fn print(out: &mut impl Write, explanation: &Explanation) -> std::io::Result<()> {
    writeln!(out, "{}{}{}", output::HEAD, printable(&explanation.summary), output::HEAD.render_reset())?;
    writeln!(out)?;
    let mut facts: Vec<(&str, &str)> = Vec::new();
    facts.extend(explanation.rule.as_deref().map(|rule| ("rule", rule)));
    facts.extend(explanation.source.as_deref().map(|source| ("written in", source)));
    facts.extend(explanation.facts.iter().map(|fact| (fact.name.as_str(), fact.value.as_str())));
    let width = facts.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    for (name, value) in facts {
        output::row(out, &[2, width], &[Cell::new(""), Cell::styled(name, output::DIM), Cell::new(value)])?;
        if name == "written in" {
            snippet(out, value)?;
        }
    }
    if let Some(fix) = &explanation.fix {
        writeln!(out)?;
        write!(out, "{}To change it:{} ", output::HEAD, output::HEAD.render_reset())?;
        // A fix can be a few lines of a policy; nothing else in it may break lines.
        for (at, line) in fix.lines().enumerate() {
            writeln!(out, "{}{}", if at == 0 { "" } else { "    " }, printable(line))?;
        }
    }
    Ok(())
}

/// The line that `source` names, with a mark under its column; nothing when it cannot be read (any more).
fn snippet(out: &mut impl Write, source: &str) -> std::io::Result<()> {
    let Some((number, column, line)) = source_line(source) else { return Ok(()) };
    let before: String = line.chars().take(column.saturating_sub(1)).collect();
    let before = printable(&before).width();
    let number = number.to_string();
    let margin = number.len();
    writeln!(out, "    {number} | {}", printable(&line))?;
    writeln!(out, "    {:margin$} | {:before$}{}^{}", "", "", output::BAD, output::BAD.render_reset())
}

fn source_line(source: &str) -> Option<(usize, usize, String)> {
    let (rest, column) = source.rsplit_once(':')?;
    let (file, number) = rest.rsplit_once(':')?;
    let (number, column) = (number.parse::<usize>().ok()?, column.parse().ok()?);
    let mut text = Vec::new();
    if let Some(name) = file.strip_prefix("builtin:") {
        text.extend(lictor_engine::policy::builtin(name)?.as_bytes());
    } else {
        // The file may be gone or be readable by root only; the explanation stands without it.
        std::fs::File::open(file).ok()?.take(MAX_SOURCE).read_to_end(&mut text).ok()?;
    }
    let line = text.split(|byte| *byte == b'\n').nth(number.checked_sub(1)?)?;
    Some((number, column, lictor_api::bytes::escape(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_shows_the_line_and_the_mark() {
        let dir = tempfile::tempdir().unwrap();
        let policy = dir.path().join("p.yaml");
        std::fs::write(&policy, "version: 1\n    deny: [\"/etc/shadow\"]\n").unwrap();
        let json = format!(
            r#"{{"id":"1","kind":"file","process":{{"exe":"/bin/cat","pid":7}},"file":{{"op":"read","path":"/etc/shadow"}},
                "verdict":{{"action":"deny","tier":"policy","rule":"coder.files.deny[0]","source":"{}:2:12"}}}}"#,
            policy.display()
        );
        let explanation = explain::explain(serde_json::from_str(&json).unwrap());
        let shown = output::plain(|out| print(out, &explanation).unwrap());
        let shown = shown.replace(&policy.display().to_string(), "p.yaml");
        assert_eq!(
            shown,
            "\
/bin/cat (pid 7): read /etc/shadow was denied by the policy

    rule        coder.files.deny[0]
    written in  p.yaml:2:12
    2 |     deny: [\"/etc/shadow\"]
      |            ^
    operation   read
    object      /etc/shadow
    program     /bin/cat
    pid         7

To change it: take the entry coder.files.deny[0] (p.yaml:2:12) out, or make its pattern narrower: files.deny beats every list that permits
"
        );
    }

    #[test]
    fn built_in_profiles_are_known_as_such() {
        assert_eq!(explain::BUILTIN_AGENTS, lictor_engine::policy::BUILTIN);
    }

    #[test]
    fn a_source_that_is_gone_is_no_error() {
        for source in ["/nowhere/p.yaml:1:1", "p.yaml", "builtin:none:1:1", "a:0:0"] {
            assert_eq!(source_line(source), None, "{source}");
        }
    }
}
