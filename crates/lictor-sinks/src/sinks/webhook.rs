// SPDX-License-Identifier: Apache-2.0
//! POST to an address of the user's: `{"version":1,...,"records":[...]}`, a message for Slack, or OCSF. With a secret, the
//! body is signed, so that the receiver knows who wrote it, and when.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use lictor_api::settings::llm::KeySource;
use lictor_api::settings::sinks::{Format, HttpUrl, UrlSource};
use lictor_judge::llm::outbound;
use reqwest::header::HeaderName;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::http::{Http, address};
use super::record::Record;
use super::transport::{Delivered, Failure, Remedy, SetupError, Transport};
use crate::format::{Host, ocsf, slack, value, visible};

const SIGNATURE: HeaderName = HeaderName::from_static("x-lictor-signature");
const DELIVERY: HeaderName = HeaderName::from_static("x-lictor-delivery");

pub(crate) struct Webhook {
    http: Http,
    url: HttpUrl,
    format: Format,
    secret: Option<SecretString>,
    host: Arc<Host>,
}

impl Webhook {
    pub(crate) fn new(
        url: &UrlSource,
        format: Format,
        secret: Option<&KeySource>,
        token: Option<&KeySource>,
        ca_file: Option<&Path>,
        timeout: Duration,
        host: Arc<Host>,
    ) -> Result<Webhook, SetupError> {
        let url = address(url)?;
        let http = Http::new(&url, token, ca_file, timeout)?;
        let secret = secret.map(outbound::load_key).transpose()?;
        Ok(Webhook { http, url, format, secret, host })
    }

    fn body(&self, records: &[Record]) -> serde_json::Result<String> {
        let body = match (self.format, records) {
            (Format::Slack, [record, ..]) => slack::message(record, &self.host),
            (Format::Ocsf, records) => {
                Value::Array(records.iter().map(|record| ocsf::of(record, &self.host)).collect())
            }
            (_, records) => {
                let records = records.iter().map(value).collect::<serde_json::Result<Vec<_>>>()?;
                json!({ "version": 1, "host": self.host.name, "records": records })
            }
        };
        serde_json::to_string(&body).map(visible)
    }
}

impl Transport for Webhook {
    fn deliver(&mut self, records: &[Record]) -> Result<Delivered, Failure> {
        let body = self.body(records).map_err(|error| Failure {
            delivered: 0,
            remedy: Remedy::GiveUp,
            why: format!("a record cannot be written as JSON: {error}"),
        })?;
        // The same for a repetition, so that the receiver can pass over what it has already.
        let mut headers = vec![(DELIVERY, hex(&Sha256::digest(body.as_bytes())).split_off(32))];
        if let Some(secret) = &self.secret {
            let signed = signature(secret.expose_secret().as_bytes(), Timestamp::now().as_second(), &body);
            headers.push((SIGNATURE, signed.ok_or_else(|| Failure::again("the secret is no key"))?));
        }
        self.http.post(self.url.url(), "application/json", &headers, body.into_bytes())?;
        Ok(Delivered::default())
    }

    fn linger(&self) -> Duration {
        if self.format == Format::Slack { Duration::ZERO } else { Duration::from_millis(250) }
    }
}

/// `t=SECONDS,v1=HEX`: the HMAC-SHA-256 of `SECONDS.BODY`.
fn signature(secret: &[u8], seconds: i64, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body.as_bytes());
    Some(format!("t={seconds},v1={}", hex(&mac.finalize().into_bytes())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_hmac_of_time_and_body() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 's3cret'
        let signed = signature(b"s3cret", 1_700_000_000, r#"{"a":1}"#).unwrap();
        assert_eq!(signed, "t=1700000000,v1=1698a50bc74d1ff1db85c4e0a5297c2ad9fdba245d5737cdb789e4cc6e098940");
    }
}
