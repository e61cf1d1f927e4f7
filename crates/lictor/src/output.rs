// SPDX-License-Identifier: Apache-2.0
//! How things are shown to people: columns, colours, times. Colours are taken off by `anstream`
//! where there is no terminal.

use anstyle::{AnsiColor, Style};
use jiff::{Timestamp, tz::TimeZone};
use lictor_api::bytes::printable;
use lictor_api::event::{Action, Event};
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr as _;

pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const HEAD: Style = Style::new().bold();

/// One cell of a table: its text is made safe for a terminal when it is printed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self::styled(text, Style::new())
    }

    pub(crate) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: printable(text.as_ref()), style }
    }
}

/// Prints one line; every cell but the last is padded to its column's width. A wider cell pushes
/// the rest aside: nothing is cut off.
pub(crate) fn row(out: &mut impl Write, widths: &[usize], cells: &[Cell]) -> io::Result<()> {
    for (at, cell) in cells.iter().enumerate() {
        write!(out, "{}{}{}", cell.style, cell.text, cell.style.render_reset())?;
        if at + 1 < cells.len() {
            let width = widths.get(at).copied().unwrap_or(0);
            let padding = width.saturating_sub(cell.text.width()) + 2;
            write!(out, "{:padding$}", "")?;
        }
    }
    writeln!(out)
}

/// Prints `rows` under `head`, every column as wide as its widest cell.
pub(crate) fn table(out: &mut impl Write, head: &[&str], rows: &[Vec<Cell>]) -> io::Result<()> {
    let widths = widths(head, rows);
    row(out, &widths, &head.iter().map(|text| Cell::styled(text, HEAD)).collect::<Vec<_>>())?;
    rows.iter().try_for_each(|cells| row(out, &widths, cells))
}

/// How wide each column of such a table is.
pub(crate) fn widths(head: &[&str], rows: &[Vec<Cell>]) -> Vec<usize> {
    let own = |(at, head): (usize, &&str)| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.text.width());
        cells.fold(Cell::new(head).text.width(), usize::max)
    };
    head.iter().enumerate().map(own).collect()
}

/// What became of the action, in one word.
pub(crate) fn outcome(event: &Event) -> Cell {
    let Some(verdict) = &event.verdict else { return Cell::styled("-", DIM) };
    match (verdict.action, verdict.enforced) {
        (Action::Deny | Action::Kill, Some(false)) => Cell::styled("would-deny", WARN),
        (Action::Deny | Action::Kill, _) => Cell::styled(verdict.action.as_str(), BAD),
        (Action::Hold | Action::Alert, _) => Cell::styled(verdict.action.as_str(), WARN),
        (Action::Allow, _) => Cell::styled(verdict.action.as_str(), DIM),
    }
}

/// A recorded time as people in `zone` read it; a text that is no time is shown as it is.
pub(crate) fn short_time(time: &str, zone: &TimeZone) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%m-%d %H:%M:%S%.3f").to_string(),
        Err(_) => time.to_owned(),
    }
}

/// A duration in its two largest units: `3d 4h`, `12m 7s`, `0s`.
pub(crate) fn short_duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let largest = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let parts = units.iter().skip(largest).take(2).map(|(size, name)| {
        let count = rest / size;
        rest %= size;
        format!("{count}{name}")
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// `1 event`, `2 events`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
pub(crate) fn plain(print: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = Vec::new();
    print(&mut bytes);
    anstream::adapter::strip_bytes(&bytes).into_vec().try_into().map(|text: String| text).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stay_aligned_with_wide_characters() {
        let rows = [vec![Cell::new("漢字"), Cell::styled("x", BAD)], vec![Cell::new("a"), Cell::new("y\n")]];
        assert_eq!(plain(|out| table(out, &["NAME", "B"], &rows).unwrap()), "NAME  B\n漢字  x\na     y\\n\n");
    }

    #[test]
    fn durations_show_two_units() {
        for (milliseconds, text) in [(0, "0s"), (59_999, "59s"), (127_000, "2m 7s"), (90_000_000, "1d 1h")] {
            assert_eq!(short_duration(milliseconds), text);
        }
    }

    #[test]
    fn times_are_local_and_short() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(short_time("2026-01-02T03:04:05.678901234Z", &zone), "01-02 05:04:05.678");
        assert_eq!(short_time("yesterday", &zone), "yesterday");
    }
}
