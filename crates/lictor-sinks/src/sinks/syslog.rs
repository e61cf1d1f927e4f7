// SPDX-License-Identifier: Apache-2.0
//! Syslog by RFC 5424: to the local socket, by UDP (RFC 5426), by TCP with octet counting (RFC 6587), by TLS (RFC 5425).
//!
//! The protocol acknowledges nothing. A connection that the other side has closed is noticed before the next batch; what
//! was on its way when it broke is not.

use std::io::{self, Read as _, Write};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lictor_api::event::Severity;
use lictor_api::settings::sinks::{Format, SyslogAddress};
use lictor_judge::llm::outbound;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::record::Record;
use super::transport::{Delivered, Failure, SetupError, Transport};
use crate::format::{self, Host};

/// A datagram longer than this is lost on many ways.
const LONGEST_DATAGRAM: usize = 8 << 10;
/// Receivers of streams take at least 8 KiB; usual ones much more.
const LONGEST_FRAME: usize = 64 << 10;
/// RFC 5612's number is for documents; there is none of ours, so the name stands alone with it.
const SD_ID: &str = "lictor@32473";

pub(crate) struct Syslog {
    address: SyslogAddress,
    format: Format,
    facility: u8,
    timeout: Duration,
    tls: Option<Arc<ClientConfig>>,
    host: Arc<Host>,
    connection: Option<Connection>,
}

enum Connection {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Syslog {
    pub(crate) fn new(
        address: &SyslogAddress,
        format: Format,
        facility: u8,
        ca_file: Option<&Path>,
        timeout: Duration,
        host: Arc<Host>,
    ) -> Result<Syslog, SetupError> {
        let tls = match address {
            SyslogAddress::Tls { .. } => Some(Arc::new(outbound::trusting(ca_file, true)?)),
            _ => None,
        };
        Ok(Syslog { address: address.clone(), format, facility, timeout, tls, host, connection: None })
    }

    fn connect(&self) -> io::Result<Connection> {
        Ok(match &self.address {
            SyslogAddress::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(self.timeout))?;
                Connection::Unix(socket)
            }
            SyslogAddress::Udp { host, port } => {
                let mut last = io::Error::other("the name has no address");
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                    match UdpSocket::bind(any).and_then(|socket| socket.connect(address).map(|()| socket)) {
                        Ok(socket) => return Ok(Connection::Udp(socket)),
                        Err(error) => last = error,
                    }
                }
                return Err(last);
            }
            SyslogAddress::Tcp { host, port } => Connection::Tcp(self.stream(host, *port)?),
            SyslogAddress::Tls { host, port } => {
                let stream = self.stream(host, *port)?;
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                let config = self.tls.as_ref().ok_or_else(|| io::Error::other("there is no TLS"))?;
                let client = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(client, stream);
                // The handshake now, so that what is wrong with it is said before anything is sent.
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock)?;
                }
                Connection::Tls(Box::new(stream))
            }
        })
    }

    fn stream(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut last = io::Error::other("the name has no address");
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, self.timeout) {
                Ok(stream) => {
                    stream.set_write_timeout(Some(self.timeout))?;
                    stream.set_read_timeout(Some(self.timeout))?;
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn send(&mut self, records: &[Record]) -> Result<(), (usize, io::Error)> {
        let mut connection = match self.connection.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => self.connect().map_err(|error| (0, error))?,
        };
        let longest = if connection.is_stream() { LONGEST_FRAME } else { LONGEST_DATAGRAM };
        for (at, record) in records.iter().enumerate() {
            let message = self.message(record, longest);
            connection.send(message.as_bytes()).map_err(|error| (at, error))?;
        }
        connection.flush().map_err(|error| (0, error))?;
        self.connection = Some(connection);
        Ok(())
    }

    fn message(&self, record: &Record, longest: usize) -> String {
        let (time, kind) = match record {
            Record::Event(event) => (event.time.as_str(), event.kind.as_str()),
            Record::Alert(alert) => (alert.last_seen.as_str(), "alert"),
        };
        let priority = u32::from(self.facility) * 8 + level(record);
        let text = format::line(self.format, record, &self.host).unwrap_or_else(|error| error.to_string());
        let time = timestamp(time);
        let (host, pid, data) = (header(&self.host.name, 255), std::process::id(), structured(record));
        // The mark says that the text is UTF-8.
        let mut out = format!("<{priority}>1 {time} {host} lictord {pid} {kind} {data} \u{feff}{text}");
        if out.len() > longest {
            let mut end = longest - 3;
            while !out.is_char_boundary(end) {
                end -= 1;
            }
            out.truncate(end);
            out.push_str("...");
        }
        out
    }
}

impl Connection {
    fn is_stream(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Tls(_))
    }

    /// Whether the other side has not hung up.
    fn is_open(&self) -> bool {
        let stream = match self {
            Self::Unix(_) | Self::Udp(_) => return true,
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        };
        let mut byte = [0];
        if stream.set_nonblocking(true).is_err() {
            return false;
        }
        let waiting = stream.peek(&mut byte);
        let open = match waiting {
            Ok(0) => false,
            // A syslog server has nothing to say; in TLS it may be a new ticket.
            Ok(_) => matches!(self, Self::Tls(_)) || (&*stream).read(&mut byte).is_ok_and(|count| count > 0),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        open && stream.set_nonblocking(false).is_ok()
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(socket) => socket.send(message).map(drop),
            Self::Udp(socket) => socket.send(message).map(drop),
            Self::Tcp(stream) => frame(stream, message),
            Self::Tls(stream) => frame(stream, message),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Unix(_) | Self::Udp(_) => Ok(()),
            Self::Tcp(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// The message with its length in front, in one piece.
fn frame(stream: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let mut framed = format!("{} ", message.len()).into_bytes();
    framed.extend_from_slice(message);
    stream.write_all(&framed)
}

impl Transport for Syslog {
    fn deliver(&mut self, records: &[Record]) -> Result<Delivered, Failure> {
        let to = match &self.address {
            SyslogAddress::Unix(path) => path.display().to_string(),
            SyslogAddress::Udp { host, port }
            | SyslogAddress::Tcp { host, port }
            | SyslogAddress::Tls { host, port } => {
                format!("{host}:{port}")
            }
        };
        self.send(records).map(|()| Delivered::default()).map_err(|(delivered, error)| {
            self.connection = None;
            Failure { delivered, ..Failure::again(format!("{to}: {error}")) }
        })
    }

    fn linger(&self) -> Duration {
        Duration::from_millis(50)
    }
}

fn level(record: &Record) -> u32 {
    match format::severity(record) {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Info => 6,
    }
}

/// RFC 5424 knows six digits of a second.
fn timestamp(time: &str) -> String {
    time.parse::<jiff::Timestamp>().map_or_else(|_| "-".to_owned(), |time| format!("{time:.6}"))
}

/// A header field: printable ASCII without spaces.
fn header(text: &str, longest: usize) -> String {
    let text: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

fn structured(record: &Record) -> String {
    let mut out = format!("[{SD_ID}");
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            out.push_str(&format!(" {name}=\"{}\"", escape(value)));
        }
    };
    match record {
        Record::Event(event) => {
            let verdict = event.verdict.as_ref();
            put("id", Some(&event.id));
            put("op", Some(&event.operation()));
            put("action", verdict.map(|verdict| verdict.action.as_str()));
            put("tier", verdict.map(|verdict| verdict.tier.as_str()));
            put("rule", verdict.and_then(|verdict| verdict.rule.as_deref()));
            put("session", event.session.as_deref());
            put("agent", event.agent.as_deref());
            put("pid", event.process.pid.map(|pid| pid.to_string()).as_deref());
            put("exe", event.process.exe.as_deref());
            put("object", Some(&event.object()));
        }
        Record::Alert(alert) => {
            put("id", Some(&alert.id));
            put("severity", Some(alert.severity.as_str()));
            put("state", Some(alert.state.as_str()));
            put("count", Some(&alert.count.to_string()));
            put("source", Some(alert.source.as_str()));
            put("rule", alert.rule.as_deref());
            put("session", alert.session.as_deref());
            put("agent", alert.agent.as_deref());
            put("technique", Some(&alert.techniques.join(",")));
        }
    }
    out.push(']');
    out
}

/// A parameter's value: `"`, `\` and `]` have a backslash; what could deceive a reader is written out before.
fn escape(value: &str) -> String {
    let mut short = lictor_api::bytes::printable(value);
    if short.len() > 1024 {
        let mut end = 1024;
        while !short.is_char_boundary(end) {
            end -= 1;
        }
        short.truncate(end);
    }
    short.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_end_its_parameter_or_its_element() {
        assert_eq!(escape("a\"] x=\"1\n\\"), "a\\\"\\] x=\\\"1\\\\n\\\\");
        assert_eq!(header("h \u{fc}\nx", 255), "hx");
        assert_eq!(header("\n", 255), "-");
        assert_eq!(timestamp("2026-01-02T03:04:05.678901234Z"), "2026-01-02T03:04:05.678901Z");
        assert_eq!(timestamp("yesterday"), "-");
    }
}
