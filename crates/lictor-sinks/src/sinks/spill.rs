// SPDX-License-Identifier: Apache-2.0
//! What waits on disk: lines of JSON in numbered segments, read in the order in which they were written.
//!
//! `position` says up to where everything has been delivered. It is written after each delivery, so that a restart repeats
//! at the most what was being delivered. A segment that has been read is removed. A torn end (a crash, a full disk) is cut off.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::record::{ERASED, Place, Queued};

const POSITION: &str = "position";
const ENDING: &str = "jsonl";
/// Between the numbers of segments there is room for one that has to go in front.
const STEP: u64 = 2;
const SEGMENT_MIN: u64 = 64 << 10;
const SEGMENT_MAX: u64 = 4 << 20;
/// A record is read whole: a longer line is none of ours.
const LONGEST_LINE: u64 = 64 << 20;

#[derive(Debug)]
pub(crate) struct Spill {
    dir: PathBuf,
    limit: u64,
    segments: VecDeque<Segment>,
    /// How much of the first segment has been delivered.
    offset: u64,
    /// The highest number used so far. Numbers are never used again: an old position must not lie behind what is new.
    highest: u64,
    /// The last segment, opened for appending.
    out: Option<File>,
    /// Lines that could not be read and were passed over.
    damaged: u64,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    records: u64,
}

impl Spill {
    /// What is in `dir`, which is made if it is not there. At most `limit` bytes will be used.
    pub(crate) fn open(dir: &Path, limit: u64) -> io::Result<Spill> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
            if path.extension().is_some_and(|ending| ending == ENDING)
                && let Some(number) = number
            {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        let mut spill = Spill {
            dir: dir.to_owned(),
            limit,
            segments: VecDeque::new(),
            offset: 0,
            highest: 0,
            out: None,
            damaged: 0,
        };
        let place = spill.read_position()?;
        spill.highest = numbers.last().copied().max(place.map(|place| place.segment)).unwrap_or(0);
        for number in numbers {
            // A segment before the position was delivered, and its removal did not happen any more.
            if place.is_some_and(|place| number < place.segment) {
                fs::remove_file(spill.path(number))?;
                continue;
            }
            let skip = place.filter(|place| place.segment == number).map_or(0, |place| place.offset);
            let segment = spill.examine(number, skip)?;
            if spill.segments.is_empty() {
                spill.offset = skip.min(segment.bytes);
            }
            spill.segments.push_back(segment);
        }
        spill.drop_empty()?;
        Ok(spill)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:020}.{ENDING}"))
    }

    fn read_position(&self) -> io::Result<Option<Place>> {
        match fs::read(self.dir.join(POSITION)) {
            // What cannot be understood counts as nothing delivered: rather twice than never.
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Counts the lines after `skip`, and cuts off a torn end.
    fn examine(&mut self, number: u64, skip: u64) -> io::Result<Segment> {
        let mut file = OpenOptions::new().read(true).write(true).open(self.path(number))?;
        file.seek(SeekFrom::Start(skip))?;
        let (mut bytes, mut whole, mut records) = (skip, skip, 0);
        let mut chunk = vec![0; 64 << 10];
        loop {
            let count = file.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            for byte in &chunk[..count] {
                bytes += 1;
                if *byte == b'\n' {
                    (whole, records) = (bytes, records + 1);
                }
            }
        }
        if whole < bytes {
            file.set_len(whole)?;
            self.damaged += 1;
        }
        Ok(Segment { number, bytes: whole, records })
    }

    /// Writes as many of `records` as there is room for, brings them to the disk, and gives their number. The error is why
    /// it was not all of them; a limit that is reached is none.
    pub(crate) fn append(&mut self, records: &[Queued]) -> (usize, io::Result<()>) {
        let mut done = 0;
        while let Some(rest) = records.get(done..).filter(|rest| !rest.is_empty()) {
            match self.append_some(rest) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    }

    /// Into one segment. What is not written whole is taken back.
    fn append_some(&mut self, records: &[Queued]) -> io::Result<usize> {
        let size = (self.limit / 8).clamp(SEGMENT_MIN, SEGMENT_MAX);
        if self.out.is_none() || self.segments.back().is_none_or(|last| last.bytes >= size) {
            self.begin()?;
        }
        let used = self.bytes();
        let (Some(out), Some(last)) = (self.out.as_mut(), self.segments.back_mut()) else { return Ok(0) };
        let (mut text, mut count) = (Vec::new(), 0);
        for record in records {
            let line = record.line()?;
            let full = used + (text.len() + line.len()) as u64 > self.limit;
            let long = count > 0 && last.bytes + (text.len() + line.len()) as u64 > size;
            if full || long {
                break;
            }
            text.extend_from_slice(&line);
            count += 1;
        }
        if let Err(error) = out.write_all(&text).and_then(|()| out.sync_data()) {
            let restored = out.set_len(last.bytes);
            // Where even that fails, the segment is left as it is, and the next one begun: a reader passes over its torn end.
            if restored.is_err() {
                self.out = None;
            }
            return Err(error);
        }
        last.bytes += text.len() as u64;
        last.records += count as u64;
        Ok(count)
    }

    /// A new last segment.
    fn begin(&mut self) -> io::Result<()> {
        let number = self.highest + STEP;
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(self.path(number))?;
        self.highest = number;
        self.out = Some(file);
        self.segments.push_back(Segment { number, bytes: 0, records: 0 });
        Ok(())
    }

    /// Puts what was taken from memory, and is older than everything here, in front.
    pub(crate) fn put_in_front(&mut self, records: &[Queued]) -> (usize, io::Result<()>) {
        if self.is_empty() || records.is_empty() {
            return self.append(records);
        }
        let write = || -> io::Result<Segment> {
            let number = self.segments.front().map_or(1, |first| first.number - 1);
            let mut text = Vec::new();
            for record in records {
                text.extend_from_slice(&record.line()?);
            }
            let path = self.path(number);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            if let Err(error) = file.write_all(&text).and_then(|()| file.sync_data()) {
                // It would be read before the others, torn as it is.
                fs::remove_file(&path)?;
                return Err(error);
            }
            Ok(Segment { number, bytes: text.len() as u64, records: records.len() as u64 })
        };
        match write() {
            Ok(segment) => {
                let place = Place { segment: segment.number, offset: 0 };
                self.offset = 0;
                self.segments.push_front(segment);
                (records.len(), self.write_position(place))
            }
            Err(error) => (0, Err(error)),
        }
    }

    /// The next records, at most `max`, each with the place that is reached when it has been delivered.
    pub(crate) fn next(&mut self, max: usize) -> io::Result<Vec<Queued>> {
        let mut found = Vec::new();
        let mut from = self.offset;
        for at in 0..self.segments.len() {
            let Some(segment) = self.segments.get(at) else { break };
            let (number, end) = (segment.number, segment.bytes);
            let mut file = match File::open(self.path(number)) {
                // Somebody removed it: what was in it is gone, and what comes after it is not.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.forget(at);
                    return if found.is_empty() { self.next(max) } else { Ok(found) };
                }
                file => file?,
            };
            file.seek(SeekFrom::Start(from))?;
            let mut reader = BufReader::new(file.take(end.saturating_sub(from)));
            while found.len() < max {
                let mut line = Vec::new();
                let count = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? as u64;
                if count == 0 {
                    break;
                }
                from += count;
                match Queued::parse(&line) {
                    Ok(mut queued) => {
                        queued.place = Some(Place { segment: number, offset: from });
                        found.push(queued);
                    }
                    Err(_) if line.iter().all(|byte| matches!(*byte, ERASED | b'\n')) => {}
                    Err(_) => self.damaged += 1,
                }
            }
            if found.len() >= max {
                return Ok(found);
            }
            from = 0;
        }
        if found.is_empty() && !self.is_empty() {
            // Nothing but damaged lines: there is nothing here to wait for.
            self.clear()?;
        }
        Ok(found)
    }

    fn forget(&mut self, at: usize) {
        self.damaged += self.segments.remove(at).map_or(0, |segment| segment.records);
        if at == 0 {
            self.offset = 0;
        }
        if at == self.segments.len() {
            self.out = None;
        }
    }

    /// Everything up to `place` has been delivered, `delivered` records of its segment among it.
    pub(crate) fn advance(&mut self, place: Place, delivered: u64) -> io::Result<()> {
        while self.segments.front().is_some_and(|first| first.number < place.segment) {
            self.remove_first()?;
        }
        if let Some(first) = self.segments.front_mut().filter(|first| first.number == place.segment) {
            self.offset = place.offset;
            first.records = first.records.saturating_sub(delivered);
        }
        self.drop_empty()?;
        self.write_position(place)
    }

    fn write_position(&self, place: Place) -> io::Result<()> {
        let beside = self.dir.join("position.new");
        fs::write(&beside, serde_json::to_vec(&place)?)?;
        fs::rename(&beside, self.dir.join(POSITION))
    }

    fn remove_first(&mut self) -> io::Result<()> {
        if let Some(first) = self.segments.front() {
            match fs::remove_file(self.path(first.number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            self.segments.pop_front();
            self.offset = 0;
        }
        if self.segments.is_empty() {
            self.out = None;
        }
        Ok(())
    }

    /// Segments that were read to their end are removed.
    fn drop_empty(&mut self) -> io::Result<()> {
        while self.segments.front().is_some_and(|first| self.offset >= first.bytes) {
            self.remove_first()?;
        }
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        while !self.segments.is_empty() {
            self.remove_first()?;
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes() <= self.offset
    }

    /// Bytes used on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Records that wait here.
    pub(crate) fn records(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records).sum()
    }

    /// Lines that were torn or no records, since the start.
    pub(crate) fn damaged(&self) -> u64 {
        self.damaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::record::Record;
    use lictor_api::event::{Event, Kind};
    use std::sync::Arc;

    fn queued(numbers: std::ops::Range<u64>) -> Vec<Queued> {
        let event = |number: u64| Event::new(Kind::Exec, number.to_string(), String::new());
        numbers.map(|n| Queued { at_ms: 7, record: Record::Event(Arc::new(event(n))), place: None }).collect()
    }

    fn ids(records: &[Queued]) -> String {
        let id = |queued: &Queued| match &queued.record {
            Record::Event(event) => event.id.clone(),
            Record::Alert(_) => "alert".to_owned(),
        };
        records.iter().map(id).collect::<Vec<_>>().join(" ")
    }

    /// Reads and acknowledges everything, `batch` at a time.
    fn drain(spill: &mut Spill, batch: usize) -> Vec<Queued> {
        let mut all = Vec::new();
        loop {
            let found = spill.next(batch).unwrap();
            let Some(place) = found.last().and_then(|last| last.place) else { return all };
            spill.advance(place, found.len() as u64).unwrap();
            all.extend(found);
        }
    }

    #[test]
    fn what_was_written_comes_back_in_order_through_many_segments_and_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(spill.append(&queued(0..5000)).0, 5000);
        assert!(spill.segments.len() > 1);
        let first = spill.next(10).unwrap();
        assert_eq!(ids(&first), "0 1 2 3 4 5 6 7 8 9");
        spill.advance(first[6].place.unwrap(), 7).unwrap();
        assert_eq!(spill.records(), 4993);
        // A restart: what was not acknowledged comes again, what was does not.
        let mut spill = Spill::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(spill.records(), 4993);
        assert_eq!(spill.append(&queued(5000..5010)).0, 10);
        let rest = drain(&mut spill, 777);
        let expected: Vec<String> = (7..5010).map(|n| n.to_string()).collect();
        assert_eq!(ids(&rest), expected.join(" "));
        assert!(spill.is_empty() && spill.records() == 0 && spill.bytes() == 0);
        // And again, empty: an old position must not hide what is new.
        assert_eq!(spill.append(&queued(1..3)).0, 2);
        let mut spill = Spill::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(ids(&drain(&mut spill, 100)), "1 2");
    }

    #[test]
    fn the_limit_holds_and_what_fits_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::open(dir.path(), 20_000).unwrap();
        let (kept, result) = spill.append(&queued(0..10_000));
        assert!(result.is_ok() && kept > 50 && kept < 1000, "{kept}");
        assert!(spill.bytes() <= 20_000);
        assert_eq!(spill.append(&queued(0..1)).0, 0);
        assert_eq!(drain(&mut spill, 100).len(), kept);
        assert_eq!(spill.append(&queued(0..1)).0, 1, "there is room again");
    }

    #[test]
    fn a_torn_end_and_a_damaged_line_cost_only_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(spill.append(&queued(0..3)).0, 3);
        let path = spill.path(spill.segments[0].number);
        drop(spill);
        let mut text = fs::read(&path).unwrap();
        let second = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        text[second] = b'#';
        text.extend_from_slice(br#"{"at_ms":1,"record":{"ev"#);
        fs::write(&path, text).unwrap();
        let mut spill = Spill::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(spill.append(&queued(3..4)).0, 1);
        assert_eq!(ids(&drain(&mut spill, 10)), "0 2 3");
        assert_eq!(spill.damaged(), 2);
        fs::write(dir.path().join(POSITION), "nonsense").unwrap();
        assert!(Spill::open(dir.path(), 1 << 20).is_ok());
    }

    #[test]
    fn what_is_older_goes_in_front() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(spill.append(&queued(5..8)).0, 3);
        assert_eq!(spill.put_in_front(&queued(2..5)).0, 3);
        drop(spill);
        let mut spill = Spill::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(ids(&drain(&mut spill, 2)), "2 3 4 5 6 7");
        assert_eq!(spill.put_in_front(&queued(0..1)).0, 1, "in front of nothing");
        assert_eq!(ids(&drain(&mut spill, 2)), "0");
    }

    #[test]
    fn a_segment_that_somebody_removed_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(spill.append(&queued(0..5000)).0, 5000);
        let counts: Vec<u64> = spill.segments.iter().map(|segment| segment.records).collect();
        assert!(counts.len() >= 3);
        for at in [0, 1] {
            fs::remove_file(spill.path(spill.segments[at].number)).unwrap();
        }
        let rest = drain(&mut spill, 100);
        let first = usize::try_from(counts[0] + counts[1]).unwrap();
        assert_eq!(ids(&rest), (first..5000).map(|n| n.to_string()).collect::<Vec<_>>().join(" "));
        assert_eq!((spill.damaged(), spill.records()), (first as u64, 0));
    }

    #[test]
    fn a_batch_of_nothing_but_damage_ends() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(format!("{:020}.jsonl", 4)), "x\ny\nz\n").unwrap();
        let mut spill = Spill::open(dir.path(), 1 << 20).unwrap();
        assert!(spill.next(10).unwrap().is_empty());
        assert!(spill.is_empty());
        assert_eq!((spill.damaged(), spill.records()), (3, 0));
    }
}
