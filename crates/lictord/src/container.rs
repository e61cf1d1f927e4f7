// SPDX-License-Identifier: Apache-2.0
//! Which container a process is in, as its control group says, and its pod as the kubelet's folder of logs names it.
//!
//! A session's processes cannot change their control group, so what its first one is in holds for all.

use std::path::Path;

use lictor_api::event::Container;

/// The folders of the kubelet's logs: `NAMESPACE_POD_UID`.
const POD_LOGS: &str = "/var/log/pods";

/// The container of the process, or `None`: it is in none, or gone.
pub(crate) fn of_process(pid: u32) -> Option<Container> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    of_groups(&groups, Path::new(POD_LOGS))
}

/// `groups` is the text of `/proc/PID/cgroup`: a line for each hierarchy, `NUMBER:CONTROLLERS:PATH`.
fn of_groups(groups: &str, pod_logs: &Path) -> Option<Container> {
    let (mut container, uid) = groups.lines().find_map(|line| of_path(line.splitn(3, ':').nth(2)?))?;
    if let Some((namespace, pod)) = uid.as_deref().and_then(|uid| names_of(uid, pod_logs)) {
        (container.namespace, container.pod) = (Some(namespace), Some(pod));
    } else {
        container.pod = uid;
    }
    Some(container)
}

/// The innermost container that the path names, and the uid of its pod.
fn of_path(path: &str) -> Option<(Container, Option<String>)> {
    let parts: Vec<&str> = path.split('/').collect();
    let (at, id, runtime) = parts.iter().enumerate().rev().find_map(|(at, part)| {
        let above = at.checked_sub(1).and_then(|above| parts.get(above)).copied().unwrap_or_default();
        let (id, runtime) = named(part, above)?;
        Some((at, id, runtime))
    })?;
    let pod = parts[..at].iter().rev().find_map(|part| pod_uid(part));
    let runtime = match runtime {
        Some(runtime) => Some(runtime),
        // Without systemd the kubelet's groups do not say whose they are.
        None if pod.is_some() => None,
        None => return None,
    };
    Some((Container { id: Some(id), runtime: runtime.map(str::to_owned), ..Container::default() }, pod))
}

/// The container that a part of the path, below `above`, is the group of, and its runtime where the name says it.
fn named(part: &str, above: &str) -> Option<(String, Option<&'static str>)> {
    const SCOPES: [(&str, &str); 4] =
        [("docker-", "docker"), ("libpod-", "podman"), ("cri-containerd-", "containerd"), ("crio-", "cri-o")];
    for (prefix, runtime) in SCOPES {
        let rest = part.strip_prefix(prefix).map(|rest| rest.strip_suffix(".scope").unwrap_or(rest));
        if let Some(id) = rest.filter(|id| is_id(id)) {
            return Some((id.to_owned(), Some(runtime)));
        }
    }
    if let Some(name) = part.strip_prefix("lxc.payload.").filter(|name| !name.is_empty()) {
        return Some((name.to_owned(), Some("lxc")));
    }
    if let Some(name) = part.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service")) {
        return Some((name.to_owned(), Some("systemd-nspawn")));
    }
    match above {
        "docker" if is_id(part) => Some((part.to_owned(), Some("docker"))),
        "lxc" if !part.is_empty() => Some((part.to_owned(), Some("lxc"))),
        _ if is_id(part) => Some((part.to_owned(), None)),
        _ => None,
    }
}

/// 64 hexadecimal digits, as every runtime of the OCI kind names its containers.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// `pod<UID>`, or `kubepods-CLASS-pod<UID>.slice` with underscores for dashes.
fn pod_uid(part: &str) -> Option<String> {
    let name = part.strip_suffix(".slice").unwrap_or(part);
    let uid = match name.strip_prefix("kubepods-") {
        Some(rest) => rest.rsplit('-').next()?.strip_prefix("pod")?,
        None => name.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    (!uid.is_empty() && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')).then_some(uid)
}

/// Namespace and name of the pod.
fn names_of(uid: &str, pod_logs: &Path) -> Option<(String, String)> {
    std::fs::read_dir(pod_logs).ok()?.find_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        // Neither namespaces nor pods have underscores in their names.
        let (namespace, pod) = name.strip_suffix(uid)?.strip_suffix('_')?.split_once('_')?;
        Some((namespace.to_owned(), pod.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0f3a9c5d7e1b2468ace013579bdf02468ace13579bdf02468ace13579bdf0246";

    fn found(path: &str) -> Option<(String, Option<String>, Option<String>)> {
        let groups = format!("0::{}\n", path.replace("ID", ID));
        of_groups(&groups, Path::new("/nonexistent"))
            .map(|found| (found.id.unwrap().replace(ID, "ID"), found.runtime, found.pod))
    }

    fn seen(id: &str, runtime: &str, pod: Option<&str>) -> Option<(String, Option<String>, Option<String>)> {
        Some((id.into(), (!runtime.is_empty()).then(|| runtime.into()), pod.map(Into::into)))
    }

    #[test]
    fn each_runtime_is_known_by_its_groups() {
        let uid = "b1f6c0a2-3d4e-4f5a-8b7c-9d0e1f2a3b4c";
        let flat = uid.replace('-', "_");
        for (path, wanted) in [
            ("/system.slice/docker-ID.scope", seen("ID", "docker", None)),
            ("/docker/ID", seen("ID", "docker", None)),
            ("/docker/ID/init.scope", seen("ID", "docker", None)),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
                seen("ID", "podman", None),
            ),
            ("/lxc.payload.web/system.slice/x.service", seen("web", "lxc", None)),
            ("/machine.slice/systemd-nspawn@build.service/payload", seen("build", "systemd-nspawn", None)),
            (
                &format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{flat}.slice/cri-containerd-ID.scope"
                ),
                seen("ID", "containerd", Some(uid)),
            ),
            (&format!("/kubepods/besteffort/pod{uid}/ID"), seen("ID", "", Some(uid))),
            (&format!("/kubepods.slice/kubepods-pod{flat}.slice/crio-ID.scope"), seen("ID", "cri-o", Some(uid))),
        ] {
            assert_eq!(found(path), wanted, "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for path in [
            "/",
            "/user.slice/user-1000.slice/session-2.scope",
            "/docker",
            "/docker-1234.scope",
            "/system.slice/ID",
            "/lxc/",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
        assert!(of_groups("", Path::new("/")).is_none());
        assert!(of_groups("nonsense\n1:\n", Path::new("/")).is_none());
    }

    #[test]
    fn the_pods_name_comes_from_the_folder_of_its_logs() {
        let logs = tempfile::tempdir().unwrap();
        let uid = "b1f6c0a2-3d4e-4f5a-8b7c-9d0e1f2a3b4c";
        std::fs::create_dir(logs.path().join("shop_checkout-7d9f_b1f6c0a2-0000-4f5a-8b7c-9d0e1f2a3b4c")).unwrap();
        std::fs::create_dir(logs.path().join(format!("shop_cart-7d9f_{uid}"))).unwrap();
        let groups = format!("2:cpu:/x\n0::/kubepods/pod{uid}/{ID}\n");
        let container = of_groups(&groups, logs.path()).unwrap();
        assert_eq!((container.namespace.as_deref(), container.pod.as_deref()), (Some("shop"), Some("cart-7d9f")));
    }
}
