// SPDX-License-Identifier: Apache-2.0
//! The functions that a condition may call: the one table that the checker and the published list are made from.

/// One function, or one way to call it.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// What it is called on; none for `name(...)`.
    pub(crate) receiver: Option<Parameter>,
    pub(crate) parameters: &'static [Parameter],
    /// How many of the last ones may be left out.
    pub(crate) optional: usize,
    pub(crate) make: Make,
    pub(crate) result: &'static str,
    pub(crate) about: &'static str,
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    Bool,
    Int,
    Text,
    List,
    Texts,
    /// A regular expression, written out: what an event says must not become a pattern.
    Regex,
    /// A path pattern, written out.
    Glob,
    /// An address or network, written out.
    Network,
}

impl Parameter {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Parameter::Bool => "bool",
            Parameter::Int => "int",
            Parameter::Text => "string",
            Parameter::List => "list",
            Parameter::Texts => "list of string",
            Parameter::Regex => "regex",
            Parameter::Glob => "pattern",
            Parameter::Network => "network",
        }
    }
}

/// Which code the checker makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    Glob,
    Within,
    Basename,
    Lower,
    Upper,
    Trim,
    Replace,
    Substring,
    CharAt,
    IndexOf,
    LastIndexOf,
    Split,
    Join,
    SizeOfText,
    SizeOfList,
    TextOfInt,
    TextOfBool,
    TextOfText,
    IntOfText,
    IntOfInt,
}

use Parameter::{Bool, Glob, Int, List, Network, Regex, Text, Texts};

const fn on(
    receiver: Parameter,
    name: &'static str,
    parameters: &'static [Parameter],
    result: &'static str,
    make: Make,
    about: &'static str,
) -> Function {
    Function { name, receiver: Some(receiver), parameters, optional: 0, make, result, about }
}

const fn of(
    name: &'static str,
    parameters: &'static [Parameter],
    result: &'static str,
    make: Make,
    about: &'static str,
) -> Function {
    Function { name, receiver: None, parameters, optional: 0, make, result, about }
}

/// Every function, in the order of the published list.
pub(crate) const FUNCTIONS: &[Function] = &[
    of("basename", &[Text], "string", Make::Basename, "what follows the last `/`; the whole text when there is none"),
    of("glob", &[Text, Glob], "bool", Make::Glob, "whether a path pattern, as in a policy, names the path"),
    of("cidr", &[Text, Network], "bool", Make::Within, "whether the text is an IP address in the network"),
    on(Text, "contains", &[Text], "bool", Make::Contains, "whether the text has that part"),
    on(Text, "startsWith", &[Text], "bool", Make::StartsWith, "whether the text begins so"),
    on(Text, "endsWith", &[Text], "bool", Make::EndsWith, "whether the text ends so"),
    on(Text, "matches", &[Regex], "bool", Make::Matches, "whether the regular expression (RE2 syntax) matches a part"),
    of("matches", &[Text, Regex], "bool", Make::Matches, "the same"),
    on(Text, "lowerAscii", &[], "string", Make::Lower, "A-Z in lower case"),
    on(Text, "upperAscii", &[], "string", Make::Upper, "a-z in upper case"),
    on(Text, "trim", &[], "string", Make::Trim, "without white space at both ends"),
    on(Text, "replace", &[Text, Text], "string", Make::Replace, "every occurrence of the first by the second"),
    Function {
        optional: 1,
        ..on(
            Text,
            "substring",
            &[Int, Int],
            "string",
            Make::Substring,
            "the characters from the first up to the second",
        )
    },
    on(Text, "charAt", &[Int], "string", Make::CharAt, "one character"),
    on(Text, "indexOf", &[Text], "int", Make::IndexOf, "where the part first stands, or -1"),
    on(Text, "lastIndexOf", &[Text], "int", Make::LastIndexOf, "where the part last stands, or -1"),
    on(Text, "split", &[Text], "list of string", Make::Split, "the pieces between the separators"),
    Function {
        optional: 1,
        ..on(Texts, "join", &[Text], "string", Make::Join, "the texts, with the separator between")
    },
    on(Text, "size", &[], "int", Make::SizeOfText, "number of characters"),
    on(List, "size", &[], "int", Make::SizeOfList, "number of elements"),
    of("size", &[Text], "int", Make::SizeOfText, "number of characters"),
    of("size", &[List], "int", Make::SizeOfList, "number of elements"),
    of("string", &[Int], "string", Make::TextOfInt, "the number in digits"),
    of("string", &[Bool], "string", Make::TextOfBool, "`true` or `false`"),
    of("string", &[Text], "string", Make::TextOfText, "the same text"),
    of("int", &[Text], "int", Make::IntOfText, "the number that the text is; fails for another text"),
    of("int", &[Int], "int", Make::IntOfInt, "the same number"),
];

/// The forms of the language besides functions, for the published list.
pub(crate) const FORMS: &[(&str, &str)] = &[
    ("`a && b`, `a \\|\\| b`, `!a`", "what decides wins over what fails: `false && x` is false even when `x` fails"),
    ("`c ? a : b`", "one of two of the same type"),
    ("`==`, `!=`, `<`, `<=`, `>`, `>=`", "two of the same type; lists and bools only `==` and `!=`"),
    ("`+`, `-`, `*`, `/`, `%`", "numbers; `+` also joins two strings or two lists"),
    ("`a in list`, `list[0]`", "membership; an element by its number"),
    ("`has(process.parent)`", "whether the event has the field"),
    ("`list.exists(x, condition)`, `.all`, `.exists_one`", "at least one, each, exactly one"),
    ("`list.filter(x, condition)`, `list.map(x, value)`", "a list made of another"),
];
