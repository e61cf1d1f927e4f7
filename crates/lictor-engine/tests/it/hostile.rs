// SPDX-License-Identifier: Apache-2.0
//! Policies written to hang or to swell the compiler, and honest ones that are simply big.

use std::time::{Duration, Instant};

use lictor_engine::policy::{Limits, parse, right};

use super::{agent, compile, facts};

/// Every one of these must come back in this time, with tables or with an error. Generous, since test
/// machines are shared; what it rules out is exponential.
const SOON: Duration = Duration::from_secs(30);

fn outcome(patterns: &[String]) -> Result<usize, String> {
    let text = agent(&format!("    files: {{ read: {} }}\n", serde_json::to_string(patterns).unwrap()));
    let started = Instant::now();
    let file = parse("p.yaml", text.as_bytes()).map_err(|p| p[0].to_string())?;
    let result = file.agent("a").unwrap().compile(&facts(), &[], Limits::default());
    assert!(started.elapsed() < SOON, "{:?} for {:.80?}", started.elapsed(), patterns);
    result.map(|c| c.automaton.cells.len()).map_err(|p| p[0].to_string())
}

#[test]
fn patterns_that_explode_are_refused_with_their_place() {
    let counting = format!("/**/a{}", "?".repeat(40));
    let error = outcome(&[counting]).unwrap_err();
    assert!(error.starts_with("p.yaml:4:21: "), "{error}");
    assert!(error.contains("agent `a`") && error.contains("files.read"), "{error}");

    let globstars: String = ('a'..='z').map(|c| format!("**{c}")).collect();
    // Each of these alone is small, together they multiply.
    let many: Vec<String> = (0..400u32)
        .map(|i| format!("/**{}**{}x", char::from(b'a' + (i % 26) as u8), globstars.clone() + &i.to_string()))
        .collect();
    let error = outcome(&many).unwrap_err();
    assert!(error.contains("table cells"), "{error}");
}

#[test]
fn doubling_braces_do_not_explode() {
    assert!(outcome(&[format!("/{}", "{a,b}".repeat(40))]).is_ok());
    let error = outcome(&[format!("/{}", "{a,b**}".repeat(40))]).unwrap_err();
    assert!(error.starts_with("p.yaml:4:21: ") && error.contains("more than 1024"), "{error}");
}

#[test]
fn ten_thousand_patterns_become_a_few_megabytes() {
    let mut patterns = Vec::new();
    for i in 0..4000 {
        patterns.push(format!("/srv/project-{i}/data/**"));
        patterns.push(format!("/opt/vendor{}/lib/module_{i}.so", i % 97));
    }
    for i in 0..1000 {
        patterns.push(format!("**/secret-{i}.key"));
        patterns.push(format!("/home/*/work{i}/*.log"));
    }
    let started = Instant::now();
    let text =
        agent(&format!("    files: {{ read: [\"/**\"], deny: {} }}\n", serde_json::to_string(&patterns).unwrap()));
    let c = compile(&text);
    println!("{} cells in {:?}", c.automaton.cells.len(), started.elapsed());
    assert!(started.elapsed() < SOON);
    assert!(c.automaton.cells.len() * 16 < 16 << 20, "{} cells", c.automaton.cells.len());
    for path in
        ["/srv/project-3999/data/x/y", "/opt/vendor0/lib/module_97.so", "/a/b/secret-999.key", "/home/u/work7/a.log"]
    {
        assert_eq!(c.mask(path.as_bytes()), right::READ | right::DENY, "{path}");
    }
    for path in
        ["/srv/project-4000/data/x", "/opt/vendor1/lib/module_97.so", "/a/secret-1000.key", "/home/u/work7/a/b.log"]
    {
        assert_eq!(c.mask(path.as_bytes()), right::READ, "{path}");
    }
}

#[test]
fn small_limits_hold() {
    let text = agent("    files: { read: [\"/usr/share/doc/**/README*\"] }\n");
    let file = parse("p.yaml", text.as_bytes()).unwrap();
    let problems = file.agent("a").unwrap().compile(&facts(), &[], Limits { max_cells: 64 }).unwrap_err();
    assert!(problems[0].message.contains("64 table cells"), "{}", problems[0]);
}

#[test]
fn hostile_yaml_is_an_error_with_a_place() {
    let mut bomb = String::from("version: 1\nagents:\n  a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for i in 1..12 {
        let all = vec![format!("*a{}", i - 1); 9].join(",");
        bomb.push_str(&format!("  a{i}: &a{i} [{all}]\n"));
    }
    let deep = format!("version: 1\nagents: {}", "[".repeat(100_000));
    let huge = vec![b'#'; (16 << 20) + 1];
    for (what, bytes) in [("bomb", bomb.as_bytes()), ("deep", deep.as_bytes()), ("huge", &huge[..])] {
        let started = Instant::now();
        let problems = parse("p.yaml", bytes).unwrap_err();
        assert!(started.elapsed() < SOON, "{what}");
        assert!(problems.iter().all(|p| p.line >= 1 && p.column >= 1), "{what}: {problems:?}");
    }
}

#[test]
fn a_hundred_thousand_problems_are_counted_not_listed() {
    let patterns: String = "      - x\n".repeat(100_000);
    let problems = parse("p.yaml", agent(&format!("    files:\n     read:\n{patterns}")).as_bytes()).unwrap_err();
    assert_eq!(problems.len(), 200);
    assert!(problems[199].message.ends_with("(and 99800 more problems)"), "{}", problems[199]);
}
