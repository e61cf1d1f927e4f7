// SPDX-License-Identifier: Apache-2.0
//! Syslog to sockets of the tests' own.

use std::fs;
use std::io::{BufReader, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use lictor_api::alert::SinkState;
use lictor_api::event::Event;
use lictor_sinks::sinks::{Record, Sink};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{event, start, until_status};

const RETRY: &str = "retry: 20ms, retry_max: 50ms, send: [events]";

/// One octet-counted message.
fn frame(stream: &mut impl Read) -> Option<String> {
    let mut length = String::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        match byte[0] {
            b' ' => break,
            digit => length.push(char::from(digit)),
        }
    }
    let mut message = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut message).ok()?;
    Some(String::from_utf8(message).unwrap())
}

fn check_message(message: &str, id: usize) {
    // authpriv is 10, a denial a warning.
    let head =
        format!("<84>1 2026-01-02T03:04:05.678901Z box lictord {} file [lictor@32473 id=\"{id}\" ", std::process::id());
    assert!(message.starts_with(&head), "{message}");
    assert!(
        message.contains(&format!("] \u{feff}2026-01-02T03:04:05.678901234Z deny file read /tmp/{id} by /bin/cat[7]")),
        "{message}"
    );
}

#[test]
fn the_local_socket_gets_a_datagram_a_record_also_when_it_comes_late() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let sink = start(dir.path(), &format!("type: syslog, address: {}, {RETRY}", path.display()));
    sink.offer(&event(0));
    until_status(&sink, |status| status.state == SinkState::Retrying);
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    sink.offer(&event(1));
    let mut buffer = vec![0; 65536];
    for id in 0..2 {
        let length = socket.recv(&mut buffer).unwrap();
        check_message(std::str::from_utf8(&buffer[..length]).unwrap(), id);
    }
    // The other side is started anew.
    drop(socket);
    fs::remove_file(&path).unwrap();
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    sink.offer(&event(2));
    let length = socket.recv(&mut buffer).unwrap();
    check_message(std::str::from_utf8(&buffer[..length]).unwrap(), 2);
}

#[test]
fn udp_gets_a_datagram_a_record_and_no_more_than_fits() {
    let dir = tempfile::tempdir().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let sink =
        start(dir.path(), &format!("type: syslog, address: \"udp://{}\", {RETRY}", socket.local_addr().unwrap()));
    sink.offer(&event(0));
    let mut buffer = vec![0; 65536];
    let length = socket.recv(&mut buffer).unwrap();
    check_message(std::str::from_utf8(&buffer[..length]).unwrap(), 0);
    let long = format!(
        r#"{{"kind":"exec","process":{{"exe":"/x","cmdline":"{0}","args":["{0}"]}},"verdict":{{"action":"deny","tier":"rules","reason":"{0}","rule":"{0}"}},"exec":{{"path":"{0}"}}}}"#,
        "\u{fc}]\\\"".to_owned().replace('\\', "\\\\").replace('"', "\\\"").repeat(20_000)
    );
    sink.offer(&Record::Event(Arc::new(serde_json::from_str::<Event>(&long).unwrap())));
    let length = socket.recv(&mut buffer).unwrap();
    assert!(length <= 8192);
    std::str::from_utf8(&buffer[..length]).unwrap();
}

#[test]
fn tcp_counts_octets_and_a_new_connection_goes_on_where_the_old_one_ended() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sink =
        start(dir.path(), &format!("type: syslog, address: \"tcp://{}\", {RETRY}", listener.local_addr().unwrap()));
    let mut id = 0;
    for round in 0..3 {
        for number in 0..100 {
            sink.offer(&event(round * 100 + number));
        }
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        for _ in 0..100 {
            check_message(&frame(&mut reader).unwrap(), id);
            id += 1;
        }
        until_status(&sink, |status| status.sent == id as u64);
        // Here the server hangs up, and is there again for the next round.
    }
}

#[test]
fn a_server_that_is_away_gets_everything_when_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let text = format!("type: syslog, address: \"tcp://{address}\", queue: 500, {RETRY}");
    let mut sink = start(dir.path(), &text);
    for number in 0..1000 {
        sink.offer(&event(number));
        if number % 20 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    until_status(&sink, |status| status.state == SinkState::Retrying);
    sink.close(Duration::from_millis(50));
    assert_eq!(sink.status().dropped, 0);
    let listener = TcpListener::bind(address).unwrap();
    let _sink: Sink = start(dir.path(), &text);
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream);
    for id in 0..1000 {
        check_message(&frame(&mut reader).unwrap(), id);
    }
}

fn certificate() -> (String, ServerConfig) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], der).unwrap();
    (certificate.pem(), config)
}

#[test]
fn tls_is_spoken_with_whom_the_authorities_vouch_for() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ((pem, config), (other, _)) = (certificate(), certificate());
    let (right, wrong) = (dir.path().join("right.pem"), dir.path().join("wrong.pem"));
    fs::write(&right, pem).unwrap();
    fs::write(&wrong, other).unwrap();
    let config = Arc::new(config);
    let accept = |listener: &TcpListener| {
        let (stream, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        StreamOwned::<ServerConnection, TcpStream>::new(connection, stream)
    };
    let text = |ca: &std::path::Path| {
        format!("type: syslog, address: \"tls://{address}\", ca_file: {}, {RETRY}", ca.display())
    };
    let sink = start(&dir.path().join("a"), &text(&wrong));
    sink.offer(&event(0));
    let mut stranger = accept(&listener);
    assert!(frame(&mut stranger).is_none(), "nothing is sent to a stranger");
    let status = until_status(&sink, |status| status.last_error.is_some());
    assert!(status.last_error.unwrap().contains("certificate"));
    drop((sink, stranger));

    let listener = {
        drop(listener);
        TcpListener::bind(address).unwrap()
    };
    let sink = start(&dir.path().join("b"), &text(&right));
    sink.offer(&event(0));
    let mut reader = BufReader::new(accept(&listener));
    check_message(&frame(&mut reader).unwrap(), 0);
    sink.offer(&event(1));
    check_message(&frame(&mut reader).unwrap(), 1);
    until_status(&sink, |status| status.sent == 2);
}
