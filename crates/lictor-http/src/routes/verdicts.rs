// SPDX-License-Identifier: Apache-2.0
//! Verdicts that the kernel remembers, and processes that wait for one.

use axum::Json;
use axum::extract::State;
use lictor_api::control::Verdicts;
use lictor_api::view::{Done, VerdictChange};

use super::{App, Refusal};
use crate::access::{Operator, Viewer};
use crate::error::ApiError;
use crate::params::{Body, Name, duration};

/// What the kernel remembers, and who waits
#[utoipa::path(get, path = "/api/v1/verdicts", tag = "verdicts", responses((status = 200, body = Verdicts), Refusal))]
pub(super) async fn list(State(app): State<App>, _: Viewer) -> Result<Json<Verdicts>, ApiError> {
    app.json(|backend| backend.verdicts()).await
}

/// Decide: what waits under this key goes on or ends, and the verdict is remembered
#[utoipa::path(put, path = "/api/v1/verdicts/{key}", tag = "verdicts", params(("key" = String, Path)),
    request_body = VerdictChange, responses((status = 200, body = Done), Refusal))]
pub(super) async fn set(
    State(app): State<App>,
    Operator(actor): Operator,
    Name(key): Name,
    Body(change): Body<VerdictChange>,
) -> Result<Json<Done>, ApiError> {
    let wrong = || ApiError::invalid("`ttl` is a duration such as 30s, 10m or 1h");
    let ttl = change.ttl.as_deref().map(|text| duration(text).ok_or_else(wrong)).transpose()?;
    app.json(move |backend| backend.set_verdict(&actor, &key, change.action, ttl)).await
}

/// Make the kernel forget one verdict
#[utoipa::path(delete, path = "/api/v1/verdicts/{key}", tag = "verdicts", params(("key" = String, Path)),
    responses((status = 200, body = Done), Refusal))]
pub(super) async fn remove(
    State(app): State<App>,
    Operator(actor): Operator,
    Name(key): Name,
) -> Result<Json<Done>, ApiError> {
    app.json(move |backend| backend.remove_verdict(&actor, &key)).await
}

/// Make the kernel forget all verdicts
#[utoipa::path(delete, path = "/api/v1/verdicts", tag = "verdicts", responses((status = 200, body = Done), Refusal))]
pub(super) async fn clear(State(app): State<App>, Operator(actor): Operator) -> Result<Json<Done>, ApiError> {
    app.json(move |backend| backend.clear_verdicts(&actor)).await
}
