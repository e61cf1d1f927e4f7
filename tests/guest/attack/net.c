// SPDX-License-Identifier: Apache-2.0
//
// Ways to send bytes to an address that may not be reached, and to be reached. The listening peer records what arrives
// and answers "ACK": the caller of the attack asks the peer, not the attack, whether the bytes got out.
#include "attack.h"
#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

struct address {
	struct sockaddr_storage storage;
	socklen_t size;
};

struct address inet_address(const char *host, const char *port)
{
	struct address address = {0};
	struct sockaddr_in *v4 = (void *)&address.storage;
	struct sockaddr_in6 *v6 = (void *)&address.storage;
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)number(port));
		address.size = sizeof *v4;
	} else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)number(port));
		address.size = sizeof *v6;
	} else
		broken("`%s` is not an address", host);
	return address;
}

static struct address unix_address(const char *path)
{
	struct address address = {0};
	struct sockaddr_un *un = (void *)&address.storage;
	un->sun_family = AF_UNIX;
	size_t size = strlen(path);
	if (size >= sizeof un->sun_path)
		broken("`%s` is too long for a socket", path);
	memcpy(un->sun_path, path, size);
	if (path[0] == '@')
		un->sun_path[0] = 0;
	address.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (path[0] != '@'));
	return address;
}

static struct sockaddr *sa(struct address *address) { return (struct sockaddr *)&address->storage; }

static int new_socket(int family, int type, int protocol) { return must(socket(family, type, protocol), "socket"); }

void expect_ack(int fd)
{
	char answer[16] = {0};
	struct pollfd wait = {fd, POLLIN, 0};
	if (poll(&wait, 1, 5000) <= 0)
		broken("sent, but the peer did not answer");
	long size = recv(fd, answer, sizeof answer - 1, 0);
	if (size < 0)
		fail("recv");
	if (strncmp(answer, "ACK", 3))
		broken("the peer answered `%s`", answer);
	done("the peer has it");
}

static _Noreturn void send_all(int fd, const char *token)
{
	must(send(fd, token, strlen(token), MSG_NOSIGNAL), "send");
	expect_ack(fd);
	abort();
}

static _Noreturn void connect_send(int fd, struct address address, const char *token)
{
	must(connect(fd, sa(&address), address.size), "connect");
	send_all(fd, token);
}

static void stream(char **a)
{
	struct address address = inet_address(a[0], a[1]);
	connect_send(new_socket(address.storage.ss_family, SOCK_STREAM, 0), address, a[2]);
}

static void stream_protocol(char **a)
{
	struct address address = inet_address(a[0], a[1]);
	connect_send(new_socket(address.storage.ss_family, SOCK_STREAM, (int)number(a[3])), address, a[2]);
}

static void stream_reused(char **a)
{
	struct address allowed = inet_address(a[3], a[4]), address = inet_address(a[0], a[1]);
	int fd = new_socket(AF_INET, SOCK_STREAM, 0);
	must(connect(fd, sa(&allowed), allowed.size), "connect to the permitted peer");
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	must(connect(fd, &none, sizeof none), "disconnect");
	connect_send(fd, address, a[2]);
}

static void fast_open(char **a)
{
	struct address address = inet_address(a[0], a[1]);
	int fd = new_socket(address.storage.ss_family, SOCK_STREAM, 0);
	must(sendto(fd, a[2], strlen(a[2]), MSG_FASTOPEN, sa(&address), address.size), "sendto MSG_FASTOPEN");
	expect_ack(fd);
}

static void fast_open_connect(char **a)
{
	struct address address = inet_address(a[0], a[1]);
	int fd = new_socket(address.storage.ss_family, SOCK_STREAM, 0), on = 1;
	must(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on), "TCP_FASTOPEN_CONNECT");
	connect_send(fd, address, a[2]);
}

static void datagram_connected(char **a)
{
	struct address address = inet_address(a[0], a[1]);
	connect_send(new_socket(address.storage.ss_family, SOCK_DGRAM, 0), address, a[2]);
}

static void datagram(char **a)
{
	struct address address = inet_address(a[0], a[1]);
	int fd = new_socket(address.storage.ss_family, SOCK_DGRAM, a[3] ? (int)number(a[3]) : 0);
	must(sendto(fd, a[2], strlen(a[2]), 0, sa(&address), address.size), "sendto");
	expect_ack(fd);
}

static void datagram_message(char **a)
{
	struct address address = inet_address(a[0], a[1]);
	int fd = new_socket(address.storage.ss_family, SOCK_DGRAM, 0);
	struct iovec part = {a[2], strlen(a[2])};
	struct msghdr message = {.msg_name = sa(&address), .msg_namelen = address.size, .msg_iov = &part, .msg_iovlen = 1};
	must(sendmsg(fd, &message, 0), "sendmsg");
	expect_ack(fd);
}

// The first message goes to a permitted peer, the second, in the same call, to the one that is not.
static void datagram_batch(char **a)
{
	struct address allowed = inet_address(a[3], a[4]), address = inet_address(a[0], a[1]);
	int fd = new_socket(AF_INET, SOCK_DGRAM, 0);
	struct iovec parts[2] = {{"hello", 5}, {a[2], strlen(a[2])}};
	struct mmsghdr messages[2] = {
		{.msg_hdr = {.msg_name = sa(&allowed), .msg_namelen = allowed.size, .msg_iov = &parts[0], .msg_iovlen = 1}},
		{.msg_hdr = {.msg_name = sa(&address), .msg_namelen = address.size, .msg_iov = &parts[1], .msg_iovlen = 1}},
	};
	int sent = must(sendmmsg(fd, messages, 2, 0), "sendmmsg, first message");
	// An error after the first message is told only to the next call.
	if (sent < 2)
		must(sendmmsg(fd, messages + 1, 1, 0), "sendmmsg, second message");
	done("sendmmsg");
}

static void datagram_unspecified(char **a)
{
	struct address address = inet_address(a[0], a[1]);
	int fd = new_socket(AF_INET, SOCK_DGRAM, 0);
	address.storage.ss_family = AF_UNSPEC;
	must(sendto(fd, a[2], strlen(a[2]), 0, sa(&address), address.size), "sendto AF_UNSPEC");
	expect_ack(fd);
}

static void datagram_v6_socket(char **a)
{
	struct address address = inet_address(a[0], a[1]);
	int fd = new_socket(AF_INET6, SOCK_DGRAM, 0);
	must(sendto(fd, a[2], strlen(a[2]), 0, sa(&address), address.size), "sendto an IPv4 address");
	expect_ack(fd);
}

static void datagram_redirected(char **a)
{
	struct address allowed = inet_address(a[3], a[4]), address = inet_address(a[0], a[1]);
	int fd = new_socket(AF_INET, SOCK_DGRAM, 0);
	must(connect(fd, sa(&allowed), allowed.size), "connect to the permitted peer");
	must(sendto(fd, a[2], strlen(a[2]), 0, sa(&address), address.size), "sendto another peer");
	done("sendto on a connected socket");
}

struct packet {
	struct iphdr ip;
	struct udphdr udp;
	char bytes[256];
} __attribute__((packed));

static size_t build_packet(struct packet *packet, const char *source, const char *host, const char *port, const char *token)
{
	size_t size = strlen(token), total = sizeof packet->ip + sizeof packet->udp + size;
	*packet = (struct packet){.ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP, .tot_len = htons((uint16_t)total)},
				  .udp = {.source = htons(5353), .dest = htons((uint16_t)number(port)), .len = htons((uint16_t)(8 + size))}};
	packet->ip.saddr = inet_addr(source);
	packet->ip.daddr = inet_addr(host);
	memcpy(packet->bytes, token, size);
	uint32_t sum = 0;
	for (size_t i = 0; i < sizeof packet->ip; i += 2) {
		uint16_t word;
		memcpy(&word, (char *)&packet->ip + i, 2);
		sum += word;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	packet->ip.check = (uint16_t)~(sum + (sum >> 16));
	return total;
}

static void raw_packet(char **a)
{
	struct packet packet;
	size_t size = build_packet(&packet, a[0], a[0], a[1], a[2]);
	struct address address = inet_address(a[0], "0");
	int fd = new_socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	must(sendto(fd, &packet, size, 0, sa(&address), address.size), "sendto a raw packet");
	usleep(200000);
	done("raw packet");
}

static void link_packet(char **a)
{
	struct packet packet;
	// Not one of the host's own addresses: a packet that comes in with one of those is dropped.
	size_t size = build_packet(&packet, "10.77.0.1", a[0], a[1], a[2]);
	int fd = new_socket(AF_PACKET, SOCK_DGRAM, 0);
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(0x0800), .sll_ifindex = (int)if_nametoindex("lo"), .sll_halen = 6};
	must(sendto(fd, &packet, size, 0, (struct sockaddr *)&to, sizeof to), "sendto a link packet");
	usleep(200000);
	done("link packet");
}

static void any_socket(char **a)
{
	new_socket((int)number(a[0]), (int)number(a[1]), (int)number(a[2]));
	done("socket");
}

static void netlink_address(char **a)
{
	struct {
		struct nlmsghdr head;
		struct ifaddrmsg body;
		struct rtattr attribute;
		struct in_addr address;
	} request = {.head = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_NEWADDR, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE},
		     .body = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = if_nametoindex("lo")},
		     .attribute = {.rta_type = IFA_LOCAL, .rta_len = RTA_LENGTH(4)}};
	request.address.s_addr = inet_addr(a[0]);
	int fd = new_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	must(send(fd, &request, sizeof request, 0), "send RTM_NEWADDR");
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
	} answer;
	must(recv(fd, &answer, sizeof answer, 0), "recv");
	if (answer.error.error) {
		errno = -answer.error.error;
		fail("RTM_NEWADDR");
	}
	done("address added");
}

static void netlink_dump(char **a)
{
	(void)a;
	struct {
		struct nlmsghdr head;
		struct ifaddrmsg body;
	} request = {.head = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETADDR, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
	int fd = new_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	must(send(fd, &request, sizeof request, 0), "send RTM_GETADDR");
	char answer[8192];
	int size = must(recv(fd, answer, sizeof answer, 0), "recv");
	if (size <= (int)sizeof request.head)
		broken("an empty answer");
	done("%d bytes of addresses", size);
}

static void unix_stream(char **a) { connect_send(new_socket(AF_UNIX, SOCK_STREAM, 0), unix_address(a[0]), a[1]); }

static void unix_reach(char **a)
{
	struct address address = unix_address(a[0]);
	must(connect(new_socket(AF_UNIX, SOCK_STREAM, 0), sa(&address), address.size), "connect");
	done("connected");
}

static void unix_packets(char **a) { connect_send(new_socket(AF_UNIX, SOCK_SEQPACKET, 0), unix_address(a[0]), a[1]); }

static void unix_datagram(char **a)
{
	struct address address = unix_address(a[0]);
	int fd = new_socket(AF_UNIX, SOCK_DGRAM, 0);
	must(sendto(fd, a[1], strlen(a[1]), 0, sa(&address), address.size), "sendto");
	done("sendto");
}

static void unix_datagram_connected(char **a)
{
	struct address address = unix_address(a[0]);
	int fd = new_socket(AF_UNIX, SOCK_DGRAM, 0);
	must(connect(fd, sa(&address), address.size), "connect");
	must(send(fd, a[1], strlen(a[1]), 0), "send");
	done("send");
}

static void unix_symlink(char **a)
{
	char *alias = join(a[2], "innocent.sock");
	must(symlink(a[0], alias), "symlink");
	connect_send(new_socket(AF_UNIX, SOCK_STREAM, 0), unix_address(alias), a[1]);
}

static void unix_hardlink(char **a)
{
	char *alias = join(a[2], "innocent.sock");
	must(link(a[0], alias), "link");
	connect_send(new_socket(AF_UNIX, SOCK_STREAM, 0), unix_address(alias), a[1]);
}

static void socket_pair(char **a)
{
	(void)a;
	int fds[2];
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "socketpair");
	must(write(fds[0], "hi", 2), "write");
	show(fds[1], "socketpair");
}

// Asks a helper behind a permitted unix socket to pass a descriptor.
static int receive_descriptor(const char *helper, const char *wish)
{
	struct address address = unix_address(helper);
	int fd = new_socket(AF_UNIX, SOCK_STREAM, 0);
	must(connect(fd, sa(&address), address.size), "connect to the helper");
	must(send(fd, wish, strlen(wish), MSG_NOSIGNAL), "send to the helper");
	char byte, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	must(recvmsg(fd, &message, 0), "recvmsg");
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	if (!head || head->cmsg_len < CMSG_LEN(sizeof(int))) {
		// The kernel drops a descriptor that a security module refuses and says so only by this flag.
		if (!(message.msg_flags & MSG_CTRUNC))
			broken("the helper passed no descriptor");
		errno = EPERM;
		fail("receive the descriptor (MSG_CTRUNC)");
	}
	int received;
	memcpy(&received, CMSG_DATA(head), sizeof received);
	return received;
}

static void passed_file(char **a)
{
	int fd = receive_descriptor(a[0], "file");
	char bytes[256] = {0};
	must(pread(fd, bytes, sizeof bytes - 1, 0), "read the passed file");
	puts(bytes);
	done("read the passed file");
}

static void passed_socket(char **a) { send_all(receive_descriptor(a[0], a[2] ? a[2] : "socket"), a[1]); }

static _Noreturn void serve_one(int fd)
{
	struct pollfd wait = {fd, POLLIN, 0};
	if (poll(&wait, 1, 8000) <= 0)
		broken("listening, but nobody came");
	int peer = must(accept4(fd, NULL, NULL, SOCK_CLOEXEC), "accept");
	char order[64] = {0};
	must(recv(peer, order, sizeof order - 1, 0), "recv");
	must(send(peer, "shell$ ", 7, MSG_NOSIGNAL), "send");
	done("served: %s", order);
}

static void bind_shell(char **a)
{
	struct address address = inet_address(a[0], a[1]);
	int fd = new_socket(address.storage.ss_family, SOCK_STREAM, a[2] ? (int)number(a[2]) : 0), on = 1;
	must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
	must(bind(fd, sa(&address), address.size), "bind");
	must(listen(fd, 5), "listen");
	serve_one(fd);
}

static void listen_unbound(char **a)
{
	(void)a;
	int fd = new_socket(AF_INET, SOCK_STREAM, 0);
	must(listen(fd, 5), "listen without bind");
	done("listen without bind");
}

static void bind_datagram(char **a)
{
	struct address address = inet_address(a[0], a[1]);
	int fd = new_socket(address.storage.ss_family, SOCK_DGRAM, 0);
	must(bind(fd, sa(&address), address.size), "bind");
	struct pollfd wait = {fd, POLLIN, 0};
	if (poll(&wait, 1, 8000) <= 0)
		broken("bound, but nothing came");
	show(fd, "recv");
}

// Serves its own client on a permitted address: what every development server does.
static void own_server(char **a)
{
	struct address address = inet_address(a[0], a[1]);
	int fd = new_socket(address.storage.ss_family, SOCK_STREAM, 0), on = 1;
	must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
	must(bind(fd, sa(&address), address.size), "bind");
	must(listen(fd, 5), "listen");
	if (must(fork(), "fork") == 0) {
		int client = new_socket(address.storage.ss_family, SOCK_STREAM, 0);
		if (connect(client, sa(&address), address.size) == 0)
			send(client, "GET /", 5, MSG_NOSIGNAL);
		_exit(0);
	}
	serve_one(fd);
}

static void crypto_socket(char **a)
{
	(void)a;
	struct {
		uint16_t family;
		uint8_t type[14];
		uint32_t feature, mask;
		uint8_t name[64];
	} name = {.family = AF_ALG, .type = "hash", .name = "sha256"};
	int fd = new_socket(AF_ALG, SOCK_SEQPACKET, 0);
	if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0 && errno != ENOENT)
		fail("bind AF_ALG");
	done("AF_ALG");
}

static void host_socket(char **a)
{
	(void)a;
	int fd = new_socket(AF_VSOCK, SOCK_STREAM, 0);
	struct sockaddr_vm name = {.svm_family = AF_VSOCK, .svm_port = VMADDR_PORT_ANY, .svm_cid = VMADDR_CID_ANY};
	must(bind(fd, (struct sockaddr *)&name, sizeof name), "bind AF_VSOCK");
	done("AF_VSOCK");
}

extern long ia32(long number, long a, long b, long c);
extern void *low_page(void);

static void ia32_connect(char **a)
{
	enum { IA32_GETPID = 20, IA32_SOCKETCALL = 102, CALL_CONNECT = 3 };
	if (ia32(IA32_GETPID, 0, 0, 0) == -ENOSYS)
		untried("no 32-bit system calls here");
	struct address address = inet_address(a[0], a[1]);
	int fd = new_socket(address.storage.ss_family, SOCK_STREAM, 0);
	char *page = low_page();
	memcpy(page, &address.storage, sizeof address.storage);
	uint32_t *arguments = (uint32_t *)(page + 2048);
	arguments[0] = (uint32_t)fd;
	arguments[1] = (uint32_t)(uintptr_t)page;
	arguments[2] = address.size;
	long result = ia32(IA32_SOCKETCALL, CALL_CONNECT, (long)arguments, 0);
	if (result < 0)
		errno = (int)-result;
	must(result, "int 0x80 connect");
	send_all(fd, a[2]);
}

// Connects again and again until STOP exists and writes for each try the time in ms and its errno: the caller reads from
// it when the network closed and when it opened again.
static void watch_network(char **a)
{
	struct address address = inet_address(a[0], a[1]);
	FILE *log = fopen(a[2], "w");
	if (!log)
		fail("open the log");
	while (access(a[3], F_OK) != 0) {
		int fd = socket(address.storage.ss_family, SOCK_STREAM, 0), error = 0;
		if (fd < 0 || connect(fd, sa(&address), address.size) < 0)
			error = errno;
		if (fd >= 0)
			close(fd);
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		fprintf(log, "%ld %s\n", now.tv_sec * 1000 + now.tv_nsec / 1000000, error ? strerrorname_np(error) : "OK");
		fflush(log);
		usleep(50000);
	}
	done("watched");
}

const struct attack net_attacks[] = {
	{"tcp", 3, stream, "HOST PORT TOKEN"},
	{"tcp-protocol", 4, stream_protocol, "HOST PORT TOKEN PROTOCOL: 262 is MPTCP, 132 SCTP"},
	{"tcp-reused", 5, stream_reused, "HOST PORT TOKEN HOST2 PORT2: connect to HOST2, disconnect, connect to HOST"},
	{"fast-open", 3, fast_open, "HOST PORT TOKEN: MSG_FASTOPEN"},
	{"fast-open-connect", 3, fast_open_connect, "HOST PORT TOKEN: TCP_FASTOPEN_CONNECT"},
	{"udp-connect", 3, datagram_connected, "HOST PORT TOKEN"},
	{"udp", 3, datagram, "HOST PORT TOKEN [PROTOCOL]: sendto"},
	{"udp-sendmsg", 3, datagram_message, "HOST PORT TOKEN"},
	{"udp-sendmmsg", 5, datagram_batch, "HOST PORT TOKEN HOST2 PORT2: the second of two messages"},
	{"udp-unspec", 3, datagram_unspecified, "HOST PORT TOKEN: family AF_UNSPEC"},
	{"udp-v6-socket", 3, datagram_v6_socket, "HOST PORT TOKEN: an IPv4 address on an IPv6 socket"},
	{"udp-redirected", 5, datagram_redirected, "HOST PORT TOKEN HOST2 PORT2: connected to HOST2"},
	{"raw-packet", 3, raw_packet, "HOST PORT TOKEN"},
	{"link-packet", 3, link_packet, "HOST PORT TOKEN"},
	{"socket", 3, any_socket, "FAMILY TYPE PROTOCOL"},
	{"netlink-address", 1, netlink_address, "ADDRESS: add it to lo"},
	{"netlink-dump", 0, netlink_dump, ": what getifaddrs does"},
	{"unix", 2, unix_stream, "PATH TOKEN; @NAME is abstract"},
	{"unix-reach", 1, unix_reach, "PATH: connect and nothing else"},
	{"unix-packets", 2, unix_packets, "PATH TOKEN"},
	{"unix-dgram", 2, unix_datagram, "PATH TOKEN"},
	{"unix-dgram-connect", 2, unix_datagram_connected, "PATH TOKEN"},
	{"unix-symlink", 3, unix_symlink, "PATH TOKEN DIR"},
	{"unix-hardlink", 3, unix_hardlink, "PATH TOKEN DIR"},
	{"socketpair", 0, socket_pair, ""},
	{"passed-file", 1, passed_file, "HELPER: read a descriptor passed by SCM_RIGHTS"},
	{"passed-socket", 2, passed_socket, "HELPER TOKEN [WISH]: send through a passed connected socket"},
	{"bind-shell", 2, bind_shell, "HOST PORT [PROTOCOL]: serve one client"},
	{"listen-unbound", 0, listen_unbound, ": listen without bind"},
	{"udp-bind", 2, bind_datagram, "HOST PORT: receive one datagram"},
	{"watch-network", 4, watch_network, "HOST PORT LOG STOP: connect every 50 ms until STOP exists"},
	{"own-server", 2, own_server, "HOST PORT: serve a client of the same session"},
	{"af-alg", 0, crypto_socket, ""},
	{"vsock", 0, host_socket, ""},
	{"ia32-connect", 3, ia32_connect, "HOST PORT TOKEN: connect by int 0x80"},
	{0},
};
