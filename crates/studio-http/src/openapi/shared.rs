//! What goes into the routes of shared sessions and what comes out.

use axum::http::Method;
use serde_json::json;
use studio_api::{
    CreateSharedSession, ErrorCode, JoinSharedSession, LeaveSharedSession, LinkSession,
    PingSharedSession,
};

use super::{
    examples,
    operation::{Operation, op},
    operations::streamed,
};

const GET: Method = Method::GET;
const POST: Method = Method::POST;

pub(super) fn operations() -> Vec<Operation> {
    use ErrorCode::{
        BadOffset, InviteRevoked, RateLimited, SessionNotFound, SharedSessionFull, Stopping,
        StreamsUnavailable, TakenOver,
    };
    const ONE: &str = "/api/shared-sessions/{id}/sessions/{session}";
    let event = streamed(&json!({
        "type": "object", "required": ["type", "ts"],
        "properties": {
            "type": { "enum": [
                "shared_session_created", "participant_joined", "participant_left",
                "session_linked", "session_unlinked", "code_revoked",
            ] },
            "ts": { "type": "string", "format": "date-time" },
        },
    }));
    let sse = "id:00000000000000000042\ndata:{\"type\":\"participant_left\",\"participantId\":\"p1\",\"ts\":\"2026-11-24T09:00:00.000Z\"}\n\n";
    vec![
        op(
            POST,
            "/api/shared-sessions",
            "createSharedSession",
            "A room for people who watch sessions together",
        )
        .takes::<CreateSharedSession>()
        .answers(201, examples::shared_made())
        .fails(&[StreamsUnavailable, Stopping]),
        op(
            GET,
            "/api/shared-sessions/join/{code}",
            "findSharedSession",
            "The shared session of an invite code",
        )
        .about("A code that was revoked is told to be so, and gives no token.")
        .answers(200, examples::shared_found()),
        op(POST, "/api/shared-sessions/{id}/join", "joinSharedSession", "Come")
            .takes::<JoinSharedSession>()
            .answers(200, examples::done())
            .fails(&[InviteRevoked, SharedSessionFull, RateLimited]),
        op(POST, "/api/shared-sessions/{id}/leave", "leaveSharedSession", "Go")
            .takes::<LeaveSharedSession>()
            .answers(200, examples::done()),
        op(POST, "/api/shared-sessions/{id}/ping", "pingSharedSession", "Be present for 90 s")
            .takes::<PingSharedSession>()
            .answers(200, examples::done()),
        op(GET, "/api/shared-sessions/{id}/presence", "presence", "Who is present")
            .answers(200, examples::presence()),
        op(
            POST,
            "/api/shared-sessions/{id}/sessions",
            "linkSession",
            "Let everybody who is in have a session's token",
        )
        .about("For who controls that session.")
        .header(
            "X-Session-Token",
            json!({ "type": "string" }),
            "The token of the session that is linked; not needed with the operator's.",
        )
        .takes::<LinkSession>()
        .answers(200, examples::done())
        .fails(&[SessionNotFound, SharedSessionFull, TakenOver]),
        op(Method::DELETE, ONE, "unlinkSession", "Link a session no more")
            .about("Tokens of it that people have stay good: rotate them.")
            .answers(200, examples::done())
            .fails(&[SessionNotFound]),
        op(
            GET,
            "/api/shared-sessions/{id}/sessions/{session}/token",
            "linkedToken",
            "The token of a session that is linked",
        )
        .about("A session that is not linked, or whose tokens were rotated since, is not found.")
        .answers(200, examples::shared_token())
        .fails(&[SessionNotFound, TakenOver]),
        op(
            GET,
            "/api/shared-sessions/{id}/events",
            "sharedEvents",
            "What happens in the shared session, as it happens",
        )
        .about("Server-sent events, as those of a session.")
        .header(
            "Last-Event-ID",
            json!({ "type": "string" }),
            "The `id` of the last event that was seen; wins over `offset`.",
        )
        .query(
            "offset",
            json!({ "type": "string", "default": "-1" }),
            "The same, `-1` (the beginning) or `now`.",
        )
        .answers_raw(
            200,
            "`text/event-stream`.",
            Some(("text/event-stream", event, Some(sse.into()))),
        )
        .fails(&[BadOffset]),
        op(
            POST,
            "/api/shared-sessions/{id}/revoke",
            "revokeInvite",
            "Let nobody join with the code any more",
        )
        .about("Who is in stays in.")
        .answers(200, examples::done()),
    ]
}
