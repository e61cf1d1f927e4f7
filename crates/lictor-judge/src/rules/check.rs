// SPDX-License-Identifier: Apache-2.0
//! Checks a condition against the table of fields and makes its code. All mistakes of a condition are found at once,
//! each with its place.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators};
use lictor_api::event::Kind;
use lictor_engine::policy::hint;

use super::calls;
use super::code::{Any, Arithmetic, Bool, Int, List, Loop, Map, Order, Parent, Quantifier, Text};
use super::fields::{Field, Get, JUDGED, ParentField, Scope};
use crate::case::Basis;

/// A longer condition is refused unread.
pub const MAX_CONDITION: usize = 64 << 10;
/// Operators, calls and brackets inside each other; bounds the recursion of everything that walks a condition.
pub(crate) const MAX_DEPTH: usize = 96;
/// Loops inside each other: what a condition costs grows with this power.
const MAX_LOOPS: usize = 2;

/// A mistake and the byte of the condition that it stands at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) offset: usize,
    pub(crate) message: String,
}

/// A condition that can be evaluated.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) code: Bool,
    /// What its fields are remembered by.
    pub(crate) basis: Basis,
}

/// Parses and checks the condition of a rule for events of `kinds`.
pub(crate) fn check(source: &str, kinds: &[Kind]) -> Result<Checked, Vec<Mistake>> {
    check_in(Scope::Rule, source, kinds)
}

/// Parses and checks a condition about recorded events of every kind.
pub(crate) fn check_filter(source: &str) -> Result<Checked, Vec<Mistake>> {
    check_in(Scope::Filter, source, JUDGED)
}

fn check_in(scope: Scope, source: &str, kinds: &[Kind]) -> Result<Checked, Vec<Mistake>> {
    let (tree, info) = super::syntax::parse(source)?;
    let mut checker = Checker {
        scope,
        source,
        info: &info,
        kinds,
        mistakes: Vec::new(),
        basis: Basis::Object,
        variables: Vec::new(),
    };
    let checked = checker.expression(&tree);
    let code = checked.and_then(|typed| match typed.code {
        Any::Bool(code) => Some(code),
        _ => checker.fail(0, format!("a condition is true or false, and this gives {}", typed.of)),
    });
    match code {
        Some(code) if checker.mistakes.is_empty() => Ok(Checked { code, basis: checker.basis }),
        _ => Err(checker.mistakes),
    }
}

/// The type of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Int,
    Text,
    Parent,
    List(Box<Type>),
    /// The elements of `[]`.
    Nothing,
}

impl Type {
    /// The type that both are, where `[]` is a list of anything.
    fn common(&self, other: &Type) -> Option<Type> {
        match (self, other) {
            (Type::Nothing, other) | (other, Type::Nothing) => Some(other.clone()),
            (Type::List(left), Type::List(right)) => left.common(right).map(|inner| Type::List(Box::new(inner))),
            (left, right) => (left == right).then(|| left.clone()),
        }
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Type::Bool => f.write_str("true or false"),
            Type::Int => f.write_str("a number"),
            Type::Text => f.write_str("text"),
            Type::Parent => f.write_str("a process"),
            Type::List(inner) if **inner == Type::Parent => f.write_str("a list of processes"),
            Type::List(inner) if **inner == Type::Text => f.write_str("a list of texts"),
            Type::List(inner) if **inner == Type::Int => f.write_str("a list of numbers"),
            Type::List(_) => f.write_str("a list"),
            Type::Nothing => f.write_str("nothing"),
        }
    }
}

pub(crate) struct Typed {
    pub(crate) code: Any,
    pub(crate) of: Type,
}

impl Typed {
    pub(crate) fn bool(code: Bool) -> Typed {
        Typed { code: Any::Bool(code), of: Type::Bool }
    }

    pub(crate) fn int(code: Int) -> Typed {
        Typed { code: Any::Int(code), of: Type::Int }
    }

    pub(crate) fn text(code: Text) -> Typed {
        Typed { code: Any::Text(code), of: Type::Text }
    }

    pub(crate) fn list(code: List, element: Type) -> Typed {
        Typed { code: Any::List(code), of: Type::List(Box::new(element)) }
    }
}

pub(crate) struct Checker<'s> {
    scope: Scope,
    source: &'s str,
    info: &'s SourceInfo,
    kinds: &'s [Kind],
    mistakes: Vec<Mistake>,
    basis: Basis,
    /// The variables of the loops around, outermost first.
    variables: Vec<(String, Type)>,
}

impl Checker<'_> {
    pub(crate) fn fail<T>(&mut self, offset: usize, message: impl Into<String>) -> Option<T> {
        self.mistakes.push(Mistake { offset, message: message.into() });
        None
    }

    pub(crate) fn offset(&self, expression: &IdedExpr) -> usize {
        self.info.offset_for(expression.id).map_or(0, |(start, _)| start as usize)
    }

    /// Where the expression begins, for a message about the whole of it.
    pub(crate) fn start(&self, expression: &IdedExpr) -> usize {
        let own = self.offset(expression);
        match &expression.expr {
            Expr::Select(select) if !select.test => self.start(&select.operand),
            Expr::Call(CallExpr { target: Some(target), .. }) => self.start(target),
            Expr::Comprehension(loops) => self.start(&loops.iter_range),
            Expr::Call(call) if call.args.len() >= 2 && find_operator(&call.func_name) => self.start(&call.args[0]),
            Expr::Call(call) if !find_operator(&call.func_name) => self.name_before(own),
            _ => own,
        }
    }

    /// The name that stands before the bracket at `offset`.
    pub(crate) fn name_before(&self, offset: usize) -> usize {
        let before = self.source.get(..offset).unwrap_or_default().trim_end();
        let name = before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_');
        if name.len() == before.len() { offset } else { name.len() }
    }

    /// The name that follows the dot at `offset`.
    fn name_after(&self, offset: usize) -> usize {
        let after = self.source.get(offset + 1..).unwrap_or_default();
        offset + 1 + (after.len() - after.trim_start().len())
    }

    pub(crate) fn expression(&mut self, expression: &IdedExpr) -> Option<Typed> {
        let at = self.offset(expression);
        match &expression.expr {
            Expr::Literal(literal) => self.literal(literal, at),
            Expr::Ident(_) => self.path(expression),
            Expr::Select(select) if select.test => self.has(select, at),
            Expr::Select(select) => self.select(expression, select, at),
            Expr::Call(call) => self.call(expression, call, at),
            Expr::List(list) => self.list(&list.elements),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, at),
            Expr::Map(_) | Expr::Struct(_) => self.fail(at, "conditions know no maps or messages: use a list"),
            Expr::Unspecified => self.fail(at, "there is no expression here"),
        }
    }

    fn literal(&mut self, literal: &LiteralValue, at: usize) -> Option<Typed> {
        match literal {
            LiteralValue::Boolean(value) => Some(Typed::bool(Bool::Constant(*value.inner()))),
            LiteralValue::Int(value) => Some(Typed::int(Int::Literal(*value.inner()))),
            LiteralValue::String(value) => Some(Typed::text(Text::Literal(value.inner().into()))),
            LiteralValue::UInt(value) => {
                let value = *value.inner();
                self.fail(at, format!("numbers are written without `u`: write {value}"))
            }
            LiteralValue::Double(_) => self.fail(at, "an event has no numbers with a fraction: write a whole number"),
            LiteralValue::Bytes(_) => self.fail(at, "conditions compare text, not bytes: leave out the `b`"),
            LiteralValue::Null => self.fail(at, "nothing is ever null: ask `has(...)` whether the event has a field"),
        }
    }

    /// The names that `a.b.c` is made of, each with its place.
    fn segments<'e>(&self, expression: &'e IdedExpr) -> Option<Vec<(&'e str, usize)>> {
        match &expression.expr {
            Expr::Ident(name) => Some(vec![(name.as_str(), self.offset(expression))]),
            Expr::Select(select) if !select.test => {
                let mut segments = self.segments(&select.operand)?;
                segments.push((select.field.as_str(), self.name_after(self.offset(expression))));
                Some(segments)
            }
            _ => None,
        }
    }

    fn variable(&self, name: &str) -> Option<(usize, Type)> {
        let number = self.variables.iter().rposition(|(known, _)| known == name)?;
        Some((number, self.variables.get(number)?.1.clone()))
    }

    fn select(&mut self, expression: &IdedExpr, select: &SelectExpr, at: usize) -> Option<Typed> {
        match self.segments(&select.operand) {
            Some(segments) if self.variable(segments[0].0).is_none() => self.path(expression),
            _ => {
                let operand = self.expression(&select.operand)?;
                let name = self.name_after(at);
                let (parent, field) = self.field_of_parent(operand, &select.field, name)?;
                Some(of_parent(parent, field))
            }
        }
    }

    fn field_of_parent(&mut self, operand: Typed, name: &str, at: usize) -> Option<(Parent, ParentField)> {
        let Any::Parent(parent) = operand.code else {
            return self.fail(at, format!("{} has no field `{name}`", operand.of));
        };
        match ParentField::named(name) {
            Some(field) => {
                let basis = if matches!(parent, Parent::OfProcess) { field.basis() } else { Basis::Once };
                self.basis = self.basis.max(basis);
                Some((parent, field))
            }
            None => {
                let known = self.scope.below("process.parent");
                self.fail(at, format!("an ancestor has no field `{name}`{}", hint(name, &known)))
            }
        }
    }

    /// A variable or a field.
    fn path(&mut self, expression: &IdedExpr) -> Option<Typed> {
        let segments = self.segments(expression)?;
        if let ([(name, _)], Some((number, of))) = (segments.as_slice(), self.variable(segments[0].0)) {
            let code = match &of {
                Type::Bool => Any::Bool(Bool::Variable(number)),
                Type::Int => Any::Int(Int::Variable(number)),
                Type::Text => Any::Text(Text::Variable(number)),
                Type::Parent => Any::Parent(Parent::Variable(number)),
                Type::List(_) => Any::List(List::Variable(number)),
                Type::Nothing => return self.fail(0, format!("`{name}` never has a value: the list is empty")),
            };
            return Some(Typed { code, of });
        }
        let Found { field, rest } = self.field(&segments)?;
        if let Some((name, at)) = rest {
            let typed = Typed { code: Any::Parent(Parent::OfProcess), of: Type::Parent };
            let (parent, field) = self.field_of_parent(typed, name, at)?;
            return Some(of_parent(parent, field));
        }
        let (_, at) = *segments.last()?;
        match field.get {
            Get::Text(get) => Some(Typed::text(Text::Field(get))),
            Get::Number(get) => {
                // A number has no value to stand for "absent", so that such an event would count as a match of a deny.
                let without: Vec<_> = self.kinds.iter().filter(|kind| !field.kinds.contains(kind)).collect();
                if let (Scope::Rule, Some(kind)) = (self.scope, without.first()) {
                    let message = format!(
                        "`{}` is never known of `{kind}` events, which are among the rule's kinds: make it a rule of its own",
                        field.path
                    );
                    return self.fail(at, message);
                }
                Some(Typed::int(Int::Field(get)))
            }
            Get::Texts(get) => Some(Typed::list(List::Texts(get), Type::Text)),
            Get::Parents => Some(Typed::list(List::Ancestors, Type::Parent)),
            Get::Parent | Get::Object(_) => {
                let below: Vec<_> =
                    self.scope.below(field.path).iter().map(|n| format!("{}.{n}", field.path)).collect();
                self.fail(at, format!("`{}` has no value of its own: name one of {}", field.path, below.join(", ")))
            }
        }
    }

    fn field<'e>(&mut self, segments: &[(&'e str, usize)]) -> Option<Found<'e>> {
        let mut path = String::new();
        let mut found: Option<&'static Field> = None;
        for (index, (name, at)) in segments.iter().enumerate() {
            let longer = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
            match (self.scope.named(&longer), found) {
                (Some(field), _) => found = Some(field),
                (None, Some(Field { get: Get::Parent, .. })) if index + 1 == segments.len() => {
                    self.note(found?);
                    return Some(Found { field: found?, rest: Some((*name, *at)) });
                }
                (None, Some(field)) if !matches!(field.get, Get::Object(_) | Get::Parent) => {
                    let what = match field.get {
                        Get::Text(_) => "text",
                        Get::Number(_) => "a number",
                        _ => "a list",
                    };
                    return self.fail(*at, format!("`{path}` is {what} and has no field `{name}`"));
                }
                (None, _) => {
                    let known = self.scope.below(&path);
                    let message = match path.as_str() {
                        "" if *name == "lost" => "events of kind `lost` are not judged".to_owned(),
                        "" => format!("unknown name `{name}`{}", hint(name, &known)),
                        _ => format!("`{path}` has no field `{name}`{}", hint(name, &known)),
                    };
                    return self.fail(*at, message);
                }
            }
            path = longer;
        }
        let field = found?;
        if !self.kinds.iter().any(|kind| field.kinds.contains(kind)) {
            let words = |kinds: &[Kind]| kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ");
            let message = format!(
                "`{}` is only known of {} events, and the rule's kinds are {}",
                field.path,
                words(field.kinds),
                words(self.kinds)
            );
            return self.fail(segments[0].1, message);
        }
        self.note(field);
        Some(Found { field, rest: None })
    }

    fn note(&mut self, field: &Field) {
        self.basis = self.basis.max(field.basis);
    }

    fn has(&mut self, select: &SelectExpr, at: usize) -> Option<Typed> {
        let operand = &select.operand;
        let path = self.segments(operand).filter(|segments| self.variable(segments[0].0).is_none());
        let Some(mut segments) = path else {
            let operand = self.expression(operand)?;
            let (parent, field) = self.field_of_parent(operand, &select.field, at)?;
            return Some(Typed::bool(Bool::HasOfParent(parent, field)));
        };
        // The tree keeps no place of the name after the dot; it follows what stands before it.
        let place = segments.last().map_or(at, |(name, at)| at + name.len() + 1);
        segments.push((select.field.as_str(), place));
        let Found { field, rest } = self.field(&segments)?;
        Some(Typed::bool(match (rest, field.get) {
            (Some((name, at)), _) => {
                let typed = Typed { code: Any::Parent(Parent::OfProcess), of: Type::Parent };
                let (parent, field) = self.field_of_parent(typed, name, at)?;
                Bool::HasOfParent(parent, field)
            }
            (None, Get::Text(get)) => Bool::HasText(get),
            (None, Get::Number(get)) => Bool::HasNumber(get),
            (None, Get::Texts(get)) => Bool::HasTexts(get),
            (None, Get::Parents) => Bool::HasParents,
            (None, Get::Parent) => {
                self.basis = Basis::Once;
                Bool::HasParent(Parent::OfProcess)
            }
            (None, Get::Object(present)) => Bool::HasObject(present),
        }))
    }

    fn list(&mut self, elements: &[IdedExpr]) -> Option<Typed> {
        let mut of = Type::Nothing;
        let mut items = Vec::with_capacity(elements.len());
        let mut good = true;
        for element in elements {
            let Some(item) = self.expression(element) else {
                good = false;
                continue;
            };
            match of.common(&item.of) {
                Some(common) => of = common,
                None => {
                    let at = self.start(element);
                    let message = format!("the elements of a list have one type, and this is {} after {of}", item.of);
                    good = self.fail::<()>(at, message).is_some();
                }
            }
            items.push(item.code);
        }
        good.then(|| Typed::list(List::Literal(items), of))
    }

    fn call(&mut self, expression: &IdedExpr, call: &CallExpr, at: usize) -> Option<Typed> {
        let name = call.func_name.as_str();
        let args = call.args.as_slice();
        match (name, args) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, _) => {
                let mut operands = Vec::new();
                self.operands(expression, name, &mut operands)?;
                // The outcome does not depend on the order, so what is cheap is asked first.
                operands.sort_by_key(cost);
                let and = name == operators::LOGICAL_AND;
                Some(Typed::bool(if and { Bool::And(operands) } else { Bool::Or(operands) }))
            }
            (operators::LOGICAL_NOT, [operand]) => match self.expression(operand)? {
                Typed { code: Any::Bool(code), .. } => Some(Typed::bool(Bool::Not(Box::new(code)))),
                Typed { of, .. } => self.fail(at, format!("`!` takes true or false, not {of}")),
            },
            (operators::NEGATE, [operand]) => match self.expression(operand)? {
                Typed { code: Any::Int(code), .. } => Some(Typed::int(Int::Negate(Box::new(code)))),
                Typed { of, .. } => self.fail(at, format!("`-` takes a number, not {of}")),
            },
            (operators::CONDITIONAL, [condition, yes, no]) => self.conditional(condition, yes, no, at),
            (operators::IN, [value, list]) => {
                let (value, list) = (self.expression(value), self.expression(list));
                self.is_in(value?, list?, at)
            }
            (operators::INDEX, [list, index]) => {
                let (list, index) = (self.expression(list), self.expression(index));
                self.index(list?, index?, at)
            }
            (_, [left, right]) if find_operator(name) => {
                let (left, right) = (self.expression(left), self.expression(right));
                self.binary(name, left?, right?, at)
            }
            _ if find_operator(name) => self.fail(at, "this operator is not known here"),
            _ => calls::call(self, call, at),
        }
    }

    /// The operands of a run of the same connective, however the parser grouped them.
    fn operands(&mut self, expression: &IdedExpr, operator: &str, out: &mut Vec<Bool>) -> Option<()> {
        match &expression.expr {
            Expr::Call(call) if call.func_name == operator => {
                let results: Vec<_> = call.args.iter().map(|side| self.operands(side, operator, out)).collect();
                results.into_iter().collect()
            }
            _ => match self.expression(expression)? {
                Typed { code: Any::Bool(code), .. } => {
                    out.push(code);
                    Some(())
                }
                Typed { of, .. } => {
                    let sign = if operator == operators::LOGICAL_AND { "&&" } else { "||" };
                    let at = self.start(expression);
                    self.fail(at, format!("`{sign}` takes true or false, not {of}"))
                }
            },
        }
    }

    fn conditional(&mut self, condition: &IdedExpr, yes: &IdedExpr, no: &IdedExpr, at: usize) -> Option<Typed> {
        let typed = (self.expression(condition), self.expression(yes), self.expression(no));
        let (condition, yes, no) = (typed.0?, typed.1?, typed.2?);
        let Any::Bool(condition) = condition.code else {
            return self.fail(at, format!("`?` takes true or false before it, not {}", condition.of));
        };
        let Some(of) = yes.of.common(&no.of) else {
            return self.fail(at, format!("both sides of `:` have one type, and these are {} and {}", yes.of, no.of));
        };
        Some(match (yes.code, no.code) {
            (Any::Bool(yes), Any::Bool(no)) => Typed::bool(Bool::If(Box::new((condition, yes, no)))),
            (Any::Int(yes), Any::Int(no)) => Typed::int(Int::If(Box::new((condition, yes, no)))),
            (Any::Text(yes), Any::Text(no)) => Typed::text(Text::If(Box::new((condition, yes, no)))),
            (Any::List(yes), Any::List(no)) => Typed { code: Any::List(List::If(Box::new((condition, yes, no)))), of },
            _ => return self.fail(at, "a process cannot be chosen: choose its field"),
        })
    }

    fn is_in(&mut self, value: Typed, list: Typed, at: usize) -> Option<Typed> {
        let Any::List(items) = list.code else {
            return self.fail(at, format!("`in` takes a list after it, not {}", list.of));
        };
        let inner = match list.of {
            Type::List(inner) => *inner,
            _ => Type::Nothing,
        };
        if inner == Type::Nothing {
            return self.fail(at, "nothing is in an empty list: this is never true");
        }
        if value.of.common(&inner).is_none() {
            return self
                .fail(at, format!("{} is never in a list of other things: {}", value.of, Type::List(inner.into())));
        }
        Some(Typed::bool(match (value.code, items) {
            (Any::Parent(_), _) => return self.fail(at, "processes cannot be compared: compare their fields"),
            (Any::Text(value), List::Literal(items)) if items.iter().all(is_literal) => {
                let literals: Vec<Box<str>> = items.into_iter().filter_map(literal_text).collect();
                for literal in &literals {
                    self.possible(&value, literal, at)?;
                }
                Bool::OneOf(value, literals.into_iter().collect())
            }
            (Any::Int(value), List::Literal(items)) if items.iter().all(is_literal) => {
                let number = |item| if let Any::Int(Int::Literal(number)) = item { Some(number) } else { None };
                Bool::OneOfInts(value, items.into_iter().filter_map(number).collect())
            }
            (value, items) => Bool::In(Box::new((value, items))),
        }))
    }

    /// Whether a field whose words are fixed can be this one.
    fn possible(&mut self, field: &Text, word: &str, at: usize) -> Option<()> {
        let Text::Field(field) = field else { return Some(()) };
        match field.words() {
            Some(words) if !words.contains(&word) => {
                self.fail(at, format!("it is never `{}`{}", word.escape_debug(), hint(word, &words)))
            }
            _ => Some(()),
        }
    }

    fn index(&mut self, list: Typed, index: Typed, at: usize) -> Option<Typed> {
        let (Any::List(items), Type::List(of)) = (list.code, list.of.clone()) else {
            return self.fail(at, format!("only a list has elements by number, and this is {}", list.of));
        };
        let Any::Int(index) = index.code else {
            return self.fail(at, format!("an element is named by its number, not by {}", index.of));
        };
        let parts = Box::new((items, index));
        let code = match &*of {
            Type::Bool => Any::Bool(Bool::Element(parts)),
            Type::Int => Any::Int(Int::Element(parts)),
            Type::Text => Any::Text(Text::Element(parts)),
            Type::Parent => Any::Parent(Parent::Element(parts)),
            Type::List(_) => Any::List(List::Element(parts)),
            Type::Nothing => return self.fail(at, "an empty list has no elements"),
        };
        Some(Typed { code, of: *of })
    }

    fn binary(&mut self, operator: &str, left: Typed, right: Typed, at: usize) -> Option<Typed> {
        let sign = operator.trim_matches('_');
        let order = match operator {
            operators::EQUALS => Some(Order::Equal),
            operators::NOT_EQUALS => Some(Order::NotEqual),
            operators::LESS => Some(Order::Less),
            operators::LESS_EQUALS => Some(Order::LessEqual),
            operators::GREATER => Some(Order::Greater),
            operators::GREATER_EQUALS => Some(Order::GreaterEqual),
            _ => None,
        };
        let Some(common) = left.of.common(&right.of) else {
            let verb = if order.is_some() { "compares two of the same type" } else { "takes two of the same type" };
            return self.fail(at, format!("`{sign}` {verb}, and these are {} and {}", left.of, right.of));
        };
        if let Some(order) = order {
            return self.comparison(order, sign, left.code, right.code, &common, at).map(Typed::bool);
        }
        let arithmetic = match operator {
            operators::ADD => Arithmetic::Add,
            operators::SUBSTRACT => Arithmetic::Subtract,
            operators::MULTIPLY => Arithmetic::Multiply,
            operators::DIVIDE => Arithmetic::Divide,
            operators::MODULO => Arithmetic::Remainder,
            _ => return self.fail(at, format!("`{sign}` is not known here")),
        };
        match (left.code, right.code, arithmetic) {
            (Any::Int(left), Any::Int(right), _) => {
                Some(Typed::int(Int::Arithmetic(arithmetic, Box::new((left, right)))))
            }
            (Any::Text(left), Any::Text(right), Arithmetic::Add) => {
                Some(Typed::text(Text::Concat(Box::new((left, right)))))
            }
            (Any::List(left), Any::List(right), Arithmetic::Add) => {
                Some(Typed { code: Any::List(List::Concat(Box::new((left, right)))), of: common })
            }
            _ => self.fail(at, format!("`{sign}` cannot be applied to {common}")),
        }
    }

    fn comparison(&mut self, order: Order, sign: &str, left: Any, right: Any, of: &Type, at: usize) -> Option<Bool> {
        let equality = matches!(order, Order::Equal | Order::NotEqual);
        let equal = match (left, right) {
            (Any::Int(left), Any::Int(right)) => return Some(Bool::IntOrder(order, left, right)),
            (Any::Text(left), Any::Text(right)) if !equality => return Some(Bool::TextOrder(order, left, right)),
            (Any::Text(text), Any::Text(Text::Literal(literal)))
            | (Any::Text(Text::Literal(literal)), Any::Text(text)) => {
                self.possible(&text, &literal, at)?;
                Bool::TextIs(text, literal)
            }
            (Any::Text(left), Any::Text(right)) => Bool::TextEqual(left, right),
            (Any::Bool(left), Any::Bool(right)) if equality => Bool::Same(Box::new((left, right))),
            (Any::Parent(_), _) => return self.fail(at, "processes cannot be compared: compare their fields"),
            (Any::List(_), Any::List(_)) if equality && of_parents(of) => {
                return self.fail(at, "lists of processes cannot be compared: compare their fields");
            }
            (Any::List(left), Any::List(right)) if equality => Bool::ListEqual(Box::new((left, right))),
            _ => return self.fail(at, format!("`{sign}` cannot be applied to {of}")),
        };
        Some(if order == Order::Equal { equal } else { Bool::Not(Box::new(equal)) })
    }

    fn comprehension(&mut self, code: &ComprehensionExpr, at: usize) -> Option<Typed> {
        let name_at = self.name_before(at);
        let list = self.expression(&code.iter_range);
        let (items, element) = match list? {
            Typed { code: Any::List(items), of: Type::List(element) } => (items, *element),
            Typed { of, .. } => return self.fail(name_at, format!("only a list can be gone through, not {of}")),
        };
        if self.variables.len() >= MAX_LOOPS {
            return self.fail(name_at, format!("loops nest at most {MAX_LOOPS} deep"));
        }
        let name = &code.iter_var;
        if code.iter_var2.is_some() || name.starts_with('@') {
            return self.fail(name_at, "a loop has one variable");
        }
        if self.scope.below("").contains(&name.as_str()) || self.variable(name).is_some() {
            return self.fail(name_at, format!("`{name}` means something already: choose another name"));
        }
        let variable = self.variables.len();
        self.variables.push((name.clone(), element.clone()));
        let typed = self.loop_body(code, items, element, variable, name_at);
        self.variables.pop();
        typed
    }

    /// Tells the loops apart by what the parser's macros made of them.
    fn loop_body(
        &mut self,
        code: &ComprehensionExpr,
        list: List,
        element: Type,
        variable: usize,
        at: usize,
    ) -> Option<Typed> {
        let Expr::Call(step) = &code.loop_step.expr else { return self.fail(at, "this loop is not known") };
        let added = |step: &CallExpr| match step.args.as_slice() {
            [_, IdedExpr { expr: Expr::List(list), .. }] if step.func_name == operators::ADD => {
                list.elements.first().cloned()
            }
            _ => None,
        };
        let (made, condition) = match (step.func_name.as_str(), step.args.as_slice()) {
            (operators::LOGICAL_OR, [_, body]) => (None, Some((Quantifier::Exists, body))),
            (operators::LOGICAL_AND, [_, body]) => (None, Some((Quantifier::All, body))),
            (operators::CONDITIONAL, [body, IdedExpr { expr: Expr::Call(inner), .. }, _]) => match added(inner) {
                Some(made) => (Some((Some(body), made)), None),
                None => (None, Some((Quantifier::One, body))),
            },
            _ => match added(step) {
                Some(made) => (Some((None, made)), None),
                None => return self.fail(at, "this loop is not known"),
            },
        };
        if let Some((quantifier, body)) = condition {
            let body = self.truth(body)?;
            return Some(Typed::bool(Bool::Loop(Box::new(Loop { quantifier, list, variable, body }))));
        }
        let (keep, made) = made?;
        let keep = match keep {
            Some(keep) => Some(self.truth(keep)?),
            None => None,
        };
        let same = matches!(&made.expr, Expr::Ident(name) if *name == code.iter_var);
        if same {
            return Some(Typed::list(List::Map(Box::new(Map { list, variable, keep, body: None })), element));
        }
        let body = self.expression(&made)?;
        if body.of == Type::Parent {
            return self.fail(at, "a list of processes is made with `filter` only");
        }
        Some(Typed::list(List::Map(Box::new(Map { list, variable, keep, body: Some(body.code) })), body.of))
    }

    /// An expression that must be true or false.
    fn truth(&mut self, expression: &IdedExpr) -> Option<Bool> {
        match self.expression(expression)? {
            Typed { code: Any::Bool(code), .. } => Some(code),
            Typed { of, .. } => {
                let at = self.start(expression);
                self.fail(at, format!("a loop's condition is true or false, and this gives {of}"))
            }
        }
    }
}

struct Found<'e> {
    field: &'static Field,
    /// The name after `process.parent`.
    rest: Option<(&'e str, usize)>,
}

fn of_parent(parent: Parent, field: ParentField) -> Typed {
    match field {
        ParentField::Pid => Typed::int(Int::PidOf(parent)),
        ParentField::Exe | ParentField::Cmdline => Typed::text(Text::OfParent(parent, field)),
        ParentField::Args => Typed::list(List::ArgsOf(parent), Type::Text),
    }
}

fn of_parents(of: &Type) -> bool {
    match of {
        Type::Parent => true,
        Type::List(inner) => of_parents(inner),
        _ => false,
    }
}

fn find_operator(name: &str) -> bool {
    name.starts_with(['_', '!', '-', '@'])
}

fn is_literal(item: &Any) -> bool {
    matches!(item, Any::Text(Text::Literal(_)) | Any::Int(Int::Literal(_)))
}

fn literal_text(item: Any) -> Option<Box<str>> {
    if let Any::Text(Text::Literal(text)) = item { Some(text) } else { None }
}

/// A guess at what asking costs, only to ask in a good order.
fn cost(code: &Bool) -> u32 {
    match code {
        Bool::Constant(_) | Bool::HasText(_) | Bool::HasNumber(_) | Bool::HasTexts(_) | Bool::HasObject(_) => 0,
        Bool::HasParents | Bool::HasParent(_) | Bool::IntOrder(..) | Bool::OneOfInts(..) | Bool::Variable(_) => 1,
        Bool::TextIs(text, _) | Bool::EndsWith(text, _) | Bool::StartsWith(text, _) => 2 + text_cost(text),
        Bool::TextEqual(text, _) | Bool::TextOrder(_, text, _) => 3 + text_cost(text),
        Bool::OneOf(text, _) => 5 + text_cost(text),
        // Most searches are answered by the index.
        Bool::Search(Text::Field(_) | Text::LowerField(_), _) => 4,
        Bool::Search(text, search) => {
            if search.is_regex() {
                40 + text_cost(text)
            } else {
                8 + text_cost(text)
            }
        }
        Bool::Contains(text, _) => 8 + text_cost(text),
        Bool::Glob(text, _) => 12 + text_cost(text),
        Bool::Within(text, _) => 15 + text_cost(text),
        // What a rule excepts is asked when the rest holds.
        Bool::Not(inner) => cost(inner) + 50,
        Bool::And(operands) => operands.first().map_or(0, cost) + 1,
        Bool::Or(operands) => operands.iter().map(cost).sum(),
        Bool::If(parts) => cost(&parts.0) + cost(&parts.1).max(cost(&parts.2)),
        Bool::Same(sides) => cost(&sides.0) + cost(&sides.1),
        Bool::Loop(inner) => 20 + 8 * cost(&inner.body),
        Bool::HasOfParent(..) | Bool::Element(_) | Bool::In(_) | Bool::ListEqual(_) => 20,
    }
}

fn text_cost(text: &Text) -> u32 {
    match text {
        Text::Literal(_) | Text::Field(_) | Text::Variable(_) | Text::OfParent(..) => 0,
        Text::Basename(_) | Text::LowerField(_) => 3,
        _ => 20,
    }
}
