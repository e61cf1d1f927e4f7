// SPDX-License-Identifier: Apache-2.0
//! Text to a syntax tree, with the `cel` crate's parser held to our limits.

use cel::common::ast::{EntryExpr, Expr, IdedExpr, SourceInfo};
use cel::parser::Parser;

use crate::contain::contain;

use super::check::{MAX_CONDITION, MAX_DEPTH, Mistake};

/// The parser descends once for each operator that stands in front of another, whatever limit it is given, so that
/// the longest condition can take it this deep.
const STACK: usize = 1 << 30;

/// Runs what parses conditions on a stack that no condition can exhaust. Pages that are not reached cost nothing.
///
/// # Errors
/// When there can be no such thread.
pub(crate) fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("rules".to_owned()).stack_size(STACK).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| std::io::Error::other("the checker broke off, which is a defect of Lictor"))
    })
}

/// The tree of a condition that is no deeper than [`MAX_DEPTH`], and the places of its nodes.
pub(crate) fn parse(source: &str) -> Result<(IdedExpr, SourceInfo), Vec<Mistake>> {
    let mistake = |offset, message: String| vec![Mistake { offset, message }];
    if source.len() > MAX_CONDITION {
        let message = format!("the condition has {} bytes, and at most {MAX_CONDITION} are allowed", source.len());
        return Err(mistake(0, message));
    }
    if source.trim().is_empty() {
        return Err(mistake(0, "the condition is empty: write `true` to match every event of the kinds".to_owned()));
    }
    if let Some(at) = source.find('\0') {
        return Err(mistake(at, "a NUL byte cannot be part of a condition".to_owned()));
    }
    let depth = u16::try_from(MAX_DEPTH).unwrap_or(u16::MAX);
    let parser = Parser::new().max_recursion_depth(depth).error_recovery_limit(1);
    let parsed = contain(|| parser.parse_with_source_info(source));
    match parsed {
        Ok(Ok((tree, _))) if depth_of(&tree) > MAX_DEPTH => Err(mistake(0, too_deep())),
        Ok(Ok(parsed)) => Ok(parsed),
        Ok(Err(errors)) => {
            // What follows the first error is usually the parser's confusion about it.
            let Some(first) = errors.errors.first() else { return Err(mistake(0, "it cannot be read".to_owned())) };
            Err(mistake(offset_of(source, first.pos), message(&first.msg)))
        }
        Err(_) => Err(mistake(0, "the parser broke off here: say it in another way".to_owned())),
    }
}

fn too_deep() -> String {
    format!("it is nested more than {MAX_DEPTH} deep: split the rule")
}

/// How many nodes stand in each other; without recursion, as the depth is what is in doubt.
fn depth_of(tree: &IdedExpr) -> usize {
    let mut deepest = 0;
    let mut open = vec![(tree, 1)];
    while let Some((node, depth)) = open.pop() {
        deepest = deepest.max(depth);
        let mut push = |child| open.push((child, depth + 1));
        match &node.expr {
            Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(push),
            Expr::Select(select) => push(&select.operand),
            Expr::List(list) => list.elements.iter().for_each(push),
            Expr::Comprehension(code) => {
                [&code.iter_range, &code.accu_init, &code.loop_cond, &code.loop_step, &code.result]
                    .into_iter()
                    .for_each(push);
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        push(&entry.key);
                        push(&entry.value);
                    }
                }
            }
            Expr::Struct(structure) => {
                for entry in &structure.entries {
                    if let EntryExpr::StructField(entry) = &entry.expr {
                        push(&entry.value);
                    }
                }
            }
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        }
    }
    deepest
}

/// The parser's lines and columns, which count characters from one, as a byte of the text.
fn offset_of(source: &str, (line, column): (isize, isize)) -> usize {
    let (Ok(line), Ok(column)) = (usize::try_from(line - 1), usize::try_from(column - 1)) else { return 0 };
    let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = source.get(start..).unwrap_or_default();
    start + rest.char_indices().nth(column).map_or(rest.trim_end().len(), |(at, _)| at)
}

/// The parser's messages name its own rules and types; people get the part that is about their text.
fn message(raw: &str) -> String {
    let text = raw.strip_prefix("Syntax error: ").unwrap_or(raw);
    if text.contains("Recursion limit") {
        return too_deep();
    }
    if text.contains("recovery attempt limit") || text.starts_with("No `") {
        return "it cannot be read from here on".to_owned();
    }
    let quoted = |rest: &str| {
        let word = rest.split(" expecting ").next().unwrap_or(rest).trim().trim_matches('\'');
        if word == "<EOF>" { "unexpected end".to_owned() } else { format!("unexpected `{}`", word.escape_debug()) }
    };
    for start in ["mismatched input ", "extraneous input ", "no viable alternative at input "] {
        if let Some(rest) = text.strip_prefix(start) {
            return quoted(rest);
        }
    }
    if let Some((missing, before)) = text.strip_prefix("missing ").and_then(|rest| rest.split_once(" at ")) {
        return format!("{}: `{}` is missing", quoted(before), missing.trim_matches('\''));
    }
    if let Some(rest) = text.strip_prefix("token recognition error at: ") {
        let word = rest.trim_matches('\'');
        let hint = if word.starts_with(['"', '\'']) { ": a text that does not end" } else { "" };
        return format!("unexpected `{}`{hint}", word.escape_debug());
    }
    let mut line = text.lines().next().unwrap_or_default().to_owned();
    if line.len() > 200 {
        line = line.chars().take(200).collect::<String>() + "...";
    }
    line
}
