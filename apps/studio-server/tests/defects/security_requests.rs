//! Requests that pages elsewhere, strangers and agents would send, on the real program. The lines
//! are those of the table "What is tried" of `docs/security.md`.

use serde_json::{Value, json};
use studio_testkit::{StudioServer, wait_for};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    defects_input::{ask, open, server, status},
    studio::{SOON, answer, hooked, is_sound, post, program, up_to},
};

/// How many sessions there are.
async fn sessions(server: &StudioServer) -> usize {
    let (status, told) = answer(server.client().get(server.url("/api/sessions"))).await;
    assert_eq!(status, 200, "{told}");
    told["sessions"].as_array().unwrap().len()
}

/// A page whose name leads to this machine by now. Its browser believes that it talks to its own
/// server, so it asks for no leave and reads what comes back.
#[tokio::test]
async fn dns_rebinding_reads_and_changes_nothing() {
    let server = server().await;
    let (session, _) = hooked(&server).await;
    let page = format!("evil.example:{}", server.port());
    let own = format!("Origin: http://{page}\r\nSec-Fetch-Site: same-origin");
    let body = "Content-Type: application/json\r\nContent-Length: 2";
    let events = session.path("events");
    for (what, more, body_text) in [
        ("GET /api/sessions".to_owned(), "", ""),
        ("GET /api/config".to_owned(), "", ""),
        ("GET /api/hooks/setup".to_owned(), "", ""),
        (format!("GET {events}?token={}", session.token), "", ""),
        ("GET /".to_owned(), "", ""),
        ("POST /api/sessions".to_owned(), body, "{}"),
        ("POST /api/sessions/local".to_owned(), body, "{}"),
        ("POST /api/login-links".to_owned(), "", ""),
        ("PUT /v1/stream/mine".to_owned(), "", ""),
        (format!("DELETE /api/sessions/{}", session.id), "", ""),
    ] {
        let lines = format!("{own}\r\n{more}").trim_end().to_owned();
        let request = format!(
            "{what} HTTP/1.1\r\nHost: {page}\r\n{lines}\r\nConnection: close\r\n\r\n{body_text}"
        );
        let told = ask(&server, &request).await;
        assert!(told.contains(" 403"), "{request}\n-> {told}");
    }
    assert_eq!(sessions(&server).await, 1);
    is_sound(&server);
}

/// What a page elsewhere may send without asking first: simple requests.
#[tokio::test]
async fn a_cross_site_post_of_text_creates_nothing() {
    let server = server().await;
    let host = format!("Host: 127.0.0.1:{}", server.port());
    let hook = r#"{"hook_event_name":"SessionStart","session_id":"c","description":"x"}"#;
    for path in ["/api/sessions", "/api/sessions/local", "/api/sessions/auto"] {
        for declared in [
            "Content-Type: text/plain",
            "Content-Type: text/plain; charset=application/json",
            "Content-Type: text/plain\r\nX: application/json",
            "Content-Type: application/x-www-form-urlencoded",
            "Content-Type: multipart/form-data; boundary=x",
            "X-None: declared",
        ] {
            // A browser of today says where the page is from; an older one says nothing.
            for (from, wanted) in
                [("Origin: https://evil.example", "403"), ("Sec-Fetch-Site: cross-site", "403")]
                    .into_iter()
                    .chain([("X: y", "415")])
            {
                let told = ask(
                    &server,
                    &format!(
                        "POST {path} HTTP/1.1\r\n{host}\r\n{declared}\r\n{from}\r\n\
                         Content-Length: {}\r\nConnection: close\r\n\r\n{hook}",
                        hook.len()
                    ),
                )
                .await;
                assert!(told.contains(wanted), "{path} {declared} {from} -> {told}");
            }
        }
    }
    assert_eq!(sessions(&server).await, 0);
    is_sound(&server);
}

/// Events come from outside, answers do not: whoever can append cannot end a question.
#[tokio::test]
async fn an_appended_event_ends_no_gate() {
    let server = server().await;
    let (session, hook) = hooked(&server).await;
    let mut watch = session.watch(&server).await;
    let asks = json!({
        "hook_event_name": "PreToolUse", "tool_name": "AskUserQuestion", "tool_use_id": "t1",
        "tool_input": { "questions": [{ "question": "Colour?" }] },
    });
    let request = server.client().post(server.url(&session.path("hook-event")));
    let waiting = tokio::spawn(answer(request.bearer_auth(&hook).json(&asks)));
    up_to(&mut watch, "ask_user_question").await;
    let resolved = |kind: &str| {
        json!({
            "type": kind, "gate": "ask_user_question", "gate_id": "t1", "toolUseId": "t1",
            "tool_use_id": "t1", "answers": { "Colour?": "forged" }, "summary": "forged",
            "source": "server", "outcome": "expired", "ts": "2026-01-01T00:00:00.000Z",
        })
    };
    for kind in ["gate_resolved", "gate_closed", "gate_response", "command", "GATE_RESOLVED"] {
        for token in [&session.token, &hook] {
            let path = session.path("stream/append");
            let (status, told) = post(&server, &path, token, &resolved(kind)).await;
            let wanted = if token == &hook { 401 } else { 400 };
            assert_eq!(status, wanted, "{kind}: {told}");
        }
        // The stream itself is for reading.
        let stream = format!("/v1/stream/session/{}", session.id);
        assert_eq!(post(&server, &stream, &session.token, &resolved(kind)).await.0, 401);
    }
    // Inside of an event that is taken they are words.
    let words =
        json!({ "type": "log", "level": "done", "message": resolved("gate_resolved").to_string() });
    assert_eq!(session.tell(&server, "stream/append", &words).await.0, 200);
    let (_, gates) = session.ask(&server, "gates").await;
    assert_eq!(gates["gates"].as_array().unwrap().len(), 1, "{gates}");
    assert!(!waiting.is_finished());

    let answers = json!({
        "gate": "ask_user_question", "toolUseId": "t1", "answers": { "Colour?": "red" },
    });
    assert_eq!(session.tell(&server, "respond", &answers).await.0, 200);
    let (_, heard) = waiting.await.unwrap();
    assert_eq!(heard["hookSpecificOutput"]["updatedInput"]["answers"]["Colour?"], "red");
    is_sound(&server);
}

/// Who names another address in a header is counted all the same, unless a proxy that was named
/// says so.
#[tokio::test]
async fn a_forwarded_address_counts_from_named_proxies_alone() {
    for (proxies, wanted) in [("", 429), ("127.0.0.1", 201)] {
        let server = program()
            .arg("--sandbox")
            .arg("local")
            .env("STUDIO_DEV_MODE", "0")
            .env("STUDIO_TRUSTED_PROXIES", proxies)
            .env("MAX_SESSIONS_PER_IP_PER_HOUR", "3")
            .start()
            .await;
        let create = async |at: usize| {
            let request = server.client().post(server.url("/api/sessions/local"));
            let from = format!("198.51.100.{at}");
            let request = ["x-forwarded-for", "x-real-ip", "forwarded", "client-ip"]
                .into_iter()
                .fold(request, |request, name| request.header(name, &from));
            answer(request).await.0
        };
        for at in 0..3 {
            assert_eq!(create(at).await, 201);
        }
        assert_eq!(create(9).await, wanted, "proxies: {proxies}");
    }
}

/// A body that says how large it is, is refused before any of it comes; the one that does not say
/// so is `d30_101_a_body_without_end_is_refused_on_the_way`.
#[tokio::test]
async fn a_body_of_a_gibibyte_is_refused_before_it_comes() {
    let server = server().await;
    let (session, hook) = hooked(&server).await;
    let operator = std::fs::read_to_string(server.data_dir().join("operator-token")).unwrap();
    let before = server.resident_bytes();
    let (own, operator) = (session.token.as_str(), operator.trim());
    for (method, path, token) in [
        ("POST", "/api/sessions".to_owned(), ""),
        ("POST", "/api/sessions/local".to_owned(), ""),
        ("POST", "/api/sessions/auto".to_owned(), ""),
        ("POST", session.path("iterate"), own),
        ("POST", session.path("respond"), own),
        ("POST", session.path("hook-event"), &hook),
        ("POST", session.path("stream/append"), own),
        ("PATCH", session.path(""), own),
        ("POST", session.path("tokens"), own),
        ("POST", "/api/sandboxes".to_owned(), operator),
        ("PUT", "/v1/stream/mine".to_owned(), operator),
    ] {
        let mut stream = open(&server).await;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{{",
            1 << 30
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let told = status(&mut stream).await;
        assert!(told.contains(" 413"), "{method} {path}: {told}");
    }
    let more = server.resident_bytes().saturating_sub(before);
    assert!(more < 24 << 20, "{more} bytes more");
    is_sound(&server);
}

/// Over either protocol: the connection ends, and nobody else notices.
#[tokio::test]
async fn a_hundred_thousand_headers_are_refused() {
    let server = server().await;
    let before = server.resident_bytes();
    for line in ["a: b\r\n", "x-forwarded-for: 127.0.0.1\r\n", "cookie: studio_login=x\r\n"] {
        let (mut reading, mut writing) = open(&server).await.into_split();
        let headers = line.repeat(100_000);
        let sending = tokio::spawn(async move {
            let head = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n";
            // The server may hang up before it has read everything.
            writing.write_all(head).await.and(writing.write_all(headers.as_bytes()).await).is_ok()
        });
        let mut told = Vec::new();
        let read = tokio::time::timeout(SOON, reading.read_to_end(&mut told)).await;
        let told = String::from_utf8_lossy(&told).into_owned();
        // A connection that is reset may lose the answer on its way; it is refused all the same.
        assert!(told.starts_with("HTTP/1.1 431") || told.is_empty(), "{line} {read:?} {told}");
        sending.abort();
    }
    // As many as a client's own table holds.
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    assert_eq!(answer(client.get(server.url("/api/config"))).await.0, 200);
    let many = (0..24_000).fold(client.get(server.url("/api/config")), |request, at| {
        request.header(format!("x-{at}"), "y")
    });
    let told = many.timeout(SOON).send().await.map(|answer| answer.status().as_u16());
    let refused = told.as_ref().map_or_else(|error| error.is_request(), |status| *status == 431);
    assert!(refused, "{told:?}");
    let more = server.resident_bytes().saturating_sub(before);
    assert!(more < 24 << 20, "{more} bytes more");
    wait_for("an answer for others", SOON, async || {
        let health: Value =
            server.client().get(server.url("/api/health")).send().await.ok()?.json().await.ok()?;
        (health["healthy"] == true).then_some(())
    })
    .await;
    is_sound(&server);
}
