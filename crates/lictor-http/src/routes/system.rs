// SPDX-License-Identifier: Apache-2.0
//! The daemon itself: state, health, settings, metrics.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use lictor_api::control::Status;
use lictor_api::view::{Component, Page};

use super::{App, Refusal};
use crate::access::Viewer;
use crate::backend::Measure;
use crate::error::ApiError;
use crate::measure;

/// Whether Lictor enforces, and its counters
#[utoipa::path(get, path = "/api/v1/status", tag = "system", responses((status = 200, body = Status), Refusal))]
pub(super) async fn status(State(app): State<App>, _: Viewer) -> Result<Json<Status>, ApiError> {
    app.json(|backend| backend.status()).await
}

/// Each part of the daemon, and how it does
#[utoipa::path(get, path = "/api/v1/health", tag = "system", responses((status = 200, body = Page<Component>), Refusal))]
pub(super) async fn health(State(app): State<App>, _: Viewer) -> Result<Json<Page<Component>>, ApiError> {
    app.json(|backend| Ok(Page { items: backend.health()?, next: None })).await
}

/// The settings in effect, without secrets
#[utoipa::path(get, path = "/api/v1/settings", tag = "system", responses((status = 200, body = serde_json::Value), Refusal))]
pub(super) async fn settings(State(app): State<App>, _: Viewer) -> Result<Json<serde_json::Value>, ApiError> {
    app.json(|backend| backend.settings()).await
}

/// Counters and histograms in Prometheus' text format
#[utoipa::path(get, path = "/metrics", tag = "system",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"), Refusal))]
pub(super) async fn metrics(State(app): State<App>, _: Viewer) -> Result<Response, ApiError> {
    let mut told = app.ask(|backend| backend.measures()).await?;
    told.push(Measure::gauge("http_streams", "Open WebSockets of live events", app.live.listeners() as f64));
    let text = measure::text(&app.live.counted, told)
        .map_err(|_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "the metrics cannot be written"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Whether the daemon answers at all
#[utoipa::path(get, path = "/healthz", tag = "system", security(()),
    responses((status = 200, body = String, content_type = "text/plain"), Refusal))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the daemon enforces, or at least does what its sessions ask for
#[utoipa::path(get, path = "/readyz", tag = "system", security(()),
    responses(Refusal, (status = 200, body = String, content_type = "text/plain"),
              (status = 503, body = String, content_type = "text/plain", description = "It does not")))]
pub(super) async fn readyz(State(app): State<App>) -> Result<Response, ApiError> {
    let ready = app.ask(|backend| Ok(backend.readiness())).await?;
    Ok(match ready {
        Ok(()) => "ready\n".into_response(),
        // Why is told to those who may see the status.
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
    })
}
