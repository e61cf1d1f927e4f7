// SPDX-License-Identifier: Apache-2.0
//! What every request passes before its route: not too many, to a name that is ours, from a page that is ours, by
//! somebody we know. And what every answer carries.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use lictor_api::view::{Actor, Role};

use crate::access::{Identity, Means};
use crate::error::ApiError;
use crate::rate::Client;
use crate::routes::App;
use crate::tokens;

pub(crate) const COOKIE: &str = "lictor";
pub(crate) const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");
/// A wrong token costs as much as so many requests.
const WRONG_TOKEN: f64 = 20.0;
/// A request whose body does not come, or that is not answered, ends after this.
const REQUEST: Duration = Duration::from_secs(60);

/// Whom a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Unix { uid: u32 },
    Tcp { address: SocketAddr },
}

impl Peer {
    fn client(self) -> Client {
        match self {
            Self::Unix { uid } => Client::User(uid),
            Self::Tcp { address } => Client::Address(address.ip()),
        }
    }
}

pub(crate) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let admitted = admit(&app, &mut request);
    let mut response = match admitted {
        Ok(()) => match tokio::time::timeout(REQUEST, next.run(request)).await {
            Ok(response) => response,
            Err(_) => ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", "this took too long").into_response(),
        },
        Err(error) => error.into_response(),
    };
    secure(response.headers_mut(), is_api);
    response
}

fn admit(app: &App, request: &mut Request) -> Result<(), ApiError> {
    let peer = *request
        .extensions()
        .get::<Peer>()
        .ok_or_else(|| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "the connection has no peer"))?;
    spend(app, peer, 1.0)?;
    if let Peer::Tcp { .. } = peer {
        is_ours(app, request.headers())?;
    }
    if let Some(identity) = identify(app, peer, request)? {
        request.extensions_mut().insert(identity);
    }
    Ok(())
}

fn spend(app: &App, peer: Peer, cost: f64) -> Result<(), ApiError> {
    app.rates.spend(&peer.client(), cost, Instant::now()).map_err(|seconds| {
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many", "too many requests").retry_after(seconds)
    })
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(ApiError::invalid(format!("the header `{name}` is there more than once")));
    }
    let text = first.map(|value| value.to_str().map(str::to_owned)).transpose();
    text.map_err(|_| ApiError::invalid(format!("the header `{name}` is not plain text")))
}

/// A page of somebody else's must not reach us through the browser of somebody who may: neither under a name of its own
/// that leads to this address, nor by sending requests from its origin.
fn is_ours(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let refused = |what: &str| Err(ApiError::new(StatusCode::FORBIDDEN, "foreign", what));
    match text(headers, &header::HOST)? {
        Some(host) if app.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(&host)) => {}
        Some(_) => return refused("this host name is not one of this interface: see `http.hosts` in lictord.yaml"),
        None => return refused("a request must say which host it is for"),
    }
    if let Some(origin) = text(headers, &header::ORIGIN)? {
        let scheme = if app.tls { "https://" } else { "http://" };
        let host = origin.strip_prefix(scheme);
        if !host.is_some_and(|host| app.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host))) {
            return refused("pages of another origin may not use this interface");
        }
    }
    match text(headers, &HeaderName::from_static("sec-fetch-site"))?.as_deref() {
        Some("cross-site" | "same-site") => {
            // A link from elsewhere may lead to the pages; it may not fetch or change anything.
            let navigates = text(headers, &HeaderName::from_static("sec-fetch-mode"))?.as_deref() == Some("navigate");
            if navigates { Ok(()) } else { refused("pages of another site may not use this interface") }
        }
        _ => Ok(()),
    }
}

fn identify(app: &App, peer: Peer, request: &Request) -> Result<Option<Identity>, ApiError> {
    let direct = |actor| Ok(Some(Identity { actor, means: Means::Direct }));
    if let Peer::Unix { uid } = peer {
        // The socket's mode lets in root and its group only.
        let role = if uid == 0 { Role::Admin } else { Role::Operator };
        return direct(Actor { name: format!("uid {uid}"), role });
    }
    let now = Timestamp::now();
    let headers = request.headers();
    if let Some(authorization) = text(headers, &header::AUTHORIZATION)? {
        let token = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        if let Some((actor, _)) = token.and_then(|(_, token)| app.access.by_token(token.trim(), now)) {
            return direct(actor);
        }
        return Err(wrong_token(app, peer));
    }
    let Some(login) = cookie(headers).and_then(|cookie| app.access.by_cookie(&cookie, now)) else { return Ok(None) };
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes {
        let sent = text(headers, &CSRF)?.unwrap_or_default();
        if !tokens::same(sent.as_bytes(), login.csrf.as_bytes()) {
            return Err(ApiError::new(StatusCode::FORBIDDEN, "csrf", "the header `X-CSRF-Token` is missing or wrong")
                .hint("send the `csrf` of /api/v1/me"));
        }
    }
    Ok(Some(Identity { actor: login.actor.clone(), means: Means::Cookie(Box::new(login)) }))
}

/// The answer to a token that is wrong or has expired; guessing soon costs time.
pub(crate) fn wrong_token(app: &App, peer: Peer) -> ApiError {
    let error = ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", "this token is not known, or has expired");
    match spend(app, peer, WRONG_TOKEN) {
        Ok(()) => error.hint("`lictor token list` names the tokens that there are"),
        Err(too_many) => too_many,
    }
}

pub(crate) fn cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

fn secure(headers: &mut HeaderMap, is_api: bool) {
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_api || !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
