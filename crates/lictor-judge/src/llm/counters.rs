// SPDX-License-Identifier: Apache-2.0
//! What the tier counts. Each number is described where it is declared.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::breaker::BreakerState;
use super::http::Trouble;
use super::limit::Refusal;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Numbers that only grow.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $($(#[$doc])* pub(crate) $name: AtomicU64),+ }

        /// Everything that is counted, and how things stand now.
        #[derive(Clone, Debug, Default, PartialEq, Serialize)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)+
            pub breaker: BreakerState,
            /// How often the breaker opened.
            pub breaker_opened: u64,
            /// Questions being asked now.
            pub asking: usize,
            /// Questions waiting for their turn now.
            pub waiting: usize,
            /// Answers remembered now.
            pub remembered_now: usize,
            /// Requests of this UTC day.
            pub requests_today: u32,
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.load(Ordering::Relaxed),)+ ..Snapshot::default() }
            }
        }
    };
}

counters! {
    /// Cases that this tier was given.
    questions,
    /// Answered from memory.
    remembered,
    /// Answered by an equal question that was under way.
    shared,
    /// Requests made, repetitions included.
    requests,
    /// Requests that repeated a failed one.
    repetitions,
    bytes_sent,
    bytes_received,
    /// Microseconds that requests took, added up.
    request_us,
    /// Microseconds that the longest request took.
    longest_request_us,
    /// The model said "allow".
    allowed,
    /// The model said "deny".
    denied,
    /// The model said "unsure".
    unsure,
    /// Verdicts that counted as "unsure" for want of confidence.
    not_confident,
    /// "allow" that counted as nothing, because the action spoke to its judge or was not shown whole.
    allow_discounted,
    /// Actions that spoke to their judge.
    injections,
    /// Actions too long to be shown whole.
    incomplete,
    /// Secrets taken out of evidence.
    redactions,
    /// Cases without an answer in time.
    late,
    /// Cases refused because too many waited.
    queue_full,
    /// Cases refused because `per_minute` was used up.
    minute_spent,
    /// Cases refused because `per_day` was used up.
    day_spent,
    /// Cases refused because the breaker was open.
    breaker_refused,
    /// Cases lost to a fault of our own: no random numbers, a budget file that cannot be written.
    broken,
    /// Requests without a connection.
    no_connection,
    /// Requests without a trusted connection.
    no_tls,
    /// Requests that took too long.
    slow,
    /// Answers that broke off.
    cut,
    /// Answers with status 429.
    rate_limited,
    /// Answers with another status of 400 to 499.
    client_errors,
    /// Answers with a status of 500 or more.
    server_errors,
    /// Redirects, which are not followed.
    redirects,
    /// Answers longer than `max_answer_bytes`.
    too_large,
    /// Answers that are not of the provider's protocol.
    malformed,
    /// Answers of the model that are not of the schema.
    invalid,
    /// Errors that the provider reported inside of an answer.
    provider_errors,
}

pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn trouble(&self, trouble: &Trouble) {
        add(
            match trouble {
                Trouble::Connect(_) => &self.no_connection,
                Trouble::Tls(_) => &self.no_tls,
                Trouble::Slow(_) => &self.slow,
                Trouble::Cut(_) => &self.cut,
                Trouble::Status { code: 429, .. } => &self.rate_limited,
                Trouble::Status { code: 400..=499, .. } => &self.client_errors,
                Trouble::Status { .. } => &self.server_errors,
                Trouble::Redirect(_) => &self.redirects,
                Trouble::TooLarge(_) => &self.too_large,
                Trouble::Malformed(_) => &self.malformed,
                Trouble::Invalid(_) => &self.invalid,
                Trouble::Provider(_) => &self.provider_errors,
            },
            1,
        );
    }

    pub(crate) fn refusal(&self, refusal: &Refusal) {
        add(
            match refusal {
                Refusal::QueueFull => &self.queue_full,
                Refusal::QueueLate => &self.late,
                Refusal::MinuteSpent => &self.minute_spent,
                Refusal::DaySpent { .. } => &self.day_spent,
                Refusal::Uncounted(_) => &self.broken,
            },
            1,
        );
    }
}
