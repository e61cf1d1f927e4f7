/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between the kernel programs and user space: every shared struct, number and limit.
 *
 * Fixed widths, explicit padding, explicit numbers that are never reused. Rust takes the structs from the skeleton
 * (each has a dummy global in lictor.bpf.c so that it stays in BTF); the numbers are mirrored in src/abi.rs, where a
 * test compares them with this file.
 */
#ifndef LICTOR_H
#define LICTOR_H

#include <linux/types.h>

/* Bumped whenever a map's layout, an event's, or the meaning of a field changes. A daemon reads the events of an older
 * build's programs only when this number is its own. */
#define LICTOR_ABI 3

#define LICTOR_SESSIONS 4096 /* sessions at once; one more is refused by the daemon, never run ungoverned */

/* Scratch buffers: a path is written from the end backwards. A path that does not fit is denied, never cut. */
#define LICTOR_SCRATCH_TOP 16384
#define LICTOR_SCRATCH_TAIL 4608 /* room behind TOP for one name, and for argv behind a path */
#define LICTOR_SCRATCH_PER_CPU 4
#define LICTOR_NAME_MAX 255
#define LICTOR_ARGS_MAX 4096

/* Rights of a path, the low 8 bits of lictor_cell.accept. */
#define LICTOR_READ 1
#define LICTOR_WRITE 2
#define LICTOR_DENY 4
#define LICTOR_EXEC 8
#define LICTOR_EXEC_DENY 16
#define LICTOR_LIBRARY 32
#define LICTOR_UNIX 64
#define LICTOR_READONLY 128
#define LICTOR_IDENTITY_TREE 256 /* in `identities` only: holds for everything below the object too */
#define LICTOR_IDENTITY_DAEMON 512 /* there too: the program that the daemon runs */
#define LICTOR_IDENTITY_EXECUTOR 1024 /* there too: through which PID 1 starts its services */

/* lictor_policy.flags */
#define LICTOR_HAS_READ 1
#define LICTOR_HAS_WRITE 2
#define LICTOR_HAS_EXEC 4
#define LICTOR_HAS_LIBRARIES 8
#define LICTOR_HAS_NETWORK 16
#define LICTOR_HAS_CONNECT 32
#define LICTOR_HAS_LISTEN 64
#define LICTOR_HAS_UNIX 128
#define LICTOR_ANONYMOUS_ALLOWED 256
#define LICTOR_HAS_HASHES 512
#define LICTOR_UNDECIDED_DENY 1024
#define LICTOR_ENFORCE 2048
#define LICTOR_REPORT_READS 4096 /* the session asked for every event, allowed reads included */
#define LICTOR_HAS_IDENTITIES 8192
#define LICTOR_JUDGED 16384	     /* executions that the policy permits are judged */
#define LICTOR_UNDECIDED_HOLD 32768 /* and stopped until they are */

/* lictor_policy.privileges: what the floor takes away and this agent gets back */
#define LICTOR_PRIV_PTRACE 1
#define LICTOR_PRIV_MOUNT 2
#define LICTOR_PRIV_USERNS 4
#define LICTOR_PRIV_RAW_SOCKETS 8
#define LICTOR_PRIV_BPF 16
#define LICTOR_PRIV_PERF 32
#define LICTOR_PRIV_KEYRING 64
#define LICTOR_PRIV_MODULES 128

/* lictor_label.flags */
#define LICTOR_GOVERNED 1
#define LICTOR_DAEMON 2
#define LICTOR_LOADER 4 /* the program that runs is the dynamic loader itself */
#define LICTOR_OF_INIT 8 /* PID 1 made this process while self_protection was on, and it runs nothing else yet */
#define LICTOR_HELD 32 /* stopped before its first instruction: it has no rights, and only the daemon lets it go */
#define LICTOR_BECOMES_DAEMON 16 /* such a process that executes the daemon's program, until the kernel has done so */

/* lictor_control.fail_closed */
#define LICTOR_FAIL_OFF 0
#define LICTOR_FAIL_NETWORK 1
#define LICTOR_FAIL_ALL 2

#define LICTOR_RING_WAKE (1 << 20) /* bytes in a ring for which the daemon is woken */

#define LICTOR_BEAT_MAX_NS 2000000000ULL

/* lictor_event.kind */
#define LICTOR_EV_EXEC 1
#define LICTOR_EV_FILE 2
#define LICTOR_EV_NETWORK 3
#define LICTOR_EV_PROCESS 4
#define LICTOR_EV_MEMORY 5
#define LICTOR_EV_PRIVILEGE 6
#define LICTOR_EV_SESSION_END 7
#define LICTOR_EV_HOST 8 /* in `host` only: a process that nobody governs */

/* lictor_event.op, by kind */
#define LICTOR_FILE_READ 1
#define LICTOR_FILE_WRITE 2
#define LICTOR_FILE_CREATE 3
#define LICTOR_FILE_DELETE 4
#define LICTOR_FILE_RENAME 5
#define LICTOR_FILE_LINK 6
#define LICTOR_FILE_ATTRIBUTES 7
#define LICTOR_NET_CONNECT 1
#define LICTOR_NET_SEND 2
#define LICTOR_NET_LISTEN 3
#define LICTOR_NET_ACCEPT 4
#define LICTOR_NET_SOCKET 5
#define LICTOR_EXEC_OP_SCRIPT 1      /* the script itself, before its interpreter is looked at */
#define LICTOR_EXEC_OP_INTERPRETED 2 /* runs in an interpreter; the script was told of before */
#define LICTOR_PROC_FORK 1
#define LICTOR_PROC_EXIT 2
#define LICTOR_PROC_SIGNAL 3
#define LICTOR_PROC_TRACE 4
#define LICTOR_PROC_SETUID 5
#define LICTOR_HOST_FORK 1 /* told of the child */
#define LICTOR_HOST_EXEC 2 /* `detail` as of any execution; `object` is the control group */
#define LICTOR_HOST_EXIT 3 /* `detail` is the kernel's exit code */
#define LICTOR_MEM_MAP 1
#define LICTOR_MEM_PROTECT 2
#define LICTOR_PRIV_CAPABILITY 1
#define LICTOR_PRIV_MODULE 2
#define LICTOR_PRIV_OP_MOUNT 3
#define LICTOR_PRIV_OP_BPF 4
#define LICTOR_PRIV_OP_USERNS 5
#define LICTOR_PRIV_KEY 6
#define LICTOR_PRIV_OP_PERF 7
#define LICTOR_PRIV_IO_URING 8
#define LICTOR_PRIV_USERFAULTFD 9
#define LICTOR_PRIV_DEVICE 10
#define LICTOR_PRIV_IOCTL 11
#define LICTOR_PRIV_CGROUP 12
#define LICTOR_PRIV_RESOURCE 13
#define LICTOR_PRIV_TUN 14
#define LICTOR_PRIV_NAMESPACE 15
#define LICTOR_PRIV_DESCRIPTOR 16
#define LICTOR_PRIV_GUARD 17
#define LICTOR_PRIV_IPC 18
#define LICTOR_PRIV_KERNEL_FILE 19
#define LICTOR_PRIV_DISGUISE 20

/* lictor_event.action and .tier */
#define LICTOR_ALLOW 0
#define LICTOR_ACTION_DENY 1
#define LICTOR_TIER_POLICY 0
#define LICTOR_TIER_FLOOR 1
#define LICTOR_TIER_HEARTBEAT 2
#define LICTOR_TIER_CACHE 3 /* a verdict that was remembered */

/* lictor_verdict.state and lictor_event.judged */
#define LICTOR_JUDGED_NOT 0	/* nobody judges here */
#define LICTOR_JUDGED_ALLOW 1	/* remembered */
#define LICTOR_JUDGED_DENY 2	/* remembered: killed before its first instruction */
#define LICTOR_JUDGED_UNKNOWN 3 /* runs, and is judged beside */
#define LICTOR_JUDGED_HELD 4	/* stopped, and waits for a verdict */
#define LICTOR_JUDGED_REFUSED 5 /* EPERM, because nobody has judged it yet */

/* lictor_event.reason: why, exactly. 0 is "allowed". */
#define LICTOR_WHY_NONE 0
#define LICTOR_WHY_DENY_LIST 1      /* files.deny names the path */
#define LICTOR_WHY_READONLY 2       /* files.readonly names the path */
#define LICTOR_WHY_NOT_READ 3       /* files.read does not name it */
#define LICTOR_WHY_NOT_WRITE 4
#define LICTOR_WHY_EXEC_DENY 5
#define LICTOR_WHY_NOT_EXEC 6
#define LICTOR_WHY_NOT_LIBRARY 7
#define LICTOR_WHY_NOT_UNIX 8
#define LICTOR_WHY_OBJECT 9         /* another name of an object that is denied */
#define LICTOR_WHY_ANONYMOUS 10     /* no file behind the program */
#define LICTOR_WHY_UNREACHABLE 11   /* no path in the session's mount view */
#define LICTOR_WHY_TOO_LONG 12
#define LICTOR_WHY_MOVE 13          /* the move would change what is protected below */
#define LICTOR_WHY_WIDEN 14         /* the new name may be read, the old one not */
#define LICTOR_WHY_HASH_DENY 15
#define LICTOR_WHY_HASH_UNKNOWN 16
#define LICTOR_WHY_UNDECIDED 17
#define LICTOR_WHY_VERDICT 18       /* judged before, and denied */
#define LICTOR_WHY_TRACED 19        /* to be held, but its tracer could let it go */
#define LICTOR_WHY_NOT_CONNECT 20
#define LICTOR_WHY_NOT_LISTEN 21
#define LICTOR_WHY_FAMILY 22
#define LICTOR_WHY_FOREIGN_SOCKET 23
#define LICTOR_WHY_NETLINK_WRITE 24
#define LICTOR_WHY_HEARTBEAT 30
#define LICTOR_WHY_NO_POLICY 31
#define LICTOR_WHY_INTERNAL 32      /* a map full, a read failed, a label missing */
#define LICTOR_WHY_BUSY 33          /* the tree was being renamed all the time */
#define LICTOR_WHY_FLOOR 40         /* interface 3.5; op and detail say what */
#define LICTOR_WHY_GUARD 41         /* Lictor's own files, maps, sockets and processes */

/* The deny is a table walk: one state per byte of the path. 16 bytes; see lictor-engine's automaton. */
struct lictor_cell {
	__u32 check; /* the state whose transition this slot is */
	__u32 next;
	__u32 dflt;   /* of the state whose number is this slot's */
	__u32 accept; /* rights in the low 8 bits, move class above */
};

/* One immutable compiled policy. A session's slot in `policies` points at it; replacing the pointer is the switch. */
struct lictor_policy {
	__u32 id; /* key of its entries in `networks`, `identities`, `hashes` */
	__u32 start;
	__u32 dead;
	__u32 flags;
	__u32 privileges;
	__u32 cells; /* length of its extent, from `dead` on */
	__u32 judge; /* who judges: agent, its policy and rules; part of every verdict's key, so that a change forgets all */
	__u32 pad;
	__u64 session; /* the session it was made for: a recycled slot never lends its policy to an old label */
};

struct lictor_label {
	__u64 session;
	__u32 slot;
	__u32 flags;
};

struct lictor_session {
	__u64 id;
	__s64 tasks; /* threads alive; the daemon frees the slot when it reaches 0 */
	__u64 events;
	__u64 denied;
};

/* mmapped by the daemon: each field is written alone, atomically. */
struct lictor_control {
	__u64 beat_ns; /* CLOCK_MONOTONIC */
	__u32 fail_closed;
	__u32 self_protection;
	__u32 storage_may_fail; /* before 6.2 task storage can answer "none" while it is busy */
	__u32 abi; /* LICTOR_ABI of the build that loaded the programs */
	__u64 secret[2]; /* of the fingerprints; written once */
	__u32 watch_host; /* tell of the processes that nobody governs, too */
	__u32 pad;
};

struct lictor_network_key {
	__u32 prefixlen; /* 64 + bits of the address */
	__u32 policy;
	__u32 direction; /* 0 connect, 1 listen */
	__u8 addr[16];   /* IPv4 as ::ffff:a.b.c.d */
};
#define LICTOR_CONNECT 0
#define LICTOR_LISTEN 1

#define LICTOR_PORTS_NONE 0
#define LICTOR_PORTS_ALL 0xffffffff
struct lictor_network {
	__u32 tcp; /* key in `ports`, or one of the two above */
	__u32 udp;
};
struct lictor_ports {
	__u64 bits[1024];
};

struct lictor_identity_key {
	__u64 ino;
	__u32 policy;
	__u32 dev;
	__u32 generation;
	__u32 pad;
};

struct lictor_verdict_key {
	__u64 object;
	__u64 invocation; /* 0: whatever the arguments */
	__u32 judge;
	__u32 pad;
};
struct lictor_verdict {
	__u64 expires_ns; /* CLOCK_MONOTONIC, 0: never */
	__u32 state;	  /* LICTOR_JUDGED_ALLOW or _DENY */
	__u32 pad;
};

/* A process that is held; what a restarted daemon needs to decide it. */
struct lictor_held {
	__u64 session;
	__u64 start_ns;
	__u64 since_ns; /* CLOCK_MONOTONIC */
	__u64 object;
	__u64 invocation;
	__u32 slot;
	__u32 judge;
};

struct lictor_hash_key {
	__u32 policy;
	__u8 sha256[32];
};

/* What the task_file iterator tells about one descriptor of the daemon. */
struct lictor_identity {
	__u64 ino;
	__u32 dev;
	__u32 generation;
	__u32 fd;
	__u32 mode;
};

/* What the task iterator tells about one process of the host. */
struct lictor_process {
	__u64 start_ns; /* as in lictor_event */
	__u64 cgroup; /* number of its control group in the version 2 hierarchy */
	__u64 session; /* 0: nobody governs it */
	__u32 pid;
	__u32 ppid;
	__u32 uid;
	__u32 gid;
	char comm[16];
};

/*
 * One event; behind it path_len bytes of path, then path2_len, then args_len.
 * Numbers that do not apply are 0 and the decoder leaves the fact out.
 */
struct lictor_event {
	__u16 kind;
	__u16 op;
	__u32 size;
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u64 session;
	__u64 start_ns; /* start of the thread group's leader, CLOCK_BOOTTIME */
	__u64 latency_ns;
	__u32 slot;
	__u32 policy;
	__u32 pid;
	__u32 tid;
	__u32 ppid;
	__u32 uid;
	__u32 gid;
	__u16 action;
	__u16 tier;
	__u16 reason;
	__u16 enforced;
	__u32 rights;   /* what the automaton said */
	__u32 detail;   /* kind's own: capability, signal, family, bpf command ... */
	__u32 detail2;  /* kind's own: target pid, protocol ... */
	__u16 family;
	__u16 port;
	__u32 protocol;
	__u8 addr[16];
	__u32 path_off; /* from the event's first byte */
	__u32 path_len;
	__u32 path2_len;
	__u32 args_len;
	__u32 cwd_len; /* exec only: the second path is the working directory */
	__u32 judged; /* exec only */
	__u32 judge;
	__u64 object; /* exec only: fingerprints, 0: none */
	__u64 invocation;
	__u32 pad;
	__u32 hash; /* exec only: which hash of the policy named the content, plus one */
	char comm[16];
};

/* Counters, index of `counters` (per CPU). */
#define LICTOR_COUNT_LOST_RING 0
#define LICTOR_COUNT_LOST_SCRATCH 1
#define LICTOR_COUNT_INTERNAL 2
#define LICTOR_COUNT_DENIED 3
#define LICTOR_COUNT_EVENTS 4
#define LICTOR_COUNT_LABEL_FALLBACK 5
#define LICTOR_COUNT_RENAME_RETRY 6
#define LICTOR_COUNT_LOST_TASK 7
#define LICTOR_COUNT_LOST_HOST 8 /* of processes that nobody governs: told by the next census */
#define LICTOR_COUNTERS 9

#endif
