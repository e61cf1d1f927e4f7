// SPDX-License-Identifier: Apache-2.0
//! The published files say what the checker does.

use std::path::{Path, PathBuf};

use lictor_judge::rules::{fields_reference, schema};
use serde_json::Value;

use super::{problems, set};

fn published(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema").join(name)
}

#[track_caller]
fn check(name: &str, expected: &str) {
    let path = published(name);
    if std::env::var_os("LICTOR_WRITE_SCHEMA").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == expected,
        "schema/{name} is not up to date: LICTOR_WRITE_SCHEMA=1 cargo test -p lictor-judge reference"
    );
}

#[test]
fn the_published_files_are_up_to_date() {
    check("rule-fields.md", &fields_reference());
    check("rules.schema.json", &(serde_json::to_string_pretty(&schema()).unwrap() + "\n"));
}

#[test]
fn the_schema_and_the_parser_know_the_same_keys() {
    let schema = schema();
    let keys = |value: &Value| value["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let known = |what: &str, text: &str| {
        // An unknown key is told together with the known ones.
        let found = problems(text.as_bytes());
        let line =
            found.iter().find(|line| line.contains("unknown key")).unwrap_or_else(|| panic!("{what}: {found:?}"));
        let mut keys: Vec<String> =
            line.rsplit(": known are ").next().unwrap().split(", ").map(str::to_owned).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&schema), known("file", "version: 1\nxxxxxxxxxxxxxxx: 1\nrules: [{}]\n"));
    assert_eq!(keys(&schema["$defs"]["Rule"]), known("rule", "version: 1\nrules: [{ xxxxxxxxxxxxxxx: 1 }]\n"));
    let test = "version: 1\nrules: [{ kinds: [exec], tests: [{ xxxxxxxxxxxxxxx: 1 }] }]\n";
    assert_eq!(keys(&schema["$defs"]["Test"]), known("test", test));
}

/// The examples of the documents are rules.
#[test]
fn the_documents_examples_load() {
    let document = include_str!("../../../../docs/rules.md");
    let mut count = 0;
    for block in document.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        set(block);
        count += 1;
    }
    assert_eq!(count, 1);
    let table = document.split("| condition | |\n|---|---|\n").nth(1).unwrap();
    for line in table.lines().take_while(|line| line.starts_with('|')) {
        let condition = line.split('`').nth(1).unwrap().replace("\\|", "|");
        let text = super::file(&[super::rule("a", "alert", &condition)]);
        assert_eq!(problems(text.as_bytes()), [""; 0], "{condition}");
        count += 1;
    }
    assert!(count > 4, "{count}");
}
