// SPDX-License-Identifier: Apache-2.0
//! Alerts and silences.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use lictor_api::alert::{Alert, AlertChange, AlertFilter, AlertState, NewSilence, Silence};
use lictor_api::event::Severity;
use lictor_api::view::Page;

use super::{App, Refusal};
use crate::access::{Operator, Viewer};
use crate::error::ApiError;
use crate::params::{Body, Name, Params};

/// Alerts, those seen last first
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts",
    params(("state" = Option<Vec<AlertState>>, Query), ("severity" = Option<Severity>, Query, description = "At least so severe"), ("session" = Option<String>, Query),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000), ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,18}$")),
    responses((status = 200, body = Page<Alert>), Refusal))]
pub(super) async fn list(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<Page<Alert>>, ApiError> {
    let window = params.window()?;
    let filter = AlertFilter {
        states: params.words("state")?,
        severity: params.word("severity")?,
        session: params.one("session")?,
        limit: None,
    };
    params.done()?;
    app.json(move |backend| backend.alerts(&filter, &window)).await
}

/// Change an alert's state or note
#[utoipa::path(patch, path = "/api/v1/alerts/{id}", tag = "alerts", params(("id" = String, Path)),
    request_body = AlertChange, responses((status = 200, body = Alert), Refusal))]
pub(super) async fn change(
    State(app): State<App>,
    Operator(actor): Operator,
    Name(id): Name,
    Body(change): Body<AlertChange>,
) -> Result<Json<Alert>, ApiError> {
    app.json(move |backend| backend.change_alert(&actor, &id, &change)).await
}

/// Silences that have not ended
#[utoipa::path(get, path = "/api/v1/silences", tag = "alerts",
    params(("limit" = Option<usize>, Query, minimum = 1, maximum = 1000), ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,18}$")),
    responses((status = 200, body = Page<Silence>), Refusal))]
pub(super) async fn silences(
    State(app): State<App>,
    _: Viewer,
    mut params: Params,
) -> Result<Json<Page<Silence>>, ApiError> {
    let window = params.window()?;
    params.done()?;
    app.json(move |backend| backend.silences(&window)).await
}

/// Begin a silence
#[utoipa::path(post, path = "/api/v1/silences", tag = "alerts", request_body = NewSilence,
    responses((status = 201, body = Silence), Refusal))]
pub(super) async fn silence(
    State(app): State<App>,
    Operator(actor): Operator,
    Body(silence): Body<NewSilence>,
) -> Result<(StatusCode, Json<Silence>), ApiError> {
    if silence.until.parse::<Timestamp>().is_err() {
        return Err(ApiError::invalid("`until` is a time such as 2026-01-02T03:04:05Z"));
    }
    app.json(move |backend| backend.add_silence(&actor, silence)).await.map(|json| (StatusCode::CREATED, json))
}

/// End a silence
#[utoipa::path(delete, path = "/api/v1/silences/{id}", tag = "alerts", params(("id" = String, Path)),
    responses((status = 204, description = "It has ended"), Refusal))]
pub(super) async fn unsilence(
    State(app): State<App>,
    Operator(actor): Operator,
    Name(id): Name,
) -> Result<StatusCode, ApiError> {
    app.ask(move |backend| backend.remove_silence(&actor, &id)).await.map(|()| StatusCode::NO_CONTENT)
}
