/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every difference between kernels, each with the version that needs it, so that it can be deleted one day. */
#ifndef LICTOR_COMPAT_H
#define LICTOR_COMPAT_H

#include "kernel.h"

/* 6.17 (mount: singly linked lists of a superblock's mounts): mnt_instance on s_mounts became mnt_next_for_sb. */
struct super_block___list {
	struct list_head s_mounts;
} __attribute__((preserve_access_index));
struct super_block___next {
	struct mount *s_mounts;
} __attribute__((preserve_access_index));
struct mount___list {
	struct list_head mnt_instance;
} __attribute__((preserve_access_index));
struct mount___next {
	struct mount *mnt_next_for_sb;
} __attribute__((preserve_access_index));

/* Keeps the compiler from computing a field's place before it is known that the kernel has the field. */
#define KEEP_HERE(x) asm volatile("" : "+r"(x))

static __always_inline u64 first_mount(u64 sb)
{
	if (bpf_core_field_exists(struct mount___next, mnt_next_for_sb))
		return (u64)BPF_CORE_READ((struct super_block___next *)sb, s_mounts);
	KEEP_HERE(sb);
	u64 entry = (u64)BPF_CORE_READ((struct super_block___list *)sb, s_mounts.next);
	if (entry == sb + bpf_core_field_offset(struct super_block___list, s_mounts))
		return 0;
	return entry - bpf_core_field_offset(struct mount___list, mnt_instance);
}

static __always_inline u64 next_mount(u64 sb, u64 mount)
{
	if (bpf_core_field_exists(struct mount___next, mnt_next_for_sb))
		return (u64)BPF_CORE_READ((struct mount___next *)mount, mnt_next_for_sb);
	KEEP_HERE(sb);
	KEEP_HERE(mount);
	u64 entry = (u64)BPF_CORE_READ((struct mount___list *)mount, mnt_instance.next);
	if (entry == sb + bpf_core_field_offset(struct super_block___list, s_mounts))
		return 0;
	return entry - bpf_core_field_offset(struct mount___list, mnt_instance);
}

/* The time of an inode's last change was `i_ctime` before 6.6, `__i_ctime` before 6.11, and two numbers since. */
struct timespec64___c {
	s64 tv_sec;
	long tv_nsec;
} __attribute__((preserve_access_index));
struct inode___plain {
	struct timespec64___c i_ctime;
} __attribute__((preserve_access_index));
struct inode___hidden {
	struct timespec64___c __i_ctime;
} __attribute__((preserve_access_index));
struct inode___numbers {
	s64 i_ctime_sec;
	u32 i_ctime_nsec;
} __attribute__((preserve_access_index));

static __always_inline u64 changed_seconds(u64 inode)
{
	if (bpf_core_field_exists(struct inode___numbers, i_ctime_sec)) {
		KEEP_HERE(inode);
		return BPF_CORE_READ((struct inode___numbers *)inode, i_ctime_sec);
	}
	if (bpf_core_field_exists(struct inode___hidden, __i_ctime)) {
		KEEP_HERE(inode);
		return BPF_CORE_READ((struct inode___hidden *)inode, __i_ctime.tv_sec);
	}
	KEEP_HERE(inode);
	return BPF_CORE_READ((struct inode___plain *)inode, i_ctime.tv_sec);
}

static __always_inline u64 changed_nanoseconds(u64 inode)
{
	if (bpf_core_field_exists(struct inode___numbers, i_ctime_nsec)) {
		KEEP_HERE(inode);
		/* 6.13: the highest bit says whether somebody has asked for the time, which is no change of the file. */
		return BPF_CORE_READ((struct inode___numbers *)inode, i_ctime_nsec) & 0x7fffffff;
	}
	if (bpf_core_field_exists(struct inode___hidden, __i_ctime)) {
		KEEP_HERE(inode);
		return BPF_CORE_READ((struct inode___hidden *)inode, __i_ctime.tv_nsec);
	}
	KEEP_HERE(inode);
	return BPF_CORE_READ((struct inode___plain *)inode, i_ctime.tv_nsec);
}

/* 6.19 (or earlier in a distribution): the union that holds d_alias lost its name. */
struct dentry___named {
	union {
		struct hlist_node d_alias;
	} d_u;
} __attribute__((preserve_access_index));
struct dentry___plain {
	struct hlist_node d_alias;
} __attribute__((preserve_access_index));

/* Names of an inode that the kernel has in mind: the first, and the one after. 0: no more. */
static __always_inline u64 dentry_of(u64 node)
{
	if (!node)
		return 0;
	if (bpf_core_field_exists(struct dentry___plain, d_alias)) {
		KEEP_HERE(node);
		return node - bpf_core_field_offset(struct dentry___plain, d_alias);
	}
	KEEP_HERE(node);
	return node - bpf_core_field_offset(struct dentry___named, d_u.d_alias);
}

static __always_inline u64 next_name(u64 dentry)
{
	struct hlist_node *node;
	if (bpf_core_field_exists(struct dentry___plain, d_alias)) {
		KEEP_HERE(dentry);
		node = BPF_CORE_READ((struct dentry___plain *)dentry, d_alias.next);
	} else {
		KEEP_HERE(dentry);
		node = BPF_CORE_READ((struct dentry___named *)dentry, d_u.d_alias.next);
	}
	return dentry_of((u64)node);
}

/*
 * 6.12 and later want a program's value proven to lie in [-4095, 0]; clang 14 turns `x ? -EPERM : 0` into arithmetic
 * that the verifier cannot follow. The asm keeps the two returns apart.
 */
#define VERDICT(denied)                                                                                                \
	({                                                                                                             \
		int __ret = 0;                                                                                         \
		if (denied) {                                                                                          \
			int __eperm;                                                                                   \
			asm volatile("%0 = -1" : "=r"(__eperm));                                                       \
			return __eperm;                                                                                \
		}                                                                                                      \
		asm volatile("%0 = 0" : "=r"(__ret));                                                                  \
		__ret;                                                                                                 \
	})

#endif
