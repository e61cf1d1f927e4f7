/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one object: its parts, and a global of each type that only travels in the ring, so that it stays in BTF. */
#include "exec.bpf.c"
#include "file.bpf.c"
#include "net.bpf.c"
#include "process.bpf.c"
#include "kernel.bpf.c"

struct lictor_policy _policy SEC(".rodata.types");
struct lictor_event _event SEC(".rodata.types");
struct lictor_identity _identity SEC(".rodata.types");
struct lictor_process _process SEC(".rodata.types");

char LICENSE[] SEC("license") = "Dual BSD/GPL";
