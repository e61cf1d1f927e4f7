// SPDX-License-Identifier: Apache-2.0
//! Alerts with their silences, and the audit chain: what other parts of the daemon keep, as the HTTP interface shows it.

use std::path::Path;

use lictor_api::view::{AuditProblem, AuditQuery, AuditReport, Page, Window};
use lictor_http::Fault;
use lictor_sinks::ChangeError;
use lictor_sinks::alerts::Refused;
use lictor_store::audit::{AuditError, Record, Sources, page, verify};

/// What an alert or a silence was not changed for.
pub(super) fn refused(error: ChangeError) -> Fault {
    let text = error.to_string();
    match error {
        ChangeError::Refused(Refused::NoAlert(_) | Refused::NoSilence(_)) => Fault::NotFound(text),
        ChangeError::Refused(Refused::Silences) => Fault::Conflict(text),
        ChangeError::Refused(_) => Fault::Invalid(text),
        ChangeError::File(_) => Fault::Failed(text),
    }
}

fn broken(error: &AuditError) -> Fault {
    Fault::Failed(error.to_string())
}

/// Entries of the chain in `dir`, newest first; the cursor is the number of the last entry that was given.
pub(super) fn entries(dir: &Path, query: &AuditQuery, window: &Window) -> Result<Page<serde_json::Value>, Fault> {
    let wrong = |_| Fault::Invalid("`cursor` is none that this list gave".into());
    let before = window.cursor.as_deref().map(|cursor| cursor.parse::<u64>().map_err(wrong)).transpose()?;
    let wanted = |record: &Record| {
        let in_time = (query.since.is_none() && query.until.is_none())
            || record.time.parse::<jiff::Timestamp>().is_ok_and(|time| {
                query.since.is_none_or(|since| time >= since) && query.until.is_none_or(|until| time <= until)
            });
        in_time && (query.kind.is_empty() || query.kind.contains(&record.kind))
    };
    let found = page(dir, before, window.limit, wanted).map_err(|error| broken(&error))?;
    let items = found.items.into_iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>();
    let items = items.map_err(|error| Fault::Failed(error.to_string()))?;
    Ok(Page { items, next: found.next.map(|before| before.to_string()) })
}

/// Checks the whole chain in `dir`.
pub(super) fn check(dir: &Path) -> Result<AuditReport, Fault> {
    let report = verify(&Sources { path: dir.to_owned(), ..Sources::default() }).map_err(|error| broken(&error))?;
    let problem = |it: lictor_store::audit::Problem| AuditProblem {
        file: it.file,
        line: it.line,
        entry: it.entry,
        kind: it.kind,
        message: it.message,
    };
    Ok(AuditReport {
        ok: report.ok,
        entries: report.entries,
        head: report.head.unwrap_or_default(),
        signed: report.signed,
        key: report.key,
        checkpoints: report.checkpoints,
        problems: report.problems.into_iter().map(problem).collect(),
        notes: report.notes,
    })
}
