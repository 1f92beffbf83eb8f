//! How much at once, and what a studio knows of it after a restart. The rows are those of
//! `docs/requirements.md`.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::{sync::Arc, time::SystemTime};

use axum::http::StatusCode;
use serde_json::json;
use studio_agent_codec::Claude;
use studio_auth::{Keys, ServerKey};
use studio_events::Timestamp;
use studio_flows::{Mode, Parts, Settings, Studio};
use studio_http::{HttpSettings, HttpState, router};
use studio_limits::Caps;
use studio_streams::MemoryStreams;
use support::{Ask, NoSandboxes, Told, World};
use tokio_util::sync::CancellationToken;

/// A studio over these streams; the next one takes over from it.
async fn world(streams: &Arc<MemoryStreams>, settings: Settings) -> World {
    let streams = Arc::clone(streams);
    let parts = Parts {
        streams: streams.clone(),
        provider: Arc::new(NoSandboxes),
        github: None,
        databases: None,
        codec: Arc::new(|conversation| Box::new(Claude::of(conversation))),
        settings,
        clock: Arc::new(|| Timestamp::from(SystemTime::now())),
    };
    let studio = Studio::start(parts).await.unwrap();
    let keys = Keys::new(ServerKey::new("test-secret").unwrap());
    let stop = CancellationToken::new();
    let state = HttpState::new(studio.clone(), keys.clone(), HttpSettings::default(), stop.clone());
    World { app: router(state), keys, stop, studio, streams }
}

fn caps(sandboxes: Option<u32>, running_per_subject: Option<u32>) -> Settings {
    Settings {
        mode: Mode::Production,
        max_sessions_per_ip_per_hour: None,
        caps: Caps { sandboxes, running_per_subject },
        ..Settings::default()
    }
}

/// A session that waits at its infrastructure gate.
async fn create(world: &World, peer: [u8; 4]) -> Told {
    let body = json!({ "description": "an app", "apiKey": "sk-test" });
    world.send(Ask::post("/api/sessions").json(&body).from(peer)).await
}

async fn end(world: &World, made: &Told, verb: &str) {
    let text = |name: &str| made.json[name].as_str().unwrap().to_owned();
    let ask = match verb {
        "delete" => Ask::new(axum::http::Method::DELETE, path(&text("sessionId"), "")),
        verb => Ask::post(path(&text("sessionId"), &format!("/{verb}"))),
    };
    let told = world.send(ask.token(&text("sessionToken"))).await;
    assert_eq!(told.status, StatusCode::OK, "{verb}: {}", told.text);
}

fn path(id: &str, what: &str) -> String {
    format!("/api/sessions/{id}{what}")
}

fn is_full(told: &Told) {
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE, "{}", told.text);
    assert_eq!(told.json["error"], "Service at capacity, please try again later");
    assert_eq!(told.json["code"], "at_capacity");
    assert!(told.headers.contains_key("retry-after"));
}

/// D30-58: what is over gives its place back, and a restart takes and gives none.
#[tokio::test]
async fn d30_58_the_cap_counts_what_is_there_and_not_what_ever_was() {
    let streams = Arc::new(MemoryStreams::default());
    let first = world(&streams, caps(Some(2), None)).await;
    let one = create(&first, [192, 0, 2, 1]).await;
    let two = create(&first, [192, 0, 2, 2]).await;
    assert_eq!((one.status, two.status), (StatusCode::CREATED, StatusCode::CREATED));
    is_full(&create(&first, [192, 0, 2, 3]).await);
    // A session that an agent elsewhere feeds takes no place.
    first.local_session().await;
    first.studio.stop().await;

    let second = world(&streams, caps(Some(2), None)).await;
    is_full(&create(&second, [192, 0, 2, 3]).await);
    end(&second, &one, "cancel").await;
    let three = create(&second, [192, 0, 2, 3]).await;
    assert_eq!(three.status, StatusCode::CREATED, "{}", three.text);
    is_full(&create(&second, [192, 0, 2, 3]).await);
    end(&second, &two, "delete").await;
    end(&second, &three, "interrupt").await;
    for _ in 0..2 {
        let more = create(&second, [192, 0, 2, 3]).await;
        assert_eq!(more.status, StatusCode::CREATED, "{}", more.text);
    }
    is_full(&create(&second, [192, 0, 2, 3]).await);
}

/// Many at once get as many places as there are.
#[tokio::test(flavor = "multi_thread")]
async fn d30_58_creations_at_once_do_not_overrun_the_cap() {
    let streams = Arc::new(MemoryStreams::default());
    let world = Arc::new(world(&streams, caps(Some(5), Some(3))).await);
    let all = (0..40_u8).map(|n| {
        let world = Arc::clone(&world);
        // Four callers, three places for each, five in all.
        tokio::spawn(async move { create(&world, [192, 0, 2, n % 4]).await.status.as_u16() })
    });
    let mut told = Vec::new();
    for one in all.collect::<Vec<_>>() {
        told.push(one.await.unwrap());
    }
    let count = |status| told.iter().filter(|told| **told == status).count();
    assert_eq!(count(201), 5, "{told:?}");
    assert_eq!(count(201) + count(429) + count(503), 40, "{told:?}");
}

/// One caller's running sessions are counted, before and after a restart; others are not held up.
#[tokio::test]
async fn d30_15_a_caller_runs_so_many_sessions_at_once() {
    let streams = Arc::new(MemoryStreams::default());
    let first = world(&streams, caps(None, Some(1))).await;
    let (mine, others) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    let one = create(&first, mine).await;
    assert_eq!(one.status, StatusCode::CREATED);
    let told = create(&first, mine).await;
    assert_eq!(told.status, StatusCode::TOO_MANY_REQUESTS, "{}", told.text);
    assert_eq!(told.json["code"], "too_many_running");
    assert!(told.headers.contains_key("retry-after"));
    assert_eq!(create(&first, others).await.status, StatusCode::CREATED);
    first.studio.stop().await;
    let second = world(&streams, caps(None, Some(1))).await;
    assert_eq!(create(&second, mine).await.status, StatusCode::TOO_MANY_REQUESTS);
    end(&second, &one, "cancel").await;
    assert_eq!(create(&second, mine).await.status, StatusCode::CREATED);
}

/// D30-98: a restart gives nobody a new hour, and what failed never counts.
#[tokio::test]
async fn d30_98_creations_count_on_after_a_restart() {
    let streams = Arc::new(MemoryStreams::default());
    let settings = || Settings { max_sessions_per_ip_per_hour: Some(2), ..caps(None, None) };
    let first = world(&streams, settings()).await;
    let (mine, others) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    let freeform = json!({ "description": "an app", "freeform": true });
    for _ in 0..3 {
        let told = first.send(Ask::post("/api/sessions").json(&freeform).from(mine)).await;
        assert_eq!(told.status, StatusCode::FORBIDDEN, "{}", told.text);
    }
    assert_eq!(create(&first, mine).await.status, StatusCode::CREATED);
    assert_eq!(create(&first, mine).await.status, StatusCode::CREATED);
    first.studio.stop().await;
    let second = world(&streams, settings()).await;
    let told = create(&second, mine).await;
    assert_eq!(told.status, StatusCode::TOO_MANY_REQUESTS, "{}", told.text);
    let wait: u64 = told.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3_000..=3_600).contains(&wait), "{wait}");
    assert_eq!(create(&second, others).await.status, StatusCode::CREATED);
}

/// Development mode is for one person, who is not limited.
#[tokio::test]
async fn nothing_is_limited_in_development_mode() {
    let streams = Arc::new(MemoryStreams::default());
    let settings = Settings { mode: Mode::Dev, ..caps(Some(1), Some(1)) };
    let world = world(&streams, settings).await;
    for _ in 0..3 {
        assert_eq!(create(&world, [192, 0, 2, 1]).await.status, StatusCode::CREATED);
    }
}

/// D30-99: two studios in one process share nothing: neither limits nor sessions, gates, tokens.
#[tokio::test]
async fn d30_99_two_studios_in_one_process_do_not_disturb_each_other() {
    let settings = || Settings { max_sessions_per_ip_per_hour: Some(2), ..caps(Some(2), Some(2)) };
    let one = world(&Arc::default(), settings()).await;
    let other = world(&Arc::default(), settings()).await;
    let peer = [192, 0, 2, 1];
    let made = create(&one, peer).await;
    assert_eq!(create(&one, peer).await.status, StatusCode::CREATED);
    assert_eq!(create(&one, peer).await.status, StatusCode::TOO_MANY_REQUESTS);
    let id = made.json["sessionId"].as_str().unwrap().to_owned();
    let token = made.json["sessionToken"].as_str().unwrap().to_owned();

    assert_eq!(create(&other, peer).await.status, StatusCode::CREATED, "the other has its own");
    // They have the same key, as a test may; the session is there in one of them only.
    let look = |world: &World| {
        let ask = Ask::get(path(&id, "")).token(&token);
        let sent = World {
            app: world.app.clone(),
            keys: world.keys.clone(),
            stop: world.stop.clone(),
            studio: world.studio.clone(),
            streams: world.streams.clone(),
        };
        async move { sent.send(ask).await }
    };
    assert_eq!(look(&one).await.json["needsInput"], true);
    assert_eq!(look(&other).await.status, StatusCode::NOT_FOUND);
    other.stop.cancel();
    other.studio.stop().await;
    let respond = Ask::post(path(&id, "/respond")).token(&token);
    let told = one.send(respond.json(&json!({ "gate": "infra_config", "mode": "local" }))).await;
    assert_eq!(told.json, json!({ "ok": true }), "one works on: {}", told.text);
}
