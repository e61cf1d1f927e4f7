// SPDX-License-Identifier: Apache-2.0
//
// Ways to run a program, or map code, that may not be run. The payload is a copy of this program: with LICTOR_PAYLOAD
// in its environment it creates the file that LICTOR_MARK names and does nothing else (see main.c).
#include "attack.h"
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

extern char **environ;

static char *payload_argv[] = {"payload", NULL};

static void arm(void)
{
	must(setenv("LICTOR_PAYLOAD", "1", 1), "setenv");
}

static _Noreturn void execute(const char *path)
{
	arm();
	execv(path, payload_argv);
	fail("execve");
}

static void exec_path(char **a) { execute(a[0]); }

// As another command of a multi-call program, which goes by its first argument.
static void exec_as(char **a)
{
	payload_argv[0] = a[1];
	execute(a[0]);
}

static void exec_relative(char **a)
{
	must(chdir(a[0]), "chdir");
	execute(join(".", a[1]));
}

static void exec_symlink(char **a)
{
	char *alias = join(a[1], "innocent");
	must(symlink(a[0], alias), "symlink");
	execute(alias);
}

static void exec_hardlink(char **a)
{
	char *alias = join(a[1], "innocent");
	must(link(a[0], alias), "link");
	execute(alias);
}

static void exec_renamed(char **a)
{
	must(rename(a[0], a[1]), "rename");
	execute(a[1]);
}

static void exec_copied(char **a)
{
	int fd = must(open(a[1], O_WRONLY | O_CREAT | O_TRUNC, 0755), "create the copy");
	copy_file(a[0], fd);
	close(fd);
	execute(a[1]);
}

static void execute_descriptor(int fd)
{
	arm();
	syscall(SYS_execveat, fd, "", payload_argv, environ, AT_EMPTY_PATH);
	fail("execveat");
}

static void exec_descriptor(char **a) { execute_descriptor(must(open(a[0], O_PATH | O_CLOEXEC), "open O_PATH")); }

static void exec_proc_descriptor(char **a)
{
	char alias[64];
	snprintf(alias, sizeof alias, "/proc/self/fd/%d", must(open(a[0], O_PATH), "open O_PATH"));
	execute(alias);
}

static int memory_copy(void)
{
	int fd = must(memfd_create("innocent", MFD_CLOEXEC), "memfd_create");
	copy_file("/proc/self/exe", fd);
	return fd;
}

static void exec_memfd(char **a)
{
	(void)a;
	execute_descriptor(memory_copy());
}

static void exec_memfd_proc(char **a)
{
	(void)a;
	char alias[64];
	int writable = memory_copy();
	snprintf(alias, sizeof alias, "/proc/self/fd/%d", writable);
	int fd = must(open(alias, O_RDONLY), "open the memfd again");
	close(writable);
	snprintf(alias, sizeof alias, "/proc/self/fd/%d", fd);
	execute(alias);
}

static void exec_memfd_script(char **a)
{
	(void)a;
	static const char script[] = "#!/bin/sh\n: > \"$LICTOR_MARK\"\n";
	int fd = must(memfd_create("innocent", 0), "memfd_create");
	must(write(fd, script, sizeof script - 1), "write");
	execute_descriptor(fd);
}

static void exec_unnamed(char **a)
{
	int writable = must(open(a[0], O_TMPFILE | O_RDWR | O_CLOEXEC, 0755), "open O_TMPFILE");
	copy_file("/proc/self/exe", writable);
	char alias[64];
	snprintf(alias, sizeof alias, "/proc/self/fd/%d", writable);
	int fd = must(open(alias, O_RDONLY | O_CLOEXEC), "open the file again");
	close(writable);
	execute_descriptor(fd);
}

static void exec_unlinked(char **a)
{
	char *path = join(a[0], "innocent");
	int writable = must(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755), "create");
	copy_file("/proc/self/exe", writable);
	close(writable);
	int fd = must(open(path, O_RDONLY | O_CLOEXEC), "open");
	must(unlink(path), "unlink");
	execute_descriptor(fd);
}

static void exec_no_argv(char **a)
{
	arm();
	char *none[] = {NULL};
	execve(a[0], none, environ);
	fail("execve with an empty argv");
}

static void *execute_in_thread(void *path)
{
	execute(path);
}

static void exec_thread(char **a)
{
	pthread_t thread;
	errno = pthread_create(&thread, NULL, execute_in_thread, a[0]);
	if (errno)
		fail("pthread_create");
	pthread_join(thread, NULL);
}

static void exec_vfork(char **a)
{
	arm();
	volatile int error = 0;
	pid_t pid = vfork();
	if (pid == 0) {
		execv(a[0], payload_argv);
		error = errno;
		_exit(126);
	}
	int status = reap(must(pid, "vfork"));
	if (error) {
		errno = error;
		fail("execve after vfork");
	}
	if (status != 0)
		broken("the payload ended with status %d", status);
	done("ran");
}

// Runs a command whose refusal is seen only in what it says, and judges by the mark that the payload leaves.
static _Noreturn void supervise(char *const argv[])
{
	int pipes[2];
	must(pipe2(pipes, O_CLOEXEC), "pipe");
	pid_t pid = must(fork(), "fork");
	if (pid == 0) {
		dup2(pipes[1], 2);
		execv(argv[0], argv);
		perror("execv");
		_exit(126);
	}
	close(pipes[1]);
	char said[4096] = {0};
	size_t size = 0;
	for (long n; size < sizeof said - 1 && (n = read(pipes[0], said + size, sizeof said - 1 - size)) > 0;)
		size += (size_t)n;
	int status = reap(pid);
	const char *mark = getenv("LICTOR_MARK");
	if (mark && access(mark, F_OK) == 0)
		done("ran");
	if (strstr(said, "Operation not permitted") || strstr(said, "cannot be preloaded") ||
	    strstr(said, "failed to map segment")) {
		errno = EPERM;
		fail(said[0] ? strtok(said, "\n") : "the loader");
	}
	broken("status %d: %s", status, said);
}

static void loader_trick(char **a)
{
	supervise((char *[]){"/lib64/ld-linux-x86-64.so.2", a[0], getenv("LICTOR_MARK"), NULL});
}

static void preload(char **a)
{
	must(setenv("LD_PRELOAD", a[0], 1), "setenv");
	supervise((char *[]){"/bin/true", NULL});
}

static void preload_memfd(char **a)
{
	int fd = must(memfd_create("innocent", 0), "memfd_create");
	copy_file(a[0], fd);
	char alias[64];
	// The preloading program is another process: the descriptor is inherited under the same number.
	snprintf(alias, sizeof alias, "/proc/self/fd/%d", fd);
	must(setenv("LD_PRELOAD", alias, 1), "setenv");
	supervise((char *[]){"/bin/true", NULL});
}

static void shell_command(char **a) { supervise((char *[]){"/bin/sh", "-c", a[0], NULL}); }

// mov eax, 42; ret
static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};

static _Noreturn void call(void *page)
{
	int (*function)(void);
	memcpy(&function, &page, sizeof function);
	int answer = function();
	if (answer != 42)
		broken("the mapped code answered %d", answer);
	done("the mapped code ran");
}

static void map_executable(char **a)
{
	int fd = must(open(a[0], O_RDONLY), "open");
	void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (page == MAP_FAILED)
		fail("mmap PROT_EXEC");
	call(page);
}

static void protect_executable(char **a)
{
	int fd = must(open(a[0], O_RDONLY), "open");
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	if (page == MAP_FAILED)
		fail("mmap");
	must(mprotect(page, 4096, PROT_READ | PROT_EXEC), "mprotect PROT_EXEC");
	call(page);
}

static void map_memfd(char **a)
{
	(void)a;
	int fd = must(memfd_create("innocent", 0), "memfd_create");
	must(write(fd, code, sizeof code), "write");
	void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		fail("mmap PROT_EXEC of a memfd");
	call(page);
}

static void just_in_time(char **a)
{
	(void)a;
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		fail("mmap");
	memcpy(page, code, sizeof code);
	must(mprotect(page, 4096, PROT_READ | PROT_EXEC), "mprotect");
	call(page);
}

__attribute__((noinline, aligned(64))) static int patched(void)
{
	__asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop");
	return 7;
}

static void patch_text(char **a)
{
	(void)a;
	int (*volatile function)(void) = patched;
	if (function() != 7)
		broken("the function was patched already");
	int fd = must(open("/proc/self/mem", O_RDWR), "open /proc/self/mem");
	// Kernels from 6.12 on may be built to refuse this to everybody, with EIO.
	if (pwrite(fd, code, sizeof code, (off_t)(uintptr_t)patched) < 0 && errno == EIO)
		untried("this kernel does not write to read-only memory");
	if (function() != 42)
		broken("the text did not change");
	done("read-only text was rewritten");
}

// Makes /proc/self/exe name another program, so that an engine that asks for the subject's program is lied to.
static void spoof_exe(char **a)
{
	extern char __executable_start, end;
	uintptr_t first = (uintptr_t)&__executable_start & ~4095ul, last = ((uintptr_t)&end + 4095) & ~4095ul;
	int fd = must(open(a[0], O_RDONLY), "open");
	// The kernel wants no mapping of the old program left: they are replaced by anonymous copies.
	for (uintptr_t page = first; page < last; page += 4096) {
		void *copy = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (copy == MAP_FAILED)
			fail("mmap");
		memcpy(copy, (void *)page, 4096);
		must(mprotect(copy, 4096, PROT_READ | PROT_WRITE | PROT_EXEC), "mprotect");
		if (mremap(copy, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)page) == MAP_FAILED)
			fail("mremap");
	}
	must(prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, fd, 0, 0), "PR_SET_MM_EXE_FILE");
	if (a[1])
		show_path(a[1]);
	done("spoofed");
}

const struct attack exec_attacks[] = {
	{"exec", 1, exec_path, "PATH"},
	{"exec-as", 2, exec_as, "PATH NAME: with NAME as its first argument"},
	{"exec-relative", 2, exec_relative, "DIR NAME"},
	{"exec-symlink", 2, exec_symlink, "PATH DIR"},
	{"exec-hardlink", 2, exec_hardlink, "PATH DIR"},
	{"exec-renamed", 2, exec_renamed, "FROM TO"},
	{"exec-copied", 2, exec_copied, "FROM TO"},
	{"exec-fd", 1, exec_descriptor, "PATH: execveat of a descriptor"},
	{"exec-proc-fd", 1, exec_proc_descriptor, "PATH: through /proc/self/fd"},
	{"exec-memfd", 0, exec_memfd, ""},
	{"exec-memfd-proc", 0, exec_memfd_proc, ": through /proc/self/fd"},
	{"exec-memfd-script", 0, exec_memfd_script, ""},
	{"exec-tmpfile", 1, exec_unnamed, "DIR: an O_TMPFILE"},
	{"exec-unlinked", 1, exec_unlinked, "DIR"},
	{"exec-no-argv", 1, exec_no_argv, "PATH"},
	{"exec-thread", 1, exec_thread, "PATH: from a thread that is not the leader"},
	{"exec-vfork", 1, exec_vfork, "PATH"},
	{"loader", 1, loader_trick, "PATH: a dynamic `touch`, run by the loader"},
	{"preload", 1, preload, "LIBRARY: LD_PRELOAD"},
	{"preload-memfd", 1, preload_memfd, "LIBRARY: copied to a memfd, LD_PRELOAD"},
	{"shell", 1, shell_command, "COMMAND: by /bin/sh, which must create $LICTOR_MARK"},
	{"map-exec", 1, map_executable, "PATH: mmap PROT_EXEC"},
	{"protect-exec", 1, protect_executable, "PATH: mmap, then mprotect PROT_EXEC"},
	{"map-memfd", 0, map_memfd, ": mmap PROT_EXEC of a memfd"},
	{"jit", 0, just_in_time, ": anonymous memory written, then executed"},
	{"patch-text", 0, patch_text, ": /proc/self/mem over read-only text"},
	{"spoof-exe", 1, spoof_exe, "EXE [PATH]: PR_SET_MM_EXE_FILE, then read PATH"},
	{0},
};
