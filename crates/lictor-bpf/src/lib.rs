//! lictor-bpf
