// SPDX-License-Identifier: Apache-2.0
//! From a place inside a condition to the place in the file, through YAML's ways to write a text.

use lictor_engine::policy::Position;
use lictor_engine::yaml::Node;

/// The place of the byte `offset` of the text that `node` holds. `file` is the whole file. Where the way of writing
/// does not tell (an alias), it is the start of the text.
pub(crate) fn inside(node: &Node, value: &str, offset: usize, file: &str) -> Position {
    let found = node.span.as_ref().and_then(|span| {
        let written = file.get(span.clone())?;
        let within = find(written, value, offset)?;
        Some(position(&node.at, file, span.start + within))
    });
    found.unwrap_or_else(|| node.at.clone())
}

/// Line and column of a byte of the file; columns count characters.
fn position(start: &Position, file: &str, byte: usize) -> Position {
    let before = file.get(..byte).unwrap_or_default();
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let clamp = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position { file: start.file.clone(), line: clamp(line), column: clamp(column) }
}

/// The byte of `written` that became the byte `offset` of `value`.
///
/// Folding and indentation change white space only, so the other characters stand in both in the same order: the one
/// at `offset` is found by walking along them. Quotes add escapes, each of which is one character.
fn find(written: &str, value: &str, offset: usize) -> Option<usize> {
    let (style, body) = match written.bytes().next()? {
        quote @ (b'"' | b'\'') => (quote, 1),
        // A block's text begins on the line after its header.
        block @ (b'|' | b'>') => (block, written.find('\n')? + 1),
        _ => (b' ', 0),
    };
    let offset = offset.min(value.len());
    let target = value.get(offset..)?.chars().position(|c| !c.is_whitespace()).and_then(|skipped| {
        // White space has no place of its own: the next character stands for it.
        value.get(offset..)?.char_indices().nth(skipped).map(|(at, _)| offset + at)
    });
    let Some(target) = target else {
        return Some(body + written.get(body..)?.trim_end_matches(['"', '\'', '\n', ' ']).len());
    };
    let mut source = written.get(body..)?.char_indices().map(|(at, c)| (body + at, c)).peekable();
    for (at, c) in value.char_indices() {
        if c.is_whitespace() {
            continue;
        }
        let place = loop {
            let (place, written) = source.next()?;
            match (style, written) {
                (b'\'', '\'') if c == '\'' => {
                    source.next()?;
                    break place;
                }
                (b'"', '\\') => match escape(&mut source)? {
                    Some(meant) if meant == c => break place,
                    _ => {}
                },
                (_, written) if written == c => break place,
                (_, written) if written.is_whitespace() => {}
                _ => return None,
            }
        };
        if at == target {
            return Some(place);
        }
    }
    None
}

/// The character that an escape in double quotes means; none for an escaped end of line.
fn escape(source: &mut impl Iterator<Item = (usize, char)>) -> Option<Option<char>> {
    let (_, kind) = source.next()?;
    Some(match kind {
        'x' => hexadecimal(source, 2)?,
        'u' => hexadecimal(source, 4)?,
        'U' => hexadecimal(source, 8)?,
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        '\n' => None,
        other => Some(other),
    })
}

fn hexadecimal(source: &mut impl Iterator<Item = (usize, char)>, digits: usize) -> Option<Option<char>> {
    let mut value = 0;
    for _ in 0..digits {
        value = value * 16 + source.next()?.1.to_digit(16)?;
    }
    Some(char::from_u32(value))
}
