/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every hook needs: who acts (subject), the buffer a path is written in, the event that tells of it.
 *
 * Order in every hook: find the subject, decide, then report. The report can be lost (and is counted); the verdict
 * does not depend on it. Whatever cannot be found out about a governed subject is a deny.
 */
#ifndef LICTOR_CORE_H
#define LICTOR_CORE_H

#include "lictor.h"
#include "kernel.h"
#include "compat.bpf.h"
#include "maps.bpf.h"

#define SCRATCH_MASK (LICTOR_SCRATCH_TOP - 1)

/* The seqlocks that every rename, and every change of what is mounted where, take; no type in BTF, so only addresses. */
extern const void rename_lock __ksym;
extern const void mount_lock __ksym __weak;

static __always_inline void count(u32 what)
{
	u64 *n = bpf_map_lookup_elem(&counters, &what);
	if (n)
		*n += 1;
}

static __always_inline struct lictor_control *the_control(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&control, &zero);
}

static __always_inline bool label_of(struct task_struct *task, struct lictor_label *out)
{
	struct lictor_label *label = bpf_task_storage_get(&task_labels, task, 0, 0);
	if (label) {
		*out = *label;
		return true;
	}
	struct lictor_control *c = the_control();
	if (c && c->storage_may_fail) {
		u32 tid = task->pid;
		label = bpf_map_lookup_elem(&governed_threads, &tid);
		if (label) {
			*out = *label;
			count(LICTOR_COUNT_LABEL_FALLBACK);
			return true;
		}
	}
	return false;
}

/* The mount namespace of whoever acts. Read, not followed, where it is not asked at every access: for each trusted pointer
 * that is followed, a kernel from 6.3 on searches all of its types by name, four times, while it verifies the program. */
static __always_inline struct mnt_namespace *own_mounts(void)
{
	return BPF_CORE_READ(bpf_get_current_task_btf(), nsproxy, mnt_ns);
}

/* Who acts, and the policy in force at this moment; one access is judged by one policy from begin to end. */
struct subject {
	u64 session;
	u64 began; /* 0: the clock was not looked at yet */
	u32 slot;
	u32 label_flags;
	u32 policy; /* 0: none, and everything is denied */
	u32 start;
	u32 dead;
	u32 flags;
	u32 privileges;
	u32 judge;
};

/* True when the current task is governed. Fills what the decision needs, but for the clock: most opens are over before
 * somebody would want to know the time. */
static __noinline int subject_of(struct subject *s)
{
	struct lictor_label label;
	struct task_struct *task = bpf_get_current_task_btf();

	if (!label_of(task, &label) || !(label.flags & LICTOR_GOVERNED))
		return false;
	s->began = 0;
	s->session = label.session;
	s->slot = label.slot;
	s->label_flags = label.flags;
	s->policy = 0;
	s->start = 0;
	s->dead = 0;
	s->flags = LICTOR_ENFORCE;
	s->privileges = 0;
	s->judge = 0;
	/* Held, and yet it runs: something in the kernel let it go (a terminal that hangs up, an orphaned process group).
	 * It has no rights, and its first attempt at anything ends it. While its execution is still under way it is the
	 * kernel that maps the program. */
	if ((label.flags & LICTOR_HELD) && !BPF_CORE_READ_BITFIELD(task, in_execve)) {
		bpf_send_signal(SIGKILL);
		return true;
	}
	void *inner = bpf_map_lookup_elem(&policies, &label.slot);
	if (inner) {
		u32 zero = 0;
		struct lictor_policy *p = bpf_map_lookup_elem(inner, &zero);
		if (p && p->session == label.session) {
			s->policy = p->id;
			s->start = p->start;
			s->dead = p->dead;
			s->flags = p->flags;
			s->privileges = p->privileges;
			s->judge = p->judge;
		}
	}
	return true;
}

/* The same, and the clock runs: what is decided here is told with the time that it took. */
static __always_inline int governed(struct subject *s)
{
	if (!subject_of(s))
		return false;
	s->began = bpf_ktime_get_ns();
	return true;
}

static __always_inline bool same_session(struct task_struct *task, struct subject *s)
{
	struct lictor_label label;
	return label_of(task, &label) && (label.flags & LICTOR_GOVERNED) && label.session == s->session;
}

static __always_inline bool heart_stopped(bool network)
{
	struct lictor_control *c = the_control();
	if (!c)
		return true;
	if (c->fail_closed == LICTOR_FAIL_OFF)
		return false;
	if (!network && c->fail_closed != LICTOR_FAIL_ALL)
		return false;
	u64 now = bpf_ktime_get_ns(), beat = c->beat_ns;
	return now > beat && now - beat > LICTOR_BEAT_MAX_NS;
}

static __always_inline struct lictor_scratch *scratch_at(u32 slot)
{
	return bpf_map_lookup_elem(&scratch, &slot);
}

/* A free buffer, or a negative number when this CPU's are all in use (then the caller denies). */
static __always_inline s32 scratch_take(void)
{
	u32 base = bpf_get_smp_processor_id() * LICTOR_SCRATCH_PER_CPU;
#pragma unroll
	for (u32 i = 0; i < LICTOR_SCRATCH_PER_CPU; i++) {
		struct lictor_scratch *s = scratch_at(base + i);
		if (s && s->used == 0 && __sync_val_compare_and_swap(&s->used, 0, 1) == 0)
			return base + i;
	}
	/* Preempted four deep here: borrow from the first CPUs. */
	for (u32 i = 0; i < 2 * LICTOR_SCRATCH_PER_CPU; i++) {
		struct lictor_scratch *s = scratch_at(i);
		if (s && s->used == 0 && __sync_val_compare_and_swap(&s->used, 0, 1) == 0)
			return i;
	}
	count(LICTOR_COUNT_LOST_SCRATCH);
	return -1;
}

/* For what is only told: this CPU's last buffer and no other, so that whoever is governed finds one. Negative: it is in use. */
static __always_inline s32 scratch_spare(void)
{
	u32 last = bpf_get_smp_processor_id() * LICTOR_SCRATCH_PER_CPU + LICTOR_SCRATCH_PER_CPU - 1;
	struct lictor_scratch *s = scratch_at(last);

	return s && __sync_val_compare_and_swap(&s->used, 0, 1) == 0 ? (s32)last : -1;
}

static __always_inline void scratch_give(s32 slot)
{
	struct lictor_scratch *s = scratch_at(slot);
	if (s)
		__sync_fetch_and_and(&s->used, 0);
}

/* ---- events ---- */

/*
 * Waking the daemon is an interrupt and a switch of context, which whoever acts would pay for. It looks into the rings
 * by itself every few milliseconds while sessions live, and is woken only when one fills up.
 */
#define WAKE(ring)                                                                                                     \
	(bpf_ringbuf_query(&(ring), BPF_RB_AVAIL_DATA) > LICTOR_RING_WAKE ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP)

static __always_inline void event_subject(struct lictor_event *e, struct subject *s)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 ids = bpf_get_current_pid_tgid(), owner = bpf_get_current_uid_gid();

	e->time_ns = s->began;
	e->session = s->session;
	e->slot = s->slot;
	e->policy = s->policy;
	e->pid = ids >> 32;
	e->tid = (u32)ids;
	/* Read, as in own_mounts(). */
	e->ppid = BPF_CORE_READ(task, real_parent, tgid);
	e->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	e->uid = (u32)owner;
	e->gid = owner >> 32;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
}

/* Room for an event without paths, straight in the ring (an event is too big for the stack); 0: lost, and counted. */
static __always_inline struct lictor_event *event_begin(struct subject *s, u16 kind, u16 op, u16 reason)
{
	struct lictor_event *e;

	count(LICTOR_COUNT_EVENTS);
	if (reason)
		e = bpf_ringbuf_reserve(&denials, sizeof(*e), 0);
	else
		e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count(LICTOR_COUNT_LOST_RING);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	event_subject(e, s);
	e->size = sizeof(*e);
	e->kind = kind;
	e->op = op;
	e->reason = reason;
	e->action = reason ? LICTOR_ACTION_DENY : LICTOR_ALLOW;
	e->enforced = s->flags & LICTOR_ENFORCE ? 1 : 0;
	e->latency_ns = bpf_ktime_get_ns() - s->began;
	return e;
}

static __always_inline void event_submit(struct lictor_event *e)
{
	bpf_ringbuf_submit(e, e->reason ? WAKE(denials) : WAKE(events));
}

/* For the sums that `lictor ps` shows. */
static __always_inline void session_count(struct subject *s, bool denied)
{
	u32 slot = s->slot;
	struct lictor_session *session = bpf_map_lookup_elem(&sessions, &slot);
	if (session && session->id == s->session) {
		__sync_fetch_and_add(&session->events, 1);
		if (denied)
			__sync_fetch_and_add(&session->denied, 1);
	}
	if (denied)
		count(LICTOR_COUNT_DENIED);
}

/* Whether processes that nobody governs are told of: for the host's process tree, and nothing is decided by it. */
static __always_inline bool host_watched(void)
{
	struct lictor_control *c = the_control();
	return c && c->watch_host;
}

struct facts {
	u16 kind;
	u16 op;
	u16 tier;
	u16 reason;
	u32 detail;
	u32 detail2;
	u32 quiet; /* allowed and not worth a line */
};

/*
 * Decides nothing: reports a decision that needs no path, and turns it into what the hook returns. In monitor mode a
 * denial is reported and not enforced.
 */
__noinline int settle(struct subject *s, struct facts *f)
{
	if (!s || !f)
		return 1;
	if (f->reason == 0 && f->quiet)
		return 0;
	session_count(s, f->reason != 0);
	struct lictor_event *e = event_begin(s, f->kind, f->op, f->reason);
	if (e) {
		e->tier = f->tier;
		e->detail = f->detail;
		e->detail2 = f->detail2;
		event_submit(e);
	}
	return f->reason && (s->flags & LICTOR_ENFORCE);
}

/* The floor says no. */
static __always_inline int floor_deny(struct subject *s, u16 kind, u16 op, u32 detail, u32 detail2)
{
	struct facts f = {.kind = kind, .op = op, .tier = LICTOR_TIER_FLOOR, .reason = LICTOR_WHY_FLOOR,
			  .detail = detail, .detail2 = detail2};
	return settle(s, &f);
}

/* ---- self-protection: attacks on Lictor by somebody whom we do not govern ---- */

/* With self_protection on: anybody but the daemon, and PID 1, who looks after its service. */
static __always_inline bool guarded(void)
{
	struct lictor_control *c = the_control();
	struct lictor_label label;

	if (!c || !c->self_protection)
		return false;
	struct task_struct *task = bpf_get_current_task_btf();
	if (task->tgid == 1)
		return false;
	return !label_of(task, &label) || !(label.flags & LICTOR_DAEMON);
}

/* Whether the daemon marked this object (policy 0), or, with a tree's mark, something above it. */
struct own {
	u64 dentry;
	u64 ours;
};

static long look_above(u32 i, struct own *o)
{
	struct dentry *d = (struct dentry *)o->dentry;
	struct inode *inode = BPF_CORE_READ(d, d_inode);

	if (inode) {
		struct lictor_identity_key key = {.policy = 0};
		key.ino = BPF_CORE_READ(inode, i_ino);
		key.dev = BPF_CORE_READ(inode, i_sb, s_dev);
		key.generation = BPF_CORE_READ(inode, i_generation);
		u32 *rights = bpf_map_lookup_elem(&identities, &key);
		/* A folder that the daemon marked read-only is a cgroup that it is in: that, and the files in it. */
		if (rights && (((*rights & LICTOR_DENY) && (i == 0 || (*rights & LICTOR_IDENTITY_TREE))) ||
			       ((*rights & LICTOR_READONLY) && i <= 1))) {
			o->ours = 1;
			return 1;
		}
	}
	u64 up = (u64)BPF_CORE_READ(d, d_parent);
	if (up == o->dentry)
		return 1;
	o->dentry = up;
	return 0;
}

static __noinline int our_object(u64 dentry)
{
	struct own o = {.dentry = dentry};

	bpf_loop(4096, look_above, &o, 0);
	return o.ours;
}

#endif
