// SPDX-License-Identifier: Apache-2.0
//
// Ordinary work, for the benign twins, and loops that run while the daemon is stopped, restarted or reloaded.
#include "attack.h"
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

static void nothing(char **a)
{
	(void)a;
	done("nothing");
}

static void run_command(char **a)
{
	pid_t pid = must(fork(), "fork");
	if (pid == 0) {
		execvp(a[0], a);
		fprintf(stderr, "%s: %m\n", a[0]);
		_exit(errno == EPERM ? 1 : 127);
	}
	int status = reap(pid);
	if (status == 0)
		done("`%s` ended well", a[0]);
	broken("`%s` ended with status %d", a[0], status);
}

static void trace_child(char **a)
{
	(void)a;
	pid_t pid = must(fork(), "fork");
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
			_exit(1);
		raise(SIGSTOP);
		_exit(0);
	}
	int status;
	must(waitpid(pid, &status, 0), "waitpid");
	if (!WIFSTOPPED(status)) {
		errno = EPERM;
		fail("PTRACE_TRACEME in the own session");
	}
	must(ptrace(PTRACE_CONT, pid, 0, 0), "PTRACE_CONT");
	reap(pid);
	done("traced its own child");
}

static void signal_child(char **a)
{
	(void)a;
	pid_t pid = must(fork(), "fork");
	if (pid == 0)
		for (;;)
			pause();
	must(kill(pid, SIGTERM), "kill the own child");
	if (reap(pid) != 128 + SIGTERM)
		broken("the child did not end by the signal");
	done("signalled its own child");
}

static void save_file(char **a)
{
	char *temporary = join(a[0], ".saved.tmp"), *final = join(a[0], "saved.txt");
	int fd = must(open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644), "create");
	must(write(fd, "text\n", 5), "write");
	must(fsync(fd), "fsync");
	close(fd);
	must(rename(temporary, final), "rename");
	must(chmod(final, 0600), "chmod");
	must(unlink(final), "unlink");
	done("saved as an editor does");
}

static void work_tree(char **a)
{
	char *directory = join(a[0], "tree"), *file = join(directory, "file"), *other = join(directory, "other");
	must(mkdir(directory, 0755), "mkdir");
	must(close(must(open(file, O_WRONLY | O_CREAT, 0644), "create")), "close");
	must(symlink("file", join(directory, "symlink")), "symlink");
	must(link(file, other), "link");
	must(truncate(other, 10), "truncate");
	must(renameat2(AT_FDCWD, file, AT_FDCWD, other, RENAME_EXCHANGE), "exchange");
	must(unlink(file), "unlink");
	must(unlink(other), "unlink");
	must(unlink(join(directory, "symlink")), "unlink");
	must(rmdir(directory), "rmdir");
	done("made and removed a tree");
}

// Objects that have no name in any directory: memory files, pipes, event counters, unnamed and removed files.
static void nameless(char **a)
{
	char bytes[8];
	int fds[2];
	int memory = must(memfd_create("work", MFD_CLOEXEC), "memfd_create");
	must(write(memory, "text", 4), "write to the memory file");
	must(ftruncate(memory, 4096), "ftruncate of the memory file");
	char *alias;
	must(asprintf(&alias, "/proc/self/fd/%d", memory), "asprintf");
	int again = must(open(alias, O_RDONLY), "open the memory file again");
	must(read(again, bytes, 4), "read the memory file");
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0) == MAP_FAILED)
		fail("mmap of the memory file");
	must(pipe(fds), "pipe");
	must(asprintf(&alias, "/proc/self/fd/%d", fds[1]), "asprintf");
	must(write(must(open(alias, O_WRONLY), "open the pipe again"), "x", 1), "write to the pipe");
	must(eventfd(0, EFD_CLOEXEC), "eventfd");
	must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	must(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), "timerfd_create");
	must(inotify_init1(IN_CLOEXEC), "inotify_init1");
	int unnamed = must(open(a[0], O_TMPFILE | O_RDWR, 0600), "open O_TMPFILE");
	must(write(unnamed, "x", 1), "write to the unnamed file");
	must(fchmod(unnamed, 0644), "fchmod of the unnamed file");
	char *path = join(a[0], "removed");
	int removed = must(open(path, O_RDWR | O_CREAT, 0600), "create");
	must(unlink(path), "unlink");
	must(ftruncate(removed, 100), "ftruncate of the removed file");
	must(asprintf(&alias, "/proc/self/fd/%d", removed), "asprintf");
	must(open(alias, O_RDONLY), "open the removed file again");
	done("nameless objects");
}

// What a terminal multiplexer or an editor's console does.
static void own_terminal(char **a)
{
	(void)a;
	int master = must(posix_openpt(O_RDWR | O_NOCTTY), "posix_openpt");
	must(grantpt(master), "grantpt");
	must(unlockpt(master), "unlockpt");
	must(write(must(open(ptsname(master), O_RDWR | O_NOCTTY), "open the terminal"), "x", 1), "write to the terminal");
	done("terminal");
}

static void child_by_descriptor(char **a)
{
	(void)a;
	pid_t pid = must(fork(), "fork");
	if (pid == 0)
		for (;;)
			pause();
	int fd = must(syscall(SYS_pidfd_open, pid, 0), "pidfd_open");
	must(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0), "pidfd_send_signal");
	if (reap(pid) != 128 + SIGTERM)
		broken("the child did not end by the signal");
	done("signalled its own child by descriptor");
}

static void lock_and_map(char **a)
{
	char *path = join(a[0], "mapped");
	int fd = must(open(path, O_RDWR | O_CREAT, 0644), "create");
	must(ftruncate(fd, 4096), "ftruncate");
	char *bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		fail("mmap");
	bytes[0] = 'x';
	must(unlink(path), "unlink");
	done("shared mapping");
}

// Until FILE appears: opens one path that must be refused and one that must not, and ends at the first wrong answer.
static void watch_verdicts(char **a)
{
	// Hundreds a second, not all that the machine can do: the flood is another attack, and an emulated daemon that records
	// each refusal has nothing left to start with. Who looks for a gap that is as short as a switch asks for more.
	unsigned between = a[3] ? (unsigned)number(a[3]) : 2000;
	long opened = 0, refused = 0;
	puts("watching");
	fflush(stdout);
	while (access(a[2], F_OK) != 0) {
		int fd = open(a[0], O_RDONLY);
		if (fd >= 0)
			broken("try %ld: the denied path was opened", refused);
		if (errno != EPERM)
			broken("try %ld: the denied path: %m instead of EPERM", refused);
		refused++;
		fd = open(a[1], O_RDONLY);
		if (fd < 0)
			broken("try %ld: the permitted path: %m", opened);
		close(fd);
		opened++;
		usleep(between);
	}
	done("%ld opened, %ld refused", opened, refused);
}

enum answer { THROUGH, REFUSED, ELSE };

static enum answer by_errno(int failed)
{
	return !failed ? THROUGH : errno == EPERM ? REFUSED : ELSE;
}

static enum answer try_open(const char *path)
{
	int fd = open(path, O_RDONLY);
	if (fd >= 0)
		close(fd);
	return by_errno(fd < 0);
}

static enum answer try_exec(const char *path)
{
	pid_t pid = must(fork(), "fork");
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		dup2(null, 2);
		execl(path, path, (char *)NULL);
		_exit(errno == EPERM ? 101 : 102);
	}
	int status = reap(pid);
	return status == 101 ? REFUSED : status == 102 ? ELSE : THROUGH;
}

static enum answer try_connect(const char *address, const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number(port))};
	inet_pton(AF_INET, address, &to.sin_addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0)
		return by_errno(1);
	enum answer answer = by_errno(connect(fd, (struct sockaddr *)&to, sizeof to));
	close(fd);
	return answer;
}

// Until STOP exists: a file, a program and a connection that must be refused, each with a twin that must not. Never ends
// early; writes how often each had which answer, and for each permitted connection the time in ms and the answer.
static void watch_all(char **a)
{
	static const char *const names[] = {"denied-open", "open", "denied-exec", "exec", "denied-connect", "connect"};
	long counts[6][3] = {0};
	FILE *log = fopen(a[7], "w");
	if (!log)
		fail("open the log");
	puts("watching");
	fflush(stdout);
	while (access(a[8], F_OK) != 0) {
		enum answer answers[6] = {try_open(a[0]), try_open(a[1]), try_exec(a[2]), try_exec(a[3]), try_connect(a[4], a[5]),
					  try_connect(a[4], a[6])};
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		for (int i = 0; i < 6; i++)
			counts[i][answers[i]]++;
		fprintf(log, "%ld %s\n", now.tv_sec * 1000 + now.tv_nsec / 1000000,
			answers[5] == THROUGH ? "OK" : answers[5] == REFUSED ? "EPERM" : "ELSE");
		fflush(log);
		usleep(10000); // the daemon that is to take over wants to run as well
	}
	for (int i = 0; i < 6; i++)
		printf("%s %ld %ld %ld\n", names[i], counts[i][THROUGH], counts[i][REFUSED], counts[i][ELSE]);
	done("watched");
}

// Makes COUNT events as fast as it can.
static void flood(char **a)
{
	long count = number(a[1]), wrong = 0;
	for (long i = 0; i < count; i++) {
		int fd = open(a[0], O_RDONLY);
		if (fd >= 0) {
			wrong++;
			close(fd);
		}
	}
	if (wrong)
		done("%ld of %ld opens were let through", wrong, count);
	errno = EPERM;
	fail("every open of the flood");
}

// Forks a tree of many short-lived processes; each tries the path. Any success ends the storm as a success.
static void fork_storm(char **a)
{
	long processes = number(a[1]);
	int through = 0, other = 0;
	for (long done_so_far = 0; done_so_far < processes;) {
		pid_t batch[32];
		int started = 0;
		for (; started < 32; started++) {
			batch[started] = fork();
			if (batch[started] < 0)
				break;
			if (batch[started] == 0) {
				int fd = open(a[0], O_RDONLY);
				_exit(fd >= 0 ? 0 : errno == EPERM ? 1 : 2);
			}
		}
		if (!started)
			fail("fork");
		for (int i = 0; i < started; i++) {
			int status = reap(batch[i]);
			through += status == 0;
			other += status > 1;
		}
		done_so_far += started;
	}
	if (through)
		done("%d processes of the storm read it", through);
	if (other)
		broken("%d processes of the storm failed otherwise", other);
	errno = EPERM;
	fail("open in every process of the storm");
}

static void sleep_seconds(char **a)
{
	struct timespec time = {number(a[0]), 0};
	nanosleep(&time, NULL);
	done("slept");
}

static void list_descriptors(char **a)
{
	(void)a;
	for (int fd = 3; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("%d ", fd);
	puts("");
	done("listed");
}

static void end_by_signal(char **a)
{
	raise((int)number(a[0]));
	broken("still alive");
}

static void end_with(char **a) { _exit((int)number(a[0])); }

// Undoes the caller's encoding: %XX stands for the byte XX.
static char *decode(char *word)
{
	char *to = word;
	for (char *from = word; *from; from++, to++) {
		unsigned byte;
		if (*from == '%' && sscanf(from + 1, "%2x", &byte) == 1) {
			*to = (char)byte;
			from += 2;
		} else
			*to = *from;
	}
	*to = 0;
	return word;
}

enum { OUTPUT_KEPT = 1 << 16 };

// Runs one command and answers with its status and what it wrote.
static void serve_one_command(char **argv)
{
	static char output[2][OUTPUT_KEPT];
	size_t size[2] = {0, 0};
	int pipes[2][2];
	must(pipe2(pipes[0], O_CLOEXEC), "pipe");
	must(pipe2(pipes[1], O_CLOEXEC), "pipe");
	pid_t pid = must(fork(), "fork");
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);
		dup2(null, 0);
		dup2(pipes[0][1], 1);
		dup2(pipes[1][1], 2);
		execv(argv[0], argv);
		fprintf(stderr, "broken: cannot run `%s`: %m\n", argv[0]);
		_exit(OUTCOME_BROKEN);
	}
	struct pollfd ends[2] = {{pipes[0][0], POLLIN, 0}, {pipes[1][0], POLLIN, 0}};
	close(pipes[0][1]);
	close(pipes[1][1]);
	while (ends[0].fd >= 0 || ends[1].fd >= 0) {
		if (poll(ends, 2, -1) < 0)
			fail("poll");
		for (int i = 0; i < 2; i++) {
			if (!ends[i].revents)
				continue;
			char bytes[4096];
			long got = read(ends[i].fd, bytes, sizeof bytes);
			if (got <= 0) {
				close(ends[i].fd);
				ends[i].fd = -1;
				continue;
			}
			size_t kept = (size_t)got < OUTPUT_KEPT - size[i] ? (size_t)got : OUTPUT_KEPT - size[i];
			memcpy(output[i] + size[i], bytes, kept);
			size[i] += kept;
		}
	}
	printf("%d %zu %zu\n", reap(pid), size[0], size[1]);
	fwrite(output[0], 1, size[0], stdout);
	fwrite(output[1], 1, size[1], stdout);
	fflush(stdout);
}

// A session for many commands: one line each on stdin, words separated by spaces and encoded.
static void serve(char **a)
{
	(void)a;
	enum { MOST_WORDS = 64 };
	static char line[1 << 16];
	while (fgets(line, sizeof line, stdin)) {
		char *argv[MOST_WORDS + 1];
		int words = 0;
		for (char *word = strtok(line, " \n"); word && words < MOST_WORDS; word = strtok(NULL, " \n"))
			argv[words++] = decode(word);
		argv[words] = NULL;
		if (words)
			serve_one_command(argv);
	}
	done("served");
}

const struct attack work_attacks[] = {
	{"nothing", 0, nothing, ""},
	{"serve", 0, serve, ": with --here; runs the commands on stdin, one a line"},
	{"run", 1, run_command, "COMMAND [ARG...]"},
	{"trace-child", 0, trace_child, ": ptrace in the own session"},
	{"signal-child", 0, signal_child, ""},
	{"save-file", 1, save_file, "DIR: as an editor does"},
	{"work-tree", 1, work_tree, "DIR: make, link, swap and remove files"},
	{"nameless", 1, nameless, "DIR: memory files, pipes, unnamed and removed files"},
	{"terminal", 0, own_terminal, ""},
	{"pidfd-child", 0, child_by_descriptor, ""},
	{"shared-map", 1, lock_and_map, "DIR"},
	{"watch-verdicts", 3, watch_verdicts, "DENIED ALLOWED STOP [MICROSECONDS]: open both until STOP exists, with this between (2000)"},
	{"watch-all", 9, watch_all, "DENIED ALLOWED BAD-PROGRAM PROGRAM ADDRESS DENIED-PORT PORT LOG STOP: try all until STOP exists"},
	{"flood", 2, flood, "PATH COUNT"},
	{"fork-storm", 2, fork_storm, "PATH PROCESSES"},
	{"sleep", 1, sleep_seconds, "SECONDS"},
	{"descriptors", 0, list_descriptors, ": print those above 2"},
	{"end-by-signal", 1, end_by_signal, "SIGNAL: with --here"},
	{"end-with", 1, end_with, "STATUS: with --here"},
	{0},
};
