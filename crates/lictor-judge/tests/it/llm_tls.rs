// SPDX-License-Identifier: Apache-2.0
//! Encryption: nothing is sent to who cannot prove that it is the provider.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lictor_judge::{Failure, Outcome};
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::llm_server::{Act, Connection, Server, ask, deny, judge};

fn certificate(name: &str) -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap()
}

fn tls_server(certificate: &CertifiedKey<KeyPair>, acts: Vec<Act>) -> Server {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    Server::start_with(acts, move |stream| {
        let connection = ServerConnection::new(config.clone()).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        // A client that does not trust us ends it here.
        stream.conn.complete_io(&mut stream.sock).ok()?;
        Some(Box::new(stream) as Box<dyn Connection>)
    })
}

fn authorities(certificate: &CertifiedKey<KeyPair>) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(certificate.cert.pem().as_bytes()).unwrap();
    file
}

#[test]
fn a_trusted_server_is_asked() {
    let own = certificate("localhost");
    let server = tls_server(&own, vec![deny()]);
    let trusted = authorities(&own);
    let base = format!("https://localhost:{}", server.address.port());
    let judge = judge(&base, &[("ca_file", &trusted.path().display().to_string())]);
    assert_eq!(ask(&judge, &["a"]).unwrap().outcome, Outcome::Deny);
    assert_eq!(server.count(), 1);
}

#[test]
fn an_untrusted_server_gets_nothing() {
    let own = certificate("localhost");
    let other = authorities(&certificate("localhost"));
    let wrong_name = authorities(&own);
    for (host, trusted) in [("localhost", Some(&other)), ("127.0.0.1", Some(&wrong_name)), ("localhost", None)] {
        let server = tls_server(&own, vec![deny()]);
        let base = format!("https://{host}:{}", server.address.port());
        let path = trusted.map(|file| file.path().display().to_string());
        let more: Vec<(&str, &str)> = path.iter().map(|path| ("ca_file", path.as_str())).collect();
        let judge = match lictor_judge::llm::LlmJudge::new(&crate::llm_server::settings(&base, &more), None) {
            Ok(judge) => judge,
            // A host without any authorities has its own message.
            Err(error) => {
                assert!(trusted.is_none() && error.to_string().contains("ca-certificates"), "{error}");
                continue;
            }
        };
        let failure = ask(&judge, &["a"]).unwrap_err();
        assert!(matches!(&failure, Failure::Unavailable(why) if why.contains("no trusted connection")), "{failure}");
        assert_eq!((server.count(), judge.snapshot().no_tls, judge.snapshot().requests), (0, 1, 1), "{host}");
    }
}

#[test]
fn a_server_that_speaks_no_tls_gets_nothing() {
    let own = certificate("localhost");
    let trusted = authorities(&own);
    let server = Server::start_with(vec![deny()], |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(100));
        None
    });
    let base = format!("https://localhost:{}", server.address.port());
    let judge = judge(&base, &[("ca_file", &trusted.path().display().to_string())]);
    let failure = ask(&judge, &["a"]).unwrap_err();
    assert!(matches!(&failure, Failure::Unavailable(why) if why.contains("no trusted connection")), "{failure}");
}

#[test]
fn a_handshake_that_never_ends_is_given_up() {
    let own = certificate("localhost");
    let trusted = authorities(&own);
    let server = Server::start_with(vec![deny()], |stream: TcpStream| {
        std::thread::sleep(Duration::from_secs(20));
        drop(stream);
        None
    });
    let base = format!("https://localhost:{}", server.address.port());
    let judge = judge(&base, &[("ca_file", &trusted.path().display().to_string()), ("connect_timeout", "150ms")]);
    let start = Instant::now();
    let failure = ask(&judge, &["a"]).unwrap_err();
    assert!(matches!(&failure, Failure::Unavailable(why) if why.contains("took too long")), "{failure}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(judge.snapshot().slow, 2);
}

#[test]
fn authorities_that_are_none_are_an_error() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"not a certificate").unwrap();
    for path in [file.path().display().to_string(), "/nonexistent".to_owned()] {
        let settings = crate::llm_server::settings("https://localhost:1", &[("ca_file", &path)]);
        let error = lictor_judge::llm::LlmJudge::new(&settings, None).unwrap_err().to_string();
        assert!(error.contains(&path), "{error}");
    }
}
