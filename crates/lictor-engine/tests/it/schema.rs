// SPDX-License-Identifier: Apache-2.0
//! The published schema is the one the code gives. `LICTOR_UPDATE_SCHEMA=1` writes it anew.

#[test]
fn the_published_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema/policy.schema.json");
    let current = serde_json::to_string_pretty(&lictor_engine::policy::schema()).unwrap() + "\n";
    if std::env::var_os("LICTOR_UPDATE_SCHEMA").is_some() {
        std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
        std::fs::write(path, &current).unwrap();
    }
    let published = std::fs::read_to_string(path).unwrap();
    assert!(published == current, "run `LICTOR_UPDATE_SCHEMA=1 cargo test -p lictor-engine schema` and commit {path}");
}

/// The schema and the parser must know the same keys: each key of the schema is given to the parser.
#[test]
fn the_parser_knows_every_key_of_the_schema() {
    let schema = lictor_engine::policy::schema();
    let keys = |name: &str| -> Vec<String> {
        schema["$defs"][name]["properties"].as_object().unwrap().keys().cloned().collect()
    };
    for (section, name) in [("", "Agent"), ("exec", "Exec"), ("files", "Files"), ("network", "Network")] {
        for key in keys(name) {
            // A number fits no key: the complaint must be about the value, never about the key.
            let body =
                if section.is_empty() { format!("{{ {key}: 7 }}") } else { format!("{{ {section}: {{ {key}: 7 }} }}") };
            let text = format!("version: 1\nagents:\n  a: {body}\n");
            let problems = lictor_engine::policy::parse("p.yaml", text.as_bytes()).unwrap_err();
            assert!(problems.iter().all(|p| !p.message.contains("unknown key")), "{name}.{key}: {problems:?}");
        }
    }
    assert_eq!(keys("Agent"), ["exec", "extends", "files", "mode", "network", "privileges", "rules", "undecided"]);
    assert_eq!(keys("Exec"), ["allow", "anonymous", "deny", "libraries"]);
    assert_eq!(keys("Files"), ["deny", "read", "readonly", "write"]);
    assert_eq!(keys("Network"), ["connect", "deny", "listen", "unix"]);
}
