// SPDX-License-Identifier: Apache-2.0
//! `lictor token`: who may use the HTTP interface on TCP. Works on the file; a daemon that runs sees the change at once.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lictor_api::view::Role;
use lictor_http::tokens::{Token, TokenFile};
use serde::Serialize;

use crate::cli::TokenCommand;
use crate::context::Context;
use crate::output::{self, Cell};

/// A token in `lictor token list --json`; its hash is nobody's business.
#[derive(Serialize)]
struct Listed<'t> {
    name: &'t str,
    role: Role,
    created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    expired: bool,
}

pub(crate) fn run(command: &TokenCommand, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let file = TokenFile::new(&context.settings.http_tokens());
    let now = Timestamp::now();
    match command {
        TokenCommand::Add(args) => {
            let expires =
                args.expires.map(|after| now.checked_add(after)).transpose().context("that is too far away")?;
            let secret = file.add(&args.name, args.role.into(), now, expires)?;
            eprintln!("lictor: this is the only time that the token is shown");
            writeln!(out, "{secret}")?;
        }
        TokenCommand::List(args) => {
            let tokens = file.list()?;
            if args.json {
                let listed: Vec<Listed<'_>> = tokens.iter().map(|token| listed(token, now)).collect();
                serde_json::to_writer(&mut *out, &listed)?;
                writeln!(out)?;
            } else if tokens.is_empty() {
                eprintln!(
                    "lictor: there are no named tokens; the one made at start is in http.token beside the socket"
                );
            } else {
                let zone = TimeZone::system();
                let time = |time: Timestamp| output::short_time(&time.to_string(), &zone);
                let row = |token: &Token| {
                    let expired = listed(token, now).expired;
                    let expires = token.expires.map_or_else(|| "never".to_owned(), time);
                    let style = if expired { output::BAD } else { Default::default() };
                    vec![
                        Cell::new(&token.name),
                        Cell::new(token.role.as_str()),
                        Cell::new(time(token.created)),
                        Cell::styled(if expired { format!("{expires} (over)") } else { expires }, style),
                    ]
                };
                let rows: Vec<Vec<Cell>> = tokens.iter().map(row).collect();
                output::table(out, &["NAME", "ROLE", "CREATED", "EXPIRES"], &rows)?;
            }
        }
        TokenCommand::Remove(args) => {
            file.remove(&args.name)?;
            eprintln!("lictor: the token `{}` is not taken any more", args.name);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn listed(token: &Token, now: Timestamp) -> Listed<'_> {
    Listed {
        name: &token.name,
        role: token.role,
        created: token.created,
        expires: token.expires,
        expired: token.expires.is_some_and(|expires| expires <= now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    fn lictor(config: &std::path::Path, line: &str) -> anyhow::Result<String> {
        let Command::Token(command) = Cli::try_parse_from(format!("lictor token {line}").split(' '))?.command else {
            panic!("{line}")
        };
        let context = Context::new(None, Some(config.to_owned()))?;
        let mut text = Ok(ExitCode::SUCCESS);
        let shown = output::plain(|out| text = run(&command, &context, out));
        text.map(|_| shown)
    }

    #[test]
    fn tokens_are_made_listed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("l.yaml");
        std::fs::write(&config, format!("state: {}\n", dir.path().display())).unwrap();
        let secret = lictor(&config, "add ci --role viewer --expires 30d").unwrap();
        assert!(secret.starts_with("lictor_"));
        let table = lictor(&config, "list").unwrap();
        assert!(table.contains("ci") && table.contains("viewer") && !table.contains(secret.trim()), "{table}");
        let json: serde_json::Value = serde_json::from_str(&lictor(&config, "list --json").unwrap()).unwrap();
        assert_eq!((&json[0]["name"], &json[0]["expired"]), (&"ci".into(), &false.into()));
        assert!(json[0].get("sha256").is_none());
        assert!(lictor(&config, "add ci --role admin").unwrap_err().to_string().contains("already"));
        lictor(&config, "remove ci").unwrap();
        assert_eq!(lictor(&config, "list").unwrap(), "");
    }
}
