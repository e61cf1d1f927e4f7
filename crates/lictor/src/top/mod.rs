// SPDX-License-Identifier: Apache-2.0
//! `lictor top`: sessions, their rates and the latest denials, live.

mod model;
mod view;

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use anyhow::bail;
use lictor_api::{Client, ClientError, Event, EventFilter};
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyEventKind, KeyModifiers};

use crate::cli::TopArgs;
use crate::context::Context;
use model::Model;

/// How long a key may wait to be seen.
const TICK: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &TopArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let every = Duration::from_secs_f64(args.every.clamp(0.2, 3600.0));
    let mut client = context.connect()?;
    let mut model = Model::default();
    look(&mut client, &mut model)?;
    if args.json {
        return snapshots(&mut client, &mut model, args.count.unwrap_or(1), every, out);
    }
    if !io::stdout().is_terminal() {
        bail!("`lictor top` draws on a terminal: for a program, say `lictor top --json`");
    }
    let denials = follow(context.connect()?);
    let mut terminal = ratatui::try_init()?;
    let done = watch(&mut terminal, context, client, &mut model, &denials, every);
    ratatui::try_restore()?;
    done.map(|()| ExitCode::SUCCESS)
}

/// One object a line; rates are of the time since the one before.
fn snapshots(
    client: &mut Client,
    model: &mut Model,
    count: u32,
    every: Duration,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    for _ in 0..count {
        std::thread::sleep(every);
        look(client, model)?;
        serde_json::to_writer(&mut *out, &model.snapshot())?;
        writeln!(out)?;
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn look(client: &mut Client, model: &mut Model) -> Result<(), ClientError> {
    let status = client.status()?;
    let sessions = client.ps()?;
    model.update(status, sessions, Instant::now());
    Ok(())
}

/// Denials as they happen; the channel ends with the daemon.
fn follow(client: Client) -> Receiver<Event> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let filter = EventFilter { denied: true, follow: true, limit: Some(100), ..EventFilter::default() };
        let Ok(events) = client.events(filter) else { return };
        for event in events.map_while(Result::ok) {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

fn watch(
    terminal: &mut ratatui::DefaultTerminal,
    context: &Context,
    client: Client,
    model: &mut Model,
    denials: &Receiver<Event>,
    every: Duration,
) -> anyhow::Result<()> {
    let mut client = Some(client);
    let mut last = Instant::now();
    let mut denials_end = false;
    loop {
        terminal.draw(|frame| view::draw(frame, model))?;
        if event::poll(TICK)?
            && let Input::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            let stop = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
            if stop || !model.key(key.code) {
                return Ok(());
            }
        }
        loop {
            match denials.try_recv() {
                Ok(event) => model.denial(event),
                Err(TryRecvError::Disconnected) if !denials_end => {
                    denials_end = true;
                    break;
                }
                Err(_) => break,
            }
        }
        if model.paused || last.elapsed() < every {
            continue;
        }
        last = Instant::now();
        // A daemon that is started anew is found again; its denials are looked for by whoever starts `top` again.
        let looked = match client.as_mut() {
            Some(client) => look(client, model),
            None => context.connect().and_then(|mut fresh| {
                look(&mut fresh, model)?;
                client = Some(fresh);
                Ok(())
            }),
        };
        match looked {
            Ok(()) if denials_end => model.problem = Some("lictord was started anew: start `lictor top` again".into()),
            Ok(()) => model.problem = None,
            Err(error) => {
                client = None;
                model.problem = Some(error.to_string());
            }
        }
    }
}
