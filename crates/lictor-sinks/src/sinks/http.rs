// SPDX-License-Identifier: Apache-2.0
//! One POST and what its answer means. No redirects, no proxies of the environment, a limit on time and on the answer.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use lictor_api::settings::llm::KeySource;
use lictor_api::settings::sinks::{HttpUrl, UrlSource};
use lictor_judge::llm::outbound;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url};
use secrecy::ExposeSecret as _;
use tokio::runtime::{Builder, Runtime};

use super::transport::{Failure, Remedy, SetupError};

/// More of an answer is not read.
const MAX_ANSWER: usize = 64 << 10;

pub(crate) struct Http {
    client: Client,
    runtime: Runtime,
    timeout: Duration,
}

/// The address, from wherever it is.
pub(crate) fn address(source: &UrlSource) -> Result<HttpUrl, SetupError> {
    match source {
        UrlSource::Plain(url) => Ok(url.clone()),
        UrlSource::Secret(key) => outbound::load_key(key)?.expose_secret().parse().map_err(SetupError::Address),
    }
}

impl Http {
    pub(crate) fn new(
        url: &HttpUrl,
        token: Option<&KeySource>,
        ca_file: Option<&Path>,
        timeout: Duration,
    ) -> Result<Http, SetupError> {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let token = outbound::load_key(token)?;
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
                .map_err(|_| SetupError::Client("the token has characters that no header has".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = Client::builder()
            .tls_backend_preconfigured(outbound::trusting(ca_file, url.is_https())?)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .https_only(url.is_https())
            .user_agent(concat!("lictor/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(timeout)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(Duration::from_secs(30))
            // `http://localhost` was taken because it is this machine: no resolver gets to say otherwise.
            .resolve_to_addrs("localhost", &[([127, 0, 0, 1], 0).into(), ([0, 0, 0, 0, 0, 0, 0, 1], 0).into()])
            .build()
            .map_err(|error| SetupError::Client(outbound::describe(&error)))?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| SetupError::Client(error.to_string()))?;
        Ok(Http { client, runtime, timeout })
    }

    /// Sends `body`; gives the beginning of the answer's body.
    pub(crate) fn post(
        &self,
        url: &Url,
        content_type: &'static str,
        headers: &[(HeaderName, String)],
        body: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        let mut request = self.client.post(url.clone()).header(CONTENT_TYPE, content_type).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let exchange = async {
            let mut response = request.send().await.map_err(|error| Failure::again(outbound::describe(&error)))?;
            let status = response.status();
            let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let after = after.and_then(|value| outbound::retry_after(value, Timestamp::now()));
            let mut answer = Vec::new();
            while let Ok(Some(chunk)) = response.chunk().await {
                if answer.len() + chunk.len() > MAX_ANSWER {
                    break;
                }
                answer.extend_from_slice(&chunk);
            }
            // What an error's body says may repeat a secret: nobody is shown it.
            judged(status.as_u16(), after).map_or(Ok(answer), Err)
        };
        let timeout = self.timeout;
        match self.runtime.block_on(async { tokio::time::timeout(timeout, exchange).await }) {
            Ok(result) => result,
            Err(_) => Err(Failure::again(format!("no answer within {timeout:?} (timeout)"))),
        }
    }
}

/// `None` for a success.
fn judged(status: u16, after: Option<Duration>) -> Option<Failure> {
    let again =
        |why: &str| Some(Failure { delivered: 0, remedy: Remedy::Again(after), why: format!("status {status}{why}") });
    match status {
        200..=299 => None,
        300..=399 => again(": it points elsewhere, which is not followed; set the address to where it points"),
        401 | 403 => again(": is the token right?"),
        404 => again(": is the address right?"),
        // The other side will say the same of the same body.
        400 | 406 | 411 | 413 | 414 | 415 | 422 => {
            Some(Failure { delivered: 0, remedy: Remedy::GiveUp, why: format!("status {status}") })
        }
        _ => again(""),
    }
}
