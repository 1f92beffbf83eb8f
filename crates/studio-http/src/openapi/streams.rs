//! The streams themselves, which speak a protocol of their own.

use axum::http::Method;
use serde_json::{Value, json};

use super::operation::{Operation, op};

const PATH: &str = "/v1/stream/{*path}";
/// The schema of the protocol's failures.
pub(super) const PROBLEM: &str = "StreamProblem";

/// `{"code","error"}`.
pub(super) fn problem() -> Value {
    json!({
        "type": "object",
        "description": "A failure of the streams' protocol.",
        "required": ["code", "error"],
        "properties": {
            "code": { "type": "string", "description": "Match on this." },
            "error": { "type": "string", "description": "A sentence for people." },
        },
    })
}

pub(super) fn operations() -> Vec<Operation> {
    let text = || json!({ "type": "string" });
    let bytes = || Some(("*/*", json!({}), None));
    let producer = |op: Operation| {
        let number = || json!({ "type": "integer", "minimum": 0 });
        op.header("Producer-Id", text(), "Who writes; with the two below a batch is written once.")
            .header("Producer-Epoch", number(), "A larger one shuts out who wrote under a smaller.")
            .header("Producer-Seq", number(), "Which batch; from 0, without gaps.")
    };
    vec![
        op(Method::GET, PATH, "readStream", "Read a stream, and wait for more")
            .about(ABOUT)
            .query("offset", json!({ "type": "string", "default": "-1" }), "The place to read from: `-1` (the beginning), `now`, or what an earlier answer said.")
            .query("live", json!({ "enum": ["long-poll", "sse"] }), "How to wait; without it a read ends at once.")
            .query("cursor", text(), "What an earlier live answer said.")
            .header("Last-Event-ID", text(), "As `offset`, and wins over it.")
            .header("If-None-Match", text(), "The `ETag` of an earlier answer.")
            .answers_raw(200, "Messages, in the stream's own content type; with `live=sse` a `text/event-stream`.", bytes())
            .with_header("Stream-Next-Offset", "The place to go on from.")
            .with_header("Stream-Up-To-Date", "`true` when there is nothing after it now.")
            .with_header("Stream-Closed", "`true` when there never will be.")
            .answers_raw(204, "Nothing came while a long-poll waited.", None)
            .answers_raw(304, "The same as before.", None)
            .stream_fails(&[(404, "not_found"), (410, "gone")]),
        producer(op(Method::PUT, PATH, "createStream", "Make a stream"))
            .about("The body, if there is one, is what stands in it first. The content type is the stream's for good.")
            .header("Stream-TTL", json!({ "type": "integer", "minimum": 0 }), "Seconds after which it is gone.")
            .header("Stream-Expires-At", json!({ "type": "string", "format": "date-time" }), "When it is gone.")
            .header("Stream-Closed", json!({ "enum": ["true"] }), "Nothing is to follow.")
            .header("Stream-Forked-From", text(), "The stream that it begins like.")
            .header("Stream-Fork-Offset", text(), "Up to which place.")
            .takes_raw("*/*", &json!({}), None)
            .answers_raw(200, "It is there already, just like that. The content type is the stream's, the body empty.", None)
            .answers_raw(201, "It is made. The content type is the stream's, the body empty.", None)
            .with_header("Location", "Its address.")
            .with_header("Stream-Next-Offset", "The place after what stands in it.")
            .stream_fails(&[(404, "not_found"), (409, "conflict"), (410, "gone")]),
        producer(op(Method::POST, PATH, "appendStream", "Write to a stream, or close it"))
            .about("The body's content type is the stream's; JSON is one message, or an array of them.")
            .header("Stream-Seq", text(), "An order of the writer's own.")
            .header("Stream-Closed", json!({ "enum": ["true"] }), "Nothing is to follow.")
            .takes_raw("*/*", &json!({}), None)
            .answers_raw(200, "Written, of a producer.", None)
            .with_header("Producer-Seq", "The last batch that is written.")
            .answers_raw(204, "Written, or written before.", None)
            .with_header("Stream-Next-Offset", "The place after it.")
            .stream_fails(&[(404, "not_found"), (409, "closed"), (410, "gone")]),
        op(Method::DELETE, PATH, "deleteStream", "Remove a stream")
            .answers_raw(204, "It is gone.", None)
            .stream_fails(&[(404, "not_found"), (410, "gone")]),
        op(Method::OPTIONS, PATH, "streamPreflight", "What a page of an allowed origin may do")
            .answers_raw(204, "In headers.", None)
            .with_header("Access-Control-Allow-Methods", "All that a stream takes."),
    ]
}

const ABOUT: &str = "The Durable Streams protocol 1.0. A name has parts joined by `/`, which stand \
    in the path as they are; `session/{id}` is a session's whole log. `HEAD` tells how long it is.";

/// What every operation on a stream may say, beside its own.
const ALL: [(u16, &str); 9] = [
    (400, "bad_request"),
    (403, "fenced"),
    (408, "too_slow"),
    (413, "too_large"),
    (415, "unsupported"),
    (429, "busy"),
    (500, "failed"),
    (501, "unsupported"),
    (503, "read_only"),
];

impl Operation {
    fn stream_fails(mut self, own: &[(u16, &'static str)]) -> Self {
        for &(status, code) in ALL.iter().chain(own) {
            let schema = json!({ "$ref": format!("#/components/schemas/{PROBLEM}") });
            let example = json!({ "code": code, "error": "what is wrong, in a sentence" });
            let content = Some(("application/json", schema, Some(example)));
            self = self.answers_raw(status, "Refused by the streams' protocol.", content);
        }
        self.answers.sort_by_key(|answer| answer.status);
        self
    }
}
