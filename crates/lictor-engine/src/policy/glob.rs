// SPDX-License-Identifier: Apache-2.0
//! One path pattern: from its text to the tokens the automaton is built of.
//!
//! What a pattern means is fixed here and nowhere else:
//!
//! | written | matches |
//! |---|---|
//! | `*`, `?` | any run, any one character, never `/` |
//! | `[a-z]`, `[!a-z]` | one character of the set, never `/` |
//! | `{a,b}` | either; may be nested |
//! | `**` | any run, `/` included; `D/**` is `D` and all below it, `**/x` and `/**/x` are `x` at any depth |
//! | `\c` | `c` itself |
//! | `${HOME}`, `${USER}`, `${CWD}` | the session's value, byte for byte, with no character special |
//!
//! Paths are bytes. A character is one UTF-8 sequence; in a name that is not UTF-8 every byte from
//! 0x80 on is a character of its own.

use super::compile::SessionFacts;
use super::problem::show;

/// Longer patterns can match no path: the kernel's own limit for a path.
const MAX_PATTERN: usize = 4096;
/// Braces inside braces; enough for people, and it bounds recursion.
const MAX_NESTING: usize = 8;
/// How many patterns one pattern with `**` inside braces may stand for.
const MAX_EXPANSIONS: usize = 1024;

/// A set of characters as written; `/` is never in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Class {
    pub(super) negated: bool,
    pub(super) ranges: Vec<(char, char)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Variable {
    Home,
    User,
    Cwd,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Item {
    Byte(u8),
    Variable(Variable),
    Star,
    Globstar,
    One,
    Class(Class),
    Alternatives(Vec<Vec<Item>>),
}

/// What the automaton is built of. `SubtreeOf` stands for a `/` and everything after it, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Token {
    Byte(u8),
    /// `[^/]*`
    Star,
    /// `.*`
    Globstar,
    /// `(/.*)?`
    SubtreeOf,
    /// One character that is not `/`.
    One,
    Class(Class),
    Alternatives(Vec<Vec<Token>>),
}

/// A well-formed pattern whose variables are not filled in yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    /// More than one where braces hold or touch `**`, whose meaning depends on its neighbours.
    branches: Vec<Vec<Item>>,
}

/// Where a pattern is used decides what it may start with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Paths,
    /// Paths, and abstract names that start with `@`.
    UnixNames,
}

impl Glob {
    pub(super) fn parse(text: &str, space: Space) -> Result<Glob, String> {
        if text.is_empty() {
            return Err("the pattern is empty: it would match nothing; remove the line".into());
        }
        if text.len() > MAX_PATTERN {
            return Err(format!("the pattern has {} bytes, more than any path ({MAX_PATTERN})", text.len()));
        }
        check_start(text, space)?;
        let mut parser = Parser { text, rest: text.chars().peekable(), at: 0 };
        let items = parser.sequence(0)?;
        let mut branches = Vec::new();
        expand(items, &mut branches)?;
        for branch in &branches {
            check_branch(branch, text, space)?;
        }
        Ok(Glob { branches })
    }

    /// Whether the pattern says the same for every session.
    pub(super) fn is_constant(&self) -> bool {
        self.branches.iter().all(|b| !has_variable(b))
    }

    /// Fills in the session's facts. One token list for each branch.
    pub(super) fn fill(&self, facts: &SessionFacts) -> Result<Vec<Vec<Token>>, String> {
        self.branches
            .iter()
            .map(|items| {
                let mut tokens = fill(items, facts)?;
                normalise_root(&mut tokens);
                Ok(tokens)
            })
            .collect()
    }
}

/// The path a token list names when it names one object or one subtree: `(path, subtree)`.
pub(super) fn literal(tokens: &[Token]) -> Option<(Vec<u8>, bool)> {
    let prefix = literal_prefix(tokens);
    match &tokens[prefix.len()..] {
        [] => Some((prefix, false)),
        [Token::SubtreeOf] => Some((prefix, true)),
        [Token::Globstar] if prefix == b"/" => Some((prefix, true)),
        _ => None,
    }
}

/// The bytes every match starts with.
pub(super) fn literal_prefix(tokens: &[Token]) -> Vec<u8> {
    tokens.iter().map_while(|t| if let Token::Byte(b) = t { Some(*b) } else { None }).collect()
}

/// The pattern without braces: the patterns that it stands for. One that stands for too many is left as it is, and
/// names no single object then.
pub(super) fn spelled_out(tokens: &[Token]) -> Vec<Vec<Token>> {
    let mut done = Vec::new();
    let mut work = vec![tokens.to_vec()];
    while let Some(tokens) = work.pop() {
        let braces = tokens.iter().enumerate().find_map(|(i, token)| match token {
            Token::Alternatives(branches) => Some((i, branches)),
            _ => None,
        });
        let Some((index, branches)) = braces else {
            done.push(tokens);
            continue;
        };
        if work.len() + done.len() + branches.len() > MAX_EXPANSIONS {
            return vec![tokens];
        }
        for branch in branches.iter().rev() {
            work.push([&tokens[..index], branch, &tokens[index + 1..]].concat());
        }
    }
    done
}

/// The directories in which, or below which, matches of the pattern can lie.
pub(super) fn ways_to(tokens: &[Token]) -> Vec<Vec<Token>> {
    let mut ways = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Byte(b'/') if index == 0 => ways.push(vec![Token::Byte(b'/')]),
            Token::Byte(b'/') => ways.push(tokens[..index].to_vec()),
            // Braces are left only where they stand for too many patterns to look at each.
            Token::SubtreeOf | Token::Globstar | Token::Alternatives(_) => {
                let any = if *token == Token::SubtreeOf { Token::SubtreeOf } else { Token::Globstar };
                ways.push([&tokens[..index], &[any]].concat());
                break;
            }
            Token::Byte(_) | Token::Star | Token::One | Token::Class(_) => {}
        }
    }
    ways
}

/// Tokens for one literal directory and everything below it.
pub(super) fn literal_subtree(path: &[u8]) -> Vec<Token> {
    let trimmed = path.strip_suffix(b"/").unwrap_or(path);
    let mut tokens: Vec<Token> = trimmed.iter().map(|b| Token::Byte(*b)).collect();
    tokens.push(Token::SubtreeOf);
    normalise_root(&mut tokens);
    tokens
}

fn check_start(text: &str, space: Space) -> Result<(), String> {
    let absolute = text.starts_with(['/', '{', '\\']) || text.starts_with("**/") || text.starts_with("${");
    if absolute || (space == Space::UnixNames && text.starts_with('@')) {
        return Ok(());
    }
    if let Some(rest) = text.strip_prefix("~/").or_else(|| text.strip_prefix("$HOME/")) {
        return Err(format!("the pattern is not absolute: write `${{HOME}}/{rest}`"));
    }
    if text == "**" || text == "*" {
        return Err("the pattern is not absolute: write `/**` for every path".into());
    }
    let name = text.trim_start_matches("./");
    Err(match space {
        Space::Paths => format!("the pattern is not absolute: write `${{CWD}}/{name}`, or `**/{name}` for any depth"),
        Space::UnixNames => {
            format!("`{text}` is neither an absolute path nor an `@name`: write `/{name}` or `@{name}`")
        }
    })
}

/// Checks one branch, where every neighbour is known.
fn check_branch(items: &[Item], text: &str, space: Space) -> Result<(), String> {
    match items {
        [Item::Byte(b'/'), ..] | [Item::Variable(Variable::Home | Variable::Cwd), ..] => {}
        [Item::Globstar, Item::Byte(b'/'), ..] => {}
        [Item::Byte(b'@'), ..] if space == Space::UnixNames => {
            return if items.len() == 1 { Err("an abstract name needs a name after `@`".into()) } else { Ok(()) };
        }
        [Item::Variable(Variable::User), ..] => {
            return Err("`${USER}` is a name, not a path: the pattern is not absolute".into());
        }
        _ => return Err(format!("the pattern `{text}` is not absolute in every alternative")),
    }
    if items.iter().skip(1).any(|i| matches!(i, Item::Variable(Variable::Home | Variable::Cwd))) {
        return Err("`${HOME}` and `${CWD}` are absolute paths: they can only stand at the start".into());
    }
    if items.len() > 1 && items.last() == Some(&Item::Byte(b'/')) {
        let bare = text.trim_end_matches('/');
        return Err(format!(
            "no path ends with `/`, so the pattern can never match: write `{bare}` for the directory, `{bare}/**` for all below it too"
        ));
    }
    let mut components = items.split(|i| *i == Item::Byte(b'/'));
    // What stands before the first `/` is the empty start of an absolute path, `**` or a variable.
    components.next();
    let root_only = items.len() == 1;
    for component in components {
        if component.is_empty() && !root_only {
            return Err("`//` never occurs in a resolved path, so the pattern can never match".into());
        }
        if component == [Item::Byte(b'.')] || component == [Item::Byte(b'.'), Item::Byte(b'.')] {
            return Err("`.` and `..` never occur in a resolved path, so the pattern can never match".into());
        }
    }
    Ok(())
}

fn has_variable(items: &[Item]) -> bool {
    items.iter().any(|i| match i {
        Item::Variable(_) => true,
        Item::Alternatives(branches) => branches.iter().any(|b| has_variable(b)),
        _ => false,
    })
}

fn has_globstar(items: &[Item]) -> bool {
    items.iter().any(|i| match i {
        Item::Globstar => true,
        Item::Alternatives(branches) => branches.iter().any(|b| has_globstar(b)),
        _ => false,
    })
}

/// Writes out the braces whose meaning depends on what stands beside them; leaves the others alone,
/// since `{a,b}{a,b}...` written out would double with every pair.
fn expand(items: Vec<Item>, out: &mut Vec<Vec<Item>>) -> Result<(), String> {
    let mut work = vec![items];
    while let Some(items) = work.pop() {
        let touchy = |i: usize| matches!(items.get(i), Some(Item::Globstar | Item::Star));
        let found = items.iter().enumerate().find(|(i, item)| match item {
            Item::Alternatives(branches) => {
                *i == 0 || touchy(i + 1) || touchy(i - 1) || branches.iter().any(|b| has_globstar(b) || has_variable(b))
            }
            _ => false,
        });
        let Some((index, Item::Alternatives(branches))) = found else {
            out.push(items);
            continue;
        };
        if work.len() + out.len() + branches.len() > MAX_EXPANSIONS {
            return Err(format!(
                "the braces around `*` stand for more than {MAX_EXPANSIONS} patterns: write them as several lines"
            ));
        }
        // Backwards, so that the stack gives the branches in the order they were written.
        for branch in branches.iter().rev() {
            let mut whole = items[..index].to_vec();
            whole.extend_from_slice(branch);
            whole.extend_from_slice(&items[index + 1..]);
            work.push(whole);
        }
    }
    Ok(())
}

fn fill(items: &[Item], facts: &SessionFacts) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::with_capacity(items.len());
    let mut i = 0;
    while let Some(item) = items.get(i) {
        let ends = |n: usize| matches!(items.get(n), None | Some(Item::Byte(b'/')));
        match item {
            Item::Byte(b'/') if items.get(i + 1) == Some(&Item::Globstar) && ends(i + 2) => {
                tokens.push(Token::SubtreeOf);
                i += 1;
            }
            Item::Globstar if i == 0 => tokens.push(Token::SubtreeOf),
            Item::Byte(b) => tokens.push(Token::Byte(*b)),
            Item::Variable(v) => tokens.extend(value(*v, facts)?.iter().map(|b| Token::Byte(*b))),
            Item::Star => tokens.push(Token::Star),
            Item::Globstar => tokens.push(Token::Globstar),
            Item::One => tokens.push(Token::One),
            Item::Class(c) => tokens.push(Token::Class(c.clone())),
            Item::Alternatives(branches) => {
                let branches = branches.iter().map(|b| fill(b, facts)).collect::<Result<_, _>>()?;
                tokens.push(Token::Alternatives(branches));
            }
        }
        i += 1;
    }
    Ok(tokens)
}

/// With `/` for a value, `${CWD}` has become nothing and `${CWD}/**` a subtree of nothing.
fn normalise_root(tokens: &mut Vec<Token>) {
    if tokens.is_empty() {
        tokens.push(Token::Byte(b'/'));
    } else if tokens.iter().all(|t| *t == Token::SubtreeOf) {
        *tokens = vec![Token::Byte(b'/'), Token::Globstar];
    }
}

fn value(variable: Variable, facts: &SessionFacts) -> Result<&[u8], String> {
    let (name, value) = match variable {
        Variable::Home => ("HOME", &facts.home),
        Variable::Cwd => ("CWD", &facts.cwd),
        Variable::User => ("USER", &facts.user),
    };
    let bad = |why: &str| Err(format!("the session's ${{{name}}} is `{}`, which {why}", show(value)));
    if variable == Variable::User {
        if value.is_empty() || value.contains(&b'/') || value.contains(&0) || value == b"." || value == b".." {
            return bad("is not a user's name");
        }
        return Ok(value);
    }
    if !value.starts_with(b"/") || value.contains(&0) {
        return bad("is not an absolute path");
    }
    let trimmed = value.strip_suffix(b"/").unwrap_or(value);
    if trimmed.split(|b| *b == b'/').skip(1).any(|c| c.is_empty() || c == b"." || c == b"..") {
        return bad("is not a resolved path");
    }
    Ok(trimmed)
}

struct Parser<'a> {
    text: &'a str,
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    at: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        self.at += usize::from(c.is_some());
        c
    }

    /// Items up to the end, or inside braces up to the `,` or `}` that is left for the caller.
    fn sequence(&mut self, depth: usize) -> Result<Vec<Item>, String> {
        let mut items = Vec::new();
        while let Some(&c) = self.rest.peek() {
            if depth > 0 && (c == ',' || c == '}') {
                break;
            }
            self.next();
            match c {
                '\0' => return Err("a path holds no NUL byte, so the pattern can never match".into()),
                '*' => {
                    let mut stars = 1;
                    while self.rest.peek() == Some(&'*') {
                        self.next();
                        stars += 1;
                    }
                    items.push(if stars == 1 { Item::Star } else { Item::Globstar });
                }
                '?' => items.push(Item::One),
                '[' => items.push(Item::Class(self.class()?)),
                '{' => items.push(self.braces(depth + 1)?),
                '}' => return Err(self.here("`}` closes nothing: write `\\}` for the character")),
                '$' if self.rest.peek() == Some(&'{') => items.push(self.variable()?),
                '\\' => match self.next() {
                    Some(c) => push(&mut items, c),
                    None => return Err("`\\` at the end escapes nothing: write `\\\\` for the character".into()),
                },
                c => push(&mut items, c),
            }
        }
        Ok(items)
    }

    fn braces(&mut self, depth: usize) -> Result<Item, String> {
        if depth > MAX_NESTING {
            return Err(self.here(&format!("braces are nested deeper than {MAX_NESTING}")));
        }
        let opened = self.at;
        let mut branches = Vec::new();
        loop {
            branches.push(self.sequence(depth)?);
            match self.next() {
                Some(',') => {}
                Some('}') if branches.len() == 1 => {
                    return Err(self.here("braces need at least two alternatives: write `\\{` for the character"));
                }
                Some('}') => return Ok(Item::Alternatives(branches)),
                _ => return Err(format!("`{{` at character {opened} of `{}` is never closed", self.text)),
            }
        }
    }

    fn class(&mut self) -> Result<Class, String> {
        let opened = self.at;
        let negated = matches!(self.rest.peek(), Some('!' | '^'));
        if negated {
            self.next();
        }
        let mut ranges = Vec::new();
        let mut first = true;
        loop {
            let low = match self.next() {
                None => return Err(format!("`[` at character {opened} of `{}` is never closed", self.text)),
                Some(']') if !first => break,
                Some('[') if matches!(self.rest.peek(), Some(':' | '.' | '=')) => {
                    return Err(
                        self.here("named classes such as `[:alpha:]` are not known: write the range, as in `[a-z]`")
                    );
                }
                Some(c) => self.class_character(c)?,
            };
            first = false;
            let mut high = low;
            if self.rest.peek() == Some(&'-') {
                self.next();
                match self.rest.peek() {
                    // A `-` before the end is the character.
                    Some(']') | None => ranges.push(('-', '-')),
                    Some(_) => {
                        let c = self.next().unwrap_or_default();
                        high = self.class_character(c)?;
                    }
                }
            }
            if low > high {
                return Err(self.here(&format!("the range `{low}-{high}` is reversed")));
            }
            ranges.push((low, high));
        }
        ranges.sort_unstable();
        ranges.dedup();
        Ok(Class { negated, ranges })
    }

    fn class_character(&mut self, c: char) -> Result<char, String> {
        match c {
            '/' => Err(self.here("a `[...]` never matches `/`")),
            '\0' => Err("a path holds no NUL byte".into()),
            '\\' => self.next().filter(|c| *c != '/').ok_or_else(|| self.here("`\\` escapes nothing inside `[...]`")),
            c => Ok(c),
        }
    }

    fn variable(&mut self) -> Result<Item, String> {
        self.next();
        let mut name = String::new();
        loop {
            match self.next() {
                Some('}') => break,
                Some(c) if name.len() < 64 => name.push(c),
                _ => return Err(self.here("`${` is never closed: write `\\$\\{` for the characters")),
            }
        }
        match name.as_str() {
            "HOME" => Ok(Item::Variable(Variable::Home)),
            "USER" => Ok(Item::Variable(Variable::User)),
            "CWD" => Ok(Item::Variable(Variable::Cwd)),
            _ => Err(format!("unknown variable `${{{name}}}`: known are ${{HOME}}, ${{USER}} and ${{CWD}}")),
        }
    }

    fn here(&self, message: &str) -> String {
        format!("{message} (character {} of `{}`)", self.at, self.text)
    }
}

fn push(items: &mut Vec<Item>, c: char) {
    let mut buffer = [0; 4];
    items.extend(c.encode_utf8(&mut buffer).bytes().map(Item::Byte));
}
