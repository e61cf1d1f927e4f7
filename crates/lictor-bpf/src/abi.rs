// SPDX-License-Identifier: Apache-2.0
//! The numbers of `bpf/lictor.h` for Rust. The structs come from the skeleton; a test compares these with the header.

/// The form of maps and events.
pub const ABI: u32 = 3;
/// Sessions at once.
pub const SESSIONS: u32 = 4096;
/// Bytes of one scratch buffer that a path may use, the event's head included.
pub const SCRATCH_TOP: u32 = 16384;
pub const SCRATCH_PER_CPU: u32 = 4;
pub const BEAT_MAX_NS: u64 = 2_000_000_000;

macro_rules! numbers {
    ($($(#[$doc:meta])* $module:ident { $($name:ident = $value:literal => $c:literal),+ $(,)? })+) => {
        $($(#[$doc])* pub mod $module { $(pub const $name: u32 = $value;)+ })+
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, u32)] = &[$($(($c, $value)),+),+];
    };
}

numbers! {
    /// Rights of a path and of an object.
    rights {
        READ = 1 => "LICTOR_READ", WRITE = 2 => "LICTOR_WRITE", DENY = 4 => "LICTOR_DENY", EXEC = 8 => "LICTOR_EXEC",
        EXEC_DENY = 16 => "LICTOR_EXEC_DENY", LIBRARY = 32 => "LICTOR_LIBRARY", UNIX = 64 => "LICTOR_UNIX",
        READONLY = 128 => "LICTOR_READONLY", TREE = 256 => "LICTOR_IDENTITY_TREE",
        DAEMON = 512 => "LICTOR_IDENTITY_DAEMON", EXECUTOR = 1024 => "LICTOR_IDENTITY_EXECUTOR",
    }
    /// `lictor_policy.flags`
    flags {
        HAS_READ = 1 => "LICTOR_HAS_READ", HAS_WRITE = 2 => "LICTOR_HAS_WRITE", HAS_EXEC = 4 => "LICTOR_HAS_EXEC",
        HAS_LIBRARIES = 8 => "LICTOR_HAS_LIBRARIES", HAS_NETWORK = 16 => "LICTOR_HAS_NETWORK",
        HAS_CONNECT = 32 => "LICTOR_HAS_CONNECT", HAS_LISTEN = 64 => "LICTOR_HAS_LISTEN",
        HAS_UNIX = 128 => "LICTOR_HAS_UNIX", ANONYMOUS_ALLOWED = 256 => "LICTOR_ANONYMOUS_ALLOWED",
        HAS_HASHES = 512 => "LICTOR_HAS_HASHES", UNDECIDED_DENY = 1024 => "LICTOR_UNDECIDED_DENY",
        ENFORCE = 2048 => "LICTOR_ENFORCE", REPORT_READS = 4096 => "LICTOR_REPORT_READS",
        HAS_IDENTITIES = 8192 => "LICTOR_HAS_IDENTITIES", JUDGED = 16384 => "LICTOR_JUDGED",
        UNDECIDED_HOLD = 32768 => "LICTOR_UNDECIDED_HOLD",
    }
    /// `lictor_label.flags`
    label {
        GOVERNED = 1 => "LICTOR_GOVERNED", DAEMON = 2 => "LICTOR_DAEMON", LOADER = 4 => "LICTOR_LOADER",
        OF_INIT = 8 => "LICTOR_OF_INIT", BECOMES_DAEMON = 16 => "LICTOR_BECOMES_DAEMON",
        HELD = 32 => "LICTOR_HELD",
    }
    /// `lictor_control.fail_closed`
    fail { OFF = 0 => "LICTOR_FAIL_OFF", NETWORK = 1 => "LICTOR_FAIL_NETWORK", ALL = 2 => "LICTOR_FAIL_ALL" }
    /// `lictor_event.kind`
    kind {
        EXEC = 1 => "LICTOR_EV_EXEC", FILE = 2 => "LICTOR_EV_FILE", NETWORK = 3 => "LICTOR_EV_NETWORK",
        PROCESS = 4 => "LICTOR_EV_PROCESS", MEMORY = 5 => "LICTOR_EV_MEMORY", PRIVILEGE = 6 => "LICTOR_EV_PRIVILEGE",
        SESSION_END = 7 => "LICTOR_EV_SESSION_END", HOST = 8 => "LICTOR_EV_HOST",
    }
    /// `lictor_event.op` of an execution; 0 is a program
    exec_op { SCRIPT = 1 => "LICTOR_EXEC_OP_SCRIPT", INTERPRETED = 2 => "LICTOR_EXEC_OP_INTERPRETED" }
    /// `lictor_event.op` of a file event
    file_op {
        READ = 1 => "LICTOR_FILE_READ", WRITE = 2 => "LICTOR_FILE_WRITE", CREATE = 3 => "LICTOR_FILE_CREATE",
        DELETE = 4 => "LICTOR_FILE_DELETE", RENAME = 5 => "LICTOR_FILE_RENAME", LINK = 6 => "LICTOR_FILE_LINK",
        ATTRIBUTES = 7 => "LICTOR_FILE_ATTRIBUTES",
    }
    net_op {
        CONNECT = 1 => "LICTOR_NET_CONNECT", SEND = 2 => "LICTOR_NET_SEND", LISTEN = 3 => "LICTOR_NET_LISTEN",
        ACCEPT = 4 => "LICTOR_NET_ACCEPT", SOCKET = 5 => "LICTOR_NET_SOCKET",
    }
    process_op {
        FORK = 1 => "LICTOR_PROC_FORK", EXIT = 2 => "LICTOR_PROC_EXIT", SIGNAL = 3 => "LICTOR_PROC_SIGNAL",
        TRACE = 4 => "LICTOR_PROC_TRACE", SETUID = 5 => "LICTOR_PROC_SETUID",
    }
    host_op { FORK = 1 => "LICTOR_HOST_FORK", EXEC = 2 => "LICTOR_HOST_EXEC", EXIT = 3 => "LICTOR_HOST_EXIT" }
    memory_op { MAP = 1 => "LICTOR_MEM_MAP", PROTECT = 2 => "LICTOR_MEM_PROTECT" }
    privilege_op {
        CAPABILITY = 1 => "LICTOR_PRIV_CAPABILITY", MODULE = 2 => "LICTOR_PRIV_MODULE",
        MOUNT = 3 => "LICTOR_PRIV_OP_MOUNT", BPF = 4 => "LICTOR_PRIV_OP_BPF", USERNS = 5 => "LICTOR_PRIV_OP_USERNS",
        KEY = 6 => "LICTOR_PRIV_KEY", PERF = 7 => "LICTOR_PRIV_OP_PERF", IO_URING = 8 => "LICTOR_PRIV_IO_URING",
        USERFAULTFD = 9 => "LICTOR_PRIV_USERFAULTFD", DEVICE = 10 => "LICTOR_PRIV_DEVICE",
        IOCTL = 11 => "LICTOR_PRIV_IOCTL", CGROUP = 12 => "LICTOR_PRIV_CGROUP", RESOURCE = 13 => "LICTOR_PRIV_RESOURCE",
        TUN = 14 => "LICTOR_PRIV_TUN", NAMESPACE = 15 => "LICTOR_PRIV_NAMESPACE",
        DESCRIPTOR = 16 => "LICTOR_PRIV_DESCRIPTOR", GUARD = 17 => "LICTOR_PRIV_GUARD", IPC = 18 => "LICTOR_PRIV_IPC",
        KERNEL_FILE = 19 => "LICTOR_PRIV_KERNEL_FILE", DISGUISE = 20 => "LICTOR_PRIV_DISGUISE",
    }
    tier { POLICY = 0 => "LICTOR_TIER_POLICY", FLOOR = 1 => "LICTOR_TIER_FLOOR", HEARTBEAT = 2 => "LICTOR_TIER_HEARTBEAT", CACHE = 3 => "LICTOR_TIER_CACHE" }
    /// `lictor_verdict.state`, `lictor_event.judged`
    judged {
        NOT = 0 => "LICTOR_JUDGED_NOT", ALLOW = 1 => "LICTOR_JUDGED_ALLOW", DENY = 2 => "LICTOR_JUDGED_DENY",
        UNKNOWN = 3 => "LICTOR_JUDGED_UNKNOWN", HELD = 4 => "LICTOR_JUDGED_HELD",
        REFUSED = 5 => "LICTOR_JUDGED_REFUSED",
    }
    /// `lictor_event.reason`
    why {
        NONE = 0 => "LICTOR_WHY_NONE", DENY_LIST = 1 => "LICTOR_WHY_DENY_LIST", READONLY = 2 => "LICTOR_WHY_READONLY",
        NOT_READ = 3 => "LICTOR_WHY_NOT_READ", NOT_WRITE = 4 => "LICTOR_WHY_NOT_WRITE",
        EXEC_DENY = 5 => "LICTOR_WHY_EXEC_DENY", NOT_EXEC = 6 => "LICTOR_WHY_NOT_EXEC",
        NOT_LIBRARY = 7 => "LICTOR_WHY_NOT_LIBRARY", NOT_UNIX = 8 => "LICTOR_WHY_NOT_UNIX",
        OBJECT = 9 => "LICTOR_WHY_OBJECT", ANONYMOUS = 10 => "LICTOR_WHY_ANONYMOUS",
        UNREACHABLE = 11 => "LICTOR_WHY_UNREACHABLE", TOO_LONG = 12 => "LICTOR_WHY_TOO_LONG",
        MOVE = 13 => "LICTOR_WHY_MOVE", WIDEN = 14 => "LICTOR_WHY_WIDEN", HASH_DENY = 15 => "LICTOR_WHY_HASH_DENY",
        HASH_UNKNOWN = 16 => "LICTOR_WHY_HASH_UNKNOWN", UNDECIDED = 17 => "LICTOR_WHY_UNDECIDED",
        VERDICT = 18 => "LICTOR_WHY_VERDICT", TRACED = 19 => "LICTOR_WHY_TRACED",
        NOT_CONNECT = 20 => "LICTOR_WHY_NOT_CONNECT", NOT_LISTEN = 21 => "LICTOR_WHY_NOT_LISTEN",
        FAMILY = 22 => "LICTOR_WHY_FAMILY", FOREIGN_SOCKET = 23 => "LICTOR_WHY_FOREIGN_SOCKET",
        NETLINK_WRITE = 24 => "LICTOR_WHY_NETLINK_WRITE", HEARTBEAT = 30 => "LICTOR_WHY_HEARTBEAT",
        NO_POLICY = 31 => "LICTOR_WHY_NO_POLICY", INTERNAL = 32 => "LICTOR_WHY_INTERNAL", BUSY = 33 => "LICTOR_WHY_BUSY",
        FLOOR = 40 => "LICTOR_WHY_FLOOR", GUARD = 41 => "LICTOR_WHY_GUARD",
    }
    /// Index into the per-CPU counters.
    counter {
        LOST_RING = 0 => "LICTOR_COUNT_LOST_RING", LOST_SCRATCH = 1 => "LICTOR_COUNT_LOST_SCRATCH",
        INTERNAL = 2 => "LICTOR_COUNT_INTERNAL", DENIED = 3 => "LICTOR_COUNT_DENIED", EVENTS = 4 => "LICTOR_COUNT_EVENTS",
        LABEL_FALLBACK = 5 => "LICTOR_COUNT_LABEL_FALLBACK", RENAME_RETRY = 6 => "LICTOR_COUNT_RENAME_RETRY",
        LOST_TASK = 7 => "LICTOR_COUNT_LOST_TASK", LOST_HOST = 8 => "LICTOR_COUNT_LOST_HOST",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_number_equals_the_header_and_no_number_of_the_header_is_missing() {
        let header = include_str!("bpf/lictor.h");
        let mut left: std::collections::BTreeMap<&str, u32> = header
            .lines()
            .filter_map(|line| {
                let mut words = line.strip_prefix("#define LICTOR_")?.split_whitespace();
                let name = words.next()?;
                let value = words.next()?.trim_end_matches("ULL");
                let value = match value.strip_prefix("0x") {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => value.parse().ok()?,
                };
                Some((name, value))
            })
            .collect();
        for (name, value) in super::ALL {
            let name = name.trim_start_matches("LICTOR_");
            assert_eq!(left.remove(name), Some(*value), "LICTOR_{name}");
        }
        let ours = ["ABI", "SESSIONS", "SCRATCH_TOP", "SCRATCH_PER_CPU", "BEAT_MAX_NS"];
        assert_eq!(left["ABI"], super::ABI);
        assert_eq!(left["SESSIONS"], super::SESSIONS);
        assert_eq!(left["SCRATCH_TOP"], super::SCRATCH_TOP);
        assert_eq!(left["SCRATCH_PER_CPU"], super::SCRATCH_PER_CPU);
        let kernel_only = [
            "ABI",
            "SCRATCH_TAIL",
            "NAME_MAX",
            "ARGS_MAX",
            "ALLOW",
            "ACTION_DENY",
            "CONNECT",
            "LISTEN",
            "PORTS_NONE",
            "PORTS_ALL",
            "COUNTERS",
        ];
        left.retain(|name, _| !ours.contains(name) && !kernel_only.contains(name) && !name.starts_with("PRIV_"));
        assert!(left.is_empty(), "in the header only: {left:?}");
    }
}
