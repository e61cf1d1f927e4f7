// SPDX-License-Identifier: Apache-2.0
//! What Lictor remembers.
//!
//! - [`audit`]: the chain of what was decided and changed, that an outsider can verify
//! - [`events`]: every recorded event, searchable, for as long as the settings say

pub mod audit;
pub mod events;
