// SPDX-License-Identifier: Apache-2.0
//! What is told of the daemon itself: conditions that no event carries become alerts, once each time they begin.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lictor_api::alert::{AlertSource, SinkState, SinkStatus};
use lictor_api::control::TierStatus;
use lictor_api::event::Severity;
use lictor_api::settings::Settings;
use lictor_sinks::format::Host;
use lictor_sinks::{Condition, Dispatcher};

/// A sink may be away for this long before somebody is told: servers are started anew.
const PATIENCE: Duration = Duration::from_secs(60);

/// Alerts and sinks of this host; a private daemon has none.
pub(crate) fn start(settings: &Settings, private: bool) -> Result<Option<Arc<Dispatcher>>> {
    if private {
        return Ok(None);
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").context("cannot tell this host's name")?;
    let host = Host { name: name.trim().to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    std::fs::create_dir_all(&settings.state).with_context(|| format!("cannot make {}", settings.state.display()))?;
    let dispatcher = Dispatcher::start(&settings.sinks, &settings.state, host).context("alerts and sinks")?;
    Ok(Some(Arc::new(dispatcher)))
}

/// Files of the sinks: what they write and what they read secrets from, for the guard over Lictor's own files.
pub(crate) fn files(settings: &Settings) -> impl Iterator<Item = &Path> {
    settings.sinks.0.values().flat_map(lictor_api::settings::sinks::Sink::files)
}

/// Compares what is wrong with what was wrong before.
#[derive(Default)]
pub(crate) struct Watch {
    known: HashSet<String>,
}

impl Watch {
    /// Reports what is wrong now and was not at the last look.
    pub(crate) fn look(&mut self, dispatcher: &Dispatcher, reasons: &[String], tiers: &[TierStatus]) {
        let mut now = HashSet::new();
        for condition in conditions(reasons, tiers, &dispatcher.sinks()) {
            now.insert(condition.name.clone());
            if !self.known.contains(&condition.name) {
                dispatcher.report(condition);
            }
        }
        self.known = now;
    }
}

fn conditions(reasons: &[String], tiers: &[TierStatus], sinks: &[SinkStatus]) -> Vec<Condition> {
    let degraded =
        |severity, name: String, title: String| Condition { source: AlertSource::Degraded, severity, name, title };
    let mut found = Vec::new();
    for reason in reasons {
        let title = format!("Lictor does not enforce: {reason}");
        found.push(degraded(Severity::Critical, format!("enforcement:{reason}"), title));
    }
    for tier in tiers {
        if tier.state != "working" {
            let title = format!("the tier `{}` is {}: {}", tier.tier, tier.state, tier.reasons.join("; "));
            found.push(degraded(Severity::High, format!("tier:{}", tier.tier), title));
        }
        if tier.counts.get("breaker").and_then(|breaker| breaker.as_str()).is_some_and(|state| state == "open") {
            let title = format!("the tier `{}` is left alone for a while, as it fails again and again", tier.tier);
            found.push(degraded(Severity::High, format!("breaker:{}", tier.tier), title));
        }
    }
    for sink in sinks {
        let why = sink.last_error.as_deref().unwrap_or("it does not say why");
        let late =
            sink.state == SinkState::Retrying && sink.lag_ms > u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        if sink.state == SinkState::Broken || late {
            let title = format!("the sink `{}` gets nothing: {why}", sink.name);
            found.push(degraded(Severity::Medium, format!("sink:{}", sink.name), title));
        }
        if sink.dropped > 0 {
            let title = format!("the sink `{}` has no room left, and records are dropped", sink.name);
            found.push(degraded(Severity::High, format!("sink-dropped:{}", sink.name), title));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_api::alert::AlertFilter;
    use lictor_api::event::Tier;

    #[test]
    fn what_is_wrong_is_told_once_each_time_it_begins() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host { name: "box".into(), version: "1".into() };
        let dispatcher = Dispatcher::start(&Default::default(), dir.path(), host).unwrap();
        let mut watch = Watch::default();
        let tier = |state: &str, breaker: &str| TierStatus {
            tier: Tier::Llm,
            state: state.into(),
            reasons: vec!["no key".into()],
            counts: serde_json::json!({ "breaker": breaker }),
        };
        let reasons = ["the canary was not denied".to_owned()];
        for _ in 0..3 {
            watch.look(&dispatcher, &reasons, &[tier("degraded", "open")]);
        }
        watch.look(&dispatcher, &[], &[tier("working", "closed")]);
        watch.look(&dispatcher, &[], &[tier("degraded", "closed")]);
        dispatcher.close(Duration::ZERO);
        let mut alerts = dispatcher.alerts(&AlertFilter::default());
        alerts.sort_by_key(|alert| alert.key.clone());
        let told: Vec<_> = alerts.iter().map(|alert| (alert.key.as_str(), alert.count, alert.severity)).collect();
        assert_eq!(
            told,
            [
                ("degraded:breaker:llm", 1, Severity::High),
                ("degraded:enforcement:the canary was not denied", 1, Severity::Critical),
                ("degraded:tier:llm", 2, Severity::High),
            ]
        );
    }
}
