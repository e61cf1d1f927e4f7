/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The decision over one access to one or two named objects. The only place where rights become a verdict; the same
 * rules in Rust (lictor-engine, decide_*) are the oracle that tests compare it with.
 */
#ifndef LICTOR_JUDGE_H
#define LICTOR_JUDGE_H

#include "path.bpf.h"

/* struct access.need */
#define NEED_READ 1
#define NEED_WRITE 2
#define NEED_EXEC 4
#define NEED_LIBRARY 8
#define NEED_UNIX 16
#define NEED_FLOOR 32 /* denied whatever the lists say; the path is only for the report */

/* struct access.flags */
#define ACCESS_DIRECTORY 1 /* a directory moves: what lies below moves with it */
#define ACCESS_ANONYMOUS 2 /* the object has no link on disk any more */
#define ACCESS_QUIET 4	   /* allowed reads: reported on request, once an object */
#define ACCESS_ABSTRACT 8  /* no path: `dentry` is the address of a name of `mnt` bytes */
#define ACCESS_SILENT 16   /* allowed: not reported here */
#define ACCESS_HASHED 32   /* `hash_rights` holds what the content's hash says */
#define ACCESS_ONE_NAME 64 /* the object has no other name */
#define ACCESS_KNOWN 256   /* somebody has judged the object that is executed, and permitted it */
#define ACCESS_OPEN 128	   /* an open for writing: reported once for each process and object, unless everything is asked for */

struct access {
	u64 dentry;
	u64 mnt;
	u64 dentry2; /* the other end, 0: none */
	u64 mnt2;
	u64 ino;
	u64 object; /* fingerprint of what is executed, 0: not asked for */
	u32 dev;
	u32 need;
	u32 need2;
	u32 flags;
	u32 hash_rights;
	u32 detail;
	u16 kind;
	u16 op;
};

static __always_inline u32 why(struct subject *s, struct access *a, u32 accept, u32 identity, u32 status, u32 need)
{
	u32 anonymous = a->flags & ACCESS_ANONYMOUS;

	if (status == WALK_INTERNAL) {
		/* Memory, pipes and sockets have no name that a list could hold; as programs they are anonymous. */
		if (need & (NEED_EXEC | NEED_LIBRARY))
			return s->flags & LICTOR_ANONYMOUS_ALLOWED ? 0 : LICTOR_WHY_ANONYMOUS;
		return 0;
	}
	if (status == WALK_UNREACHABLE)
		return LICTOR_WHY_UNREACHABLE;
	if (status == WALK_TOO_LONG)
		return LICTOR_WHY_TOO_LONG;
	if (status)
		return LICTOR_WHY_BUSY;
	if (accept & LICTOR_DENY)
		return LICTOR_WHY_DENY_LIST;
	if (identity & LICTOR_DENY)
		return LICTOR_WHY_OBJECT;
	if (need & NEED_WRITE) {
		if (accept & LICTOR_READONLY)
			return LICTOR_WHY_READONLY;
		if (identity & LICTOR_READONLY)
			return LICTOR_WHY_OBJECT;
		if ((s->flags & LICTOR_HAS_WRITE) && !(accept & LICTOR_WRITE))
			return LICTOR_WHY_NOT_WRITE;
	}
	if ((need & NEED_READ) && (s->flags & LICTOR_HAS_READ) && !(accept & LICTOR_READ))
		return LICTOR_WHY_NOT_READ;
	if (need & (NEED_EXEC | NEED_LIBRARY)) {
		if (anonymous && !(s->flags & LICTOR_ANONYMOUS_ALLOWED))
			return LICTOR_WHY_ANONYMOUS;
		if (accept & LICTOR_EXEC_DENY)
			return LICTOR_WHY_EXEC_DENY;
		if (identity & LICTOR_EXEC_DENY)
			return LICTOR_WHY_OBJECT;
		if (a->flags & ACCESS_HASHED) {
			if (a->hash_rights & LICTOR_EXEC_DENY)
				return LICTOR_WHY_HASH_DENY;
			if (a->hash_rights & LICTOR_EXEC)
				return 0;
		}
	}
	if (need & NEED_EXEC) {
		if ((s->flags & LICTOR_HAS_EXEC) && !(accept & LICTOR_EXEC))
			return LICTOR_WHY_NOT_EXEC;
		if ((s->flags & LICTOR_UNDECIDED_DENY) && !(accept & LICTOR_EXEC) && !(a->flags & ACCESS_KNOWN))
			return LICTOR_WHY_UNDECIDED;
	}
	if (need & NEED_LIBRARY) {
		if ((s->flags & LICTOR_HAS_LIBRARIES) && !(accept & (LICTOR_LIBRARY | LICTOR_EXEC)))
			return LICTOR_WHY_NOT_LIBRARY;
		/* The loader, run by hand, executes what it maps. */
		if ((s->label_flags & LICTOR_LOADER) && (s->flags & LICTOR_HAS_EXEC) &&
		    !(s->flags & LICTOR_HAS_LIBRARIES) && !(accept & LICTOR_EXEC))
			return LICTOR_WHY_NOT_EXEC;
	}
	if ((need & NEED_UNIX) && (s->flags & LICTOR_HAS_UNIX) && !(accept & LICTOR_UNIX))
		return LICTOR_WHY_NOT_UNIX;
	return 0;
}

/* The same, verified once and by itself instead of once for each way to it. */
__noinline u32 why_not(struct subject *s, struct access *a, u32 accept, u32 identity, u64 status_and_need)
{
	if (!s || !a)
		return LICTOR_WHY_INTERNAL;
	return why(s, a, accept, identity, status_and_need >> 32, (u32)status_and_need);
}

static __always_inline u32 class_below(u32 state)
{
	/* The state after one more '/', then its move class. */
	u32 at = state + 1 + '/';
	struct lictor_cell *cell = bpf_map_lookup_elem(&cells, &at);
	u32 next = 0xffffffff;
	if (cell && cell->check == state) {
		next = cell->next;
	} else {
		cell = bpf_map_lookup_elem(&cells, &state);
		if (cell)
			next = cell->dflt;
	}
	cell = bpf_map_lookup_elem(&cells, &next);
	return cell ? cell->accept >> 8 : 0xffffffff;
}

/* Path of one end, and its rights. Writes before `end`. */
__noinline int rights_of(struct subject *s, struct walked *out, u64 dentry, u64 mnt, u64 place)
{
	if (!s || !out)
		return 1;
	u32 slot = place >> 32;
	out->accept = 0;
	out->class = 0;
	out->status = walk_path(slot, dentry, mnt, (u32)place, s->flags & LICTOR_HAS_IDENTITIES ? s->policy : 0);
	struct lictor_scratch *buf = scratch_at(slot);
	if (!buf)
		return 0;
	out->identity = buf->walk.identity;
	out->pos = buf->walk.pos;
	if (out->status)
		return 0;
	/* In two parts: what the folder comes to is remembered for the next one in it. */
	u32 name = (u32)place, state = s->start;
	if (buf->walk.parent && buf->walk.name_len <= LICTOR_NAME_MAX) {
		name -= buf->walk.name_len;
		match_path(slot, out->pos, name, state, s->dead);
		state = buf->matching.state;
		if (buf->matching.broken) {
			out->status = WALK_BROKEN;
			return 0;
		}
		buf->behind = state;
	} else {
		name = out->pos;
	}
	out->accept = match_path(slot, name, (u32)place, state, s->dead) & 0xff;
	if (buf->matching.broken)
		out->status = WALK_BROKEN;
	out->class = class_below(buf->matching.state);
	return 0;
}

/*
 * A file with several names is forbidden under all when it is under one. The names that the kernel has in mind are
 * looked at here (a link that somebody made a moment ago is among them, and so is the name that it was made from);
 * those that lay there before the session are marked by the daemon (`identities`). With more names than can be looked at
 * it is forbidden.
 */
#define NAMES_MOST 8192
struct names {
	struct subject *s;
	u64 slot;
};

static long look_at_name(u32 i, struct names *n)
{
	struct lictor_scratch *buf = scratch_at(n->slot);
	if (!buf)
		return 1; /* `broken` stays */
	struct other_names *o = &buf->names;
	if (!o->name) {
		o->broken = 0;
		return 1;
	}
	if (o->name != o->dentry) {
		rights_of(n->s, &buf->other, o->name, o->mnt, o->place);
		if (!buf->other.status)
			o->rights |= buf->other.accept & (LICTOR_DENY | LICTOR_READONLY | LICTOR_EXEC_DENY);
	}
	o->name = next_name(o->name);
	return 0;
}

__noinline u32 other_names(struct subject *s, u64 dentry, u64 mnt, u64 place)
{
	struct dentry *d = (struct dentry *)dentry;
	struct lictor_scratch *buf = scratch_at(place >> 32);

	if (!s || !buf)
		return LICTOR_DENY;
	struct inode *inode = BPF_CORE_READ(d, d_inode);
	if (!inode || (BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFREG || BPF_CORE_READ(inode, i_nlink) < 2)
		return 0;
	struct other_names *o = &buf->names;
	o->name = dentry_of((u64)BPF_CORE_READ(inode, i_dentry.first));
	o->dentry = dentry;
	o->mnt = mnt;
	o->place = place;
	o->rights = 0;
	o->broken = 1;
	struct names n = {.s = s, .slot = place >> 32};
	bpf_loop(NAMES_MOST, look_at_name, &n, 0);
	return o->broken ? LICTOR_DENY : o->rights;
}

/* An abstract unix name: no tree, only bytes. */
__noinline int rights_of_name(struct subject *s, struct walked *out, u64 name, u64 len, u64 place)
{
	if (!s || !out)
		return 1;
	s32 slot = place >> 32;
	struct lictor_scratch *buf = scratch_at(slot);
	out->status = WALK_BROKEN;
	out->pos = LICTOR_SCRATCH_TOP;
	if (!buf)
		return 0;
	if (len > 127) {
		out->status = WALK_TOO_LONG;
		return 0;
	}
	u32 pos = LICTOR_SCRATCH_TOP - 128;
	if (len && bpf_probe_read_kernel(&buf->data[pos + 1], len & 127, (void *)name))
		return 0;
	buf->data[pos] = '@';
	out->accept = match_path(slot, pos, pos + 1 + len, s->start, s->dead) & 0xff;
	out->status = buf->matching.broken ? WALK_BROKEN : 0;
	out->identity = 0;
	out->pos = pos;
	out->class = pos + 1 + len; /* where the name ends */
	return 0;
}

/* Not reported again: reads of an object by the same session, writes by the same process. */
static __always_inline void seen_key(struct lictor_seen_key *key, struct subject *s, struct access *a)
{
	key->session = s->session;
	key->ino = a->ino;
	key->dev = a->dev;
	key->op = a->op | (a->kind << 8);
	key->pid = a->flags & ACCESS_QUIET ? 0 : bpf_get_current_pid_tgid() >> 32;
	key->pad = 0;
}

static __noinline int seen_before(struct subject *s, struct access *a)
{
	struct lictor_seen_key key;

	seen_key(&key, s, a);
	return bpf_map_lookup_elem(&seen, &key) != 0;
}

static __noinline int first_sight(struct subject *s, struct access *a)
{
	struct lictor_seen_key key;

	seen_key(&key, s, a);
	if (bpf_map_lookup_elem(&seen, &key))
		return 0;
	u32 one = 1;
	bpf_map_update_elem(&seen, &key, &one, 0);
	return 1;
}

/* Whether this access, allowed, has an event at its first time; a session that asked for everything gets all writes. */
static __always_inline bool worth_a_line(struct subject *s, struct access *a)
{
	return !(a->flags & ACCESS_QUIET) || (s->flags & LICTOR_REPORT_READS);
}

static __always_inline bool every_time(struct subject *s, struct access *a)
{
	return !(a->flags & ACCESS_QUIET) && (!(a->flags & ACCESS_OPEN) || (s->flags & LICTOR_REPORT_READS));
}

/*
 * For the report of an execution that is denied: the arguments as the caller passed them, read from its memory, into the
 * buffer behind the path. The new image never existed, so there are no others. The caller can have changed them in the
 * meantime: nothing is decided by them. Returns their length, in the lowest bit whether some are left out.
 */
#ifdef __TARGET_ARCH_x86
#define CALL_NUMBER(regs) ((regs)->orig_ax)
#define CALL_SECOND(regs) ((regs)->si)
#define CALL_THIRD(regs) ((regs)->dx)
#define CALL_EXECVE 59
#define CALL_EXECVEAT 322
#else
#define CALL_NUMBER(regs) ((regs)->syscallno)
#define CALL_SECOND(regs) ((regs)->regs[1])
#define CALL_THIRD(regs) ((regs)->regs[2])
#define CALL_EXECVE 221
#define CALL_EXECVEAT 281
#endif
#define PASSED_ARGS_MOST 4096
struct passed {
	u64 argv;
	u32 slot;
	u32 pos;
	u32 cut;
	u32 pad;
};

/* One argument out of the process's memory, behind those before it. 1: it cannot be read, or may be cut. */
static __always_inline long copy_arg(struct lictor_scratch *buf, u32 *at, u64 arg)
{
	u32 pos = *at;

	if (pos >= LICTOR_ARGS_MAX)
		return 1;
	u32 room = LICTOR_ARGS_MAX - pos;
	long got = bpf_probe_read_user_str(&buf->data[LICTOR_SCRATCH_TOP + pos], room, (void *)arg);
	if (got <= 0 || got > room)
		return 1;
	*at = pos + got;
	return got == room; /* it filled the rest */
}

static long copy_passed_arg(u32 i, struct passed *p)
{
	struct lictor_scratch *buf = scratch_at(p->slot);
	u64 arg = 0;

	if (!buf || bpf_probe_read_user(&arg, sizeof(arg), (void *)(p->argv + (u64)i * sizeof(arg))))
		return 1;
	if (!arg) {
		p->cut = 0;
		return 1;
	}
	return copy_arg(buf, &p->pos, arg);
}

__noinline u32 passed_args(u32 slot)
{
	struct pt_regs___call *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	struct passed p = {.slot = slot, .cut = 1};

	if (!regs)
		return 0;
	u64 call = CALL_NUMBER(regs);
	if (call == CALL_EXECVE)
		p.argv = CALL_SECOND(regs);
	else if (call == CALL_EXECVEAT)
		p.argv = CALL_THIRD(regs);
	else
		return 0; /* a 32-bit caller: its pointers have another size */
	bpf_loop(PASSED_ARGS_MOST, copy_passed_arg, &p, 0);
	return p.pos << 1 | p.cut;
}

/* No buffer to write the path in: denied, and said. */
static __noinline int deny_unjudged(struct subject *s, struct access *a)
{
	struct facts f = {.kind = a->kind, .op = a->op, .reason = LICTOR_WHY_INTERNAL, .detail = a->detail};
	return settle(s, &f);
}

/* The same of mounts: odd while somebody is at it, and then nothing can be said. */
static __always_inline u32 mounts_now(void)
{
	u32 now = 1;
	if (&mount_lock)
		bpf_probe_read_kernel(&now, sizeof(now), &mount_lock);
	return now;
}

static __always_inline u32 removals_now(void)
{
	u32 zero = 0, *n = bpf_map_lookup_elem(&removals, &zero);
	return n ? *n : 0;
}

static __always_inline struct lictor_place *place_of(u64 folder, u64 mnt, u32 policy)
{
	u32 at = (u32)((folder >> 6) * 2654435761U ^ (mnt >> 6) ^ policy * 40503U);
	at = (at ^ at >> 16) & (LICTOR_PLACES - 1);
	return bpf_map_lookup_elem(&places, &at);
}

/* After a climb and a match that came to an end: remembers what the folder came to. */
static __noinline int remember(struct subject *s, struct access *a, u64 slot)
{
	struct lictor_scratch *buf = scratch_at(slot);

	if (!s || !a || !buf || !buf->walk.parent)
		return 0;
	u32 mounts = buf->mounts, removed = buf->removals;
	if ((mounts & 1) || mounts != mounts_now() || removed != removals_now())
		return 0;
	struct walk *w = &buf->walk;
	u64 folder = w->parent;
	w->inode = 0;
	if (bpf_probe_read_kernel(&w->inode, sizeof(w->inode),
				  (void *)(folder + bpf_core_field_offset(struct dentry, d_inode))) ||
	    !w->inode)
		return 0;
	struct inode *inode = (struct inode *)w->inode;
	struct lictor_place *p = place_of(folder, a->mnt, s->policy);
	if (!p || __sync_val_compare_and_swap(&p->used, 0, 1))
		return 0;
	p->folder = folder;
	p->inode = w->inode;
	p->sb = (u64)BPF_CORE_READ(inode, i_sb);
	p->ino = BPF_CORE_READ(inode, i_ino);
	p->mnt = a->mnt;
	p->ns = (u64)own_mounts();
	p->policy = s->policy;
	p->renames = buf->climb.renames;
	p->mounts = mounts;
	p->removals = removed;
	p->state = buf->behind;
	p->above = w->above;
	__sync_fetch_and_and(&p->used, 0);
	return 0;
}

static __always_inline bool bloom_says(u64 ino)
{
	u32 hash = (u32)(ino ^ (ino >> 16)), word = (hash >> 6) & (LICTOR_BLOOM_WORDS - 1);
	u64 *bits = bpf_map_lookup_elem(&identity_bloom, &word);
	return !bits || (*bits & (1ULL << (hash & 63)));
}

/* A pointer as a number: by way of memory, because the verifier lets nobody calculate with pointers. */
static __always_inline u64 number_of(u64 *room, const void *pointer)
{
	*(volatile u64 *)room = (u64)pointer;
	return *(volatile u64 *)room;
}

/*
 * The common case without a path: something else in this folder was judged a moment ago. Says only "allowed, and
 * nothing to report" (1); whatever is denied, reported or in any way unusual takes the long way.
 *
 * The pointers are typed, so that looking at what they point to is one instruction and not a call.
 */
static __noinline int quickly_allowed(struct subject *s, struct access *a, struct dentry *dentry, struct vfsmount *mnt)
{
	struct dentry *parent = dentry->d_parent;
	struct inode *leaf = dentry->d_inode, *folder = parent->d_inode;
	u32 len = dentry->d_name.len;

	if (!s->policy || a->need == NEED_FLOOR || !(a->flags & ACCESS_ONE_NAME) || heart_stopped(false) ||
	    mnt->mnt_root == dentry || parent == dentry || !len || len > LICTOR_NAME_MAX)
		return 0;
	if (!(a->flags & ACCESS_SILENT) && worth_a_line(s, a) && (every_time(s, a) || !seen_before(s, a)))
		return 0;
	u64 ino = leaf->i_ino, folder_ino = folder->i_ino;
	s32 slot = scratch_take();
	if (slot < 0)
		return 0;
	struct lictor_scratch *buf = scratch_at(slot);
	if (!buf)
		return 0;
	u64 at = number_of(&buf->walk.parent, parent), inode = number_of(&buf->walk.inode, folder),
	    mount = number_of(&buf->walk.mnt, (void *)a->mnt),
	    sb = number_of(&buf->walk.sb, folder->i_sb),
	    ns = number_of(&buf->walk.top, bpf_get_current_task_btf()->nsproxy->mnt_ns), allowed = 0, own = 0;
	if ((s->flags & LICTOR_HAS_IDENTITIES) && bloom_says(ino))
		own = identity_of(number_of(&buf->walk.dentry, leaf), s->policy, &buf->walk) & 0xff;
	const void *name = dentry->d_name.name;
	struct lictor_place *p = place_of(at, mount, s->policy);
	if (!p || p->folder != at || __sync_val_compare_and_swap(&p->used, 0, 1))
		goto out;
	u32 state = p->state, above = p->above, renames = p->renames, mounts = p->mounts, removed = p->removals;
	bool same = p->folder == at && p->mnt == mount && p->policy == s->policy && p->ns == ns && p->inode == inode &&
		    p->sb == sb && p->ino == folder_ino;
	__sync_fetch_and_and(&p->used, 0);
	u32 from = LICTOR_SCRATCH_TOP - 256;
	asm volatile("%0 &= 0xff" : "+r"(len)); /* known above, and forgotten by the verifier */
	if (!same || bpf_probe_read_kernel(&buf->data[from], len, name))
		goto out;
	u32 accept = match_name(slot, from, from + len, state, s->dead) & 0xff;
	/* Equal to what they were when the folder was remembered, so nothing changed between then and now, and everything
	 * that was looked at above belongs together. */
	if (!buf->matching.broken && renames == renames_now() && mounts == mounts_now() && removed == removals_now())
		allowed = !why(s, a, accept, above | own, 0, a->need);
out:
	scratch_give(slot);
	return allowed;
}

/*
 * Tells user space. In the buffer: what was found out of both ends, the verdict (`judged`), and the paths, before which
 * there is room for the event.
 */
__noinline int report_access(struct subject *s, struct access *a, u64 slot)
{
	struct lictor_scratch *buf = scratch_at(slot);

	if (!s || !a || !buf)
		return 1;
	struct walked *one = &buf->near, *two = &buf->far;
	u32 reason = buf->judged.reason, end = buf->judged.end, tail = buf->judged.tail;
	u32 pos = one->pos, total_end = a->dentry2 ? LICTOR_SCRATCH_TOP : tail;
	if (one->status)
		pos = end;
	if (pos < sizeof(struct lictor_event) + 8)
		pos = sizeof(struct lictor_event) + 8; /* walk_step kept this room; for the verifier */
	u32 head = (pos - sizeof(struct lictor_event)) & ~7U & SCRATCH_MASK;
	struct lictor_event *e = (void *)&buf->data[head];
	__builtin_memset(e, 0, sizeof(*e));
	event_subject(e, s);
	e->kind = a->kind;
	e->op = a->op;
	e->tier = buf->judged.tier;
	e->reason = reason;
	e->rights = one->accept | (one->identity << 8) | (two->accept << 16);
	e->action = reason ? LICTOR_ACTION_DENY : LICTOR_ALLOW;
	e->enforced = s->flags & LICTOR_ENFORCE ? 1 : 0;
	e->detail = a->detail;
	if (reason == LICTOR_WHY_UNDECIDED && a->object) {
		e->judged = LICTOR_JUDGED_REFUSED;
		e->judge = s->judge;
		e->object = a->object;
	}
	if (a->flags & ACCESS_HASHED)
		e->hash = a->hash_rights ? (a->hash_rights >> 8) + 1 : 0;
	e->path_off = pos - head;
	e->path_len = (a->dentry2 ? end : tail) - pos;
	e->path2_len = a->dentry2 ? LICTOR_SCRATCH_TOP - end : 0;
	u32 size = total_end - head;
	e->latency_ns = bpf_ktime_get_ns() - s->began;
	if (reason && a->kind == LICTOR_EV_EXEC) {
		u32 passed = passed_args(slot);
		u32 length = passed >> 1;
		if (length > LICTOR_ARGS_MAX)
			length = LICTOR_ARGS_MAX;
		e->args_len = length;
		e->detail = length + (passed & 1);
		size += length;
	}
	e->size = size;
	session_count(s, reason != 0);
	count(LICTOR_COUNT_EVENTS);
	if (size > LICTOR_SCRATCH_TOP + LICTOR_ARGS_MAX)
		size = LICTOR_SCRATCH_TOP + LICTOR_ARGS_MAX;
	long lost = reason ? bpf_ringbuf_output(&denials, e, size, WAKE(denials))
			   : bpf_ringbuf_output(&events, e, size, WAKE(events));
	if (lost)
		count(LICTOR_COUNT_LOST_RING);
	return 0;
}

/*
 * The verdict over an access. 1: the hook returns EPERM. Reports what has to be reported.
 */
__noinline int judge(struct subject *s, struct access *a)
{
	u32 reason = 0, tier = LICTOR_TIER_POLICY, end = LICTOR_SCRATCH_TOP;

	if (!s || !a)
		return 1;
	if (!s->began)
		s->began = bpf_ktime_get_ns();
	u32 enforced = s->flags & LICTOR_ENFORCE;
	s32 slot = scratch_take();
	if (slot < 0)
		return deny_unjudged(s, a);
	struct lictor_scratch *buf = scratch_at(slot);
	if (!buf)
		return 1;
	struct walked *one = &buf->near, *two = &buf->far;
	__builtin_memset(one, 0, sizeof(*one));
	__builtin_memset(two, 0, sizeof(*two));
	one->pos = end;
	if (a->need == NEED_FLOOR) {
		reason = LICTOR_WHY_FLOOR;
		tier = LICTOR_TIER_FLOOR;
	} else if (!s->policy) {
		reason = LICTOR_WHY_NO_POLICY;
	} else if (heart_stopped(false)) {
		reason = LICTOR_WHY_HEARTBEAT;
		tier = LICTOR_TIER_HEARTBEAT;
	}
	buf->mounts = mounts_now();
	buf->removals = removals_now();
	u64 place = ((u64)slot << 32);
	if (a->dentry2) { /* the far end is written first, so that the near one stands before it */
		rights_of(s, two, a->dentry2, a->mnt2, place | end);
		if (!two->status)
			end = two->pos;
		if (!reason)
			reason = why_not(s, a, two->accept, two->identity, (u64)two->status << 32 | a->need2);
	}
	u32 tail = end;
	if (a->flags & ACCESS_ABSTRACT) {
		rights_of_name(s, one, a->dentry, a->mnt, place);
		tail = one->class;
	} else {
		u32 names = other_names(s, a->dentry, a->mnt, place | end);
		rights_of(s, one, a->dentry, a->mnt, place | end);
		if (!one->status)
			remember(s, a, slot);
		one->identity |= names;
	}
	if (!reason)
		reason = why_not(s, a, one->accept, one->identity, (u64)one->status << 32 | a->need);
	if (!reason && a->dentry2 && !one->status && !two->status) {
		if ((s->flags & LICTOR_HAS_READ) && (two->accept & LICTOR_READ) && !(one->accept & LICTOR_READ))
			reason = LICTOR_WHY_WIDEN;
		else if (((one->accept | one->identity) & LICTOR_EXEC_DENY) && !(two->accept & LICTOR_EXEC_DENY))
			reason = LICTOR_WHY_WIDEN; /* under its new name it could be run */
		else if ((a->flags & ACCESS_DIRECTORY) && one->class != two->class)
			reason = LICTOR_WHY_MOVE;
	}

	bool report = true;
	if (!reason) {
		/* Internal mounts: also the layers below an overlay, whose files were judged by their own names. */
		if ((a->flags & ACCESS_SILENT) || one->status == WALK_INTERNAL)
			report = false;
		else
			report = worth_a_line(s, a) && (every_time(s, a) || first_sight(s, a));
	}
	if (report) {
		buf->judged.reason = reason;
		buf->judged.tier = tier;
		buf->judged.end = end;
		buf->judged.tail = tail;
		report_access(s, a, slot);
	}
	scratch_give(slot);
	return reason && enforced;
}

#endif
