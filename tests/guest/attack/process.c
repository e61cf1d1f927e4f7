// SPDX-License-Identifier: Apache-2.0
//
// Attacks on other processes, and ways to leave the session. Also the victim: a process that holds secrets.
#include "attack.h"
#include <linux/kcmp.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>

static char held[256];

// Holds a secret in memory, an open file, a key and a SysV segment, and says where they are.
static void victim(char **a)
{
	snprintf(held, sizeof held, "%s", a[0]);
	int fd = must(open(a[1], O_RDONLY), "open");
	must(dup2(fd, 9), "dup2");
	if (getsid(0) != getpid())
		must(setsid(), "setsid");
	long key = syscall(SYS_add_key, "user", "lictor-victim", a[0], strlen(a[0]), KEY_SPEC_PROCESS_KEYRING);
	if (key >= 0) // Possessor, user, group and other: all rights. Only Lictor stands between.
		must(syscall(SYS_keyctl, KEYCTL_SETPERM, key, 0x3f3f3f3f), "KEYCTL_SETPERM");
	int segment = must(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0666), "shmget");
	char *memory = shmat(segment, NULL, 0);
	if (memory == (void *)-1)
		fail("shmat");
	snprintf(memory, 4096, "%s", a[0]);
	must(shmctl(segment, IPC_RMID, NULL), "IPC_RMID");
	printf("READY %d %p 9 %ld %d\n", getpid(), (void *)held, key, segment);
	fflush(stdout);
	for (;;)
		pause();
}

static pid_t pid_of(const char *text) { return (pid_t)number(text); }

static _Noreturn void print_secret(const char *bytes, const char *how)
{
	printf("%.255s\n", bytes);
	done("%s", how);
}

static void ptrace_attach(char **a)
{
	pid_t pid = pid_of(a[0]);
	must(ptrace(PTRACE_ATTACH, pid, 0, 0), "PTRACE_ATTACH");
	must(waitpid(pid, NULL, __WALL), "waitpid");
	uintptr_t address = (uintptr_t)number(a[1]);
	char bytes[256] = {0};
	for (size_t i = 0; i < 128; i += sizeof(long)) {
		long word = ptrace(PTRACE_PEEKDATA, pid, address + i, 0);
		memcpy(bytes + i, &word, sizeof word);
	}
	ptrace(PTRACE_DETACH, pid, 0, 0);
	print_secret(bytes, "PTRACE_PEEKDATA");
}

static void ptrace_seize(char **a)
{
	must(ptrace(PTRACE_SEIZE, pid_of(a[0]), 0, 0), "PTRACE_SEIZE");
	done("PTRACE_SEIZE");
}

// Only with --here: the parent is then whoever started the session.
static void ptrace_traceme(char **a)
{
	(void)a;
	must(ptrace(PTRACE_TRACEME, 0, 0, 0), "PTRACE_TRACEME");
	done("PTRACE_TRACEME");
}

static void vm_read(char **a)
{
	char bytes[256] = {0};
	struct iovec here = {bytes, 128}, there = {(void *)(uintptr_t)number(a[1]), 128};
	must(process_vm_readv(pid_of(a[0]), &here, 1, &there, 1, 0), "process_vm_readv");
	print_secret(bytes, "process_vm_readv");
}

static void vm_write(char **a)
{
	struct iovec here = {"OVERWRITTEN", 12}, there = {(void *)(uintptr_t)number(a[1]), 12};
	must(process_vm_writev(pid_of(a[0]), &here, 1, &there, 1, 0), "process_vm_writev");
	done("process_vm_writev");
}

static void proc_mem(char **a)
{
	char *path, bytes[256] = {0};
	must(asprintf(&path, "/proc/%s/mem", a[0]), "asprintf");
	int fd = must(open(path, O_RDONLY), "open /proc/PID/mem");
	must(pread(fd, bytes, 128, (off_t)number(a[1])), "pread");
	print_secret(bytes, "/proc/PID/mem");
}

static void pidfd_getfd_read(char **a)
{
	int pidfd = must(syscall(SYS_pidfd_open, pid_of(a[0]), 0), "pidfd_open");
	int fd = must(syscall(SYS_pidfd_getfd, pidfd, number(a[1]), 0), "pidfd_getfd");
	must(lseek(fd, 0, SEEK_SET), "lseek");
	show(fd, "pidfd_getfd");
}

static void kcmp_probe(char **a)
{
	must(syscall(SYS_kcmp, getpid(), pid_of(a[0]), KCMP_FILES, 0, 0), "kcmp");
	done("kcmp");
}

static void madvise_other(char **a)
{
	int pidfd = must(syscall(SYS_pidfd_open, pid_of(a[0]), 0), "pidfd_open");
	struct iovec there = {(void *)((uintptr_t)number(a[1]) & ~4095ul), 4096};
	must(syscall(SYS_process_madvise, pidfd, &there, 1, 20 /* MADV_COLD */, 0), "process_madvise");
	done("process_madvise");
}

static void kill_pid(char **a)
{
	must(kill(pid_of(a[0]), (int)number(a[1])), "kill");
	done("kill");
}

static void kill_group(char **a)
{
	must(kill(-pid_of(a[0]), (int)number(a[1])), "kill of the group");
	done("kill of the group");
}

static void kill_thread(char **a)
{
	must(syscall(SYS_tgkill, pid_of(a[0]), pid_of(a[0]), number(a[1])), "tgkill");
	done("tgkill");
}

static void kill_queue(char **a)
{
	must(sigqueue(pid_of(a[0]), (int)number(a[1]), (union sigval){0}), "sigqueue");
	done("sigqueue");
}

static void kill_pidfd(char **a)
{
	int pidfd = must(syscall(SYS_pidfd_open, pid_of(a[0]), 0), "pidfd_open");
	must(syscall(SYS_pidfd_send_signal, pidfd, number(a[1]), NULL, 0), "pidfd_send_signal");
	done("pidfd_send_signal");
}

// A pipe whose owner is the victim: the kernel sends the chosen signal when bytes arrive, with no kill(2) at all.
static void kill_by_owner(char **a)
{
	int pipes[2];
	must(pipe(pipes), "pipe");
	must(fcntl(pipes[0], F_SETSIG, (int)number(a[1])), "F_SETSIG");
	must(fcntl(pipes[0], F_SETOWN, pid_of(a[0])), "F_SETOWN");
	must(fcntl(pipes[0], F_SETFL, O_ASYNC | O_NONBLOCK), "F_SETFL");
	must(write(pipes[1], "x", 1), "write");
	usleep(200000);
	if (kill(pid_of(a[0]), 0) == 0) {
		char *path, state[512] = {0};
		must(asprintf(&path, "/proc/%s/stat", a[0]), "asprintf");
		int fd = open(path, O_RDONLY);
		long size = fd < 0 ? -1 : read(fd, state, sizeof state - 1);
		if (size > 0 && !strstr(state, ") Z")) {
			// The kernel never tells the sender that such a signal was withheld: being alive is the answer.
			errno = EPERM;
			fail("the owner's signal was withheld");
		}
	} else if (errno == EPERM)
		fail("the owner's signal was withheld; kill 0");
	done("the owner was signalled");
}

static void limit_other(char **a)
{
	struct rlimit limit = {1, 1};
	must(prlimit(pid_of(a[0]), RLIMIT_NOFILE, &limit, NULL), "prlimit");
	done("prlimit");
}

static void schedule_other(char **a)
{
	struct sched_param param = {0};
	must(sched_setscheduler(pid_of(a[0]), SCHED_IDLE, &param), "sched_setscheduler");
	done("sched_setscheduler");
}

static void nice_other(char **a)
{
	must(setpriority(PRIO_PROCESS, (id_t)pid_of(a[0]), 19), "setpriority");
	done("setpriority");
}

static void affinity_other(char **a)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	must(sched_setaffinity(pid_of(a[0]), sizeof set, &set), "sched_setaffinity");
	done("sched_setaffinity");
}

static void key_read(char **a)
{
	char bytes[256] = {0};
	long size = syscall(SYS_keyctl, KEYCTL_READ, number(a[0]), bytes, sizeof bytes - 1);
	if (size < 0 && errno == ENOKEY) // The kernel says "no such key" for a refused one too; KEYCTL_DESCRIBE tells them apart.
		must(syscall(SYS_keyctl, KEYCTL_DESCRIBE, number(a[0]), bytes, sizeof bytes - 1), "KEYCTL_READ, then KEYCTL_DESCRIBE");
	must(size, "KEYCTL_READ");
	print_secret(bytes, "KEYCTL_READ");
}

static void key_own(char **a)
{
	(void)a;
	must(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL), "KEYCTL_JOIN_SESSION_KEYRING");
	long key = must(syscall(SYS_add_key, "user", "own", "mine", 4, KEY_SPEC_SESSION_KEYRING), "add_key");
	char bytes[8] = {0};
	must(syscall(SYS_keyctl, KEYCTL_READ, key, bytes, sizeof bytes - 1), "KEYCTL_READ");
	done("own key");
}

static void share_memory(char **a)
{
	char *memory = shmat((int)number(a[0]), NULL, SHM_RDONLY);
	if (memory == (void *)-1)
		fail("shmat");
	print_secret(memory, "shmat");
}

// Types into the terminal that the process has itself: what it types is read by whoever uses the terminal next.
static void terminal_input(char **a)
{
	(void)a;
	int master = must(posix_openpt(O_RDWR | O_NOCTTY), "posix_openpt");
	must(grantpt(master), "grantpt");
	must(unlockpt(master), "unlockpt");
	must(setsid(), "setsid");
	int terminal = must(open(ptsname(master), O_RDWR), "open the terminal");
	must(ioctl(terminal, TIOCSTI, "x"), "TIOCSTI");
	done("TIOCSTI");
}

static void daemonize(char **a)
{
	int pipes[2];
	must(pipe(pipes), "pipe");
	if (must(fork(), "fork") == 0) {
		must(setsid(), "setsid");
		if (must(fork(), "second fork") == 0) {
			while (getppid() != 1 && getppid() != 0)
				usleep(1000);
			char bytes[4096] = {0};
			int fd = open(a[0], O_RDONLY);
			int error = fd < 0 ? errno : 0;
			long size = fd < 0 ? 0 : read(fd, bytes, sizeof bytes - 8);
			must(write(pipes[1], &error, sizeof error), "write");
			must(write(pipes[1], bytes, (size_t)size), "write");
		}
		_exit(0);
	}
	close(pipes[1]);
	int error = 0;
	struct pollfd wait = {pipes[0], POLLIN, 0};
	if (poll(&wait, 1, 8000) <= 0)
		broken("the orphan did not answer (is a subreaper above it?)");
	must(read(pipes[0], &error, sizeof error), "read");
	errno = error;
	if (error)
		fail("open by the orphan");
	show(pipes[0], "orphan");
}

static int clone_flags(unsigned long flags, int cgroup)
{
	struct clone_args args = {.flags = flags, .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD, .cgroup = (uint64_t)cgroup};
	return (int)syscall(SYS_clone3, &args, sizeof args);
}

static void clone_parent(char **a)
{
	int pipes[2];
	must(pipe(pipes), "pipe");
	if (must(clone_flags(CLONE_PARENT, 0), "clone3 CLONE_PARENT") == 0) {
		char bytes[4096] = {0};
		int fd = open(a[0], O_RDONLY), error = fd < 0 ? errno : 0;
		long size = fd < 0 ? 0 : read(fd, bytes, sizeof bytes);
		must(write(pipes[1], &error, sizeof error), "write");
		must(write(pipes[1], bytes, (size_t)size), "write");
		_exit(0);
	}
	close(pipes[1]);
	int error = 0;
	must(read(pipes[0], &error, sizeof error), "read");
	errno = error;
	if (error)
		fail("open by the sibling");
	show(pipes[0], "sibling");
}

static void *open_in_thread(void *path)
{
	usleep(100000);
	show_path(path);
}

static void thread_read(char **a)
{
	pthread_t thread;
	errno = pthread_create(&thread, NULL, open_in_thread, a[0]);
	if (errno)
		fail("pthread_create");
	pthread_exit(NULL); // The leader goes first: the thread that reads outlives it.
}

static void cgroup_move(char **a)
{
	if (mkdir(a[0], 0755) < 0 && errno != EEXIST)
		fail("mkdir in cgroupfs");
	int fd = must(open(join(a[0], "cgroup.procs"), O_WRONLY), "open cgroup.procs");
	must(write(fd, "0", 1), "write cgroup.procs");
	done("moved");
}

static void cgroup_clone(char **a)
{
	int directory = must(open(a[0], O_RDONLY | O_DIRECTORY), "open the cgroup");
	int pid = must(clone_flags(CLONE_INTO_CGROUP, directory), "clone3 CLONE_INTO_CGROUP");
	if (pid == 0)
		_exit(0);
	reap(pid);
	done("born in the other cgroup");
}

static void unshare_user(char **a)
{
	(void)a;
	must(unshare(CLONE_NEWUSER), "unshare CLONE_NEWUSER");
	done("unshare");
}

static void clone_user(char **a)
{
	(void)a;
	int pid = must(clone_flags(CLONE_NEWUSER | CLONE_NEWNET, 0), "clone3 CLONE_NEWUSER");
	if (pid == 0)
		_exit(0);
	reap(pid);
	done("clone");
}

static void enter_namespace(char **a)
{
	int pidfd = must(syscall(SYS_pidfd_open, pid_of(a[0]), 0), "pidfd_open");
	must(setns(pidfd, CLONE_NEWUTS | CLONE_NEWNET), "setns");
	done("setns");
}

static void enter_namespace_file(char **a)
{
	char *path;
	must(asprintf(&path, "/proc/%s/ns/uts", a[0]), "asprintf");
	int fd = must(open(path, O_RDONLY), "open /proc/PID/ns/uts");
	must(setns(fd, CLONE_NEWUTS), "setns");
	done("setns");
}

const struct attack process_attacks[] = {
	{"victim", 2, victim, "SECRET PATH: holds them and waits"},
	{"ptrace", 2, ptrace_attach, "PID ADDRESS"},
	{"seize", 1, ptrace_seize, "PID"},
	{"traceme", 0, ptrace_traceme, ": with --here"},
	{"vm-read", 2, vm_read, "PID ADDRESS"},
	{"vm-write", 2, vm_write, "PID ADDRESS"},
	{"proc-mem", 2, proc_mem, "PID ADDRESS"},
	{"pidfd-getfd", 2, pidfd_getfd_read, "PID FD"},
	{"kcmp", 1, kcmp_probe, "PID"},
	{"madvise", 2, madvise_other, "PID ADDRESS: process_madvise"},
	{"kill", 2, kill_pid, "PID SIGNAL"},
	{"kill-group", 2, kill_group, "PID SIGNAL"},
	{"tgkill", 2, kill_thread, "PID SIGNAL"},
	{"sigqueue", 2, kill_queue, "PID SIGNAL"},
	{"pidfd-signal", 2, kill_pidfd, "PID SIGNAL"},
	{"sigio", 2, kill_by_owner, "PID SIGNAL: F_SETOWN, F_SETSIG"},
	{"prlimit", 1, limit_other, "PID"},
	{"scheduler", 1, schedule_other, "PID"},
	{"nice", 1, nice_other, "PID"},
	{"affinity", 1, affinity_other, "PID"},
	{"key-read", 1, key_read, "KEY"},
	{"key-own", 0, key_own, ": a key of its own keyring"},
	{"shm", 1, share_memory, "SEGMENT"},
	{"tiocsti", 0, terminal_input, ""},
	{"daemonize", 1, daemonize, "PATH: read by a double-forked orphan"},
	{"clone-parent", 1, clone_parent, "PATH: read by a CLONE_PARENT sibling"},
	{"thread-read", 1, thread_read, "PATH: read by a thread that outlives its leader"},
	{"cgroup-move", 1, cgroup_move, "CGROUP"},
	{"cgroup-clone", 1, cgroup_clone, "CGROUP"},
	{"userns", 0, unshare_user, ": unshare"},
	{"userns-clone", 0, clone_user, ": clone3"},
	{"setns-pidfd", 1, enter_namespace, "PID"},
	{"setns-file", 1, enter_namespace_file, "PID"},
	{0},
};
