// SPDX-License-Identifier: Apache-2.0
//! What happened at a glance, and sessions with their process trees.

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use lictor_api::control::ProcessInfo;
use lictor_api::query::When;
use lictor_api::view::{Overview, Page, SessionDetail, SessionRow};

use super::{App, Refusal};
use crate::access::{Admin, Viewer};
use crate::error::ApiError;
use crate::params::{Name, Params};

/// Verdicts over time, what was denied most, losses
#[utoipa::path(get, path = "/api/v1/overview", tag = "sessions",
    params(("since" = inline(Option<When>), Query, description = "An hour ago when it is not said")),
    responses((status = 200, body = Overview), Refusal))]
pub(super) async fn overview(
    State(app): State<App>,
    _: Viewer,
    mut params: Params,
) -> Result<Json<Overview>, ApiError> {
    let since = params.time("since")?;
    params.done()?;
    let hour_ago = Timestamp::now().checked_sub(SignedDuration::from_hours(1)).unwrap_or(Timestamp::UNIX_EPOCH);
    app.json(move |backend| backend.overview(since.unwrap_or(hour_ago))).await
}

/// Sessions, live and past, newest first
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions",
    params(("limit" = Option<usize>, Query, minimum = 1, maximum = 1000), ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,18}$")),
    responses((status = 200, body = Page<SessionRow>), Refusal))]
pub(super) async fn list(
    State(app): State<App>,
    _: Viewer,
    mut params: Params,
) -> Result<Json<Page<SessionRow>>, ApiError> {
    let window = params.window()?;
    params.done()?;
    app.json(move |backend| backend.sessions(&window)).await
}

/// One session: its processes, what it touched, its course
#[utoipa::path(get, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path)),
    responses((status = 200, body = SessionDetail), Refusal))]
pub(super) async fn one(
    State(app): State<App>,
    _: Viewer,
    Name(id): Name,
    params: Params,
) -> Result<Json<SessionDetail>, ApiError> {
    params.done()?;
    app.json(move |backend| backend.session(&id)).await
}

/// Every process of the host, governed or not, and the ended that live ones descend from; by number
#[utoipa::path(get, path = "/api/v1/processes", tag = "sessions",
    params(("limit" = Option<usize>, Query, minimum = 1, maximum = 1000), ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,18}$"),
        ("hashes" = Option<bool>, Query, description = "With the SHA-256 of each program that can be read within 20 s")),
    responses((status = 200, body = Page<ProcessInfo>), Refusal))]
pub(super) async fn processes(
    State(app): State<App>,
    _: Admin,
    mut params: Params,
) -> Result<Json<Page<ProcessInfo>>, ApiError> {
    let (window, hashes) = (params.window()?, params.flag("hashes")?);
    params.done()?;
    app.json(move |backend| backend.processes(hashes, &window)).await
}
