// SPDX-License-Identifier: Apache-2.0
//
// Attacks on the kernel and on the enforcement itself: BPF, perf, modules, mounts, devices, clocks.
#include "attack.h"
#include <dirent.h>
#include <linux/bpf.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/kexec.h>
#include <linux/mount.h>
#include <ftw.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>

// glibc's <sys/mount.h> and <linux/mount.h> do not go together on every release: these three are all that is needed.
extern int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
extern int umount2(const char *target, int flags);
enum { LAZY_UNMOUNT = 2 };
#ifndef MS_BIND
#define MS_BIND 4096
#define MS_REMOUNT 32
#define MS_RDONLY 1
#endif

static long bpf(enum bpf_cmd command, union bpf_attr *attr) { return syscall(SYS_bpf, command, attr, sizeof *attr); }

static int new_map(const char *name)
{
	union bpf_attr attr = {.map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 4, .max_entries = 8};
	strncpy(attr.map_name, name, sizeof attr.map_name - 1);
	return (int)bpf(BPF_MAP_CREATE, &attr);
}

static void bpf_map(char **a)
{
	(void)a;
	must(new_map("attack"), "BPF_MAP_CREATE");
	done("BPF_MAP_CREATE");
}

static void bpf_prog(char **a)
{
	(void)a;
	struct bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0}, {.code = BPF_JMP | BPF_EXIT}};
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insns = (uintptr_t)code, .insn_cnt = 2, .license = (uintptr_t) "GPL"};
	must(bpf(BPF_PROG_LOAD, &attr), "BPF_PROG_LOAD");
	done("BPF_PROG_LOAD");
}

// Stands in for the daemon: holds a map, pins it, and waits.
static void bpf_hold(char **a)
{
	int fd = must(new_map("held"), "BPF_MAP_CREATE");
	uint32_t one = 1;
	union bpf_attr element = {.map_fd = (uint32_t)fd, .key = (uintptr_t)&one, .value = (uintptr_t)&one};
	must(bpf(BPF_MAP_UPDATE_ELEM, &element), "BPF_MAP_UPDATE_ELEM");
	union bpf_attr pin = {.pathname = (uintptr_t)a[0], .bpf_fd = (uint32_t)fd};
	must(bpf(BPF_OBJ_PIN, &pin), "BPF_OBJ_PIN");
	printf("READY %d\n", getpid());
	fflush(stdout);
	for (;;)
		pause();
}

// Removes one entry, or rewrites the first value of an array: either would change what the maps say.
static void spoil(int fd)
{
	struct bpf_map_info info = {0};
	union bpf_attr query = {.info = {.bpf_fd = (uint32_t)fd, .info_len = sizeof info, .info = (uintptr_t)&info}};
	must(bpf(BPF_OBJ_GET_INFO_BY_FD, &query), "BPF_OBJ_GET_INFO_BY_FD");
	static unsigned char key[4096], value[65536];
	union bpf_attr next = {.map_fd = (uint32_t)fd, .key = 0, .next_key = (uintptr_t)key};
	if (info.key_size > sizeof key || bpf(BPF_MAP_GET_NEXT_KEY, &next) < 0)
		return;
	union bpf_attr element = {.map_fd = (uint32_t)fd, .key = (uintptr_t)key, .value = (uintptr_t)value};
	if (bpf(BPF_MAP_DELETE_ELEM, &element) == 0)
		done("an entry of map %.16s was deleted", info.name);
	if (errno == EINVAL && info.value_size <= sizeof value && bpf(BPF_MAP_LOOKUP_ELEM, &element) == 0 && bpf(BPF_MAP_UPDATE_ELEM, &element) == 0)
		done("an entry of map %.16s was rewritten", info.name);
}

// Finds the ids of the maps that a process holds in its fdinfo and takes them by id.
static void bpf_by_id(char **a)
{
	char *directory;
	must(asprintf(&directory, "/proc/%s/fdinfo", a[0]), "asprintf");
	DIR *entries = opendir(directory);
	if (!entries)
		fail("open /proc/PID/fdinfo");
	int maps = 0, refused = 0;
	for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
		FILE *file = fopen(join(directory, entry->d_name), "r");
		char line[256];
		unsigned id = 0;
		while (file && fgets(line, sizeof line, file))
			if (sscanf(line, "map_id: %u", &id) == 1)
				break;
		if (file)
			fclose(file);
		if (!id)
			continue;
		maps++;
		union bpf_attr attr = {.map_id = id};
		int fd = (int)bpf(BPF_MAP_GET_FD_BY_ID, &attr);
		if (fd < 0) {
			refused += errno == EPERM;
			continue;
		}
		spoil(fd);
		close(fd);
	}
	if (!maps)
		broken("no map found in %s", directory);
	errno = EPERM;
	if (refused)
		fail("BPF_MAP_GET_FD_BY_ID");
	broken("%d maps, none could be spoiled and none was refused", maps);
}

static int pins_opened, pins_refused;

static int try_pin(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status, (void)where;
	if (type != FTW_F)
		return 0;
	union bpf_attr attr = {.pathname = (uintptr_t)path};
	int fd = (int)bpf(BPF_OBJ_GET, &attr);
	if (fd < 0) {
		pins_refused += errno == EPERM;
		return 0;
	}
	pins_opened++;
	spoil(fd);
	close(fd);
	return 0;
}

static void bpf_pinned(char **a)
{
	if (nftw(a[0], try_pin, 16, FTW_PHYS) < 0)
		fail("walk over the pins");
	errno = EPERM;
	if (pins_refused)
		fail("BPF_OBJ_GET");
	broken("%d pins opened, none spoiled, none refused", pins_opened);
}

static void remove_pins(char **a)
{
	DIR *entries = opendir(a[0]);
	if (!entries)
		fail("open the pins");
	int removed = 0;
	for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		must(unlinkat(dirfd(entries), entry->d_name, entry->d_type == DT_DIR ? AT_REMOVEDIR : 0), "unlink a pin");
		removed++;
	}
	if (!removed)
		broken("no pins in %s", a[0]);
	done("%d pins removed", removed);
}

static void perf(char **a)
{
	(void)a;
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_CPU_CLOCK};
	/* All of one CPU, not one task: a task's event switches the scheduler's own code over, which an emulated guest
	   with several CPUs does not always survive. */
	must(syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0), "perf_event_open");
	done("perf_event_open");
}

static void fault_handler(char **a)
{
	(void)a;
	int fd = must(syscall(SYS_userfaultfd, O_CLOEXEC), "userfaultfd");
	struct uffdio_api api = {.api = UFFD_API};
	must(ioctl(fd, UFFDIO_API, &api), "UFFDIO_API");
	done("userfaultfd");
}

static void load_module_file(char **a)
{
	int fd = must(open(a[0], O_RDONLY), "open the module");
	must(syscall(SYS_finit_module, fd, "", 0), "finit_module");
	done("finit_module");
}

static void load_module_memory(char **a)
{
	int fd = must(open(a[0], O_RDONLY), "open the module");
	struct stat info;
	must(fstat(fd, &info), "fstat");
	void *image = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (image == MAP_FAILED)
		fail("mmap");
	must(syscall(SYS_init_module, image, info.st_size, ""), "init_module");
	done("init_module");
}

static void unload_module(char **a)
{
	must(syscall(SYS_delete_module, a[0], O_NONBLOCK), "delete_module");
	done("delete_module");
}

static void kexec(char **a)
{
	(void)a;
	must(syscall(SYS_kexec_load, 0, 0, NULL, KEXEC_ARCH_DEFAULT), "kexec_load");
	done("kexec_load");
}

static void mount_tmpfs(char **a)
{
	must(mount("none", a[0], "tmpfs", 0, NULL), "mount");
	done("mount");
}

static void mount_bind(char **a)
{
	must(mount(a[0], a[1], NULL, MS_BIND, NULL), "mount --bind");
	done("mount --bind");
}

static void mount_move_new(char **a)
{
	int context = must(syscall(SYS_fsopen, "tmpfs", 0), "fsopen");
	must(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0), "fsconfig");
	int tree = must(syscall(SYS_fsmount, context, 0, 0), "fsmount");
	must(syscall(SYS_move_mount, tree, "", AT_FDCWD, a[0], MOVE_MOUNT_F_EMPTY_PATH), "move_mount");
	done("move_mount");
}

static void mount_clone(char **a)
{
	int tree = must(syscall(SYS_open_tree, AT_FDCWD, a[0], 1 /* OPEN_TREE_CLONE */), "open_tree");
	must(syscall(SYS_move_mount, tree, "", AT_FDCWD, a[1], MOVE_MOUNT_F_EMPTY_PATH), "move_mount");
	done("move_mount of a clone");
}

static void mount_remount(char **a)
{
	must(mount("none", a[0], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), "remount");
	done("remount");
}

// Two lower layers and no upper one: that works on any file system below.
static void mount_overlay(char **a)
{
	char *options, *empty = join(a[1], "empty"), *merged = join(a[1], "merged");
	must(mkdir(empty, 0755), "mkdir");
	must(mkdir(merged, 0755), "mkdir");
	must(asprintf(&options, "lowerdir=%s:%s", a[0], empty), "asprintf");
	must(mount("overlay", merged, "overlay", 0, options), "mount overlay");
	show_path(join(merged, a[2]));
}

// A file system that a program of one's own serves, and that may answer each read differently.
static void mount_fuse(char **a)
{
	int device = open("/dev/fuse", O_RDWR);
	if (device < 0 && (errno == ENOENT || errno == ENODEV))
		untried("this kernel has no FUSE");
	must(device, "open /dev/fuse");
	char options[96];
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
	must(mount("attack", a[0], "fuse", 0, options), "mount fuse");
	umount2(a[0], LAZY_UNMOUNT);
	done("mount fuse");
}

// An interpreter for every program that begins with some bytes, run by the kernel for everybody.
static void register_format(char **a)
{
	static const char format[] = ":lictor-attack:M::\\x7fATTACK::/bin/true:";
	int fd = must(open(join(a[0], "register"), O_WRONLY), "open register");
	must(write(fd, format, sizeof format - 1), "register a format");
	fd = must(open(join(a[0], "lictor-attack"), O_WRONLY), "open the format");
	must(write(fd, "-1", 2), "take the format back");
	done("registered");
}

// Executes a file of a format that the kernel does not know, for which it asks for the module `binfmt-0403`.
static void autoload(char **a)
{
	struct utsname system;
	int major = 0, minor = 0;
	uname(&system);
	sscanf(system.release, "%d.%d", &major, &minor);
	if (major > 6 || (major == 6 && minor >= 14))
		untried("since 6.14 the kernel asks for no module here");
	char *loaded, *program = join(a[1], "odd-program");
	must(asprintf(&loaded, "/sys/module/%s", a[0]), "asprintf");
	int fd = must(open(program, O_WRONLY | O_CREAT | O_TRUNC, 0755), "create");
	must(write(fd, "\1\2\3\4\5\6\7\10", 8), "write");
	close(fd);
	execl(program, program, (char *)NULL);
	if (errno != ENOEXEC)
		fail("exec of an unknown format");
	if (access(loaded, F_OK) == 0)
		done("the kernel loaded %s", a[0]);
	// The caller of execve is not told why there was no module; that the request was denied is in the record.
	errno = EPERM;
	fail("loading a module by itself");
}

static void unmount(char **a)
{
	must(umount2(a[0], LAZY_UNMOUNT), "umount2");
	done("umount2");
}

static void pivot(char **a)
{
	must(syscall(SYS_unshare, 0x00020000 /* CLONE_NEWNS */), "unshare CLONE_NEWNS");
	must(mount(NULL, "/", NULL, 16384 | (1 << 18) /* MS_REC | MS_PRIVATE */, NULL), "mount private");
	must(mount("none", a[0], "tmpfs", 0, NULL), "mount");
	must(mkdir(join(a[0], "old"), 0755), "mkdir");
	must(syscall(SYS_pivot_root, a[0], join(a[0], "old")), "pivot_root");
	done("pivot_root");
}

static void new_mounts(char **a)
{
	(void)a;
	must(syscall(SYS_unshare, 0x00020000 /* CLONE_NEWNS */), "unshare CLONE_NEWNS");
	done("unshare");
}

static void read_device(char **a)
{
	unsigned char bytes[512];
	int fd = open(a[0], O_RDONLY);
	if (fd < 0 && errno == ENOENT)
		untried("no %s", a[0]);
	must(fd, "open the device");
	must(pread(fd, bytes, sizeof bytes, number(a[1])), "read the device");
	done("read the device");
}

static void make_device(char **a)
{
	struct stat info;
	must(stat(a[0], &info), "stat the device");
	must(mknod(a[1], (info.st_mode & S_IFMT) | 0600, info.st_rdev), "mknod");
	char *arguments[] = {a[1], "1024"};
	read_device(arguments);
}

static void tunnel(char **a)
{
	(void)a;
	int fd = open("/dev/net/tun", O_RDWR);
	if (fd < 0 && (errno == ENOENT || errno == ENODEV))
		untried("no /dev/net/tun");
	must(fd, "open /dev/net/tun");
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	must(ioctl(fd, TUNSETIFF, &request), "TUNSETIFF");
	done("TUNSETIFF");
}

// Sets the clock to what it says already: refused or not, nothing changes for the rest of the guest.
static void set_clock(char **a)
{
	(void)a;
	struct timespec now;
	must(clock_gettime(CLOCK_REALTIME, &now), "clock_gettime");
	must(clock_settime(CLOCK_REALTIME, &now), "clock_settime");
	done("clock_settime");
}

static void reboot_key(char **a)
{
	(void)a;
	must(reboot(RB_DISABLE_CAD), "reboot");
	done("reboot");
}

static void port_access(char **a)
{
	(void)a;
	must(syscall(SYS_iopl, 3), "iopl");
	done("iopl");
}

static void read_kernel_log(char **a)
{
	(void)a;
	must(syscall(SYS_syslog, 5 /* CLEAR */, NULL, 0), "syslog");
	done("syslog");
}

static void account(char **a)
{
	must(syscall(SYS_acct, a[0]), "acct");
	must(syscall(SYS_acct, NULL), "acct off");
	done("acct");
}

const struct attack kernel_attacks[] = {
	{"bpf-map", 0, bpf_map, ""},
	{"bpf-prog", 0, bpf_prog, ""},
	{"bpf-hold", 1, bpf_hold, "PIN: holds and pins a map and waits"},
	{"bpf-by-id", 1, bpf_by_id, "PID: spoil a map of that process, taken by its id"},
	{"bpf-pinned", 1, bpf_pinned, "DIR: spoil a pinned map"},
	{"remove-pins", 1, remove_pins, "DIR"},
	{"perf", 0, perf, ""},
	{"userfaultfd", 0, fault_handler, ""},
	{"module-file", 1, load_module_file, "PATH: finit_module"},
	{"module-memory", 1, load_module_memory, "PATH: init_module"},
	{"module-unload", 1, unload_module, "NAME: delete_module"},
	{"kexec", 0, kexec, ""},
	{"mount", 1, mount_tmpfs, "DIR"},
	{"mount-bind", 2, mount_bind, "FROM TO"},
	{"mount-new", 1, mount_move_new, "DIR: fsopen, fsmount, move_mount"},
	{"mount-clone", 2, mount_clone, "FROM TO: open_tree, move_mount"},
	{"remount", 1, mount_remount, "DIR"},
	{"mount-overlay", 3, mount_overlay, "LOWER SCRATCH NAME: read NAME through an overlay"},
	{"mount-fuse", 1, mount_fuse, "DIR"},
	{"binfmt", 1, register_format, "DIR: of binfmt_misc"},
	{"autoload", 2, autoload, "MODULE DIR: that the kernel loads for `binfmt-0403`"},
	{"umount", 1, unmount, "DIR"},
	{"pivot-root", 1, pivot, "DIR"},
	{"mountns", 0, new_mounts, ""},
	{"read-device", 2, read_device, "PATH OFFSET"},
	{"mknod-device", 2, make_device, "ORIGINAL PATH: mknod, then read"},
	{"tun", 0, tunnel, ""},
	{"set-clock", 0, set_clock, ""},
	{"reboot-key", 0, reboot_key, ": only the ctrl-alt-del switch"},
	{"iopl", 0, port_access, ""},
	{"clear-log", 0, read_kernel_log, ""},
	{"acct", 1, account, "PATH"},
	{0},
};
