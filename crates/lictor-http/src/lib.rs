// SPDX-License-Identifier: Apache-2.0
//! The HTTP interface. It knows HTTP only: what there is to show and to change it asks of a [`Backend`].
//!
//! The way of a request: `server` (a connection, its limits and time-outs), `guard` (whose request is it, may it come
//! from there, not too many), `routes` (one function a route; its arguments say which role it needs), [`Backend`].
//! Live events come the other way: [`Live`] gives them to every WebSocket of `routes::stream`, and waits for none.
//!
//! Who may do what:
//! - on the unix socket the peer's user: root is admin, whoever else may open the socket is operator;
//! - on TCP a token ([`tokens`]), as `Authorization: Bearer` or through a login as a cookie.

mod access;
mod backend;
mod error;
mod guard;
mod live;
mod measure;
mod params;
mod rate;
mod routes;
mod server;
pub mod tokens;
mod ui;

pub use backend::{Backend, Fault, Measure, MeasureKind};
pub use live::Live;
pub use routes::openapi;
pub use server::{Limits, Options, Running, StartError, Tcp, Tls, UnixSocket, start};
