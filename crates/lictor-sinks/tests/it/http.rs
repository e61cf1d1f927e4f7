// SPDX-License-Identifier: Apache-2.0
//! Webhooks and OTLP: what is sent, and what is never shown.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use lictor_api::alert::SinkState;
use lictor_api::event::Event;
use lictor_sinks::sinks::Record;
use lictor_sinks::sinks::proto::{ExportLogs, ExportLogsAnswer, ExportMetrics, PartialSuccess, any, metric};
use prost::Message as _;
use sha2::Sha256;

use crate::server::{Act, Server};
use crate::{event, start, until, until_status};

#[test]
fn a_signed_webhook_can_be_verified_and_its_secrets_are_shown_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![Act::Answer(500, ""), Act::Answer(200, "")]);
    let secret = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let (key, token, url) = (
        secret("key", "hunter2\n"),
        secret("token", "sesame\n"),
        secret("url", &format!("{}?key=opensaysme", server.url())),
    );
    let text = format!(
        "type: webhook, url_file: {url}, secret_file: {key}, token_file: {token}, send: [events], retry: 10ms, retry_max: 20ms"
    );
    let sink = start(dir.path(), &text);
    sink.offer(&event(1));
    let status = until_status(&sink, |status| status.sent == 1);
    let shown = format!("{status:?} {:?}", crate::settings(&text));
    assert!(!shown.contains("hunter2") && !shown.contains("sesame") && !shown.contains("opensaysme"), "{shown}");
    let request = server.requests().remove(1);
    assert_eq!(request.line, "POST /hook?key=opensaysme HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Bearer sesame"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    let (time, signed) = request.header("x-lictor-signature").unwrap().split_once(',').unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"hunter2").unwrap();
    mac.update(time.strip_prefix("t=").unwrap().as_bytes());
    mac.update(b".");
    mac.update(&request.body);
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(signed, format!("v1={expected}"));
    assert_eq!(request.json()["records"][0]["event"]["id"], "1");
    assert_eq!(request.json()["host"], "box");
}

#[test]
fn a_secret_that_comes_later_is_found_and_nothing_is_lost_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![Act::Answer(200, "")]);
    let path = dir.path().join("token");
    let text = format!(
        "type: webhook, url: \"{}\", token_file: {}, send: [events], retry: 10ms, retry_max: 20ms",
        server.url(),
        path.display()
    );
    let sink = start(dir.path(), &text);
    sink.offer(&event(1));
    let status = until_status(&sink, |status| status.state == SinkState::Broken);
    assert!(status.last_error.unwrap().contains("token"));
    fs::write(&path, "sesame").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    until_status(&sink, |status| status.last_error.as_ref().is_some_and(|error| error.contains("chmod 600")));
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    until_status(&sink, |status| status.sent == 1 && status.state == SinkState::Working);
    assert_eq!(server.taken(), ["1"]);
}

#[test]
fn slack_gets_one_message_a_request() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![Act::Answer(200, "")]);
    let sink = start(dir.path(), &format!("type: webhook, url: \"{}\", format: slack, send: [events]", server.url()));
    for number in 0..3 {
        sink.offer(&event(number));
    }
    until_status(&sink, |status| status.sent == 3);
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[2].json()["text"].as_str().unwrap().contains("/tmp/2"));
}

#[test]
fn a_filter_chooses_and_losses_pass_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![Act::Answer(200, "")]);
    let text = format!(
        "type: webhook, url: \"{}\", send: [events], filter: 'file.path == \"/tmp/2\" && verdict.action == \"deny\"'",
        server.url()
    );
    let sink = start(dir.path(), &text);
    for number in 0..5 {
        sink.offer(&event(number));
    }
    let lost = r#"{"id":"x","kind":"lost","lost":{"count":3,"reason":"ring"}}"#;
    sink.offer(&Record::Event(Arc::new(serde_json::from_str::<Event>(lost).unwrap())));
    until_status(&sink, |status| status.sent == 2);
    assert_eq!(server.taken(), ["2", "x"]);
}

#[test]
fn otlp_sends_logs_and_metrics_and_counts_what_the_collector_throws_away() {
    let dir = tempfile::tempdir().unwrap();
    let partial = PartialSuccess { rejected_log_records: 2, error_message: "too old".into() };
    let answer = ExportLogsAnswer { partial_success: Some(partial) }.encode_to_vec();
    let server = Server::start(vec![Act::Body(answer), Act::Answer(200, "")]);
    let sink = start(dir.path(), &format!("type: otlp, url: \"http://{}\", interval: 1s", server.address));
    for number in 0..5 {
        sink.offer(&event(number));
    }
    let status = until_status(&sink, |status| status.sent + status.rejected == 5);
    assert_eq!((status.sent, status.rejected), (3, 2));
    let request = server.requests().remove(0);
    assert_eq!(request.line, "POST /v1/logs HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    let logs = ExportLogs::decode(request.body.as_slice()).unwrap();
    let records = &logs.resource_logs[0].scope_logs[0].log_records;
    assert_eq!((records.len(), records[4].event_name.as_str()), (5, "lictor.file"));
    assert_eq!(records[0].time_unix_nano, 1_767_323_045_678_901_234);
    let of = |key: &str| {
        let found = records[3].attributes.iter().find(|pair| pair.key == key).unwrap();
        found.value.clone().unwrap().value.unwrap()
    };
    assert_eq!(of("file.path"), any::Value::String("/tmp/3".into()));
    assert_eq!(of("process.pid"), any::Value::Int(7));
    until("metrics", || server.requests().iter().any(|request| request.line == "POST /v1/metrics HTTP/1.1"));
    let request = server.requests().into_iter().find(|request| request.line.contains("metrics")).unwrap();
    let metrics = ExportMetrics::decode(request.body.as_slice()).unwrap();
    let found = &metrics.resource_metrics[0].scope_metrics[0].metrics;
    assert!(
        found
            .iter()
            .any(|metric| metric.name == "lictor.alerts.open" && matches!(metric.data, Some(metric::Data::Gauge(_))))
    );
}

#[test]
fn a_collector_without_metrics_still_gets_the_logs() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![Act::RefuseIf("lictor.alerts.open")]);
    let sink = start(dir.path(), &format!("type: otlp, url: \"http://{}/base/\", interval: 100ms", server.address));
    for number in 0..5 {
        sink.offer(&event(number));
        std::thread::sleep(Duration::from_millis(150));
    }
    until_status(&sink, |status| status.sent == 5);
    assert!(server.requests().iter().any(|request| request.line == "POST /base/v1/logs HTTP/1.1"));
    assert!(server.requests().iter().any(|request| !request.taken));
}
