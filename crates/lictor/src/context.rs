// SPDX-License-Identifier: Apache-2.0
//! What every command knows: the settings, and where the daemon is.

use anyhow::Context as _;
use lictor_api::settings::Settings;
use lictor_api::{Client, ClientError};
use std::path::PathBuf;

/// The settings, with the flags that beat them taken in.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    /// `--control` was given: a daemon is expected there.
    pub(crate) control_given: bool,
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
}

impl Context {
    pub(crate) fn new(control: Option<PathBuf>, config: Option<PathBuf>) -> anyhow::Result<Self> {
        let mut settings = Settings::load(config.as_deref()).context("the settings cannot be used")?;
        let control_given = control.is_some();
        if let Some(path) = control {
            settings.control = path;
        }
        Ok(Self { settings, control_given, config })
    }

    pub(crate) fn connect(&self) -> Result<Client, ClientError> {
        Client::connect(&self.settings.control)
    }
}
