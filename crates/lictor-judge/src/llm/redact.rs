// SPDX-License-Identifier: Apache-2.0
//! Takes secrets out of text before it leaves the machine. What is taken out is replaced by `[REDACTED:kind]`, so that
//! the judge still sees that something was there.
//!
//! Three nets, one after the other: shapes of tokens that issuers publish, places where a secret is written (the value of
//! `--password`, `TOKEN=`, `-p` of a database client), and strings that look random. The last one also takes harmless
//! hashes: a judge needs none of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// How often each kind was taken out.
pub type Counts = BTreeMap<&'static str, usize>;

/// A pattern whose group `s` is the secret; without that group, all of it.
struct Shape {
    kind: &'static str,
    regex: Regex,
}

/// A value in a command line: quoted, or up to white space or the end of a shell word.
const VALUE: &str = r#"(?:"(?P<s>[^"]+)"?|'(?P<t>[^']+)'?|(?P<u>[^\s"'|;&<>]+))"#;

/// The name of a secret: a long word anywhere in it, or a short one that stands by itself. `PATH` and `PWD` are none.
const NAME: &str = r"(?P<n>[a-z0-9_.-]*(?:password|passwd|passphrase|passcode|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|auth[-_.]?key|signing[-_.]?key|encryption[-_.]?key|master[-_.]?key|account[-_.]?key|credential|bearer|session[-_.]?id|cookie)[a-z0-9_.-]*|(?:[a-z0-9]+[-_.])*(?:[a-z0-9]{0,8}pass|pat|otp|jwt|dsn|creds|pw)(?:[-_.][a-z0-9]+)*|(?:[a-z0-9]+[-_.])+pwd)";

#[expect(clippy::unwrap_used, reason = "constant patterns, compiled by every test")]
static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let shape = |kind, pattern: &str| Shape {
        kind,
        regex: Regex::new(&pattern.replace("<VALUE>", VALUE).replace("<NAME>", NAME)).unwrap(),
    };
    vec![
        // Issuers' shapes.
        shape(
            "private-key",
            r"(?s)-----BEGIN [A-Z0-9 ]{0,40}(?:PRIVATE KEY|PGP MESSAGE|ENCRYPTED MESSAGE)[A-Z ]{0,10}-----.*?(?:-----END [A-Z0-9 ]{0,60}-----|$)",
        ),
        shape("private-key", r"AGE-SECRET-KEY-1[A-Z0-9]{20,}"),
        shape("jwt", r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,3}"),
        shape("aws-key", r"\b(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA|AGPA|ANPA|ANVA|APKA)[A-Z0-9]{16,}"),
        shape("github-token", r"(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,})"),
        shape("gitlab-token", r"\b(?:glpat|gldt|glrt|glcbt|glptt|gloas|glsoat|glft)-[A-Za-z0-9_.-]{16,}"),
        shape("slack-token", r"\bxox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{8,}|\bxapp-[0-9]-[A-Za-z0-9-]{8,}"),
        shape(
            "webhook",
            r"https://(?:hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks|[a-z0-9.-]*\.webhook\.office\.com)/(?P<s>[^\s\x22']+)",
        ),
        shape(
            "google-key",
            r"\bAIza[A-Za-z0-9_-]{30,}|\bya29\.[A-Za-z0-9_-]{16,}|\bGOCSPX-[A-Za-z0-9_-]{20,}|\b1//0[A-Za-z0-9_-]{20,}",
        ),
        shape("anthropic-key", r"\bsk-ant-[A-Za-z0-9_-]{8,}"),
        shape("openai-key", r"\bsk-(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{16,}"),
        shape("stripe-key", r"\b(?:sk|rk|pk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}"),
        shape("npm-token", r"\bnpm_[A-Za-z0-9]{20,}"),
        shape("pypi-token", r"\bpypi-[A-Za-z0-9_-]{16,}"),
        shape("huggingface-token", r"\bhf_[A-Za-z0-9]{16,}"),
        shape("digitalocean-token", r"\bdo[opr]_v1_[a-f0-9]{16,}"),
        shape("sendgrid-key", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
        shape("telegram-token", r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{30,}"),
        shape("vault-token", r"\bhv[sbr]\.[A-Za-z0-9_-]{16,}"),
        shape("docker-token", r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{16,}"),
        shape("azure-key", r"(?i)\b(?:AccountKey|SharedAccessKey|sig)=(?P<s>[A-Za-z0-9+/%=_-]{20,})"),
        // Headers and URLs.
        shape("basic-auth", r"(?i)\b[a-z][a-z0-9+.-]*://(?P<s>[^\s/?#\x22']*:[^\s/?#\x22']+|[^\s/?#@:\x22']{16,})@"),
        shape("bearer-token", r"(?i)\bbearer(?:\s+|%20|\+)(?P<s>[^\s\x22'\\]{4,})"),
        shape(
            "basic-auth",
            r"(?i)\bauthorization\s*:\s*(?:basic|digest|negotiate|token|apikey|aws4-hmac-sha256)?\s*(?P<s>[^\x22'\[\r\n]+)",
        ),
        shape("cookie", r"(?i)\b(?:set-)?cookie\s*:\s*(?P<s>[^\x22'\r\n]+)"),
        shape(
            "token",
            r"(?i)\b(?:x-[a-z-]*(?:token|key|secret|auth|signature)|api-?key|private-token|job-token)\s*:\s*(?P<s>[^\x22'\[\s]+)",
        ),
        // Flags and names, inside one text.
        shape("password", r"(?i)(?:^|[\s\x22';&|(])--?<NAME>(?:\s*=\s*|\s+)<VALUE>"),
        shape("password", r"(?i)(?:^|[^a-z0-9_.-])<NAME>\s*(?:=|:=)\s*<VALUE>"),
        shape("password", r#"(?i)["']<NAME>\\?["']\s*[:,]\s*\\?<VALUE>"#),
        shape("password", r"(?i)\b(?:pass(?:word|wd|phrase)?|token|secret|pwd)\s*:\s*<VALUE>"),
        shape(
            "password",
            r"(?i)\b(?:mysql|mysqldump|mysqladmin|mysqlimport|mysqlshow|mariadb|mariadb-dump|mariadb-admin)\b[^|;&\n]*?\s-p<VALUE>",
        ),
        shape(
            "password",
            r"(?i)\b(?:sshpass|docker\s+login|podman\s+login|helm\s+registry\s+login|az\s+login|twine\s+upload|mongo|mongosh|mongodump|mongorestore|sqlcmd|psftp|pscp|plink|7z|7za|unzip|zip|rar|unrar|xfreerdp)\b[^|;&\n]*?\s-[pP]\s*<VALUE>",
        ),
        shape(
            "password",
            r"(?i)\b(?:redis-cli|ldapsearch|ldapmodify|ldapadd|ldapdelete|ldapwhoami|evil-winrm|smbmap)\b[^|;&\n]*?\s-(?:a|w|p)\s*<VALUE>",
        ),
        shape(
            "password",
            r"(?i)\b(?:curl|wget|http|https|xh)\b[^|;&\n]*?\s(?:-u|-U|--user|--proxy-user|-a|--auth)(?:\s+|=)?[\x22']?[^\s:\x22']+:<VALUE>",
        ),
        shape(
            "password",
            r"(?i)\b(?:smbclient|rpcclient|net|crackmapexec|nxc)\b[^|;&\n]*?\s-U\s*[\x22']?[^\s%\x22']+%<VALUE>",
        ),
        shape("password", r"(?i)\bpass:(?P<s>[^\s\x22']+)"),
        shape("password", r"(?i)\b(?:identified\s+(?:with\s+\S+\s+)?by|with\s+(?:encrypted\s+)?password)\s+<VALUE>"),
        shape(
            "password",
            r"(?i)\becho\s+(?:-n\s+)?<VALUE>\s*\|\s*(?:sudo\s+-S|passwd|su\b|docker\s+login|cryptsetup|openssl|gpg)",
        ),
        shape("password", r"(?i)\bhtpasswd\s+-[a-z]*b[a-z]*\s+\S+\s+\S+\s+<VALUE>"),
    ]
});

/// Short flags that a secret follows, in the same argument or the next, by program.
const FLAGS_OF: &[(&[&str], &[&str])] = &[
    (
        &["mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlshow", "mariadb", "mariadb-dump", "mariadb-admin"],
        &["-p"],
    ),
    (&["sshpass", "twine", "mongo", "mongosh", "mongodump", "mongorestore", "7z", "7za", "rar", "unrar"], &["-p"]),
    (&["sqlcmd", "unzip", "zip"], &["-P"]),
    (&["redis-cli"], &["-a"]),
    (&["ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldapwhoami"], &["-w"]),
    (&["smbclient", "rpcclient", "net"], &["-U"]),
    (&["curl"], &["-u", "-U", "-b", "--user", "--proxy-user"]),
];

#[expect(clippy::unwrap_used, reason = "a constant pattern, compiled by every test")]
static SECRET_FLAG: LazyLock<Regex> = LazyLock::new(|| Regex::new(&format!("(?i)^--?{NAME}$")).unwrap());
#[expect(clippy::unwrap_used, reason = "a constant pattern, compiled by every test")]
static SECRET_FLAG_VALUE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!(r"(?is)^(?P<f>--?{NAME}\s*=)(?P<s>.+)$")).unwrap());
/// What a secret has been replaced by: never a secret itself.
#[expect(clippy::unwrap_used, reason = "a constant pattern, compiled by every test")]
static MARKER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[REDACTED:[a-z-]+\]").unwrap());
/// A run of characters that tokens are made of.
#[expect(clippy::unwrap_used, reason = "a constant pattern, compiled by every test")]
static RUN: LazyLock<Regex> = LazyLock::new(|| Regex::new("[A-Za-z0-9+/_=-]{20,}").unwrap());

fn marker(kind: &str) -> String {
    format!("[REDACTED:{kind}]")
}

/// `text` without its secrets.
#[must_use]
pub fn text(text: &str, counts: &mut Counts) -> String {
    let mut out = text.to_owned();
    for shape in SHAPES.iter() {
        let mut found = 0;
        let replaced = shape.regex.replace_all(&out, |captures: &Captures<'_>| {
            let whole = captures.get(0).map_or("", |whole| whole.as_str());
            let start = captures.get(0).map_or(0, |whole| whole.start());
            let named = ["s", "t", "u"].iter().find_map(|name| captures.name(name));
            match named.or_else(|| captures.get(0)) {
                Some(secret) if named.is_some() && is_no_secret(secret.as_str()) => whole.to_owned(),
                _ if captures.name("n").is_some_and(|name| names_a_place(name.as_str())) => whole.to_owned(),
                Some(secret) => {
                    found += 1;
                    let (before, after) = (secret.start() - start, secret.end() - start);
                    format!("{}{}{}", &whole[..before], marker(shape.kind), &whole[after..])
                }
                None => whole.to_owned(),
            }
        });
        if found > 0 {
            out = replaced.into_owned();
            *counts.entry(shape.kind).or_default() += found;
        }
    }
    let mut found = 0;
    let replaced = RUN.replace_all(&out, |captures: &Captures<'_>| {
        let run = &captures[0];
        // Base64 has slashes, too; a path has words between them.
        let words = |part: &str| part.len() > 1 && part.bytes().all(|byte| byte.is_ascii_lowercase());
        let is_path = run.starts_with('/') || (run.contains('/') && run.split('/').any(words));
        let parts: Vec<&str> = if is_path { run.split('/').collect() } else { vec![run] };
        let mut replaced = Vec::with_capacity(parts.len());
        for part in parts {
            if looks_random(part) {
                found += 1;
                replaced.push(marker("high-entropy"));
            } else {
                replaced.push(part.to_owned());
            }
        }
        replaced.join("/")
    });
    if found > 0 {
        out = replaced.into_owned();
        *counts.entry("high-entropy").or_default() += found;
    }
    out
}

/// `args` without their secrets: what [`text`] finds in each, and what their order tells.
#[must_use]
pub fn args(args: &[String], counts: &mut Counts) -> Vec<String> {
    let program = args.first().map_or("", |program| program.rsplit('/').next().unwrap_or(program));
    let mut flags: Vec<&str> = FLAGS_OF
        .iter()
        .filter(|(programs, _)| programs.contains(&program))
        .flat_map(|(_, flags)| *flags)
        .copied()
        .collect();
    // `docker run -p` is a port.
    if matches!(program, "docker" | "podman") && args.get(1).is_some_and(|command| command == "login") {
        flags.push("-p");
    }
    // `mysql -p` alone asks on the terminal, and what follows is a database.
    let next_is_secret = !(program.starts_with("mysql") || program.starts_with("mariadb"));
    let mut out: Vec<String> = Vec::with_capacity(args.len());
    let mut flag_before = None;
    for (at, arg) in args.iter().enumerate() {
        if let Some(flag) = flag_before.take()
            && !is_no_secret(arg)
        {
            // `user:password` and `user%password` keep their user; a user alone is no secret.
            let separator = match program {
                "curl" if flag != "-b" => Some(':'),
                "smbclient" | "rpcclient" | "net" => Some('%'),
                _ => None,
            };
            let user = separator.map(|separator| (separator, arg.split_once(separator)));
            if let Some((_, None)) = user {
                out.push(text(arg, counts));
                continue;
            }
            *counts.entry("password").or_default() += 1;
            out.push(match user {
                Some((separator, Some((user, _)))) => {
                    format!("{}{separator}{}", text(user, counts), marker("password"))
                }
                _ => marker("password"),
            });
            continue;
        }
        if let Some(parts) = SECRET_FLAG_VALUE.captures(arg)
            && !is_no_secret(&parts["s"])
            && !names_a_place(&parts["n"])
        {
            *counts.entry("password").or_default() += 1;
            out.push(format!("{}{}", &parts["f"], marker("password")));
            continue;
        }
        if at > 0
            && let Some(flag) = flags.iter().find(|flag| flag.len() == 2 && arg.len() > 2 && arg.starts_with(**flag))
            && !is_no_secret(&arg[flag.len()..])
        {
            *counts.entry("password").or_default() += 1;
            out.push(format!("{flag}{}", marker("password")));
            continue;
        }
        flag_before = flags.iter().find(|flag| next_is_secret && arg == **flag).copied().or_else(|| {
            let name = SECRET_FLAG.captures(arg)?;
            (at > 0 && !names_a_place(&name["n"])).then_some("--")
        });
        out.push(text(arg, counts));
    }
    out
}

/// Whether a value is no secret: a variable, a flag, a command whose output is the secret, what was taken out already.
/// What a shell would run must stay visible, wherever it stands.
fn is_no_secret(value: &str) -> bool {
    let value = value.trim();
    let variable = value.strip_prefix('$').is_some_and(|name| {
        name.trim_matches(['{', '}']).bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    });
    let rest = MARKER.replace_all(value, "");
    value.starts_with("--")
        || variable
        || value.contains("$(")
        || value.contains("<(")
        || value.contains('`')
        || rest.trim_matches(['"', '\'', ')', ']', '}', ' ', '\\']).is_empty()
        || rest.trim().eq_ignore_ascii_case("bearer")
}

/// Whether the name says that its value tells where a secret is, or how long.
fn names_a_place(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["file", "path", "dir", "stdin", "type", "length", "len", "limit"]
        .iter()
        .any(|word| name.strip_suffix(word).is_some_and(|rest| rest.ends_with(['-', '_', '.'])))
}

/// Whether a string has the look of a random one: long, of mixed classes that change often, many different characters.
fn looks_random(run: &str) -> bool {
    let word = |part: &str| {
        let all = |is: fn(&u8) -> bool| part.len() > 3 && part.as_bytes().iter().all(is);
        all(u8::is_ascii_lowercase) || all(u8::is_ascii_uppercase)
    };
    // `words-and-words-2`: only a part of it can be random.
    if run.contains(['-', '_']) && run.split(['-', '_']).any(word) {
        return run.split(['-', '_']).any(looks_random);
    }
    let plain: Vec<u8> = run.bytes().filter(u8::is_ascii_alphanumeric).collect();
    if plain.len() < 20 {
        return false;
    }
    let digits = plain.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = plain.len() - digits;
    if plain.iter().all(u8::is_ascii_hexdigit) {
        return digits > 0 && letters > 0 && plain.len() >= 24 && entropy(&plain) > 2.5;
    }
    let class = |byte: u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase());
    let changes = plain.windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count();
    let share = changes as f64 / (plain.len() - 1) as f64;
    // `namesOfManyThings2`: words with capitals.
    if is_camel_case(&plain) && digits * 8 <= plain.len() {
        return false;
    }
    let mixed = letters > 0 && (digits > 0 || share > 0.35);
    mixed && share > 0.22 && entropy(&plain) > 3.0
}

/// Whether most letters are in runs of three small ones or more, and some are capitals.
fn is_camel_case(plain: &[u8]) -> bool {
    let in_words: usize =
        plain.chunk_by(|_, next| next.is_ascii_lowercase()).map(<[u8]>::len).filter(|length| *length > 3).sum();
    plain.iter().any(u8::is_ascii_uppercase) && in_words * 10 >= plain.len() * 7
}

/// Bits for each character.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = bytes.len() as f64;
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / total);
    shares.map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
