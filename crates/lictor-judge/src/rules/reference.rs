// SPDX-License-Identifier: Apache-2.0
//! What a rule file may say, for people and editors: made from the tables that the checker uses.

use schemars::{JsonSchema, generate::SchemaSettings};

use super::calls;
use super::fields::{FIELDS, Field, Get, JUDGED, ParentField};
use super::functions::{FORMS, FUNCTIONS};
use crate::case::Basis;

/// The fields and functions of conditions, in Markdown.
#[must_use]
pub fn fields_reference() -> String {
    let mut out = String::from(
        "<!-- Generated from the tables that conditions are checked against. -->\n\n\
         # Fields and functions of conditions\n\n\
         A field can only be named by rules of the kinds that it is known of. *Remembered by* is what an answer that\n\
         looked at the field is kept for: the executed file (`object`), the same invocation, or this once.\n\n\
         An absent string reads as `\"\"`, an absent list as `[]`. An absent number has no value: looking at it fails, and a\n\
         condition that fails counts as a match for `deny` and `escalate` rules. `has(field)` tells.\n\n\
         | field | type | kinds | remembered by | |\n|---|---|---|---|---|\n",
    );
    for field in FIELDS {
        row(&mut out, field);
        if matches!(field.get, Get::Parent) {
            for (name, field) in ParentField::ALL {
                let about = match field {
                    ParentField::Pid => "its process id",
                    ParentField::Exe => "path of its program",
                    ParentField::Args => "its arguments",
                    ParentField::Cmdline => "its arguments joined by spaces",
                };
                let of = match field {
                    ParentField::Pid => "int",
                    ParentField::Args => "list of string",
                    ParentField::Exe | ParentField::Cmdline => "string",
                };
                let basis = basis(field.basis());
                out.push_str(&format!("| `process.parent.{name}` | {of} | all | {basis} | {about} |\n"));
            }
        }
    }
    out.push_str(
        "\nStrings are as [events](../docs/events.md) have them: a byte that is not UTF-8 reads as `\\xNN`. Each element of\n\
         `process.ancestors` has the fields of `process.parent`.\n\n## Forms\n\n| form | |\n|---|---|\n",
    );
    for (form, about) in FORMS {
        out.push_str(&format!("| {form} | {about} |\n"));
    }
    out.push_str("\n## Functions\n\n| function | gives | |\n|---|---|---|\n");
    for function in FUNCTIONS {
        let form = calls::written(function);
        out.push_str(&format!("| `{form}` | {} | {} |\n", function.result, function.about));
    }
    out.push_str(
        "\nA `regex`, `pattern` or `network` is written out in the condition: what an event says never becomes one.\n\
         Positions count characters from zero.\n",
    );
    out
}

fn row(out: &mut String, field: &Field) {
    let of = match field.get {
        Get::Text(text) => match text.words() {
            Some(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" "),
            None => "string".to_owned(),
        },
        Get::Number(_) => "int".to_owned(),
        Get::Texts(_) => "list of string".to_owned(),
        Get::Parents => "list of process".to_owned(),
        Get::Parent => "process".to_owned(),
        Get::Object(_) => "only `has()`".to_owned(),
    };
    let kinds = if field.kinds == JUDGED {
        "all".to_owned()
    } else {
        field.kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" ")
    };
    out.push_str(&format!("| `{}` | {of} | {kinds} | {} | {} |\n", field.path, basis(field.basis), field.about));
}

fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Object => "object",
        Basis::Invocation => "invocation",
        Basis::Once => "once",
    }
}

/// The JSON Schema of a rule file. The parser stays the judge: it also checks conditions and runs the tests.
#[must_use]
pub fn schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<RuleFile>();
    schema.insert("$id".into(), "https://github.com/lictor/lictor/schema/rules.schema.json".into());
    schema.to_value()
}

/// Lictor rules: what is looked for in events, and what happens then.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct RuleFile {
    /// Version of the file's format.
    #[schemars(extend("const" = 1))]
    version: u8,
    #[schemars(length(min = 1, max = 10000))]
    rules: Vec<RuleSchema>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Rule")]
#[allow(dead_code, reason = "only its schema is used")]
struct RuleSchema {
    /// Letters, digits, `-`, `_` and `.`; unique in all files of the directory.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"))]
    id: String,
    /// What the rule looks for.
    #[schemars(length(min = 1, max = 4096))]
    description: String,
    /// What a person is told when it matches; the description when nothing is said.
    #[schemars(length(min = 1, max = 4096))]
    reason: Option<String>,
    /// `draft` is checked only, `testing` is recorded and changes nothing; `active` when nothing is said.
    state: Option<StateSchema>,
    severity: SeveritySchema,
    /// The kinds of events that it is asked about.
    #[schemars(length(min = 1))]
    kinds: Vec<KindSchema>,
    /// A CEL expression that is true of the events it looks for; `rule-fields.md` lists fields and functions.
    #[schemars(length(min = 1, max = 65536))]
    condition: String,
    action: ActSchema,
    /// ATT&CK techniques and other labels.
    tags: Option<Vec<String>>,
    /// What else looks like this and is none.
    false_positives: Option<Vec<String>>,
    references: Option<Vec<String>>,
    tests: Option<Vec<TestSchema>>,
}

#[derive(JsonSchema)]
#[schemars(rename = "State", rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum StateSchema {
    Draft,
    Testing,
    Active,
}

#[derive(JsonSchema)]
#[schemars(rename = "Severity", rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum SeveritySchema {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

#[derive(JsonSchema)]
#[schemars(rename = "Kind", rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum KindSchema {
    Exec,
    File,
    Network,
    Process,
    Memory,
    Privilege,
}

/// `deny` beats `allow`; `allow` settles; `escalate` asks the next tier; `alert` is told and settles nothing.
#[derive(JsonSchema)]
#[schemars(rename = "Action", rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum ActSchema {
    Allow,
    Deny,
    Alert,
    Escalate,
}

/// A test of the rule.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Test")]
#[allow(dead_code, reason = "only its schema is used")]
struct TestSchema {
    name: Option<String>,
    /// As much of an event as matters.
    event: std::collections::BTreeMap<String, serde_json::Value>,
    expect: ExpectSchema,
}

#[derive(JsonSchema)]
#[schemars(rename = "Expect", rename_all = "kebab-case")]
#[allow(dead_code, reason = "only its schema is used")]
enum ExpectSchema {
    Match,
    NoMatch,
}
