// SPDX-License-Identifier: Apache-2.0
//
// Ways to change what may not be changed. The caller compares the tree before and after.
#include "attack.h"
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/xattr.h>

static void put(int fd, const char *text)
{
	size_t size = strlen(text);
	long written = write(fd, text, size);
	if (written < 0)
		fail("write");
	if ((size_t)written != size)
		broken("a short write");
	// Some kernel files report the result of a write only when they are closed.
	if (close(fd) < 0)
		fail("close");
}

static void write_path(char **a)
{
	put(must(open(a[0], O_WRONLY), "open for writing"), a[1]);
	done("written");
}

static void open_for_writing(char **a)
{
	must(open(a[0], O_RDWR), "open for writing");
	done("opened");
}

static void append(char **a)
{
	put(must(open(a[0], O_WRONLY | O_APPEND), "open for appending"), a[1]);
	done("appended");
}

static void create(char **a)
{
	put(must(open(a[0], O_WRONLY | O_CREAT | O_EXCL, 0644), "open O_CREAT"), a[1]);
	done("created");
}

static void truncate_path(char **a)
{
	must(truncate(a[0], 0), "truncate");
	done("truncate");
}

static void truncate_open(char **a)
{
	must(open(a[0], O_RDONLY | O_TRUNC), "open O_TRUNC");
	done("O_TRUNC");
}

static void make_directory(char **a)
{
	must(mkdir(a[0], 0755), "mkdir");
	done("mkdir");
}

static void make_fifo(char **a)
{
	must(mknod(a[0], S_IFIFO | 0644, 0), "mknod");
	done("mknod");
}

static void make_symlink(char **a)
{
	must(symlink(a[0], a[1]), "symlink");
	done("symlink");
}

static void make_link(char **a)
{
	must(link(a[0], a[1]), "link");
	done("link");
}

static void rename_path(char **a)
{
	must(rename(a[0], a[1]), "rename");
	done("rename");
}

static void exchange(char **a)
{
	must(renameat2(AT_FDCWD, a[0], AT_FDCWD, a[1], RENAME_EXCHANGE), "renameat2 RENAME_EXCHANGE");
	done("exchanged");
}

static void remove_path(char **a)
{
	must(unlink(a[0]), "unlink");
	done("unlink");
}

static void remove_directory(char **a)
{
	must(rmdir(a[0]), "rmdir");
	done("rmdir");
}

static void change_mode(char **a)
{
	must(chmod(a[0], 0777), "chmod");
	done("chmod");
}

// A descriptor opened for reading is enough for fchmod: an engine that looks only at opens for writing misses it.
static void change_mode_by_descriptor(char **a)
{
	must(fchmod(must(open(a[0], O_RDONLY), "open"), 0777), "fchmod");
	done("fchmod");
}

static void change_owner(char **a)
{
	must(chown(a[0], 12345, 12345), "chown");
	done("chown");
}

static void set_attribute(char **a)
{
	must(setxattr(a[0], "user.lictor", "x", 1, 0), "setxattr");
	done("setxattr");
}

static void set_acl(char **a)
{
	// Version 2; user::rwx, user:1000:rwx, group::r-x, mask::rwx, other::r-x.
	struct {
		uint32_t version;
		struct {
			uint16_t tag, perm;
			uint32_t id;
		} entry[5];
	} acl = {2, {{1, 7, ~0u}, {2, 7, 1000}, {4, 5, ~0u}, {16, 7, ~0u}, {32, 5, ~0u}}};
	must(setxattr(a[0], "system.posix_acl_access", &acl, sizeof acl, 0), "setxattr ACL");
	done("ACL");
}

static void set_times(char **a)
{
	struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};
	must(utimensat(AT_FDCWD, a[0], times, 0), "utimensat");
	done("utimensat");
}

static void set_flags(char **a)
{
	int fd = must(open(a[0], O_RDONLY), "open"), flags = 0;
	must(ioctl(fd, FS_IOC_GETFLAGS, &flags), "FS_IOC_GETFLAGS");
	flags ^= FS_NODUMP_FL;
	must(ioctl(fd, FS_IOC_SETFLAGS, &flags), "FS_IOC_SETFLAGS");
	done("FS_IOC_SETFLAGS");
}

static void map_shared(char **a)
{
	int fd = must(open(a[0], O_RDWR), "open for writing");
	char *bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		fail("mmap");
	bytes[0] = 'X';
	must(msync(bytes, 4096, MS_SYNC), "msync");
	done("stored");
}

static void link_unnamed(char **a)
{
	int fd = must(open(a[0], O_TMPFILE | O_RDWR, 0755), "open O_TMPFILE");
	must(write(fd, "#!/bin/sh\n", 10), "write");
	char alias[64];
	snprintf(alias, sizeof alias, "/proc/self/fd/%d", fd);
	must(linkat(AT_FDCWD, alias, AT_FDCWD, a[1], AT_SYMLINK_FOLLOW), "linkat");
	done("linkat");
}

static void rename_new(char **a)
{
	put(must(open(a[0], O_WRONLY | O_CREAT | O_TRUNC, 0755), "create"), "#!/bin/sh\n");
	must(rename(a[0], a[1]), "rename");
	done("renamed into place");
}

// Renames an ancestor of the protected name away, writes under its new name, and renames it back.
static void ancestor(char **a)
{
	must(rename(a[0], a[1]), "rename the ancestor away");
	put(must(open(join(a[1], a[2]), O_WRONLY | O_CREAT | O_TRUNC, 0755), "create below it"), "#!/bin/sh\n");
	must(rename(a[1], a[0]), "rename the ancestor back");
	done("written below a renamed ancestor");
}

// Builds a directory elsewhere and renames it as a whole to the protected name.
static void directory_swap(char **a)
{
	char *away = join(a[0], "away"), *fresh = join(a[0], "fresh");
	must(mkdir(fresh, 0755), "mkdir");
	put(must(open(join(fresh, a[2]), O_WRONLY | O_CREAT, 0755), "create"), "#!/bin/sh\n");
	must(rename(a[1], away), "rename the directory away");
	must(rename(fresh, a[1]), "rename the new directory into place");
	done("directory swapped");
}

static void copy_range(char **a)
{
	int from = must(open(a[0], O_RDONLY), "open the source");
	int to = must(open(a[1], O_WRONLY), "open for writing");
	must(copy_file_range(from, NULL, to, NULL, 8, 0), "copy_file_range");
	done("copy_file_range");
}

const struct attack write_attacks[] = {
	{"write", 2, write_path, "PATH TEXT"},
	{"open-write", 1, open_for_writing, "PATH"},
	{"append", 2, append, "PATH TEXT"},
	{"create", 2, create, "PATH TEXT: must not exist yet"},
	{"truncate", 1, truncate_path, "PATH"},
	{"truncate-open", 1, truncate_open, "PATH: O_RDONLY|O_TRUNC"},
	{"mkdir", 1, make_directory, "PATH"},
	{"mkfifo", 1, make_fifo, "PATH"},
	{"symlink", 2, make_symlink, "TARGET PATH"},
	{"link", 2, make_link, "FROM TO"},
	{"rename", 2, rename_path, "FROM TO"},
	{"exchange", 2, exchange, "A B"},
	{"unlink", 1, remove_path, "PATH"},
	{"rmdir", 1, remove_directory, "PATH"},
	{"chmod", 1, change_mode, "PATH"},
	{"fchmod", 1, change_mode_by_descriptor, "PATH: by a descriptor opened for reading"},
	{"chown", 1, change_owner, "PATH"},
	{"setxattr", 1, set_attribute, "PATH"},
	{"setacl", 1, set_acl, "PATH"},
	{"utimes", 1, set_times, "PATH"},
	{"setflags", 1, set_flags, "PATH: FS_IOC_SETFLAGS"},
	{"mmap-write", 1, map_shared, "PATH: store through a shared mapping"},
	{"tmpfile-link", 2, link_unnamed, "DIR PATH: O_TMPFILE in DIR, linkat to PATH"},
	{"rename-new", 2, rename_new, "TEMP PATH: create TEMP, rename it to PATH"},
	{"ancestor", 3, ancestor, "DIR AWAY NAME: rename DIR to AWAY, create AWAY/NAME, rename back"},
	{"directory-swap", 3, directory_swap, "SCRATCH DIR NAME: replace DIR by one that holds NAME"},
	{"copy-range", 2, copy_range, "FROM TO: copy_file_range"},
	{0},
};
