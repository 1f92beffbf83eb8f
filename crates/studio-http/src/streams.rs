//! `/v1/stream/…`: the studio's streams themselves, in the Durable Streams protocol
//! (`studio-streams-protocol`); here is only who may use them.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Method, header::CONTENT_TYPE, request::Parts},
    response::{IntoResponse, Response},
};
use futures::StreamExt as _;
use studio_auth::Scope;
use studio_flows::Watched;
use studio_ids::SessionId;
use studio_streams::{StreamPath, StreamStore};
use studio_streams_protocol::{Access, Cors, ProtocolOptions, Wish};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    HttpSettings, HttpState, Problem,
    locks::{Locks, Pass},
    permit::{bearer, query},
};

/// Below this stand the streams.
pub(crate) const MOUNT: &str = "/v1/stream";

/// Whether a path is the streams' to answer.
pub(crate) fn is_below(path: &str) -> bool {
    path.strip_prefix(MOUNT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The protocol over the studio's store.
pub(crate) fn over(
    store: &Arc<dyn StreamStore>,
    locks: &Locks,
    settings: &HttpSettings,
    stop: &CancellationToken,
) -> Router {
    let access = StreamAccess { locks: locks.clone(), open: settings.streams_open };
    let options = ProtocolOptions {
        mount: MOUNT.to_owned(),
        sse_lifetime: settings.streams_sse_lifetime,
        long_poll: settings.streams_long_poll,
        keep_alive: settings.keep_alive,
        body_patience: settings.body_patience,
        cors: Cors::Origins(settings.allowed_origins.clone()),
        resource_policy: "same-origin",
        access: Arc::new(access),
        stop: stop.clone(),
        ..ProtocolOptions::default()
    };
    studio_streams_protocol::router(Arc::clone(store), options)
}

/// Every method of `/v1/stream/{path}`. What waits for more ends when its token is void.
pub(crate) async fn streams(State(state): State<HttpState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let waits = parts.method == Method::GET && query(&parts, "live").is_some();
    let pass = waits.then(|| pass(state.locks(), &parts)).flatten();
    if waits && pass.is_none() && !state.settings().streams_open {
        return Problem::unauthenticated("stream").into_response();
    }
    let request = Request::from_parts(parts, body);
    let answering = state.streams().clone().oneshot(request);
    let answered =
        |answered: Result<Response, Infallible>| answered.unwrap_or_else(|never| match never {});
    let Some(pass) = pass else { return answered(answering.await) };
    let watched = state.locks().watch(pass, &CancellationToken::new());
    tokio::select! {
        answer = answering => ending_with(watched, answered(answer)),
        () = watched.over() => Problem::unauthenticated("stream").into_response(),
    }
}

/// The same answer, whose body ends when the token is void.
fn ending_with(watched: Watched, answer: Response) -> Response {
    let (head, body) = answer.into_parts();
    if head.headers.get(CONTENT_TYPE).is_none_or(|kind| kind != "text/event-stream") {
        return Response::from_parts(head, body);
    }
    let over = watched.over();
    let pieces = body.into_data_stream().take_until(over).map(move |piece| {
        let _held = &watched;
        piece
    });
    Response::from_parts(head, Body::from_stream(pieces))
}

/// What opens the reading of a stream.
fn pass(locks: &Locks, request: &Parts) -> Option<Pass> {
    let path = request.uri.path().strip_prefix(MOUNT)?.strip_prefix('/')?;
    let mut scopes = vec![Scope::Streams, Scope::Operator];
    scopes.extend(path.parse().ok().as_ref().and_then(session).map(Scope::Session));
    locks.pass(&scopes, &token(request)?)
}

/// Who may use which stream: the operator and a service with a token for streams all of them, but
/// for writing the list of tokens, and shared sessions (see [`StreamAccess::opens_more`]); who has
/// a session's token may read that session's.
struct StreamAccess {
    locks: Locks,
    open: bool,
}

impl Access for StreamAccess {
    fn refusal(&self, request: &Parts, wish: Wish<'_>) -> Option<Response> {
        let opens_more = self.opens_more(request, wish);
        let permitted = !opens_more
            && (self.open || token(request).is_some_and(|t| self.permits(request, wish, &t)));
        (!permitted).then(|| Problem::unauthenticated("stream").into_response())
    }
}

impl StreamAccess {
    /// Whether more would come of it than a stream: what is void is told by the studio alone, and
    /// so is which sessions are given away; the code that lets people in is the operator's to read.
    fn opens_more(&self, request: &Parts, wish: Wish<'_>) -> bool {
        let is_operator = || token(request).is_some_and(|t| self.locks.opens(Scope::Operator, &t));
        match wish {
            Wish::Write(path) => *path == StreamPath::tokens() || path.is_shared(),
            Wish::Read(path) => path.is_shared() && !is_operator(),
            Wish::Other => false,
        }
    }

    fn permits(&self, request: &Parts, wish: Wish<'_>, token: &str) -> bool {
        let opens = |scope| self.locks.opens(scope, token);
        if opens(Scope::Streams) || opens(Scope::Operator) {
            return true;
        }
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        match wish {
            Wish::Read(path) if reads => session(path).is_some_and(|id| opens(Scope::Session(id))),
            Wish::Read(_) | Wish::Write(_) | Wish::Other => false,
        }
    }
}

/// In a header; for `GET` also in the query, because a browser's `EventSource` cannot send
/// headers (`D30-13`).
fn token(request: &Parts) -> Option<String> {
    let in_query = || (request.method == Method::GET).then(|| query(request, "token")).flatten();
    bearer(request).or_else(in_query)
}

/// Whose log it is.
fn session(path: &StreamPath) -> Option<SessionId> {
    let id: SessionId = path.as_str().strip_prefix("session/")?.parse().ok()?;
    // Written in another way it is the name of another stream.
    (StreamPath::session(id) == *path).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sessions_stream_has_one_name() {
        let id = SessionId::random();
        assert_eq!(session(&StreamPath::session(id)), Some(id));
        for other in [format!("session/{id}/x"), format!("room/{id}"), "session/x".to_owned()] {
            assert_eq!(session(&other.parse().unwrap()), None, "{other}");
        }
    }
}
