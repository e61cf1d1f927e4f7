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

static __always_inline u32 identity_of(u64 inode, u32 policy, struct walk *w)
{
	struct lictor_identity_key *key = &w->key;

	key->ino = 0;
	if (bpf_probe_read_kernel(&key->ino, sizeof(key->ino),
				  (void *)(inode + bpf_core_field_offset(struct inode, i_ino))))
		return LICTOR_DENY;
	u32 hash = (u32)(key->ino ^ (key->ino >> 16)), word = (hash >> 6) & (LICTOR_BLOOM_WORDS - 1);
	u64 *bits = bpf_map_lookup_elem(&identity_bloom, &word);
	if (bits && !(*bits & (1ULL << (hash & 63))))
		return 0;
	/* By hand and not with BPF_CORE_READ, whose temporaries would be on the stack. */
	key->policy = policy;
	key->dev = 0;
	key->generation = 0;
	key->pad = 0;
	w->sb = 0;
	bpf_probe_read_kernel(&w->sb, sizeof(w->sb), (void *)(inode + bpf_core_field_offset(struct inode, i_sb)));
	bpf_probe_read_kernel(&key->dev, sizeof(key->dev),
			      (void *)(w->sb + bpf_core_field_offset(struct super_block, s_dev)));
	bpf_probe_read_kernel(&key->generation, sizeof(key->generation),
			      (void *)(inode + bpf_core_field_offset(struct inode, i_generation)));
	u32 *rights = bpf_map_lookup_elem(&identities, key);
	return rights ? *rights : 0;
}

/* The object brings `rights`: those of the leaf itself hold, those of something above only when it names a tree. */
static __always_inline void found(struct walk *w, u32 rights)
{
	if (!rights || !(w->leaf || (rights & LICTOR_IDENTITY_TREE)))
		return;
	w->identity |= rights & 0xff;
	if (!w->leaf)
		w->above |= rights & 0xff;
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
			w->inode = 0;
			bpf_probe_read_kernel(&w->inode, sizeof(w->inode),
					      (void *)(w->dentry + bpf_core_field_offset(struct dentry, d_inode)));
			u32 rights = w->inode ? identity_of(w->inode, w->policy, w) : 0;
			found(w, rights);
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
		u32 rights = identity_of(d->inode, w->policy, w);
		found(w, rights);
	}
	u32 len = d->hash_len >> 32; /* struct qstr: hash below, length above, on little endian */
	if (w->leaf) {
		w->parent = d->parent;
		w->name_len = len;
	}
	w->leaf = 0;
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

/* The seqlock's counter: odd while somebody renames. */
static __always_inline u32 renames_now(void)
{
	u32 now = 1;
	bpf_probe_read_kernel(&now, sizeof(now), &rename_lock);
	return now;
}

/* The kernel's own readers wait as long as it takes. A rename is a matter of nanoseconds, but the processor that is at
 * it may be a virtual one that its host has put aside. */
#define CLIMB_MAX_NS 1000000000ULL
#define CLIMB_WAITS (8 << 20) /* the most that bpf_loop takes */

static long while_renamed(u32 i, u64 *slot)
{
	struct lictor_scratch *s = scratch_at(*slot);

	return !s || !(renames_now() & 1) || bpf_ktime_get_ns() > s->climb.until;
}

/* One climb; it stands when no rename began or ended meanwhile. */
static long climb_once(u32 i, u64 *slot)
{
	struct lictor_scratch *s = scratch_at(*slot);
	u32 before = renames_now();

	if (!s)
		return 1;
	struct climb *c = &s->climb;
	struct walk *w = &s->walk;
	if (i) { /* the second time it is worth to look at the clock */
		u64 now = bpf_ktime_get_ns();
		if (!c->until)
			c->until = now + CLIMB_MAX_NS;
		else if (now > c->until)
			return 1;
		if (before & 1) {
			bpf_loop(CLIMB_WAITS, while_renamed, slot, 0);
			before = renames_now();
		}
	}
	w->dentry = c->dentry;
	w->mnt = c->mnt;
	w->policy = c->policy;
	w->pos = c->end;
	w->status = 0;
	w->done = 0;
	w->identity = 0;
	w->above = 0;
	w->parent = 0;
	w->name_len = 0;
	w->leaf = 1;
	w->top = 0;
	if (bpf_probe_read_kernel(&w->mnt_root, sizeof(w->mnt_root),
				  (void *)(w->mnt + bpf_core_field_offset(struct mount, mnt.mnt_root)))) {
		w->status = WALK_BROKEN;
		return 1;
	}
	bpf_loop(LICTOR_SCRATCH_TOP, walk_step, slot, 0);
	if (before == renames_now() && !(before & 1)) {
		c->steady = 1;
		c->renames = before;
		return 1;
	}
	count(LICTOR_COUNT_RENAME_RETRY);
	return 0;
}

#define CLIMBS 4096 /* until it stands, or CLIMB_MAX_NS have passed */

/*
 * Writes the path of (dentry, mount) into a buffer so that it ends at `end`; the rest of the answer is in the buffer's
 * `walk`. `mnt` is the mount that the dentry was reached by.
 */
static __noinline int walk_path(u64 slot, u64 dentry, u64 mnt, u32 end, u32 policy)
{
	struct lictor_scratch *s = scratch_at(slot);

	if (!s)
		return WALK_BROKEN;
	struct climb *c = &s->climb;
	c->dentry = dentry;
	c->mnt = mnt;
	c->end = end;
	c->policy = policy;
	c->steady = 0;
	c->until = 0;
	bpf_loop(CLIMBS, climb_once, &slot, 0);
	if (!c->steady)
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
	struct mnt_namespace *own = own_mounts();
	if (ns == NS_INTERNAL)
		w->status = WALK_INTERNAL;
	else if (!ns || ns != (u64)own || w->top != (u64)BPF_CORE_READ(own, root))
		w->status = WALK_UNREACHABLE;
	return w->status;
}

#define MATCH_CHUNK 16

/* Position and state live in the buffer: there is no room on the stack, and values that come from memory have no
 * history, so the verifier sees at once that one step is like the next (7.2 keeps track of "what it was, plus 16"). */
static __always_inline long match_chunk(struct lictor_scratch *s)
{
	struct matching *m = &s->matching;
	u32 pos = m->pos, end = m->end, state = m->state;
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
	m->pos = pos;
	m->state = state;
	return 0;
broken:
	m->broken = 1;
out:
	m->pos = pos;
	m->state = state;
	return 1;
}

static long match_step(u32 i, u64 *slot)
{
	struct lictor_scratch *s = scratch_at(*slot);

	return !s || match_chunk(s);
}

static __always_inline u32 match(u64 slot, u32 from, u32 end, u32 start, u32 dead, bool name)
{
	struct lictor_scratch *s = scratch_at(slot);
	if (!s)
		return 0;
	struct matching *m = &s->matching;
	m->pos = from;
	m->end = end;
	m->state = start;
	m->dead = dead;
	m->broken = 0;
	/* Most names are over with the first chunk. */
	if (!name || !match_chunk(s))
		bpf_loop(LICTOR_SCRATCH_TOP / MATCH_CHUNK + 1, match_step, &slot, 0);
	u32 state = m->state;
	if (m->pos < m->end && state != m->dead)
		m->broken = 1;
	struct lictor_cell *cell = bpf_map_lookup_elem(&cells, &state);
	if (!cell) {
		m->broken = 1;
		return 0;
	}
	return cell->accept;
}

/* What the automaton says of data[from..end); `matching.broken` when a table look-up fails, `matching.state` the last
 * state. */
static __noinline u32 match_path(u64 slot, u32 from, u32 end, u32 start, u32 dead)
{
	return match(slot, from, end, start, dead, false);
}

/* The same, sooner for what is short. */
static __noinline u32 match_name(u64 slot, u32 from, u32 end, u32 start, u32 dead)
{
	return match(slot, from, end, start, dead, true);
}

static __always_inline u64 mount_of(struct vfsmount *mnt)
{
	return (u64)mnt - bpf_core_field_offset(struct mount, mnt);
}

#endif
