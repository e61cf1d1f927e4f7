// SPDX-License-Identifier: Apache-2.0
//
// A shared object that leaves a mark when it is loaded: what LD_PRELOAD brings into a program.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void loaded(void)
{
	const char *mark = getenv("LICTOR_MARK");
	int fd = mark ? open(mark, O_WRONLY | O_CREAT, 0644) : -1;
	if (fd >= 0)
		close(fd);
}
