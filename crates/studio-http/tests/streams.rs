//! `/v1/stream`: who may use streams, and that they speak the protocol there.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use axum::http::{Method, StatusCode};
use serde_json::json;
use studio_auth::Scope;
use studio_flows::Mode;
use studio_ids::SessionId;
use support::{Ask, World};

fn stream(path: impl std::fmt::Display) -> String {
    format!("/v1/stream/{path}")
}

fn every_method(path: &str) -> Vec<Ask> {
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
    methods.map(|method| Ask::new(method, path)).to_vec()
}

#[tokio::test]
async fn the_operator_and_a_service_use_all_streams() {
    let world = World::new(Mode::Production).await;
    for (n, scope) in [Scope::Operator, Scope::Streams].into_iter().enumerate() {
        let token = world.token(scope);
        let path = stream(format!("tools/{n}"));
        let made = world.send(Ask::new(Method::PUT, &path).token(&token).json(&json!([1]))).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        let location = made.headers["location"].to_str().unwrap();
        assert_eq!(location, format!("http://localhost:4400{path}"));
        let told = world.send(Ask::post(&path).token(&token).json(&json!([2, 3]))).await;
        assert_eq!(told.status, StatusCode::NO_CONTENT);
        let read = world.send(Ask::get(&path).token(&token)).await;
        assert_eq!(read.json, json!([1, 2, 3]));
        assert_eq!(read.headers["cache-control"], "private, no-store");
        let fork = Ask::new(Method::PUT, format!("{path}-copy")).token(&token);
        let fork = world.send(fork.header("stream-forked-from", path.clone())).await;
        assert_eq!(fork.status, StatusCode::CREATED, "{}", fork.text);
        let gone = world.send(Ask::new(Method::DELETE, &path).token(&token)).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn a_sessions_token_reads_its_own_stream_and_nothing_else() {
    let world = World::new(Mode::Production).await;
    let (id, token, hook) = world.local_session().await;
    let own = stream(format!("session/{id}"));
    let operator = world.token(Scope::Operator);
    let entry = json!({"source": "server", "type": "log", "text": "hi"});
    let told = world.send(Ask::post(&own).token(&operator).json(&entry)).await;
    assert_eq!(told.status, StatusCode::NO_CONTENT, "{}", told.text);
    let read = world.send(Ask::get(&own).token(&token)).await;
    assert_eq!(read.json, json!([entry]), "{}", read.text);
    let head = world.send(Ask::new(Method::HEAD, &own).token(&token)).await;
    assert_eq!(head.headers["stream-next-offset"], read.headers["stream-next-offset"]);
    let in_query = world.send(Ask::get(format!("{own}?offset=now&token={token}"))).await;
    assert_eq!(in_query.status, StatusCode::OK);

    let mut refused = Vec::new();
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        refused.push(Ask::new(method.clone(), &own).token(&token));
        refused.push(Ask::new(method, format!("{own}?token={token}")));
    }
    refused.push(Ask::new(Method::HEAD, format!("{own}?token={token}")));
    refused.push(
        Ask::new(Method::PUT, stream("x")).token(&token).header("stream-forked-from", own.clone()),
    );
    let other = SessionId::random();
    for path in [
        format!("session/{other}"),
        format!("session/{}", id.to_string().to_uppercase()),
        format!("session/{id}/x"),
        format!("session/{id}%2fx"),
        format!("session/../session/{id}"),
        format!("room/{id}"),
        "registry".to_owned(),
        "__ds/jwks.json".to_owned(),
        "..%2f".to_owned(),
    ] {
        refused.extend(every_method(&stream(path)).into_iter().map(|ask| ask.token(&token)));
    }
    refused.extend(every_method(&own).into_iter().map(|ask| ask.token(&hook)));
    refused.extend(every_method(&own));
    for ask in refused {
        let told = world.send(ask.clone()).await;
        assert_eq!(told.status, StatusCode::UNAUTHORIZED, "{ask:?} {}", told.text);
        assert_eq!(told.headers["www-authenticate"], "Bearer");
        if ask.method != Method::HEAD {
            assert_eq!(told.json["code"], "unauthenticated");
        }
    }
    let after = world.send(Ask::get(&own).token(&token)).await;
    assert_eq!(after.json, read.json, "nothing was changed");
}

#[tokio::test]
async fn opened_on_purpose_they_need_no_token() {
    let world = World::with(Mode::Dev, |http| http.streams_open = true).await;
    let path = stream("tools/a");
    assert_eq!(world.send(Ask::new(Method::PUT, &path)).await.status, StatusCode::CREATED);
    let reserved = world.send(Ask::get(stream("__ds/jwks.json"))).await;
    assert_eq!(reserved.status, StatusCode::NOT_IMPLEMENTED);
    let foreign = Ask::get(&path).header("origin", "http://localhost:5173");
    assert_eq!(world.send(foreign).await.status, StatusCode::FORBIDDEN, "no page of others");
}

#[tokio::test]
async fn an_allowed_page_may_send_the_protocols_headers() {
    let origin = "https://studio.example.com";
    let world = World::with(Mode::Dev, |http| http.allowed_origins.push(origin.to_owned())).await;
    let path = stream("tools/a");
    let preflight = Ask::new(Method::OPTIONS, &path)
        .header("origin", origin)
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "producer-id");
    let told = world.send(preflight).await;
    assert_eq!(told.status, StatusCode::NO_CONTENT);
    assert_eq!(told.headers["access-control-allow-origin"], origin);
    let list = |name: &str| told.headers[name].to_str().unwrap().to_owned();
    assert!(list("access-control-allow-methods").contains("PUT"));
    for header in ["authorization", "if-none-match", "producer-id", "stream-forked-from"] {
        assert!(list("access-control-allow-headers").contains(header), "{header}");
    }
    let token = world.token(Scope::Streams);
    let told =
        world.send(Ask::new(Method::PUT, &path).token(&token).header("origin", origin)).await;
    assert_eq!(told.status, StatusCode::CREATED);
    assert_eq!(told.headers["access-control-allow-origin"], origin);
    let exposed = told.headers["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("stream-next-offset"), "{exposed}");
    let refused = world.send(Ask::get(&path).header("origin", origin)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers["access-control-allow-origin"], origin, "so that it can be read");
}

#[tokio::test]
async fn what_is_no_stream_is_said_in_json() {
    let world = World::new(Mode::Dev).await;
    for path in ["/v1/stream", "/v1/stream/"] {
        let told = world.send(Ask::get(path)).await;
        assert_eq!(told.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(told.json["code"], "not_found");
    }
    let told = world.send(Ask::new(Method::PATCH, stream("a"))).await;
    assert_eq!(told.status, StatusCode::METHOD_NOT_ALLOWED);
}
