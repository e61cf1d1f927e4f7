/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the judges above the policy said of an execution, remembered by what was executed and how.
 *
 * Two fingerprints, each a SipHash with a secret of this boot: of the object (which file, and that nobody changed it
 * since) and of the invocation (arguments, user, working directory, the parent's program). A verdict that was taken from
 * the object alone is kept under invocation 0. Whoever does not know the secret cannot look for two that are alike.
 */
#ifndef LICTOR_VERDICT_H
#define LICTOR_VERDICT_H

#include "judge.bpf.h"

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define SIPROUND(v)                                                                                                    \
	do {                                                                                                           \
		v[0] += v[1], v[1] = ROTL(v[1], 13), v[1] ^= v[0], v[0] = ROTL(v[0], 32);                              \
		v[2] += v[3], v[3] = ROTL(v[3], 16), v[3] ^= v[2];                                                     \
		v[0] += v[3], v[3] = ROTL(v[3], 21), v[3] ^= v[0];                                                     \
		v[2] += v[1], v[1] = ROTL(v[1], 17), v[1] ^= v[2], v[2] = ROTL(v[2], 32);                              \
	} while (0)

static __always_inline void sip_begin(u64 *v, struct lictor_control *c)
{
	v[0] = c->secret[0] ^ 0x736f6d6570736575ULL;
	v[1] = c->secret[1] ^ 0x646f72616e646f6dULL;
	v[2] = c->secret[0] ^ 0x6c7967656e657261ULL;
	v[3] = c->secret[1] ^ 0x7465646279746573ULL;
}

static __always_inline void sip_word(u64 *v, u64 word)
{
	v[3] ^= word;
	SIPROUND(v);
	SIPROUND(v);
	v[0] ^= word;
}

static __always_inline u64 sip_end(u64 *v)
{
	v[2] ^= 0xff;
	SIPROUND(v);
	SIPROUND(v);
	SIPROUND(v);
	SIPROUND(v);
	u64 sum = v[0] ^ v[1] ^ v[2] ^ v[3];
	return sum ? sum : 1; /* 0 says "none" */
}

/* A change of content or of the inode moves its change time, which nobody can set back. */
static __noinline u64 object_print(u64 file)
{
	struct lictor_control *c = the_control();
	struct inode *inode = BPF_CORE_READ((struct file *)file, f_inode);
	u64 v[4];

	if (!c || !inode)
		return 0;
	sip_begin(v, c);
	sip_word(v, BPF_CORE_READ(inode, i_ino));
	sip_word(v, (u64)BPF_CORE_READ(inode, i_sb, s_dev) << 32 | BPF_CORE_READ(inode, i_generation));
	sip_word(v, changed_seconds((u64)inode));
	sip_word(v, changed_nanoseconds((u64)inode));
	sip_word(v, BPF_CORE_READ(inode, i_size));
	return sip_end(v);
}

static long sip_step(u32 i, u64 *slot)
{
	struct lictor_scratch *s = scratch_at(*slot);
	if (!s)
		return 1;
	struct sip *h = &s->sip;
	if (h->pos >= h->end)
		return 1;
	u32 at = h->pos & (LICTOR_ARGS_MAX - 1) & ~7U;
	u64 v[4] = {h->v[0], h->v[1], h->v[2], h->v[3]};
	sip_word(v, *(u64 *)&s->data[LICTOR_SCRATCH_TOP + at]);
	h->v[0] = v[0];
	h->v[1] = v[1];
	h->v[2] = v[2];
	h->v[3] = v[3];
	h->pos += 8;
	return 0;
}

/* Of the arguments behind TOP (`len` bytes, with zeros behind them up to a whole word), and who runs them where. */
__noinline u64 invocation_print(u64 slot, u32 len)
{
	struct lictor_scratch *s = scratch_at(slot);
	struct lictor_control *c = the_control();
	struct task_struct *task = bpf_get_current_task_btf();

	if (!s || !c || len > LICTOR_ARGS_MAX)
		return 0;
	struct sip *h = &s->sip;
	sip_begin(h->v, c);
	h->pos = 0;
	h->end = len;
	bpf_loop(LICTOR_ARGS_MAX / 8 + 1, sip_step, &slot, 0);
	u64 v[4] = {h->v[0], h->v[1], h->v[2], h->v[3]};
	struct inode *cwd = BPF_CORE_READ(task, fs, pwd.dentry, d_inode);
	struct inode *parent = BPF_CORE_READ(task, real_parent, mm, exe_file, f_inode);
	sip_word(v, len);
	sip_word(v, bpf_get_current_uid_gid());
	sip_word(v, cwd ? BPF_CORE_READ(cwd, i_ino) : 0);
	sip_word(v, cwd ? BPF_CORE_READ(cwd, i_sb, s_dev) : 0);
	sip_word(v, parent ? BPF_CORE_READ(parent, i_ino) : 0);
	sip_word(v, parent ? BPF_CORE_READ(parent, i_sb, s_dev) : 0);
	return sip_end(v);
}

/* LICTOR_JUDGED_*: what is known of this execution. */
__noinline u32 known_verdict(u32 judge, u64 object, u64 invocation)
{
	struct lictor_verdict_key key = {.object = object, .invocation = invocation, .judge = judge};

	if (!object)
		return LICTOR_JUDGED_UNKNOWN;
	struct lictor_verdict *v = bpf_map_lookup_elem(&verdicts, &key);
	if (!v || (v->expires_ns && v->expires_ns < bpf_ktime_get_ns()))
		return LICTOR_JUDGED_UNKNOWN;
	return v->state;
}

#endif
