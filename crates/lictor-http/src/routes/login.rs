// SPDX-License-Identifier: Apache-2.0
//! Logins: a token becomes a cookie that scripts cannot read.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use lictor_api::view::Me;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{App, Refusal};
use crate::access::{Identity, Means, Viewer};
use crate::error::ApiError;
use crate::guard::{self, COOKIE, Peer};
use crate::params::Body;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginRequest {
    token: String,
}

fn set_cookie(app: &App, value: &str, age_s: u64) -> Option<HeaderValue> {
    let secure = if app.tls { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age_s}{secure}");
    HeaderValue::from_str(&cookie).ok()
}

/// Log in with a token
#[utoipa::path(post, path = "/api/v1/login", tag = "access", security(()), request_body = LoginRequest,
    responses((status = 200, body = Me, headers(("set-cookie" = String, description = "the login"))), Refusal))]
pub(super) async fn log_in(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Body(request): Body<LoginRequest>,
) -> Result<Response, ApiError> {
    let failed =
        |_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "there are no random numbers for a login");
    let Some((secret, login)) = app.access.log_in(&request.token, Timestamp::now()).map_err(failed)? else {
        return Err(guard::wrong_token(&app, peer));
    };
    let actor = login.actor.clone();
    app.ask(move |backend| {
        backend.noted(&actor, "login");
        Ok(())
    })
    .await?;
    let me = Me { name: login.actor.name, role: login.actor.role, csrf: Some(login.csrf) };
    let mut response = Json(me).into_response();
    if let Some(cookie) = set_cookie(&app, &secret, 12 * 3600) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Log out
#[utoipa::path(post, path = "/api/v1/logout", tag = "access", responses((status = 204, description = "Logged out"), Refusal))]
pub(super) async fn log_out(
    State(app): State<App>,
    Viewer(actor): Viewer,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(cookie) = guard::cookie(&headers) {
        app.access.log_out(&cookie);
    }
    app.ask(move |backend| {
        backend.noted(&actor, "logout");
        Ok(())
    })
    .await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = set_cookie(&app, "", 0) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Who one is
#[utoipa::path(get, path = "/api/v1/me", tag = "access", responses((status = 200, body = Me), Refusal))]
pub(super) async fn me(Viewer(actor): Viewer, Extension(identity): Extension<Identity>) -> Json<Me> {
    let csrf = match identity.means {
        Means::Direct => None,
        Means::Cookie(login) => Some(login.csrf),
    };
    Json(Me { name: actor.name, role: actor.role, csrf })
}
