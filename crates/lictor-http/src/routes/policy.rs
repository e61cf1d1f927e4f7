// SPDX-License-Identifier: Apache-2.0
//! The policy: read, check, compare, put into force.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use lictor_api::view::{Page, PolicyDiff, PolicyView, Problems, Profile, Text};

use super::{App, Refusal};
use crate::access::{Admin, Viewer};
use crate::error::ApiError;
use crate::params::{Body, if_match};

/// The policy in force
#[utoipa::path(get, path = "/api/v1/policy", tag = "policy", responses((status = 200, body = PolicyView), Refusal))]
pub(super) async fn show(State(app): State<App>, _: Viewer) -> Result<Json<PolicyView>, ApiError> {
    app.json(|backend| backend.policy()).await
}

/// Put a policy into force, for all sessions or for none
#[utoipa::path(put, path = "/api/v1/policy", tag = "policy",
    params(("If-Match" = String, Header, description = "the `etag` that was read")),
    request_body = Text, responses((status = 200, body = PolicyView), Refusal))]
pub(super) async fn put(
    State(app): State<App>,
    Admin(actor): Admin,
    headers: HeaderMap,
    Body(text): Body<Text>,
) -> Result<Json<PolicyView>, ApiError> {
    let etag = if_match(&headers)?;
    app.json(move |backend| backend.put_policy(&actor, &text.text, &etag)).await
}

/// The profiles that ship with Lictor
#[utoipa::path(get, path = "/api/v1/policy/profiles", tag = "policy", responses((status = 200, body = Page<Profile>), Refusal))]
pub(super) async fn profiles(State(app): State<App>, _: Viewer) -> Result<Json<Page<Profile>>, ApiError> {
    app.json(|backend| Ok(Page { items: backend.profiles()?, next: None })).await
}

/// What is wrong with a policy
#[utoipa::path(post, path = "/api/v1/policy/check", tag = "policy", request_body = Text,
    responses((status = 200, body = Problems), Refusal))]
pub(super) async fn check(
    State(app): State<App>,
    _: Viewer,
    Body(text): Body<Text>,
) -> Result<Json<Problems>, ApiError> {
    app.json(move |backend| backend.check_policy(&text.text)).await
}

/// How a policy differs from the one in force, and which recorded events it would have decided otherwise
#[utoipa::path(post, path = "/api/v1/policy/diff", tag = "policy", request_body = Text,
    responses((status = 200, body = PolicyDiff), Refusal))]
pub(super) async fn diff(
    State(app): State<App>,
    _: Viewer,
    Body(text): Body<Text>,
) -> Result<Json<PolicyDiff>, ApiError> {
    app.json(move |backend| backend.diff_policy(&text.text)).await
}
