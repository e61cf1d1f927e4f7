// SPDX-License-Identifier: Apache-2.0
//
// The same aims through io_uring, whose work no system-call tracepoint sees and whose opened files need not appear in
// the descriptor table.
#include "attack.h"
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/socket.h>

struct address {
	struct sockaddr_storage storage;
	socklen_t size;
};
struct address inet_address(const char *host, const char *port);
void expect_ack(int fd);

struct ring {
	int fd;
	unsigned *sq_head, *sq_tail, *sq_mask, *sq_flags, *sq_array, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *entries;
	struct io_uring_cqe *results;
	int polled;
};

static struct ring open_ring(unsigned flags)
{
	struct io_uring_params params = {.flags = flags, .sq_thread_idle = 500};
	struct ring ring = {.polled = (flags & IORING_SETUP_SQPOLL) != 0};
	ring.fd = must(syscall(SYS_io_uring_setup, 8, &params), "io_uring_setup");
	size_t sq_size = params.sq_off.array + params.sq_entries * sizeof(unsigned);
	size_t cq_size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	char *sq = mmap(NULL, sq_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQ_RING);
	char *cq = mmap(NULL, cq_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_CQ_RING);
	ring.entries = mmap(NULL, params.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || ring.entries == MAP_FAILED)
		fail("mmap of the ring");
	ring.sq_head = (unsigned *)(sq + params.sq_off.head);
	ring.sq_tail = (unsigned *)(sq + params.sq_off.tail);
	ring.sq_mask = (unsigned *)(sq + params.sq_off.ring_mask);
	ring.sq_flags = (unsigned *)(sq + params.sq_off.flags);
	ring.sq_array = (unsigned *)(sq + params.sq_off.array);
	ring.cq_head = (unsigned *)(cq + params.cq_off.head);
	ring.cq_tail = (unsigned *)(cq + params.cq_off.tail);
	ring.cq_mask = (unsigned *)(cq + params.cq_off.ring_mask);
	ring.results = (struct io_uring_cqe *)(cq + params.cq_off.cqes);
	return ring;
}

static int submit(struct ring *ring, struct io_uring_sqe entry, const char *where)
{
	unsigned tail = *ring->sq_tail, index = tail & *ring->sq_mask;
	ring->entries[index] = entry;
	ring->sq_array[index] = index;
	__atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
	unsigned flags = IORING_ENTER_GETEVENTS;
	if (ring->polled)
		flags |= IORING_ENTER_SQ_WAKEUP;
	must(syscall(SYS_io_uring_enter, ring->fd, ring->polled ? 0 : 1, 1, flags, NULL, 0), "io_uring_enter");
	unsigned head = *ring->cq_head;
	for (int tries = 0; head == __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE); tries++) {
		if (tries > 5000)
			broken("%s: no completion", where);
		usleep(1000);
	}
	int result = ring->results[head & *ring->cq_mask].res;
	__atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
	if (result < 0) {
		errno = -result;
		fail(where);
	}
	return result;
}

static struct io_uring_sqe open_entry(const char *path)
{
	return (struct io_uring_sqe){.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t)path, .open_flags = O_RDONLY};
}

static void ring_read(unsigned flags, char **a)
{
	struct ring ring = open_ring(flags);
	show(submit(&ring, open_entry(a[0]), "IORING_OP_OPENAT"), "read");
}

static void uring_read(char **a) { ring_read(0, a); }

static void uring_polled_read(char **a) { ring_read(IORING_SETUP_SQPOLL, a); }

static void uring_async_read(char **a)
{
	struct ring ring = open_ring(0);
	struct io_uring_sqe entry = open_entry(a[0]);
	entry.flags = IOSQE_ASYNC; // a worker thread opens it, not the thread that asked
	show(submit(&ring, entry, "IORING_OP_OPENAT in a worker"), "read");
}

// The file is opened into the ring's own table and read from there: it never has a descriptor.
static void uring_direct_read(char **a)
{
	struct ring ring = open_ring(0);
	int none[4] = {-1, -1, -1, -1};
	must(syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_FILES, none, 4), "IORING_REGISTER_FILES");
	struct io_uring_sqe entry = open_entry(a[0]);
	entry.file_index = 1;
	submit(&ring, entry, "IORING_OP_OPENAT direct");
	static char bytes[4096];
	struct io_uring_sqe reader = {.opcode = IORING_OP_READ, .flags = IOSQE_FIXED_FILE, .fd = 0, .addr = (uintptr_t)bytes, .len = sizeof bytes - 1};
	submit(&ring, reader, "IORING_OP_READ");
	fputs(bytes, stdout);
	done("read through a direct descriptor");
}

static void ring_connect(unsigned flags, char **a)
{
	struct address address = inet_address(a[0], a[1]);
	int fd = must(socket(address.storage.ss_family, SOCK_STREAM, 0), "socket");
	struct ring ring = open_ring(flags);
	struct io_uring_sqe entry = {.opcode = IORING_OP_CONNECT, .fd = fd, .addr = (uintptr_t)&address.storage, .off = address.size};
	submit(&ring, entry, "IORING_OP_CONNECT");
	struct io_uring_sqe sender = {.opcode = IORING_OP_SEND, .fd = fd, .addr = (uintptr_t)a[2], .len = (unsigned)strlen(a[2])};
	submit(&ring, sender, "IORING_OP_SEND");
	expect_ack(fd);
}

static void uring_connect(char **a) { ring_connect(0, a); }

static void uring_polled_connect(char **a) { ring_connect(IORING_SETUP_SQPOLL, a); }

static void uring_sendmsg(char **a)
{
	struct address address = inet_address(a[0], a[1]);
	int fd = must(socket(address.storage.ss_family, SOCK_DGRAM, 0), "socket");
	struct ring ring = open_ring(0);
	struct iovec part = {a[2], strlen(a[2])};
	struct msghdr message = {.msg_name = &address.storage, .msg_namelen = address.size, .msg_iov = &part, .msg_iovlen = 1};
	struct io_uring_sqe entry = {.opcode = IORING_OP_SENDMSG, .fd = fd, .addr = (uintptr_t)&message, .len = 1};
	submit(&ring, entry, "IORING_OP_SENDMSG");
	expect_ack(fd);
}

static void uring_unlink(char **a)
{
	struct ring ring = open_ring(0);
	struct io_uring_sqe entry = {.opcode = IORING_OP_UNLINKAT, .fd = AT_FDCWD, .addr = (uintptr_t)a[0]};
	submit(&ring, entry, "IORING_OP_UNLINKAT");
	done("IORING_OP_UNLINKAT");
}

static void uring_rename(char **a)
{
	struct ring ring = open_ring(0);
	struct io_uring_sqe entry = {.opcode = IORING_OP_RENAMEAT, .fd = AT_FDCWD, .addr = (uintptr_t)a[0], .len = (unsigned)AT_FDCWD, .off = (uintptr_t)a[1]};
	submit(&ring, entry, "IORING_OP_RENAMEAT");
	done("IORING_OP_RENAMEAT");
}

const struct attack uring_attacks[] = {
	{"uring-read", 1, uring_read, "PATH"},
	{"uring-sqpoll-read", 1, uring_polled_read, "PATH: by the kernel's polling thread"},
	{"uring-async-read", 1, uring_async_read, "PATH: by a worker thread"},
	{"uring-direct-read", 1, uring_direct_read, "PATH: into a direct descriptor"},
	{"uring-connect", 3, uring_connect, "HOST PORT TOKEN"},
	{"uring-sqpoll-connect", 3, uring_polled_connect, "HOST PORT TOKEN"},
	{"uring-sendmsg", 3, uring_sendmsg, "HOST PORT TOKEN"},
	{"uring-unlink", 1, uring_unlink, "PATH"},
	{"uring-rename", 2, uring_rename, "FROM TO"},
	{0},
};
