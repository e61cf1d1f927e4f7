// SPDX-License-Identifier: Apache-2.0
//
// attack NAME [ARG...]: performs one attack for real. Exit status: see `enum outcome` in attack.h.
//
// The attack runs in a child, so that one that crashes or hangs is reported instead of ending the caller's test
// run without a word. `attack --here NAME` leaves the child out, for attacks on the caller itself.
#include "attack.h"
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static const struct attack *const groups[] = {file_attacks, write_attacks, exec_attacks,   process_attacks,
					      net_attacks,  uring_attacks, kernel_attacks, work_attacks};

enum { SECONDS_PER_ATTACK = 25 };

static _Noreturn void finish(enum outcome outcome, const char *word, const char *format, va_list args)
{
	fflush(stdout);
	fprintf(stderr, "%s: ", word);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	fflush(stderr);
	_exit(outcome);
}

void done(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	finish(OUTCOME_DONE, "done", format, args);
}

void untried(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	finish(OUTCOME_UNTRIED, "untried", format, args);
}

void broken(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	finish(OUTCOME_BROKEN, "broken", format, args);
}

static _Noreturn void refused(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	finish(OUTCOME_REFUSED, "refused", format, args);
}

void fail(const char *where)
{
	int error = errno;
	const char *name = strerrorname_np(error);
	switch (error) {
	case EPERM:
	case EACCES:
		refused("%s: %s", where, name);
	case ENOSYS:
	case EAFNOSUPPORT:
	case EPROTONOSUPPORT:
	case ESOCKTNOSUPPORT:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
	case ENODEV:
	case ENXIO:
		untried("%s: %s", where, name);
	default:
		broken("%s: %s", where, name ? name : "unknown error");
	}
}

int must(long value, const char *where)
{
	if (value < 0)
		fail(where);
	return (int)value;
}

void show(int fd, const char *where)
{
	char buffer[4096];
	long size = read(fd, buffer, sizeof buffer);
	if (size < 0)
		fail(where);
	if (size == 0)
		broken("%s: nothing to read", where);
	if (write(1, buffer, (size_t)size) != size)
		broken("stdout: %m");
	done("%s: read %ld bytes", where, size);
}

void show_path(const char *path)
{
	show(must(open(path, O_RDONLY | O_CLOEXEC), "open"), "read");
}

long number(const char *text)
{
	char *end;
	errno = 0;
	long value = strtol(text, &end, 0);
	if (errno || *end || end == text)
		broken("`%s` is not a number", text);
	return value;
}

char *join(const char *directory, const char *name)
{
	char *path;
	if (asprintf(&path, "%s/%s", directory, name) < 0)
		broken("out of memory");
	return path;
}

void copy_file(const char *from, int to)
{
	static char buffer[1 << 16];
	int fd = must(open(from, O_RDONLY | O_CLOEXEC), "open the original");
	long size;
	while ((size = read(fd, buffer, sizeof buffer)) > 0)
		if (write(to, buffer, (size_t)size) != size)
			fail("write the copy");
	if (size < 0)
		fail("read the original");
	close(fd);
}

int reap(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fail("waitpid");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static const struct attack *find(const char *name)
{
	for (size_t group = 0; group < sizeof groups / sizeof *groups; group++)
		for (const struct attack *a = groups[group]; a->name; a++)
			if (!strcmp(a->name, name))
				return a;
	return NULL;
}

static int usage(void)
{
	puts("usage: attack [--here] NAME [ARG...]");
	for (size_t group = 0; group < sizeof groups / sizeof *groups; group++)
		for (const struct attack *a = groups[group]; a->name; a++)
			printf("  %-20s %s\n", a->name, a->usage);
	return OUTCOME_BROKEN;
}

static volatile pid_t attacker;

static void out_of_time(int signal)
{
	(void)signal;
	kill(attacker, SIGKILL);
}

// What a copy of this program does as the payload of an attack on execution.
static int payload(void)
{
	const char *mark = getenv("LICTOR_MARK");
	int fd = mark ? open(mark, O_WRONLY | O_CREAT, 0644) : -1;
	if (fd < 0)
		broken("payload: cannot create `%s`: %m", mark ? mark : "$LICTOR_MARK");
	done("payload ran");
}

int main(int argc, char **argv)
{
	if (getenv("LICTOR_PAYLOAD"))
		return payload();
	int here = argc > 1 && !strcmp(argv[1], "--here");
	argv += 1 + here;
	argc -= 1 + here;
	const struct attack *attack = argc > 0 ? find(argv[0]) : NULL;
	if (!attack)
		return usage();
	if (argc - 1 < attack->args)
		broken("usage: attack %s %s", attack->name, attack->usage);
	// A reader that goes away must not end the attack before it can say what happened.
	signal(SIGPIPE, SIG_IGN);
	if (here) {
		attack->run(argv + 1);
		broken("%s: ended without an outcome", attack->name);
	}
	pid_t pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		attack->run(argv + 1);
		broken("%s: ended without an outcome", attack->name);
	}
	attacker = pid;
	signal(SIGALRM, out_of_time);
	alarm(SECONDS_PER_ATTACK);
	int status = reap(pid);
	if (status > 128)
		broken("%s: ended by signal %d", attack->name, status - 128);
	return status;
}
