// SPDX-License-Identifier: Apache-2.0
//! How fast one client may ask: a bucket that fills steadily.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use lru::LruCache;

/// Clients that are remembered; one that is forgotten begins with a full bucket.
const CLIENTS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    Address(IpAddr),
    User(u32),
}

pub(crate) struct Rates {
    burst: f64,
    per_second: f64,
    buckets: Mutex<LruCache<Client, (f64, Instant)>>,
}

impl Rates {
    pub(crate) fn new(burst: u32, per_second: u32) -> Self {
        Self {
            burst: f64::from(burst.max(1)),
            per_second: f64::from(per_second.max(1)),
            buckets: Mutex::new(LruCache::new(CLIENTS)),
        }
    }

    /// Takes `cost` from the client's bucket; an error says after how many seconds there is enough again.
    pub(crate) fn spend(&self, client: &Client, cost: f64, now: Instant) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, then) = buckets.get_or_insert_mut(client.clone(), || (self.burst, now));
        let filled = *left + now.saturating_duration_since(*then).as_secs_f64() * self.per_second;
        *left = filled.min(self.burst);
        *then = now;
        if *left >= cost {
            *left -= cost;
            return Ok(());
        }
        Err((((cost - *left) / self.per_second).ceil() as u64).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_client_that_asks_too_fast_waits_and_others_do_not() {
        let rates = Rates::new(3, 2);
        let (one, other) = (Client::User(1), Client::User(2));
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(rates.spend(&one, 1.0, now), Ok(()));
        }
        assert_eq!(rates.spend(&one, 1.0, now), Err(1));
        assert_eq!(rates.spend(&other, 1.0, now), Ok(()));
        assert_eq!(rates.spend(&one, 1.0, now + Duration::from_millis(500)), Ok(()));
        assert_eq!(rates.spend(&one, 3.0, now + Duration::from_secs(3600)), Ok(()), "no more than the burst");
        assert_eq!(rates.spend(&one, 2.0, now + Duration::from_secs(3600)), Err(1));
    }
}
