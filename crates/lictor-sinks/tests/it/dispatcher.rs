// SPDX-License-Identifier: Apache-2.0
//! From an offered event to alerts and sinks, and back after a restart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lictor_api::alert::{AlertChange, AlertFilter, AlertSource, AlertState, NewSilence, SilenceMatch};
use lictor_api::event::{Event, Severity};
use lictor_api::settings::Settings;
use lictor_sinks::{Condition, Dispatcher};

use crate::server::{Act, Server};
use crate::{host, until};

fn denied(session: &str) -> Arc<Event> {
    let text = format!(
        r#"{{"id":"e1","time":"2026-01-02T03:04:05Z","kind":"exec","session":"{session}","agent":"coder","exec":{{"path":"/usr/bin/nc"}},
            "process":{{"pid":9,"exe":"/usr/bin/nc"}},
            "verdict":{{"action":"deny","tier":"rules","rule":"reverse-shell","severity":"critical","tags":["T1059.004"]}}}}"#
    );
    Arc::new(serde_json::from_str(&text).unwrap())
}

#[test]
fn a_storm_reaches_the_team_as_one_alert_and_the_archive_as_every_event() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![Act::Answer(200, "")]);
    let archive = dir.path().join("archive.jsonl");
    let text = format!(
        "sinks:\n  team: {{type: webhook, url: \"{}\"}}\n  archive: {{type: file, path: {}, send: [events], queue: 100000}}\n",
        server.url(),
        archive.display()
    );
    let settings = Settings::parse("l.yaml", text.as_bytes()).unwrap().sinks;
    let dispatcher = Dispatcher::start(&settings, dir.path(), host()).unwrap();
    let event = denied("s-1");
    let began = Instant::now();
    for _ in 0..20_000 {
        dispatcher.offer(&event);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "offering never waits: {:?}", began.elapsed());
    dispatcher.report(Condition {
        source: AlertSource::Degraded,
        severity: Severity::High,
        name: "tier:llm".into(),
        title: "the model does not answer".into(),
    });
    until("two alerts", || {
        server.requests().iter().map(|r| r.json()["records"].as_array().unwrap().len()).sum::<usize>() == 2
    });
    until("the archive", || std::fs::read_to_string(&archive).is_ok_and(|text| text.lines().count() == 20_000));
    let alerts = dispatcher.alerts(&AlertFilter::default());
    let storm = alerts.iter().find(|alert| alert.source == AlertSource::Rule).unwrap();
    assert_eq!((storm.count, storm.severity), (20_000, Severity::Critical));
    assert_eq!(dispatcher.open_by_severity(), [0, 0, 0, 1, 1]);

    // A person's word is told, too, and outlives a restart; so does a silence.
    let change = AlertChange { state: Some(AlertState::Closed), note: Some("a test".into()) };
    assert_eq!(dispatcher.change(&storm.id, &change, "uid 0").unwrap().state, AlertState::Closed);
    assert!(dispatcher.change("nobody", &change, "uid 0").is_err());
    until("the change", || server.requests().iter().any(|r| r.json()["records"][0]["alert"]["state"] == "closed"));
    let silence = NewSilence {
        matches: SilenceMatch { session: Some("s-2".into()), ..SilenceMatch::default() },
        until: "2999-01-01T00:00:00Z".into(),
        reason: "a test".into(),
    };
    dispatcher.silence(silence, "uid 0").unwrap();
    dispatcher.close(Duration::from_secs(2));
    let sent = server.requests().len();

    let dispatcher = Dispatcher::start(&settings, dir.path(), host()).unwrap();
    assert_eq!(dispatcher.alert(&storm.id).unwrap().note.as_deref(), Some("a test"));
    dispatcher.offer(&denied("s-2"));
    dispatcher.offer(&denied("s-1"));
    until("a new alert", || dispatcher.alerts(&AlertFilter::default()).len() == 4);
    dispatcher.close(Duration::from_secs(2));
    let new: Vec<_> = server.requests().into_iter().skip(sent).map(|request| request.json()).collect();
    assert_eq!(new.len(), 1, "the silenced one is not sent: {new:?}");
    assert_eq!(new[0]["records"][0]["alert"]["session"], "s-1");
    assert_eq!(new[0]["records"][0]["alert"]["previous"], storm.id.as_str());
}

#[test]
fn a_damaged_file_of_alerts_is_an_alert() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("alerts.json"), "{\"version\":1,\"alerts\":[{]}").unwrap();
    let dispatcher = Dispatcher::start(&Default::default(), dir.path(), host()).unwrap();
    until("an alert", || dispatcher.alerts(&AlertFilter::default()).len() == 1);
    assert!(dispatcher.alerts(&AlertFilter::default())[0].title.contains("alerts.json.damaged-"));
}

#[test]
fn a_filter_that_is_none_is_an_error_at_load() {
    let text = b"sinks:\n  a: {type: syslog, filter: 'verdict.acton == 1'}\n";
    let settings = Settings::parse("l.yaml", text).unwrap().sinks;
    let error = Dispatcher::check(&settings).unwrap_err().to_string();
    assert!(error.contains("`a`") && error.contains("acton"), "{error}");
}
