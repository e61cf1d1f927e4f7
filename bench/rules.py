# SPDX-License-Identifier: Apache-2.0
"""One set of rules, written out for each of the things that are compared, so that all of them do the same work.

Landlock and auditd cannot say all of it: Landlock has no denials below what it allows, and auditd only watches.
"""

import json

WORK = "/srv/bench"
PORT = 8123
# What a compiler, git and a shell need.
READ = ["/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/dev", "/proc", "/sys", "/payload", "/var/lib"]
WRITE = [WORK, "/tmp", "/dev/null", "/dev/tty"]
EXEC = ["/usr", "/lib", "/lib64", "/bin", "/sbin", "/payload", WORK]
DENY = ["/etc/shadow", "/etc/gshadow", "/root/.ssh/**", "/home/*/.ssh/**", "/home/*/.aws/**", "/home/*/.gnupg/**", "**/.env"]
DIRECTORIES = {"/dev/null": False, "/dev/tty": False}


def below(path):
    return path if DIRECTORIES.get(path, True) is False else f"{path}/**"


def lictor_policy(extra_denials=0):
    """Lictor's YAML; `extra_denials` more patterns show what patterns cost."""
    deny = [*DENY, *(f"/srv/secrets/team-{n % 97}/vault-{n}/*.key" for n in range(extra_denials))]
    sections = {
        "exec": {"allow": [below(path) for path in EXEC], "libraries": [below(path) for path in EXEC]},
        "files": {
            "read": [below(path) for path in READ + WRITE],
            "write": [below(path) for path in WRITE],
            "deny": deny,
        },
        "network": {"connect": [f"127.0.0.1:{PORT}"], "listen": [f"127.0.0.1:{PORT}"], "unix": []},
    }
    lines = ["version: 1", "agents:", "  bench:", "    mode: enforce"]
    for section, lists in sections.items():
        lines.append(f"    {section}:")
        # A JSON list is a YAML list.
        lines += [f"      {name}: {json.dumps(patterns)}" for name, patterns in lists.items()]
    return "\n".join(lines) + "\n"


def patterns_of(policy):
    return policy.count('", "') + policy.count('["')


def apparmor_profile():
    lines = ["abi <abi/3.0>,", "profile lictor-bench {"]
    lines += [f"  {path}/ r," for path in READ]
    lines += [f"  {path}/** r," for path in READ]
    lines += [f"  {path}/ rw," for path in WRITE if DIRECTORIES.get(path, True)]
    lines += [f"  {below(path)} rwkl," for path in WRITE]
    lines += [f"  {path}/** mrix," for path in EXEC]
    lines += ["  / r,", "  network inet stream,", "  network unix stream,", "  network unix dgram,"]
    # Every process may signal its own children, as with Lictor's sessions.
    lines += ["  signal peer=lictor-bench,", "  ptrace peer=lictor-bench,", "  unix,"]
    for pattern in DENY:
        lines.append(f"  deny {'/' if pattern.startswith('**') else ''}{pattern} rwklmx,")
    return "\n".join([*lines, "}", ""])


def landlock_arguments():
    arguments = []
    for path in READ:
        arguments += ["--read", path]
    for path in WRITE:
        arguments += ["--write", path]
    return [*arguments, "--connect", str(PORT), "--bind", str(PORT)]


def audit_rules():
    """Each execution, each connection, and each access to what the others deny."""
    rules = [
        "-a always,exit -F arch=b64 -S execve,execveat -k lictor-bench",
        "-a always,exit -F arch=b64 -S connect,accept4,bind -k lictor-bench",
    ]
    for path in ("/etc/shadow", "/etc/gshadow", "/root/.ssh", "/home/dev/.ssh"):
        rules.append(f"-w {path} -p rwa -k lictor-bench")
    return rules
