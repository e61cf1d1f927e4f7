// SPDX-License-Identifier: Apache-2.0
//! Evaluates a checked condition over one event, borrowing from both. Every step costs, and what a condition may cost
//! is bounded: what would cost more fails, and a failing condition of a `deny` rule counts as a match.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::net::IpAddr;
use std::rc::Rc;

use lictor_api::event::{Event, Parent as ParentFacts};
use thiserror::Error;

use super::code::{Any, Arithmetic, Bool, Int, List, Loop, Map, Parent, Quantifier, Search, Text};
use super::fields::{ParentField, TextField};
use super::index::{Found, Index};
use crate::case::Basis;

/// What one condition may cost: an element of a list, an operation or 16 bytes of text looked at cost one. A command
/// line of two megabytes, the most that the kernel executes, can be searched eight times.
pub const BUDGET: u32 = 1 << 20;

/// Why a condition gave no answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// A number that the event does not have was looked at.
    #[error("`{0}` is not known of this event: ask `has({0})` first")]
    Absent(&'static str),
    #[error("the list or text is shorter than the index that is asked for")]
    Index,
    #[error("a calculation leaves the range of 64 bits or divides by zero")]
    Arithmetic,
    #[error("the text is no number")]
    Conversion,
    /// More than [`BUDGET`]. Never absorbed by `&&` or `||`.
    #[error("it costs more than is allowed: the event's lists or texts are too long for what it does with them")]
    Cost,
    #[error("its evaluation broke off, which is a defect of Lictor")]
    Broken,
}

/// One event as conditions see it; made once for all of them.
pub(crate) struct Facts<'e> {
    event: &'e Event,
    lower: [OnceCell<String>; TextField::COUNT],
    /// What the conditions' set has found out at once.
    found: Option<Found<'e>>,
    /// Whether a condition looked at something that the kernel cannot compare.
    beyond: Cell<bool>,
}

impl<'e> Facts<'e> {
    pub(crate) fn new(event: &'e Event, index: Option<&'e Index>) -> Facts<'e> {
        let found = index.map(Index::begin);
        Facts { event, lower: [const { OnceCell::new() }; TextField::COUNT], found, beyond: Cell::new(false) }
    }

    /// Whether a condition looked at something that the kernel cannot compare, since this was asked last.
    pub(crate) fn looked_beyond(&self) -> bool {
        self.beyond.take()
    }

    fn look_at(&self, basis: Basis) {
        if basis == Basis::Once {
            self.beyond.set(true);
        }
    }

    fn lower(&self, field: TextField) -> &str {
        self.lower[field as usize].get_or_init(|| field.get(self.event).unwrap_or_default().to_ascii_lowercase())
    }
}

/// Whether the condition holds.
pub(crate) fn holds(code: &Bool, facts: &Facts<'_>) -> Result<bool, Fault> {
    bool(code, &mut Env { facts, variables: Vec::new(), left: BUDGET })
}

struct Env<'a> {
    facts: &'a Facts<'a>,
    /// The variables of the loops that are being run, outermost first.
    variables: Vec<Value<'a>>,
    left: u32,
}

impl Env<'_> {
    fn spend(&mut self, cost: usize) -> Result<(), Fault> {
        match u32::try_from(cost).ok().and_then(|cost| self.left.checked_sub(cost)) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Fault::Cost)
            }
        }
    }

    /// For looking at `text` once.
    fn read(&mut self, text: &str) -> Result<(), Fault> {
        self.spend(1 + text.len() / 16)
    }
}

#[derive(Clone)]
enum Value<'a> {
    Bool(bool),
    Int(i64),
    Text(Cow<'a, str>),
    List(Items<'a>),
    Parent(&'a ParentFacts),
}

#[derive(Clone)]
enum Items<'a> {
    Texts(&'a [String]),
    Parents(&'a [ParentFacts]),
    Owned(Rc<[Value<'a>]>),
}

impl<'a> Items<'a> {
    fn len(&self) -> usize {
        match self {
            Items::Texts(items) => items.len(),
            Items::Parents(items) => items.len(),
            Items::Owned(items) => items.len(),
        }
    }

    fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Items::Texts(items) => items.get(index).map(|text| Value::Text(Cow::Borrowed(text))),
            Items::Parents(items) => items.get(index).map(Value::Parent),
            Items::Owned(items) => items.get(index).cloned(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

fn bool<'a>(code: &'a Bool, env: &mut Env<'a>) -> Result<bool, Fault> {
    match code {
        Bool::Constant(value) => Ok(*value),
        Bool::And(operands) => absorbing(operands, env, false),
        Bool::Or(operands) => absorbing(operands, env, true),
        Bool::Not(operand) => Ok(!bool(operand, env)?),
        Bool::If(parts) => {
            let (condition, yes, no) = &**parts;
            if bool(condition, env)? { bool(yes, env) } else { bool(no, env) }
        }
        Bool::Same(sides) => Ok(bool(&sides.0, env)? == bool(&sides.1, env)?),
        Bool::TextIs(left, literal) => {
            let left = text(left, env)?;
            Ok(*left == **literal)
        }
        Bool::TextEqual(left, right) => {
            let (left, right) = (text(left, env)?, text(right, env)?);
            env.read(&left)?;
            Ok(left == right)
        }
        Bool::TextOrder(order, left, right) => {
            let (left, right) = (text(left, env)?, text(right, env)?);
            env.read(&left)?;
            Ok(order.holds(left.cmp(&right)))
        }
        Bool::IntOrder(order, left, right) => Ok(order.holds(int(left, env)?.cmp(&int(right, env)?))),
        Bool::ListEqual(sides) => {
            let (left, right) = (list(&sides.0, env)?, list(&sides.1, env)?);
            equal_lists(&left, &right, env)
        }
        Bool::Search(within, code) => search(within, code, env),
        Bool::Contains(within, part) => {
            let (within, part) = (text(within, env)?, text(part, env)?);
            env.read(&within)?;
            Ok(within.contains(&*part))
        }
        Bool::StartsWith(within, part) => Ok(text(within, env)?.starts_with(&*text(part, env)?)),
        Bool::EndsWith(within, part) => Ok(text(within, env)?.ends_with(&*text(part, env)?)),
        Bool::Glob(path, pattern) => {
            let path = text(path, env)?;
            env.read(&path)?;
            // A name is compared as its bytes; only an escape makes the text differ from them.
            Ok(if path.contains("\\x") {
                pattern.matches(&lictor_api::bytes::unescape(&path))
            } else {
                pattern.matches(path.as_bytes())
            })
        }
        Bool::Within(address, network) => Ok(match text(address, env)?.parse::<IpAddr>() {
            Ok(address) => network.contains(&address.to_canonical()),
            Err(_) => false,
        }),
        Bool::OneOf(word, words) => {
            let word = text(word, env)?;
            env.read(&word)?;
            Ok(words.contains(&*word))
        }
        Bool::OneOfInts(number, numbers) => {
            env.spend(numbers.len())?;
            Ok(numbers.contains(&int(number, env)?))
        }
        Bool::In(sides) => {
            let value = any(&sides.0, env)?;
            let items = list(&sides.1, env)?;
            for item in items.iter() {
                env.spend(1)?;
                if equal(&value, &item, env)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Bool::HasText(field) => {
            env.facts.look_at(field.basis());
            Ok(field.get(env.facts.event).is_some())
        }
        Bool::HasNumber(field) => {
            env.facts.look_at(field.basis());
            Ok(field.get(env.facts.event).is_some())
        }
        Bool::HasTexts(field) => Ok(field.get(env.facts.event).is_some()),
        Bool::HasParents => {
            env.facts.look_at(Basis::Once);
            Ok(!env.facts.event.process.ancestors.is_empty())
        }
        Bool::HasParent(which) => {
            env.facts.look_at(Basis::Once);
            Ok(parent(which, env)?.is_some())
        }
        Bool::HasOfParent(which, field) => {
            env.facts.look_at(field.basis());
            Ok(parent(which, env)?.is_some_and(|parent| field.is_known(parent)))
        }
        // Which object it is cannot be seen here.
        Bool::HasObject(present) => {
            env.facts.look_at(Basis::Once);
            Ok(present(env.facts.event))
        }
        Bool::Loop(code) => quantified(code, env),
        Bool::Variable(number) => match env.variables.get(*number) {
            Some(Value::Bool(value)) => Ok(*value),
            _ => Err(Fault::Broken),
        },
        Bool::Element(parts) => match element(parts, env)? {
            Value::Bool(value) => Ok(value),
            _ => Err(Fault::Broken),
        },
    }
}

fn search<'a>(within: &'a Text, search: &'a Search, env: &mut Env<'a>) -> Result<bool, Fault> {
    let facts = env.facts;
    let known = match (within, search.number, &facts.found) {
        (Text::Field(field) | Text::LowerField(field), Some(number), Some(found)) => {
            facts.look_at(field.basis());
            if let Some(result) = found.result(number) {
                return Ok(result);
            }
            let text = field.get(facts.event).unwrap_or_default();
            if !found.possible(*field, number, text) {
                return Ok(false);
            }
            Some((found, number))
        }
        _ => None,
    };
    let within = text(within, env)?;
    // An expression that no literal helps is slower than a plain search by about this much.
    env.spend(1 + within.len() / if search.is_regex() { 4 } else { 16 })?;
    let result = search.finds(&within);
    if let Some((found, number)) = known {
        found.remember(number, result);
    }
    Ok(result)
}

/// `&&` and `||`: one operand that is `decisive` decides, whatever fails beside it.
fn absorbing<'a>(operands: &'a [Bool], env: &mut Env<'a>, decisive: bool) -> Result<bool, Fault> {
    let mut failed = None;
    for operand in operands {
        match bool(operand, env) {
            Ok(value) if value == decisive => return Ok(decisive),
            Ok(_) => {}
            Err(Fault::Cost) => return Err(Fault::Cost),
            Err(fault) => failed = failed.or(Some(fault)),
        }
    }
    failed.map_or(Ok(!decisive), Err)
}

fn quantified<'a>(code: &'a Loop, env: &mut Env<'a>) -> Result<bool, Fault> {
    let items = list(&code.list, env)?;
    let mut failed = None;
    let mut found = 0usize;
    for item in items.iter() {
        env.spend(1)?;
        env.variables.push(item);
        debug_assert_eq!(env.variables.len(), code.variable + 1);
        let result = bool(&code.body, env);
        env.variables.pop();
        match (result, code.quantifier) {
            (Ok(true), Quantifier::Exists) => return Ok(true),
            (Ok(false), Quantifier::All) => return Ok(false),
            (Ok(true), Quantifier::One) => found += 1,
            (Ok(_), _) => {}
            (Err(Fault::Cost), _) => return Err(Fault::Cost),
            // Which one it would have been is needed for an exact count.
            (Err(fault), Quantifier::One) => return Err(fault),
            (Err(fault), _) => failed = failed.or(Some(fault)),
        }
    }
    match (failed, code.quantifier) {
        (Some(fault), _) => Err(fault),
        (None, Quantifier::Exists) => Ok(false),
        (None, Quantifier::All) => Ok(true),
        (None, Quantifier::One) => Ok(found == 1),
    }
}

fn text<'a>(code: &'a Text, env: &mut Env<'a>) -> Result<Cow<'a, str>, Fault> {
    let facts: &'a Facts<'a> = env.facts;
    Ok(match code {
        Text::Literal(literal) => Cow::Borrowed(literal),
        Text::Field(field) => {
            facts.look_at(field.basis());
            Cow::Borrowed(field.get(facts.event).unwrap_or_default())
        }
        Text::LowerField(field) => {
            facts.look_at(field.basis());
            Cow::Borrowed(facts.lower(*field))
        }
        Text::OfParent(which, field) => {
            facts.look_at(field.basis());
            Cow::Borrowed(match (parent(which, env)?, field) {
                (Some(parent), ParentField::Exe) => parent.exe.as_deref().unwrap_or_default(),
                (Some(parent), ParentField::Cmdline) => parent.cmdline.as_deref().unwrap_or_default(),
                _ => "",
            })
        }
        Text::Variable(number) => match env.variables.get(*number) {
            Some(Value::Text(Cow::Borrowed(text))) => Cow::Borrowed(*text),
            Some(Value::Text(Cow::Owned(text))) => {
                let text = text.clone();
                env.read(&text)?;
                Cow::Owned(text)
            }
            _ => return Err(Fault::Broken),
        },
        Text::Element(parts) => match element(parts, env)? {
            Value::Text(text) => text,
            _ => return Err(Fault::Broken),
        },
        Text::If(parts) => {
            let (condition, yes, no) = &**parts;
            if bool(condition, env)? { text(yes, env)? } else { text(no, env)? }
        }
        Text::Concat(parts) => {
            let (left, right) = (text(&parts.0, env)?, text(&parts.1, env)?);
            env.spend(1 + (left.len() + right.len()) / 16)?;
            left + right
        }
        Text::Lower(inner) => {
            let inner = text(inner, env)?;
            env.read(&inner)?;
            Cow::Owned(inner.to_ascii_lowercase())
        }
        Text::Upper(inner) => {
            let inner = text(inner, env)?;
            env.read(&inner)?;
            Cow::Owned(inner.to_ascii_uppercase())
        }
        Text::Trim(inner) => sliced(text(inner, env)?, |text| Some(text.trim()))?,
        Text::Basename(inner) => {
            sliced(text(inner, env)?, |text| Some(text.rsplit_once('/').map_or(text, |(_, name)| name)))?
        }
        Text::Replace(parts) => {
            let (whole, from) = (text(&parts.0, env)?, text(&parts.1, env)?);
            let to = text(&parts.2, env)?;
            // The result's length is known before it is made.
            let places = if from.is_empty() { whole.chars().count() + 1 } else { whole.matches(&*from).count() };
            env.spend(1 + (whole.len().saturating_add(places.saturating_mul(to.len()))) / 16)?;
            Cow::Owned(whole.replace(&*from, &to))
        }
        Text::Substring(parts) => {
            let (whole, from, to) = &**parts;
            let (whole, from) = (text(whole, env)?, int(from, env)?);
            let to = to.as_ref().map(|to| int(to, env)).transpose()?;
            env.read(&whole)?;
            sliced(whole, |text| substring(text, from, to))?
        }
        Text::CharAt(parts) => {
            let (whole, at) = (text(&parts.0, env)?, int(&parts.1, env)?);
            env.read(&whole)?;
            // One past the end is the empty text, as in CEL's extension.
            let length = whole.chars().count();
            let end = usize::try_from(at).map_or(at, |at| i64::try_from((at + 1).min(length)).unwrap_or(i64::MAX));
            sliced(whole, |text| substring(text, at, Some(end)))?
        }
        Text::Join(parts) => {
            let (items, separator) = (list(&parts.0, env)?, text(&parts.1, env)?);
            let mut out = String::new();
            for (index, item) in items.iter().enumerate() {
                let Value::Text(item) = item else { return Err(Fault::Broken) };
                env.spend(1 + (item.len() + separator.len()) / 16)?;
                if index > 0 {
                    out.push_str(&separator);
                }
                out.push_str(&item);
            }
            Cow::Owned(out)
        }
        Text::OfInt(number) => Cow::Owned(int(number, env)?.to_string()),
        Text::OfBool(value) => Cow::Borrowed(if bool(value, env)? { "true" } else { "false" }),
    })
}

/// A part of a text, borrowed where the text is.
fn sliced<'a>(whole: Cow<'a, str>, part: impl Fn(&str) -> Option<&str>) -> Result<Cow<'a, str>, Fault> {
    match whole {
        Cow::Borrowed(text) => part(text).map(Cow::Borrowed).ok_or(Fault::Index),
        Cow::Owned(text) => part(&text).map(|part| Cow::Owned(part.to_owned())).ok_or(Fault::Index),
    }
}

/// Positions count characters.
fn substring(text: &str, from: i64, to: Option<i64>) -> Option<&str> {
    let place = |number: i64| {
        let number = usize::try_from(number).ok()?;
        let ends = std::iter::once(text.len());
        text.char_indices().map(|(at, _)| at).chain(ends).nth(number)
    };
    let (from, to) = (place(from)?, to.map_or(Some(text.len()), place)?);
    text.get(from..to)
}

fn int<'a>(code: &'a Int, env: &mut Env<'a>) -> Result<i64, Fault> {
    match code {
        Int::Literal(value) => Ok(*value),
        Int::Field(field) => {
            env.facts.look_at(field.basis());
            field.get(env.facts.event).ok_or(Fault::Absent(field.path()))
        }
        Int::PidOf(which) => {
            env.facts.look_at(Basis::Once);
            parent(which, env)?.and_then(|parent| parent.pid).map(i64::from).ok_or(Fault::Absent("process.parent.pid"))
        }
        Int::Variable(number) => match env.variables.get(*number) {
            Some(Value::Int(value)) => Ok(*value),
            _ => Err(Fault::Broken),
        },
        Int::Element(parts) => match element(parts, env)? {
            Value::Int(value) => Ok(value),
            _ => Err(Fault::Broken),
        },
        Int::If(parts) => {
            let (condition, yes, no) = &**parts;
            if bool(condition, env)? { int(yes, env) } else { int(no, env) }
        }
        Int::Negate(inner) => int(inner, env)?.checked_neg().ok_or(Fault::Arithmetic),
        Int::Arithmetic(operation, sides) => {
            let (left, right) = (int(&sides.0, env)?, int(&sides.1, env)?);
            let result = match operation {
                Arithmetic::Add => left.checked_add(right),
                Arithmetic::Subtract => left.checked_sub(right),
                Arithmetic::Multiply => left.checked_mul(right),
                Arithmetic::Divide => left.checked_div(right),
                Arithmetic::Remainder => left.checked_rem(right),
            };
            result.ok_or(Fault::Arithmetic)
        }
        Int::LengthOf(inner) => {
            let inner = text(inner, env)?;
            env.read(&inner)?;
            length(inner.chars().count())
        }
        Int::SizeOf(inner) => length(list(inner, env)?.len()),
        Int::IndexOf(parts) => position(parts, env, |whole, part| whole.find(part)),
        Int::LastIndexOf(parts) => position(parts, env, |whole, part| whole.rfind(part)),
        Int::Parse(inner) => text(inner, env)?.parse().map_err(|_| Fault::Conversion),
    }
}

fn length(count: usize) -> Result<i64, Fault> {
    i64::try_from(count).map_err(|_| Fault::Arithmetic)
}

/// The place of a part in characters, or -1.
fn position<'a>(
    parts: &'a (Text, Text),
    env: &mut Env<'a>,
    find: impl Fn(&str, &str) -> Option<usize>,
) -> Result<i64, Fault> {
    let (whole, part) = (text(&parts.0, env)?, text(&parts.1, env)?);
    env.read(&whole)?;
    let before = find(&whole, &part).and_then(|at| whole.get(..at));
    before.map_or(Ok(-1), |before| length(before.chars().count()))
}

fn list<'a>(code: &'a List, env: &mut Env<'a>) -> Result<Items<'a>, Fault> {
    let event: &'a Event = env.facts.event;
    Ok(match code {
        List::Literal(items) => {
            env.spend(items.len())?;
            let items: Result<Vec<Value<'a>>, Fault> = items.iter().map(|item| any(item, env)).collect();
            Items::Owned(items?.into())
        }
        List::Texts(field) => Items::Texts(field.get(event).unwrap_or_default()),
        List::ArgsOf(which) => {
            env.facts.look_at(Basis::Once);
            Items::Texts(parent(which, env)?.and_then(|parent| parent.args.as_deref()).unwrap_or_default())
        }
        List::Ancestors => {
            env.facts.look_at(Basis::Once);
            Items::Parents(&event.process.ancestors)
        }
        List::Variable(number) => match env.variables.get(*number) {
            Some(Value::List(items)) => items.clone(),
            _ => return Err(Fault::Broken),
        },
        List::Element(parts) => match element(parts, env)? {
            Value::List(items) => items,
            _ => return Err(Fault::Broken),
        },
        List::If(parts) => {
            let (condition, yes, no) = &**parts;
            if bool(condition, env)? { list(yes, env)? } else { list(no, env)? }
        }
        List::Concat(sides) => {
            let (left, right) = (list(&sides.0, env)?, list(&sides.1, env)?);
            env.spend(1 + left.len() + right.len())?;
            Items::Owned(left.iter().chain(right.iter()).collect())
        }
        List::Split(parts) => {
            let (whole, separator) = (text(&parts.0, env)?, text(&parts.1, env)?);
            // Each piece is a value of its own.
            env.spend(1 + whole.len() / 16 + whole.matches(&*separator).count())?;
            Items::Owned(match whole {
                Cow::Borrowed(text) => {
                    pieces(text, &separator).into_iter().map(|piece| Value::Text(Cow::Borrowed(piece))).collect()
                }
                Cow::Owned(text) => {
                    let pieces = pieces(&text, &separator).into_iter();
                    pieces.map(|piece| Value::Text(Cow::Owned(piece.to_owned()))).collect()
                }
            })
        }
        List::Map(code) => mapped(code, env)?,
    })
}

/// An empty separator parts the characters, with nothing before the first and after the last.
fn pieces<'t>(text: &'t str, separator: &str) -> Vec<&'t str> {
    if separator.is_empty() {
        text.split("").skip(1).take(text.chars().count()).collect()
    } else {
        text.split(separator).collect()
    }
}

fn mapped<'a>(code: &'a Map, env: &mut Env<'a>) -> Result<Items<'a>, Fault> {
    let items = list(&code.list, env)?;
    let mut out = Vec::new();
    for item in items.iter() {
        env.spend(1)?;
        env.variables.push(item.clone());
        debug_assert_eq!(env.variables.len(), code.variable + 1);
        let kept = code.keep.as_ref().map_or(Ok(true), |keep| bool(keep, env));
        let value = match (kept, &code.body) {
            (Ok(true), Some(body)) => any(body, env).map(Some),
            (Ok(true), None) => Ok(Some(item)),
            (Ok(false), _) => Ok(None),
            (Err(fault), _) => Err(fault),
        };
        env.variables.pop();
        out.extend(value?);
    }
    Ok(Items::Owned(out.into()))
}

fn parent<'a>(code: &'a Parent, env: &mut Env<'a>) -> Result<Option<&'a ParentFacts>, Fault> {
    match code {
        Parent::OfProcess => {
            let event: &'a Event = env.facts.event;
            Ok(event.process.parent.as_ref())
        }
        Parent::Variable(number) => match env.variables.get(*number) {
            Some(Value::Parent(parent)) => Ok(Some(*parent)),
            _ => Err(Fault::Broken),
        },
        Parent::Element(parts) => match element(parts, env)? {
            Value::Parent(parent) => Ok(Some(parent)),
            _ => Err(Fault::Broken),
        },
    }
}

fn element<'a>(parts: &'a (List, Int), env: &mut Env<'a>) -> Result<Value<'a>, Fault> {
    let (items, index) = (list(&parts.0, env)?, int(&parts.1, env)?);
    usize::try_from(index).ok().and_then(|index| items.get(index)).ok_or(Fault::Index)
}

fn any<'a>(code: &'a Any, env: &mut Env<'a>) -> Result<Value<'a>, Fault> {
    Ok(match code {
        Any::Bool(code) => Value::Bool(bool(code, env)?),
        Any::Int(code) => Value::Int(int(code, env)?),
        Any::Text(code) => Value::Text(text(code, env)?),
        Any::List(code) => Value::List(list(code, env)?),
        // Only elements of `process.ancestors` come here, and they exist.
        Any::Parent(code) => Value::Parent(parent(code, env)?.ok_or(Fault::Broken)?),
    })
}

fn equal(left: &Value<'_>, right: &Value<'_>, env: &mut Env<'_>) -> Result<bool, Fault> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Int(left), Value::Int(right)) => Ok(left == right),
        (Value::Text(left), Value::Text(right)) => {
            env.read(left)?;
            Ok(left == right)
        }
        (Value::List(left), Value::List(right)) => equal_lists(left, right, env),
        _ => Err(Fault::Broken),
    }
}

fn equal_lists(left: &Items<'_>, right: &Items<'_>, env: &mut Env<'_>) -> Result<bool, Fault> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for (left, right) in left.iter().zip(right.iter()) {
        env.spend(1)?;
        if !equal(&left, &right, env)? {
            return Ok(false);
        }
    }
    Ok(true)
}
