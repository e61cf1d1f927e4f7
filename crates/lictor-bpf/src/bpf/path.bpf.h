/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From an object to its path, and from the path to its rights.
 *
 * The path is built from the dentry upwards, across mounts, to the root of the session's mount namespace: the same
 * string whatever chroot, working directory, symbolic link or descriptor the caller used. bpf_d_path would do only in
 * a few hooks, and would stop at the caller's chroot. Renames while we climb are noticed (rename_lock) and the climb is
 * repeated. On the way each directory is compared with the objects that deny rules name, so that a bind mount, a hard
 * link or a rename by somebody else does not get round them.
 *
 * Then the automaton walks over the bytes: a table look-up each, whatever the number of patterns.
 */
#ifndef LICTOR_PATH_H
#define LICTOR_PATH_H

#include "core.bpf.h"

/* struct walk.status, 0 is fine */
#define WALK_UNREACHABLE 1 /* not below the root of this mount namespace */
#define WALK_TOO_LONG 2
#define WALK_INTERNAL 3	   /* on a mount of the kernel's own: pipes, memfd, sockets */
#define WALK_BROKEN 4	   /* a read failed, or the tree was renamed again and again */

static __always_inline u32 identity_of(u64 inode, u32 policy)
{
	u64 ino = 0;
	if (bpf_probe_read_kernel(&ino, sizeof(ino), (void *)(inode + bpf_core_field_offset(struct inode, i_ino))))
		return LICTOR_DENY;
	u32 hash = (u32)(ino ^ (ino >> 16)), word = (hash >> 6) & (LICTOR_BLOOM_WORDS - 1);
	u64 *bits = bpf_map_lookup_elem(&identity_bloom, &word);
	if (bits && !(*bits & (1ULL << (hash & 63))))
		return 0;
	struct lictor_identity_key key = {.ino = ino, .policy = policy};
	struct inode *in = (struct inode *)inode;
	key.dev = BPF_CORE_READ(in, i_sb, s_dev);
	key.generation = BPF_CORE_READ(in, i_generation);
	u32 *rights = bpf_map_lookup_elem(&identities, &key);
	return rights ? *rights : 0;
}

static long walk_step(u32 i, u64 *slot)
{
	struct lictor_scratch *s = scratch_at(*slot);
	if (!s)
		return 1; /* `done` stays 0 */
	struct walk *w = &s->walk;
	if (w->dentry == w->mnt_root) {
		u64 *up = w->up;
		if (bpf_probe_read_kernel(up, sizeof(w->up),
					  (void *)(w->mnt + bpf_core_field_offset(struct mount, mnt_parent)))) {
			w->status = WALK_BROKEN;
			return 1;
		}
		if (w->policy) { /* a bind mount of something that a rule names */
			u64 inode = 0;
			bpf_probe_read_kernel(&inode, sizeof(inode),
					      (void *)(w->dentry + bpf_core_field_offset(struct dentry, d_inode)));
			u32 rights = inode ? identity_of(inode, w->policy) : 0;
			if (rights && (w->leaf || (rights & LICTOR_IDENTITY_TREE)))
				w->identity |= rights & 0xff;
		}
		w->leaf = 0;
		if (up[0] == w->mnt) {
			w->top = w->mnt;
			w->done = 1;
			return 1;
		}
		w->mnt = up[0];
		w->dentry = up[1];
		if (bpf_probe_read_kernel(&w->mnt_root, sizeof(w->mnt_root),
					  (void *)(w->mnt + bpf_core_field_offset(struct mount, mnt.mnt_root)))) {
			w->status = WALK_BROKEN;
			return 1;
		}
		return 0;
	}
	struct dentry_window *d = &w->window;
	if (bpf_probe_read_kernel(d, sizeof(*d), (void *)(w->dentry + bpf_core_field_offset(struct dentry, d_parent)))) {
		w->status = WALK_BROKEN;
		return 1;
	}
	if (d->parent == w->dentry) { /* a root, but not this mount's: memory has such dentries; else detached */
		w->status = WALK_UNREACHABLE;
		w->top = w->mnt;
		return 1;
	}
	if (w->policy && d->inode) {
		u32 rights = identity_of(d->inode, w->policy);
		if (rights && (w->leaf || (rights & LICTOR_IDENTITY_TREE)))
			w->identity |= rights & 0xff;
	}
	w->leaf = 0;
	u32 len = d->hash_len >> 32; /* struct qstr: hash below, length above, on little endian */
	if (len > LICTOR_NAME_MAX || w->pos < len + 1 + sizeof(struct lictor_event) + 8) {
		w->status = WALK_TOO_LONG;
		return 1;
	}
	u32 pos = w->pos - len;
	if (len && bpf_probe_read_kernel(&s->data[pos & SCRATCH_MASK], len & 0xff, (void *)d->name)) {
		w->status = WALK_BROKEN;
		return 1;
	}
	pos -= 1;
	s->data[pos & SCRATCH_MASK] = '/';
	w->pos = pos;
	w->dentry = d->parent;
	return 0;
}

#define NS_INTERNAL ((u64)-22) /* MNT_NS_INTERNAL, ERR_PTR(-EINVAL) */

struct climb {
	u64 slot;
	u64 dentry;
	u64 mnt;
	u32 end;
	u32 policy;
	u32 steady;
	u32 pad;
};

/* One climb; it stands when no rename began or ended meanwhile. */
static long climb_once(u32 i, struct climb *c)
{
	struct lictor_scratch *s = scratch_at(c->slot);
	u64 slot = c->slot;
	u32 before = 0, after = 0;

	if (!s)
		return 1;
	struct walk *w = &s->walk;
	bpf_probe_read_kernel(&before, sizeof(before), &rename_lock);
	w->dentry = c->dentry;
	w->mnt = c->mnt;
	w->policy = c->policy;
	w->pos = c->end;
	w->status = 0;
	w->done = 0;
	w->identity = 0;
	w->leaf = 1;
	w->top = 0;
	if (bpf_probe_read_kernel(&w->mnt_root, sizeof(w->mnt_root),
				  (void *)(w->mnt + bpf_core_field_offset(struct mount, mnt.mnt_root)))) {
		w->status = WALK_BROKEN;
		return 1;
	}
	bpf_loop(LICTOR_SCRATCH_TOP, walk_step, &slot, 0);
	bpf_probe_read_kernel(&after, sizeof(after), &rename_lock);
	if (before == after && !(before & 1)) {
		c->steady = 1;
		return 1;
	}
	count(LICTOR_COUNT_RENAME_RETRY);
	return 0;
}

/*
 * Writes the path of (dentry, mount) into a buffer so that it ends at `end`; the rest of the answer is in the buffer's
 * `walk`. `mnt` is the mount that the dentry was reached by.
 */
static __noinline int walk_path(u64 slot, u64 dentry, u64 mnt, u32 end, u32 policy)
{
	struct climb c = {.slot = slot, .dentry = dentry, .mnt = mnt, .end = end, .policy = policy};

	bpf_loop(16, climb_once, &c, 0);
	struct lictor_scratch *s = scratch_at(slot);
	if (!s || !c.steady)
		return WALK_BROKEN;
	struct walk *w = &s->walk;
	struct mount *top = (struct mount *)w->top;
	u64 ns = top ? (u64)BPF_CORE_READ(top, mnt_ns) : 0;
	if (w->status == WALK_UNREACHABLE && ns == NS_INTERNAL)
		w->status = WALK_INTERNAL;
	if (w->status)
		return w->status;
	if (!w->done) {
		w->status = WALK_TOO_LONG;
		return w->status;
	}
	if (w->pos == end) { /* the root itself */
		w->pos = end - 1;
		s->data[w->pos & SCRATCH_MASK] = '/';
	}
	struct task_struct *task = bpf_get_current_task_btf();
	if (ns == NS_INTERNAL)
		w->status = WALK_INTERNAL;
	else if (!ns || ns != (u64)task->nsproxy->mnt_ns || w->top != (u64)task->nsproxy->mnt_ns->root)
		w->status = WALK_UNREACHABLE;
	return w->status;
}

struct matching {
	u32 slot;
	u32 end;
	u32 dead;
	u32 broken;
};

#define MATCH_CHUNK 16

/* Position and state live in the buffer and not in the context: values that come from memory have no history, so the
 * verifier sees at once that one step is like the next (7.2 keeps track of "what it was, plus 16" for ever). */
static long match_step(u32 i, struct matching *m)
{
	struct lictor_scratch *s = scratch_at(m->slot);
	if (!s) {
		m->broken = 1;
		return 1;
	}
	u32 pos = s->pos, end = m->end, state = s->state;
	for (int k = 0; k < MATCH_CHUNK; k++) {
		if (pos >= end || state == m->dead)
			goto out;
		u32 at = state + 1 + s->data[pos & SCRATCH_MASK];
		struct lictor_cell *cell = bpf_map_lookup_elem(&cells, &at);
		if (!cell)
			goto broken;
		if (cell->check == state) {
			state = cell->next;
		} else {
			cell = bpf_map_lookup_elem(&cells, &state);
			if (!cell)
				goto broken;
			state = cell->dflt;
		}
		pos++;
	}
	s->pos = pos;
	s->state = state;
	return 0;
broken:
	m->broken = 1;
out:
	s->pos = pos;
	s->state = state;
	return 1;
}

/* What the automaton says of data[from..end); `m->broken` when a table look-up fails. The last state stays in the
 * buffer. */
static __noinline u32 match_path(struct matching *m, u32 from, u32 start)
{
	struct lictor_scratch *s = scratch_at(m->slot);
	if (!s) {
		m->broken = 1;
		return 0;
	}
	s->pos = from;
	s->state = start;
	bpf_loop(LICTOR_SCRATCH_TOP / MATCH_CHUNK + 1, match_step, m, 0);
	u32 state = s->state;
	if (s->pos < m->end && state != m->dead)
		m->broken = 1;
	struct lictor_cell *cell = bpf_map_lookup_elem(&cells, &state);
	if (!cell) {
		m->broken = 1;
		return 0;
	}
	return cell->accept;
}

static __always_inline u64 mount_of(struct vfsmount *mnt)
{
	return (u64)mnt - bpf_core_field_offset(struct mount, mnt);
}

#endif
