// SPDX-License-Identifier: Apache-2.0
//! The dashboard and the alert rules name only metrics, and labels, that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Name to labels and type.
fn known() -> BTreeMap<String, (BTreeSet<String>, String)> {
    let text = read("metrics.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let parse = |line: &str| {
        let [name, labels, of] = line.split(' ').collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("{line}"));
        assert!(["counter", "gauge", "histogram"].contains(&of), "{line}");
        assert_eq!(of == "counter", name.ends_with("_total"), "{line}");
        let labels = labels.split(',').filter(|label| *label != "-").map(str::to_owned).collect();
        (name.to_owned(), (labels, of.to_owned()))
    };
    lines.map(parse).collect()
}

/// What is wrong with an expression, and the metrics that it names.
fn check(expression: &str, known: &BTreeMap<String, (BTreeSet<String>, String)>) -> Result<BTreeSet<String>, String> {
    let mut stack = Vec::new();
    let mut quoted = false;
    for c in expression.chars() {
        match c {
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => stack.push(c),
            ')' | ']' | '}' if !quoted => {
                let open = stack.pop();
                if !matches!((open, c), (Some('('), ')') | (Some('['), ']') | (Some('{'), '}')) {
                    return Err(format!("`{c}` closes nothing in {expression}"));
                }
            }
            _ => {}
        }
    }
    if quoted || !stack.is_empty() {
        return Err(format!("something stays open in {expression}"));
    }
    let mut found = BTreeSet::new();
    for (at, _) in expression.match_indices("lictor_") {
        let name: String = expression[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let base = name.strip_suffix("_bucket").unwrap_or(&name);
        let (labels, of) = known.get(base).ok_or_else(|| format!("there is no metric {name} in metrics.txt"))?;
        if (of == "histogram") != name.ends_with("_bucket") {
            return Err(format!("{name} is a {of}"));
        }
        let after = &expression[at + name.len()..];
        if let Some(matchers) = after.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            for matcher in matchers.0.split(',') {
                let label = matcher.split(['=', '!']).next().unwrap_or_default();
                if !labels.contains(label) && label != "instance" {
                    return Err(format!("{name} has no label {label}"));
                }
            }
        }
        if of == "counter" && !expression.contains("rate(") && !expression.contains("increase(") {
            return Err(format!("{name} is a counter: its value alone says nothing ({expression})"));
        }
        found.insert(base.to_owned());
    }
    if found.is_empty() { Err(format!("{expression} names no metric of ours")) } else { Ok(found) }
}

/// The values of every `key` in a tree.
fn all<'v>(value: &'v Value, key: &str, out: &mut Vec<&'v str>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(text) if name == key => out.push(text),
                    value => all(value, key, out),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| all(value, key, out)),
        _ => {}
    }
}

#[test]
fn the_dashboard_shows_metrics_that_there_are() {
    let (known, dashboard) = (known(), serde_json::from_str::<Value>(&read("grafana/lictor.json")).unwrap());
    let mut expressions = Vec::new();
    all(&dashboard, "expr", &mut expressions);
    let shown: BTreeSet<String> =
        expressions.iter().flat_map(|expression| check(expression, &known).unwrap()).collect();
    assert_eq!(shown, known.keys().cloned().collect(), "and each of them");
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{panel}");
    }
}

#[test]
fn the_alert_rules_look_at_metrics_that_there_are() {
    #[derive(serde::Deserialize)]
    struct File {
        groups: Vec<Group>,
    }
    #[derive(serde::Deserialize)]
    struct Group {
        rules: Vec<Rule>,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        alert: String,
        expr: String,
        #[serde(default)]
        r#for: String,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
    }
    let known = known();
    let file: File = serde_saphyr::from_str(&read("prometheus/rules.yml")).unwrap();
    let rules: Vec<&Rule> = file.groups.iter().flat_map(|group| &group.rules).collect();
    assert!(rules.len() >= 8);
    for rule in rules {
        check(&rule.expr, &known).unwrap_or_else(|error| panic!("{}: {error}", rule.alert));
        assert!(rule.r#for.is_empty() || rule.r#for.ends_with(['s', 'm']), "{}", rule.alert);
        assert!(["warning", "critical"].contains(&rule.labels["severity"].as_str()), "{}", rule.alert);
        assert!(rule.annotations.contains_key("summary") && rule.annotations.contains_key("description"));
    }
}

#[test]
fn what_is_wrong_is_found() {
    let known = known();
    for wrong in [
        "lictor_event_total",
        "rate(lictor_events_total[5m]",
        "lictor_events_total > 3",
        "rate(lictor_events_total{verdict=\"deny\"}[5m])",
        "rate(lictor_tier_latency_seconds[5m])",
        "up",
    ] {
        assert!(check(wrong, &known).is_err(), "{wrong}");
    }
}
