// SPDX-License-Identifier: Apache-2.0
//! How it is drawn. Every text from a process is shown escaped.

use jiff::tz::TimeZone;
use lictor_api::Event;
use lictor_api::bytes::printable;
use lictor_api::control::State;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Table};

use super::model::Model;
use crate::output;

const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const GOOD: Style = Style::new().fg(Color::Green).add_modifier(Modifier::BOLD);
const WARN: Style = Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD);

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let sessions = u16::try_from(model.sessions.len()).unwrap_or(u16::MAX).saturating_add(2).max(4);
    let [head, middle, below, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Max(sessions), Constraint::Min(4), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(header(model), head);
    draw_sessions(frame, model, middle);
    draw_denials(frame, model, below);
    frame.render_widget(footer(model), foot);
    if model.help {
        draw_help(frame);
    }
}

fn header(model: &Model) -> Paragraph<'static> {
    let Some(status) = &model.status else { return Paragraph::new("") };
    let style = match status.state {
        State::Enforcing => GOOD,
        State::Monitoring => WARN,
        State::Degraded => BAD,
    };
    let first = Line::from(vec![
        Span::styled(status.state.to_string(), style),
        Span::raw(format!("  {}", output::count(model.sessions.len() as u64, "session"))),
        Span::raw(format!("  {} events/s", number(model.events_per_s))),
        Span::styled(
            format!("  {} denied/s", number(model.denied_per_s)),
            if model.denied_per_s > 0.0 { BAD } else { Style::new() },
        ),
        Span::styled(format!("  up {}", output::short_duration(status.uptime_ms)), DIM),
        Span::styled(if model.paused { "  PAUSED" } else { "" }, WARN),
    ]);
    let second = match (&model.problem, status.reasons.first()) {
        (Some(problem), _) => Line::styled(printable(problem).to_string(), BAD),
        (None, Some(reason)) => Line::styled(printable(reason).to_string(), BAD),
        (None, None) => Line::styled(format!("policy {}", printable(&status.policy)), DIM),
    };
    Paragraph::new(vec![first, second])
}

fn number(rate: f64) -> String {
    if rate >= 100.0 || rate == 0.0 { format!("{rate:.0}") } else { format!("{rate:.1}") }
}

fn draw_sessions(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    if model.sessions.is_empty() {
        let nothing = Paragraph::new("no session runs; `lictor run -- CMD` starts one").style(DIM);
        return frame.render_widget(nothing, area);
    }
    let zone = TimeZone::system();
    let rows = model.sessions.iter().map(|row| {
        let session = &row.session;
        let first = session.tasks.iter().min_by_key(|task| task.pid);
        let command = first.and_then(|task| task.cmdline.as_ref().or(task.exe.as_ref()));
        let chosen = model.chosen.as_deref() == Some(session.id.as_str());
        let denied = if session.denied > 0 { BAD } else { Style::new() };
        Row::new(vec![
            Cell::from(printable(&session.id).to_string()),
            Cell::from(printable(&session.agent).to_string()),
            Cell::from(session.mode.to_string()),
            Cell::from(session.tasks.len().to_string()),
            Cell::from(number(row.events_per_s)),
            Cell::from(session.events.to_string()),
            Cell::from(session.denied.to_string()).style(denied),
            Cell::from(output::short_time(&session.started, &zone)),
            Cell::from(printable(command.map_or("?", String::as_str)).to_string()),
        ])
        .style(if chosen { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() })
    });
    let widths = [
        Constraint::Length(11),
        Constraint::Length(14),
        Constraint::Length(8),
        Constraint::Length(5),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Length(14),
        Constraint::Fill(1),
    ];
    let head = ["SESSION", "AGENT", "MODE", "TASKS", "EVENTS/S", "EVENTS", "DENIED", "SINCE", "COMMAND"];
    let title = format!("Sessions, by {}", model.order.name());
    let table = Table::new(rows, widths).header(Row::new(head).style(BOLD)).block(Block::new().title(title));
    frame.render_widget(table, area);
}

fn draw_denials(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let zone = TimeZone::system();
    let fit = usize::from(area.height);
    let rows = model.shown_denials().take(fit).map(|event| {
        let verdict = event.verdict.as_ref();
        let rule = verdict.and_then(|verdict| verdict.rule.as_deref()).unwrap_or("-");
        Row::new(vec![
            Cell::from(output::short_time(&event.time, &zone)),
            Cell::from(verdict.map_or("", |verdict| verdict.action.as_str())).style(BAD),
            Cell::from(printable(event.agent.as_deref().unwrap_or("-")).to_string()),
            Cell::from(printable(program(event)).to_string()),
            Cell::from(format!("{} {}", event.operation(), printable(&event.object()))),
            Cell::from(printable(rule).to_string()).style(DIM),
        ])
    });
    let widths = [
        Constraint::Length(14),
        Constraint::Length(5),
        Constraint::Length(14),
        Constraint::Length(16),
        Constraint::Fill(3),
        Constraint::Fill(2),
    ];
    let title = match &model.chosen {
        Some(session) => format!("Denials of {}", printable(session)),
        None => "Denials".to_owned(),
    };
    let head = Row::new(["TIME", "WHAT", "AGENT", "PROGRAM", "OBJECT", "RULE"]).style(BOLD);
    frame.render_widget(Table::new(rows, widths).header(head).block(Block::new().title(title)), area);
}

fn program(event: &Event) -> &str {
    let exe = event.process.exe.as_deref().unwrap_or("-");
    exe.rsplit('/').next().unwrap_or(exe)
}

fn footer(_: &Model) -> Paragraph<'static> {
    Paragraph::new("q quit   ↑↓ choose a session   Esc all   s order   p pause   ? help").style(DIM)
}

fn draw_help(frame: &mut Frame<'_>) {
    let text = [
        "q, Esc     quit",
        "↑ ↓, j k   choose a session: only its denials are shown",
        "Esc        all sessions again",
        "s          order: denials, events a second, newest",
        "p, space   pause",
        "?          this",
        "",
        "`lictor explain ID` says why one was denied; `lictor events --denied` lists them.",
    ];
    let area = frame.area();
    let (width, height) = (area.width.min(86), area.height.min(text.len() as u16 + 2));
    let place = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(text.map(Line::from).to_vec()).block(Block::bordered().title(" Keys ")), place);
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{session, status};
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use std::time::Instant;

    fn shown(model: &Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn sessions_and_denials_are_shown_and_nothing_of_theirs_reaches_the_terminal_raw() {
        let mut model = Model::default();
        model.update(status(7, 1), vec![session("s-7f3a", "2026-01-02T03:04:05Z", 42, 3)], Instant::now());
        let denied = r#"{"id":"1","time":"2026-01-02T03:04:06Z","kind":"file","session":"s-7f3a","agent":"coder",
            "process":{"pid":4,"exe":"/usr/bin/cat"},"file":{"op":"read","path":"/srv/\u001b[2J\u202e.env"},
            "verdict":{"action":"deny","tier":"policy","rule":"coder.files.deny[0]"}}"#;
        model.denial(serde_json::from_str(denied).unwrap());
        let text = shown(&model, 140, 20);
        for expected in
            ["ENFORCING", "1 session", "s-7f3a", "coder", "bash", "read /srv/", "coder.files.deny[0]", "q quit"]
        {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
        model.help = true;
        model.problem = Some("lictord does not answer".into());
        let text = shown(&model, 140, 20);
        assert!(text.contains("Keys") && text.contains("does not answer"), "{text}");
    }

    #[test]
    fn the_smallest_terminal_is_no_error() {
        let mut model = Model::default();
        model.help = true;
        for (width, height) in [(1, 1), (10, 3), (40, 6)] {
            shown(&model, width, height);
        }
        model.update(status(0, 0), vec![], Instant::now());
        assert!(shown(&model, 90, 24).contains("no session runs"));
    }
}
