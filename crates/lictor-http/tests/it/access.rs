// SPDX-License-Identifier: Apache-2.0
//! Who is let in, from where, and what each may do.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use jiff::{SignedDuration, Timestamp};
use lictor_api::view::Role;
use lictor_http::{StartError, Tls};
use serde_json::json;

use crate::server::{Server, status};

#[test]
fn nobody_is_shown_anything_without_a_token() {
    let server = Server::new();
    let client = server.client();
    for path in ["/api/v1/status", "/api/v1/events", "/api/v1/openapi.json", "/metrics", "/api/v1/me"] {
        let answer = client.get(server.url(path)).send().unwrap();
        assert_eq!(answer.status(), 401, "{path}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        let error: serde_json::Value = serde_json::from_str(&answer.text().unwrap()).unwrap();
        assert_eq!(error["error"]["code"], "unauthorized");
        assert_eq!(server.get(path).status(), 200, "{path}");
    }
    for (path, expected) in [("/healthz", 200), ("/readyz", 503), ("/", 200)] {
        let answer = client.get(server.url(path)).send().unwrap();
        assert_eq!(answer.status(), expected, "{path}");
        assert!(!answer.text().unwrap().contains("secret"), "why is not for everybody");
    }
}

#[test]
fn wrong_and_expired_tokens_are_refused_alike() {
    let server = Server::new();
    let now = Timestamp::now();
    let late = now.checked_sub(SignedDuration::from_secs(1)).unwrap();
    let expired = server.tokens.add("old", Role::Admin, late, Some(late)).unwrap();
    let good = server.tokens.add("new", Role::Viewer, now, None).unwrap();
    let ask = |token: &str| {
        let answer = server.client().get(server.url("/api/v1/me")).bearer_auth(token).send().unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    };
    assert_eq!(ask(&expired), ask("lictor_wrong"));
    assert_eq!(ask(&expired).0, 401);
    assert_eq!(ask(""), ask("lictor_wrong"));
    assert_eq!(ask(&good).0, 200);
    server.tokens.remove("new").unwrap();
    assert_eq!(ask(&good).0, 401, "a token that is removed is not taken any more");
    let basic = server.client().get(server.url("/api/v1/me")).basic_auth("root", Some(&server.token)).send().unwrap();
    assert_eq!(basic.status(), 401);
}

#[test]
fn the_token_made_at_start_is_for_its_owner_alone() {
    let mut server = Server::new();
    let file = server.dir.path().join("http.token");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(server.json("/api/v1/me")["role"], "admin");
    server.running.take().unwrap().stop();
    assert!(!file.exists() && !server.dir.path().join("http.sock").exists(), "what does not hold is not left behind");
    assert_ne!(Server::new().token, server.token);
}

#[test]
fn each_role_may_do_its_part() {
    let server = Server::new();
    let tokens = [Role::Viewer, Role::Operator, Role::Admin].map(|role| server.token(role.as_str(), role));
    let check = |method: &str, path: &str, body: serde_json::Value, least: usize| {
        for (place, token) in tokens.iter().enumerate() {
            let answer = server
                .client()
                .request(method.parse().unwrap(), server.url(path))
                .bearer_auth(token)
                .header("content-type", "application/json")
                .header("if-match", "wrong")
                .body(body.to_string())
                .send()
                .unwrap();
            let forbidden = answer.status() == 403;
            assert_eq!(forbidden, place < least, "{method} {path} as {place}: {}", answer.text().unwrap());
        }
    };
    check("GET", "/api/v1/rules", json!({}), 0);
    check("POST", "/api/v1/policy/check", json!({"text": ""}), 0);
    check("PUT", "/api/v1/rules/shadow/state", json!({"state": "testing"}), 1);
    check("PUT", "/api/v1/verdicts/1-2-3", json!({"action": "allow"}), 1);
    check("DELETE", "/api/v1/verdicts", json!({}), 1);
    check("PATCH", "/api/v1/alerts/1", json!({"state": "closed"}), 1);
    check("POST", "/api/v1/silences", json!({"match": {}, "until": "2030-01-01T00:00:00Z", "reason": "x"}), 1);
    check("DELETE", "/api/v1/silences/1", json!({}), 1);
    check("PUT", "/api/v1/policy", json!({"text": ""}), 2);
    check("PUT", "/api/v1/rules-files/base.yaml", json!({"text": ""}), 2);
}

#[test]
fn names_that_are_not_ours_are_refused_so_that_rebinding_leads_nowhere() {
    let server = Server::new();
    let port = server.address.port();
    let ask = |host: &str| {
        let authorization = format!("Authorization: Bearer {}\r\n", server.token);
        let lines = format!("GET /api/v1/me HTTP/1.1\r\n{host}{authorization}Connection: close\r\n\r\n");
        status(&server.raw(lines.as_bytes()))
    };
    for good in ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"] {
        assert_eq!(ask(&format!("Host: {good}:{port}\r\n")), 200, "{good}");
    }
    assert_eq!(ask("Host: lictor.example:443\r\n"), 200);
    for wrong in [
        format!("Host: evil.example:{port}\r\n"),
        format!("Host: evil.example.127.0.0.1:{port}\r\n"),
        "Host: localhost\r\n".to_owned(),
        "Host: localhost:1\r\n".to_owned(),
        "Host: lictor.example\r\n".to_owned(),
        "Host: \r\n".to_owned(),
        String::new(),
    ] {
        assert_eq!(ask(&wrong), 403, "{wrong}");
    }
    assert_eq!(ask(&format!("Host: localhost:{port}\r\nHost: localhost:{port}\r\n")), 400);
    let page = server.raw(b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&page), 403, "not even the pages");
}

#[test]
fn pages_of_other_origins_are_refused_and_told_nothing() {
    let server = Server::new();
    let ask = |name: &str, value: &str| {
        let request = server.client().get(server.url("/api/v1/me")).bearer_auth(&server.token).header(name, value);
        let answer = request.send().unwrap();
        assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("access-control")));
        answer.status().as_u16()
    };
    assert_eq!(ask("origin", &server.url("")), 200);
    assert_eq!(ask("origin", "http://evil.example"), 403);
    assert_eq!(ask("origin", &format!("https://{}", server.address)), 403, "another scheme is another origin");
    assert_eq!(ask("origin", "null"), 403);
    assert_eq!(ask("sec-fetch-site", "cross-site"), 403);
    assert_eq!(ask("sec-fetch-site", "same-origin"), 200);
    let preflight = server
        .client()
        .request(reqwest::Method::OPTIONS, server.url("/api/v1/policy"))
        .header("origin", "http://evil.example")
        .header("access-control-request-method", "PUT")
        .send()
        .unwrap();
    assert_eq!(preflight.status(), 403);
}

#[test]
fn a_login_is_a_cookie_that_no_script_reads_and_changes_need_the_csrf_token() {
    let server = Server::new();
    let token = server.token("ann", Role::Admin);
    let (wrong, _) = server.send("POST", "/api/v1/login", &json!({"token": "lictor_wrong"}), &[]);
    assert_eq!(wrong, 401);
    let client = server.client();
    let login = client
        .post(server.url("/api/v1/login"))
        .header("content-type", "application/json")
        .body(json!({ "token": token }).to_string())
        .send()
        .unwrap();
    assert_eq!(login.status(), 200);
    let set = login.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains(&token) && !set.contains("Secure"), "{set}");
    let me: serde_json::Value = serde_json::from_str(&login.text().unwrap()).unwrap();
    assert_eq!((&me["name"], &me["role"]), (&"ann".into(), &"admin".into()));
    let cookie = set.split(';').next().unwrap();
    let ask = |method: &str, path: &str, csrf: Option<&str>| {
        let mut request = client.request(method.parse().unwrap(), server.url(path)).header("cookie", cookie);
        if let Some(csrf) = csrf {
            request = request.header("x-csrf-token", csrf);
        }
        request.send().unwrap()
    };
    assert_eq!(ask("GET", "/api/v1/events", None).status(), 200);
    let again: serde_json::Value = serde_json::from_str(&ask("GET", "/api/v1/me", None).text().unwrap()).unwrap();
    assert_eq!(again["csrf"], me["csrf"]);
    let csrf = me["csrf"].as_str().unwrap();
    assert_eq!(ask("DELETE", "/api/v1/verdicts", None).status(), 403);
    assert_eq!(ask("DELETE", "/api/v1/verdicts", Some("lictor_0")).status(), 403);
    assert_eq!(ask("DELETE", "/api/v1/verdicts", Some(csrf)).status(), 200);
    assert_eq!(ask("POST", "/api/v1/logout", Some(csrf)).status(), 204);
    assert_eq!(ask("GET", "/api/v1/events", None).status(), 401, "the cookie is worth nothing any more");
    assert_eq!(*server.told.lock().unwrap(), ["ann login", "ann clear", "ann logout"], "who did it is told");
}

#[test]
fn what_a_token_does_is_told_with_its_name() {
    let server = Server::new();
    let (code, _) = server.send("PUT", "/api/v1/verdicts/1-2-3", &json!({"action": "deny", "ttl": "1h"}), &[]);
    assert_eq!(code, 200);
    assert_eq!(*server.told.lock().unwrap(), ["start-token deny 1-2-3 Some(3600s)"]);
}

#[test]
fn on_the_unix_socket_the_user_is_known_without_a_token() {
    let server = Server::new();
    let path = server.dir.path().join("http.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "there is no such group");
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 200);
    let uid = nix::unistd::Uid::effective();
    let role = if uid.is_root() { "admin" } else { "operator" };
    assert!(answer.contains(&format!(r#"{{"name":"uid {uid}","role":"{role}"}}"#)), "{answer}");
}

#[test]
fn with_tls_cookies_are_secure_and_plain_text_is_not_spoken() {
    let server = Server::with_tls();
    let login = server.send("POST", "/api/v1/login", &json!({"token": server.token}), &[]);
    assert_eq!(login.0, 200);
    let answer = server
        .client()
        .post(server.url("/api/v1/login"))
        .header("content-type", "application/json")
        .header("origin", server.url(""))
        .body(json!({"token": server.token}).to_string())
        .send()
        .unwrap();
    assert!(answer.headers()["set-cookie"].to_str().unwrap().ends_with("; Secure"));
    assert!(!server.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP"));
}

#[test]
fn an_address_that_others_reach_needs_tls_and_tls_its_files() {
    let error = Server::refused(|tcp| tcp.listen = "0.0.0.0:0".parse().unwrap());
    assert!(matches!(error, StartError::NotLoopback(_)), "{error}");
    let missing = std::path::PathBuf::from("/nowhere/key.pem");
    let error = Server::refused(|tcp| tcp.tls = Some(Tls { certificate: missing.clone(), key: missing.clone() }));
    assert!(matches!(error, StartError::Tls { .. }), "{error}");
    assert!(error.to_string().starts_with("/nowhere/key.pem: "), "{error}");
}
