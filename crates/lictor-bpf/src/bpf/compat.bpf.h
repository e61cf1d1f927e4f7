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
