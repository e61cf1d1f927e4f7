// SPDX-License-Identifier: Apache-2.0
use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn event(text: &str) -> Event {
    serde_json::from_str(text).unwrap()
}

fn by_rule(rule: &str, session: &str, severity: &str) -> Event {
    event(&format!(
        r#"{{"id":"e","kind":"exec","session":"{session}","agent":"coder",
            "process":{{"pid":7,"exe":"/usr/bin/bash","cmdline":"bash -c x","parent":{{"pid":6,"exe":"/usr/bin/node"}},
                        "ancestors":[{{"pid":1,"exe":"/sbin/init"}}]}},
            "exec":{{"path":"/usr/bin/bash"}},
            "verdict":{{"action":"deny","tier":"rules","rule":"{rule}","severity":"{severity}","tags":["T1059.004","shell"],"reason":"no"}}}}"#
    ))
}

fn by_kernel(path: &str, rule: &str) -> Event {
    event(&format!(
        r#"{{"kind":"file","session":"s-1","agent":"coder","process":{{"pid":7,"exe":"/bin/cat"}},
            "file":{{"op":"read","path":"{path}"}},"verdict":{{"action":"deny","tier":"policy","rule":"{rule}"}}}}"#
    ))
}

#[test]
fn a_storm_is_one_alert_that_is_sent_at_ten_a_hundred_a_thousand() {
    let mut alerts = Alerts::default();
    let mut sent = Vec::new();
    for n in 0..100_000 {
        // A thousand a second, so that the quiet minute matters.
        if let Some(change) = alerts.observe(&by_rule("r", "s-1", "high"), at(n / 1000)) {
            sent.push((n / 1000, change.alert().count));
        }
    }
    assert_eq!(sent, [(0, 1), (60, 60_001)]);
    let all = alerts.list(&AlertFilter::default());
    assert_eq!((all.len(), all[0].count, all[0].severity), (1, 100_000, Severity::High));
    assert_eq!((all[0].techniques.join(","), all[0].tags.join(",")), ("T1059.004".into(), "shell".into()));
    assert_eq!(chain_text(&all[0].chain), "bash[7] < node[6] < init[1]");
    assert_eq!(
        (all[0].first_seen.as_str(), all[0].last_seen.as_str()),
        (at(0).to_string().as_str(), at(99).to_string().as_str())
    );
}

#[test]
fn what_is_allowed_needs_nobody_and_what_differs_is_another_alert() {
    let mut alerts = Alerts::default();
    assert_eq!(
        alerts
            .observe(&event(r#"{"kind":"exec","verdict":{"action":"allow","tier":"rules","severity":"high"}}"#), at(0)),
        None
    );
    assert_eq!(alerts.observe(&event(r#"{"kind":"exec"}"#), at(0)), None);
    for (event, expected) in [
        (by_rule("r", "s-1", "high"), true),
        (by_rule("r", "s-2", "high"), true),
        (by_rule("q", "s-1", "high"), true),
        (by_kernel("/home/mia/.ssh/id_rsa", "coder.files.deny[1]"), true),
        (by_kernel("/home/mia/.aws/credentials", "coder.files.deny[1]"), false),
        (by_kernel("/etc/shadow", "coder.files.deny[0]"), true),
    ] {
        assert_eq!(alerts.observe(&event, at(1)).is_some(), expected, "{event:?}");
    }
}

#[test]
fn where_it_comes_from_says_what_it_is() {
    let mut alerts = Alerts::default();
    let mut check = |event: &Event, source: AlertSource, severity: Severity| {
        let change = alerts.observe(event, at(0)).unwrap();
        assert_eq!((change.alert().source, change.alert().severity), (source, severity), "{event:?}");
    };
    check(&by_rule("r", "s-1", "critical"), AlertSource::Rule, Severity::Critical);
    check(&by_kernel("/etc/x", "coder.files.read"), AlertSource::Kernel, Severity::Low);
    check(&by_kernel("/srv/x", "coder.files.deny[2]"), AlertSource::Kernel, Severity::Medium);
    let floor = |rule: &str| {
        event(&format!(
            r#"{{"kind":"privilege","privilege":{{"op":"{rule}"}},"verdict":{{"action":"deny","tier":"floor","rule":"floor.{rule}"}}}}"#
        ))
    };
    check(&floor("mount"), AlertSource::Kernel, Severity::Medium);
    check(&floor("guard"), AlertSource::Tamper, Severity::Critical);
    check(&event(r#"{"kind":"lost","lost":{"count":5,"reason":"ring"}}"#), AlertSource::Loss, Severity::High);
    check(
        &event(
            r#"{"kind":"network","network":{"op":"connect","address":"10.0.0.1"},"verdict":{"action":"deny","tier":"heartbeat"}}"#,
        ),
        AlertSource::Kernel,
        Severity::High,
    );
    let change =
        alerts.report(AlertSource::Degraded, Severity::High, "llm", "the model does not answer", at(0)).unwrap();
    assert_eq!(change.alert().source, AlertSource::Degraded);
    let losses =
        alerts.list(&AlertFilter::default()).into_iter().find(|alert| alert.source == AlertSource::Loss).unwrap();
    assert_eq!(losses.count, 5, "what was lost is counted, not how often it was told");
}

#[test]
fn a_closed_alert_that_happens_again_is_a_new_one() {
    let mut alerts = Alerts::default();
    let first = alerts.observe(&by_rule("r", "s-1", "low"), at(0)).unwrap().alert().id.clone();
    let change = AlertChange { state: Some(AlertState::Acknowledged), note: Some("known".into()) };
    assert_eq!(alerts.change(&first, &change, "uid 0").unwrap().alert().note.as_deref(), Some("known"));
    for n in 0..50 {
        assert_eq!(alerts.observe(&by_rule("r", "s-1", "low"), at(100 * n)), None, "somebody looks after it");
    }
    assert!(alerts.observe(&by_rule("r", "s-1", "critical"), at(6000)).is_some(), "but it got worse");
    alerts.change(&first, &AlertChange { state: Some(AlertState::Closed), note: None }, "uid 0").unwrap();
    let Some(Change::New(second)) = alerts.observe(&by_rule("r", "s-1", "low"), at(7000)) else { panic!() };
    assert_eq!((second.previous.as_deref(), second.count, second.state), (Some(first.as_str()), 1, AlertState::Open));
    assert_eq!(alerts.get(&first).unwrap().count, 52);
    // Opened again by a person, the old one does not take what belongs to the new one.
    alerts.change(&first, &AlertChange { state: Some(AlertState::Open), note: Some(" ".into()) }, "uid 0").unwrap();
    alerts.observe(&by_rule("r", "s-1", "low"), at(7001));
    assert_eq!((alerts.get(&second.id).unwrap().count, alerts.get(&first).unwrap().note.clone()), (2, None));
}

#[test]
fn a_silence_keeps_it_from_being_sent_until_it_ends() {
    let mut alerts = Alerts::default();
    let matches = SilenceMatch { rule: Some("r*".into()), program: Some("*/bash".into()), ..SilenceMatch::default() };
    let new = NewSilence { matches, until: at(100).to_string(), reason: "a test".into() };
    let silence = alerts.silence(new.clone(), "uid 0", at(0)).unwrap();
    assert_eq!(alerts.observe(&by_rule("r1", "s-1", "high"), at(1)), None);
    assert!(alerts.observe(&by_rule("q", "s-1", "high"), at(1)).is_some());
    assert_eq!(alerts.list(&AlertFilter::default()).len(), 2, "it is listed all the same");
    let Some(Change::New(alert)) = alerts.observe(&by_rule("r1", "s-1", "high"), at(101)) else { panic!() };
    assert_eq!(alert.count, 2);
    assert!(alerts.silences(at(101)).is_empty());
    assert_eq!(alerts.unsilence("x"), Err(Refused::NoSilence("x".into())));
    alerts.unsilence(&silence.id).unwrap();
    assert!(matches!(alerts.silence(new, "uid 0", at(101)), Err(Refused::Until(_))));
    for matches in [SilenceMatch::default(), SilenceMatch { agent: Some("**".into()), ..SilenceMatch::default() }] {
        let all = NewSilence { matches, until: at(500).to_string(), reason: String::new() };
        assert_eq!(alerts.silence(all, "uid 0", at(101)), Err(Refused::Everything));
    }
}

#[test]
fn many_different_alerts_are_bounded_in_rate_and_number() {
    let mut alerts = Alerts::default();
    let mut sent = 0;
    for n in 0..10_000 {
        let new = alerts.observe(&by_rule("r", &format!("s-{n}"), "low"), at(0));
        sent += usize::from(matches!(new, Some(Change::New(_))));
    }
    assert_eq!(sent, NEW_PER_MINUTE as usize + 1);
    let overflow = alerts.list(&AlertFilter::default()).into_iter().find(|alert| alert.key == "overflow:rule").unwrap();
    assert_eq!(overflow.count, 10_000 - u64::from(NEW_PER_MINUTE));
    // What is severe and open outlives what is not.
    let critical = alerts.observe(&by_rule("bad", "s-1", "critical"), at(60)).unwrap().alert().id.clone();
    for n in 0..5_000 {
        alerts.observe(&by_rule("r", &format!("t-{n}"), "low"), at(120 + n));
    }
    assert_eq!(alerts.list(&AlertFilter::default()).len(), MAX_ALERTS);
    assert!(alerts.get(&critical).is_some() && alerts.evicted() > 0);
}

#[test]
fn a_long_command_line_is_not_kept_whole() {
    let mut alerts = Alerts::default();
    let mut long = by_rule("r", "s-1", "low");
    long.process.cmdline = Some("\u{fc}".repeat(1_000_000));
    long.process.args = Some(vec!["y".repeat(1_000_000); 3]);
    let change = alerts.observe(&long, at(0)).unwrap();
    assert!(serde_json::to_string(change.alert()).unwrap().len() < 20_000);
}

#[test]
fn what_was_saved_is_there_again_and_a_damaged_file_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let mut alerts = file::load(dir.path(), at(0)).unwrap().alerts;
    alerts.observe(&by_rule("r", "s-1", "low"), at(0));
    alerts.observe(&by_rule("q", "s-1", "low"), at(0));
    let closed = alerts.list(&AlertFilter::default())[0].id.clone();
    alerts.change(&closed, &AlertChange { state: Some(AlertState::Closed), note: None }, "me").unwrap();
    let new = NewSilence {
        matches: SilenceMatch { agent: Some("a".into()), ..SilenceMatch::default() },
        until: at(9).to_string(),
        reason: String::new(),
    };
    alerts.silence(new, "me", at(0)).unwrap();
    file::write(dir.path(), &file::text(&alerts).unwrap()).unwrap();
    let mut again = file::load(dir.path(), at(1)).unwrap().alerts;
    assert_eq!(again.list(&AlertFilter::default()), alerts.list(&AlertFilter::default()));
    assert_eq!(again.silences(at(1)), alerts.silences(at(1)));
    assert_eq!(again.observe(&by_rule("r", "s-1", "low"), at(2)), None, "it is known");
    assert_eq!(again.list(&AlertFilter::default()).len(), 2);
    // Any byte of it missing or changed: a file that is not understood is told and kept, never a panic.
    let text = file::text(&alerts).unwrap();
    for cut in (0..text.len()).step_by(97) {
        std::fs::write(dir.path().join(file::NAME), &text[..cut]).unwrap();
        let loaded = file::load(dir.path(), at(i64::try_from(cut).unwrap())).unwrap();
        let (why, aside) = loaded.damaged.unwrap();
        assert!(!why.is_empty() && aside.exists());
        assert!(loaded.alerts.list(&AlertFilter::default()).is_empty());
    }
}

#[test]
fn a_clock_that_jumps_back_does_not_silence() {
    let mut alerts = Alerts::default();
    alerts.observe(&by_rule("r", "s-1", "low"), at(1_000_000));
    let sent = (0..50).filter(|n| alerts.observe(&by_rule("r", "s-1", "low"), at(*n)).is_some()).count();
    assert_eq!(sent, 1);
}
