// SPDX-License-Identifier: Apache-2.0
//! The audit chain.

use axum::Json;
use axum::extract::State;
use lictor_api::query::When;
use lictor_api::view::{AuditQuery, AuditReport, Page};

use super::{App, Refusal};
use crate::access::Viewer;
use crate::error::ApiError;
use crate::params::Params;

/// Entries of the audit chain, newest first
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit",
    params(("kind" = Option<Vec<String>>, Query), ("since" = inline(Option<When>), Query), ("until" = inline(Option<When>), Query),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000), ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,18}$")),
    responses((status = 200, body = Page<serde_json::Value>), Refusal))]
pub(super) async fn list(
    State(app): State<App>,
    _: Viewer,
    mut params: Params,
) -> Result<Json<Page<serde_json::Value>>, ApiError> {
    let window = params.window()?;
    let query = AuditQuery { kind: params.take("kind"), since: params.time("since")?, until: params.time("until")? };
    params.done()?;
    app.json(move |backend| backend.audit(&query, &window)).await
}

/// Check the whole chain and its checkpoints
#[utoipa::path(post, path = "/api/v1/audit/verify", tag = "audit", responses((status = 200, body = AuditReport), Refusal))]
pub(super) async fn verify(State(app): State<App>, _: Viewer) -> Result<Json<AuditReport>, ApiError> {
    app.json(|backend| backend.verify_audit()).await
}
