// SPDX-License-Identifier: Apache-2.0
//
// What the attack program's files share. An attack is a function that ends the process: done() when it reached
// its aim, fail() when a call it needs was refused, untried() when this kernel lacks what it needs.
#ifndef LICTOR_ATTACK_H
#define LICTOR_ATTACK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum outcome {
	OUTCOME_DONE = 0,    // the attack reached its aim
	OUTCOME_REFUSED = 1, // a call failed with EPERM or EACCES
	OUTCOME_UNTRIED = 2, // this system lacks what the attack needs
	OUTCOME_BROKEN = 3,  // it failed for another reason: the test itself is wrong
};

struct attack {
	const char *name;
	int args; // how many arguments it needs at least
	void (*run)(char **args);
	const char *usage;
};

_Noreturn void done(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void untried(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));
// Ends the attack by errno: EPERM and EACCES are a refusal, a missing facility is "untried", the rest is broken.
_Noreturn void fail(const char *where);

// Returns `value`, or ends the attack by errno when it is negative.
int must(long value, const char *where);
// Copies what can be read from `fd` to stdout and ends the attack; nothing to read counts as broken.
_Noreturn void show(int fd, const char *where);
// The same for a path.
_Noreturn void show_path(const char *path);
long number(const char *text);
char *join(const char *directory, const char *name);
void copy_file(const char *from, int to);
// Waits for a child and returns its exit status, 128+N when signal N ended it.
int reap(pid_t pid);

extern const struct attack file_attacks[], write_attacks[], exec_attacks[], process_attacks[], net_attacks[], uring_attacks[],
	kernel_attacks[], work_attacks[];

#endif
