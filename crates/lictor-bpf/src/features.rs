// SPDX-License-Identifier: Apache-2.0
//! What this kernel can do, and what to change where it cannot.

use std::collections::BTreeMap;
use std::path::Path;

use libbpf_rs::btf::{Btf, ReferencesType as _, types};

use crate::error::{Error, Result, bpf};

/// One thing that this host must have.
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    pub detail: String,
    /// The exact step that mends it; empty when `ok`.
    pub fix: String,
}

/// Hooks that not every supported kernel has, with the reason why we can do without.
const OPTIONAL: &[(&str, &str)] = &[
    ("file_truncate", "6.2; before, path_truncate sees ftruncate"),
    ("file_ioctl_compat", "6.8; before, file_ioctl sees compat calls"),
    ("inode_set_acl", "6.2; before, ACLs are xattrs"),
    ("inode_remove_acl", "6.2; before, ACLs are xattrs"),
    ("uring_cmd", "6.0; rings are refused when they are made"),
    ("uring_sqpoll", "5.16; rings are refused when they are made"),
    ("uring_override_creds", "5.16; rings are refused when they are made"),
    ("tun_dev_open", "always with tun"),
    ("tun_dev_create", "always with tun"),
    ("perf_event_open", "kernels without perf events"),
    ("key_permission", "kernels without keys"),
    ("netlink_send", "kernels without CONFIG_SECURITY_NETWORK"),
];

/// The running kernel's types, asked for hooks.
pub(crate) struct Kernel {
    hooks: BTreeMap<String, u32>,
}

pub(crate) enum Hook {
    /// Takes this many arguments.
    Present(u32),
    /// Not here, and what stands in for it.
    Optional(&'static str),
    Missing,
}

impl Kernel {
    pub(crate) fn probe() -> Result<Kernel> {
        if !Path::new("/sys/kernel/btf/vmlinux").exists() {
            return Err(Error::Unsupported("no type information (/sys/kernel/btf/vmlinux)".into()));
        }
        let btf = Btf::from_vmlinux().map_err(bpf("cannot read /sys/kernel/btf/vmlinux"))?;
        let mut hooks = BTreeMap::new();
        for function in btf.type_by_kind::<types::Func<'_>>() {
            let Some(name) =
                function.name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("bpf_lsm_"))
            else {
                continue;
            };
            let arguments =
                types::FuncProto::try_from(function.referenced_type()).map(|proto| proto.len()).unwrap_or(0);
            hooks.insert(name.to_owned(), arguments as u32);
        }
        Ok(Kernel { hooks })
    }

    pub(crate) fn hook(&self, name: &str) -> Hook {
        match (self.hooks.get(name), OPTIONAL.iter().find(|(optional, _)| *optional == name)) {
            (Some(arguments), _) => Hook::Present(*arguments),
            (None, Some((_, instead))) => Hook::Optional(instead),
            (None, None) => Hook::Missing,
        }
    }
}

/// Everything that enforcement needs, in the order in which it makes sense to mend it.
pub fn check() -> Vec<Check> {
    let mut checks = Vec::new();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    push(&mut checks, "kernel", version >= (6, 1), format!("Linux {release}"), || {
        "Lictor needs Linux 6.1 or later: install a newer kernel (Debian 12 has 6.1, its backports newer ones)".into()
    });
    match std::fs::read_to_string("/sys/kernel/security/lsm") {
        Ok(list) => {
            let list = list.trim();
            push(&mut checks, "bpf-lsm", list.split(',').any(|lsm| lsm == "bpf"), format!("active: {list}"), || {
                format!(
                    "boot with `lsm={list},bpf` (in /etc/default/grub: GRUB_CMDLINE_LINUX, then update-grub and reboot)"
                )
            });
        }
        Err(error) => push(&mut checks, "bpf-lsm", false, format!("/sys/kernel/security/lsm: {error}"), || {
            "mount -t securityfs securityfs /sys/kernel/security".into()
        }),
    }
    let kernel = Kernel::probe();
    push(
        &mut checks,
        "btf",
        kernel.is_ok(),
        kernel.as_ref().map_or_else(|error| error.to_string(), |_| "/sys/kernel/btf/vmlinux".into()),
        || "use a kernel that was built with CONFIG_DEBUG_INFO_BTF=y (all distribution kernels are)".into(),
    );
    if let Ok(kernel) = &kernel {
        let missing: Vec<&str> =
            crate::sensor::hooks().into_iter().filter(|hook| matches!(kernel.hook(hook), Hook::Missing)).collect();
        let detail = if missing.is_empty() {
            "all present".into()
        } else {
            format!("not in this kernel: {}", missing.join(", "))
        };
        push(&mut checks, "hooks", missing.is_empty(), detail, || "use Linux 6.1 or later".into());
    }
    let mounted =
        |path: &str, magic: i64| nix::sys::statfs::statfs(path).is_ok_and(|stat| stat.filesystem_type().0 == magic);
    push(&mut checks, "bpffs", mounted("/sys/fs/bpf", 0xcafe_4a11), "/sys/fs/bpf".into(), || {
        "mount -t bpf bpf /sys/fs/bpf".into()
    });
    push(&mut checks, "cgroup2", crate::sensor::cgroup_root().is_some(), "the root of cgroup version 2".into(), || {
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup".into()
    });
    let root = nix::unistd::geteuid().is_root();
    push(&mut checks, "privilege", root, if root { "root".into() } else { "not root".to_owned() }, || {
        "run as root, or let a running lictord do it (members of the group `lictor` may start sessions)".into()
    });
    checks
}

/// Whether the kernel measures files itself (IMA), which rules on content need.
pub fn content_hashes() -> bool {
    Path::new("/sys/kernel/security/ima").exists()
}

/// Where the root of the cgroup v2 hierarchy is mounted.
pub fn cgroup_root() -> Option<std::path::PathBuf> {
    crate::sensor::cgroup_root()
}

fn push(checks: &mut Vec<Check>, name: &'static str, ok: bool, detail: String, fix: impl FnOnce() -> String) {
    checks.push(Check { name, ok, detail, fix: if ok { String::new() } else { fix() } });
}
