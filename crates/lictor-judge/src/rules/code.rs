// SPDX-License-Identifier: Apache-2.0
//! A checked condition: every node has its type, every field is found, every pattern compiled. What cannot be
//! evaluated cannot be written down in it.

use std::collections::{HashMap, HashSet};

use ipnet::IpNet;
use lictor_engine::policy::PathPattern;
use memchr::memmem::Finder;
use regex::Regex;

use super::fields::{NumberField, ParentField, TextField, TextsField};
use super::index;

/// Gives true or false.
#[derive(Debug)]
pub(crate) enum Bool {
    Constant(bool),
    /// All of them; an operand that fails only counts when none is false.
    And(Vec<Bool>),
    /// One of them; an operand that fails only counts when none is true.
    Or(Vec<Bool>),
    Not(Box<Bool>),
    If(Box<(Bool, Bool, Bool)>),
    Same(Box<(Bool, Bool)>),
    TextEqual(Text, Text),
    /// Equal to a literal.
    TextIs(Text, Box<str>),
    TextOrder(Order, Text, Text),
    IntOrder(Order, Int, Int),
    ListEqual(Box<(List, List)>),
    /// Contains a literal, or a match of a regular expression.
    Search(Text, Box<Search>),
    Contains(Text, Text),
    StartsWith(Text, Text),
    EndsWith(Text, Text),
    Glob(Text, Box<PathPattern>),
    Within(Text, IpNet),
    /// One of a list of literals.
    OneOf(Text, HashSet<Box<str>>),
    /// One of a list of numbers that are literals.
    OneOfInts(Int, Vec<i64>),
    In(Box<(Any, List)>),
    HasText(TextField),
    HasNumber(NumberField),
    HasTexts(TextsField),
    HasParents,
    HasParent(Parent),
    HasOfParent(Parent, ParentField),
    HasObject(fn(&lictor_api::event::Event) -> bool),
    Loop(Box<Loop>),
    Variable(usize),
    Element(Box<(List, Int)>),
}

/// What is looked for in a text.
#[derive(Debug)]
pub(crate) struct Search {
    what: What,
    /// Its number in the set's index; none outside of one.
    pub(crate) number: Option<u32>,
}

#[derive(Debug)]
enum What {
    Literal(Box<Finder<'static>>),
    Regex(Regex),
}

impl Search {
    pub(crate) fn literal(literal: &str) -> Search {
        Search { what: What::Literal(Box::new(Finder::new(literal.as_bytes()).into_owned())), number: None }
    }

    pub(crate) fn regex(regex: Regex) -> Search {
        Search { what: What::Regex(regex), number: None }
    }

    pub(crate) fn is_regex(&self) -> bool {
        matches!(self.what, What::Regex(_))
    }

    /// Takes the expression that others look for too, if there is one. What running it has left in memory is not taken along:
    /// each clone begins with nothing.
    pub(crate) fn share(&mut self, expressions: &mut HashMap<String, Regex>) {
        if let What::Regex(regex) = &mut self.what {
            let shared = expressions.entry(regex.as_str().to_owned()).or_insert_with(|| regex.clone());
            *regex = shared.clone();
        }
    }

    /// The expression, or the literal.
    pub(crate) fn pattern(&self) -> &str {
        match &self.what {
            // It was made from a text.
            What::Literal(finder) => std::str::from_utf8(finder.needle()).unwrap_or_default(),
            What::Regex(regex) => regex.as_str(),
        }
    }

    /// Literals one of which stands in every text where this finds something.
    pub(crate) fn literals(&self) -> Option<Vec<Vec<u8>>> {
        match &self.what {
            What::Literal(_) => index::literal_of(self.pattern()),
            What::Regex(regex) => index::literals_of(regex.as_str()),
        }
    }

    pub(crate) fn finds(&self, text: &str) -> bool {
        match &self.what {
            What::Literal(finder) => finder.find(text.as_bytes()).is_some(),
            What::Regex(regex) => regex.is_match(text),
        }
    }
}

/// `exists`, `all`, `exists_one` over a list.
#[derive(Debug)]
pub(crate) struct Loop {
    pub(crate) quantifier: Quantifier,
    pub(crate) list: List,
    /// The variable's number: how many loops stand around this one.
    pub(crate) variable: usize,
    pub(crate) body: Bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantifier {
    Exists,
    All,
    One,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Order {
    pub(crate) fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Order::Equal => order.is_eq(),
            Order::NotEqual => order.is_ne(),
            Order::Less => order.is_lt(),
            Order::LessEqual => order.is_le(),
            Order::Greater => order.is_gt(),
            Order::GreaterEqual => order.is_ge(),
        }
    }
}

/// Gives text.
#[derive(Debug)]
pub(crate) enum Text {
    Literal(Box<str>),
    Field(TextField),
    /// A field in lower case, which is made once an event however many rules ask.
    LowerField(TextField),
    OfParent(Parent, ParentField),
    Variable(usize),
    Element(Box<(List, Int)>),
    If(Box<(Bool, Text, Text)>),
    Concat(Box<(Text, Text)>),
    Lower(Box<Text>),
    Upper(Box<Text>),
    Trim(Box<Text>),
    Basename(Box<Text>),
    Replace(Box<(Text, Text, Text)>),
    Substring(Box<(Text, Int, Option<Int>)>),
    CharAt(Box<(Text, Int)>),
    Join(Box<(List, Text)>),
    OfInt(Box<Int>),
    OfBool(Box<Bool>),
}

/// Gives a whole number.
#[derive(Debug)]
pub(crate) enum Int {
    Literal(i64),
    Field(NumberField),
    PidOf(Parent),
    Variable(usize),
    Element(Box<(List, Int)>),
    If(Box<(Bool, Int, Int)>),
    Negate(Box<Int>),
    Arithmetic(Arithmetic, Box<(Int, Int)>),
    /// Characters, not bytes.
    LengthOf(Box<Text>),
    SizeOf(Box<List>),
    IndexOf(Box<(Text, Text)>),
    LastIndexOf(Box<(Text, Text)>),
    Parse(Box<Text>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Gives a list.
#[derive(Debug)]
pub(crate) enum List {
    Literal(Vec<Any>),
    Texts(TextsField),
    ArgsOf(Parent),
    Ancestors,
    Variable(usize),
    Element(Box<(List, Int)>),
    If(Box<(Bool, List, List)>),
    Concat(Box<(List, List)>),
    Split(Box<(Text, Text)>),
    Map(Box<Map>),
}

/// `map` and `filter`: each element that `keep` holds for, as `body`.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) list: List,
    pub(crate) variable: usize,
    pub(crate) keep: Option<Bool>,
    /// Without one the elements stay what they are.
    pub(crate) body: Option<Any>,
}

/// Gives a parent or another ancestor, if there is one.
#[derive(Debug)]
pub(crate) enum Parent {
    OfProcess,
    Variable(usize),
    Element(Box<(List, Int)>),
}

/// Gives any of them.
#[derive(Debug)]
pub(crate) enum Any {
    Bool(Bool),
    Int(Int),
    Text(Text),
    List(List),
    Parent(Parent),
}
