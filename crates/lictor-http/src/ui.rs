// SPDX-License-Identifier: Apache-2.0
//! The web pages: files inside of the program. A path that names no file is one of the pages' own, and gets their index.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::error::ApiError;
use crate::tokens::hex;

#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
#[allow_missing = true]
struct Files;

const INDEX: &str = "index.html";

const WITHOUT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Lictor</title>\
    <h1>Lictor</h1><p>This lictord was built without the web pages: run <code>make ui</code> and build it again. \
    The interface for programs is below <code>/api/v1</code>.</p></html>";

pub(crate) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if uri.path().starts_with("/api/") {
        return ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such route").into_response();
    }
    if !matches!(method, Method::GET | Method::HEAD) {
        let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method", "pages are only read");
        return ([(header::ALLOW, "GET, HEAD")], error).into_response();
    }
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = Files::get(path).filter(|_| !path.is_empty()) {
        return answer(path, &file, &headers);
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    if name.contains('.') {
        return ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such file").into_response();
    }
    match Files::get(INDEX) {
        Some(index) => answer(INDEX, &index, &headers),
        None => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], WITHOUT).into_response(),
    }
}

fn answer(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", &hex(&file.metadata.sha256_hash())[..32]);
    // Vite puts a hash of the content into the names of what it builds below `assets/`.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let same = known.is_some_and(|known| known.split(',').any(|it| it.trim().trim_start_matches("W/") == etag));
    let mut response = if same {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(file.data.clone().into_owned()).into_response()
    };
    let kind = match file.metadata.mimetype() {
        text if text.starts_with("text/") => format!("{text}; charset=utf-8"),
        other => other.to_owned(),
    };
    let head = response.headers_mut();
    for (name, value) in [(header::CONTENT_TYPE, kind), (header::ETAG, etag)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            head.insert(name, value);
        }
    }
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}
