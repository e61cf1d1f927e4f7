/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Files: open, and every hook that creates, removes, renames, links, truncates or changes attributes.
 *
 * Sees:     the objects the kernel resolved (R1 of docs/evasions.md), never the caller's string.
 * Enforces: files.read, files.write, files.readonly, files.deny; of the floor, what is a file: devices, kernel
 *           interfaces (cgroupfs, bpffs, /sys, /proc/sys), namespaces.
 * Answers:  evasions 1-6, 8, 11-13, 15-25, 31, 47, 69, 71, 99, 103-105, 110, 111, 115, 122, 126.
 */
#include "judge.bpf.h"

static __always_inline bool kernel_interface(unsigned long magic)
{
	switch (magic) {
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case BPF_FS_MAGIC:
	case SYSFS_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case SECURITYFS_MAGIC:
	case SELINUX_MAGIC:
	case CONFIGFS_MAGIC:
	case EFIVARFS_MAGIC:
	case BINFMTFS_MAGIC:
	case PSTOREFS_MAGIC:
	case RESCTRL_MAGIC:
		return true;
	}
	return false;
}

/* A terminal, a source of zeros or randomness, a graphics card. Everything else (memory, raw disks, tun, uinput,
 * fuse, kvm, loop-control ...) is a way to the kernel or to the hardware. */
static __always_inline bool harmless_device(u32 rdev)
{
	u32 major = rdev >> 20, minor = rdev & 0xfffff;

	switch (major) {
	case 1:
		return minor == 3 || minor == 5 || minor == 7 || minor == 8 || minor == 9;
	case 5:
		return minor <= 2;
	case 4:	  /* tty, ttyS */
	case 204: /* ttyAMA */
	case 229: /* hvc */
	case 226: /* dri */
	case 195: /* nvidia */
		return true;
	}
	return major >= 136 && major <= 143;
}

/*
 * A write below /proc: only to the session's own processes, and never to their memory (evasion 31: FOLL_FORCE writes
 * to text that is not writable). /proc/sys, sysrq-trigger and the rest are kernel configuration.
 */
static __noinline int proc_write_allowed(struct subject *s, struct dentry *dentry)
{
	struct dentry *top = dentry;
	u8 name[16] = {};
	bool ended = false;

	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(dentry, d_name.name));
	if (name[0] == 'm' && name[1] == 'e' && name[2] == 'm' && name[3] == 0)
		return false;
	struct dentry *up = BPF_CORE_READ(dentry, d_parent);
	for (int i = 0; i < 12; i++) {
		struct dentry *next = BPF_CORE_READ(up, d_parent);
		if (next == up) {
			ended = true;
			break;
		}
		top = up;
		up = next;
	}
	if (!ended)
		return false;
	__builtin_memset(name, 0, sizeof(name));
	if (bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(top, d_name.name)) < 2)
		return false;
	u32 tgid = 0;
	for (int i = 0; i < 10; i++) {
		if (name[i] == 0)
			break;
		if (name[i] < '0' || name[i] > '9')
			return false;
		tgid = tgid * 10 + (name[i] - '0');
	}
	struct lictor_label *label = bpf_map_lookup_elem(&governed_threads, &tgid);
	return label && label->session == s->session;
}

/* What the floor says of opening this file; 0: nothing against it, else the op of the privilege event. */
static __noinline u32 floor_file(struct subject *s, struct file *file, u32 write)
{
	struct inode *inode = file->f_inode;
	u32 type = inode->i_mode & S_IFMT;
	unsigned long magic = inode->i_sb->s_magic;

	if (type == S_IFBLK)
		return LICTOR_PRIV_DEVICE;
	if (type == S_IFCHR)
		return harmless_device(inode->i_rdev) ? 0 : LICTOR_PRIV_DEVICE;
	if (magic == NSFS_MAGIC && !(s->privileges & (LICTOR_PRIV_MOUNT | LICTOR_PRIV_USERNS)))
		return LICTOR_PRIV_NAMESPACE;
	if (!write)
		return 0;
	if (kernel_interface(magic))
		return magic == CGROUP2_SUPER_MAGIC || magic == CGROUP_SUPER_MAGIC ? LICTOR_PRIV_CGROUP :
										   LICTOR_PRIV_KERNEL_FILE;
	if (magic == PROC_SUPER_MAGIC && !proc_write_allowed(s, file->f_path.dentry))
		return LICTOR_PRIV_KERNEL_FILE;
	return 0;
}

static __always_inline int open_like(struct subject *s, struct file *file, u32 mode)
{
	struct inode *inode = file->f_inode;
	struct dentry *dentry = file->f_path.dentry;
	bool write = mode & FMODE_WRITE;
	struct access a = {};

	u32 op = floor_file(s, file, write);
	a.dentry = (u64)dentry;
	a.mnt = mount_of(file->f_path.mnt);
	a.kind = LICTOR_EV_FILE;
	a.op = write ? LICTOR_FILE_WRITE : LICTOR_FILE_READ;
	a.ino = inode->i_ino;
	a.dev = inode->i_sb->s_dev;
	a.detail = op;
	if (op) {
		a.need = NEED_FLOOR;
		return judge(s, &a);
	}
	u32 type = inode->i_mode & S_IFMT;
	if (type == S_IFIFO && inode->i_sb->s_magic == PIPEFS_MAGIC)
		return 0; /* /proc/self/fd/N of a pipe that it already holds */
	if (type != S_IFREG || inode->i_nlink == 1)
		a.flags = ACCESS_ONE_NAME;
	if (mode & FMODE_EXEC) /* the exec hook judges the right to run; here only what is denied altogether */
		a.flags |= ACCESS_SILENT;
	else
		a.need = (mode & FMODE_READ ? NEED_READ : 0) | (write ? NEED_WRITE : 0);
	a.flags |= write ? ACCESS_OPEN : ACCESS_QUIET;
	if (quickly_allowed(s, &a, dentry, file->f_path.mnt))
		return 0;
	return judge(s, &a);
}

/* Evasions 1, 3, 4, 15, 16, 17, 31, 69, 71, 103: every open ends here, by whatever call, name or ring. */
SEC("lsm/file_open")
int BPF_PROG(lictor_file_open, struct file *file)
{
	struct subject s;

	if (!subject_of(&s)) {
		if (!(file->f_mode & FMODE_WRITE) || !guarded())
			return 0;
		return VERDICT(our_object((u64)file->f_path.dentry)); /* evasions 115, 118, 129 */
	}
	u32 mode = file->f_mode & (FMODE_READ | FMODE_WRITE);
	if ((file->f_flags | file->f_mode) & FMODE_EXEC)
		mode |= FMODE_EXEC;
	return VERDICT(open_like(&s, file, mode));
}

/* Evasion 91: a descriptor that another process sends is judged as if it were opened here. Sockets: net.bpf.c. */
SEC("lsm/file_receive")
int BPF_PROG(lictor_file_receive, struct file *file)
{
	struct subject s;

	if (!subject_of(&s))
		return 0;
	u32 type = file->f_inode->i_mode & S_IFMT;
	if (type == S_IFSOCK || type == S_IFIFO)
		return 0;
	return VERDICT(open_like(&s, file, file->f_mode & (FMODE_READ | FMODE_WRITE)));
}

/* Shared by the hooks that take (directory or object) path and one dentry. */
static __always_inline int change(struct subject *s, u16 op, struct vfsmount *mnt, struct dentry *dentry)
{
	struct access a = {};

	a.kind = LICTOR_EV_FILE;
	a.op = op;
	a.dentry = (u64)dentry;
	a.mnt = mount_of(mnt);
	a.need = NEED_WRITE;
	if (kernel_interface(BPF_CORE_READ(dentry, d_sb, s_magic))) {
		a.need = NEED_FLOOR; /* mkdir in cgroupfs, unlink of a pin, new tracefs instances */
		a.detail = LICTOR_PRIV_KERNEL_FILE;
	}
	return judge(s, &a);
}

#define CHANGE_HOOK(hook, op)                                                                                          \
	SEC("lsm/" #hook)                                                                                              \
	int BPF_PROG(lictor_##hook, const struct path *dir, struct dentry *dentry)                                     \
	{                                                                                                              \
		struct subject s;                                                                                      \
		if (!governed(&s))                                                                                     \
			return VERDICT(guarded() && our_object((u64)dentry));                                          \
		return VERDICT(change(&s, op, dir->mnt, dentry));                                                      \
	}

/* Called with the folder locked and empty, so nothing can be remembered of it any more after this. */
SEC("lsm/inode_rmdir")
int BPF_PROG(lictor_inode_rmdir)
{
	u32 zero = 0, *n = bpf_map_lookup_elem(&removals, &zero);
	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

CHANGE_HOOK(path_unlink, LICTOR_FILE_DELETE)
CHANGE_HOOK(path_rmdir, LICTOR_FILE_DELETE)
CHANGE_HOOK(path_mkdir, LICTOR_FILE_CREATE)
CHANGE_HOOK(path_symlink, LICTOR_FILE_CREATE)

/* Creation of any kind, sockets of bind(2) and pins of bpf(2) included. Devices are the floor's. */
SEC("lsm/path_mknod")
int BPF_PROG(lictor_path_mknod, const struct path *dir, struct dentry *dentry, unsigned short mode, unsigned int dev)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	u32 type = mode & S_IFMT;
	if ((type == S_IFCHR && dev) || type == S_IFBLK)
		return VERDICT(floor_deny(&s, LICTOR_EV_PRIVILEGE, LICTOR_PRIV_DEVICE, type, dev));
	return VERDICT(change(&s, LICTOR_FILE_CREATE, dir->mnt, dentry));
}

#define PATH_HOOK(hook, op)                                                                                            \
	SEC("lsm/" #hook)                                                                                              \
	int BPF_PROG(lictor_##hook, const struct path *path)                                                           \
	{                                                                                                              \
		struct subject s;                                                                                      \
		if (!governed(&s))                                                                                     \
			return VERDICT(guarded() && our_object((u64)path->dentry));                                    \
		return VERDICT(change(&s, op, path->mnt, path->dentry));                                               \
	}

PATH_HOOK(path_truncate, LICTOR_FILE_WRITE)
PATH_HOOK(path_chmod, LICTOR_FILE_ATTRIBUTES)
PATH_HOOK(path_chown, LICTOR_FILE_ATTRIBUTES)

/* ftruncate has a hook of its own from 6.2 on; before, path_truncate saw it. */
SEC("?lsm/file_truncate")
int BPF_PROG(lictor_file_truncate, struct file *file)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	return VERDICT(change(&s, LICTOR_FILE_WRITE, file->f_path.mnt, file->f_path.dentry));
}

static __always_inline u32 directory_flag(struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;
	return inode && (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFDIR ? ACCESS_DIRECTORY : 0;
}

/* Evasions 11-13: both ends, both directions of an exchange, and what lies below a directory that moves. */
SEC("lsm/path_rename")
int BPF_PROG(lictor_path_rename, const struct path *old_dir, struct dentry *old_dentry, const struct path *new_dir,
	     struct dentry *new_dentry, unsigned int flags)
{
	struct subject s;

	if (!governed(&s))
		return VERDICT(guarded() && (our_object((u64)old_dentry) || our_object((u64)new_dentry)));
	struct access a = {};
	a.kind = LICTOR_EV_FILE;
	a.op = LICTOR_FILE_RENAME;
	a.dentry = (u64)old_dentry;
	a.mnt = mount_of(old_dir->mnt);
	a.dentry2 = (u64)new_dentry;
	a.mnt2 = mount_of(new_dir->mnt);
	a.need = NEED_WRITE;
	a.need2 = NEED_WRITE;
	a.flags = directory_flag(old_dentry) | directory_flag(new_dentry);
	if (kernel_interface(BPF_CORE_READ(old_dentry, d_sb, s_magic))) {
		a.need = NEED_FLOOR;
		a.detail = LICTOR_PRIV_KERNEL_FILE;
	}
	int denied = judge(&s, &a);
	if (!denied && (flags & 2)) { /* RENAME_EXCHANGE: the hook runs once, the move happens twice */
		a.dentry = (u64)new_dentry;
		a.mnt = mount_of(new_dir->mnt);
		a.dentry2 = (u64)old_dentry;
		a.mnt2 = mount_of(old_dir->mnt);
		a.flags |= ACCESS_SILENT;
		denied = judge(&s, &a);
	}
	return VERDICT(denied);
}

/* Evasion 2. */
SEC("lsm/path_link")
int BPF_PROG(lictor_path_link, struct dentry *old_dentry, const struct path *new_dir, struct dentry *new_dentry)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	struct access a = {};
	a.kind = LICTOR_EV_FILE;
	a.op = LICTOR_FILE_LINK;
	a.dentry = (u64)old_dentry;
	a.mnt = mount_of(new_dir->mnt);
	a.dentry2 = (u64)new_dentry;
	a.mnt2 = mount_of(new_dir->mnt);
	a.need = NEED_WRITE;
	a.need2 = NEED_WRITE;
	return VERDICT(judge(&s, &a));
}

/*
 * Hooks that get a dentry and no mount (times, xattrs, ACLs, readlink). The filesystem can be mounted in several
 * places: a deny at any of them denies, and one place that permits is needed.
 */
struct mounts {
	u64 sb, ns, whole, mount, chosen;
};

static long look_at_mount(u32 i, struct mounts *w)
{
	struct mount *m = (struct mount *)w->mount;

	if (!m)
		return 1;
	if ((u64)BPF_CORE_READ(m, mnt_ns) == w->ns) {
		/* The mount of the whole filesystem shows the object for certain; another one only when nothing better is
		 * there (the climb then finds out whether it does). */
		bool whole = (u64)BPF_CORE_READ(m, mnt.mnt_root) == w->whole;
		if (whole || !w->chosen)
			w->chosen = (u64)m;
		if (whole)
			return 1;
	}
	w->mount = next_mount(w->sb, (u64)m);
	return 0;
}

static __noinline u64 some_mount(struct dentry *dentry)
{
	struct super_block *sb = dentry->d_sb;
	u64 first = first_mount((u64)sb);
	struct mounts w = {.sb = (u64)sb, .mount = first};

	w.ns = (u64)bpf_get_current_task_btf()->nsproxy->mnt_ns;
	w.whole = (u64)BPF_CORE_READ(sb, s_root);
	bpf_loop(8192, look_at_mount, &w, 0);
	return w.chosen ? w.chosen : first; /* a kernel mount of its own (memory) is fine, another namespace's is not */
}

static __always_inline int change_anywhere(struct subject *s, struct dentry *dentry, u16 op, u32 need)
{
	struct access a = {};
	a.kind = LICTOR_EV_FILE;
	a.op = op;
	a.dentry = (u64)dentry;
	a.mnt = some_mount(dentry);
	a.need = need;
	if (need == NEED_READ)
		a.flags = ACCESS_QUIET | ACCESS_SILENT;
	return judge(s, &a);
}

/* Times. Mode and owner have hooks with a path; sizes too. Evasion 25. */
#define ATTR_ATIME_SET (1 << 7)
#define ATTR_MTIME_SET (1 << 8)
#define ATTR_TOUCH (1 << 17)

static __always_inline int set_times(struct dentry *dentry, struct iattr *attr)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	if (!(attr->ia_valid & (ATTR_ATIME_SET | ATTR_MTIME_SET | ATTR_TOUCH)))
		return 0;
	return change_anywhere(&s, dentry, LICTOR_FILE_ATTRIBUTES, NEED_WRITE);
}

/* Before 6.9 (and its stable series) the hook had no idmap: one of the two is loaded, see features.rs. */
SEC("?lsm/inode_setattr")
int BPF_PROG(lictor_inode_setattr, struct dentry *dentry, struct iattr *attr)
{
	return VERDICT(set_times(dentry, attr));
}

SEC("?lsm/inode_setattr")
int BPF_PROG(lictor_inode_setattr_idmap, void *idmap, struct dentry *dentry, struct iattr *attr)
{
	return VERDICT(set_times(dentry, attr));
}

#define XATTR_HOOK(hook)                                                                                               \
	SEC("?lsm/" #hook)                                                                                             \
	int BPF_PROG(lictor_##hook, void *idmap, struct dentry *dentry)                                                \
	{                                                                                                              \
		struct subject s;                                                                                      \
		if (!governed(&s))                                                                                     \
			return 0;                                                                                      \
		return VERDICT(change_anywhere(&s, dentry, LICTOR_FILE_ATTRIBUTES, NEED_WRITE));                       \
	}

XATTR_HOOK(inode_setxattr)
XATTR_HOOK(inode_removexattr)
XATTR_HOOK(inode_set_acl)	/* 6.2: ACLs left the xattr hooks */
XATTR_HOOK(inode_remove_acl)

SEC("lsm/inode_readlink")
int BPF_PROG(lictor_inode_readlink, struct dentry *dentry)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	if (BPF_CORE_READ(dentry, d_sb, s_magic) == PROC_SUPER_MAGIC)
		return 0; /* /proc/self/exe and its like: ptrace_access_check stands before other processes' */
	return VERDICT(change_anywhere(&s, dentry, LICTOR_FILE_READ, NEED_READ));
}

/* Evasion 26: watching a place that may not be read. */
SEC("lsm/path_notify")
int BPF_PROG(lictor_path_notify, const struct path *path)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	struct access a = {};
	a.kind = LICTOR_EV_FILE;
	a.op = LICTOR_FILE_READ;
	a.dentry = (u64)path->dentry;
	a.mnt = mount_of(path->mnt);
	a.need = NEED_READ;
	a.flags = ACCESS_QUIET | ACCESS_SILENT;
	return VERDICT(judge(&s, &a));
}

/* Evasions 25 and 60: typing into a terminal, changing a file's flags. */
#define TIOCSTI 0x5412
#define TIOCLINUX 0x541C
#define FS_IOC_SETFLAGS 0x40086602
#define FS_IOC32_SETFLAGS 0x40046602
#define FS_IOC_FSSETXATTR 0x401c5820

#define FIOSETOWN 0x8901
#define SIOCSPGRP 0x8902

static __always_inline int ioctl_check(struct file *file, u32 cmd)
{
	struct subject s;

	if (cmd != FIOSETOWN && cmd != SIOCSPGRP && cmd != TIOCSTI && cmd != TIOCLINUX && cmd != FS_IOC_SETFLAGS && cmd != FS_IOC32_SETFLAGS &&
	    cmd != FS_IOC_FSSETXATTR)
		return 0;
	if (!governed(&s))
		return 0;
	if (cmd == TIOCSTI || cmd == TIOCLINUX || cmd == FIOSETOWN || cmd == SIOCSPGRP)
		return floor_deny(&s, LICTOR_EV_PRIVILEGE, LICTOR_PRIV_IOCTL, cmd, 0);
	return change(&s, LICTOR_FILE_ATTRIBUTES, file->f_path.mnt, file->f_path.dentry);
}

SEC("lsm/file_ioctl")
int BPF_PROG(lictor_file_ioctl, struct file *file, unsigned int cmd)
{
	return VERDICT(ioctl_check(file, cmd));
}

/* 6.8 (and stable series): a 32-bit caller's ioctl went round file_ioctl before. */
SEC("?lsm/file_ioctl_compat")
int BPF_PROG(lictor_file_ioctl_compat, struct file *file, unsigned int cmd)
{
	return VERDICT(ioctl_check(file, cmd));
}

/* Evasion 60: the kernel signals a descriptor's owner on the session's behalf, and asks nobody. So the owner must be of
 * the session when he is named. */
#define F_SETOWN 8
#define F_SETOWN_EX 15

SEC("lsm/file_fcntl")
int BPF_PROG(lictor_file_fcntl, struct file *file, unsigned int cmd, unsigned long arg)
{
	struct subject s;

	if ((cmd != F_SETOWN && cmd != F_SETOWN_EX) || !governed(&s))
		return 0;
	u32 pid = arg;
	if (cmd == F_SETOWN) {
		if (!pid)
			return 0;
		struct lictor_label *label = bpf_map_lookup_elem(&governed_threads, &pid);
		if (label && label->session == s.session)
			return 0;
	}
	return VERDICT(floor_deny(&s, LICTOR_EV_PROCESS, LICTOR_PROC_SIGNAL, 0, pid));
}
