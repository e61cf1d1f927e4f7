// SPDX-License-Identifier: Apache-2.0
//! Finds and loads `libonnxruntime`, once for the process.
//!
//! `ort` panics when it has to look for the library itself and finds none; so nothing of it is used before
//! [`environment`] has loaded a file that exists.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::environment::Environment;

use super::ClassifierError;

/// Name of the library beside the program and in the system folder.
const NAME: &str = "libonnxruntime.so";
const SYSTEM: &str = "/usr/lib/lictor";

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// The ONNX Runtime of this process, from `library` when it is given, otherwise from the first of the usual places.
/// Once loaded it stays; a later call with another path gets the one that is there.
pub(crate) fn environment(library: Option<&Path>) -> Result<&'static Environment, ClassifierError> {
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment);
    }
    let _one = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment);
    }
    let path = find(library)?;
    let broken = |reason: String| ClassifierError::Library { path: path.clone(), reason };
    // What is not a shared object is refused here: the loader's own message would not say so.
    let mut magic = [0_u8; 4];
    std::fs::File::open(&path)
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut magic))
        .map_err(|error| broken(error.to_string()))?;
    if magic != *b"\x7fELF" {
        return Err(broken("it is not a shared library".to_owned()));
    }
    let builder = ort::init_from(&path).map_err(|error| broken(error.to_string()))?;
    let environment = builder.with_telemetry(false).build().map_err(|error| broken(error.to_string()))?;
    Ok(ENVIRONMENT.get_or_init(|| environment))
}

/// The library's file: `library`, else `ORT_DYLIB_PATH`, beside the program, in `/usr/lib/lictor`.
fn find(library: Option<&Path>) -> Result<PathBuf, ClassifierError> {
    let tried: Vec<PathBuf> = match library {
        // A path that was named is the only one: another library in its place would be a surprise.
        Some(path) => vec![path.to_owned()],
        None => places(),
    };
    let found = tried.iter().find(|path| path.is_file()).cloned();
    found.ok_or(ClassifierError::NoLibrary { tried })
}

fn places() -> Vec<PathBuf> {
    let named = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from);
    // Never a relative path: it would depend on where the daemon was started.
    let named = named.filter(|path| path.is_absolute());
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(|folder| folder.join(NAME)));
    named.into_iter().chain(beside).chain([Path::new(SYSTEM).join(NAME)]).collect()
}
