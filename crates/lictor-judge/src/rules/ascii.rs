// SPDX-License-Identifier: Apache-2.0
//! The classes `\d` and `\w` and the boundaries `\b`, `\B` of a regular expression, of ASCII as CEL has them: the library takes
//! all of Unicode for them, in tens of times the memory. Two things are wider than CEL's, or else a rule could be walked
//! round: what is not of ASCII fits `\w` as well as `\W` (a folder may be named `é`), and `\s` stays Unicode's (a JavaScript
//! engine takes more than ASCII's blanks for blanks).

use std::convert::Infallible;

use regex_syntax::ast::{self, Assertion, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetItem, Span};

/// The same expression with these written out. One that cannot be read stays as it is: whoever compiles it says why.
pub(crate) fn ascii(pattern: &str) -> String {
    let Ok(tree) = ast::parse::Parser::new().parse(pattern) else { return pattern.to_owned() };
    // Its error has no value.
    let Ok(found) = ast::visit(&tree, Found(Vec::new()));
    let mut written = String::with_capacity(pattern.len());
    let mut from = 0;
    for (span, text) in found {
        written.push_str(&pattern[from..span.start.offset]);
        written.push_str(text);
        from = span.end.offset;
    }
    written + &pattern[from..]
}

/// What is to be written in place of what, in the order of their places.
struct Found(Vec<(Span, &'static str)>);

impl Found {
    fn class(&mut self, class: &ClassPerl) {
        // In brackets also inside of a class: there they nest.
        let text = match (&class.kind, class.negated) {
            (ClassPerlKind::Digit, false) => "[0-9]",
            (ClassPerlKind::Digit, true) => "[^0-9]",
            (ClassPerlKind::Space, _) => return,
            (ClassPerlKind::Word, false) => r"[0-9A-Z_a-z[^\x00-\x7F]]",
            (ClassPerlKind::Word, true) => "[^0-9A-Z_a-z]",
        };
        self.0.push((class.span, text));
    }

    fn assertion(&mut self, assertion: &Assertion) {
        let text = match assertion.kind {
            AssertionKind::WordBoundary => r"(?-u:\b)",
            AssertionKind::NotWordBoundary => r"(?-u:\B)",
            _ => return,
        };
        self.0.push((assertion.span, text));
    }
}

impl ast::Visitor for Found {
    type Output = Vec<(Span, &'static str)>;
    type Err = Infallible;

    fn finish(self) -> Result<Self::Output, Infallible> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Infallible> {
        match ast {
            Ast::ClassPerl(class) => self.class(class),
            Ast::Assertion(assertion) => self.assertion(assertion),
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Infallible> {
        if let ClassSetItem::Perl(class) = item {
            self.class(class);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;

    #[test]
    fn classes_are_of_ascii_wherever_they_stand() {
        for (pattern, written) in [
            (r"a\d+", "a[0-9]+"),
            (r"\\d\s\S", r"\\d\s\S"),
            (r"[\w.-]@[^\d]", r"[[0-9A-Z_a-z[^\x00-\x7F]].-]@[^[0-9]]"),
            (r"(?x) \b a \W", r"(?x) (?-u:\b) a [^0-9A-Z_a-z]"),
            (r"\d\D\W\B", r"[0-9][^0-9][^0-9A-Z_a-z](?-u:\B)"),
            (r"\pL\x64[[:digit:]].", r"\pL\x64[[:digit:]]."),
            ("(", "("),
        ] {
            assert_eq!(ascii(pattern), written);
            assert_eq!(Regex::new(written).is_ok(), pattern != "(");
        }
        let finds = |pattern: &str, text: &str| Regex::new(&ascii(pattern)).unwrap().is_match(text);
        assert!(finds(r"^a\sb$", "a\tb") && finds(r"^new\sFunction", "new\u{a0}Function"));
        assert!(finds(r"^[\d]+$", "0189") && !finds(r"^[\d]+$", "٣"));
        assert!(finds(r"^\w+$", "aZ_9") && !finds(r"^\w+$", "a b") && !finds(r"^\W$", "_"));
        assert!(finds(r"^(/\w+)*/nc$", "/tmp/é\u{200b}/nc") && finds(r"^process\W{0,3}\.env", "process\u{a0}.env"));
        assert!(finds(r"\bcat\b", "écaté") && !finds(r"\bcat\b", "xcat"));
        assert!(!finds(r"^[^\w]$", "é") && finds(r"(?x)^ \w $", "é"));
    }
}
