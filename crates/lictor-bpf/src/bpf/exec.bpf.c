/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Execution: programs, scripts and their interpreters, and everything that is mapped executable.
 *
 * Sees:     bprm_check_security once for each layer (the script, then its interpreter), mmap and mprotect with
 *           PROT_EXEC (shared objects, what the dynamic loader is told to run, what was mapped first and made
 *           executable later); argv when the new image has it.
 * Enforces: exec.allow, exec.deny (path and content), exec.libraries, exec.anonymous.
 *           With self_protection on, which new process may be the daemon again.
 * Answers:  evasions 27-29, 32-34, 37-39, 44, 46, 48, 49, 51, 65, 113.
 */
#include "verdict.bpf.h"

static __always_inline void exec_access(struct access *a, struct file *file, u32 need, u16 kind, u16 op)
{
	struct inode *inode = file->f_inode;

	a->kind = kind;
	a->op = op;
	a->dentry = (u64)file->f_path.dentry;
	a->mnt = mount_of(file->f_path.mnt);
	a->need = need;
	a->ino = inode->i_ino;
	a->dev = inode->i_sb->s_dev;
	a->flags = ACCESS_SILENT;
	if (inode->i_nlink == 0)
		a->flags |= ACCESS_ANONYMOUS;
	else if (inode->i_nlink == 1)
		a->flags |= ACCESS_ONE_NAME;
}

static __always_inline int judged(struct subject *s, struct access *a, struct file *file)
{
	return !quickly_allowed(s, a, file->f_path.dentry, file->f_path.mnt) && judge(s, a);
}

/* The outermost script is told of also when it may run: once the new image is in place only its last interpreter is left. */
static __always_inline void name_script(struct access *a, struct linux_binprm *bprm)
{
	char head[2] = {};

	if (bprm->interp != bprm->filename || bpf_core_read(head, sizeof(head), &bprm->buf))
		return;
	if (head[0] == '#' && head[1] == '!') {
		a->op = LICTOR_EXEC_OP_SCRIPT;
		a->flags &= ~ACCESS_SILENT;
	}
}

/* An allowed execution is reported by lictor_bprm_committed, when its arguments are final. */
SEC("lsm/bprm_check_security")
int BPF_PROG(lictor_bprm_check, struct linux_binprm *bprm)
{
	struct subject s;

	if (!subject_of(&s))
		return 0;
	if (s.flags & LICTOR_HAS_HASHES)
		return 0; /* lictor_bprm_check_hashed's */
	struct access a = {};
	exec_access(&a, bprm->file, NEED_EXEC, LICTOR_EV_EXEC, 0);
	name_script(&a, bprm);
	/* undecided: deny. Refused until somebody has judged this object; its arguments are looked at when it runs. */
	if ((s.flags & LICTOR_UNDECIDED_DENY) && (s.flags & LICTOR_JUDGED)) {
		a.object = object_print((u64)bprm->file);
		if (known_verdict(s.judge, a.object, 0) == LICTOR_JUDGED_ALLOW)
			a.flags |= ACCESS_KNOWN;
	}
	return VERDICT(judged(&s, &a, bprm->file));
}

/* What the policy says of the content that is about to run; UNKNOWN_HASH when the kernel has no hash of it. */
#define UNKNOWN_HASH 0xffffffff
static __noinline u32 content_rights(struct linux_binprm *bprm, u32 policy)
{
	struct lictor_hash_key key = {.policy = policy};

	if (bpf_ima_file_hash(bprm->file, key.sha256, sizeof(key.sha256)) != 4) /* HASH_ALGO_SHA256 */
		return UNKNOWN_HASH;
	u32 *rights = bpf_map_lookup_elem(&hashes, &key);
	return rights ? *rights : 0;
}

/* The same for a policy that names content: the hash is taken by the kernel (IMA), of the file that is about to run,
 * which may not be written to while it is executed. No hash is a deny, not a miss. */
SEC("lsm.s/bprm_check_security")
int BPF_PROG(lictor_bprm_check_hashed, struct linux_binprm *bprm)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	if (!(s.flags & LICTOR_HAS_HASHES))
		return 0;
	u32 rights = content_rights(bprm, s.policy);
	if (rights == UNKNOWN_HASH) {
		struct facts f = {.kind = LICTOR_EV_EXEC, .reason = LICTOR_WHY_HASH_UNKNOWN};
		return VERDICT(settle(&s, &f));
	}
	struct access a = {};
	exec_access(&a, bprm->file, NEED_EXEC, LICTOR_EV_EXEC, 0);
	name_script(&a, bprm);
	a.flags |= ACCESS_HASHED;
	a.hash_rights = rights;
	return VERDICT(judge(&s, &a));
}

static __always_inline int map_exec(struct file *file, u16 op, unsigned long prot)
{
	struct subject s;

	if (!file || !(prot & PROT_EXEC) || !subject_of(&s))
		return 0;
	struct access a = {};
	exec_access(&a, file, NEED_LIBRARY, LICTOR_EV_MEMORY, op);
	return judged(&s, &a, file);
}

/* Evasions 27, 29, 49, 51; and 24: a descriptor that was opened before is judged again when it is mapped for writing. */
SEC("lsm/mmap_file")
int BPF_PROG(lictor_mmap_file, struct file *file, unsigned long reqprot, unsigned long prot, unsigned long flags)
{
	int denied = map_exec(file, LICTOR_MEM_MAP, prot);

	if (!denied && file && (prot & PROT_WRITE) && (flags & MAP_TYPE) != 2 /* MAP_PRIVATE */) {
		struct subject s;
		if (!subject_of(&s))
			return 0;
		u32 type = file->f_inode->i_mode & S_IFMT;
		if (type == S_IFREG) {
			struct access a = {};
			exec_access(&a, file, NEED_WRITE, LICTOR_EV_FILE, LICTOR_FILE_WRITE);
			denied = judged(&s, &a, file);
		}
	}
	return VERDICT(denied);
}

SEC("lsm/file_mprotect")
int BPF_PROG(lictor_file_mprotect, struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot)
{
	if (vma->vm_flags & VM_EXEC)
		return 0;
	struct file *file = vma->vm_file;
	if (!file)
		return 0;
	return VERDICT(map_exec(file, LICTOR_MEM_PROTECT, prot));
}

/* Stops it before its first instruction; without that, ends it. The signal works when the kernel is about to return. */
static __noinline u32 hold(struct subject *s, u64 object, u64 invocation)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 tgid = task->tgid;
	struct lictor_held wait = {.session = s->session, .slot = s->slot, .judge = s->judge, .object = object,
				   .invocation = invocation};

	wait.start_ns = task->group_leader->start_boottime;
	wait.since_ns = bpf_ktime_get_ns();
	struct lictor_label *label = bpf_task_storage_get(&task_labels, task, 0, 0);
	if (!label) {
		bpf_send_signal(SIGKILL);
		return LICTOR_WHY_INTERNAL;
	}
	label->flags |= LICTOR_HELD;
	u32 tid = task->pid;
	struct lictor_label *copy = bpf_map_lookup_elem(&governed_threads, &tid);
	if (copy)
		copy->flags |= LICTOR_HELD;
	if (task->ptrace) {
		bpf_send_signal(SIGKILL);
		return LICTOR_WHY_TRACED;
	}
	if (bpf_map_update_elem(&held, &tgid, &wait, 0) || bpf_send_signal(SIGSTOP)) {
		bpf_send_signal(SIGKILL);
		return LICTOR_WHY_INTERNAL;
	}
	return 0;
}

/*
 * The judges' part in an execution that the policy permits: their remembered verdict, or the wait for one. A verdict by
 * the object alone is looked at first. Fills the event, sends the signals.
 */
static __noinline int consult(struct subject *s, struct lictor_event *e, u64 object, u64 invocation)
{
	u32 state = known_verdict(s->judge, object, 0);

	if ((state == LICTOR_JUDGED_UNKNOWN || (s->flags & LICTOR_UNDECIDED_DENY)) && invocation)
		state = known_verdict(s->judge, object, invocation);
	u32 enforce = s->flags & LICTOR_ENFORCE, why = 0;
	if (state == LICTOR_JUDGED_DENY) {
		why = LICTOR_WHY_VERDICT;
		if (enforce)
			bpf_send_signal(SIGKILL);
	} else if (state == LICTOR_JUDGED_UNKNOWN && enforce &&
		   (s->flags & (LICTOR_UNDECIDED_HOLD | LICTOR_UNDECIDED_DENY))) {
		state = LICTOR_JUDGED_HELD;
		why = hold(s, object, invocation);
	}
	e->tier = state == LICTOR_JUDGED_ALLOW || state == LICTOR_JUDGED_DENY ? LICTOR_TIER_CACHE : LICTOR_TIER_POLICY;
	e->judged = state;
	e->judge = s->judge;
	e->object = object;
	e->invocation = invocation;
	e->reason = why;
	e->action = why ? LICTOR_ACTION_DENY : LICTOR_ALLOW;
	return 0;
}

static __always_inline u32 common_mark(struct file *file)
{
	struct inode *inode = file->f_inode;
	struct lictor_identity_key key = {.ino = inode->i_ino, .dev = inode->i_sb->s_dev,
					  .generation = inode->i_generation};
	u32 *mark = bpf_map_lookup_elem(&identities, &key);
	return mark ? *mark : 0;
}

/*
 * Evasion 113, with self_protection on: the daemon crashed, its programs go on protecting its maps, and a new daemon must
 * get at them where nobody else may. It is recognised by what no other process can have: PID 1 made the process, it
 * executed nothing in between, nobody traces it, it sees the files that PID 1 sees, and it executes the very object that
 * the last daemon ran, which has been protected from writing since. The loader is told to mistrust the environment, as
 * for a setuid program, so LD_PRELOAD and its relatives bring nothing in. A script that names the program as its
 * interpreter is another object here, and this hook runs once for an execution.
 */
SEC("lsm/bprm_creds_for_exec")
int BPF_PROG(lictor_bprm_creds, struct linux_binprm *bprm)
{
	struct lictor_control *c = the_control();
	struct task_struct *task = bpf_get_current_task_btf();

	if (!c || !c->self_protection)
		return 0;
	struct lictor_label *label = bpf_task_storage_get(&task_labels, task, 0, 0);
	if (!label || !(label->flags & LICTOR_OF_INIT))
		return 0;
	label->flags = LICTOR_OF_INIT;
	if (!(common_mark(bprm->file) & LICTOR_IDENTITY_DAEMON))
		return 0;
	struct task_struct *parent = task->real_parent;
	if (parent->tgid != 1 || task->ptrace || task->nsproxy->mnt_ns != parent->nsproxy->mnt_ns)
		return 0;
	if (!bpf_bprm_opts_set(bprm, BPF_F_BPRM_SECUREEXEC))
		label->flags = LICTOR_OF_INIT | LICTOR_BECOMES_DAEMON;
	return 0;
}

/* The new image is in place. Whoever was the daemon and now runs something else is not the daemon. */
static __always_inline void ungoverned_exec(struct linux_binprm *bprm)
{
	struct lictor_label *label = bpf_task_storage_get(&task_labels, bpf_get_current_task_btf(), 0, 0);

	if (!label || (label->flags & LICTOR_GOVERNED))
		return;
	u32 mark = common_mark(bprm->file);
	if ((label->flags & LICTOR_BECOMES_DAEMON) && (mark & LICTOR_IDENTITY_DAEMON))
		label->flags = LICTOR_DAEMON;
	else if ((label->flags & LICTOR_OF_INIT) && (mark & LICTOR_IDENTITY_EXECUTOR))
		label->flags = LICTOR_OF_INIT;
	else
		label->flags = 0;
}

/* The arguments as the program will find them: where they lie until the stack is moved to its place. */
struct arguments {
	u64 from;
	u32 slot;
	u32 pos;
	u32 left;
	u32 pad;
};

static long copy_final_arg(u32 i, struct arguments *f)
{
	struct lictor_scratch *buf = scratch_at(f->slot);

	if (!buf || !f->left || copy_arg(buf, &f->pos, f->from + f->pos))
		return 1;
	f->left--;
	return 0;
}

__noinline u32 final_args(u32 slot, u64 from, u32 count)
{
	struct arguments f = {.from = from, .slot = slot, .left = count};

	bpf_loop(LICTOR_ARGS_MAX, copy_final_arg, &f, 0);
	return f.pos << 1 | (f.left != 0);
}

/* The event of an execution whose paths lie in the buffer: the program's from `pos`, the directory's from `middle`. */
static __always_inline struct lictor_event *exec_event(struct lictor_scratch *buf, u32 slot, struct subject *s,
							struct linux_binprm *bprm, u32 pos, u32 middle)
{
	if (pos < sizeof(struct lictor_event) + 8)
		pos = sizeof(struct lictor_event) + 8;
	u32 head = (pos - sizeof(struct lictor_event)) & ~7U & SCRATCH_MASK;
	struct lictor_event *e = (void *)&buf->data[head];
	__builtin_memset(e, 0, sizeof(*e));
	event_subject(e, s);
	e->op = bprm->interp != bprm->filename ? LICTOR_EXEC_OP_INTERPRETED : 0;
	e->path_off = pos - head;
	e->path_len = middle - pos;
	e->path2_len = LICTOR_SCRATCH_TOP - middle;
	e->cwd_len = e->path2_len;
	u32 read = final_args(slot, BPF_CORE_READ(bprm, p), BPF_CORE_READ(bprm, argc));
	u32 args = read >> 1;
	if (args > LICTOR_ARGS_MAX)
		args = LICTOR_ARGS_MAX;
	e->detail = args + (read & 1); /* longer than args_len says: cut */
	e->args_len = args;
	e->size = LICTOR_SCRATCH_TOP - head + args;
	return e;
}

static __always_inline u32 bounded_size(u32 size)
{
	return size > LICTOR_SCRATCH_TOP + LICTOR_ARGS_MAX ? LICTOR_SCRATCH_TOP + LICTOR_ARGS_MAX : size;
}

/* Where a path begins that walk_path wrote before `end`; `end` when there is none. One of another mount namespace will do:
 * it is only shown. */
static __always_inline u32 shown_path(struct lictor_scratch *buf, u32 slot, u64 dentry, u64 mnt, u32 end)
{
	int status = walk_path(slot, dentry, mnt, end, 0);

	if (status && !(status == WALK_UNREACHABLE && buf->walk.done))
		return end;
	return buf->walk.pos;
}

/* An execution that nobody governs, told for the host's process tree. */
static __noinline int host_executed(struct linux_binprm *bprm)
{
	struct subject s = {};
	struct fs_struct *fs = bpf_get_current_task_btf()->fs;
	s32 slot = scratch_spare();
	struct lictor_scratch *buf = slot < 0 ? 0 : scratch_at(slot);

	if (!buf) {
		count(LICTOR_COUNT_LOST_HOST);
		return 0;
	}
	s.began = bpf_ktime_get_ns();
	u32 middle = shown_path(buf, slot, (u64)BPF_CORE_READ(fs, pwd.dentry), mount_of(BPF_CORE_READ(fs, pwd.mnt)),
				LICTOR_SCRATCH_TOP);
	u32 pos = shown_path(buf, slot, (u64)BPF_CORE_READ(bprm, file, f_path.dentry),
			     mount_of(BPF_CORE_READ(bprm, file, f_path.mnt)), middle);
	struct lictor_event *e = exec_event(buf, slot, &s, bprm, pos, middle);
	e->kind = LICTOR_EV_HOST;
	e->op = LICTOR_HOST_EXEC;
	e->object = bpf_get_current_cgroup_id();
	if (bpf_ringbuf_output(&host, e, bounded_size(e->size), BPF_RB_NO_WAKEUP))
		count(LICTOR_COUNT_LOST_HOST);
	scratch_give(slot);
	return 0;
}

/*
 * The execution, told, and judged where judges are asked. Argv is final, and nothing of the program has run. This is a
 * security hook and not the tracepoint behind it, since a hook is never left out (process.bpf.c, lictor_task_free).
 */
static __always_inline int executed(struct subject *about, struct linux_binprm *bprm)
{
	struct subject s = *about;
	s32 slot = scratch_take();
	struct lictor_scratch *buf = slot < 0 ? 0 : scratch_at(slot);
	if (!buf) {
		count(LICTOR_COUNT_LOST_RING);
		/* Nobody was asked, and what was said before is not known. */
		if ((s.flags & LICTOR_JUDGED) && (s.flags & LICTOR_ENFORCE))
			bpf_send_signal(SIGKILL);
		return 0;
	}
	struct walked exe = {}, cwd = {};
	struct fs_struct *fs = bpf_get_current_task_btf()->fs;
	u64 place = (u64)slot << 32;
	u32 end = LICTOR_SCRATCH_TOP;
	rights_of(&s, &cwd, (u64)BPF_CORE_READ(fs, pwd.dentry), mount_of(BPF_CORE_READ(fs, pwd.mnt)), place | end);
	u32 middle = cwd.status ? end : cwd.pos;
	rights_of(&s, &exe, (u64)BPF_CORE_READ(bprm, file, f_path.dentry),
		  mount_of(BPF_CORE_READ(bprm, file, f_path.mnt)), place | middle);
	struct lictor_event *e = exec_event(buf, slot, &s, bprm, exe.status ? middle : exe.pos, middle);
	u32 args = e->args_len;
	e->kind = LICTOR_EV_EXEC;
	e->enforced = s.flags & LICTOR_ENFORCE ? 1 : 0;
	e->rights = exe.accept;
	if (s.flags & LICTOR_JUDGED) {
		u64 object = object_print((u64)BPF_CORE_READ(bprm, file)), invocation = 0;
		*(u64 *)&buf->data[LICTOR_SCRATCH_TOP + (args & (LICTOR_SCRATCH_TOP - 1))] = 0;
		if (args && args == e->detail) /* what is not seen whole has no fingerprint */
			invocation = invocation_print(slot, args);
		consult(&s, e, object, invocation);
	}
	e->latency_ns = bpf_ktime_get_ns() - s.began;
	session_count(&s, e->reason != 0);
	count(LICTOR_COUNT_EVENTS);
	u32 size = bounded_size(e->size);
	u64 wake = e->judged >= LICTOR_JUDGED_UNKNOWN ? BPF_RB_FORCE_WAKEUP : WAKE(events);
	if (e->reason ? bpf_ringbuf_output(&denials, e, size, WAKE(denials)) : bpf_ringbuf_output(&events, e, size, wake))
		count(LICTOR_COUNT_LOST_RING);
	scratch_give(slot);
	return 0;
}

/*
 * A thread that executes becomes the first of its process and takes over its number, while the first ends. What stood
 * under its old number would be said of whoever gets that next. Here also gets in who was left out at its start.
 */
static __always_inline void renumber(struct lictor_label *label)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct lictor_thread *thread = bpf_task_storage_get(&threads, task, 0, 0);
	struct lictor_label copy = *label;
	u32 number = task->pid;

	if (thread && thread->number == number)
		return;
	if (!thread) /* the session's first, which the daemon put in */
		thread = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	else if (thread->number)
		bpf_map_delete_elem(&governed_threads, &thread->number);
	else
		count(LICTOR_COUNT_LOST_TASK);
	if (thread)
		thread->number = number;
	if (!thread || bpf_map_update_elem(&governed_threads, &number, &copy, 0))
		count(LICTOR_COUNT_INTERNAL);
}

/* The loader, run as a program: what it maps is then judged as a program. The daemon marks the loaders' objects. */
SEC("lsm/bprm_committed_creds")
int BPF_PROG(lictor_bprm_committed, struct linux_binprm *bprm)
{
	struct subject s;

	if (!governed(&s)) {
		ungoverned_exec(bprm);
		if (host_watched())
			host_executed(bprm);
		return 0;
	}
	struct lictor_label *label = bpf_task_storage_get(&task_labels, bpf_get_current_task_btf(), 0, 0);
	if (label) {
		if (common_mark(bprm->file) & LICTOR_EXEC)
			label->flags |= LICTOR_LOADER;
		else
			label->flags &= ~LICTOR_LOADER;
		s.label_flags = label->flags;
		renumber(label);
	}
	return executed(&s, bprm);
}
