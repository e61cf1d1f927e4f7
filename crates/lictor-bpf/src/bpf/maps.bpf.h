/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every map: who writes it, and the reason for its size. */
#ifndef LICTOR_MAPS_H
#define LICTOR_MAPS_H

/* The subject: is this task governed, by which session. Written by the daemon on a session's first task, copied at
 * every fork; freed with the task, so no number is ever reused under a wrong name. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct lictor_label);
} task_labels SEC(".maps");

/* What is only the kernel's about a governed thread. Not in the label, which the daemon writes too, when it lets a held
 * process go: it could take back what an exit wrote meanwhile. */
struct lictor_thread {
	u32 number; /* under which it stands in `governed_threads`; 0: nobody told of its start */
	u32 uncounted; /* its session does not count it any more */
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct lictor_thread);
} threads SEC(".maps");

/* Which session made a socket; cloned to the sockets that a listener accepts. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct lictor_label);
} socket_labels SEC(".maps");

/* Governed threads by number, for two questions that task storage cannot answer: whose is /proc/N, and, before 6.2,
 * whose is a task whose storage is busy. Written at fork, exit, and by an execution, which can change the number. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, u32);
	__type(value, struct lictor_label);
} governed_threads SEC(".maps");

/* slot -> the compiled policy in force. The daemon replaces the inner map: one pointer, switched at once. */
struct lictor_policy_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	/* Sizes and not types: before 6.2 a map with type information does not count as equal to one without, and the
	 * daemon makes the real ones without. */
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(struct lictor_policy));
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, LICTOR_SESSIONS);
	__type(key, u32);
	__array(values, struct lictor_policy_map);
} policies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LICTOR_SESSIONS);
	__type(key, u32);
	__type(value, struct lictor_session);
} sessions SEC(".maps");

/* All automata, each in an extent of its own; the daemon sets max_entries before load and fills them through mmap. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1048576);
	__type(key, u32);
	__type(value, struct lictor_cell);
} cells SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct lictor_network_key);
	__type(value, struct lictor_network);
} networks SEC(".maps");

/* 65,536 bits each: any set of ports is exact. Not preallocated, so the limit costs nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct lictor_ports);
} ports SEC(".maps");

/* Objects that a rule names, by what they are. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct lictor_identity_key);
	__type(value, u32);
} identities SEC(".maps");

/* One bit an inode number that stands in `identities`, so that almost every directory on a path costs one load. */
#define LICTOR_BLOOM_WORDS 1024
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, LICTOR_BLOOM_WORDS);
	__type(key, u32);
	__type(value, u64);
} identity_bloom SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1048576);
	__type(key, struct lictor_hash_key);
	__type(value, u32); /* LICTOR_EXEC or LICTOR_EXEC_DENY, and its place in the policy's list above the low byte */
} hashes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct lictor_control);
} control SEC(".maps");

/* Two rings, so that a flood of ordinary events cannot hide a denial. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} events SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} denials SEC(".maps");
/* Of processes that nobody governs. A ring of its own, so that a busy host costs no session an event; smaller, since what
 * does not fit is found by the next census. The daemon maps each ring twice, and is charged for it. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 2 << 20);
} host SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LICTOR_COUNTERS);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

/* Buffers to write a path in. Not a per-CPU value: a program can be preempted by another task on the same CPU that
 * runs the same program, and would find its path overwritten by somebody else's. Each is taken and given back with an
 * atomic flag; the daemon sets max_entries to LICTOR_SCRATCH_PER_CPU for each CPU. */
/* The window of struct dentry that a step of the climb needs: neighbours in every kernel so far (features.rs checks). */
struct dentry_window {
	u64 parent;
	u64 hash_len;
	u64 name;
	u64 inode;
};
struct climb { /* where it starts */
	u64 dentry;
	u64 mnt;
	u32 end;
	u32 policy;
	u32 steady;
	u32 renames; /* count of renames when it began */
	u64 until;   /* when it is given up, if a rename came in between */
};
struct walk { /* the climb of path.bpf.h; here because the stack has 512 bytes for all */
	u64 dentry;
	u64 mnt; /* struct mount */
	u64 mnt_root;
	u64 top; /* where the climb ended, struct mount */
	u32 pos;
	u32 status;
	u32 done;
	u32 policy;   /* 0: do not look at identities */
	u32 identity; /* rights found by object */
	u32 above;    /* of these, those that something above the object brought */
	u32 leaf;     /* first step */
	u32 name_len; /* of the leaf */
	u64 parent;   /* the folder that the leaf is in, 0: it is the root of a mount */
	struct lictor_identity_key key;
	u64 sb, inode;
	u64 up[2];    /* mnt_parent, mnt_mountpoint: neighbours too */
	struct dentry_window window;
};
struct matching { /* where the automaton is */
	u32 pos;
	u32 end;
	u32 state;
	u32 dead;
	u32 broken;
	u32 pad;
};
struct walked { /* what is known of one end of an access */
	u32 accept;
	u32 identity;
	u32 status;
	u32 class;
	u32 pos;
	u32 pad;
};
struct other_names { /* the look at the other names of the near end */
	u64 name; /* struct dentry; 0: that was the last */
	u64 dentry;
	u64 mnt;
	u64 place;
	u32 rights;
	u32 broken; /* not all were seen */
};
struct judged { /* the verdict over an access, for its report */
	u32 reason;
	u32 tier;
	u32 end;  /* of the near end's path and of everything before it */
	u32 tail; /* the same, of a name without a path */
};
struct sip { /* a fingerprint in the making */
	u64 v[4];
	u32 pos;
	u32 end;
};
struct lictor_scratch {
	u32 used;
	u32 pad;
	struct matching matching;
	struct climb climb;
	struct walk walk;
	struct walked near;
	struct walked far;
	struct walked other; /* another name of the near end */
	struct other_names names;
	struct sip sip;
	u32 behind;	     /* state of the automaton behind the folder's last slash */
	u32 mounts;	     /* what they were before the climb */
	u32 removals;
	u32 unused;
	struct judged judged;
	/* Used up to TOP + TAIL. The rest is never touched: it is there because the verifier adds the largest offset to
	 * the largest length and does not know that their sum is bounded. */
	u8 data[2 * LICTOR_SCRATCH_TOP + LICTOR_SCRATCH_TAIL];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LICTOR_SCRATCH_PER_CPU);
	__type(key, u32);
	__type(value, struct lictor_scratch);
} scratch SEC(".maps");

/*
 * Folders in which something was looked at lately: what the path up to there came to. Saves the climb and most of the
 * walk over the bytes. Valid for one policy and one view of the mounts, while nothing was renamed, removed or mounted
 * since, and while the folder's memory holds the same folder (it can be forgotten and another one take its place).
 * For each CPU, so that none waits for another; `used` keeps apart those that preempt each other on one.
 */
#define LICTOR_PLACES 1024
struct lictor_place {
	u64 folder; /* struct dentry */
	u64 inode;  /* struct inode, and two of its facts */
	u64 ino;
	u64 sb;
	u64 mnt;    /* struct mount */
	u64 ns;	    /* struct mnt_namespace */
	u32 policy;
	u32 renames;
	u32 mounts;
	u32 removals;
	u32 state; /* of the automaton, behind the folder's last slash */
	u32 above; /* rights that objects on the way bring */
	u32 used;
	u32 pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LICTOR_PLACES);
	__type(key, u32);
	__type(value, struct lictor_place);
} places SEC(".maps");

/* Folders removed so far: what is remembered of one must not be said of the next, which may get its number and memory. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} removals SEC(".maps");

/* Allowed opens already reported, so that whoever opens one file a thousand times says so once. */
struct lictor_seen_key {
	u64 session;
	u64 ino;
	u32 dev;
	u32 op;
	u32 pid; /* 0: whoever of the session */
	u32 pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct lictor_seen_key);
	__type(value, u32);
} seen SEC(".maps");

/* Verdicts of the judges. Only the daemon writes, and it takes old ones out. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, struct lictor_verdict_key);
	__type(value, struct lictor_verdict);
} verdicts SEC(".maps");

/* Processes that wait for a verdict, by number. When it is full, the next one is killed instead of held. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, struct lictor_held);
} held SEC(".maps");

/* Ids of our own maps, programs and links, for the guard; those of other builds that are in force beside this one too.
 * Written by the daemon after load. A build has some 300. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64); /* kind (1 map, 2 program, 3 link) << 32 | id */
	__type(value, u32);
} own_objects SEC(".maps");

#endif
