// SPDX-License-Identifier: Apache-2.0
//! `lictor query`: SQL over what is recorded. It reads the files itself, beside a running lictord and without one.

use crate::cli::QueryArgs;
use crate::context::Context;
use crate::output::{self, Cell};
use anyhow::{Context as _, bail};
use jiff::Timestamp;
use lictor_api::bytes::{escape, printable};
use lictor_store::events::history::store_dir;
use lictor_store::events::sql::{Question, Sink, query};
use lictor_store::events::{COLUMNS, Value};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use std::io::{self, Read as _, Write};
use std::process::ExitCode;

pub(crate) fn run(args: &QueryArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    if args.columns {
        let rows: Vec<Vec<Cell>> =
            COLUMNS.iter().map(|(name, meaning)| vec![Cell::new(name), Cell::new(meaning)]).collect();
        output::table(out, &["COLUMN", "MEANING"], &rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let sql = match args.sql.as_deref() {
        Some("-") => {
            let mut sql = String::new();
            io::stdin().read_to_string(&mut sql).context("the query cannot be read from standard input")?;
            sql
        }
        Some(sql) => sql.to_owned(),
        None => bail!("there is no query: write lictor query \"SELECT ... FROM events\""),
    };
    let now = Timestamp::now();
    let ago = |span: Option<jiff::SignedDuration>| {
        span.and_then(|span| now.checked_sub(span).ok()).map(Timestamp::as_millisecond)
    };
    let question = Question {
        sql: &sql,
        since_ms: ago(args.since),
        until_ms: ago(args.until),
        time_limit: std::time::Duration::try_from(args.timeout).context("the time limit cannot be used")?,
    };
    let mut sink = Printer { out, form: Form::of(args), head: Vec::new(), waiting: Vec::new(), widths: None };
    let damaged = match query(&store_dir(&context.settings.state), &question, &mut sink) {
        // Whoever closes the pipe has seen enough.
        Err(lictor_store::events::StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
            return Err(source.into());
        }
        answer => answer?,
    };
    sink.finish()?;
    if damaged > 0 {
        out.flush()?;
        eprintln!("lictor: up to {damaged} stored events are damaged and count as rows without values");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Table,
    Json,
    Csv,
}

impl Form {
    fn of(args: &QueryArgs) -> Self {
        match (args.json, args.csv) {
            (true, _) => Self::Json,
            (false, true) => Self::Csv,
            (false, false) => Self::Table,
        }
    }
}

/// Rows that a table waits for, to know how wide its columns are; what comes after may push them aside.
const LOOK_AHEAD: usize = 1000;

struct Printer<'a, W: Write> {
    out: &'a mut W,
    form: Form,
    head: Vec<String>,
    /// Rows of a table, until its widths are known.
    waiting: Vec<Vec<Cell>>,
    widths: Option<Vec<usize>>,
}

impl<W: Write> Printer<'_, W> {
    fn finish(&mut self) -> io::Result<()> {
        if self.form != Form::Table || self.widths.is_some() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.waiting);
        let head: Vec<&str> = self.head.iter().map(String::as_str).collect();
        output::table(self.out, &head, &rows)?;
        self.widths = Some(output::widths(&head, &rows));
        Ok(())
    }

    fn line(&mut self, cells: impl Iterator<Item = String>) -> io::Result<()> {
        writeln!(self.out, "{}", cells.collect::<Vec<_>>().join(","))
    }
}

impl<W: Write> Sink for Printer<'_, W> {
    fn head(&mut self, columns: &[String]) -> io::Result<()> {
        self.head = columns.to_vec();
        if self.form == Form::Csv { self.line(columns.iter().map(|name| csv_text(name))) } else { Ok(()) }
    }

    fn row(&mut self, values: &[Value]) -> io::Result<()> {
        match self.form {
            Form::Json => {
                serde_json::to_writer(&mut *self.out, &Object { head: &self.head, values })?;
                writeln!(self.out)
            }
            Form::Csv => self.line(values.iter().map(csv)),
            Form::Table => {
                let cells: Vec<Cell> = values.iter().map(|value| Cell::new(text(value))).collect();
                if let Some(widths) = &self.widths {
                    return output::row(self.out, widths, &cells);
                }
                self.waiting.push(cells);
                if self.waiting.len() < LOOK_AHEAD { Ok(()) } else { self.finish() }
            }
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => escape(bytes),
    }
}

fn csv(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Int(_) | Value::Float(_) => text(value),
        Value::Text(_) | Value::Bytes(_) => csv_text(&text(value)),
    }
}

/// One line whatever it holds, and nothing that a spreadsheet would calculate: an apostrophe makes it text there.
fn csv_text(text: &str) -> String {
    let shown = printable(text);
    let guard = if shown.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    format!("\"{guard}{}\"", shown.replace('"', "\"\""))
}

/// A row in the order of its columns.
struct Object<'a> {
    head: &'a [String],
    values: &'a [Value],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (name, value) in self.head.iter().zip(self.values) {
            match value {
                Value::Null => map.serialize_entry(name, &())?,
                Value::Int(number) => map.serialize_entry(name, number)?,
                Value::Float(number) => map.serialize_entry(name, number)?,
                Value::Text(text) => map.serialize_entry(name, text)?,
                Value::Bytes(bytes) => map.serialize_entry(name, &escape(bytes))?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(form: Form, rows: &[Vec<Value>]) -> String {
        output::plain(|out| {
            let mut printer = Printer { out, form, head: Vec::new(), waiting: Vec::new(), widths: None };
            printer.head(&["program".into(), "count(*)".into()]).unwrap();
            rows.iter().for_each(|row| printer.row(row).unwrap());
            printer.finish().unwrap();
        })
    }

    #[test]
    fn an_answer_is_a_table_json_or_csv() {
        let rows = [
            vec![Value::Text("/usr/bin/curl".into()), Value::Int(3)],
            vec![Value::Null, Value::Float(0.5)],
            vec![Value::Text("a\n\u{1b}[31m\"b\",".into()), Value::Bytes(vec![0xff, b'x'])],
            vec![Value::Text("=cmd|' /C calc'!A0".into()), Value::Int(-1)],
        ];
        assert_eq!(
            printed(Form::Table, &rows[..3]),
            "program          count(*)\n/usr/bin/curl    3\n-                0.5\na\\n\\x1b[31m\"b\",  \\xffx\n"
        );
        assert_eq!(
            printed(Form::Json, &rows[..3]),
            "{\"program\":\"/usr/bin/curl\",\"count(*)\":3}\n{\"program\":null,\"count(*)\":0.5}\n\
             {\"program\":\"a\\n\\u001b[31m\\\"b\\\",\",\"count(*)\":\"\\\\xffx\"}\n"
        );
        assert_eq!(
            printed(Form::Csv, &rows),
            "\"program\",\"count(*)\"\n\"/usr/bin/curl\",3\n,0.5\n\"a\\n\\x1b[31m\"\"b\"\",\",\"\\xffx\"\n\"'=cmd|' /C calc'!A0\",-1\n"
        );
    }

    #[test]
    fn a_long_table_is_printed_as_it_comes() {
        let rows: Vec<Vec<Value>> = (0..2500).map(|number| vec![Value::Int(number), Value::Null]).collect();
        let table = printed(Form::Table, &rows);
        assert_eq!(table.lines().count(), 2501);
        assert_eq!(table.lines().filter(|line| line.starts_with("program")).count(), 1);
        assert_eq!(printed(Form::Table, &[]), "program  count(*)\n");
    }
}
