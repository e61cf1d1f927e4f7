// SPDX-License-Identifier: Apache-2.0
//! The closed schema of what a model may answer, and the strict reading of it.
//!
//! The schema is asked for where the provider can enforce it, and checked here in any case: what a model writes is
//! foreign text.

use serde::Deserialize;
use serde_json::{Value, json};

/// Longest reason taken, in characters.
pub const MAX_REASON: usize = 500;

/// What a model said, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub opinion: Opinion,
    /// 0 to 1.
    pub confidence: f64,
    /// At most [`MAX_REASON`] characters, as the model wrote it: escape before showing it.
    pub reason: String,
    /// An ATT&CK technique such as `T1059.004`, or empty.
    pub technique: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Opinion {
    Allow,
    Deny,
    Unsure,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    verdict: Opinion,
    confidence: f64,
    reason: String,
    technique: String,
}

impl Answer {
    /// Reads `text`, which must be one JSON object of the schema and nothing else. The error says what is wrong and
    /// repeats nothing of the text.
    pub fn parse(text: &str) -> Result<Answer, String> {
        let written: Written = serde_json::from_str(text).map_err(|error| describe(&error))?;
        if !(0.0..=1.0).contains(&written.confidence) {
            return Err("`confidence` is outside of 0 to 1".to_owned());
        }
        let length = written.reason.chars().count();
        if length > MAX_REASON {
            return Err(format!("`reason` has {length} characters, and at most {MAX_REASON} are taken"));
        }
        if !written.technique.is_empty() && !is_technique(&written.technique) {
            return Err("`technique` is neither empty nor an ATT&CK id".to_owned());
        }
        Ok(Answer {
            opinion: written.verdict,
            confidence: written.confidence,
            reason: written.reason,
            technique: written.technique,
        })
    }
}

/// serde's message without what the model wrote: that may be anything.
fn describe(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Data => {
            let text = error.to_string();
            // The names of our own fields are worth repeating; a name or value of the model's is not.
            let ours = ["verdict", "confidence", "reason", "technique"];
            let known = |prefix: &str| ours.iter().find(|name| text.starts_with(&format!("{prefix} `{name}`")));
            if let Some(name) = known("missing field") {
                format!("`{name}` is missing")
            } else if let Some(name) = known("duplicate field") {
                format!("`{name}` is there twice")
            } else if text.starts_with("unknown field") {
                format!("it has a field that the schema does not have ({place})")
            } else {
                format!("a value is not of the schema ({place})")
            }
        }
        Category::Eof => "it ends too early".to_owned(),
        Category::Syntax | Category::Io if text_follows(error) => format!("text follows the answer ({place})"),
        Category::Syntax | Category::Io => format!("it is no JSON of the schema ({place})"),
    }
}

fn text_follows(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("trailing characters")
}

/// `T1234` or `T1234.567`.
fn is_technique(text: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(id) = text.strip_prefix('T') else { return false };
    match id.split_once('.') {
        Some((id, part)) => digits(id, 4) && digits(part, 3),
        None => digits(id, 4),
    }
}

/// The schema in the subset of JSON Schema that providers' strict modes take: no lengths, no ranges, no patterns.
pub(crate) fn plain_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["verdict", "confidence", "reason", "technique"],
        "properties": {
            "verdict": { "type": "string", "enum": ["allow", "deny", "unsure"] },
            "confidence": { "type": "number", "description": "how sure you are of the verdict, 0 to 1" },
            "reason": { "type": "string", "description": "one or two sentences, at most 500 characters" },
            "technique": { "type": "string", "description": "MITRE ATT&CK id such as T1059.004, or empty" },
        },
    })
}

/// The schema with every bound, for servers that turn it into a grammar.
pub(crate) fn bounded_schema() -> Value {
    let mut schema = plain_schema();
    let bounds = [
        ("confidence", json!({ "type": "number", "minimum": 0, "maximum": 1 })),
        ("reason", json!({ "type": "string", "maxLength": 300 })),
        ("technique", json!({ "type": "string", "pattern": "^(T[0-9]{4}([.][0-9]{3})?)?$" })),
    ];
    for (name, bound) in bounds {
        schema["properties"][name] = bound;
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_answer_of_the_schema_is_taken() {
        let text = " {\"verdict\":\"deny\",\"confidence\":1,\"reason\":\"r\",\"technique\":\"T1059.004\"}\n";
        let answer = Answer::parse(text).unwrap();
        assert_eq!((answer.opinion, answer.confidence), (Opinion::Deny, 1.0));
        assert_eq!((answer.reason.as_str(), answer.technique.as_str()), ("r", "T1059.004"));
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        let check = |text: &str, word: &str| {
            let error = Answer::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
            assert!(!error.contains("EVIL"), "the model's own text is not repeated: {error}");
        };
        let with = |name: &str, value: &str| {
            let mut parts = vec![
                ("verdict", "\"allow\"".to_owned()),
                ("confidence", "0.5".to_owned()),
                ("reason", "\"\"".to_owned()),
                ("technique", "\"\"".to_owned()),
            ];
            match parts.iter_mut().find(|(known, _)| *known == name) {
                Some(part) => part.1 = value.to_owned(),
                None => parts.push((name, value.to_owned())),
            }
            let parts: Vec<String> = parts.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            format!("{{{}}}", parts.join(","))
        };
        assert!(Answer::parse(&with("reason", "\"x\"")).is_ok());
        check("", "too early");
        check("allow", "no JSON");
        check("```json\n{}\n```", "no JSON");
        check("null", "schema");
        check("[]", "schema");
        check("{}", "`verdict` is missing");
        check("{\"verdict\":\"deny\"", "too early");
        check(&with("EVIL", "1"), "field that the schema does not have");
        check(&with("verdict", "\"EVIL\""), "not of the schema");
        check(&with("verdict", "\"ALLOW\""), "not of the schema");
        check(&with("verdict", "true"), "no JSON");
        check(&with("confidence", "1.01"), "outside of 0 to 1");
        check(&with("confidence", "-0.1"), "outside of 0 to 1");
        check(&with("confidence", "\"0.5\""), "not of the schema");
        check(&with("confidence", "NaN"), "no JSON");
        check(&with("confidence", "1e999"), "no JSON");
        check(&with("reason", "null"), "not of the schema");
        check(&with("reason", &format!("\"{}\"", "\u{fc}".repeat(501))), "501 characters");
        check(&with("technique", "\"T10590\""), "ATT&CK");
        check(&with("technique", "\"T1059.04\""), "ATT&CK");
        check(&format!("{}{{}}", with("reason", "\"x\"")), "text follows");
        check(&format!("{} EVIL", with("reason", "\"x\"")), "text follows");
        check(&with("reason", "\"x\",\"verdict\":\"deny\""), "`verdict` is there twice");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,200}") {
            let _ = Answer::parse(&text);
        }

        #[test]
        fn what_is_written_by_the_schema_is_read(
            verdict in prop_oneof!["allow", "deny", "unsure"], confidence in 0.0f64..=1.0, reason in "\\PC{0,500}",
        ) {
            let text = json!({"verdict": verdict, "confidence": confidence, "reason": reason, "technique": ""});
            let answer = Answer::parse(&text.to_string()).unwrap();
            prop_assert_eq!(answer.reason, reason);
            prop_assert!((answer.confidence - confidence).abs() < 1e-12);
        }
    }
}
