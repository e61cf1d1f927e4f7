// SPDX-License-Identifier: Apache-2.0
//! Errors as the interface tells them: `{"error":{"code","message","hint"?,"problems"?}}` with a fitting status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lictor_api::view::TextProblem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::backend::Fault;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
struct ErrorDetail {
    /// One word, for programs.
    code: &'static str,
    /// For people.
    message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Of a text that was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<TextProblem>,
}

#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: StatusCode,
    retry_after_s: Option<u64>,
    body: ErrorBody,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let error = ErrorDetail { code, message: message.into(), hint: None, problems: Vec::new() };
        Self { status, retry_after_s: None, body: ErrorBody { error } }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// What has the shape that is described, and means nothing here.
    pub(crate) fn senseless(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.error.hint = Some(hint.into());
        self
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        let message = fault.to_string();
        match fault {
            Fault::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            Fault::Invalid(_) => Self::senseless(message),
            Fault::Problems(found) => {
                let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "problems", message)
                    .hint("nothing was changed; mend the lines that are named");
                error.body.error.problems = found.problems;
                error
            }
            Fault::Changed(_) => Self::new(StatusCode::PRECONDITION_FAILED, "changed", message)
                .hint("read it again, and send its `etag` as `If-Match`"),
            Fault::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", message),
            Fault::Unsupported(_) => Self::new(StatusCode::NOT_IMPLEMENTED, "unsupported", message),
            Fault::Failed(_) => {
                tracing::error!("an HTTP request failed: {}", lictor_api::bytes::printable(&message));
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", message)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
