/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Processes: the label's inheritance, the tree, and what one process does to another.
 *
 * Sees:     fork (before the child can run), exit, changes of identity; signals, tracing, scheduling and limits of
 *           other tasks. Forks and exits of processes that nobody governs too, for the host's process tree.
 * Enforces: the label is never shed; a session's processes act on each other and on nobody else (interface 3.5).
 * Answers:  evasions 55-58, 60, 63-68, 72, 74, 105, 113, 114, 116, 117, 132.
 */
#include "core.bpf.h"

#define PF_EXITING 0x4
#define CLONE_THREAD 0x10000
#define CLONE_INTO_CGROUP 0x200000000ULL

/* With self_protection on, PID 1 may bring back a daemon that crashed: its child is known by this mark until it executes
 * something (exec.bpf.c, lictor_bprm_creds). A process that is only given to PID 1 for adoption never has it. */
static __always_inline void born_of_init(struct task_struct *task)
{
	struct lictor_control *c = the_control();

	if (!c || !c->self_protection)
		return;
	struct lictor_label *label = bpf_task_storage_get(&task_labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (label)
		label->flags = LICTOR_OF_INIT;
	else
		count(LICTOR_COUNT_INTERNAL);
}

/* Inherits from the real creator (evasion 64: CLONE_PARENT), for threads and the kernel's helpers (io_uring workers)
 * too. Without a label the fork fails. */
SEC("lsm/task_alloc")
int BPF_PROG(lictor_task_alloc, struct task_struct *task, unsigned long clone_flags)
{
	struct lictor_label mine;
	struct task_struct *current = bpf_get_current_task_btf();

	if (!label_of(current, &mine)) {
		if (current->tgid == 1 && !(clone_flags & CLONE_THREAD))
			born_of_init(task);
		return 0;
	}
	if (!(mine.flags & LICTOR_GOVERNED)) {
		/* The daemon's threads are the daemon; programs that it starts are not. */
		if (!(mine.flags & LICTOR_DAEMON) || !(clone_flags & CLONE_THREAD))
			return 0;
		struct lictor_label *daemon =
			bpf_task_storage_get(&task_labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (daemon)
			*daemon = mine;
		return 0;
	}
	if (clone_flags & CLONE_INTO_CGROUP) {
		struct subject s;
		if (!governed(&s))
			return 0;
		int denied = floor_deny(&s, LICTOR_EV_PRIVILEGE, LICTOR_PRIV_CGROUP, 0, 0);
		if (denied)
			return VERDICT(denied);
	}
	struct lictor_label *child = bpf_task_storage_get(&task_labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!child || !bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE)) {
		count(LICTOR_COUNT_INTERNAL);
		return VERDICT(1);
	}
	*child = mine;
	struct lictor_session *session = bpf_map_lookup_elem(&sessions, &mine.slot);
	if (session && session->id == mine.session)
		__sync_fetch_and_add(&session->tasks, 1);
	return 0;
}

/* One thread less; a session is over when its last is gone. */
static __always_inline void leave_session(struct lictor_label *label)
{
	struct lictor_label copy = *label;
	struct lictor_session *session = bpf_map_lookup_elem(&sessions, &copy.slot);
	if (!session || session->id != copy.session || __sync_fetch_and_add(&session->tasks, -1) != 1)
		return;
	struct lictor_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) /* the daemon finds the count at 0 by itself */
		return;
	__builtin_memset(e, 0, sizeof(*e));
	e->size = sizeof(*e);
	e->kind = LICTOR_EV_SESSION_END;
	e->session = copy.session;
	e->slot = copy.slot;
	e->time_ns = bpf_ktime_get_ns();
	bpf_ringbuf_submit(e, BPF_RB_FORCE_WAKEUP); /* somebody waits for it */
}

/* The end of a process, told when the kernel lets go of the last that was of it. */
static __always_inline void late_exit(struct task_struct *task, struct lictor_label *label)
{
	struct lictor_label copy = *label;

	if (BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid)) {
		/* Its leader may be gone, by which the process is known. */
		if (!BPF_CORE_READ(task, signal, live.counter))
			count(LICTOR_COUNT_LOST_TASK);
		return;
	}
	struct lictor_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	count(LICTOR_COUNT_EVENTS);
	if (!e) {
		count(LICTOR_COUNT_LOST_RING);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->size = sizeof(*e);
	e->kind = LICTOR_EV_PROCESS;
	e->op = LICTOR_PROC_EXIT;
	e->session = copy.session;
	e->slot = copy.slot;
	e->time_ns = bpf_ktime_get_ns();
	e->start_ns = BPF_CORE_READ(task, start_boottime);
	e->pid = BPF_CORE_READ(task, pid);
	e->tid = e->pid;
	e->uid = BPF_CORE_READ(task, cred, uid.val);
	e->gid = BPF_CORE_READ(task, cred, gid.val);
	e->detail = BPF_CORE_READ(task, exit_code);
	BPF_CORE_READ_STR_INTO(&e->comm, task, comm);
	bpf_ringbuf_submit(e, WAKE(events));
}

/*
 * The count must not rest on a tracepoint alone: from 7.0 on programs there can be preempted, and while one waits the
 * kernel leaves out every other of its runs on that processor. A security hook is never left out. It is the last that
 * is heard of a task, also of one whose fork failed after all.
 */
SEC("lsm/task_free")
int BPF_PROG(lictor_task_free, struct task_struct *task)
{
	struct lictor_label *label = bpf_task_storage_get(&task_labels, task, 0, 0);
	struct lictor_thread *thread = bpf_task_storage_get(&threads, task, 0, 0);

	if (!label || !(label->flags & LICTOR_GOVERNED) || (thread && thread->uncounted))
		return 0;
	if (BPF_CORE_READ(task, flags) & PF_EXITING) {
		u32 tid = BPF_CORE_READ(task, pid);
		struct lictor_label *left = bpf_map_lookup_elem(&governed_threads, &tid);
		/* Another number than it had: a thread of its process executed, and took that over. */
		bool own = !thread || !thread->number || thread->number == tid;
		if (own && left && left->session == label->session)
			bpf_map_delete_elem(&governed_threads, &tid);
		if (label->flags & LICTOR_HELD)
			bpf_map_delete_elem(&held, &tid);
		late_exit(task, label);
	}
	leave_session(label);
	return 0;
}

static __always_inline void process_event(u16 op, u32 detail, u32 detail2)
{
	struct subject s;

	if (!governed(&s))
		return;
	struct facts f = {.kind = LICTOR_EV_PROCESS, .op = op, .detail = detail, .detail2 = detail2};
	settle(&s, &f);
}

/* A process that nobody governs, told for the tree. What is lost here is found by the daemon's next census. */
static __noinline int tell_of_host(struct task_struct *task, u32 op, u32 detail)
{
	struct lictor_event *e = bpf_ringbuf_reserve(&host, sizeof(*e), 0);

	if (!e) {
		count(LICTOR_COUNT_LOST_HOST);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->size = sizeof(*e);
	e->kind = LICTOR_EV_HOST;
	e->op = op;
	e->time_ns = bpf_ktime_get_ns();
	e->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	e->pid = BPF_CORE_READ(task, tgid);
	e->tid = e->pid;
	e->ppid = BPF_CORE_READ(task, real_parent, tgid);
	e->uid = BPF_CORE_READ(task, cred, uid.val);
	e->gid = BPF_CORE_READ(task, cred, gid.val);
	e->detail = detail;
	BPF_CORE_READ_STR_INTO(&e->comm, task, comm);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP); /* nobody waits for it */
	return 0;
}

/* The child has its numbers and cannot run yet. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(lictor_fork, struct task_struct *parent, struct task_struct *child)
{
	struct lictor_label *label = bpf_task_storage_get(&task_labels, child, 0, 0);

	if (!label || !(label->flags & LICTOR_GOVERNED)) {
		if (child->pid == child->tgid && host_watched())
			tell_of_host(child, LICTOR_HOST_FORK, 0);
		return 0;
	}
	u32 tid = child->pid;
	struct lictor_label copy = *label;
	struct lictor_thread *thread = bpf_task_storage_get(&threads, child, 0, 0);
	if (thread)
		thread->number = tid;
	if (!thread || bpf_map_update_elem(&governed_threads, &tid, &copy, 0))
		count(LICTOR_COUNT_INTERNAL);
	if (child->pid == child->tgid)
		process_event(LICTOR_PROC_FORK, 0, tid);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(lictor_exit, struct task_struct *task)
{
	struct lictor_label *label = bpf_task_storage_get(&task_labels, task, 0, 0);

	if (!label || !(label->flags & LICTOR_GOVERNED)) {
		if (!task->signal->live.counter && host_watched())
			tell_of_host(task, LICTOR_HOST_EXIT, task->exit_code);
		return 0;
	}
	u32 tid = task->pid, flags = label->flags;
	/* The process, when it was the last of its threads: the first may end before, and another be its end or execute. */
	if (!task->signal->live.counter)
		process_event(LICTOR_PROC_EXIT, task->exit_code, tid);
	if (flags & LICTOR_HELD)
		bpf_map_delete_elem(&held, &tid);
	/* A session's first has none. Without one it is left to lictor_task_free. */
	struct lictor_thread *thread = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (thread) {
		/* As it was before an execution in which it was killed. */
		u32 number = thread->number ? thread->number : tid;
		bpf_map_delete_elem(&governed_threads, &number);
		thread->uncounted = 1;
		leave_session(label);
	}
	return 0;
}

/* Recorded, not denied: the label stays through sudo and setuid programs, so a new identity wins nothing (evasion 74). */
SEC("lsm/task_fix_setuid")
int BPF_PROG(lictor_task_fix_setuid, struct cred *new, const struct cred *old, int flags)
{
	if (new->uid.val != old->uid.val || new->euid.val != old->euid.val)
		process_event(LICTOR_PROC_SETUID, new->euid.val, 0);
	return 0;
}

/* A number in another session, or nobody's: a task that we do not govern. */
static __always_inline bool foreign(struct subject *s, struct task_struct *task)
{
	if (!governed(s))
		return false;
	return !same_session(task, s);
}

static __always_inline bool guarded_task(struct task_struct *task, u32 flags)
{
	struct lictor_label label;
	return guarded() && label_of(task, &label) && (label.flags & flags);
}

/* With self_protection the daemon is ended by itself and by PID 1, and by nobody else. */
static __always_inline bool protected_daemon(struct task_struct *task)
{
	return guarded_task(task, LICTOR_DAEMON);
}

/* A process that waits for its verdict is let go by the daemon and by nobody else, whoever he is. */
static __always_inline bool held_from_us(struct task_struct *p)
{
	struct lictor_label label;

	if (!label_of(p, &label) || !(label.flags & LICTOR_HELD))
		return false;
	return !label_of(bpf_get_current_task_btf(), &label) || !(label.flags & LICTOR_DAEMON);
}

#define PTRACE_MODE_ATTACH 2
#define PTRACE_MODE_NOAUDIT 4

/* Evasions 55, 57, 58: attach, process_vm_*, pidfd_getfd, kcmp, /proc/N/{mem,environ,maps,fd,root,cwd}. */
SEC("lsm/ptrace_access_check")
int BPF_PROG(lictor_ptrace_access_check, struct task_struct *child, unsigned int mode)
{
	struct subject s;

	if ((mode & PTRACE_MODE_ATTACH) && held_from_us(child))
		return VERDICT(1);
	if (!foreign(&s, child))
		return VERDICT((mode & PTRACE_MODE_ATTACH) && guarded_task(child, LICTOR_DAEMON | LICTOR_OF_INIT));
	if (s.privileges & LICTOR_PRIV_PTRACE)
		return 0;
	if (mode & PTRACE_MODE_NOAUDIT) /* ps and top look at everybody */
		return VERDICT(s.flags & LICTOR_ENFORCE);
	return VERDICT(floor_deny(&s, LICTOR_EV_PROCESS, LICTOR_PROC_TRACE, mode, child->tgid));
}

/* Evasion 56: the child asks to be traced by a parent who is not of the session. */
SEC("lsm/ptrace_traceme")
int BPF_PROG(lictor_ptrace_traceme, struct task_struct *parent)
{
	struct subject s;

	if (!foreign(&s, parent) || (s.privileges & LICTOR_PRIV_PTRACE))
		return 0;
	return VERDICT(floor_deny(&s, LICTOR_EV_PROCESS, LICTOR_PROC_TRACE, 0, parent->tgid));
}

/* The same by way of a descriptor's owner. */
SEC("lsm/file_send_sigiotask")
int BPF_PROG(lictor_file_send_sigiotask, struct task_struct *p, void *owner, int sig)
{
	return VERDICT(sig == SIGCONT && held_from_us(p));
}

/* Evasions 60, 113, 114. */
SEC("lsm/task_kill")
int BPF_PROG(lictor_task_kill, struct task_struct *p, struct kernel_siginfo *info, int sig)
{
	struct subject s;

	if (sig == 0)
		return 0; /* asks whether it lives */
	if (sig == SIGCONT && held_from_us(p))
		return VERDICT(1);
	if (!foreign(&s, p))
		return VERDICT(protected_daemon(p));
	return VERDICT(floor_deny(&s, LICTOR_EV_PROCESS, LICTOR_PROC_SIGNAL, sig, p->tgid));
}

#define FOREIGN_TASK_HOOK(hook)                                                                                        \
	SEC("lsm/" #hook)                                                                                              \
	int BPF_PROG(lictor_##hook, struct task_struct *p)                                                             \
	{                                                                                                              \
		struct subject s;                                                                                      \
		if (!foreign(&s, p))                                                                                   \
			return VERDICT(protected_daemon(p));                                                           \
		return VERDICT(floor_deny(&s, LICTOR_EV_PRIVILEGE, LICTOR_PRIV_RESOURCE, 0, p->tgid));                 \
	}

/* Evasions 116, 117: starving others. */
FOREIGN_TASK_HOOK(task_setrlimit)
FOREIGN_TASK_HOOK(task_setscheduler)
FOREIGN_TASK_HOOK(task_setnice)
FOREIGN_TASK_HOOK(task_setioprio)
FOREIGN_TASK_HOOK(task_movememory)

/* Evasion 42: a false /proc/self/exe, for whoever goes by it. This hook's "not mine" is ENOSYS, not 0. */
#define PR_SET_MM 35
#define ENOSYS 38

SEC("lsm/task_prctl")
int BPF_PROG(lictor_task_prctl, int option)
{
	struct subject s;
	int verdict = -ENOSYS;

	if (option == PR_SET_MM && governed(&s) &&
	    floor_deny(&s, LICTOR_EV_PRIVILEGE, LICTOR_PRIV_DISGUISE, option, 0))
		verdict = -EPERM;
	asm volatile("" : "+r"(verdict));
	if (verdict == -EPERM)
		return -EPERM;
	return -ENOSYS;
}
