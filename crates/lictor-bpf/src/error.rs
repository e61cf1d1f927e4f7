// SPDX-License-Identifier: Apache-2.0
use std::path::PathBuf;

/// What went wrong at the kernel boundary, sorted by who must act.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This host cannot enforce: the operator must change something (see `lictor doctor`).
    #[error("this kernel cannot enforce: {0}")]
    Unsupported(String),
    /// The kernel refused the programs.
    #[error("the kernel refused {what}: {cause}\n{log}")]
    Refused { what: String, cause: libbpf_rs::Error, log: String },
    #[error("{what}: {cause}")]
    Bpf { what: String, cause: libbpf_rs::Error },
    #[error("{what}: {cause}")]
    Io { what: String, cause: std::io::Error },
    /// A table is full; says which and what to do.
    #[error("{0}")]
    Full(String),
    /// What was written did not read back the same.
    #[error("the kernel map `{0}` does not hold what was written to it; the policy was not switched")]
    Verify(&'static str),
    #[error("another lictord uses the pins in {path}: stop it first", path = .0.display())]
    Held(PathBuf),
    #[error("the pins in {path} are damaged: {detail}", path = .0.display(), detail = .1)]
    Pins(PathBuf, String),
}

pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    let what = what.into();
    move |cause| Error::Io { what, cause }
}

pub(crate) fn errno(what: impl Into<String>) -> impl FnOnce(nix::errno::Errno) -> Error {
    let what = what.into();
    move |cause| Error::Io { what, cause: cause.into() }
}

pub(crate) fn bpf(what: impl Into<String>) -> impl FnOnce(libbpf_rs::Error) -> Error {
    let what = what.into();
    move |cause| Error::Bpf { what, cause }
}
