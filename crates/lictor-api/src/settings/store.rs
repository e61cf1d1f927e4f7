// SPDX-License-Identifier: Apache-2.0
//! `store`: for how long events are kept, and how much room they may take.

use serde::{Deserialize, Deserializer, de};
use std::time::Duration;

use super::{Switch, llm::period};

const DAY: u64 = 86_400_000;

/// The settings below `store`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// How long an event stays in the store, counted from when it was recorded.
    #[serde(deserialize_with = "period::<_, 1000, { 36_500 * DAY }>")]
    pub keep: Duration,
    /// Room for the store on disk, in bytes; what was recorded first goes first.
    #[serde(deserialize_with = "size")]
    pub max_size: u64,
    /// Whether what leaves the store goes into Parquet files, or is gone.
    pub archive: Switch,
    /// How long an archived day is kept, counted from its end.
    #[serde(deserialize_with = "period::<_, 1000, { 36_500 * DAY }>")]
    pub archive_keep: Duration,
    /// Room for the archive on disk, in bytes; the oldest day goes first.
    #[serde(deserialize_with = "size")]
    pub archive_max_size: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            keep: Duration::from_millis(30 * DAY),
            max_size: 4 << 30,
            archive: Switch::On,
            archive_keep: Duration::from_millis(365 * DAY),
            archive_max_size: 16 << 30,
        }
    }
}

/// Below this a store holds nothing worth having.
const LEAST: u64 = 1 << 20;
const MOST: u64 = 1 << 50;

/// `512MB`, `4GB`: from 1MB up.
fn size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    let wrong = || de::Error::custom(format!("`{text}` is no size: write it like 512MB, 4GB or 1TB"));
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    // As everywhere in computers, a kB has 1024 bytes here.
    let power = match unit.trim() {
        "kB" => 10,
        "MB" => 20,
        "GB" => 30,
        "TB" => 40,
        _ => return Err(wrong()),
    };
    match number.checked_mul(1 << power) {
        Some(bytes @ LEAST..=MOST) => Ok(bytes),
        _ => Err(de::Error::custom(format!("`{text}` is outside of 1MB to 1024TB"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, Switch};
    use std::time::Duration;

    fn parse(text: &str) -> Result<super::Store, String> {
        Settings::parse("l.yaml", text.as_bytes()).map(|settings| settings.store).map_err(|error| error.to_string())
    }

    #[test]
    fn sizes_and_spans_are_written_as_people_do() {
        let store = parse("store:\n  keep: 12h\n  max_size: 512MB\n  archive: off\n").unwrap();
        assert_eq!((store.keep, store.max_size), (Duration::from_secs(43_200), 512 << 20));
        assert_eq!(store.archive, Switch::Off);
        assert_eq!(store.archive_max_size, 16 << 30, "what is not said has its default");
    }

    #[test]
    fn problems_are_named_with_their_place() {
        for (text, place, word) in [
            ("store:\n  keeep: 1d\n", "l.yaml:2:3: ", "keeep"),
            ("store:\n  max_size: 5\n", "l.yaml:2:13: ", "`5` is no size"),
            ("store:\n  max_size: 5kB\n", "l.yaml:2:13: ", "outside"),
            ("store:\n  max_size: 99999999999999TB\n", "l.yaml:2:13: ", "outside"),
            ("store:\n  keep: soon\n", "l.yaml:2:9: ", "`soon` is no duration"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(place) && error.contains(word), "{error}");
        }
    }
}
