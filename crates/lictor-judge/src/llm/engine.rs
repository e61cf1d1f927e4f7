// SPDX-License-Identifier: Apache-2.0
//! A thread that drives the HTTP client, so that judges can be plain blocking calls with a hard deadline.

use std::fmt;
use std::future::Future;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::SetupError;

/// How long after the deadline an answer is waited for that notices the deadline itself.
const GRACE: Duration = Duration::from_millis(100);

pub(crate) struct Engine {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    pub(crate) fn start() -> Result<Engine, SetupError> {
        let failed = |error: std::io::Error| SetupError::Client(error.to_string());
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("llm-http".to_owned())
            .spawn(move || {
                // Ends when `stop` is used or dropped.
                let _ = runtime.block_on(stopped);
                // Not waiting for a resolver that hangs.
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        Ok(Engine { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// What `future` brings by `deadline`; `None` when it is not there by then, an error when it panicked.
    pub(crate) fn run<T, F>(&self, deadline: Instant, future: F) -> Result<Option<T>, String>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, receiver) = sync_channel(1);
        let task = self.handle.spawn(async move {
            // Nobody waits any more when this fails.
            let _ = sender.send(future.await);
        });
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()) + GRACE) {
            Ok(value) => Ok(Some(value)),
            Err(RecvTimeoutError::Timeout) => {
                task.abort();
                Ok(None)
            }
            Err(RecvTimeoutError::Disconnected) => Err("the HTTP client ended without an answer".to_owned()),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It holds nothing that a panic there could have broken.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
