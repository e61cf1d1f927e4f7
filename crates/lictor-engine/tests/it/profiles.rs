// SPDX-License-Identifier: Apache-2.0
//! What the built-in profiles permit and forbid, said as work and as theft.

use lictor_engine::policy::{
    Access, BUILTIN, Compiled, Limits, Protocol, SessionFacts, builtin, builtin_file, default_policy, parse,
};

use super::facts;

fn profile(name: &str) -> Compiled {
    let file = builtin_file(name).unwrap().unwrap_or_else(|p| panic!("{name}: {p:#?}"));
    let guard = [b"/var/lib/lictor".to_vec(), b"/run/lictor".to_vec()];
    file.agent(name).unwrap().compile(&facts(), &guard, Limits::default()).unwrap_or_else(|p| panic!("{name}: {p:#?}"))
}

#[test]
fn every_profile_loads() {
    for name in BUILTIN {
        assert_eq!(profile(name).agent, *name);
        assert!(default_policy().unwrap().agent(name).is_some());
    }
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies");
    let mut files = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read(&path).unwrap();
        parse(name, &text).unwrap_or_else(|p| panic!("{}: {p:#?}", path.display()));
        assert_eq!(builtin(name).map(str::as_bytes), Some(&text[..]), "{name} is not built in");
        files += 1;
    }
    assert_eq!(files, BUILTIN.len() + 1, "`base` and the profiles for people");
}

#[test]
fn the_default_profile_is_small() {
    // Cells are what compiling it and loading it cost; its time is a matter of benchmarks.
    let c = profile("default");
    println!("{} cells", c.automaton.cells.len());
    assert!(c.automaton.cells.len() * 16 < 4 << 20);
}

#[test]
fn work_is_permitted() {
    let c = profile("default");
    let writes = [
        "/srv/app",
        "/srv/app/src/main.rs",
        "/srv/app/.git/index.lock",
        "/srv/app/.git/objects/ab/cdef",
        "/srv/app/.git/HEAD",
        "/srv/app/.git/hooks/pre-commit.sample",
        "/srv/app/vendor/lib/.git/config",
        "/srv/app/vendor/lib/.github/workflows/ci.yml",
        "/srv/app/CLAUDE.md",
        "/srv/app/.claude/todos/1.json",
        "/srv/app/.env",
        "/srv/app/node_modules/.package-lock.json",
        "/srv/app/.venv/bin/activate",
        "/tmp/clone/.git/config",
        "/tmp/clone/.git/hooks/update.sample",
        "/tmp/x/y",
        "/dev/null",
        "/dev/tty",
        "/dev/pts/3",
        "/home/u/.cache/pip/http/a",
        "/home/u/.cargo/registry/cache/x.crate",
        "/home/u/.npm/_cacache/tmp/x",
        "/home/u/go/pkg/mod/cache/lock",
        "/home/u/.gradle/caches/x",
        "/home/u/.m2/repository/x",
        "/proc/12/task/13/comm",
    ];
    for path in writes {
        let decision = c.decide_file(Access::Write, path.as_bytes());
        assert!(decision.is_allowed(), "{path}: {:?}", decision.rule());
    }
    let reads = [
        "/etc/passwd",
        "/etc/ssl/certs/ca.pem",
        "/usr/bin/git",
        "/home/u/.gitconfig",
        "/srv/app/.git/config",
        "/proc/cpuinfo",
    ];
    for path in reads {
        assert!(c.decide_file(Access::Read, path.as_bytes()).is_allowed(), "{path}");
    }
    for path in ["/usr/bin/gcc", "/srv/app/target/debug/app", "/tmp/a.out", "/home/u/.cargo/bin/cargo"] {
        assert!(c.decide_exec(path.as_bytes(), None).is_allowed(), "{path}");
        assert!(c.decide_library(path.as_bytes()).is_allowed(), "{path}");
    }
    for address in ["127.0.0.1", "93.184.215.14", "2606:4700::1111", "169.254.169.253"] {
        assert!(c.decide_connect(address.parse().unwrap(), 443, Protocol::Tcp).is_allowed(), "{address}");
    }
    assert!(c.decide_connect("169.254.169.253".parse().unwrap(), 53, Protocol::Udp).is_allowed(), "a name server");
    assert!(c.decide_listen("0.0.0.0".parse().unwrap(), 8000, Protocol::Tcp).is_allowed());
    for socket in [
        "/tmp/pymp-x/listener-y",
        "/srv/app/run.sock",
        "/dev/log",
        "@listener-9-0",
        "@0001f",
        "@/tmp/.X11-unix/X99",
        "/tmp/.X11-unix/X99",
    ] {
        assert!(c.decide_unix(socket.as_bytes()).is_allowed(), "{socket}");
    }
    assert!(c.same_below(b"/srv/app/node_modules/.left-pad-x1", b"/srv/app/node_modules/left-pad"));
    assert!(c.same_below(b"/home/u/.cargo/registry/src/tmp", b"/home/u/.cargo/registry/src/x"));
    assert!(c.same_below(b"/tmp/a", b"/srv/app/a"));
}

#[test]
fn theft_is_denied() {
    let c = profile("default");
    let secrets = [
        "/etc/shadow",
        "/home/u/.ssh",
        "/home/u/.ssh/id_ed25519",
        "/root/.ssh/id_rsa",
        "/home/other/.ssh/id_rsa",
        "/home/u/.gnupg/private-keys-v1.d/x.key",
        "/home/u/.aws/credentials",
        "/home/u/.config/gcloud/credentials.db",
        "/home/u/.azure/accessTokens.json",
        "/home/u/.kube/config",
        "/home/u/.docker/config.json",
        "/home/u/.netrc",
        "/home/u/.git-credentials",
        "/home/u/.npmrc",
        "/home/u/.pypirc",
        "/home/u/.config/gh/hosts.yml",
        "/home/u/.cargo/credentials.toml",
        "/home/u/.cache/huggingface/token",
        "/home/u/.bash_history",
        "/home/u/.mozilla/firefox/x/logins.json",
        "/home/u/.config/google-chrome/Default/Cookies",
        "/home/u/.config/google-chrome-beta/Default/Cookies",
        "/home/u/.claude/.credentials.json",
        "/home/u/.codex/auth.json",
        "/run/secrets/token",
        "/dev/mem",
        "/var/lib/lictor/x",
    ];
    for path in secrets {
        for access in [Access::Read, Access::Write] {
            assert!(!c.decide_file(access, path.as_bytes()).is_allowed(), "{path}");
        }
    }
    let later = [
        "/srv/app/.git/hooks/pre-commit",
        "/srv/app/vendor/lib/.git/hooks/post-checkout",
        "/srv/app/.git/modules/a/b/hooks/post-merge",
        "/tmp/bare.git/hooks/post-receive",
        "/srv/app/.git/config",
        "/srv/app/.vscode/tasks.json",
        "/srv/app/.idea/workspace.xml",
        "/srv/app/.cursor/mcp.json",
        "/srv/app/.claude/settings.json",
        "/srv/app/.claude/hooks/x.sh",
        "/srv/app/.mcp.json",
        "/srv/app/.github/workflows/ci.yml",
        "/srv/app/.gitlab-ci.yml",
        "/srv/app/Jenkinsfile",
        "/srv/app/.envrc",
        "/home/u/.bashrc",
        "/home/u/.zshrc",
        "/home/u/.profile",
        "/home/u/.gitconfig",
        "/home/u/.config/autostart/x.desktop",
        "/home/u/.config/systemd/user/x.service",
        "/home/u/.local/bin/ls",
        "/home/u/.cargo/bin/cargo",
        "/home/u/.cargo/config.toml",
        "/home/u/.vimrc",
        "/etc/cron.d/x",
        "/etc/profile.d/x.sh",
        "/etc/systemd/system/x.service",
        "/var/spool/cron/crontabs/u",
        "/usr/bin/ls",
    ];
    for path in later {
        assert!(!c.decide_file(Access::Write, path.as_bytes()).is_allowed(), "{path}");
    }
    for address in ["169.254.169.254", "::ffff:169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254"] {
        for (port, protocol) in [(80, Protocol::Tcp), (53, Protocol::Tcp), (8080, Protocol::Tcp)] {
            assert!(!c.decide_connect(address.parse().unwrap(), port, protocol).is_allowed(), "{address}:{port}");
        }
    }
    assert!(!c.decide_connect("169.254.169.254".parse().unwrap(), 53, Protocol::Udp).is_allowed());
    assert!(!c.decide_connect("127.0.0.1".parse().unwrap(), 2375, Protocol::Tcp).is_allowed());
    for socket in [
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/user/1000/podman/podman.sock",
        "/run/user/1000/bus",
        "/run/user/1000/systemd/private",
        "/run/systemd/private",
        "/run/dbus/system_bus_socket",
        "/run/user/1000/keyring/ssh",
        "/tmp/ssh-XXabc/agent.7",
        "/home/u/.gnupg/S.gpg-agent",
        "/tmp/tmux-1000/default",
        "/tmp/gpg-Ab12/S.gpg-agent",
        "/tmp/nvim.u/x1/nvim.12.0",
        "/tmp/podman-run-1000/podman/podman.sock",
        "/tmp/Alacritty-:0-12.sock",
        "/tmp/.X11-unix/X0",
        "@/tmp/.X11-unix/X0",
        "/run/lictor/control.sock",
    ] {
        assert!(!c.decide_unix(socket.as_bytes()).is_allowed(), "{socket}");
    }
    assert!(!c.same_below(b"/srv/app/.git", b"/srv/app/git"), "a repository would be taken from under its protection");
    assert!(!c.same_below(b"/home/u", b"/home/v"));
}

/// Even in a session that may write a whole home, what is run later there stays as it is.
#[test]
fn a_home_as_working_directory_keeps_its_start_up_files() {
    let home = SessionFacts { home: b"/home/u".to_vec(), user: b"u".to_vec(), cwd: b"/home/u".to_vec() };
    let file = builtin_file("default").unwrap().unwrap();
    let c = file.agent("default").unwrap().compile(&home, &[], Limits::default()).unwrap();
    assert!(c.decide_file(Access::Write, b"/home/u/notes.txt").is_allowed());
    for path in [
        "/home/u/.bashrc",
        "/home/u/.config/fish/config.fish",
        "/home/u/.config/systemd/user/x.service",
        "/home/u/.local/bin/x",
        "/home/u/.vscode/extensions/x/package.json",
        "/home/u/.ssh/authorized_keys",
    ] {
        assert!(!c.decide_file(Access::Write, path.as_bytes()).is_allowed(), "{path}");
    }
}

#[test]
fn each_agent_has_its_own_token_and_no_other() {
    let tokens = [
        ("claude-code", "/home/u/.claude/.credentials.json"),
        ("codex", "/home/u/.codex/auth.json"),
        ("gemini-cli", "/home/u/.gemini/oauth_creds.json"),
        ("opencode", "/home/u/.local/share/opencode/auth.json"),
        ("aider", "/home/u/.aider/oauth-keys.env"),
    ];
    for name in BUILTIN {
        let c = profile(name);
        for (owner, token) in tokens {
            let own = *name == owner;
            assert_eq!(c.decide_file(Access::Read, token.as_bytes()).is_allowed(), own, "{name} {token}");
            assert_eq!(c.decide_file(Access::Write, token.as_bytes()).is_allowed(), own, "{name} {token}");
        }
        for path in ["/home/u/.claude/settings.json", "/home/u/.codex/config.toml", "/home/u/.gemini/settings.json"] {
            assert!(!c.decide_file(Access::Write, path.as_bytes()).is_allowed(), "{name} {path}");
        }
    }
}
