// SPDX-License-Identifier: Apache-2.0
//
// Runs a command under a Landlock ruleset, the yardstick for an allow-list that a process puts on itself.
//
//   landlock-run [--read PATH | --write PATH | --connect PORT | --bind PORT]... -- CMD [ARG...]
//
// Prints what the kernel's Landlock cannot restrict, so that a comparison says what was compared.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Debian 12's headers end at the second version of the interface. Numbers from the kernel's <linux/landlock.h>.
enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_V1 = (1 << 13) - 1,
	FS_REFER = 1 << 13,
	FS_TRUNCATE = 1 << 14,
	NET_BIND = 1 << 0,
	NET_CONNECT = 1 << 1,
	RULE_PATH = 1,
	RULE_PORT = 2,
};

struct ruleset {
	uint64_t fs;
	uint64_t net;
};

struct path_rule {
	uint64_t access;
	int32_t parent;
} __attribute__((packed));

struct port_rule {
	uint64_t access;
	uint64_t port;
};

static void fail(const char *what)
{
	fprintf(stderr, "landlock-run: %s: %s\n", what, strerror(errno));
	exit(125);
}

static void allow_path(int ruleset, const char *path, uint64_t access)
{
	struct stat st;
	struct path_rule rule = { .access = access, .parent = open(path, O_PATH | O_CLOEXEC) };

	if (rule.parent < 0 || fstat(rule.parent, &st))
		fail(path);
	if (!S_ISDIR(st.st_mode))
		rule.access &= FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE;
	if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH, &rule, 0))
		fail(path);
	close(rule.parent);
}

static void allow_port(int ruleset, const char *port, uint64_t access)
{
	struct port_rule rule = { .access = access, .port = strtoul(port, NULL, 10) };

	if (syscall(SYS_landlock_add_rule, ruleset, RULE_PORT, &rule, 0))
		fail(port);
}

int main(int argc, char **argv)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	struct ruleset handled = { .fs = FS_V1 };
	size_t size = sizeof(handled.fs);
	int i;

	if (version < 1)
		fail("this kernel has no Landlock");
	if (version >= 2)
		handled.fs |= FS_REFER;
	if (version >= 3)
		handled.fs |= FS_TRUNCATE;
	if (version >= 4) {
		handled.net = NET_BIND | NET_CONNECT;
		size = sizeof(handled);
	} else {
		fprintf(stderr, "landlock-run: version %ld of Landlock does not restrict the network\n", version);
	}
	int ruleset = syscall(SYS_landlock_create_ruleset, &handled, size, 0);
	if (ruleset < 0)
		fail("landlock_create_ruleset");

	for (i = 1; i + 1 < argc && strcmp(argv[i], "--"); i += 2) {
		const char *option = argv[i], *value = argv[i + 1];

		if (!strcmp(option, "--read"))
			allow_path(ruleset, value, FS_EXECUTE | FS_READ_FILE | FS_READ_DIR);
		else if (!strcmp(option, "--write"))
			allow_path(ruleset, value, handled.fs);
		else if (!strcmp(option, "--connect") || !strcmp(option, "--bind")) {
			if (handled.net)
				allow_port(ruleset, value, !strcmp(option, "--bind") ? NET_BIND : NET_CONNECT);
		} else {
			fprintf(stderr, "landlock-run: unknown option %s\n", option);
			return 125;
		}
	}
	if (i + 1 >= argc) {
		fprintf(stderr, "landlock-run: no command\n");
		return 125;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_landlock_restrict_self, ruleset, 0))
		fail("landlock_restrict_self");
	close(ruleset);
	execvp(argv[i + 1], argv + i + 1);
	fail(argv[i + 1]);
}
