// SPDX-License-Identifier: Apache-2.0
//! Rules: what is in force, their files, a dry run.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use lictor_api::view::{DryRun, DryRunResult, Page, Problems, RuleDetail, RuleRow, RuleStateChange, Text, TextFile};

use super::{App, Refusal};
use crate::access::{Admin, Operator, Viewer};
use crate::error::ApiError;
use crate::params::{Body, Name, Params, if_match, time};

/// Rules with their states and hits
#[utoipa::path(get, path = "/api/v1/rules", tag = "rules",
    params(("limit" = Option<usize>, Query, minimum = 1, maximum = 1000), ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,18}$")),
    responses((status = 200, body = Page<RuleRow>), Refusal))]
pub(super) async fn list(
    State(app): State<App>,
    _: Viewer,
    mut params: Params,
) -> Result<Json<Page<RuleRow>>, ApiError> {
    let window = params.window()?;
    params.done()?;
    app.json(move |backend| backend.rules(&window)).await
}

/// One rule and its text
#[utoipa::path(get, path = "/api/v1/rules/{id}", tag = "rules", params(("id" = String, Path)),
    responses((status = 200, body = RuleDetail), Refusal))]
pub(super) async fn one(
    State(app): State<App>,
    _: Viewer,
    Name(id): Name,
    params: Params,
) -> Result<Json<RuleDetail>, ApiError> {
    params.done()?;
    app.json(move |backend| backend.rule(&id)).await
}

/// Change a rule's state in its file
#[utoipa::path(put, path = "/api/v1/rules/{id}/state", tag = "rules", params(("id" = String, Path)),
    request_body = RuleStateChange, responses((status = 200, body = RuleDetail), Refusal))]
pub(super) async fn set_state(
    State(app): State<App>,
    Operator(actor): Operator,
    Name(id): Name,
    Body(change): Body<RuleStateChange>,
) -> Result<Json<RuleDetail>, ApiError> {
    app.json(move |backend| backend.set_rule_state(&actor, &id, change.state)).await
}

/// The files of rules
#[utoipa::path(get, path = "/api/v1/rules-files", tag = "rules",
    params(("limit" = Option<usize>, Query, minimum = 1, maximum = 1000), ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,18}$")),
    responses((status = 200, body = Page<TextFile>), Refusal))]
pub(super) async fn files(
    State(app): State<App>,
    _: Viewer,
    mut params: Params,
) -> Result<Json<Page<TextFile>>, ApiError> {
    let window = params.window()?;
    params.done()?;
    app.json(move |backend| backend.rule_files(&window)).await
}

/// One file of rules
#[utoipa::path(get, path = "/api/v1/rules-files/{name}", tag = "rules", params(("name" = String, Path, pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,100}[.]yaml$")),
    responses((status = 200, body = TextFile), Refusal))]
pub(super) async fn file(
    State(app): State<App>,
    _: Viewer,
    Name(name): Name,
    params: Params,
) -> Result<Json<TextFile>, ApiError> {
    params.done()?;
    app.json(move |backend| backend.rule_file(&name)).await
}

/// Replace a file of rules, or write a new one, when all rules are good with it
#[utoipa::path(put, path = "/api/v1/rules-files/{name}", tag = "rules",
    params(("name" = String, Path, pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,100}[.]yaml$"), ("If-Match" = String, Header, description = "the `etag` that was read; `*` for a new file")),
    request_body = Text, responses((status = 200, body = TextFile), Refusal))]
pub(super) async fn put_file(
    State(app): State<App>,
    Admin(actor): Admin,
    Name(name): Name,
    headers: HeaderMap,
    Body(text): Body<Text>,
) -> Result<Json<TextFile>, ApiError> {
    let etag = if_match(&headers)?;
    app.json(move |backend| backend.put_rule_file(&actor, &name, &text.text, &etag)).await
}

/// What is wrong with a file of rules
#[utoipa::path(post, path = "/api/v1/rules/check", tag = "rules", request_body = Text,
    responses((status = 200, body = Problems), Refusal))]
pub(super) async fn check(
    State(app): State<App>,
    _: Viewer,
    Body(text): Body<Text>,
) -> Result<Json<Problems>, ApiError> {
    app.json(move |backend| backend.check_rules(&text.text)).await
}

/// What rules would have said of recorded events; changes nothing
#[utoipa::path(post, path = "/api/v1/rules/dry-run", tag = "rules", request_body = DryRun,
    responses((status = 200, body = DryRunResult), Refusal))]
pub(super) async fn dry_run(
    State(app): State<App>,
    _: Viewer,
    Body(run): Body<DryRun>,
) -> Result<Json<DryRunResult>, ApiError> {
    if run.limit.is_some_and(|limit| !(1..=1000).contains(&limit)) {
        return Err(ApiError::invalid("`limit` is a number from 1 to 1000"));
    }
    let since = run.since.as_deref().map(|since| time("since", since)).transpose()?;
    app.json(move |backend| backend.dry_run(&run, since)).await
}
