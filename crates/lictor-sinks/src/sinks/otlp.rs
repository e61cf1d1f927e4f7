// SPDX-License-Identifier: Apache-2.0
//! OpenTelemetry over HTTP, in protobuf: events and alerts as log records, counters as metrics.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lictor_api::alert::Alert;
use lictor_api::event::{Event, Severity};
use lictor_api::settings::llm::KeySource;
use lictor_api::settings::sinks::{HttpUrl, UrlSource};
use prost::Message as _;
use reqwest::Url;

use self::proto::{
    AnyValue, ArrayValue, ExportLogs, ExportLogsAnswer, ExportMetrics, Gauge, KeyValue, LogRecord, Metric, NumberPoint,
    Resource, ResourceLogs, ResourceMetrics, Scope, ScopeLogs, ScopeMetrics, Sum, any, metric, point,
};
use super::http::{Http, address};
use super::record::Record;
use super::transport::{Delivered, Failure, SetupError, Transport};
use crate::format::{Host, severity, text};
use crate::metrics::{Counts, Metrics};

#[path = "otlp_proto.rs"]
pub mod proto;

const PROTOBUF: &str = "application/x-protobuf";
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: i32 = 2;

pub(crate) struct Otlp {
    http: Http,
    logs: Url,
    metrics: Url,
    counters: Option<Arc<Metrics>>,
    interval: Duration,
    next: Instant,
    host: Arc<Host>,
}

impl Otlp {
    pub(crate) fn new(
        url: &UrlSource,
        token: Option<&KeySource>,
        ca_file: Option<&Path>,
        timeout: Duration,
        interval: Duration,
        counters: Option<Arc<Metrics>>,
        host: Arc<Host>,
    ) -> Result<Otlp, SetupError> {
        let url = address(url)?;
        let http = Http::new(&url, token, ca_file, timeout)?;
        let (logs, metrics) = (below(&url, "v1/logs"), below(&url, "v1/metrics"));
        Ok(Otlp { http, logs, metrics, counters, interval, next: Instant::now() + interval, host })
    }
}

fn below(base: &HttpUrl, path: &str) -> Url {
    let mut url = base.url().clone();
    url.set_path(&format!("{}/{path}", base.url().path().trim_end_matches('/')));
    url
}

impl Transport for Otlp {
    fn deliver(&mut self, records: &[Record]) -> Result<Delivered, Failure> {
        let body = logs(records, &self.host, Timestamp::now()).encode_to_vec();
        let answer = self.http.post(&self.logs, PROTOBUF, &[], body)?;
        // An answer that cannot be read came with a success all the same.
        let answer = ExportLogsAnswer::decode(answer.as_slice()).unwrap_or_default();
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_log_records);
        Ok(Delivered { rejected: u64::try_from(rejected).unwrap_or(0) })
    }

    fn linger(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn tick(&mut self, now: Instant) -> Option<Result<Instant, Failure>> {
        let counters = self.counters.as_ref()?;
        if now < self.next {
            return Some(Ok(self.next));
        }
        self.next = now + self.interval;
        let body = metrics(&counters.counts(), &self.host, counters.since, Timestamp::now()).encode_to_vec();
        Some(self.http.post(&self.metrics, PROTOBUF, &[], body).map(|_| self.next))
    }
}

fn resource(host: &Host) -> Resource {
    Resource {
        attributes: vec![
            pair("service.name", "lictord"),
            pair("service.version", &host.version),
            pair("host.name", &host.name),
            pair("os.type", "linux"),
        ],
    }
}

fn scope(host: &Host) -> Scope {
    Scope { name: "lictor".to_owned(), version: host.version.clone() }
}

/// The records as one export.
#[must_use]
pub(crate) fn logs(records: &[Record], host: &Host, now: Timestamp) -> ExportLogs {
    let log_records = records.iter().map(|record| log_record(record, now)).collect();
    let scope_logs = vec![ScopeLogs { scope: Some(scope(host)), log_records }];
    ExportLogs { resource_logs: vec![ResourceLogs { resource: Some(resource(host)), scope_logs }] }
}

fn log_record(record: &Record, now: Timestamp) -> LogRecord {
    let (time, event_name, attributes) = match record {
        Record::Event(event) => (&event.time, format!("lictor.{}", event.kind), of_event(event)),
        Record::Alert(alert) => (&alert.last_seen, "lictor.alert".to_owned(), of_alert(alert)),
    };
    let severity = severity(record);
    LogRecord {
        time_unix_nano: time.parse::<Timestamp>().map_or(0, nanoseconds),
        observed_time_unix_nano: nanoseconds(now),
        // INFO, INFO2, WARN, ERROR, FATAL.
        severity_number: match severity {
            Severity::Info => 9,
            Severity::Low => 10,
            Severity::Medium => 13,
            Severity::High => 17,
            Severity::Critical => 21,
        },
        severity_text: severity.to_string(),
        body: Some(string(&text::line(record))),
        attributes,
        event_name,
    }
}

fn of_event(event: &Event) -> Vec<KeyValue> {
    let (process, verdict) = (&event.process, event.verdict.as_ref());
    let mut out = vec![pair("lictor.event.id", &event.id), pair("lictor.operation", &event.operation())];
    let mut text = |name: &str, value: Option<&str>| out.extend(value.map(|value| pair(name, value)));
    text("lictor.session", event.session.as_deref());
    text("lictor.agent", event.agent.as_deref());
    text("lictor.object", Some(event.object()).filter(|object| !object.is_empty()).as_deref());
    text("lictor.verdict.action", verdict.map(|verdict| verdict.action.as_str()));
    text("lictor.verdict.tier", verdict.map(|verdict| verdict.tier.as_str()));
    text("lictor.verdict.rule", verdict.and_then(|verdict| verdict.rule.as_deref()));
    text("lictor.verdict.source", verdict.and_then(|verdict| verdict.source.as_deref()));
    text("lictor.verdict.reason", verdict.and_then(|verdict| verdict.reason.as_deref()));
    text("process.executable.path", process.exe.as_deref());
    text("process.command_line", process.cmdline.as_deref());
    text("process.working_directory", process.cwd.as_deref());
    let container = process.container.as_ref();
    text("container.id", container.and_then(|container| container.id.as_deref()));
    text("container.runtime.name", container.and_then(|container| container.runtime.as_deref()));
    text("k8s.pod.name", container.and_then(|container| container.pod.as_deref()));
    text("k8s.namespace.name", container.and_then(|container| container.namespace.as_deref()));
    text("file.path", event.file.as_ref().and_then(|file| file.path.as_deref()));
    text("network.peer.address", event.network.as_ref().and_then(|network| network.address.as_deref()));
    text("network.transport", event.network.as_ref().and_then(|network| network.protocol.as_deref()));
    let mut number = |name: &str, value: Option<i64>| {
        out.extend(value.map(|value| KeyValue { key: name.to_owned(), value: Some(integer(value)) }));
    };
    number("process.pid", process.pid.map(i64::from));
    number("process.parent_pid", process.ppid.map(i64::from));
    number("process.user.id", process.uid.map(i64::from));
    number("network.peer.port", event.network.as_ref().and_then(|network| network.port).map(i64::from));
    number("lictor.verdict.latency_us", verdict.and_then(|verdict| i64::try_from(verdict.latency_us?).ok()));
    number("lictor.lost", event.lost.as_ref().and_then(|lost| i64::try_from(lost.count).ok()));
    if let Some(args) = &process.args {
        out.push(list("process.command_args", args));
    }
    if let Some(verdict) = verdict.filter(|verdict| !verdict.tags.is_empty()) {
        out.push(list("lictor.verdict.tags", &verdict.tags));
    }
    if let Some(enforced) = verdict.and_then(|verdict| verdict.enforced) {
        let value = AnyValue { value: Some(any::Value::Bool(enforced)) };
        out.push(KeyValue { key: "lictor.verdict.enforced".to_owned(), value: Some(value) });
    }
    out
}

fn of_alert(alert: &Alert) -> Vec<KeyValue> {
    let mut out = vec![
        pair("lictor.alert.id", &alert.id),
        pair("lictor.alert.title", &alert.title),
        pair("lictor.alert.source", alert.source.as_str()),
        pair("lictor.alert.state", alert.state.as_str()),
        pair("lictor.alert.first_seen", &alert.first_seen),
        list("lictor.alert.techniques", &alert.techniques),
    ];
    let count = i64::try_from(alert.count).unwrap_or(i64::MAX);
    out.push(KeyValue { key: "lictor.alert.count".to_owned(), value: Some(integer(count)) });
    for (name, value) in
        [("lictor.session", &alert.session), ("lictor.agent", &alert.agent), ("lictor.verdict.rule", &alert.rule)]
    {
        out.extend(value.as_deref().map(|value| pair(name, value)));
    }
    if let Some(event) = &alert.example_event {
        out.push(pair("lictor.event.id", &event.id));
    }
    out
}

/// The counters as one export.
#[must_use]
pub(crate) fn metrics(counts: &Counts, host: &Host, since: Timestamp, now: Timestamp) -> ExportMetrics {
    let mut found = Vec::new();
    let point = |attributes: Vec<KeyValue>, value: u64| NumberPoint {
        attributes,
        start_time_unix_nano: nanoseconds(since),
        time_unix_nano: nanoseconds(now),
        value: Some(point::Value::Int(i64::try_from(value).unwrap_or(i64::MAX))),
    };
    let mut add = |name: &str, unit: &str, about: &str, grows: bool, points: Vec<NumberPoint>| {
        if points.is_empty() {
            return;
        }
        let data = if grows {
            metric::Data::Sum(Sum { data_points: points, aggregation_temporality: CUMULATIVE, is_monotonic: true })
        } else {
            metric::Data::Gauge(Gauge { data_points: points })
        };
        let (name, description, unit) = (name.to_owned(), about.to_owned(), unit.to_owned());
        found.push(Metric { name, description, unit, data: Some(data) });
    };
    let events = counts.events.iter().map(|((kind, action), count)| {
        point(
            vec![pair("kind", kind.as_str()), pair("action", action.map_or("none", |action| action.as_str()))],
            *count,
        )
    });
    add("lictor.events", "{event}", "events recorded", true, events.collect());
    let lost = counts.lost.iter().map(|(reason, count)| point(vec![pair("reason", reason)], *count));
    add("lictor.events.lost", "{event}", "events that could not be delivered", true, lost.collect());
    let alerts = Severity::ALL.iter().zip(counts.alerts);
    let alerts = alerts.map(|(severity, count)| point(vec![pair("severity", severity.as_str())], count));
    add("lictor.alerts.open", "{alert}", "alerts that are not closed", false, alerts.collect());
    let mut sinks: BTreeMap<(&str, &str, bool), Vec<NumberPoint>> = BTreeMap::new();
    for sink in &counts.sinks {
        for (name, about, grows, value) in [
            ("lictor.sink.sent", "records that the other side has", true, sink.sent),
            ("lictor.sink.dropped", "records that found no room", true, sink.dropped),
            ("lictor.sink.rejected", "records that the other side refused", true, sink.rejected),
            ("lictor.sink.queue_depth", "records that wait", false, sink.queue_depth),
        ] {
            sinks.entry((name, about, grows)).or_default().push(point(vec![pair("sink", &sink.name)], value));
        }
    }
    for ((name, about, grows), points) in sinks {
        add(name, "{record}", about, grows, points);
    }
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope(host)), metrics: found }];
    ExportMetrics { resource_metrics: vec![ResourceMetrics { resource: Some(resource(host)), scope_metrics }] }
}

fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}

fn string(text: &str) -> AnyValue {
    AnyValue { value: Some(any::Value::String(text.to_owned())) }
}

fn integer(value: i64) -> AnyValue {
    AnyValue { value: Some(any::Value::Int(value)) }
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(string(value)) }
}

fn list(key: &str, values: &[String]) -> KeyValue {
    let values = values.iter().map(|value| string(value)).collect();
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(any::Value::Array(ArrayValue { values })) }) }
}
