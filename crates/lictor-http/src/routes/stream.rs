// SPDX-License-Identifier: Apache-2.0
//! Live events over a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::SinkExt as _;
use lictor_api::event::Event;
use lictor_api::query::EventQuery;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use utoipa::ToSchema;

use super::{App, Refusal};
use crate::access::Viewer;
use crate::error::ApiError;
use crate::live::Shown;
use crate::params::Params;
use crate::server::stopped;

const PING: Duration = Duration::from_secs(20);
/// Events that are put together before they are sent.
const BATCH: usize = 256;
/// What a client may say at once.
const MESSAGE: usize = 64 << 10;
/// Recorded events that are sent to a client that resumes; what is beyond is a loss.
const RESUMED: usize = 10_000;

/// What the server sends.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum LiveMessage {
    Event {
        event: Box<Event>,
    },
    /// Events passed by: `count` of them, whatever the filter; 0 when nobody knows how many.
    Lost {
        count: u64,
        reason: String,
    },
    /// Nothing happened for a while; the connection lives.
    Ping,
    /// What was asked cannot be done; the connection lives.
    Error {
        message: String,
    },
}

/// What a client may send.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum LiveRequest {
    /// From now on other events are wanted.
    Filter {
        filter: Box<EventQuery>,
    },
    /// Send nothing until `resume`. What passes by meanwhile is kept for a while, then counted.
    Pause,
    Resume,
}

/// Live events: a WebSocket that sends `LiveMessage` and takes `LiveRequest`
#[utoipa::path(get, path = "/api/v1/events/stream", tag = "events",
    params(EventQuery, ("resume" = Option<String>, Query, description = "an event's id: those recorded after it come first")),
    responses((status = 101, description = "A WebSocket"),
        (status = 426, body = crate::error::ErrorBody, description = "The request asks for no WebSocket"), Refusal))]
pub(super) async fn stream(
    State(app): State<App>,
    _: Viewer,
    mut params: Params,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let (query, resume) = (params.event_query()?, params.one("resume")?);
    params.done()?;
    let upgrade = upgrade.map_err(|error| {
        ApiError::new(StatusCode::UPGRADE_REQUIRED, "websocket", format!("this is a WebSocket: {}", error.body_text()))
    })?;
    let full = |_| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many", "there are too many live connections already")
            .retry_after(30)
    };
    let place = Arc::clone(&app.streams).try_acquire_owned().map_err(full)?;
    // Before the handshake is answered: whatever happens after it is told.
    let events = app.live.subscribe();
    Ok(upgrade
        .max_message_size(MESSAGE)
        .max_frame_size(MESSAGE)
        .on_upgrade(move |socket| async move { Listener::new(app, socket, events, query, place).run(resume).await }))
}

struct Listener {
    app: App,
    socket: WebSocket,
    events: Receiver<Arc<Shown>>,
    query: EventQuery,
    paused: bool,
    /// Ids that were sent from the record and may come again.
    sent: std::collections::HashSet<String>,
    _place: OwnedSemaphorePermit,
}

/// The other end has gone, or has to.
struct Gone;

impl From<axum::Error> for Gone {
    fn from(_: axum::Error) -> Self {
        Self
    }
}

impl Listener {
    fn new(
        app: App,
        socket: WebSocket,
        events: Receiver<Arc<Shown>>,
        query: EventQuery,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { app, socket, events, query, paused: false, sent: std::collections::HashSet::new(), _place: place }
    }

    async fn run(mut self, resume: Option<String>) {
        if let Some(id) = resume
            && self.replay(id).await.is_err()
        {
            return;
        }
        // Whoever has gone needs no goodbye.
        let Err(Gone) = self.listen().await;
    }

    async fn replay(&mut self, id: String) -> Result<(), Gone> {
        let query = self.query.clone();
        let found = self.app.ask(move |backend| backend.events_after(&id, &query, RESUMED + 1)).await;
        let Ok(mut events) = found else {
            let reason = "the event to resume after is not recorded any more; others may be missing".to_owned();
            return self.say(&LiveMessage::Lost { count: 0, reason }).await;
        };
        if events.len() > RESUMED {
            events.truncate(RESUMED);
            let reason =
                format!("more than {RESUMED} events were recorded meanwhile: ask for them as a list").to_owned();
            self.say(&LiveMessage::Lost { count: 0, reason }).await?;
        }
        for event in events {
            self.sent.insert(event.id.clone());
            self.say(&LiveMessage::Event { event: Box::new(event) }).await?;
        }
        Ok(())
    }

    async fn listen(&mut self) -> Result<std::convert::Infallible, Gone> {
        let mut stopping = self.app.stopping.clone();
        let mut pings = tokio::time::interval(PING);
        pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        pings.tick().await;
        loop {
            tokio::select! {
                event = self.events.recv(), if !self.paused => {
                    match event {
                        Ok(event) => self.batch(&event).await?,
                        Err(RecvError::Lagged(count)) => self.lost(count).await?,
                        Err(RecvError::Closed) => return Err(Gone),
                    }
                }
                said = self.socket.recv() => match said {
                    Some(Ok(message)) => self.heard(message).await?,
                    Some(Err(_)) | None => return Err(Gone),
                },
                _ = pings.tick() => self.say(&LiveMessage::Ping).await?,
                () = stopped(&mut stopping) => {
                    let frame = CloseFrame { code: close_code::AWAY, reason: "lictord is stopping".into() };
                    self.socket.send(Message::Close(Some(frame))).await?;
                    return Err(Gone);
                }
            }
        }
    }

    /// The event and those that are there already, in one go.
    async fn batch(&mut self, first: &Shown) -> Result<(), Gone> {
        self.put(first).await?;
        for _ in 1..BATCH {
            match self.events.try_recv() {
                Ok(event) => self.put(&event).await?,
                Err(TryRecvError::Lagged(count)) => {
                    self.lost(count).await?;
                    break;
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => {
                    // What the record had is sent; from here on all is new.
                    self.sent = std::collections::HashSet::new();
                    break;
                }
            }
        }
        self.socket.flush().await?;
        Ok(())
    }

    async fn put(&mut self, shown: &Shown) -> Result<(), Gone> {
        if !self.query.matches(&shown.event) || self.sent.contains(&shown.event.id) {
            return Ok(());
        }
        if let Some(message) = shown.message() {
            self.socket.feed(Message::text(message)).await?;
        }
        Ok(())
    }

    async fn lost(&mut self, count: u64) -> Result<(), Gone> {
        let reason = "this connection was paused or too slow".to_owned();
        self.say(&LiveMessage::Lost { count, reason }).await
    }

    async fn heard(&mut self, message: Message) -> Result<(), Gone> {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return Err(Gone),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Binary(_) => return self.refuse("messages are JSON in text frames".to_owned()).await,
        };
        match serde_json::from_str(text.as_str()) {
            Ok(LiveRequest::Filter { filter }) => self.query = *filter,
            Ok(LiveRequest::Pause) => self.paused = true,
            Ok(LiveRequest::Resume) => self.paused = false,
            Err(error) => return self.refuse(format!("this is no message of a client: {error}")).await,
        }
        Ok(())
    }

    async fn refuse(&mut self, message: String) -> Result<(), Gone> {
        self.say(&LiveMessage::Error { message }).await
    }

    async fn say(&mut self, message: &LiveMessage) -> Result<(), Gone> {
        let json = serde_json::to_string(message).map_err(|_| Gone)?;
        Ok(self.socket.send(Message::text(json)).await?)
    }
}
