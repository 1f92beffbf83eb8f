//! Agents that the studio does not run: what their hooks tell, and whose hooks may.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use axum::http::{Method, StatusCode};
use insta::assert_snapshot;
use serde_json::{Value, json};
use studio_auth::Scope;
use studio_events::SessionStatus;
use studio_flows::Mode;
use studio_ids::SessionId;
use support::{Ask, Told, World, eventually};

const HOME: [u8; 4] = [127, 0, 0, 1];

fn body(name: &str, more: Value) -> Value {
    let mut body = json!({"hook_event_name": name, "cwd": "/home/me/it's an app"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn hook(world: &World, secret: &str, name: &str, more: Value) -> Told {
    world.send(Ask::post("/api/hook").token(secret).json(&body(name, more))).await
}

fn session(told: &Told) -> SessionId {
    assert_eq!(told.status, StatusCode::OK, "{}", told.text);
    told.json["sessionId"].as_str().unwrap().parse().unwrap()
}

/// The types of what readers see.
async fn events(world: &World, id: SessionId) -> Vec<String> {
    let file = world.export(id, &world.token(Scope::Operator)).await;
    let lines = file.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let types = lines.map(|line| line["type"].as_str().unwrap().to_owned());
    types.filter(|kind| !kind.starts_with("studio_export")).collect()
}

fn status(world: &World, id: SessionId) -> SessionStatus {
    world.studio.session(id).unwrap().status
}

#[tokio::test]
async fn one_conversation_is_one_session_also_with_64_first_events_at_once() {
    for mode in [Mode::Dev, Mode::Production] {
        let world = World::new(mode).await;
        let (_, secret) = world.project_secret("/home/me/app").await;
        for secret in [secret, world.token(Scope::AllHooks)] {
            let told = futures::future::join_all((0..64).map(|n| {
                let names = json!({
                    "transcript_path": "/t/1.jsonl", "session_id": "c-1",
                    "tool_use_id": format!("t{n}"), "tool_name": "Bash",
                });
                hook(&world, &secret, "PreToolUse", names)
            }));
            let told = told.await;
            let id = session(&told[0]);
            assert!(told.iter().all(|told| session(told) == id));
            assert_eq!(told[0].json, json!({"ok": true, "sessionId": id}));
            assert_eq!(events(&world, id).await, ["pre_tool_use"; 64]);
            let known = world.studio.session(id).unwrap();
            assert_eq!(known.project_name, "it's an app");
            assert_eq!(known.sandbox_project_dir, "/home/me/it's an app");
            assert_eq!(known.description, "Local session: it's an app");
            assert_eq!(known.claude_session_id, None);
            // By its transcript, and by the agent's own id (D30-93).
            for names in [json!({"transcript_path": "/t/1.jsonl"}), json!({"session_id": "c-1"})] {
                assert_eq!(session(&hook(&world, &secret, "Stop", names).await), id);
            }
            let names = json!({"transcript_path": "/t/moved.jsonl", "session_id": "c-1"});
            assert_eq!(session(&hook(&world, &secret, "Stop", names).await), id);
            let names = json!({"transcript_path": "/t/moved.jsonl"});
            assert_eq!(session(&hook(&world, &secret, "Stop", names).await), id);
            let names = json!({"transcript_path": "/t/2.jsonl", "session_id": "c-2"});
            assert_ne!(session(&hook(&world, &secret, "Stop", names).await), id);
        }
    }
}

#[tokio::test]
async fn a_projects_secret_reaches_its_own_sessions_alone() {
    let world = World::new(Mode::Production).await;
    let (_, one) = world.project_secret("/one").await;
    let (two_id, two) = world.project_secret("/two").await;
    let all = world.token(Scope::AllHooks);
    let names = json!({"transcript_path": "/t", "session_id": "c"});
    let mut ids = Vec::new();
    for secret in [&one, &two, &all] {
        ids.push(session(&hook(&world, secret, "SessionStart", names.clone()).await));
    }
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    // Names that are made to look like another project's.
    for name in [format!("project:{two_id}:transcript:/t"), format!("project:{two_id}:agent:c")] {
        for secret in [&one, &all] {
            let told = hook(&world, secret, "Stop", json!({"transcript_path": name})).await;
            assert!(!ids.contains(&session(&told)), "{name}");
        }
    }
    let told = hook(&world, &all, "Stop", json!({"transcript_path": "agent:c"})).await;
    assert!(!ids.contains(&session(&told)));
    // It opens nothing else.
    for path in ["hook-event", "iterate", "respond"] {
        let ask = Ask::post(format!("/api/sessions/{}/{path}", ids[0])).token(&one);
        let told = world.send(ask.json(&body("Stop", json!({})))).await;
        assert_eq!(told.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    for id in &ids {
        assert_eq!(events(&world, *id).await, ["session_start"]);
    }
}

#[tokio::test]
async fn a_secret_ends_when_the_next_is_made_when_it_is_revoked_and_when_it_is_given_up() {
    let world = World::new(Mode::Production).await;
    let names = json!({"transcript_path": "/t"});
    let (id, first) = world.project_secret("/app").await;
    let told = hook(&world, &first, "SessionStart", names.clone()).await;
    let conversation = session(&told);
    let (same, second) = world.project_secret("/app").await;
    assert_eq!(same, id);
    let told = hook(&world, &first, "Stop", names.clone()).await;
    assert_eq!(
        told.line(),
        "401 application/problem+json unauthenticated: Invalid or missing hook token"
    );
    assert_eq!(session(&hook(&world, &second, "Stop", names.clone()).await), conversation);

    let operator = world.token(Scope::Operator);
    let list = || async {
        let told = world.send(Ask::get("/api/hooks/projects").token(&operator)).await;
        told.json["projects"].clone()
    };
    let shown = list().await;
    assert_eq!(shown[0]["id"], id.as_str());
    assert_eq!((&shown[0]["directory"], &shown[0]["revoked"]), (&json!("/app"), &json!(false)));
    assert!(!shown.to_string().contains("sh1."), "{shown}");
    let path = format!("/api/hooks/projects/{id}");
    for _ in 0..2 {
        let told = world.send(Ask::new(Method::DELETE, &path).token(&operator)).await;
        assert_eq!(told.line(), r#"200 application/json {"ok":true}"#);
    }
    assert_eq!(list().await[0]["revoked"], true);
    assert_eq!(hook(&world, &second, "Stop", names.clone()).await.status, 401);
    for unknown in ["x", "..%2f..", &SessionId::random().to_string()] {
        let path = format!("/api/hooks/projects/{unknown}");
        let told = world.send(Ask::new(Method::DELETE, path).token(&operator)).await;
        assert_eq!(told.status, StatusCode::NOT_FOUND, "{unknown}");
    }

    // Set up anew it is the same project, with the same sessions.
    let (_, third) = world.project_secret("/app").await;
    assert_eq!(session(&hook(&world, &third, "Stop", names.clone()).await), conversation);
    let told = world.send(Ask::new(Method::DELETE, "/api/hook").token(&third)).await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(hook(&world, &third, "Stop", names).await.status, 401);
    let told = world.send(Ask::new(Method::DELETE, "/api/hook").token(&third)).await;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_references_secret_works_where_its_derivations_do() {
    const SECRET: &str = "12884aa4ba96cc58ad8279e04b4e80b9297dfaeb29d07121bd1fd0992a4e6193";
    let names = json!({"transcript_path": "/t"});
    let world = World::new(Mode::Production).await;
    session(&hook(&world, SECRET, "SessionStart", names.clone()).await);
    let told = world.send(Ask::new(Method::DELETE, "/api/hook").token(SECRET)).await;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED, "it cannot be given up");
    let strict = World::of(Mode::Production, false, |_| {}).await;
    assert_eq!(hook(&strict, SECRET, "SessionStart", names.clone()).await.status, 401);
    let (_, secret) = strict.project_secret("/app").await;
    session(&hook(&strict, &secret, "SessionStart", names).await);
}

#[tokio::test]
async fn the_installer_is_for_a_person_at_this_machine() {
    let dev = World::new(Mode::Dev).await;
    let production = World::new(Mode::Production).await;
    let setup = || Ask::get("/api/hooks/setup").from(HOME);
    let told = dev.send(setup()).await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(told.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(told.headers["cache-control"], "no-store");
    assert!(told.text.contains("local studio='http://localhost:4400'\n"), "{}", told.text);
    let named = setup().without("host").header("host", "127.0.0.1:7");
    assert!(dev.send(named).await.text.contains("local studio='http://127.0.0.1:7'\n"));
    let uninstall = dev.send(Ask::get("/api/hooks/setup?uninstall").from(HOME)).await;
    assert!(
        uninstall.text.contains("remove_studio_hooks") && !uninstall.text.contains("local code")
    );

    let operator = production.token(Scope::Operator);
    assert_eq!(production.send(setup()).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(production.send(setup().token(&operator)).await.status, StatusCode::OK);
    assert_eq!(dev.send(setup().from([192, 0, 2, 1])).await.status, StatusCode::UNAUTHORIZED);
    let foreign = |ask: Ask| ask.token(&operator);
    for (ask, code) in [
        (setup().from([192, 0, 2, 1]), "not_local"),
        (setup().header("x-forwarded-for", "192.0.2.1"), "not_local"),
        (setup().header("via", "1.1 proxy"), "not_local"),
        (setup().header("origin", "https://evil.example"), "foreign_origin"),
        (setup().header("sec-fetch-site", "cross-site"), "foreign_origin"),
        (setup().header("sec-fetch-site", "same-site"), "foreign_origin"),
        (setup().without("host").header("host", "evil.example"), "foreign_host"),
    ] {
        let told = production.send(foreign(ask)).await;
        assert_eq!((told.status, &told.json["code"]), (StatusCode::FORBIDDEN, &json!(code)));
        assert!(!told.text.contains("local code"));
    }
    let named = World::with(Mode::Production, |http| {
        http.allowed_hosts.push("studio.example.com".to_owned());
    });
    let ask = setup().without("host").header("host", "studio.example.com").token(&operator);
    assert_eq!(named.await.send(ask).await.json["code"], "not_local");
}

#[tokio::test]
async fn a_setup_code_makes_one_secret_of_a_directory() {
    let world = World::new(Mode::Dev).await;
    let set_up = |code: &str, body: &Value| {
        world.send(Ask::post("/api/hooks/projects").from(HOME).token(code).json(body))
    };
    let code = world.setup_code().await;
    let good = json!({"directory": "/app"});
    assert_eq!(set_up(&code, &good).await.status, StatusCode::CREATED);
    let again = set_up(&code, &good).await;
    assert_eq!(
        again.line(),
        "401 application/problem+json unauthenticated: Invalid or missing setup token"
    );
    let ask = Ask::post("/api/hooks/projects").from(HOME).json(&good);
    assert_eq!(world.send(ask).await.status, StatusCode::UNAUTHORIZED, "not even at home");
    for bad in [json!({}), json!({"directory": "../app"}), json!({"directory": "/a\nb"}), json!(7)]
    {
        let told = set_up(&world.setup_code().await, &bad).await;
        assert_eq!(told.json["code"], "validation_failed", "{bad}");
    }
    let ask = Ask::post("/api/hooks/projects").token(&world.setup_code().await);
    let mut plain = ask.json(&good).without("content-type");
    plain = plain.header("content-type", "text/plain");
    assert_eq!(world.send(plain).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_session_ends_with_its_agent_and_goes_on_with_it() {
    let world = World::new(Mode::Dev).await;
    let (_, secret) = world.project_secret("/app").await;
    let tell = |name: &'static str| hook(&world, &secret, name, json!({"transcript_path": "/t"}));
    let id = session(&tell("SessionStart").await);
    let over = json!({"transcript_path": "/t", "session": {"cost_usd": 0.5, "num_turns": 2}});
    session(&hook(&world, &secret, "SessionEnd", over).await);
    assert_eq!(status(&world, id), SessionStatus::Complete);
    let cost = || async { world.studio.session(id).unwrap().total_cost_usd };
    assert_eq!(eventually(cost).await, 0.5);
    assert_eq!(session(&tell("SessionStart").await), id);
    assert_eq!(status(&world, id), SessionStatus::Running);
    session(&tell("SessionEnd").await);
    // A conversation that went on without a word of its beginning is at work, too.
    session(&tell("UserPromptSubmit").await);
    assert_eq!(status(&world, id), SessionStatus::Running);
    // What is no event of ours is none of the session's.
    assert_eq!(tell("PreCompact").await.json, json!({"ok": true, "sessionId": id}));

    world.studio.cancel(id).await.unwrap();
    let before = events(&world, id).await;
    for name in ["Stop", "PreToolUse", "SessionEnd"] {
        assert_eq!(session(&tell(name).await), id);
    }
    assert_eq!(events(&world, id).await, before, "a person has ended it");
    assert_eq!(status(&world, id), SessionStatus::Cancelled);
    assert_eq!(session(&tell("SessionStart").await), id);
    assert_eq!(status(&world, id), SessionStatus::Running);
    session(&tell("Stop").await);
    assert!(before.len() < events(&world, id).await.len());

    world.studio.delete(id).await.unwrap();
    assert_ne!(session(&tell("Stop").await), id);
}

#[tokio::test]
async fn a_question_waits_for_its_answer_and_a_second_hook_with_it() {
    let world = World::new(Mode::Dev).await;
    let (_, secret) = world.project_secret("/app").await;
    let asked = json!({
        "transcript_path": "/t", "tool_name": "AskUserQuestion", "tool_use_id": "toolu_1",
        "tool_input": {"questions": [{"question": "Blue?", "options": []}]},
    });
    let ask = || hook(&world, &secret, "PreToolUse", asked.clone());
    let answer = async {
        let id = eventually(async || {
            let page = world.send(Ask::get("/api/sessions").token(&world.token(Scope::Operator)));
            let page = page.await;
            let waits = page.json["sessions"][0]["needsInput"] == true;
            waits.then(|| page.json["sessions"][0]["id"].as_str().unwrap().to_owned())
        })
        .await;
        let body = json!({"gate": "ask_user_question", "toolUseId": "toolu_1", "answer": "yes",
            "question": "Blue?"});
        let path = format!("/api/sessions/{id}/respond");
        let told = world.send(Ask::post(path).token(&world.token(Scope::Operator)).json(&body));
        assert_eq!(told.await.status, StatusCode::OK);
    };
    let (one, two, ()) = tokio::join!(ask(), ask(), answer);
    assert_eq!(one.json, two.json);
    let id = session(&one);
    assert_snapshot!(one.text.replace(&id.to_string(), "<id>"), @r#"{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"allow","updatedInput":{"answers":{"Blue?":"yes"},"questions":[{"options":[],"question":"Blue?"}]}},"sessionId":"<id>"}"#);
    assert_eq!(events(&world, id).await, ["ask_user_question", "gate_resolved"]);
}

#[tokio::test]
async fn an_agent_registers_itself_with_its_start() {
    let world = World::new(Mode::Production).await;
    let auto = |body: Value| Ask::post("/api/sessions/auto").json(&body);
    let start = body("SessionStart", json!({"session_id": "c-1", "transcript_path": "/t"}));
    let told = world.send(auto(start.clone())).await;
    assert_eq!(told.status, StatusCode::CREATED, "{}", told.text);
    let text = |name: &str| told.json[name].as_str().unwrap().to_owned();
    let id: SessionId = text("sessionId").parse().unwrap();
    let known = world.studio.session(id).unwrap();
    assert_eq!(known.claude_session_id.as_deref(), Some("c-1"));
    assert_eq!(known.project_name, "it's an app");
    assert_eq!(events(&world, id).await, ["session_start"]);
    let ask = Ask::post(format!("/api/sessions/{id}/hook-event")).token(&text("hookToken"));
    let told = world.send(ask.json(&body("Stop", json!({"last_assistant_message": "hi"})))).await;
    assert_eq!(told.json, json!({"ok": true}));
    let get = Ask::get(format!("/api/sessions/{id}")).token(&text("sessionToken"));
    assert_eq!(world.send(get).await.json["status"], "running");
    // Who knows a transcript's path does not get at the session that another's hooks feed.
    let again = world.send(auto(start)).await;
    assert_ne!(again.json["sessionId"], text("sessionId"));

    let plain = auto(json!({})).without("content-type");
    let mut lines = String::new();
    for (what, ask) in [
        ("another hook", auto(body("Stop", json!({"session_id": "c"})))),
        ("no hook", auto(json!({}))),
        ("no conversation", auto(body("SessionStart", json!({})))),
        ("an id that is none", auto(body("SessionStart", json!({"session_id": "a\nb"})))),
        ("a long id", auto(body("SessionStart", json!({"session_id": "x".repeat(501)})))),
        ("no object", auto(json!([1]))),
        ("no JSON", Ask::post("/api/sessions/auto").bytes("{")),
        ("not said to be JSON", plain),
    ] {
        lines.push_str(&format!("{what}: {}\n", world.send(ask).await.line()));
    }
    assert_snapshot!(lines, @r#"
    another hook: 400 application/problem+json bad_request: Only SessionStart events can auto-register a session
    no hook: 400 application/problem+json bad_request: Only SessionStart events can auto-register a session
    no conversation: 400 application/problem+json bad_request: transcript_path or session_id is required
    an id that is none: 400 application/problem+json bad_request: session_id is not valid
    a long id: 400 application/problem+json bad_request: session_id is not valid
    no object: 400 application/problem+json validation_failed: Validation failed
    no JSON: 400 application/problem+json invalid_json: Invalid JSON body
    not said to be JSON: 415 application/problem+json unsupported_media_type: Content-Type must be application/json
    "#);
    // What was refused did not count, what was made did.
    let ask = || auto(body("SessionStart", json!({"session_id": "c"})));
    for _ in 0..3 {
        assert_eq!(world.send(ask()).await.status, StatusCode::CREATED);
    }
    assert_eq!(world.send(ask()).await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn what_is_no_hook_is_told_so() {
    let world = World::new(Mode::Dev).await;
    let (_, secret) = world.project_secret("/app").await;
    let hook = |body: Value| Ask::post("/api/hook").token(&secret).json(&body);
    let mut lines = String::new();
    for (what, ask) in [
        ("no conversation (D30-93)", hook(body("Stop", json!({})))),
        ("empty names", hook(body("Stop", json!({"transcript_path": "", "session_id": ""})))),
        ("names of another type", hook(body("Stop", json!({"transcript_path": ["/t"]})))),
        ("control characters", hook(body("Stop", json!({"transcript_path": "/t\u{0}"})))),
        ("a long path", hook(body("Stop", json!({"transcript_path": "/".repeat(4_097)})))),
        ("a long id", hook(body("Stop", json!({"session_id": "x".repeat(501)})))),
        ("a directory that is none", hook(body("Stop", json!({"session_id": "c", "cwd": "/\n"})))),
        ("no object", hook(json!("x"))),
        ("no JSON", Ask::post("/api/hook").token(&secret).bytes("{")),
        ("no token", Ask::post("/api/hook").json(&body("Stop", json!({})))),
        ("not said to be JSON", hook(json!({})).without("content-type")),
        ("large", Ask::post("/api/hook").token(&secret).bytes(vec![b' '; (4 << 20) + 1])),
    ] {
        lines.push_str(&format!("{what}: {}\n", world.send(ask).await.line()));
    }
    assert_snapshot!(lines, @r#"
    no conversation (D30-93): 400 application/problem+json bad_request: transcript_path or session_id is required
    empty names: 400 application/problem+json bad_request: transcript_path or session_id is required
    names of another type: 400 application/problem+json bad_request: transcript_path or session_id is required
    control characters: 400 application/problem+json bad_request: transcript_path is not valid
    a long path: 400 application/problem+json bad_request: transcript_path is not valid
    a long id: 400 application/problem+json bad_request: session_id is not valid
    a directory that is none: 400 application/problem+json bad_request: cwd is not valid
    no object: 400 application/problem+json validation_failed: Validation failed
    no JSON: 400 application/problem+json invalid_json: Invalid JSON body
    no token: 401 application/problem+json unauthenticated: Invalid or missing hook token
    not said to be JSON: 415 application/problem+json unsupported_media_type: Content-Type must be application/json
    large: 413 application/problem+json body_too_large: Payload too large
    "#);
    for name in ["../../etc/passwd", "'; rm -rf / #", "-rf", "$(id)"] {
        let told = world.send(hook(body("Stop", json!({"transcript_path": name})))).await;
        assert_eq!(told.status, StatusCode::OK, "{name}");
    }
}

#[tokio::test]
async fn hooks_do_not_fill_the_list_without_end() {
    let world = World::new(Mode::Dev).await;
    let (_, secret) = world.project_secret("/app").await;
    let tell = |n: usize| hook(&world, &secret, "Stop", json!({"session_id": format!("c{n}")}));
    for n in 0..120 {
        session(&tell(n).await);
    }
    let told = tell(120).await;
    assert_eq!(told.json["code"], "rate_limited");
    assert!(told.headers.contains_key("retry-after"));
    session(&tell(7).await);
}
