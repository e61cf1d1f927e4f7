// SPDX-License-Identifier: Apache-2.0
//! Text that says what it shows: nothing invisible, nothing that reorders, and a folded form for searching.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

#[expect(clippy::unwrap_used, reason = "a constant pattern, compiled by every test")]
static HIDDEN: LazyLock<Regex> = LazyLock::new(|| {
    // Controls, formats (zero-width, bidirectional, tags), separators, private and unassigned code points, fillers and
    // variation selectors: whatever a reader does not see, or sees elsewhere than it stands.
    Regex::new(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\u{034f}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{180b}-\u{180f}\u{2800}\u{3164}\u{fe00}-\u{fe0f}\u{ffa0}\u{e0100}-\u{e01ef}]").unwrap()
});

/// `text` with every hidden character written out: `\n`, `\x1b`, `\u{202e}`.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for found in HIDDEN.find_iter(text) {
        out.push_str(&text[copied..found.start()]);
        for character in found.as_str().chars() {
            // Writing to a String cannot fail.
            let _ = match character {
                '\n' => write!(out, "\\n"),
                '\t' => write!(out, "\\t"),
                '\r' => write!(out, "\\r"),
                c if c.is_ascii() => write!(out, "\\x{:02x}", c as u32),
                c => write!(out, "\\u{{{:x}}}", c as u32),
            };
        }
        copied = found.end();
    }
    out.push_str(&text[copied..]);
    out
}

/// `text` as somebody reads it who overlooks tricks: lower case, letters that look like Latin ones made Latin, hidden
/// characters gone, and every run of space and punctuation that joins words made one space.
pub(crate) fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut space = true;
    for character in text.chars() {
        // A tag character is an invisible copy of an ASCII one: whoever hides text so wants a model to read it.
        let character = match character {
            '\u{e0020}'..='\u{e007e}' => char::from_u32(character as u32 - 0xe0000).unwrap_or(' '),
            other => other,
        };
        let whitespace = character.is_whitespace();
        let hidden = match character {
            c if c.is_ascii() => c.is_ascii_control(),
            c => HIDDEN.is_match(c.encode_utf8(&mut [0; 4])),
        };
        if hidden && !whitespace {
            continue;
        }
        let plain = latin(character);
        if whitespace || matches!(plain, '_' | '-' | '+' | '.' | '/' | '\\' | ',' | ';' | '!' | '*' | '%') {
            if !space {
                out.push(' ');
            }
            space = true;
        } else {
            out.extend(plain.to_lowercase());
            space = false;
        }
    }
    out
}

/// The Latin letter that `character` looks like.
fn latin(character: char) -> char {
    match character {
        // Full-width forms.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(character as u32 - 0xfee0).unwrap_or(character),
        // Mathematical alphabets: 52 letters each, upper case first.
        '\u{1d400}'..='\u{1d6a3}' => {
            let at = (character as u32 - 0x1d400) % 52;
            char::from_u32(if at < 26 { 'A' as u32 + at } else { 'a' as u32 + at - 26 }).unwrap_or(character)
        }
        '\u{24b6}'..='\u{24cf}' => char::from_u32(character as u32 - 0x24b6 + 'A' as u32).unwrap_or(character),
        '\u{24d0}'..='\u{24e9}' => char::from_u32(character as u32 - 0x24d0 + 'a' as u32).unwrap_or(character),
        'а' | 'А' | 'α' | 'Α' | 'ɑ' => 'a',
        'В' | 'в' | 'Β' | 'β' => 'b',
        'с' | 'С' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'Е' | 'ε' | 'Ε' | 'ё' => 'e',
        'һ' | 'Н' | 'Η' => 'h',
        'і' | 'І' | 'ι' | 'Ι' | 'ı' | 'í' | 'ì' | 'ï' | 'î' => 'i',
        'ј' | 'Ј' => 'j',
        'к' | 'К' | 'κ' | 'Κ' => 'k',
        'ӏ' | 'Ӏ' => 'l',
        'м' | 'М' | 'Μ' => 'm',
        'п' | 'Ν' | 'η' => 'n',
        'о' | 'О' | 'ο' | 'Ο' | 'ö' | 'ó' | 'ò' | 'ô' => 'o',
        'р' | 'Р' | 'ρ' | 'Ρ' => 'p',
        'ԛ' => 'q',
        'г' => 'r',
        'ѕ' | 'Ѕ' => 's',
        'т' | 'Т' | 'τ' | 'Τ' => 't',
        'υ' | 'ц' | 'ü' | 'ú' | 'ù' | 'û' => 'u',
        'ѵ' | 'ν' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'Х' | 'χ' | 'Χ' => 'x',
        'у' | 'У' | 'γ' | 'Υ' => 'y',
        'ᴢ' | 'Ζ' => 'z',
        'á' | 'à' | 'â' | 'ä' | 'ã' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_hides_is_written_out() {
        for (text, expected) in [
            ("plain \u{fc} text 漢字", "plain \u{fc} text 漢字"),
            ("a\nb\tc\rd\u{1b}[1m\u{0}", "a\\nb\\tc\\rd\\x1b[1m\\x00"),
            ("a\u{200b}b\u{202e}c\u{feff}", "a\\u{200b}b\\u{202e}c\\u{feff}"),
            ("\u{e0041}\u{ad}\u{85}\u{2028}", "\\u{e0041}\\u{ad}\\u{85}\\u{2028}"),
            ("x\u{fe0f}\u{3164}", "x\\u{fe0f}\\u{3164}"),
        ] {
            assert_eq!(visible(text), expected);
        }
    }

    #[test]
    fn tricks_with_letters_are_undone() {
        for (text, expected) in [
            ("Ignore_previous-instructions.txt", "ignore previous instructions txt"),
            ("ign\u{200b}ore  ALL", "ignore all"),
            ("\u{430}ll\u{43e}w", "allow"),
            ("\u{ff41}\u{ff4c}\u{ff4c}\u{ff4f}\u{ff57}", "allow"),
            ("\u{1d400}\u{1d425}\u{1d425}\u{1d428}\u{1d430}", "allow"),
            ("\u{e0061}\u{e006c}\u{e006c}\u{e006f}\u{e0077}", "allow"),
        ] {
            assert_eq!(folded(text), expected);
        }
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text in any::<String>()) {
            prop_assert!(!HIDDEN.is_match(&visible(&text)));
        }
    }
}
