//! Databases over the API: what is told, who may ask how often, and that giving up ends it.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use studio_auth::Scope;
use studio_flows::Mode;
use studio_http::{Creation, ServeOptions, serve};
use studio_testkit::{ElectricAnswer, ElectricServer};
use support::{Ask, Told, World};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    time::timeout,
};

const PATH: &str = "/api/provision-electric";
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

async fn world(mode: Mode) -> (ElectricServer, World) {
    let server = ElectricServer::start().await;
    let world = World::provisioning(&server, mode, |_http| {}).await;
    (server, world)
}

async fn provision(world: &World, peer: [u8; 4]) -> Told {
    world.send(Ask::post(PATH).from(peer)).await
}

/// How many databases were begun.
fn begun(server: &ElectricServer) -> usize {
    server.requests().iter().filter(|request| request.starts_with("POST")).count()
}

#[tokio::test]
async fn a_database_is_made_and_told_whole() {
    let (_server, world) = world(Mode::Production).await;
    let told = provision(&world, [192, 0, 2, 1]).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.text);
    let claim = ElectricServer::CLAIM;
    let whole = json!({
        "sourceId": "src-1",
        "secret": "sec-1",
        "databaseUrl": "postgresql://owner:pw@db.example/app?sslmode=require",
        "electricUrl": "https://api.electric-sql.cloud",
        "claimId": claim,
        "claimUrl": format!("https://dashboard.electric-sql.cloud/claim?uuid={claim}"),
    });
    assert_eq!(told.json, whole);
    assert_eq!(told.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_database_that_is_not_made_is_told_in_the_references_words() {
    let (server, world) = world(Mode::Dev).await;
    let failed = async || {
        let told = provision(&world, [192, 0, 2, 1]).await;
        assert_eq!(told.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", told.text);
        assert_eq!(told.json["code"], "provisioning_failed");
        told.json["error"].as_str().unwrap().to_owned()
    };
    let state = |value: Value| [ElectricAnswer::Json(value)];
    server.looks(state(json!({"state": "failed", "error": "no region"})));
    assert_eq!(failed().await, "Resource provisioning failed: no region");
    server.looks(state(json!({"state": "ready"})));
    assert_eq!(failed().await, "Invalid response from Electric API — missing required credentials");
    server.looks(state(json!({"state": "pending"})));
    let late = "Timeout waiting for resources to be provisioned after 60 attempts";
    assert_eq!(failed().await, late);
    server.begins(ElectricAnswer::Text(503, "hunter2".to_owned()));
    assert_eq!(failed().await, "Electric API error: 503 Service Unavailable");
    // Nobody makes any here.
    let world = World::new(Mode::Dev).await;
    let told = provision(&world, [192, 0, 2, 1]).await;
    assert_eq!(
        told.line(),
        "500 application/problem+json provisioning_failed: Provisioning failed"
    );
}

/// Each is made outside, so also those count that failed.
#[tokio::test]
async fn d30_15_a_caller_gets_so_many_databases_an_hour() {
    let (server, world) = world(Mode::Production).await;
    let (mine, others) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    for _ in 0..4 {
        assert_eq!(provision(&world, mine).await.status, StatusCode::OK);
    }
    server.looks([ElectricAnswer::Json(json!({"state": "failed"}))]);
    assert_eq!(provision(&world, mine).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    server.looks([ElectricAnswer::Json(ElectricServer::ready())]);
    let told = provision(&world, mine).await;
    assert_eq!(
        told.line(),
        "429 application/problem+json rate_limited: Too many databases. Please try again later."
    );
    let wait: u64 = told.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3_000..=3_600).contains(&wait), "{wait}");
    assert_eq!(begun(&server), 5, "who is refused begins nothing");
    assert_eq!(provision(&world, others).await.status, StatusCode::OK);
    // Sessions are counted for themselves.
    let create = Ask::post("/api/sessions").json(&json!({"description": "hi", "apiKey": "sk"}));
    assert_eq!(world.send(create.from(mine)).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn who_may_not_create_sessions_gets_no_database() {
    let server = ElectricServer::start().await;
    let closed = |http: &mut studio_http::HttpSettings| http.creation = Creation::Operator;
    let world = World::provisioning(&server, Mode::Production, closed).await;
    for ask in [Ask::post(PATH), Ask::post(PATH).token(&world.token(Scope::Streams))] {
        assert_eq!(world.send(ask).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(begun(&server), 0);
    for scope in [Scope::Operator, Scope::Create] {
        let told = world.send(Ask::post(PATH).token(&world.token(scope))).await;
        assert_eq!(told.status, StatusCode::OK, "{}", told.text);
    }
}

#[tokio::test]
async fn d30_99_two_studios_get_their_databases_each_from_its_own_place() {
    let (first, one) = world(Mode::Production).await;
    let (second, other) = world(Mode::Production).await;
    let peer = [192, 0, 2, 1];
    for _ in 0..5 {
        assert_eq!(provision(&one, peer).await.status, StatusCode::OK);
    }
    assert_eq!(provision(&one, peer).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!((begun(&first), begun(&second)), (5, 0));
    one.stop.cancel();
    one.studio.stop().await;
    assert_eq!(provision(&other, peer).await.status, StatusCode::OK);
    assert_eq!((begun(&first), begun(&second)), (5, 1));
}

#[tokio::test]
async fn a_client_that_goes_away_ends_what_it_asked_for() {
    let (server, world) = world(Mode::Production).await;
    server.looks([ElectricAnswer::Hang]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = ServeOptions::default();
    let serving = tokio::spawn(serve(listener, world.app.clone(), options, world.stop.clone()));
    let mut client = TcpStream::connect(address).await.unwrap();
    let ask = format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
    client.write_all(ask.as_bytes()).await.unwrap();
    while server.requests().len() < 2 {
        timeout(LONG, server.asked()).await.unwrap();
    }
    drop(client);
    timeout(LONG, server.left()).await.unwrap();
    world.stop.cancel();
    timeout(LONG, serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_studio_that_stops_waits_for_no_database() {
    for embedded in [false, true] {
        let (server, world) = world(Mode::Production).await;
        server.begins(ElectricAnswer::Hang);
        let stop = async {
            server.asked().await;
            if embedded {
                world.studio.stop().await;
            } else {
                world.stop.cancel();
            }
        };
        let both = async { tokio::join!(provision(&world, [192, 0, 2, 1]), stop) };
        let (told, ()) = timeout(LONG, both).await.unwrap();
        assert_eq!(
            (told.status, &told.json["code"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("stopping"))
        );
        timeout(LONG, server.left()).await.unwrap();
    }
}
