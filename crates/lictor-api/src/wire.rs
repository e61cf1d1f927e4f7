// SPDX-License-Identifier: Apache-2.0
//! Framing of the control protocol: one JSON object a line.

use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, BufRead, Read as _, Write};
use thiserror::Error;

/// The longest line taken. A policy may have 16 MiB and JSON escaping can double it; the rest is room.
pub const MAX_LINE: u64 = 48 << 20;

/// Why a message could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the message is longer than {MAX_LINE} bytes")]
    TooLong,
    #[error("the connection ended in the middle of a message")]
    Torn,
    #[error("the message is not understood: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// The next message, or `None` when the other side has closed the connection.
pub fn read<T: DeserializeOwned>(reader: &mut impl BufRead) -> Result<Option<T>, ReadError> {
    let mut line = Vec::new();
    reader.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(if line.len() as u64 > MAX_LINE { ReadError::TooLong } else { ReadError::Torn });
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

/// Sends one message, whole.
pub fn write(writer: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::other)?;
    line.push(b'\n');
    writer.write_all(&line)?;
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_one_by_one() {
        let mut bytes = Vec::new();
        write(&mut bytes, &"a\nb").unwrap();
        write(&mut bytes, &"c").unwrap();
        let mut reader = io::Cursor::new(bytes);
        assert_eq!(read::<String>(&mut reader).unwrap().as_deref(), Some("a\nb"));
        assert_eq!(read::<String>(&mut reader).unwrap().as_deref(), Some("c"));
        assert_eq!(read::<String>(&mut reader).unwrap(), None);
    }

    #[test]
    fn a_torn_an_endless_and_a_foreign_message_are_told_apart() {
        let read = |bytes: &[u8]| read::<String>(&mut io::BufReader::new(bytes)).unwrap_err();
        assert!(matches!(read(b"\"a\""), ReadError::Torn));
        assert!(matches!(read(b"{}\n"), ReadError::Malformed(_)));
        let endless = io::repeat(b'x');
        assert!(matches!(super::read::<String>(&mut io::BufReader::new(endless)).unwrap_err(), ReadError::TooLong));
    }
}
