// SPDX-License-Identifier: Apache-2.0
//! What Lictor remembers.
//!
//! - [`events`]: every recorded event, searchable, for as long as the settings say

pub mod events;
