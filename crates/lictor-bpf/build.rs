// SPDX-License-Identifier: Apache-2.0
//! Compiles the kernel programs and generates their skeleton.
#![expect(clippy::expect_used, clippy::panic, reason = "a build script reports by panicking")]

use std::env;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;

fn main() {
    let source_dir = PathBuf::from("src/bpf");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    let (define, multiarch) = match arch.as_str() {
        "x86_64" => ("x86", "x86_64-linux-gnu"),
        "aarch64" => ("arm64", "aarch64-linux-gnu"),
        other => panic!("the kernel programs have not been tried on {other}"),
    };

    SkeletonBuilder::new()
        .source(source_dir.join("lictor.bpf.c"))
        .obj(out.join("lictor.bpf.o"))
        .clang_args([
            format!("-I/usr/include/{multiarch}"),
            format!("-D__TARGET_ARCH_{define}"),
            "-mcpu=v3".into(), // atomic compare-and-swap
            "-Wall".into(),
            "-Werror".into(),
        ])
        .build_and_generate(out.join("lictor.skel.rs"))
        .unwrap_or_else(|error| panic!("clang could not build the kernel programs: {error:#}"));

    for entry in source_dir.read_dir().expect("src/bpf is there") {
        println!("cargo:rerun-if-changed={}", entry.expect("readable").path().display());
    }
}
