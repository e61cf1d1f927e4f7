// SPDX-License-Identifier: Apache-2.0
//! One function a route. Its argument `Viewer`, `Operator` or `Admin` says which role it needs; its attribute is its
//! description in OpenAPI.

mod alerts;
mod audit;
mod events;
mod login;
mod policy;
mod rules;
mod sessions;
mod stream;
mod system;
mod verdicts;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, middleware};
use tokio::sync::{Semaphore, watch};
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{Access, Viewer};
use crate::backend::{Backend, Fault};
use crate::error::{ApiError, ErrorBody};
use crate::guard;
use crate::live::Live;
use crate::rate::Rates;
use crate::ui;

/// The longest text that may be sent: rules and policies are far below.
const BODY: usize = 2 << 20;
/// Questions that the backend answers at a time.
const WORKERS: usize = 16;

pub(crate) type App = Arc<Inner>;

pub(crate) struct Inner {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) live: Live,
    pub(crate) access: Access,
    pub(crate) rates: Rates,
    /// `HOST:PORT` as a browser would say it.
    pub(crate) hosts: Vec<String>,
    pub(crate) tls: bool,
    pub(crate) workers: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Inner {
    pub(crate) fn workers() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(WORKERS))
    }

    /// Asks the backend, on a thread that may block.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Backend) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, ApiError> {
        let gone = |_| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "lictord is stopping");
        let permit = Arc::clone(&self.workers).acquire_owned().await.map_err(gone)?;
        let backend = Arc::clone(&self.backend);
        let answered = tokio::task::spawn_blocking(move || {
            // Held until the answer is there, also when nobody waits for it any more.
            let _permit = permit;
            question(&*backend)
        });
        match answered.await {
            Ok(answer) => answer.map_err(ApiError::from),
            Err(_) => Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "this could not be answered")),
        }
    }

    pub(crate) async fn json<T: serde::Serialize + Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Backend) -> Result<T, Fault> + Send + 'static,
    ) -> Result<Json<T>, ApiError> {
        self.ask(question).await.map(Json)
    }
}

/// The ways in which any route may refuse.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "it describes")]
pub(crate) enum Refusal {
    /// The request is not as it is described here
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// Nobody, or somebody with a wrong or expired token
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// A role that is too low, a foreign page or host name, or no CSRF token
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// There is no such thing
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// Too slow
    #[response(status = 408)]
    Timeout(ErrorBody),
    /// It cannot be done as things are
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// Somebody else changed it since it was read
    #[response(status = 412)]
    Changed(ErrorBody),
    /// The body is too large
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The body is not JSON
    #[response(status = 415)]
    NotJson(ErrorBody),
    /// It is as it is described, and makes no sense: a time in the past, a cursor of nothing, a policy or rules with problems
    #[response(status = 422)]
    Senseless(ErrorBody),
    /// A change without `If-Match`
    #[response(status = 428)]
    NoIfMatch(ErrorBody),
    /// Too many requests
    #[response(status = 429)]
    TooMany(ErrorBody),
    /// The header is too large
    #[response(status = 431)]
    HeaderTooLarge,
    /// It failed
    #[response(status = 500)]
    Failed(ErrorBody),
    /// This daemon has no such part
    #[response(status = 501)]
    Unsupported(ErrorBody),
    /// It is stopping, or has too much to do
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Lictor", description = "What AI agents do on this machine, what was decided, and why."),
    modifiers(&Schemes),
    security(("token" = []), ("cookie" = [])),
    components(schemas(stream::LiveMessage, stream::LiveRequest))
)]
struct Document;

struct Schemes;

impl utoipa::Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        let cookie = ApiKey::Cookie(ApiKeyValue::new(guard::COOKIE));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(cookie));
    }
}

fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(system::status))
        .routes(routes!(system::health))
        .routes(routes!(system::settings))
        .routes(routes!(system::metrics))
        .routes(routes!(system::healthz))
        .routes(routes!(system::readyz))
        .routes(routes!(login::log_in))
        .routes(routes!(login::log_out))
        .routes(routes!(login::me))
        .routes(routes!(sessions::overview))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::one))
        .routes(routes!(sessions::processes))
        .routes(routes!(events::list))
        .routes(routes!(events::one))
        .routes(routes!(events::investigate))
        .routes(routes!(stream::stream))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::change))
        .routes(routes!(alerts::silences, alerts::silence))
        .routes(routes!(alerts::unsilence))
        .routes(routes!(rules::list))
        .routes(routes!(rules::one))
        .routes(routes!(rules::set_state))
        .routes(routes!(rules::files))
        .routes(routes!(rules::file, rules::put_file))
        .routes(routes!(rules::check))
        .routes(routes!(rules::dry_run))
        .routes(routes!(policy::show, policy::put))
        .routes(routes!(policy::profiles))
        .routes(routes!(policy::check))
        .routes(routes!(policy::diff))
        .routes(routes!(verdicts::list, verdicts::clear))
        .routes(routes!(verdicts::set, verdicts::remove))
        .routes(routes!(audit::list))
        .routes(routes!(audit::verify))
}

/// The description of the whole interface, as pretty JSON.
///
/// # Errors
/// It cannot be written as JSON.
pub fn openapi() -> Result<String, serde_json::Error> {
    let document = described().into_openapi();
    serde_json::to_string_pretty(&document).map(|json| json + "\n")
}

/// All routes, behind the guard.
pub(crate) fn router(app: App) -> Result<Router, serde_json::Error> {
    let (router, document) = described().split_for_parts();
    // As text: what it is made from takes ten times the room.
    let document = Bytes::from(serde_json::to_vec(&document)?);
    let show = move |_: Viewer| {
        let document = document.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], document) }
    };
    let router = router
        .route("/api/v1/openapi.json", axum::routing::get(show))
        .fallback(ui::serve)
        .method_not_allowed_fallback(async || -> Response {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this route has no such method").into_response()
        })
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::guard))
        .with_state(app);
    Ok(router)
}
