/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The network and unix sockets.
 *
 * Sees:     LSM hooks know the task and have the kernel's copy of the address; cgroup programs at the root cgroup see
 *           what the LSM hooks do not (MPTCP subflows, TCP fast open) and know the session by the socket's label.
 * Enforces: network.connect, .listen, .deny, .unix; the families and protocols of the floor; the heartbeat; that nobody
 *           whom we govern talks to the daemon, by unix socket or TCP.
 * Answers:  evasions 73, 76-78, 80-93, 99, 100, 103-105.
 */
#include "judge.bpf.h"

struct endpoint {
	u8 addr[16];
	u16 port;
	u16 family;
	u32 protocol;
};

static __always_inline u32 plain_protocol(u32 protocol)
{
	if (protocol == IPPROTO_MPTCP)
		return IPPROTO_TCP;
	if (protocol == IPPROTO_UDPLITE)
		return IPPROTO_UDP;
	return protocol;
}

static __always_inline void set_v4(struct endpoint *e, u32 address)
{
	__builtin_memset(e->addr, 0, 10);
	e->addr[10] = 0xff;
	e->addr[11] = 0xff;
	__builtin_memcpy(&e->addr[12], &address, 4);
	e->family = AF_INET;
}

/*
 * One spelling for each address: IPv4 in any IPv6 dress (mapped, compatible, NAT64) is IPv4, and "any" as a
 * destination is what the kernel makes of it, the loopback (evasions 83, 84).
 */
static __always_inline void canonical(struct endpoint *e, bool destination)
{
	u32 *w = (u32 *)e->addr;

	if (e->family == AF_INET6) {
		bool nat64 = w[0] == bpf_htonl(0x0064ff9b) && !w[1] && !w[2];
		bool mapped = !w[0] && !w[1] && w[2] == bpf_htonl(0xffff);
		bool compatible = !w[0] && !w[1] && !w[2] && bpf_ntohl(w[3]) > 1;
		if (nat64 || mapped || compatible) {
			u32 v4 = w[3];
			set_v4(e, v4);
		}
	}
	if (!destination)
		return;
	if (e->family == AF_INET && !w[3])
		w[3] = bpf_htonl(0x7f000001);
	else if (e->family == AF_INET6 && !w[0] && !w[1] && !w[2] && !w[3])
		w[3] = bpf_htonl(1);
}

static __always_inline bool port_in(u32 set, u16 port)
{
	if (set == LICTOR_PORTS_ALL)
		return true;
	if (set == LICTOR_PORTS_NONE)
		return false;
	struct lictor_ports *p = bpf_map_lookup_elem(&ports, &set);
	return p && (p->bits[(port >> 6) & 1023] & (1ULL << (port & 63)));
}

static __always_inline bool listed(u32 policy, u32 direction, struct endpoint *e)
{
	struct lictor_network_key key = {.prefixlen = 64 + 128, .policy = policy, .direction = direction};
	__builtin_memcpy(key.addr, e->addr, 16);
	struct lictor_network *n = bpf_map_lookup_elem(&networks, &key);
	if (!n)
		return false;
	if (e->protocol == IPPROTO_TCP)
		return port_in(n->tcp, e->port);
	if (e->protocol == IPPROTO_UDP)
		return port_in(n->udp, e->port);
	return false;
}

/* The kernel's copy of the caller's address. */
static __always_inline bool read_address(struct endpoint *e, void *address, int len, u32 socket_family, u32 protocol)
{
	struct lictor_sockaddr sa = {};

	if (len < 2 || bpf_probe_read_kernel(&sa, len >= 28 ? 28 : len >= 16 ? 16 : 2, address))
		return false;
	u16 family = sa.family;
	/* Evasion 82: UDP takes an unspecified family for IPv4. */
	if (family == AF_UNSPEC && socket_family == AF_INET)
		family = AF_INET;
	e->family = family;
	e->port = bpf_ntohs(sa.port);
	e->protocol = plain_protocol(protocol);
	if (family == AF_INET && len >= 8)
		set_v4(e, sa.v4);
	else if (family == AF_INET6 && len >= 24)
		__builtin_memcpy(e->addr, sa.v6, 16);
	else
		return false;
	return true;
}

/* Reports a decision over an endpoint and turns it into what the hook returns. */
__noinline int settle_network(struct subject *s, struct endpoint *p, u32 op_reason, u32 quiet)
{
	if (!s || !p)
		return 1;
	u16 op = op_reason >> 16, reason = op_reason & 0xffff;
	if (!reason && quiet)
		return 0;
	session_count(s, reason != 0);
	struct lictor_event *e = event_begin(s, LICTOR_EV_NETWORK, op, reason);
	if (e) {
		e->tier = reason == LICTOR_WHY_HEARTBEAT ? LICTOR_TIER_HEARTBEAT :
			  reason == LICTOR_WHY_FLOOR	 ? LICTOR_TIER_FLOOR :
							   LICTOR_TIER_POLICY;
		e->family = p->family;
		e->port = p->port;
		e->protocol = p->protocol;
		__builtin_memcpy(e->addr, p->addr, 16);
		event_submit(e);
	}
	return reason && (s->flags & LICTOR_ENFORCE);
}

/* The part that every hook begins with: a policy, and a daemon that lives. */
static __always_inline u16 alive(struct subject *s)
{
	if (!s->policy)
		return LICTOR_WHY_NO_POLICY;
	if (heart_stopped(true))
		return LICTOR_WHY_HEARTBEAT;
	return 0;
}

static __always_inline u16 socket_family(struct socket *sock)
{
	struct sock *sk = sock->sk;
	return sk ? sk->__sk_common.skc_family : 0;
}

#define NETLINK_ROUTE 0
#define NETLINK_SOCK_DIAG 4
#define NETLINK_KOBJECT_UEVENT 15
#define NETLINK_GENERIC 16

/* Evasions 75, 78, 85-89: an allow-list of families, types and protocols. Kernel sockets have no task's label. */
static __always_inline int create_check(struct subject *s, int family, int type, int protocol)
{
	struct endpoint e = {.family = family, .protocol = protocol};
	u16 reason = 0;
	bool raw = s->privileges & LICTOR_PRIV_RAW_SOCKETS;

	type &= 0xf;
	if (family == AF_INET || family == AF_INET6) {
		bool icmp = protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
		if (type == SOCK_RAW)
			reason = raw ? 0 : LICTOR_WHY_FLOOR;
		else if (type == SOCK_STREAM)
			reason = protocol == 0 || protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP ? 0 : LICTOR_WHY_FLOOR;
		else if (type == SOCK_DGRAM)
			reason = protocol == 0 || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE || icmp ?
					 0 :
					 LICTOR_WHY_FLOOR;
		else
			reason = LICTOR_WHY_FLOOR;
		if (!reason && icmp && (s->flags & LICTOR_HAS_NETWORK))
			reason = LICTOR_WHY_FAMILY;
		if (!reason)
			reason = alive(s);
	} else if (family == AF_NETLINK) {
		if (protocol != NETLINK_ROUTE && protocol != NETLINK_KOBJECT_UEVENT && protocol != NETLINK_SOCK_DIAG &&
		    protocol != NETLINK_GENERIC)
			reason = LICTOR_WHY_FLOOR;
		else if ((s->flags & LICTOR_HAS_NETWORK) && protocol != NETLINK_ROUTE)
			reason = LICTOR_WHY_FAMILY;
	} else if (family == 17 /* AF_PACKET */) {
		reason = raw ? 0 : LICTOR_WHY_FLOOR;
	} else if (family != AF_UNIX) {
		reason = LICTOR_WHY_FLOOR;
	}
	return settle_network(s, &e, LICTOR_NET_SOCKET << 16 | reason, 1);
}

SEC("lsm/socket_create")
int BPF_PROG(lictor_socket_create, int family, int type, int protocol, int kern)
{
	struct subject s;

	if (kern || !governed(&s))
		return 0;
	return VERDICT(create_check(&s, family, type, protocol));
}

/* The session's mark on its sockets: for the cgroup programs, and to know a foreign socket that was handed over. Of those
 * that the kernel makes for itself, only TCP: on 6.1 it is a subflow that an MPTCP socket connects with. */
SEC("lsm/socket_post_create")
int BPF_PROG(lictor_socket_post_create, struct socket *sock, int family, int type, int protocol, int kern)
{
	struct lictor_label label;
	struct task_struct *task = bpf_get_current_task_btf();

	if ((kern && protocol != IPPROTO_TCP) || !label_of(task, &label))
		return 0;
	struct sock *sk = sock->sk;
	if (!sk)
		return 0;
	struct lictor_label *mark = bpf_sk_storage_get(&socket_labels, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!mark) {
		count(LICTOR_COUNT_INTERNAL);
		return VERDICT(label.flags & LICTOR_GOVERNED);
	}
	*mark = label;
	return 0;
}

/* A pair never passes socket_post_create with a peer's name; both ends get the mark there like any other socket. */

static __always_inline bool own_socket(struct subject *s, struct sock *sk)
{
	struct lictor_label *mark = bpf_sk_storage_get(&socket_labels, sk, 0, 0);
	return mark && (mark->flags & LICTOR_GOVERNED) && mark->session == s->session;
}

static __always_inline u16 connect_reason(struct subject *s, struct endpoint *e)
{
	u16 reason = alive(s);
	if (reason)
		return reason;
	if ((s->flags & LICTOR_HAS_CONNECT) && !listed(s->policy, LICTOR_CONNECT, e))
		return LICTOR_WHY_NOT_CONNECT;
	return 0;
}

/* Evasions 77, 83, 84. */
SEC("lsm/socket_connect")
int BPF_PROG(lictor_socket_connect, struct socket *sock, struct sockaddr *address, int addrlen)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	u16 family = socket_family(sock);
	if (family != AF_INET && family != AF_INET6)
		return 0; /* unix: unix_stream_connect and unix_may_send */
	struct sock *sk = sock->sk;
	if (!sk)
		return 0;
	struct endpoint e = {};
	u16 given = 0;
	bpf_probe_read_kernel(&given, sizeof(given), address);
	if (given == AF_UNSPEC && addrlen >= 2)
		return 0; /* disconnect */
	if (!read_address(&e, address, addrlen, family, sk->sk_protocol))
		return VERDICT(settle_network(&s, &e, LICTOR_NET_CONNECT << 16 | LICTOR_WHY_INTERNAL, 0));
	canonical(&e, true);
	return VERDICT(settle_network(&s, &e, LICTOR_NET_CONNECT << 16 | connect_reason(&s, &e), 0));
}

static __always_inline void peer_of(struct endpoint *e, struct sock *sk)
{
	e->family = sk->__sk_common.skc_family;
	e->port = bpf_ntohs(sk->__sk_common.skc_dport);
	e->protocol = plain_protocol(sk->sk_protocol);
	if (e->family == AF_INET)
		set_v4(e, sk->__sk_common.skc_daddr);
	else
		BPF_CORE_READ_INTO(&e->addr, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
}

/* Evasions 76, 80, 81, 82, 91: an address in the message, and sockets that somebody else connected. */
SEC("lsm/socket_sendmsg")
int BPF_PROG(lictor_socket_sendmsg, struct socket *sock, struct msghdr *msg, int size)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	u16 family = socket_family(sock);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	struct sock *sk = sock->sk;
	if (!sk)
		return 0;
	struct endpoint e = {};
	u16 reason = alive(&s);
	void *name = msg->msg_name;
	int len = msg->msg_namelen;
	u32 protocol = plain_protocol(sk->sk_protocol);
	/* A stream ignores the name unless it opens the connection (MSG_FASTOPEN). */
	bool named = name && len > 0 && (protocol != IPPROTO_TCP || (msg->msg_flags & MSG_FASTOPEN));
	if (named) {
		if (!read_address(&e, name, len, family, protocol)) {
			reason = LICTOR_WHY_INTERNAL;
		} else {
			canonical(&e, true);
			if (!reason)
				reason = connect_reason(&s, &e);
		}
		return VERDICT(settle_network(&s, &e, LICTOR_NET_SEND << 16 | reason, 1));
	}
	if (!reason && (s.flags & LICTOR_HAS_CONNECT) && !own_socket(&s, sk)) {
		peer_of(&e, sk);
		canonical(&e, true);
		if (e.port && !listed(s.policy, LICTOR_CONNECT, &e))
			reason = LICTOR_WHY_FOREIGN_SOCKET;
	}
	return VERDICT(settle_network(&s, &e, LICTOR_NET_SEND << 16 | reason, 1));
}

SEC("lsm/socket_recvmsg")
int BPF_PROG(lictor_socket_recvmsg, struct socket *sock, struct msghdr *msg, int size, int flags)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	u16 family = socket_family(sock);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	struct sock *sk = sock->sk;
	if (!sk)
		return 0;
	struct endpoint e = {};
	u16 reason = alive(&s);
	if (!reason && (s.flags & LICTOR_HAS_CONNECT) && !own_socket(&s, sk)) {
		peer_of(&e, sk);
		canonical(&e, true);
		if (e.port && !listed(s.policy, LICTOR_CONNECT, &e))
			reason = LICTOR_WHY_FOREIGN_SOCKET;
	}
	return VERDICT(settle_network(&s, &e, LICTOR_NET_SEND << 16 | reason, 1));
}

static __always_inline u16 listen_reason(struct subject *s, struct endpoint *e)
{
	u16 reason = alive(s);
	if (reason)
		return reason;
	if ((s->flags & LICTOR_HAS_LISTEN) && !listed(s->policy, LICTOR_LISTEN, e))
		return LICTOR_WHY_NOT_LISTEN;
	return 0;
}

/* Evasion 92. Port 0 is a client's port: what it becomes is judged when somebody listens on it. */
SEC("lsm/socket_bind")
int BPF_PROG(lictor_socket_bind, struct socket *sock, struct sockaddr *address, int addrlen)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	u16 family = socket_family(sock);
	if (family != AF_INET && family != AF_INET6)
		return 0; /* unix: the path is created, path_mknod */
	struct sock *sk = sock->sk;
	if (!sk)
		return 0;
	struct endpoint e = {};
	if (!read_address(&e, address, addrlen, family, sk->sk_protocol))
		return VERDICT(settle_network(&s, &e, LICTOR_NET_LISTEN << 16 | LICTOR_WHY_INTERNAL, 0));
	canonical(&e, false);
	u16 reason = e.port ? listen_reason(&s, &e) : alive(&s);
	return VERDICT(settle_network(&s, &e, LICTOR_NET_LISTEN << 16 | reason, 1));
}

SEC("lsm/socket_listen")
int BPF_PROG(lictor_socket_listen, struct socket *sock, int backlog)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	u16 family = socket_family(sock);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	struct sock *sk = sock->sk;
	if (!sk)
		return 0;
	struct endpoint e = {};
	e.family = family;
	e.port = sk->__sk_common.skc_num;
	e.protocol = plain_protocol(sk->sk_protocol);
	if (family == AF_INET)
		set_v4(&e, sk->__sk_common.skc_rcv_saddr);
	else
		BPF_CORE_READ_INTO(&e.addr, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
	canonical(&e, false);
	return VERDICT(settle_network(&s, &e, LICTOR_NET_LISTEN << 16 | listen_reason(&s, &e), 0));
}

/* A listener that was inherited or passed. */
SEC("lsm/socket_accept")
int BPF_PROG(lictor_socket_accept, struct socket *sock, struct socket *newsock)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	u16 family = socket_family(sock);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	struct sock *sk = sock->sk;
	struct endpoint e = {.family = family};
	if (!sk)
		return 0;
	u16 reason = alive(&s);
	e.port = sk->__sk_common.skc_num;
	e.protocol = plain_protocol(sk->sk_protocol);
	if (!reason && (s.flags & LICTOR_HAS_LISTEN) && !own_socket(&s, sk))
		reason = LICTOR_WHY_FOREIGN_SOCKET;
	return VERDICT(settle_network(&s, &e, LICTOR_NET_ACCEPT << 16 | reason, 1));
}

/* Evasion 89: with a network section netlink is for asking. One message a packet, or the second would go unseen. */
SEC("lsm/netlink_send")
int BPF_PROG(lictor_netlink_send, struct sock *sk, struct sk_buff *skb)
{
	struct subject s;
	struct {
		u32 len;
		u16 type;
		u16 flags;
	} header = {};

	if (!governed(&s) || !(s.flags & LICTOR_HAS_NETWORK))
		return 0;
	struct endpoint e = {.family = AF_NETLINK};
	u32 len = skb->len;
	u16 reason = LICTOR_WHY_NETLINK_WRITE;
	if (len >= sizeof(header) && !bpf_probe_read_kernel(&header, sizeof(header), skb->data)) {
		bool get = header.type >= 16 && ((header.type - 16) & 3) == 2;
		bool whole = ((header.len + 3) & ~3U) >= len;
		if (whole && (get || header.type < 16))
			reason = 0;
	}
	return VERDICT(settle_network(&s, &e, LICTOR_NET_SEND << 16 | reason, 1));
}

/* Evasions 73, 90: the peer is known by its socket, whatever path or link led there. */
static __always_inline int unix_check(struct subject *s, struct sock *other, bool quiet)
{
	struct lictor_label *mark = bpf_sk_storage_get(&socket_labels, other, 0, 0);
	struct endpoint e = {.family = AF_UNIX};

	if (mark && (mark->flags & LICTOR_DAEMON)) { /* nobody whom we govern talks to the daemon */
		struct facts f = {.kind = LICTOR_EV_PRIVILEGE, .op = LICTOR_PRIV_GUARD, .tier = LICTOR_TIER_FLOOR,
				  .reason = LICTOR_WHY_GUARD};
		return settle(s, &f);
	}
	u16 reason = alive(s);
	if (reason)
		return settle_network(s, &e, LICTOR_NET_CONNECT << 16 | reason, 0);
	if (mark && (mark->flags & LICTOR_GOVERNED) && mark->session == s->session)
		return 0;
	struct unix_sock *peer = (struct unix_sock *)other;
	u64 dentry = (u64)BPF_CORE_READ(peer, path.dentry);
	struct access a = {};
	a.kind = LICTOR_EV_NETWORK;
	a.op = LICTOR_NET_CONNECT;
	a.detail = AF_UNIX;
	a.need = NEED_UNIX;
	if (quiet)
		a.flags = ACCESS_SILENT;
	if (dentry) {
		a.dentry = dentry;
		a.mnt = mount_of(BPF_CORE_READ(peer, path.mnt));
		return judge(s, &a);
	}
	struct unix_address *address = BPF_CORE_READ(peer, addr);
	if (!address)
		return 0; /* one end of a pair: no name to connect to, so it was handed over */
	int len = BPF_CORE_READ(address, len);
	if (len < 3)
		return 0;
	a.flags |= ACCESS_ABSTRACT;
	a.dentry = (u64)address + bpf_core_field_offset(struct unix_address, name) + 3; /* family, then NUL */
	a.mnt = len - 3;
	return judge(s, &a);
}

SEC("lsm/unix_stream_connect")
int BPF_PROG(lictor_unix_stream_connect, struct sock *sock, struct sock *other, struct sock *newsk)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	return VERDICT(unix_check(&s, other, false));
}

SEC("lsm/unix_may_send")
int BPF_PROG(lictor_unix_may_send, struct socket *sock, struct socket *other)
{
	struct subject s;

	if (!governed(&s))
		return 0;
	struct sock *sk = other->sk;
	if (!sk)
		return 0;
	return VERDICT(unix_check(&s, sk, true));
}

/* ---- the second line: cgroup programs on the root cgroup, by the socket's label ---- */

/* Whether it is the daemon who listens there: known by the socket that would answer, so under every address of this
 * host and in every spelling. A daemon that listens on all addresses "answers" for those of others too: refused. */
static __always_inline bool daemon_listens(struct bpf_sock_addr *ctx, struct endpoint *e)
{
	struct bpf_sock_tuple to = {};
	u32 size = sizeof(to.ipv6);

	if (e->family == AF_INET) {
		__builtin_memcpy(&to.ipv4.daddr, &e->addr[12], 4);
		to.ipv4.dport = bpf_htons(e->port);
		size = sizeof(to.ipv4);
	} else {
		__builtin_memcpy(to.ipv6.daddr, e->addr, 16);
		to.ipv6.dport = bpf_htons(e->port);
	}
	struct bpf_sock *sk = bpf_sk_lookup_tcp(ctx, &to, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	struct lictor_label *mark = bpf_sk_storage_get(&socket_labels, sk, 0, 0);
	bool ours = mark && (mark->flags & LICTOR_DAEMON);
	bpf_sk_release(sk);
	return ours;
}

static __always_inline int cgroup_check(struct bpf_sock_addr *ctx, bool v6, u32 direction)
{
	struct bpf_sock *sk = ctx->sk;
	struct endpoint e = {};

	if (!sk)
		return 1;
	struct lictor_label *mark = bpf_sk_storage_get(&socket_labels, sk, 0, 0);
	if (!mark || !(mark->flags & LICTOR_GOVERNED))
		return 1;
	u32 slot = mark->slot, zero = 0;
	void *inner = bpf_map_lookup_elem(&policies, &slot);
	if (!inner)
		return 0;
	struct lictor_policy *p = bpf_map_lookup_elem(inner, &zero);
	if (!p || p->session != mark->session)
		return 0;
	if (!(p->flags & LICTOR_ENFORCE))
		return 1;
	if (heart_stopped(true))
		return 0;
	e.port = bpf_ntohs((u16)ctx->user_port);
	e.protocol = plain_protocol(ctx->protocol);
	if (direction == LICTOR_LISTEN && !e.port)
		return 1;
	if (v6) {
		u32 *w = (u32 *)e.addr;
		w[0] = ctx->user_ip6[0];
		w[1] = ctx->user_ip6[1];
		w[2] = ctx->user_ip6[2];
		w[3] = ctx->user_ip6[3];
		e.family = AF_INET6;
	} else {
		set_v4(&e, ctx->user_ip4);
	}
	canonical(&e, direction == LICTOR_CONNECT);
	bool ours = false;
	if (direction == LICTOR_CONNECT && e.protocol == IPPROTO_TCP) {
		ours = daemon_listens(ctx, &e);
		/* "Any" is ::1, and 127.0.0.1 for a socket that is bound to a mapped address. */
		if (!ours && v6 && e.addr[15] == 1 && e.family == AF_INET6) {
			struct endpoint loopback = {.port = e.port};
			set_v4(&loopback, bpf_htonl(0x7f000001));
			ours = daemon_listens(ctx, &loopback);
		}
	}
	u32 list = direction == LICTOR_CONNECT ? LICTOR_HAS_CONNECT : LICTOR_HAS_LISTEN;
	if (!ours && (!(p->flags & list) || listed(p->id, direction, &e)))
		return 1;
	count(LICTOR_COUNT_DENIED);
	return 0;
}

#define CGROUP_HOOK(name, v6, direction)                                                                               \
	SEC("cgroup/" #name)                                                                                           \
	int lictor_##name(struct bpf_sock_addr *ctx)                                                                   \
	{                                                                                                              \
		return cgroup_check(ctx, v6, direction);                                                               \
	}

CGROUP_HOOK(connect4, false, LICTOR_CONNECT)
CGROUP_HOOK(connect6, true, LICTOR_CONNECT)
CGROUP_HOOK(sendmsg4, false, LICTOR_CONNECT)
CGROUP_HOOK(sendmsg6, true, LICTOR_CONNECT)
CGROUP_HOOK(bind4, false, LICTOR_LISTEN)
CGROUP_HOOK(bind6, true, LICTOR_LISTEN)
