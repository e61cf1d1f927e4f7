// SPDX-License-Identifier: Apache-2.0
//! What each route answers.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::server::{RULE, Server};

fn ids(list: &Value) -> String {
    list["items"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn events_are_filtered_ordered_and_given_in_pages() {
    let server = Server::new();
    let get = |query: &str| server.json(&format!("/api/v1/events{query}"));
    assert_eq!(ids(&get("")), "03 02 01");
    assert_eq!(ids(&get("?order=asc")), "01 02 03");
    assert_eq!(ids(&get("?session=s-1&denied=true")), "02");
    assert_eq!(ids(&get("?kind=exec&kind=network")), "03 01");
    assert_eq!(ids(&get("?kind=exec,network")), "03 01");
    assert_eq!(ids(&get("?path=/etc&tier=rules&verdict=deny&rule=sha*&program=cat")), "02");
    assert_eq!(ids(&get("?address=10.0.0.*")), "03");
    assert_eq!(ids(&get("?text=x.sh%20bash")), "01");
    assert_eq!(ids(&get("?since=2026-01-02T03:00:01Z&until=2026-01-02T03:00:01Z")), "02");
    assert_eq!(ids(&get("?since=1s")), "", "an age");
    let first = get("?limit=2");
    assert_eq!(ids(&first), "03 02");
    let second = get(&format!("?limit=2&cursor={}", first["next"].as_str().unwrap()));
    assert_eq!((ids(&second).as_str(), &second["next"]), ("01", &Value::Null));
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let server = Server::new();
    let check = |path: &str, word: &str| {
        let answer = server.get(path);
        assert_eq!(answer.status(), 400, "{path}");
        let text = answer.text().unwrap();
        assert!(text.contains(word), "{path}: {text}");
    };
    check("/api/v1/events?kind=exce", "none of exec");
    check("/api/v1/events?limit=0", "1 to 1000");
    check("/api/v1/events?limit=1001", "1 to 1000");
    check("/api/v1/events?limit=1&limit=2", "more than once");
    check("/api/v1/events?sesion=s-1", "no parameter `sesion`");
    check("/api/v1/events?cursor=x", "cursor");
    check("/api/v1/events?cursor=", "cursor");
    check("/api/v1/events?kind=", "none of exec");
    check("/api/v1/events?denied=", "denied");
    check("/api/v1/events?since=yesterday", "an age such as");
    check("/api/v1/events?order=up", "desc, asc");
    check("/api/v1/events?denied=maybe", "denied");
    check("/api/v1/events/%ff", "UTF-8");
    assert_eq!(server.get("/api/v1/events?text=!").status(), 422, "no word to search for");
    for (path, code) in [("/api/v1/events/99", 404), ("/api/v1/sessions/s-9", 404), ("/api/v1/nothing", 404)] {
        assert_eq!(server.get(path).status(), code, "{path}");
    }
    assert_eq!(server.send("DELETE", "/api/v1/events", &json!({}), &[]).0, 405);
}

#[test]
fn an_event_is_investigated() {
    let server = Server::new();
    let all = server.json("/api/v1/events/02/investigate");
    assert_eq!(all["event"]["id"], "02");
    assert_eq!(all["chain"], json!([{"pid": 10, "exe": "/bin/bash"}, {"pid": 11, "exe": "/bin/cat"}]));
    assert_eq!((all["before"].as_array().unwrap().len(), all["after"].as_array().unwrap().len()), (1, 0));
    assert_eq!(all["evidence"][0]["tier"], "rules");
    assert!(all["explanation"]["summary"].as_str().unwrap().contains("was denied by a rule"));
    assert_eq!(server.json("/api/v1/events/01")["kind"], "exec");
}

#[test]
fn sessions_have_their_tree_and_what_they_touched() {
    let server = Server::new();
    let list = server.json("/api/v1/sessions");
    assert_eq!(ids(&list), "s-2 s-1");
    let one = server.json("/api/v1/sessions/s-1");
    assert_eq!((&one["events"], &one["denied"], &one["command"]), (&json!(2), &json!(1), &json!("bash x.sh")));
    assert_eq!(one["tree"][0]["children"][0]["exe"], "/bin/cat");
    assert_eq!(one["touched"]["files"][0]["path"], "/etc/shadow");
    let overview = server.json("/api/v1/overview?since=2026-01-02T00:00:00Z");
    assert_eq!(
        (&overview["top_denials"][0]["rule"], &overview["top_denials"][0]["count"]),
        (&json!("shadow"), &json!(1))
    );
}

#[test]
fn rules_are_shown_tried_and_changed_only_when_they_are_good() {
    let server = Server::new();
    let list = server.json("/api/v1/rules");
    assert_eq!((&list["items"][0]["id"], &list["items"][0]["hits"]), (&json!("shadow"), &json!(1)));
    let one = server.json("/api/v1/rules/shadow");
    assert_eq!(one["condition"], "file.path == '/etc/shadow'");
    assert!(
        one["text"].as_str().unwrap().starts_with("id: shadow\n")
            || one["text"].as_str().unwrap().starts_with("- id: shadow\n")
    );

    let (code, problems) =
        server.send("POST", "/api/v1/rules/check", &json!({"text": "version: 1\nrules: [{id: 1}]\n"}), &[]);
    assert_eq!(code, 200);
    assert_eq!(problems["problems"][0]["line"], 2);
    let (_, none) = server.send("POST", "/api/v1/rules/check", &json!({"text": RULE}), &[]);
    assert_eq!(none["problems"], json!([]));
    let (_, tried) = server.send(
        "POST",
        "/api/v1/rules/dry-run",
        &json!({"text": RULE.replace("file.path ==", "file.path !=")}),
        &[],
    );
    assert_eq!((&tried["events"], &tried["matches"]), (&json!(3), &json!([])));
    let everywhere =
        RULE.replace("kinds: [file]", "kinds: [exec]").replace("file.path == '/etc/shadow'", "process.uid == 7");
    let (_, tried) = server.send("POST", "/api/v1/rules/dry-run", &json!({"text": everywhere}), &[]);
    assert_eq!(tried["changed"], json!([{"event": "01", "before": "allow", "after": "deny"}]));

    let (code, changed) = server.send("PUT", "/api/v1/rules/shadow/state", &json!({"state": "active"}), &[]);
    assert_eq!((code, &changed["state"]), (200, &json!("active")));
    let file = server.json("/api/v1/rules-files/base.yaml");
    assert!(file["text"].as_str().unwrap().contains("state: active"));
    let etag = file["etag"].as_str().unwrap();
    let put = |text: &str, etag: &str, name: &str| {
        server.send("PUT", &format!("/api/v1/rules-files/{name}"), &json!({ "text": text }), &[("if-match", etag)])
    };
    assert_eq!(put(RULE, "wrong", "base.yaml").0, 412);
    assert_eq!(put("version: 1\nrules: [{}]\n", etag, "base.yaml").0, 422);
    assert_eq!(put(RULE, "*", "second.yaml").0, 422, "two rules of one id");
    assert_eq!(put(RULE, etag, "../base.yaml").0, 404, "a path is no name");
    assert_eq!(put(RULE, etag, "%2e%2e%2fbase.yaml").0, 422, "a path is no name");
    assert_eq!(put(RULE, etag, ".hidden.yaml").0, 422);
    let (code, put_file) = put(RULE, etag, "base.yaml");
    assert_eq!((code, put_file["text"].as_str()), (200, Some(RULE)));
    assert_eq!(put(RULE, etag, "base.yaml").0, 412, "it is another file now");
    assert_eq!(put(&RULE.replace("id: shadow", "id: other"), "*", "new.yaml").0, 200);
    let told = server.told.lock().unwrap().join("; ");
    assert_eq!(
        told,
        "start-token rule shadow: active; start-token rules file base.yaml; start-token rules file new.yaml"
    );
}

#[test]
fn a_policy_is_checked_compared_and_put_into_force_or_put_back() {
    let server = Server::new();
    let now = server.json("/api/v1/policy");
    assert_eq!((&now["file"], &now["text"]), (&json!("built-in"), &json!("")));
    assert!(server.json("/api/v1/policy/profiles")["items"].as_array().unwrap().len() > 3);
    let policy = "version: 1\nagents:\n  coder:\n    exec:\n      deny: [\"/bin/bash\"]\n";
    let (_, problems) =
        server.send("POST", "/api/v1/policy/check", &json!({"text": "version: 1\nagents: {a: {exce: 1}}\n"}), &[]);
    assert_eq!(problems["problems"][0]["line"], 2, "{problems}");
    let (code, diff) = server.send("POST", "/api/v1/policy/diff", &json!({ "text": policy }), &[]);
    assert_eq!(code, 200, "{diff}");
    assert!(diff["diff"].as_str().unwrap().contains("+  coder:"), "{diff}");
    assert_eq!(diff["would_change"], json!([{"event": "01", "before": "allow", "after": "deny"}]));

    let path = server.dir.path().join("policy.yaml");
    let put =
        |text: &str, etag: &str| server.send("PUT", "/api/v1/policy", &json!({ "text": text }), &[("if-match", etag)]);
    assert_eq!(server.send("PUT", "/api/v1/policy", &json!({ "text": policy }), &[]).0, 428);
    assert_eq!(put("version: 2", now["etag"].as_str().unwrap()).0, 422);
    assert!(!path.exists());
    let (code, put_policy) = put(policy, now["etag"].as_str().unwrap());
    assert_eq!((code, &put_policy["agents"]), (200, &json!(["coder"])));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), policy);
    assert_eq!(put(policy, now["etag"].as_str().unwrap()).0, 412);

    server.refuse_reload.store(true, Ordering::Relaxed);
    let other = policy.replace("coder", "other");
    assert_eq!(put(&other, put_policy["etag"].as_str().unwrap()).0, 409);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), policy, "the one before is there again");
}

#[test]
fn what_this_daemon_does_not_have_is_said_and_not_made_up() {
    let server = Server::new();
    for path in ["/api/v1/alerts", "/api/v1/silences", "/api/v1/audit"] {
        let answer = server.get(path);
        assert_eq!(answer.status(), 501, "{path}");
        assert!(answer.text().unwrap().contains("keeps no"), "{path}");
    }
    let failed = server.get("/api/v1/health");
    assert_eq!(failed.status(), 500);
    assert!(failed.text().unwrap().contains("the health cannot be told"));
}

#[test]
fn metrics_are_in_prometheus_format() {
    let server = Server::new();
    crate::server::events().into_iter().for_each(|event| server.live.publish(event.into()));
    let answer = server.get("/metrics");
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = answer.text().unwrap();
    for line in
        ["lictor_sessions 2.0", "lictor_events_total{kind=\"file\",action=\"deny\"} 1", "lictor_http_streams 0.0"]
    {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
}

#[test]
fn pages_and_answers_carry_their_headers() {
    let server = Server::new();
    for path in ["/", "/sessions/s-1", "/api/v1/me", "/api/v1/nothing"] {
        let answer = server.get(path);
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert!(header("content-security-policy").starts_with("default-src 'self'"), "{path}");
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
        assert_eq!(
            (header("x-content-type-options").as_str(), header("referrer-policy").as_str()),
            ("nosniff", "no-referrer")
        );
        if path.starts_with("/api") {
            assert_eq!(
                (header("cache-control").as_str(), header("content-type").as_str()),
                ("no-store", "application/json")
            );
        } else {
            assert_eq!(answer.status(), 200);
            assert!(header("content-type").starts_with("text/html"));
        }
    }
    assert_eq!(server.get("/assets/none.js").status(), 404);
    assert_eq!(server.get("/..%2f..%2fetc%2fpasswd").text().unwrap().find("root:"), None);
}

/// The interface as it is described: who changes it sees here what he changes for others.
#[test]
fn the_description_is_the_one_in_the_tree() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema/openapi.json");
    let now = lictor_http::openapi().unwrap();
    if std::env::var_os("LICTOR_WRITE_SCHEMA").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == now,
        "schema/openapi.json is another: LICTOR_WRITE_SCHEMA=1 cargo test -p lictor-http writes it anew"
    );
    let server = Server::new();
    assert_eq!(server.json("/api/v1/openapi.json"), serde_json::from_str::<Value>(&now).unwrap());
}
