// SPDX-License-Identifier: Apache-2.0
//! The parameters of a request's address, each read once; what nobody reads is an error, as is what is said twice.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use jiff::{Span, SpanRelativeTo, Timestamp};
use lictor_api::query::{EventQuery, Order};
use lictor_api::view::Window;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

const MAX_LIMIT: usize = 1000;
const DEFAULT_LIMIT: usize = 200;

pub(crate) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

impl Params {
    pub(crate) fn take(&mut self, name: &str) -> Vec<String> {
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(|(key, _)| key == name);
        self.0 = left;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    pub(crate) fn one(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let mut values = self.take(name);
        if values.len() > 1 {
            return Err(ApiError::invalid(format!("`{name}` is said more than once")));
        }
        Ok(values.pop())
    }

    pub(crate) fn word<T: FromStr<Err = String>>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        let word = self.one(name)?;
        word.map(|word| word.parse().map_err(|error| ApiError::invalid(format!("`{name}`: {error}")))).transpose()
    }

    /// Said several times, or once with commas.
    pub(crate) fn words<T: FromStr<Err = String>>(&mut self, name: &str) -> Result<Vec<T>, ApiError> {
        let values = self.take(name);
        let words = values.iter().flat_map(|value| value.split(','));
        words.map(|word| word.parse().map_err(|error| ApiError::invalid(format!("`{name}`: {error}")))).collect()
    }

    pub(crate) fn window(&mut self) -> Result<Window, ApiError> {
        let limit = match self.one("limit")? {
            None => DEFAULT_LIMIT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| ApiError::invalid(format!("`limit` is a number from 1 to {MAX_LIMIT}")))?,
        };
        let cursor = self.one("cursor")?;
        if cursor.as_ref().is_some_and(|cursor| cursor.is_empty() || !cursor.bytes().all(|it| it.is_ascii_digit())) {
            return Err(ApiError::invalid("`cursor` is none that this list gave"));
        }
        Ok(Window { limit, cursor })
    }

    /// A time or an age.
    pub(crate) fn time(&mut self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        self.one(name)?.map(|text| time(name, &text)).transpose()
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.one(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ApiError::invalid(format!("`{name}` is `true` or `false`"))),
        }
    }

    pub(crate) fn event_query(&mut self) -> Result<EventQuery, ApiError> {
        let text = self.one("text")?;
        if let Some(text) = &text {
            lictor_api::search::pieces(text).map_err(|error| ApiError::senseless(format!("`text`: {error}")))?;
        }
        Ok(EventQuery {
            session: self.take("session"),
            agent: self.take("agent"),
            kind: self.words("kind")?,
            verdict: self.words("verdict")?,
            tier: self.words("tier")?,
            program: self.take("program"),
            path: self.take("path"),
            address: self.take("address"),
            rule: self.take("rule"),
            severity: self.words("severity")?,
            denied: self.flag("denied")?,
            text,
            since: self.time("since")?,
            until: self.time("until")?,
        })
    }

    pub(crate) fn order(&mut self) -> Result<Order, ApiError> {
        let word = self.one("order")?;
        word.map_or(Ok(Order::Desc), |word| {
            word.parse().map_err(|error| ApiError::invalid(format!("`order`: {error}")))
        })
    }

    pub(crate) fn done(self) -> Result<(), ApiError> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(ApiError::invalid(format!("there is no parameter `{name}` here"))),
        }
    }
}

/// RFC 3339, or how long ago: `10m`, `1h30m`, `2d`.
pub(crate) fn time(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let ago = duration(text).and_then(|ago| Timestamp::now().checked_sub(ago).ok());
    ago.ok_or_else(|| {
        ApiError::invalid(format!("`{name}` is a time such as 2026-01-02T03:04:05Z, or an age such as 10m or 2d"))
    })
}

/// `90s`, `1h30m`, `2d`; nothing for what is none or is negative.
pub(crate) fn duration(text: &str) -> Option<std::time::Duration> {
    let span: Span = text.parse().ok()?;
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?.try_into().ok()
}

/// A name in the path of the address.
pub(crate) struct Name(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        path.map(|name| Self(name.0)).map_err(|error| ApiError::invalid(error.body_text()))
    }
}

/// A body of JSON.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(json) => Ok(Self(json.0)),
            Err(error) => {
                let code = match error.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => "too_large",
                    StatusCode::UNSUPPORTED_MEDIA_TYPE => "not_json",
                    _ => "invalid",
                };
                // A wrong type inside of JSON is a malformed request here, like any other.
                let status = match error.status() {
                    StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                    status => status,
                };
                Err(ApiError::new(status, code, error.body_text()))
            }
        }
    }
}

/// The `etag` that a change is made to.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<String, ApiError> {
    let missing = || {
        ApiError::new(StatusCode::PRECONDITION_REQUIRED, "if_match", "a change needs the header `If-Match`")
            .hint("send the `etag` of what you have read")
    };
    let value = headers.get(header::IF_MATCH).ok_or_else(missing)?;
    let text = value.to_str().map_err(|_| ApiError::invalid("the header `If-Match` is not plain text"))?;
    Ok(text.trim().trim_matches('"').to_owned())
}
