// SPDX-License-Identifier: Apache-2.0
//! What kind of place a path is.

use super::programs::SHELLS;

/// All answers of [`path_class`]; their order is part of the model's input.
#[rustfmt::skip]
pub(crate) const CLASSES: &[&str] = &[
    "devtcp", "devnull", "shm", "kernelmem", "disk", "dev", "secret", "startup", "log", "account", "guard", "container",
    "kernelset", "procmem", "proc", "tmphidden", "tmp", "shellbin", "bin", "lib", "etc", "boot", "home", "homehidden",
    "web", "tree", "root", "absolute", "dots", "here", "dotfile", "relative",
];

/// What kind of place a path is. Relative paths and what is no path have classes too.
pub(crate) fn path_class(path: &str) -> &'static str {
    let lower = path.to_ascii_lowercase();
    let path = lower.as_str();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
    let has = |parts: &[&str]| parts.iter().any(|part| path.contains(part));
    if starts(&["/dev/tcp", "/dev/udp"]) {
        return "devtcp";
    }
    if starts(&[
        "/dev/null",
        "/dev/zero",
        "/dev/urandom",
        "/dev/random",
        "/dev/stdin",
        "/dev/stdout",
        "/dev/stderr",
        "/dev/fd",
        "/dev/tty",
    ]) {
        return "devnull";
    }
    if starts(&["/dev/shm", "/run/shm"]) {
        return "shm";
    }
    if starts(&["/dev/mem", "/dev/kmem", "/dev/port", "/proc/kcore", "/proc/kallsyms"]) {
        return "kernelmem";
    }
    if starts(&["/dev/sd", "/dev/nvme", "/dev/vd", "/dev/hd", "/dev/xvd", "/dev/mapper", "/dev/disk", "/dev/mmc"]) {
        return "disk";
    }
    if path.starts_with("/dev/") {
        return "dev";
    }
    if has(&[
        "shadow",
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        ".aws/",
        ".netrc",
        ".pgpass",
        ".git-credentials",
        ".docker/config",
        ".kube/",
        ".gnupg",
        "login data",
        "logins.json",
        "key4.db",
        "key3.db",
        "keytab",
        "krb5cc",
        "serviceaccount",
        "opasswd",
        ".password-store",
        "keyring",
        ".azure/",
        "gcloud/",
        ".mozilla",
        "wallet.dat",
        "master.passwd",
        "cookies.sqlite",
        ".vault-token",
        "credentials",
    ]) {
        return "secret";
    }
    if has(&[
        "authorized_keys",
        "/etc/cron",
        "/var/spool/cron",
        "/systemd/",
        "/etc/init",
        "/etc/rc",
        "ld.so.preload",
        "ld.so.conf",
        "/etc/sudoers",
        "/etc/pam",
        "/etc/profile",
        "bash.bashrc",
        ".bashrc",
        ".bash_profile",
        ".bash_login",
        ".bash_logout",
        ".zshrc",
        ".zprofile",
        ".zshenv",
        ".zlogin",
        "autostart",
        "/udev/",
        "update-motd",
        "/etc/skel",
        ".xinitrc",
        ".xprofile",
        "modules-load",
        "/etc/modules",
        "apt.conf.d",
        "usercustomize",
        "sitecustomize",
        ".git/hooks",
        "core_pattern",
        "binfmt_misc",
        "/etc/environment",
        "/etc/anacron",
    ]) || path.ends_with("/.profile")
    {
        return "startup";
    }
    if has(&[
        "/var/log/",
        "/var/adm/",
        "_history",
        "histfile",
        "wtmp",
        "utmp",
        "btmp",
        "lastlog",
        "/var/audit",
        "/var/spool/mail",
        "/var/mail",
    ]) {
        return "log";
    }
    if starts(&["/etc/passwd", "/etc/group", "/etc/gshadow"]) {
        return "account";
    }
    if starts(&[
        "/etc/audit",
        "/etc/rsyslog",
        "/etc/syslog",
        "/etc/selinux",
        "/etc/apparmor",
        "/etc/ufw",
        "/etc/fail2ban",
        "/etc/iptables",
        "/etc/firewalld",
        "/etc/security",
        "/etc/ssh/",
        "/etc/hosts",
        "/etc/resolv",
        "/etc/nsswitch",
        "/etc/lictor",
        "/run/lictor",
        "/sys/fs/bpf",
    ]) {
        return "guard";
    }
    if has(&["docker.sock", "containerd.sock", "release_agent", "crio.sock"]) || starts(&["/sys/fs/cgroup"]) {
        return "container";
    }
    if path.starts_with("/proc/sys") || path.starts_with("/proc/sysrq") || starts(&["/sys/kernel", "/sys/module"]) {
        return "kernelset";
    }
    if path.starts_with("/proc/")
        && (path.ends_with("/mem")
            || path.ends_with("/maps")
            || path.ends_with("/environ")
            || path.contains("/fd/")
            || path.contains("/root"))
    {
        return "procmem";
    }
    if starts(&["/proc", "/sys"]) {
        return "proc";
    }
    if starts(&["/tmp/.", "/var/tmp/."]) {
        return "tmphidden";
    }
    if starts(&["/tmp", "/var/tmp", "$tmp", "${tmp"]) {
        return "tmp";
    }
    if starts(&["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/"]) {
        let name = path.rsplit('/').next().unwrap_or("");
        return if SHELLS.contains(&name) { "shellbin" } else { "bin" };
    }
    if starts(&["/lib", "/usr/lib", "/usr/local/lib"]) {
        return "lib";
    }
    if starts(&["/etc"]) {
        return "etc";
    }
    if starts(&["/boot"]) {
        return "boot";
    }
    if starts(&["/root", "/home", "~", "$home", "${home"]) {
        let rest = path.trim_start_matches(['~', '/']);
        return if rest.contains("/.") || rest.starts_with('.') { "homehidden" } else { "home" };
    }
    if starts(&["/var/www", "/srv/www"]) {
        return "web";
    }
    if starts(&["/var", "/srv", "/opt", "/mnt", "/media", "/data", "/usr", "/run"]) {
        return "tree";
    }
    if path == "/" || path == "/*" {
        return "root";
    }
    if path.starts_with('/') {
        return "absolute";
    }
    if path.starts_with("...") {
        return "dots";
    }
    if path.starts_with("./") || path.starts_with("../") || path == "." || path == ".." {
        return "here";
    }
    if path.starts_with('.') && path.len() > 1 {
        return "dotfile";
    }
    "relative"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        for (path, class) in [
            ("/dev/tcp/10.0.0.1/443", "devtcp"),
            ("/etc/shadow", "secret"),
            ("/home/a/.ssh/authorized_keys", "startup"),
            ("/var/log/auth.log", "log"),
            ("/tmp/.x", "tmphidden"),
            ("/tmp/x", "tmp"),
            ("/bin/bash", "shellbin"),
            ("~/.config", "homehidden"),
            ("src/main.rs", "relative"),
        ] {
            assert_eq!(path_class(path), class, "{path}");
        }
    }
}
