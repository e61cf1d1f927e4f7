// SPDX-License-Identifier: Apache-2.0
//! Recorded events: lists, one, and one with all that helps to understand it.

use axum::Json;
use axum::extract::State;
use lictor_api::event::Event;
use lictor_api::query::{EventQuery, Order};
use lictor_api::view::{Investigation, Page};

use super::{App, Refusal};
use crate::access::Viewer;
use crate::error::ApiError;
use crate::params::{Name, Params};

/// Events that fulfil every filter; `since` and `until` are times (RFC 3339) or ages such as `10m`
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    params(EventQuery, ("order" = inline(Option<Order>), Query),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000), ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,18}$")),
    responses((status = 200, body = Page<Event>), Refusal))]
pub(super) async fn list(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<Page<Event>>, ApiError> {
    let (window, order, query) = (params.window()?, params.order()?, params.event_query()?);
    params.done()?;
    app.json(move |backend| backend.events(&query, order, &window)).await
}

/// One event
#[utoipa::path(get, path = "/api/v1/events/{id}", tag = "events", params(("id" = String, Path)),
    responses((status = 200, body = Event), Refusal))]
pub(super) async fn one(
    State(app): State<App>,
    _: Viewer,
    Name(id): Name,
    params: Params,
) -> Result<Json<Event>, ApiError> {
    params.done()?;
    app.json(move |backend| backend.event(&id)).await
}

/// One event: who led to it, what happened before and after, what each tier said, which line would change it
#[utoipa::path(get, path = "/api/v1/events/{id}/investigate", tag = "events", params(("id" = String, Path)),
    responses((status = 200, body = Investigation), Refusal))]
pub(super) async fn investigate(
    State(app): State<App>,
    _: Viewer,
    Name(id): Name,
    params: Params,
) -> Result<Json<Investigation>, ApiError> {
    params.done()?;
    app.json(move |backend| backend.investigate(&id)).await
}
