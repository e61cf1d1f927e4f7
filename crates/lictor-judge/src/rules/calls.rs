// SPDX-License-Identifier: Apache-2.0
//! Checks calls against the table of functions.

use cel::common::ast::CallExpr;
use ipnet::IpNet;
use lictor_engine::policy::{PathPattern, hint};
use regex::RegexBuilder;
use std::net::IpAddr;

use super::ascii::ascii;
use super::check::{Checker, Type, Typed};
use super::code::{Any, Bool, Int, List, Search, Text};
use super::functions::{FUNCTIONS, Function, Make, Parameter};

/// What a compiled regular expression may take, in bytes: repetitions of repetitions are refused, people's are not.
const MAX_REGEX: usize = 10 << 20;
/// What the states of an expression that is being run may take, in bytes, for each thread: a hostile text could make
/// every expression of a set reach this.
const MAX_STATES: usize = 2 << 20;

/// What the parser takes apart when it is written like this, and leaves a call otherwise.
const MACROS: [(&str, &str); 7] = [
    ("has", "has(process.parent)"),
    ("exists", "list.exists(x, ...)"),
    ("all", "list.all(x, ...)"),
    ("exists_one", "list.exists_one(x, ...)"),
    ("existsOne", "list.existsOne(x, ...)"),
    ("map", "list.map(x, ...)"),
    ("filter", "list.filter(x, ...)"),
];

pub(crate) fn call(checker: &mut Checker<'_>, call: &CallExpr, at: usize) -> Option<Typed> {
    let name = call.func_name.as_str();
    let name_at = checker.name_before(at);
    if let Some((_, form)) = MACROS.iter().find(|(known, _)| *known == name) {
        // Its variable means nothing outside of it, so that what stands inside is not looked at.
        return checker.fail(name_at, format!("`{name}` is called as `{form}`"));
    }
    let target = call.target.as_deref().map(|target| checker.expression(target));
    let arguments: Vec<_> = call.args.iter().map(|argument| checker.expression(argument)).collect();
    let named: Vec<&Function> = FUNCTIONS.iter().filter(|function| function.name == name).collect();
    let Some(first) = named.first() else {
        return unknown(checker, call, name_at);
    };
    let fitting: Vec<&Function> =
        named.iter().copied().filter(|function| function.receiver.is_some() == call.target.is_some()).collect();
    if fitting.is_empty() {
        let form = written(first);
        return checker.fail(name_at, format!("`{name}` is called as `{form}`"));
    }
    let count = |function: &&Function| {
        (function.parameters.len() - function.optional..=function.parameters.len()).contains(&call.args.len())
    };
    let Some(counted) = fitting.iter().copied().find(|function| count(function)) else {
        let form = written(fitting[0]);
        return checker
            .fail(name_at, format!("`{name}` is called as `{form}`, not with {} arguments", call.args.len()));
    };
    // A mistake inside an argument is reported already.
    let target = target.map_or(Some(None), |typed| typed.map(Some))?;
    let arguments: Vec<Typed> = arguments.into_iter().collect::<Option<_>>()?;
    let takes = |function: &&&Function| {
        let receiver = function.receiver.zip(target.as_ref()).is_none_or(|(wanted, given)| fits(wanted, &given.of));
        let each = function.parameters.iter().zip(&arguments).all(|(wanted, given)| fits(*wanted, &given.of));
        count(function) && receiver && each
    };
    let Some(function) = fitting.iter().find(takes) else {
        let given: Vec<String> = arguments.iter().map(|argument| argument.of.to_string()).collect();
        let on = target.map(|target| format!(" on {}", target.of)).unwrap_or_default();
        let with = if given.is_empty() { String::new() } else { format!(" with {}", given.join(", ")) };
        let form = written(counted);
        return checker.fail(name_at, format!("`{name}` is called as `{form}`, not{on}{with}"));
    };
    let place = call.args.last().map_or(at, |argument| checker.offset(argument));
    make(checker, function.make, target.into_iter().chain(arguments).collect(), place)
}

fn unknown(checker: &mut Checker<'_>, call: &CallExpr, at: usize) -> Option<Typed> {
    let name = call.func_name.as_str();
    let known: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).chain(MACROS.map(|(name, _)| name)).collect();
    checker.fail(at, format!("there is no function `{name}`{}", hint(name, &known)))
}

/// How the function is called.
pub(crate) fn written(function: &Function) -> String {
    let mut parameters = String::new();
    for (index, parameter) in function.parameters.iter().enumerate() {
        let separator = if index > 0 { ", " } else { "" };
        let optional = index >= function.parameters.len() - function.optional;
        let (open, close) = if optional { ("[", "]") } else { ("", "") };
        parameters.push_str(&format!("{open}{separator}{}{close}", parameter.name()));
    }
    match function.receiver {
        Some(receiver) => format!("{}.{}({parameters})", receiver.name().replace(" of ", "_of_"), function.name),
        None => format!("{}({parameters})", function.name),
    }
}

fn fits(wanted: Parameter, given: &Type) -> bool {
    match wanted {
        Parameter::Bool => *given == Type::Bool,
        Parameter::Int => *given == Type::Int,
        Parameter::Text | Parameter::Regex | Parameter::Glob | Parameter::Network => *given == Type::Text,
        Parameter::List => matches!(given, Type::List(_)),
        Parameter::Texts => matches!(given, Type::List(inner) if matches!(**inner, Type::Text | Type::Nothing)),
    }
}

/// The operands are of the types that the table says, the receiver first. `place` is that of the last argument.
fn make(checker: &mut Checker<'_>, make: Make, operands: Vec<Typed>, place: usize) -> Option<Typed> {
    let mut operands = operands.into_iter().map(|typed| typed.code);
    let first = operands.next()?;
    let (second, third) = (operands.next(), operands.next());
    Some(match (make, first, second, third) {
        (Make::Contains, Any::Text(within), Some(Any::Text(Text::Literal(part))), None) => {
            Typed::bool(Bool::Search(within, Box::new(Search::literal(&part))))
        }
        (Make::Contains, Any::Text(within), Some(Any::Text(part)), None) => Typed::bool(Bool::Contains(within, part)),
        (Make::StartsWith, Any::Text(within), Some(Any::Text(part)), None) => {
            Typed::bool(Bool::StartsWith(within, part))
        }
        (Make::EndsWith, Any::Text(within), Some(Any::Text(part)), None) => Typed::bool(Bool::EndsWith(within, part)),
        (Make::Matches, Any::Text(within), Some(pattern), None) => {
            let pattern = literal(checker, pattern, "a regular expression", place)?;
            let regex = RegexBuilder::new(&ascii(&pattern)).size_limit(MAX_REGEX).dfa_size_limit(MAX_STATES).build();
            match regex {
                Ok(regex) => Typed::bool(Bool::Search(within, Box::new(Search::regex(regex)))),
                Err(error) => return checker.fail(place, regex_message(&error)),
            }
        }
        (Make::Glob, Any::Text(path), Some(pattern), None) => {
            let pattern = literal(checker, pattern, "a path pattern", place)?;
            match PathPattern::parse(&pattern) {
                Ok(pattern) => Typed::bool(Bool::Glob(path, Box::new(pattern))),
                Err(message) => return checker.fail(place, message),
            }
        }
        (Make::Within, Any::Text(address), Some(network), None) => {
            let network = literal(checker, network, "a network", place)?;
            match parse_network(&network) {
                Ok(network) => Typed::bool(Bool::Within(address, network)),
                Err(message) => return checker.fail(place, message),
            }
        }
        (Make::Basename, Any::Text(path), None, None) => Typed::text(Text::Basename(Box::new(path))),
        (Make::Lower, Any::Text(Text::Field(field)), None, None) => Typed::text(Text::LowerField(field)),
        (Make::Lower, Any::Text(inner), None, None) => Typed::text(Text::Lower(Box::new(inner))),
        (Make::Upper, Any::Text(inner), None, None) => Typed::text(Text::Upper(Box::new(inner))),
        (Make::Trim, Any::Text(inner), None, None) => Typed::text(Text::Trim(Box::new(inner))),
        (Make::Replace, Any::Text(whole), Some(Any::Text(from)), Some(Any::Text(to))) => {
            Typed::text(Text::Replace(Box::new((whole, from, to))))
        }
        (Make::Substring, Any::Text(whole), Some(Any::Int(from)), None) => {
            Typed::text(Text::Substring(Box::new((whole, from, None))))
        }
        (Make::Substring, Any::Text(whole), Some(Any::Int(from)), Some(Any::Int(to))) => {
            Typed::text(Text::Substring(Box::new((whole, from, Some(to)))))
        }
        (Make::CharAt, Any::Text(whole), Some(Any::Int(index)), None) => {
            Typed::text(Text::CharAt(Box::new((whole, index))))
        }
        (Make::IndexOf, Any::Text(whole), Some(Any::Text(part)), None) => {
            Typed::int(Int::IndexOf(Box::new((whole, part))))
        }
        (Make::LastIndexOf, Any::Text(whole), Some(Any::Text(part)), None) => {
            Typed::int(Int::LastIndexOf(Box::new((whole, part))))
        }
        (Make::Split, Any::Text(whole), Some(Any::Text(separator)), None) => {
            Typed::list(List::Split(Box::new((whole, separator))), Type::Text)
        }
        (Make::Join, Any::List(items), None, None) => {
            Typed::text(Text::Join(Box::new((items, Text::Literal(Box::default())))))
        }
        (Make::Join, Any::List(items), Some(Any::Text(separator)), None) => {
            Typed::text(Text::Join(Box::new((items, separator))))
        }
        (Make::SizeOfText, Any::Text(inner), None, None) => Typed::int(Int::LengthOf(Box::new(inner))),
        (Make::SizeOfList, Any::List(inner), None, None) => Typed::int(Int::SizeOf(Box::new(inner))),
        (Make::TextOfInt, Any::Int(inner), None, None) => Typed::text(Text::OfInt(Box::new(inner))),
        (Make::TextOfBool, Any::Bool(inner), None, None) => Typed::text(Text::OfBool(Box::new(inner))),
        (Make::TextOfText, Any::Text(inner), None, None) => Typed::text(inner),
        (Make::IntOfText, Any::Text(inner), None, None) => Typed::int(Int::Parse(Box::new(inner))),
        (Make::IntOfInt, Any::Int(inner), None, None) => Typed::int(inner),
        _ => return checker.fail(place, "this call is not known"),
    })
}

fn literal(checker: &mut Checker<'_>, argument: Any, what: &str, place: usize) -> Option<Box<str>> {
    match argument {
        Any::Text(Text::Literal(text)) => Some(text),
        _ => checker.fail(place, format!("{what} is written out: what an event says must not become one")),
    }
}

/// The library draws the place below the pattern; a message here is one line.
fn regex_message(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            "the regular expression is too big when compiled: use fewer or smaller repetitions".to_owned()
        }
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("the regular expression cannot be read: {}", last.strip_prefix("error: ").unwrap_or(last))
        }
    }
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| {
        format!("`{}` is neither an address nor a network: write it like `10.0.0.0/8`", text.escape_debug())
    })?;
    if network.trunc() != network {
        return Err(format!("`{network}` has bits after its prefix: write `{}`", network.trunc()));
    }
    Ok(network)
}
