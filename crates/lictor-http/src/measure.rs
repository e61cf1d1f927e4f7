// SPDX-License-Identifier: Apache-2.0
//! `/metrics`: what is counted from events here, and what the daemon tells beside, in Prometheus' text format.

use std::sync::Arc;

use lictor_api::event::{Event, Kind};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::backend::{Measure, MeasureKind};

/// Seconds: from what the kernel needs to what a language model does.
const LATENCIES: [f64; 16] =
    [1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
/// Reasons for a loss are words of ours; should one ever hold a number, it does not fill the memory.
const REASONS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindAction {
    kind: &'static str,
    action: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tier {
    tier: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: String,
}

/// Counted from the events themselves.
pub(crate) struct Counted {
    events: Family<KindAction, Counter>,
    lost: Family<Reason, Counter>,
    reasons: std::sync::Mutex<std::collections::HashSet<String>>,
    latency: Family<Tier, Histogram, fn() -> Histogram>,
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            events: Family::default(),
            lost: Family::default(),
            reasons: std::sync::Mutex::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCIES)),
        }
    }
}

impl Counted {
    pub(crate) fn count(&self, event: &Event) {
        if let (Kind::Lost, Some(lost)) = (event.kind, &event.lost) {
            let mut known = self.reasons.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let fits = known.contains(&lost.reason) || (known.len() < REASONS && known.insert(lost.reason.clone()));
            let reason = if fits { lost.reason.clone() } else { "other".to_owned() };
            self.lost.get_or_create(&Reason { reason }).inc_by(lost.count);
        }
        let action = event.verdict.as_ref().map_or("none", |verdict| verdict.action.as_str());
        self.events.get_or_create(&KindAction { kind: event.kind.as_str(), action }).inc();
        if let Some(verdict) = &event.verdict
            && let Some(us) = verdict.latency_us
        {
            self.latency.get_or_create(&Tier { tier: verdict.tier.as_str() }).observe(us as f64 / 1e6);
        }
    }
}

#[derive(Debug)]
struct Told(Vec<Measure>);

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for measure in &self.0 {
            let kind = match measure.kind {
                MeasureKind::Counter => MetricType::Counter,
                MeasureKind::Gauge => MetricType::Gauge,
            };
            let mut metric = encoder.encode_descriptor(measure.name, measure.help, None, kind)?;
            let encode = |encoder: MetricEncoder<'_>, value: f64| match measure.kind {
                MeasureKind::Counter => ConstCounter::new(value).encode(encoder),
                MeasureKind::Gauge => ConstGauge::new(value).encode(encoder),
            };
            match measure.samples.as_slice() {
                // A family without labels would be written with empty braces.
                [(labels, value)] if labels.is_empty() => encode(metric, *value)?,
                samples => {
                    for (labels, value) in samples {
                        encode(metric.encode_family(labels)?, *value)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The whole text.
pub(crate) fn text(counted: &Arc<Counted>, told: Vec<Measure>) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("lictor");
    registry.register("events", "Recorded events by kind and by what was decided", counted.events.clone());
    registry.register("events_lost", "Events that could not be delivered, by reason", counted.lost.clone());
    registry.register(
        "tier_latency_seconds",
        "How long a verdict took, by the tier that gave it",
        counted.latency.clone(),
    );
    registry.register_collector(Box::new(Told(told)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_and_what_is_told_is_in_the_text() {
        let counted = Arc::new(Counted::default());
        let event = |json: &str| serde_json::from_str::<Event>(json).unwrap();
        let denied = r#"{"kind":"file","verdict":{"action":"deny","tier":"policy","latency_us":12}}"#;
        counted.count(&event(denied));
        counted.count(&event(denied));
        counted.count(&event(r#"{"kind":"lost","lost":{"count":7,"reason":"a \"full\" ring"}}"#));
        for number in 0..2 * REASONS {
            counted.count(&event(&format!(r#"{{"kind":"lost","lost":{{"count":1,"reason":"r{number}"}}}}"#)));
        }
        let told = vec![
            Measure::gauge("sessions", "Live sessions", 3.0),
            Measure {
                name: "rule_hits",
                help: "Events that a rule matched",
                kind: MeasureKind::Counter,
                samples: vec![(vec![("rule", "a".to_owned())], 4.0), (vec![("rule", "b".to_owned())], 5.0)],
            },
        ];
        let text = text(&counted, told).unwrap();
        for line in [
            "lictor_events_total{kind=\"file\",action=\"deny\"} 2",
            "lictor_events_lost_total{reason=\"a \\\"full\\\" ring\"} 7",
            "lictor_tier_latency_seconds_count{tier=\"policy\"} 2",
            "lictor_tier_latency_seconds_bucket{le=\"0.00001\",tier=\"policy\"} 0",
            "lictor_sessions 3.0",
            "lictor_rule_hits_total{rule=\"b\"} 5.0",
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        assert!(text.matches("lictor_events_lost_total{").count() <= REASONS + 1);
    }
}
