//! D30-4: which names and which pages may talk to the studio; and D30-14: how often.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use axum::http::{Method, StatusCode};
use insta::assert_snapshot;
use serde_json::json;
use studio_auth::Scope;
use studio_flows::Mode;
use studio_http::routes;
use studio_ids::SessionId;
use support::{Ask, World, path_of};

fn every_route() -> Vec<Ask> {
    let id = SessionId::random().to_string();
    let asks =
        routes().into_iter().map(|route| Ask::new(route.method.clone(), path_of(&route, &id)));
    asks.chain([Ask::get("/"), Ask::get("/api/nothing")]).collect()
}

#[tokio::test]
async fn a_foreign_or_absent_host_is_refused_on_every_route() {
    let world = World::new(Mode::Dev).await;
    for ask in every_route() {
        for host in [
            "evil.example",
            "localhost.evil.example:4400",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "",
            "localhost:99999999",
            "\u{e9}",
        ] {
            let told = world.send(ask.clone().without("host").header("host", host)).await;
            assert_eq!(told.status, StatusCode::FORBIDDEN, "{ask:?} {host}");
            assert_eq!(told.json["code"], "foreign_host");
        }
        let absent = world.send(ask.clone().without("host")).await;
        assert_eq!(absent.status, StatusCode::FORBIDDEN);
        let two = world.send(ask.clone().header("host", "localhost")).await;
        assert_eq!(two.status, StatusCode::FORBIDDEN, "two hosts");
    }
    for host in ["localhost", "LOCALHOST:4400", "127.0.0.1:1", "[::1]:4400"] {
        let told = world.send(Ask::get("/api/config").without("host").header("host", host)).await;
        assert_eq!(told.status, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn a_foreign_page_is_refused_on_every_route() {
    let world = World::new(Mode::Dev).await;
    for ask in every_route().into_iter().filter(|ask| !["/", "/login"].contains(&&*ask.target)) {
        for origin in [
            "null",
            "https://evil.example",
            "http://localhost:5173",
            "http://localhost",
            "localhost:4400",
            "\u{e9}",
        ] {
            let told = world.send(ask.clone().header("origin", origin)).await;
            assert_eq!(told.status, StatusCode::FORBIDDEN, "{ask:?} {origin}");
            assert!(!told.headers.contains_key("access-control-allow-origin"));
        }
        for site in ["cross-site", "same-site", "x"] {
            let told = world.send(ask.clone().header("sec-fetch-site", site)).await;
            assert_eq!(told.status, StatusCode::FORBIDDEN, "{ask:?} {site}");
        }
    }
    for own in [
        ("origin", "http://localhost:4400"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
    ] {
        let told = world.send(Ask::get("/api/config").header(own.0, own.1)).await;
        assert_eq!(told.status, StatusCode::OK, "{own:?}");
    }
    for page in ["/", "/login"] {
        let linked = world.send(Ask::get(page).header("sec-fetch-site", "cross-site")).await;
        assert_eq!(linked.status, StatusCode::OK, "a link to the page is fine");
    }
}

#[tokio::test]
async fn an_allowed_origin_is_answered_and_only_it() {
    let origin = "https://studio.example.com";
    let world = World::with(Mode::Dev, |http| http.allowed_origins.push(origin.to_owned())).await;
    let told = world.send(Ask::get("/api/config").header("origin", origin)).await;
    assert_eq!(told.headers["access-control-allow-origin"], origin);
    let preflight =
        Ask::new(Method::OPTIONS, "/api/sessions").header("access-control-request-method", "POST");
    let told = world.send(preflight.clone().header("origin", origin)).await;
    assert_eq!(told.status, StatusCode::NO_CONTENT);
    assert!(!told.headers.contains_key("access-control-allow-credentials"));
    let told = world.send(preflight.header("origin", "https://evil.example")).await;
    assert_eq!(told.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn d30_14_creation_is_limited_by_the_sockets_address() {
    let world = World::new(Mode::Production).await;
    let body = json!({"description": "hi"});
    let create = |n: u8| {
        Ask::post("/api/sessions").json(&body).header("x-forwarded-for", format!("198.51.100.{n}"))
    };
    for n in 0..5 {
        assert_eq!(world.send(create(n)).await.status, StatusCode::CREATED);
    }
    let told = world.send(create(9)).await;
    assert_snapshot!(told.line(), @"429 application/problem+json rate_limited: Too many sessions. Please try again later.");
    let wait: u64 = told.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3_000..=3_600).contains(&wait), "{wait}");
    let freeform = json!({"description": "hi", "freeform": true});
    let other = world.send(create(9).from([192, 0, 2, 2])).await;
    assert_eq!(other.status, StatusCode::CREATED, "another address");
    for _ in 0..9 {
        let told =
            world.send(Ask::post("/api/sessions").json(&freeform).from([192, 0, 2, 3])).await;
        assert_eq!(told.status, StatusCode::FORBIDDEN, "D30-98: what is refused does not count");
    }
}

#[tokio::test]
async fn every_answer_says_what_keeps_it_safe() {
    let world = World::new(Mode::Dev).await;
    let page = world.send(Ask::get("/session/anything")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("studio tail"));
    assert!(
        page.headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'")
    );
    for told in [page, world.send(Ask::get("/api/health")).await] {
        assert_eq!(told.headers["x-content-type-options"], "nosniff");
        assert_eq!(told.headers["referrer-policy"], "no-referrer");
    }
    let told = world.send(Ask::get("/api/sessions").token(&world.token(Scope::Operator))).await;
    assert_eq!(told.headers["cache-control"], "no-store");
}
