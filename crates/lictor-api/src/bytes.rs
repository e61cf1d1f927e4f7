// SPDX-License-Identifier: Apache-2.0
//! Linux names are bytes, JSON strings are Unicode: one reversible rule between the two.
//!
//! A byte string is written as it is, but
//! - a byte that is not part of valid UTF-8 is written `\xNN`, two lower-case hexadecimal digits;
//! - a backslash that would read as such an escape (followed by `x` and two lower-case hexadecimal
//!   digits) is written `\x5c`.
//!
//! So ordinary text, backslashes included, stays what it was, and [`unescape`] gives back every byte.

use std::fmt::Write as _;

/// The text form of `bytes`.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let mut copied = 0;
        for (at, _) in valid.match_indices('\\') {
            if escaped_byte(&valid.as_bytes()[at..]).is_some() {
                out.push_str(&valid[copied..at]);
                out.push_str("\\x5c");
                copied = at + 1;
            }
        }
        out.push_str(&valid[copied..]);
        for byte in chunk.invalid() {
            push_escape(&mut out, *byte);
        }
    }
    out
}

/// The bytes whose text form is `text`. Every string has an answer; what is no escape stands for itself.
#[must_use]
pub fn unescape(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some((&first, tail)) = rest.split_first() {
        if let Some(byte) = escaped_byte(rest) {
            out.push(byte);
            rest = &rest[4..];
        } else {
            out.push(first);
            rest = tail;
        }
    }
    out
}

/// `text` fit for a terminal or a one-line log: control characters and those that reorder or hide
/// text are written as escapes, so that a file name cannot forge a line or a colour.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_ascii_control() => push_escape(&mut out, c as u8),
            c if is_deceptive(c) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// C1 controls, zero-width and bidirectional formatting characters, line and paragraph separators.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn push_escape(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

/// The byte written at the start of `text`, when `text` starts with an escape.
fn escaped_byte(text: &[u8]) -> Option<u8> {
    let [b'\\', b'x', high, low, ..] = *text else { return None };
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_escaped_only_where_it_must_be() {
        for (bytes, text) in [
            (&b"/usr/bin/curl"[..], "/usr/bin/curl"),
            (b"a\\.b", "a\\.b"),
            ("/tmp/gr\u{fc}n".as_bytes(), "/tmp/gr\u{fc}n"),
            (b"/tmp/\xff", "/tmp/\\xff"),
            (b"\\x41", "\\x5cx41"),
            (b"\\xFF", "\\xFF"),
            (b"\\\xff", "\\\\xff"),
            (b"\\x4\xff", "\\x4\\xff"),
            (b"a\nb", "a\nb"),
            (b"\xe2\x82", "\\xe2\\x82"),
        ] {
            assert_eq!(escape(bytes), text);
            assert_eq!(unescape(text), bytes);
        }
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        assert_eq!(printable("a\n\x1b[31mb\u{202e}c\u{fc}"), "a\\n\\x1b[31mb\\u{202e}c\u{fc}");
    }

    proptest! {
        #[test]
        fn every_byte_string_comes_back(bytes in proptest::collection::vec(
            prop_oneof![Just(b'\\'), Just(b'x'), Just(b'5'), Just(b'c'), any::<u8>()], 0..64)) {
            prop_assert_eq!(unescape(&escape(&bytes)), bytes);
        }
    }
}
