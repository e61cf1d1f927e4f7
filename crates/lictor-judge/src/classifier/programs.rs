// SPDX-License-Identifier: Apache-2.0
//! Programs by what they are: shells, wrappers, interpreters, servers, those of everyday work.

/// Shells: their `-c` argument, their here-document and what is piped into them is a line again.
#[rustfmt::skip]
pub(crate) const SHELLS: &[&str] = &[
    "sh", "bash", "dash", "zsh", "ksh", "ash", "rbash", "mksh", "fish", "csh", "tcsh",
];

/// Programs that run the rest of their arguments as a command, with the options of theirs that take a value.
#[rustfmt::skip]
pub(crate) const WRAPPERS: &[(&str, &[&str])] = &[
    ("sudo", &["-u", "-g", "-C", "-p", "-h", "-r", "-t", "--user", "--group"]), ("doas", &["-u", "-C"]),
    ("env", &["-u", "-C", "-S", "--unset", "--chdir"]), ("nohup", &[]), ("nice", &["-n", "--adjustment"]),
    ("ionice", &["-c", "-n", "-p"]), ("timeout", &["-s", "-k", "--signal", "--kill-after"]), ("time", &["-f", "-o"]),
    ("stdbuf", &["-i", "-o", "-e"]), ("setsid", &[]), ("exec", &["-a"]), ("command", &[]), ("builtin", &[]),
    ("busybox", &[]), ("toybox", &[]),
    ("xargs", &["-I", "-n", "-P", "-L", "-d", "-s", "-a", "-E", "--max-args", "--max-procs", "--delimiter", "--replace"]),
    ("parallel", &["-j", "-a", "--jobs"]), ("watch", &["-n", "--interval"]), ("chroot", &["--userspec", "--groups"]),
    ("unshare", &[]), ("nsenter", &["-t", "--target"]), ("flock", &["-w", "-c"]), ("strace", &["-e", "-o", "-p", "-s"]),
    ("ltrace", &["-e", "-o", "-p", "-s"]), ("taskset", &["-c", "-p"]), ("chrt", &[]), ("setarch", &[]),
    ("proxychains", &["-f"]), ("torsocks", &[]),
    ("ssh", &["-p", "-i", "-l", "-o", "-L", "-R", "-D", "-J", "-F", "-b", "-c", "-E", "-S", "-W", "-w"]),
];

/// Interpreters and the options whose argument is a program in their language.
#[rustfmt::skip]
pub(crate) const INTERPRETERS: &[(&str, &[&str])] = &[
    ("python", &["-c"]), ("pypy", &["-c"]), ("perl", &["-e", "-E"]), ("ruby", &["-e"]),
    ("node", &["-e", "--eval", "-p", "--print"]), ("deno", &["eval"]), ("bun", &["-e"]), ("php", &["-r"]),
    ("lua", &["-e"]), ("luajit", &["-e"]), ("julia", &["-e", "-E"]), ("osascript", &["-e"]),
    ("gdb", &["-ex", "-eval-command", "--eval-command"]), ("vim", &["-c", "--cmd"]), ("vi", &["-c"]),
    ("nvim", &["-c", "--cmd"]), ("emacs", &["--eval", "-eval"]), ("psql", &["-c"]), ("mysql", &["-e"]), ("sqlite", &[]),
    ("irb", &[]), ("jjs", &[]), ("jshell", &[]), ("tclsh", &[]), ("expect", &["-c"]), ("awk", &[]), ("gawk", &[]),
    ("mawk", &[]), ("nawk", &[]), ("octave", &["--eval"]), ("gnuplot", &["-e"]), ("ghc", &["-e"]), ("R", &["-e"]),
    ("Rscript", &["-e"]), ("guile", &["-c"]), ("erl", &["-eval"]), ("elixir", &["-e"]), ("groovy", &["-e"]),
    ("pwsh", &["-c", "-Command"]),
];

/// Servers: a shell that one of them starts is seldom wanted.
#[rustfmt::skip]
pub(crate) const SERVERS: &[&str] = &[
    "nginx", "apache2", "httpd", "php-fpm", "postgres", "mysqld", "mariadbd", "redis-server", "mongod", "tomcat",
    "catalina", "named", "sshd-session", "smbd", "vsftpd", "proftpd", "exim4", "dovecot", "lighttpd", "caddy",
    "haproxy", "uwsgi", "gunicorn", "memcached",
];

/// Programs whose file arguments are written, moved or changed.
#[rustfmt::skip]
pub(crate) const WRITERS: &[&str] = &[
    "rm", "mv", "cp", "tee", "truncate", "shred", "chmod", "chown", "chgrp", "ln", "dd", "install", "touch", "mkdir",
    "rmdir", "unlink", "rsync", "setfacl", "chattr", "srm", "wipe", "visudo", "vi", "vim", "nano", "ed", "patch",
    "mkfifo", "mknod", "setcap", "mount",
];

/// Programs of everyday work: their share is a feature.
#[rustfmt::skip]
pub(crate) const EVERYDAY: &[&str] = &[
    "ls", "cd", "cat", "grep", "egrep", "fgrep", "sed", "awk", "head", "tail", "wc", "sort", "uniq", "cut", "tr",
    "find", "xargs", "echo", "printf", "mkdir", "touch", "cp", "mv", "pwd", "test",
    "[", "[[", "true", "false", "sleep", "date", "git", "make", "cmake", "cargo", "rustc", "npm", "npx", "node", "yarn", "pnpm", "pip", "python", "pytest", "tox", "go", "gcc", "cc", "g++", "ld", "ar", "as", "diff", "patch", "tee", "basename", "dirname", "realpath", "readlink", "stat", "file", "which", "type", "export", "set", "source", "tree", "jq", "rg", "fd", "column", "du", "df", "java", "mvn", "gradle", "ruby", "bundle", "rake", "ruff", "mypy", "black", "isort", "eslint", "tsc", "jest", "vitest", "expr", "seq", "comm", "paste", "nl", "rev", "tac", "fold", "fmt", "install", "configure", "m4", "autoconf", "automake", "ldconfig", "rm", "uv", "poetry", "time", "exit", "return", "local", "read", "shift", "less", "tar", "unzip", "zip", "gzip",
];
