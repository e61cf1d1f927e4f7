// SPDX-License-Identifier: Apache-2.0
//
// Ways to read a file that may not be read. Each prints what it read: the caller looks for the secret in it.
#include "attack.h"
#include <dirent.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>

// Makes an overlay copy a file up from below, and reads the copy.
static void read_copied_up(char **a)
{
	must(chmod(a[0], 0640), "chmod");
	show_path(a[0]);
}

static void read_path(char **a) { show_path(a[0]); }

static void read_symlink(char **a)
{
	char *alias = join(a[1], "symlink");
	must(symlink(a[0], alias), "symlink");
	show_path(alias);
}

static void read_hardlink(char **a)
{
	char *alias = join(a[1], "hardlink");
	must(link(a[0], alias), "link");
	show_path(alias);
}

static void read_relative(char **a)
{
	must(chdir(a[0]), "chdir");
	show_path(a[1]);
}

static void read_dirfd(char **a)
{
	int directory = must(open(a[0], O_PATH | O_DIRECTORY), "open the directory");
	show(must(openat(directory, a[1], O_RDONLY), "openat"), "read");
}

static void read_opath(char **a)
{
	int fd = must(open(a[0], O_PATH), "open O_PATH");
	char alias[64];
	snprintf(alias, sizeof alias, "/proc/self/fd/%d", fd);
	show_path(alias);
}

static void read_openat2(char **a)
{
	struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_NO_MAGICLINKS};
	show(must(syscall(SYS_openat2, AT_FDCWD, a[0], &how, sizeof how), "openat2"), "read");
}

static void read_handle(char **a)
{
	struct {
		struct file_handle head;
		unsigned char bytes[128];
	} handle = {.head.handle_bytes = 128};
	int mount_id;
	must(name_to_handle_at(AT_FDCWD, a[0], &handle.head, &mount_id, 0), "name_to_handle_at");
	int mount = must(open(a[1], O_RDONLY | O_DIRECTORY), "open the mount");
	show(must(open_by_handle_at(mount, &handle.head, O_RDONLY), "open_by_handle_at"), "read");
}

static void read_renamed(char **a)
{
	must(rename(a[0], a[1]), "rename");
	show_path(a[2]);
}

static void read_exchanged(char **a)
{
	must(renameat2(AT_FDCWD, a[0], AT_FDCWD, a[1], RENAME_EXCHANGE), "renameat2 RENAME_EXCHANGE");
	show_path(a[1]);
}

static void read_chroot(char **a)
{
	must(chroot(a[0]), "chroot");
	must(chdir("/"), "chdir");
	show_path(a[1]);
}

static void read_open_tree(char **a)
{
	int tree = must(syscall(SYS_open_tree, AT_FDCWD, a[0], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), "open_tree");
	show(must(openat(tree, a[1], O_RDONLY), "openat in the detached tree"), "read");
}

static void read_mount_namespace(char **a)
{
	must(unshare(CLONE_NEWNS), "unshare CLONE_NEWNS");
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount private");
	must(mount(a[0], a[1], NULL, MS_BIND, NULL), "mount bind");
	show_path(join(a[1], a[2]));
}

static void read_mapped(char **a)
{
	int fd = must(open(a[0], O_RDONLY), "open");
	char *bytes = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		fail("mmap");
	printf("%.200s", bytes);
	done("mmap");
}

static void read_sendfile(char **a)
{
	int fd = must(open(a[0], O_RDONLY), "open");
	int pipes[2];
	must(pipe(pipes), "pipe");
	must(sendfile(pipes[1], fd, NULL, 200), "sendfile");
	show(pipes[0], "pipe");
}

static void read_copied(char **a)
{
	int from = must(open(a[0], O_RDONLY), "open");
	int to = must(open(join(a[1], "copy"), O_RDWR | O_CREAT | O_TRUNC, 0600), "open the copy");
	must(copy_file_range(from, NULL, to, NULL, 200, 0), "copy_file_range");
	must(lseek(to, 0, SEEK_SET), "lseek");
	show(to, "copy");
}

static void list_directory(char **a)
{
	DIR *directory = opendir(a[0]);
	if (!directory)
		fail("opendir");
	int entries = 0;
	for (struct dirent *entry; (entry = readdir(directory)) != NULL; entries++)
		puts(entry->d_name);
	done("%d entries", entries);
}

static void read_target(char **a)
{
	char target[4096];
	long size = readlink(a[0], target, sizeof target - 1);
	must(size, "readlink");
	printf("%.*s\n", (int)size, target);
	done("readlink");
}

// Watches a directory and proves that it works by touching nothing itself: the caller writes while we wait.
static void watch_directory(char **a)
{
	int fd = must(inotify_init1(IN_CLOEXEC), "inotify_init1");
	must(inotify_add_watch(fd, a[0], IN_ALL_EVENTS), "inotify_add_watch");
	done("inotify_add_watch");
}

static void read_spoofed(char **a)
{
	must(prctl(PR_SET_NAME, "lictord", 0, 0, 0), "PR_SET_NAME");
	show_path(a[0]);
}

// int 0x80 enters the 32-bit table from 64-bit code. Its pointers have 32 bits, so the path is copied low.
long ia32(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
	return result;
}

void *low_page(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (page == MAP_FAILED)
		fail("mmap MAP_32BIT");
	return page;
}

static void read_ia32(char **a)
{
	enum { IA32_OPEN = 5, IA32_GETPID = 20 };
	if (ia32(IA32_GETPID, 0, 0, 0) == -ENOSYS)
		untried("no 32-bit system calls here");
	char *path = low_page();
	snprintf(path, 4096, "%s", a[0]);
	long fd = ia32(IA32_OPEN, (long)path, O_RDONLY, 0);
	if (fd < 0)
		errno = (int)-fd;
	must(fd, "int 0x80 open");
	show((int)fd, "read");
}

// Opens the path again and again while a sibling process swaps it between a harmless file and the secret.
static void read_race(char **a)
{
	const char *harmless = a[0], *secret = a[1];
	char *alias = join(a[2], "race"), *fresh = join(a[2], "race.new");
	must(symlink(harmless, alias), "symlink");
	pid_t swapper = must(fork(), "fork");
	if (swapper == 0)
		for (;;) {
			if (symlink(secret, fresh) == 0)
				rename(fresh, alias);
			if (symlink(harmless, fresh) == 0)
				rename(fresh, alias);
		}
	char expected[256] = {0}, got[256];
	int fd = must(open(harmless, O_RDONLY), "open the harmless file");
	must(read(fd, expected, sizeof expected - 1), "read");
	close(fd);
	int denied = 0;
	for (int i = 0; i < 4000; i++) {
		fd = open(alias, O_RDONLY);
		if (fd < 0) {
			denied += errno == EPERM;
			continue;
		}
		memset(got, 0, sizeof got);
		if (read(fd, got, sizeof got - 1) > 0 && strcmp(got, expected)) {
			kill(swapper, 9);
			fputs(got, stdout);
			done("the race was won at try %d", i);
		}
		close(fd);
	}
	kill(swapper, 9);
	if (!denied)
		broken("the race never reached the secret");
	errno = EPERM;
	fail("open, in every one of the tries that reached it");
}

const struct attack file_attacks[] = {
	{"read", 1, read_path, "PATH: open and read"},
	{"read-symlink", 2, read_symlink, "PATH DIR: through a new symbolic link in DIR"},
	{"read-hardlink", 2, read_hardlink, "PATH DIR: through a new hard link in DIR"},
	{"read-relative", 2, read_relative, "DIR NAME: after chdir"},
	{"read-dirfd", 2, read_dirfd, "DIR NAME: openat an O_PATH directory"},
	{"read-opath", 1, read_opath, "PATH: O_PATH, then open again through /proc/self/fd"},
	{"read-openat2", 1, read_openat2, "PATH"},
	{"read-handle", 2, read_handle, "PATH MOUNT: name_to_handle_at and open_by_handle_at"},
	{"read-renamed", 3, read_renamed, "FROM TO PATH: rename FROM to TO, then read PATH"},
	{"read-exchanged", 2, read_exchanged, "PATH OTHER: swap the two names, then read OTHER"},
	{"read-chroot", 2, read_chroot, "ROOT PATH"},
	{"read-open-tree", 2, read_open_tree, "DIR NAME: in a detached clone of DIR's mount"},
	{"read-mntns", 3, read_mount_namespace, "DIR AT NAME: bind DIR at AT in a new mount namespace"},
	{"read-mmap", 1, read_mapped, "PATH"},
	{"read-sendfile", 1, read_sendfile, "PATH"},
	{"read-copy", 2, read_copied, "PATH DIR: copy_file_range into DIR"},
	{"list", 1, list_directory, "DIR"},
	{"readlink", 1, read_target, "PATH"},
	{"watch", 1, watch_directory, "DIR: inotify"},
	{"read-spoofed", 1, read_spoofed, "PATH: with the name of another program"},
	{"read-ia32", 1, read_ia32, "PATH: open by int 0x80"},
	{"read-race", 3, read_race, "HARMLESS PATH DIR: a link swapped while it is opened"},
	{"read-copied-up", 1, read_copied_up, "PATH: on an overlay"},
	{0},
};
