//! Tickets: what a page shows for an event stream in place of a token, because its `EventSource`
//! cannot send headers and an address is kept in many places.

use axum::{Json, extract::State, http::request::Parts};
use studio_api::answers::EventsTicket;
use studio_ids::SessionId;

use crate::{
    HttpState,
    codes::TICKET_LIFETIME,
    locks::Pass,
    permit::{HeldRead, query},
};

/// `POST /api/sessions/{id}/events-ticket`.
pub(crate) async fn give(
    State(state): State<HttpState>,
    HeldRead(session, pass): HeldRead,
) -> Json<EventsTicket> {
    let ticket = state.tickets().give((session, pass)).expose().to_owned();
    Json(EventsTicket { ticket, expires_in: TICKET_LIFETIME.as_secs() })
}

/// What the caller's ticket was given for, if that is this session. It is used up by that. As
/// good as the token that asked for it: void with it, and the stream ends with it.
pub(crate) fn taken(parts: &Parts, state: &HttpState, session: SessionId) -> Option<Pass> {
    let (of, pass) = state.tickets().take(&query(parts, "ticket")?)?;
    (of == session && state.locks().is_good(&pass)).then_some(pass)
}
