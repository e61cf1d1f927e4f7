/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's types, as far as we read them. CO-RE finds each field's place in the running kernel's BTF, so only the
 * names and the nesting matter here, not offsets or what is left out.
 */
#ifndef LICTOR_KERNEL_H
#define LICTOR_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

typedef __u64 u64;
typedef __s64 s64;
typedef __u32 u32;
typedef __s32 s32;
typedef __u16 u16;
typedef __u8 u8;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
	struct list_head *next, *prev;
};
struct hlist_node {
	struct hlist_node *next;
};
struct hlist_head {
	struct hlist_node *first;
};
typedef struct {
	__u32 val;
} kuid_t;
typedef struct {
	int counter;
} atomic_t;
typedef struct {
	__u32 val;
} kgid_t;
struct qstr {
	union {
		struct {
			u32 hash;
			u32 len;
		};
		u64 hash_len;
	};
	const unsigned char *name;
};
struct super_block {
	u32 s_dev;
	unsigned long s_magic;
	struct dentry *s_root;
};
struct inode {
	__u16 i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	union {
		const unsigned int i_nlink;
		unsigned int __i_nlink;
	};
	u32 i_rdev;
	u32 i_generation;
	long long i_size;
	struct hlist_head i_dentry;
};
struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
};
struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};
struct mnt_namespace {
	struct mount *root;
};
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
};
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};
struct file {
	unsigned int f_mode;
	unsigned int f_flags;
	struct path f_path;
	struct inode *f_inode;
};
struct nsproxy {
	struct mnt_namespace *mnt_ns;
};
struct fs_struct {
	struct path pwd;
};
struct mm_struct {
	struct file *exe_file;
};
struct user_namespace {
	struct user_namespace *parent;
};
struct key {
	char *description;
};
struct cred {
	kuid_t uid;
	kgid_t gid;
	kuid_t euid;
	struct user_namespace *user_ns;
};
struct kernfs_node {
	u64 id;
};
struct cgroup {
	struct kernfs_node *kn;
};
struct css_set {
	struct cgroup *dfl_cgrp;
};
struct signal_struct {
	atomic_t live; /* threads that have not begun to exit */
};
struct task_struct {
	int pid;
	int tgid;
	int exit_code;
	unsigned int flags;
	unsigned int ptrace;
	unsigned int in_execve : 1;
	u64 start_boottime;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct nsproxy *nsproxy;
	const struct cred *cred;
	const struct cred *real_cred;
	struct signal_struct *signal;
	struct css_set *cgroups;
	int exit_state;
	char comm[16];
};
struct linux_binprm {
	struct file *file;
	const char *filename;
	const char *interp; /* not `filename` any more when a format handed the execution on */
	char buf[256];
	unsigned long p; /* where the lowest of its strings lies: argv[0] */
	int argc;
};
struct vm_area_struct {
	struct file *vm_file;
	unsigned long vm_flags;
};
struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};
struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};
struct sock {
	struct sock_common __sk_common;
	u16 sk_type;
	u16 sk_protocol;
};
struct socket {
	short type;
	struct sock *sk;
};
struct sockaddr_un {
	unsigned short sun_family;
};
struct unix_address {
	int len;
	struct sockaddr_un name[0];
};
struct unix_sock {
	struct unix_address *addr;
	struct path path;
};
struct msghdr {
	void *msg_name;
	int msg_namelen;
	unsigned int msg_flags;
};
struct sockaddr {
	unsigned short sa_family;
};
struct sk_buff {
	unsigned int len;
	unsigned char *data;
};
struct iattr {
	unsigned int ia_valid;
};
struct kernel_siginfo {
	int si_signo;
};
struct bpf_map {
	u32 id;
};
struct bpf_prog_aux {
	u32 id;
};
struct bpf_prog {
	struct bpf_prog_aux *aux;
};
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task {
	union {
		struct bpf_iter_meta *meta;
	};
	union {
		struct task_struct *task;
	};
};
struct bpf_iter__task_file {
	union {
		struct bpf_iter_meta *meta;
	};
	union {
		struct task_struct *task;
	};
	u32 fd;
	union {
		struct file *file;
	};
};

/* What a system call was called with: the flavour keeps clear of the header's struct of this name. */
#ifdef __TARGET_ARCH_x86
struct pt_regs___call {
	unsigned long si, dx, orig_ax;
};
#else
struct pt_regs___call {
	u64 regs[31];
	s32 syscallno;
};
#endif

#pragma clang attribute pop

/* The user ABI's address layouts: fixed for ever, so no relocation. */
struct lictor_sockaddr {
	unsigned short family;
	__be16 port;
	union {
		__be32 v4;
		struct {
			__be32 flowinfo;
			__u8 v6[16];
		};
	};
};

#define EPERM 1
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000
#define FMODE_READ 1
#define FMODE_WRITE 2
#define FMODE_EXEC 0x20
#define PROT_WRITE 2
#define PROT_EXEC 4
#define SIGKILL 9
#define SIGCONT 18
#define SIGSTOP 19
#define MAP_SHARED 1
#define MAP_TYPE 15
#define VM_EXEC 4

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_SEQPACKET 5
#define IPPROTO_ICMP 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_ICMPV6 58
#define IPPROTO_UDPLITE 136
#define IPPROTO_MPTCP 262
#define MSG_FASTOPEN 0x20000000

#define CGROUP_SUPER_MAGIC 0x27e0eb
#define CGROUP2_SUPER_MAGIC 0x63677270
#define BPF_FS_MAGIC 0xcafe4a11
#define SYSFS_MAGIC 0x62656572
#define DEBUGFS_MAGIC 0x64626720
#define TRACEFS_MAGIC 0x74726163
#define SECURITYFS_MAGIC 0x73636673
#define SELINUX_MAGIC 0xf97cff8c
#define CONFIGFS_MAGIC 0x62656570
#define EFIVARFS_MAGIC 0xde5e81e4
#define BINFMTFS_MAGIC 0x42494e4d
#define PSTOREFS_MAGIC 0x6165676c
#define RESCTRL_MAGIC 0x7655821
#define PROC_SUPER_MAGIC 0x9fa0
#define PIPEFS_MAGIC 0x50495045
#define NSFS_MAGIC 0x6e736673

#endif
