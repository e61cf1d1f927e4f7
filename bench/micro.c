// SPDX-License-Identifier: Apache-2.0
//
// The workloads that are timed. One run makes BATCHES batches of COUNT operations and prints one line per batch, two
// figures in nanoseconds per operation: the time that passed, and the processor time of this process and its children.
// The difference is waiting, and on a single processor the work of others, such as a daemon that is told. Timing is done in here, so that the launcher (lictor run, aa-exec, ...) and the
// loading of this program are not part of it.
//
//   micro open    BATCHES COUNT DIR        open and close files below DIR, one in eight for writing
//   micro walk    BATCHES COUNT DIR        walk DIR and stat every entry, COUNT times a batch; per entry
//   micro exec    BATCHES COUNT PROGRAM    start PROGRAM and wait for it
//   micro connect BATCHES COUNT PORT       connect to 127.0.0.1:PORT, accept, close both
//   micro run     BATCHES 1 SHELL_LINE     one shell command
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define FILES 64

static char paths[FILES][256];
static long entries;
static struct sockaddr_in address;
static int listener = -1;

static void fail(const char *what)
{
	fprintf(stderr, "micro: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long long now(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_MONOTONIC, &t))
		fail("clock_gettime");
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long processor_time(void)
{
	struct timespec own;
	struct rusage children;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own) || getrusage(RUSAGE_CHILDREN, &children))
		fail("processor time");
	return own.tv_sec * 1000000000LL + own.tv_nsec +
	       (children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1000000000LL +
	       (children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1000LL;
}

static void open_prepare(const char *dir)
{
	for (int i = 0; i < FILES; i++) {
		char sub[200];

		snprintf(sub, sizeof(sub), "%s/part-%d", dir, i % 8);
		if (mkdir(sub, 0755) && errno != EEXIST)
			fail(sub);
		snprintf(paths[i], sizeof(paths[i]), "%s/source-%02d.c", sub, i);
		int fd = open(paths[i], O_WRONLY | O_CREAT, 0644);
		if (fd < 0)
			fail(paths[i]);
		close(fd);
	}
}

static void open_batch(long count)
{
	for (long i = 0; i < count; i++) {
		int fd = open(paths[i % FILES], i % 8 == 7 ? O_WRONLY : O_RDONLY);

		if (fd < 0)
			fail(paths[i % FILES]);
		close(fd);
	}
}

static int seen(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_NS || type == FTW_DNR)
		fail(path);
	entries++;
	return 0;
}

static void walk_batch(const char *dir, long count)
{
	for (long i = 0; i < count; i++)
		if (nftw(dir, seen, 32, FTW_PHYS))
			fail(dir);
}

static void start(char *const argv[])
{
	pid_t pid;
	int status;

	errno = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
	if (errno)
		fail(argv[0]);
	if (waitpid(pid, &status, 0) != pid)
		fail("waitpid");
	if (status) {
		fprintf(stderr, "micro: %s ended with wait status %#x\n", argv[0], status);
		exit(1);
	}
}

static void connect_prepare(const char *port)
{
	int on = 1;

	address.sin_family = AF_INET;
	address.sin_port = htons((unsigned short)atoi(port));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)))
		fail("socket");
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)))
		fail("bind");
	if (listen(listener, 16))
		fail("listen");
}

static void connect_batch(long count)
{
	// An abortive close keeps TIME_WAIT from filling the range of ports.
	struct linger abortive = { .l_onoff = 1, .l_linger = 0 };

	for (long i = 0; i < count; i++) {
		int out = socket(AF_INET, SOCK_STREAM, 0);

		if (out < 0)
			fail("socket");
		if (connect(out, (struct sockaddr *)&address, sizeof(address)))
			fail("connect");
		int in = accept(listener, NULL, NULL);
		if (in < 0)
			fail("accept");
		setsockopt(out, SOL_SOCKET, SO_LINGER, &abortive, sizeof(abortive));
		close(out);
		close(in);
	}
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: micro open|walk|exec|connect|run BATCHES COUNT ARGUMENT\n");
		return 2;
	}
	const char *what = argv[1];
	long batches = atol(argv[2]), count = atol(argv[3]);
	char *subject = argv[4];
	char *program[] = { subject, NULL };
	char *shell[] = { "/bin/sh", "-ec", subject, NULL };

	if (batches < 1 || count < 1) {
		fprintf(stderr, "micro: BATCHES and COUNT are at least 1\n");
		return 2;
	}
	if (!strcmp(what, "open"))
		open_prepare(subject);
	else if (!strcmp(what, "connect"))
		connect_prepare(subject);

	// The first batch fills caches and is not reported, except for a whole command, which has nothing to warm up.
	for (long batch = strcmp(what, "run") ? -1 : 0; batch < batches; batch++) {
		long operations = count;
		long long begin = now(), processor_begin = processor_time();

		if (!strcmp(what, "open")) {
			open_batch(count);
		} else if (!strcmp(what, "walk")) {
			entries = 0;
			walk_batch(subject, count);
			operations = entries;
		} else if (!strcmp(what, "exec")) {
			for (long i = 0; i < count; i++)
				start(program);
		} else if (!strcmp(what, "connect")) {
			connect_batch(count);
		} else if (!strcmp(what, "run")) {
			start(shell);
		} else {
			fprintf(stderr, "micro: unknown workload %s\n", what);
			return 2;
		}
		long long passed = now() - begin, processor = processor_time() - processor_begin;
		if (!operations) {
			fprintf(stderr, "micro: %s: nothing to do\n", subject);
			return 1;
		}
		if (batch >= 0)
			printf("%lld %lld\n", passed / operations, processor / operations);
	}
	return 0;
}
