// SPDX-License-Identifier: Apache-2.0
//! SQL over store and archive.

use super::*;
use lictor_store::events::sql::{self, Question, Sink};
use lictor_store::events::{COLUMNS, Value};

#[derive(Default)]
struct Rows {
    head: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Sink for Rows {
    fn head(&mut self, columns: &[String]) -> std::io::Result<()> {
        self.head = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, values: &[Value]) -> std::io::Result<()> {
        self.rows.push(values.to_vec());
        Ok(())
    }
}

fn ask(dir: &Path, question: &Question<'_>) -> Result<Rows, String> {
    let mut rows = Rows::default();
    sql::query(dir, question, &mut rows).map(|_| rows).map_err(|error| error.to_string())
}

fn question(sql: &str) -> Question<'_> {
    Question { sql, since_ms: None, until_ms: None, time_limit: Duration::from_secs(60) }
}

pub(super) fn number(dir: &Path, sql: &str) -> i64 {
    match ask(dir, &question(sql)).unwrap().rows[..] {
        [ref row] => match row[..] {
            [Value::Int(number)] => number,
            ref other => panic!("{other:?}"),
        },
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn archive_and_store_are_one_table() {
    let dir = tempfile::tempdir().unwrap();
    let events = generated(11, 20_000);
    let store = Store::open(dir.path(), Limits { keep: Duration::from_millis(500), ..limits() }).unwrap();
    submit(&store, events[..10_000].to_vec());
    wait_for("archived", || all(&store.reader().unwrap()).is_empty());
    drop(store);
    let store = open(dir.path());
    submit(&store, events[10_000..].to_vec());
    let dir = dir.path();
    assert_eq!(number(dir, "SELECT count(*) FROM events"), 20_000);
    assert_eq!(number(dir, "SELECT count(DISTINCT number) FROM events"), 20_000);
    let expected = |pick: &dyn Fn(&Event) -> bool| events.iter().filter(|event| pick(event)).count() as i64;
    assert_eq!(number(dir, "SELECT sum(denied) FROM events"), expected(&Event::is_denied));
    assert_eq!(
        number(dir, "SELECT count(*) FROM events WHERE program = '/usr/bin/git' AND kind = 'file'"),
        expected(&|event| event.process.exe.as_deref() == Some("/usr/bin/git") && event.kind.as_str() == "file")
    );
    // Every value, from either place, is what the event says.
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let rows = ask(dir, &question("SELECT * FROM events ORDER BY number")).unwrap();
    assert_eq!(rows.head, names);
    let text = |row: &[Value], name: &str| match &row[names.iter().position(|own| *own == name).unwrap()] {
        Value::Text(text) => text.clone(),
        other => panic!("{name}: {other:?}"),
    };
    for (row, event) in rows.rows.iter().zip(&events) {
        assert_eq!(&serde_json::from_str::<Event>(&text(row, "event")).unwrap(), event);
        assert_eq!((text(row, "id"), text(row, "time")), (event.id.clone(), event.time.clone()));
        assert_eq!(
            (text(row, "operation"), text(row, "rule")),
            (event.operation(), event.verdict.clone().unwrap().rule.unwrap())
        );
    }
    // 20,000 events in steps of 10 ms: the last 50 s of them, then 10 s of the first half.
    let end = support::BEGIN_MS + 200_000;
    let bounded = |since_ms, until_ms| {
        let question = Question { since_ms, until_ms, ..question("SELECT count(*) FROM events") };
        ask(dir, &question).unwrap().rows[0][0].clone()
    };
    assert_eq!(bounded(Some(end - 50_000), None), Value::Int(5000));
    assert_eq!(bounded(Some(support::BEGIN_MS), Some(support::BEGIN_MS + 10_000)), Value::Int(1000));
    let groups =
        ask(dir, &question("SELECT agent, count(*) AS n FROM events GROUP BY agent ORDER BY n DESC LIMIT 3")).unwrap();
    assert_eq!((groups.head, groups.rows.len()), (vec!["agent".into(), "n".into()], 3));
}

#[test]
fn it_only_reads() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    submit(&store, generated(1, 2000));
    for (sql, word) in [
        ("DELETE FROM events", "cannot modify"),
        ("CREATE TABLE t (a)", "only read"),
        ("ATTACH '/etc/passwd' AS x", "only read"),
        ("PRAGMA query_only = OFF", "only read"),
        ("SELECT load_extension('/tmp/x.so')", "load_extension"),
        ("SELECT * FROM sqlite_schema; SELECT 1", "one statement"),
        ("BEGIN", "only read"),
        ("VACUUM INTO '/tmp/x'", "one statement"),
        ("SELECT absent FROM events", "no such column: absent"),
        ("SELEKT 1", "syntax error (at character 1)"),
        ("SELECT count(*) FROM event", "no such table: event"),
        ("SELECT zeroblob(2000000000)", "too big"),
        ("", "one statement"),
    ] {
        let error = ask(dir.path(), &question(sql)).err().unwrap_or_else(|| panic!("{sql} was answered"));
        assert!(error.contains(word), "{sql}: {error}");
    }
    assert_eq!(all(&store.reader().unwrap()).len(), 2000);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let short = Question { time_limit: Duration::from_millis(300), ..question(endless) };
    let began = std::time::Instant::now();
    let error = ask(dir.path(), &short).err().unwrap();
    assert!(error.contains("longer than 0.3 s") && error.contains("--since"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn an_empty_store_has_no_rows_and_none_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(ask(dir.path(), &question("SELECT 1 FROM events")).err().unwrap().contains("no events are stored"));
    drop(open(dir.path()));
    assert_eq!(number(dir.path(), "SELECT count(*) FROM events"), 0);
}
