// SPDX-License-Identifier: Apache-2.0
//! The sink that writes files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use lictor_api::alert::SinkState;
use lictor_api::event::Event;

use crate::{event, ids, start, until_status};

fn read_ids(path: &std::path::Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str::<Event>(line).unwrap().id).collect()
}

#[test]
fn a_full_file_is_put_aside_and_the_oldest_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log/events.jsonl");
    let text = format!("type: file, path: {}, rotate_size: 20KiB, rotate_files: 3", path.display());
    let sink = start(dir.path(), &text);
    for number in 0..500 {
        sink.offer(&event(number));
    }
    until_status(&sink, |status| status.sent == 500);
    let mut all = Vec::new();
    for name in ["events.jsonl.3", "events.jsonl.2", "events.jsonl.1", "events.jsonl"] {
        let path = path.with_file_name(name);
        assert!(fs::metadata(&path).unwrap().len() <= 20 << 10, "{name}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        all.extend(read_ids(&path));
    }
    assert!(!path.with_file_name("events.jsonl.4").exists());
    assert_eq!(all, ids(500 - all.len(), 500));
    assert!(all.len() > 150);
}

#[test]
fn a_file_that_was_moved_away_or_torn_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.jsonl");
    fs::write(&path, "{\"kind\":\"exec\",\"id\":\"old\"}\n{\"half").unwrap();
    let sink = start(dir.path(), &format!("type: file, path: {}", path.display()));
    sink.offer(&event(1));
    until_status(&sink, |status| status.sent == 1);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().nth(1), Some("{\"half"));
    assert!(text.lines().nth(2).unwrap().contains("\"id\":\"1\""));
    fs::rename(&path, dir.path().join("moved")).unwrap();
    sink.offer(&event(2));
    until_status(&sink, |status| status.sent == 2);
    assert_eq!(read_ids(&path), ["2"]);
}

#[test]
fn a_link_in_its_place_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, victim) = (dir.path().join("e.jsonl"), dir.path().join("victim"));
    fs::write(&victim, "precious\n").unwrap();
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    let sink = start(dir.path(), &format!("type: file, path: {}, retry: 10ms, retry_max: 20ms", path.display()));
    sink.offer(&event(1));
    until_status(&sink, |status| status.state == SinkState::Retrying);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n");
    fs::remove_file(&path).unwrap();
    until_status(&sink, |status| status.sent == 1);
    assert_eq!(read_ids(&path), ["1"]);
}

#[test]
fn hostile_names_are_one_line_each_in_every_format() {
    let hostile = r#"{"id":"h","time":"2026-01-02T03:04:05Z","kind":"file","process":{"pid":1,"exe":"/x\u001b[2J"},
        "file":{"op":"write","path":"/tmp/a\nb\r\u202e\u0085\u2028<script>\"'=cmd()"},
        "verdict":{"action":"deny","tier":"policy","reason":"\u200b"}}"#;
    for format in ["json", "text", "ocsf"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let sink = start(dir.path(), &format!("type: file, path: {}, format: {format}", path.display()));
        let parsed = serde_json::from_str::<Event>(hostile).unwrap();
        sink.offer(&lictor_sinks::sinks::Record::Event(std::sync::Arc::new(parsed)));
        until_status(&sink, |status| status.sent == 1);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1, "{format}");
        let bad = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{2028}' | '\u{200b}');
        assert!(!text.contains(bad), "{format}: {text:?}");
    }
}
