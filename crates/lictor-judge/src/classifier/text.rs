// SPDX-License-Identifier: Apache-2.0
//! From the text of an event to text that looks the same whoever wrote it: look-alike characters become what they look
//! like, invisible ones go (and are counted), hosts, numbers and blobs become their kind.

use unicode_security::skeleton;

/// Where clouds hand out credentials.
const METADATA: &str = "169.254.169.254";

/// What was found while folding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Oddities {
    /// Zero-width, bidirectional and other invisible characters.
    pub invisible: u32,
    /// Characters that only look like ASCII.
    pub lookalike: u32,
    /// Bytes that are not valid UTF-8, and control characters.
    pub binary: u32,
    /// Other characters outside ASCII.
    pub foreign: u32,
}

/// The text of an argument as events carry it (`lictor_api::bytes`), folded to what a reader would take it for.
pub(crate) fn fold(escaped: &str, odd: &mut Oddities) -> String {
    let printable = |byte: u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t' | b'\r');
    if escaped.bytes().all(printable) && !escaped.contains("\\x") {
        return escaped.to_owned();
    }
    let bytes = lictor_api::bytes::unescape(escaped);
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' | '\t' | '\r' | ' '..='~' => out.push(c),
                c if c.is_ascii() => {
                    odd.binary += 1;
                    out.push(' ');
                }
                '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}' => odd.invisible += 1,
                c if c.is_whitespace() => {
                    odd.foreign += 1;
                    out.push(' ');
                }
                c => {
                    let mut buffer = [0; 4];
                    let looks: String = skeleton(c.encode_utf8(&mut buffer)).collect();
                    if !looks.is_empty() && looks.is_ascii() {
                        odd.lookalike += 1;
                        out.push_str(&looks);
                    } else {
                        odd.foreign += 1;
                        out.push(c);
                    }
                }
            }
        }
        for _ in chunk.invalid() {
            odd.binary += 1;
            out.push('\u{fffd}');
        }
    }
    out
}

/// `word` with what differs from one machine or run to the next replaced by its kind: `IP4`, `HOST`, `HEX`, `B64`, and
/// `0` for every digit.
pub(crate) fn normalise(word: &str) -> String {
    zero_digits(&generalise(word))
}

/// `0` for every digit that is not part of a kind's name.
fn zero_digits(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, part) in text.split("IP4").enumerate() {
        if at > 0 {
            out.push_str("IP4");
        }
        for (at, part) in part.split("B64").enumerate() {
            if at > 0 {
                out.push_str("B64");
            }
            out.extend(part.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }));
        }
    }
    out
}

/// `word` with hosts, addresses and blobs replaced by their kind.
pub(crate) fn generalise(word: &str) -> String {
    // The first line of a script names a shell, and says nothing by it.
    if word.contains("#!/") {
        let mut rest = word;
        let mut plain = String::with_capacity(word.len());
        while let Some(at) = rest.find("#!/") {
            plain.push_str(&rest[..at]);
            plain.push_str("SHEBANG");
            let after = &rest[at..];
            // Where text is quoted, the line's end is written `\\n`.
            let end = after.find(|c: char| c.is_whitespace() || c == '\\').unwrap_or(after.len());
            rest = &after[end..];
        }
        plain.push_str(rest);
        return generalise(&plain);
    }
    let mut out = String::with_capacity(word.len());
    let mut token = String::new();
    for c in word.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '+' | '=' | '_' | '-' | '%' | '@') {
            token.push(c);
        } else {
            push_token(&mut out, &token);
            token.clear();
            out.push(c);
        }
    }
    push_token(&mut out, &token);
    out
}

/// Whether `word` is something random: long, in base64 or hexadecimal digits.
pub(crate) fn is_blob(word: &str) -> bool {
    let trimmed = word.trim_end_matches('=');
    if trimmed.len() < 24 {
        return false;
    }
    let digits = trimmed.bytes().filter(u8::is_ascii_digit).count();
    let upper = trimmed.bytes().filter(u8::is_ascii_uppercase).count();
    let lower = trimmed.bytes().filter(u8::is_ascii_lowercase).count();
    digits + upper + lower + 2 >= trimmed.len() && upper >= 3 && lower >= 3 && digits >= 1
}

fn is_hex(word: &str) -> bool {
    word.len() >= 12
        && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        && word.bytes().any(|byte| byte.is_ascii_digit())
}

fn push_token(out: &mut String, token: &str) {
    if token.is_empty() {
        return;
    }
    let core = token.trim_matches(|c| matches!(c, '.' | ':' | '=' | '-' | '+' | '@' | '_' | '%'));
    if core.len() < 3 {
        out.push_str(token);
        return;
    }
    let Some(start) = token.find(core) else {
        out.push_str(token);
        return;
    };
    out.push_str(&token[..start]);
    // `user@host:port` and `key=value` are parts.
    for part in core.split_inclusive(['@', '=', ':']) {
        let (body, separator) = match part.chars().last() {
            Some(c @ ('@' | '=' | ':')) => (&part[..part.len() - 1], Some(c)),
            _ => (part, None),
        };
        push_part(out, body);
        out.extend(separator);
    }
    out.push_str(&token[start + core.len()..]);
}

fn push_part(out: &mut String, part: &str) {
    if part == METADATA {
        out.push_str("METADATA");
    } else if is_ip4(part) {
        out.push_str(if part.starts_with("127.") || part == "0.0.0.0" { "LOCAL" } else { "IP4" });
    } else if part.eq_ignore_ascii_case("localhost") {
        out.push_str("LOCAL");
    } else if is_host(part) {
        out.push_str("HOST");
    } else if is_hex(part) {
        out.push_str("HEX");
    } else if is_blob(part) {
        out.push_str("B64");
    } else {
        out.push_str(part);
    }
}

fn is_ip4(text: &str) -> bool {
    text.split('.').count() == 4 && text.parse::<std::net::Ipv4Addr>().is_ok()
}

fn is_host(text: &str) -> bool {
    const SUFFIXES: [&str; 13] = [
        ".com",
        ".org",
        ".net",
        ".io",
        ".dev",
        ".local",
        ".edu",
        ".gov",
        ".example",
        ".test",
        ".invalid",
        ".internal",
        ".co",
    ];
    SUFFIXES.iter().any(|suffix| text.ends_with(suffix))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

/// Bits for each character, 0 to 8.
pub(crate) fn entropy(text: &str) -> f32 {
    if text.is_empty() {
        return 0.0;
    }
    let mut counts = [0_u32; 256];
    text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let total = text.len() as f32;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| *count as f32 / total)
        .map(|share| -share * share.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_from_run_to_run_becomes_its_kind() {
        for (word, normal) in [
            ("/dev/tcp/10.0.0.1/4444", "/dev/tcp/IP4/0000"),
            ("http://127.0.0.1:8080/a", "http://LOCAL:0000/a"),
            ("user@mirror.example.com:22", "user@HOST:00"),
            ("deadbeefdeadbeef0123", "HEX"),
            ("IyEvYmluL2Rhc2gKZWNobyAiaHR0cHM6Ly93d3c=", "B64="),
            ("http://169.254.169.254/latest", "http://METADATA/latest"),
            ("--max-depth=2", "--max-depth=0"),
            ("-", "-"),
            ("...", "..."),
        ] {
            assert_eq!(normalise(word), normal);
        }
    }

    #[test]
    fn hidden_and_look_alike_characters_are_seen_through() {
        let mut odd = Oddities::default();
        assert_eq!(fold("b\u{430}s\u{200b}h \u{202e}-i", &mut odd), "bash -i");
        assert_eq!((odd.lookalike, odd.invisible), (1, 2));
        assert_eq!(fold("a\\x00b\\xffc", &mut odd), "a b\u{fffd}c");
        assert_eq!(odd.binary, 2);
    }
}
