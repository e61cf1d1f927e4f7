// SPDX-License-Identifier: Apache-2.0
//! What Lictor remembers.
//!
//! - [`audit`]: the chain of what was decided and changed, that an outsider can verify

pub mod audit;
