/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The floor (interface 3.5): what reaches into the kernel, for every governed task whatever its lists say; and the
 * guard over Lictor's own objects.
 *
 * Sees:     capabilities, modules and kexec, bpf(), perf, io_uring, userfaultfd, namespaces, mounts, keys, tun, clock.
 * Enforces: an allow-list of capabilities; the rest is denied unless `privileges` gives it back.
 * Answers:  evasions 5-7, 40, 52-54, 59, 61, 62, 68, 75, 86, 99-101, 103-108, 119-122, 125, 126, 128.
 */
#include "core.bpf.h"

/* What a container gets by default, less raw sockets and device nodes. */
#define CAP_BIT(n) (1ULL << (n))
#define ALLOWED_CAPS                                                                                                   \
	(CAP_BIT(0) /* chown */ | CAP_BIT(1) /* dac_override */ | CAP_BIT(3) /* fowner */ | CAP_BIT(4) /* fsetid */ |  \
	 CAP_BIT(5) /* kill */ | CAP_BIT(6) /* setgid */ | CAP_BIT(7) /* setuid */ | CAP_BIT(8) /* setpcap */ |        \
	 CAP_BIT(10) /* net_bind_service */ | CAP_BIT(14) /* ipc_lock */ | CAP_BIT(18) /* sys_chroot */ |              \
	 CAP_BIT(23) /* sys_nice */ | CAP_BIT(24) /* sys_resource */ | CAP_BIT(29) /* audit_write */ |                 \
	 CAP_BIT(31) /* setfcap */)

static __always_inline u64 given_back(u32 privileges)
{
	u64 caps = 0;

	if (privileges & LICTOR_PRIV_PTRACE)
		caps |= CAP_BIT(19);
	if (privileges & LICTOR_PRIV_MOUNT)
		caps |= CAP_BIT(21);
	if (privileges & LICTOR_PRIV_RAW_SOCKETS)
		caps |= CAP_BIT(13);
	if (privileges & LICTOR_PRIV_BPF)
		caps |= CAP_BIT(39) | CAP_BIT(38) | CAP_BIT(21) | CAP_BIT(12);
	if (privileges & LICTOR_PRIV_PERF)
		caps |= CAP_BIT(38);
	if (privileges & LICTOR_PRIV_MODULES)
		caps |= CAP_BIT(16);
	return caps;
}

#define CAP_OPT_NOAUDIT 2

SEC("lsm/capable")
int BPF_PROG(lictor_capable, const struct cred *cred, struct user_namespace *ns, int cap, unsigned int opts)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	struct task_struct *task = bpf_get_current_task_btf();
	if ((u64)task->cred != (u64)task->real_cred && (u64)cred == (u64)task->cred)
		return 0; /* the kernel acts with credentials of its own: overlayfs reads its marks with the mounter's */
	if ((ALLOWED_CAPS | given_back(s.privileges)) & CAP_BIT(cap & 63))
		return 0;
	if ((s.privileges & LICTOR_PRIV_USERNS) && ns->parent)
		return 0; /* over its own namespace only */
	if (opts & CAP_OPT_NOAUDIT) /* the kernel only asks; nothing was tried */
		return VERDICT(s.flags & LICTOR_ENFORCE);
	return VERDICT(floor_deny(&s, LICTOR_EV_PRIVILEGE, LICTOR_PRIV_CAPABILITY, cap, 0));
}

#define FLOOR_HOOK(hook, privilege, op)                                                                                \
	SEC("lsm/" #hook)                                                                                              \
	int BPF_PROG(lictor_##hook)                                                                                    \
	{                                                                                                              \
		struct subject s;                                                                                      \
		if (!governed(&s) || (s.privileges & (privilege)))                                                     \
			return 0;                                                                                      \
		return VERDICT(floor_deny(&s, LICTOR_EV_PRIVILEGE, op, 0, 0));                                         \
	}

/* Evasions 52, 53, 126. kernel_load_data is init_module and kexec_load; read_file is finit_module, kexec_file_load. */
FLOOR_HOOK(kernel_load_data, LICTOR_PRIV_MODULES, LICTOR_PRIV_MODULE)
FLOOR_HOOK(kernel_read_file, LICTOR_PRIV_MODULES, LICTOR_PRIV_MODULE)

/* "binfmt-464c": the kernel asks for a format for bytes 2 and 3 of "\x7fELF" when a process is killed while its ELF file
 * is being loaded. */
static __always_inline bool format_of_elf(const char *module)
{
	const char elf[] = "binfmt-464c";
	char name[sizeof(elf)] = {};

	bpf_probe_read_kernel_str(name, sizeof(name), module);
	for (u32 i = 0; i < sizeof(elf); i++)
		if (name[i] != elf[i])
			return false;
	return true;
}

SEC("lsm/kernel_module_request")
int BPF_PROG(lictor_kernel_module_request, char *module)
{
	struct subject s;

	if (!governed(&s) || (s.privileges & LICTOR_PRIV_MODULES))
		return 0;
	if (format_of_elf(module)) /* nobody's doing, and not told; there is no such module */
		return VERDICT(s.flags & LICTOR_ENFORCE);
	return VERDICT(floor_deny(&s, LICTOR_EV_PRIVILEGE, LICTOR_PRIV_MODULE, 0, 0));
}

/* Evasion 61. */
FLOOR_HOOK(perf_event_open, LICTOR_PRIV_PERF, LICTOR_PRIV_OP_PERF)
/* Evasions 68, 75. */
FLOOR_HOOK(userns_create, LICTOR_PRIV_USERNS, LICTOR_PRIV_OP_USERNS)
/* Evasions 5-7: the old call, the new calls (fsmount needs CAP_SYS_ADMIN, which is not on the list), and unmounting. */
FLOOR_HOOK(sb_remount, LICTOR_PRIV_MOUNT, LICTOR_PRIV_OP_MOUNT)
FLOOR_HOOK(sb_pivotroot, LICTOR_PRIV_MOUNT, LICTOR_PRIV_OP_MOUNT)
FLOOR_HOOK(fs_context_parse_param, LICTOR_PRIV_MOUNT, LICTOR_PRIV_OP_MOUNT)
static __always_inline int mount_check(void)
{
	struct subject s;
	if (!governed(&s) || (s.privileges & LICTOR_PRIV_MOUNT))
		return 0;
	return floor_deny(&s, LICTOR_EV_PRIVILEGE, LICTOR_PRIV_OP_MOUNT, 0, 0);
}

/* Evasion 122: hiding our pins under another mount. */
static __always_inline int over_pins(struct dentry *dentry)
{
	return guarded() && (BPF_CORE_READ(dentry, d_sb, s_magic) == BPF_FS_MAGIC || our_object((u64)dentry));
}

SEC("lsm/sb_mount")
int BPF_PROG(lictor_sb_mount, const char *dev_name, const struct path *path)
{
	return VERDICT(mount_check() || over_pins(path->dentry));
}

SEC("lsm/move_mount")
int BPF_PROG(lictor_move_mount, const struct path *from, const struct path *to)
{
	return VERDICT(mount_check() || over_pins(to->dentry) || over_pins(from->dentry));
}

SEC("lsm/sb_umount")
int BPF_PROG(lictor_sb_umount, struct vfsmount *mnt)
{
	return VERDICT(mount_check() || over_pins(mnt->mnt_root));
}

/* Evasion 99. */
FLOOR_HOOK(tun_dev_create, LICTOR_PRIV_RAW_SOCKETS, LICTOR_PRIV_TUN)
FLOOR_HOOK(tun_dev_open, LICTOR_PRIV_RAW_SOCKETS, LICTOR_PRIV_TUN)
/* Evasion 128. */
FLOOR_HOOK(settime, 0, LICTOR_PRIV_CAPABILITY)
FLOOR_HOOK(quotactl, 0, LICTOR_PRIV_CAPABILITY)
FLOOR_HOOK(syslog, 0, LICTOR_PRIV_CAPABILITY)

/* Evasions 59, 108: an io_uring ring is an unlimited set of operations, and userfaultfd stops the kernel in mid-copy. */
SEC("lsm/inode_init_security_anon")
int BPF_PROG(lictor_anon_inode, struct inode *inode, const struct qstr *name)
{
	struct subject s;
	char text[16] = {};

	if (!governed(&s))
		return 0;
	bpf_probe_read_kernel_str(text, sizeof(text), name->name);
	if (text[1] == 'i' && text[2] == 'o' && text[3] == '_' && text[4] == 'u')
		return VERDICT(floor_deny(&s, LICTOR_EV_PRIVILEGE, LICTOR_PRIV_IO_URING, 0, 0));
	if (text[1] == 'u' && text[2] == 's' && text[3] == 'e' && text[4] == 'r' && text[5] == 'f')
		return VERDICT(floor_deny(&s, LICTOR_EV_PRIVILEGE, LICTOR_PRIV_USERFAULTFD, 0, 0));
	return 0;
}

/* A ring that was made outside and handed over: credentials, polling threads and device commands through it. */
FLOOR_HOOK(uring_override_creds, 0, LICTOR_PRIV_IO_URING)
FLOOR_HOOK(uring_sqpoll, 0, LICTOR_PRIV_IO_URING)
FLOOR_HOOK(uring_cmd, 0, LICTOR_PRIV_IO_URING)

/*
 * Keys. `lictor run` gives each session a session keyring of its own, so what a process possesses (reaches from its own
 * keyrings) was made in the session. The user's keyrings count as possessed for everybody of that user: they are told
 * by their names.
 */
SEC("lsm/key_permission")
int lictor_key_permission(unsigned long long *ctx)
{
	struct subject s;
	u64 key = 0;
	char name[8] = {};

	if (!governed(&s) || (s.privileges & LICTOR_PRIV_KEYRING))
		return 0;
	/* key_ref_t has no type in BTF, so the argument is fetched by number; its lowest bit means possession. */
	bpf_get_func_arg(ctx, 0, &key);
	bool possessed = key & 1;
	struct key *k = (struct key *)(key & ~1ULL);
	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(k, description));
	bool of_user = name[0] == '_' && name[1] == 'u' && name[2] == 'i' && name[3] == 'd';
	if (possessed && !of_user)
		return 0;
	return VERDICT(floor_deny(&s, LICTOR_EV_PRIVILEGE, LICTOR_PRIV_KEY, 0, 0));
}

/* ---- the guard over our own objects ---- */

static __always_inline bool not_ours(u32 kind, u32 id)
{
	u64 key = (u64)kind << 32 | id;
	return !bpf_map_lookup_elem(&own_objects, &key);
}

#define BPF_PROG_DETACH_CMD 9
#define BPF_LINK_UPDATE_CMD 29
#define BPF_LINK_GET_FD_BY_ID_CMD 30
#define BPF_LINK_DETACH_CMD 34

/* Evasions 61, 119-121, 125. */
SEC("lsm/bpf")
int BPF_PROG(lictor_bpf, int cmd, union bpf_attr *attr, unsigned int size)
{
	struct subject s;

	if (governed(&s)) {
		if (s.privileges & LICTOR_PRIV_BPF)
			return 0;
		return VERDICT(floor_deny(&s, LICTOR_EV_PRIVILEGE, LICTOR_PRIV_OP_BPF, cmd, 0));
	}
	if (!guarded())
		return 0;
	if (cmd == BPF_LINK_GET_FD_BY_ID_CMD) {
		u32 id = 0;
		if (bpf_probe_read_kernel(&id, sizeof(id), attr))
			return VERDICT(1);
		return VERDICT(!not_ours(3, id));
	}
	return VERDICT(cmd == BPF_LINK_DETACH_CMD || cmd == BPF_LINK_UPDATE_CMD);
}

SEC("lsm/bpf_map")
int BPF_PROG(lictor_bpf_map, struct bpf_map *map, unsigned int fmode)
{
	struct subject s;
	bool ours = !not_ours(1, map->id);

	if (!ours)
		return 0;
	if (governed(&s))
		return VERDICT(floor_deny(&s, LICTOR_EV_PRIVILEGE, LICTOR_PRIV_GUARD, map->id, 0));
	return VERDICT(guarded());
}

SEC("lsm/bpf_prog")
int BPF_PROG(lictor_bpf_prog, struct bpf_prog *prog)
{
	struct subject s;
	u32 id = prog->aux->id;
	bool ours = !not_ours(2, id);

	if (!ours)
		return 0;
	if (governed(&s))
		return VERDICT(floor_deny(&s, LICTOR_EV_PRIVILEGE, LICTOR_PRIV_GUARD, id, 0));
	return VERDICT(guarded());
}

/* Every process of the host that still lives, for the daemon's census: once for each thread, of which the first counts. */
SEC("iter/task")
int lictor_census(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct lictor_process p = {};

	if (!task || task->pid != task->tgid)
		return 0;
	/* Ended, and nobody has asked for its status yet; the first thread may end before others. */
	if (task->exit_state && BPF_CORE_READ(task, signal, live.counter) <= 0)
		return 0;
	struct lictor_label *label = bpf_task_storage_get(&task_labels, task, 0, 0);
	if (label && (label->flags & LICTOR_GOVERNED))
		p.session = label->session;
	p.start_ns = task->start_boottime;
	p.cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	p.pid = task->tgid;
	p.ppid = BPF_CORE_READ(task, real_parent, tgid);
	p.uid = BPF_CORE_READ(task, cred, uid.val);
	p.gid = BPF_CORE_READ(task, cred, gid.val);
	BPF_CORE_READ_STR_INTO(&p.comm, task, comm);
	bpf_seq_write(ctx->meta->seq, &p, sizeof(p));
	return 0;
}

/* What the daemon's own descriptors stand for, as the hooks will see it: stat(2) shows other numbers on overlay and
 * btrfs. Run once for a batch of O_PATH descriptors. */
SEC("iter/task_file")
int lictor_identify(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;

	if (!file)
		return 0;
	struct inode *inode = file->f_inode;
	struct lictor_identity id = {};
	id.fd = ctx->fd;
	id.ino = inode->i_ino;
	id.dev = inode->i_sb->s_dev;
	id.generation = inode->i_generation;
	id.mode = inode->i_mode;
	bpf_seq_write(ctx->meta->seq, &id, sizeof(id));
	return 0;
}
