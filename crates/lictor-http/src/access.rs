// SPDX-License-Identifier: Apache-2.0
//! Whose request it is: the token at start, named tokens, logins by cookie, roles.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use lictor_api::view::{Actor, Role};
use lru::LruCache;

use crate::error::ApiError;
use crate::tokens::{self, Token, TokenError, TokenFile};

/// Logins that are remembered; then the oldest ends.
const LOGINS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// How long a login lasts, if its token does.
const LOGIN: SignedDuration = SignedDuration::from_hours(12);
/// The name of the token that is made at start.
const START_TOKEN: &str = "start-token";

/// What a cookie stands for.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) actor: Actor,
    pub(crate) csrf: String,
    until: Timestamp,
    /// The token's hash: a login ends when its token is removed.
    token: [u8; 32],
}

/// How somebody showed who they are.
#[derive(Debug, Clone)]
pub(crate) enum Means {
    /// Credentials of the unix socket, or a token in a header: nothing that a browser sends by itself.
    Direct,
    Cookie(Box<Login>),
}

/// Who asks, put into a request by the guard.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) actor: Actor,
    pub(crate) means: Means,
}

pub(crate) struct Access {
    /// The hash of the token made at start.
    start: Option<[u8; 32]>,
    named: Option<Mutex<Named>>,
    logins: Mutex<LruCache<[u8; 32], Login>>,
}

struct Named {
    file: TokenFile,
    stamp: Option<(u64, u64, i64, i64)>,
    tokens: Vec<Token>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Access {
    /// An error when the file of named tokens cannot be read: better no interface than one that knows nobody.
    pub(crate) fn new(start_token: Option<&str>, file: Option<TokenFile>) -> Result<Self, TokenError> {
        let named = match file {
            Some(file) => {
                let stamp = file.stamp();
                Some(Mutex::new(Named { tokens: file.list()?, stamp, file }))
            }
            None => None,
        };
        Ok(Self { start: start_token.map(tokens::hash), named, logins: Mutex::new(LruCache::new(LOGINS)) })
    }

    /// Whose token it is.
    pub(crate) fn by_token(&self, token: &str, now: Timestamp) -> Option<(Actor, Option<Timestamp>)> {
        self.by_hash(&tokens::hash(token), now)
    }

    fn by_hash(&self, hash: &[u8; 32], now: Timestamp) -> Option<(Actor, Option<Timestamp>)> {
        if self.start.is_some_and(|start| tokens::same(&start, hash)) {
            return Some((Actor { name: START_TOKEN.into(), role: Role::Admin }, None));
        }
        let mut named = lock(self.named.as_ref()?);
        let stamp = named.file.stamp();
        if stamp != named.stamp {
            named.stamp = stamp;
            named.tokens = named.file.list().unwrap_or_else(|error| {
                // Nobody is let in by a file that cannot be read.
                tracing::error!("no named token is taken any more: {error}");
                Vec::new()
            });
        }
        tokens::find(&named.tokens, hash, now).ok()
    }

    /// Begins a login: the secret for the cookie, and what it stands for.
    pub(crate) fn log_in(&self, token: &str, now: Timestamp) -> Result<Option<(String, Login)>, TokenError> {
        let hash = tokens::hash(token);
        let Some((actor, expires)) = self.by_hash(&hash, now) else { return Ok(None) };
        let longest = now.checked_add(LOGIN).unwrap_or(now);
        let login = Login {
            actor,
            csrf: tokens::secret()?,
            until: expires.map_or(longest, |expires| expires.min(longest)),
            token: hash,
        };
        let cookie = tokens::secret()?;
        lock(&self.logins).put(tokens::hash(&cookie), login.clone());
        Ok(Some((cookie, login)))
    }

    pub(crate) fn by_cookie(&self, cookie: &str, now: Timestamp) -> Option<Login> {
        let key = tokens::hash(cookie);
        let login = lock(&self.logins).get(&key).cloned()?;
        let lasts = login.until > now && self.by_hash(&login.token, now).is_some_and(|(actor, _)| actor == login.actor);
        if !lasts {
            lock(&self.logins).pop(&key);
            return None;
        }
        Some(login)
    }

    pub(crate) fn log_out(&self, cookie: &str) {
        lock(&self.logins).pop(&tokens::hash(cookie));
    }
}

fn identity(parts: &Parts, needed: Role) -> Result<Actor, ApiError> {
    let identity = parts.extensions.get::<Identity>();
    let Some(identity) = identity else {
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", "say who you are"));
    };
    if identity.actor.role < needed {
        let message = format!("`{}` is {}, and this needs {needed}", identity.actor.name, identity.actor.role);
        return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message));
    }
    Ok(identity.actor.clone())
}

/// Arguments of route functions: who asks, with at least this role.
macro_rules! roles {
    ($($name:ident),+) => {$(
        pub(crate) struct $name(pub(crate) Actor);

        impl<S: Sync> FromRequestParts<S> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
                identity(parts, Role::$name).map(Self)
            }
        }
    )+};
}
roles!(Viewer, Operator, Admin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_ends_with_its_token_and_with_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::new(&dir.path().join("t.json"));
        let now = Timestamp::from_second(1_000_000).unwrap();
        let token = file.add("ann", Role::Operator, now, None).unwrap();
        let access = Access::new(Some("secret"), Some(file.clone())).unwrap();
        assert!(access.log_in("wrong", now).unwrap().is_none());
        let (cookie, login) = access.log_in(&token, now).unwrap().unwrap();
        assert_eq!(login.actor.name, "ann");
        assert!(access.by_cookie(&cookie, now).is_some());
        assert!(access.by_cookie(&token, now).is_none(), "the token is not the cookie");
        assert!(access.by_cookie(&cookie, now.checked_add(LOGIN).unwrap()).is_none());

        let (cookie, _) = access.log_in(&token, now).unwrap().unwrap();
        file.remove("ann").unwrap();
        assert!(access.by_cookie(&cookie, now).is_none(), "its token is gone");
        assert_eq!(access.by_token("secret", now).unwrap().0.role, Role::Admin);
        access.log_out(&cookie);
    }
}
