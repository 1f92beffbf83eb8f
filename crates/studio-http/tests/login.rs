//! A browser that logs in, and what its cookie opens; tickets for event streams.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::{Method, StatusCode};
use serde_json::json;
use studio_auth::Scope;
use studio_flows::Mode;
use studio_ids::SessionId;
use support::{Ask, Told, World};

const OWN: &str = "http://localhost:4400";

impl World {
    /// A link that logs in.
    async fn link(&self) -> String {
        let ask = Ask::post("/api/login-links").token(&self.token(Scope::Operator));
        let told = self.send(ask).await;
        assert_eq!(told.status, StatusCode::CREATED, "{}", told.text);
        told.json["url"].as_str().unwrap().strip_prefix(OWN).unwrap().to_owned()
    }

    async fn code(&self) -> String {
        self.link().await.split_once("code=").unwrap().1.to_owned()
    }

    /// The cookie of a browser that has logged in.
    async fn cookie(&self) -> String {
        cookie(&self.send(form(&self.code().await).header("origin", OWN)).await)
    }

    async fn status(&self, ask: Ask) -> u16 {
        self.send(ask).await.status.as_u16()
    }

    async fn ticket(&self, id: SessionId, token: &str) -> String {
        let told = self.send(Ask::post(format!("/api/sessions/{id}/events-ticket")).token(token));
        let told = told.await;
        assert_eq!(told.json["expiresIn"], 30, "{}", told.text);
        told.json["ticket"].as_str().unwrap().to_owned()
    }
}

/// What the page's form sends.
fn form(code: &str) -> Ask {
    let mut ask = Ask::post("/api/login");
    ask.body = format!("code={code}").into();
    ask.header("content-type", "application/x-www-form-urlencoded")
}

fn cookie(told: &Told) -> String {
    assert_eq!(told.status, StatusCode::OK, "{}", told.text);
    let set = told.headers["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

fn list(cookie: &str) -> Ask {
    Ask::get("/api/sessions").header("cookie", format!("a=b; {cookie}; c=d"))
}

fn events(id: SessionId, ticket: &str) -> Ask {
    Ask::get(format!("/api/sessions/{id}/events?ticket={ticket}"))
}

#[tokio::test]
async fn a_link_logs_one_browser_in_once() {
    let world = World::new(Mode::Production).await;
    let link = world.link().await;
    let code = link.split_once("code=").unwrap().1;
    // What fetches links ahead of people, and shows pages of others, changes nothing.
    for _twice in 0..2 {
        let page = world.send(Ask::get(&link)).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains(code) && page.text.contains("method=\"post\""));
        for outside in ["<script", "<style", " style=", "src=", "://", "=\"//", "url("] {
            assert!(!page.text.contains(outside), "{outside}");
        }
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'; form-action 'self'"),
            "{policy}"
        );
        assert_eq!(page.headers["referrer-policy"], "same-origin");
        assert!(!page.headers.contains_key("set-cookie"));
    }
    let told = world.send(form(code).header("origin", OWN)).await;
    let set = told.headers["set-cookie"].to_str().unwrap().to_owned();
    let rest = set.split_once(';').unwrap().1;
    assert_eq!(rest, " Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict");
    assert!(!told.text.contains("st2."), "the page shows no secret");
    let cookie = cookie(&told);
    assert_eq!(world.status(list(&cookie).header("origin", OWN)).await, 200);
    let again = world.send(form(code).header("origin", OWN)).await;
    assert_eq!(again.json["code"], "unauthenticated");
    let me = Ask::get("/api/me").header("cookie", cookie).header("sec-fetch-site", "same-origin");
    assert_eq!(world.send(me).await.json["by"], "login");

    let code = world.code().await;
    let encrypted = world.send(form(&code).header("origin", "https://localhost:4400")).await;
    let set = encrypted.headers["set-cookie"].to_str().unwrap();
    assert!(set.ends_with("; HttpOnly; SameSite=Strict; Secure"), "{set}");
}

#[tokio::test]
async fn a_cookie_opens_nothing_without_a_page_of_ours() {
    let world = World::new(Mode::Production).await;
    let cookie = world.cookie().await;
    let (id, ..) = world.local_session().await;
    let iterate = Ask::post(format!("/api/sessions/{id}/interrupt")).header("cookie", &*cookie);
    for (ask, good) in [(list(&cookie), 200), (iterate, 200)] {
        assert_eq!(world.status(ask.clone()).await, 401, "{ask:?}");
        assert_eq!(world.status(ask.clone().header("sec-fetch-site", "none")).await, 401);
        for foreign in ["https://evil.example", "http://localhost:5173", "null"] {
            assert_eq!(world.status(ask.clone().header("origin", foreign)).await, 403, "{foreign}");
        }
        for site in ["same-site", "cross-site"] {
            assert_eq!(world.status(ask.clone().header("sec-fetch-site", site)).await, 403);
        }
        for own in [("origin", OWN), ("sec-fetch-site", "same-origin")] {
            assert_eq!(world.status(ask.clone().header(own.0, own.1)).await, good, "{own:?}");
        }
        // A token that does not fit is not made good by a cookie.
        let both = ask.header("origin", OWN).token("0");
        assert_eq!(world.status(both).await, 401);
    }
    let token = cookie.split_once('=').unwrap().1;
    assert_eq!(world.status(Ask::get("/api/sessions").token(token)).await, 401, "as a token");
    let operator = format!("studio_login={}", world.token(Scope::Operator));
    assert_eq!(world.status(list(&operator).header("origin", OWN)).await, 401, "as a cookie");
}

#[tokio::test]
async fn a_foreign_page_logs_nobody_in() {
    let world = World::new(Mode::Production).await;
    let code = world.code().await;
    for (ask, status) in [
        (form(&code).header("origin", "https://evil.example"), 403),
        (form(&code).header("sec-fetch-site", "same-site"), 403),
        (form(&code), 401),
        (Ask::post("/api/login").json(&json!({ "code": code })).header("origin", OWN), 401),
    ] {
        assert_eq!(world.status(ask.clone()).await, status, "{ask:?}");
    }
    let told = world.send(form(&code).header("origin", OWN)).await;
    assert_eq!(told.status, StatusCode::OK, "it was not used up");
}

#[tokio::test]
async fn the_page_says_nothing_that_a_link_puts_into_it() {
    let world = World::new(Mode::Production).await;
    for code in ["%22%3E%3Cscript%3E", "x", &"%22".repeat(64)] {
        let page = world.send(Ask::get(format!("/login?code={code}"))).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains("value=\"\""), "{code}");
    }
}

#[tokio::test]
async fn guessing_ends_soon() {
    let world = World::new(Mode::Production).await;
    for n in 0..30 {
        assert_eq!(world.status(form(&format!("{n:064}")).header("origin", OWN)).await, 401);
    }
    let code = world.code().await;
    let told = world.send(form(&code).header("origin", OWN)).await;
    assert_eq!(told.json["code"], "rate_limited");
    let other = form(&code).header("origin", OWN).from([192, 0, 2, 9]);
    assert_eq!(world.status(other).await, 200, "another address");
}

#[tokio::test]
async fn a_login_outlives_a_restart_and_ends_by_logout_revocation_and_time() {
    let before = World::new(Mode::Production).await;
    let [out, revoked, kept] =
        [before.cookie().await, before.cookie().await, before.cookie().await];
    let logout = Ask::post("/api/logout").header("cookie", &*out).header("origin", OWN);
    let told = before.send(logout).await;
    assert!(told.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    let id = revoked.split('.').nth(3).unwrap();
    let delete = Ask::new(Method::DELETE, format!("/api/tokens/{id}"));
    let delete = delete.token(&before.token(Scope::Operator));
    assert_eq!(before.status(delete).await, 200);
    before.studio.stop().await;
    let after = World::over(Arc::clone(&before.streams), Mode::Production, true, |_| {}).await;
    for world in [&before, &after] {
        for (cookie, status) in [(&out, 401), (&revoked, 401), (&kept, 200)] {
            let me = Ask::get("/api/me").header("cookie", &**cookie).header("origin", OWN);
            assert_eq!(world.status(me).await, status);
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let old = after.keys.mint_own(Scope::Login, now - 61, Duration::from_secs(60));
    let old = list(&format!("studio_login={old}")).header("origin", OWN);
    assert_eq!(after.status(old).await, 401, "expired");
}

#[tokio::test]
async fn d30_13_a_ticket_opens_one_event_stream_once() {
    let world = World::new(Mode::Production).await;
    let (id, token, _) = world.local_session().await;
    let (other, others, _) = world.local_session().await;
    let path = format!("/api/sessions/{id}/tokens");
    let read = world.send(Ask::post(path).token(&token).json(&json!({ "scope": "read" }))).await;
    let read = read.json["token"].as_str().unwrap();
    for holder in [&*token, read] {
        let ticket = world.ticket(id, holder).await;
        let opened = world.open(events(id, &ticket)).await;
        assert_eq!(opened.status(), StatusCode::OK);
        assert_eq!(world.status(events(id, &ticket)).await, 401, "a second time");
    }
    let ticket = world.ticket(other, &others).await;
    assert_eq!(world.status(events(id, &ticket)).await, 401, "of another session");
    assert_eq!(world.status(events(other, &ticket)).await, 401, "and it is used up");
    let ticket = world.ticket(id, &token).await;
    for path in ["", "/usage", "/export"] {
        let ask = Ask::get(format!("/api/sessions/{id}{path}?ticket={ticket}"));
        assert_eq!(world.status(ask).await, 401, "{path}");
    }
    assert_eq!(world.status(Ask::get(format!("/api/sessions/{id}")).token(&ticket)).await, 401);
    let open = world.open(events(id, &ticket)).await;
    let unused = world.ticket(id, &token).await;
    let rotate = Ask::post(format!("/api/sessions/{id}/tokens/rotate")).token(&token);
    assert_eq!(world.status(rotate).await, 200);
    axum::body::to_bytes(open.into_body(), 1 << 20).await.unwrap();
    assert_eq!(world.status(events(id, &unused)).await, 401, "void with the token that asked");
}

#[tokio::test]
async fn a_page_of_a_browser_that_is_logged_in_opens_event_streams() {
    let world = World::new(Mode::Production).await;
    let (id, ..) = world.local_session().await;
    let cookie = world.cookie().await;
    let ask = Ask::get(format!("/api/sessions/{id}/events")).header("cookie", &*cookie);
    assert_eq!(world.status(ask.clone()).await, 401);
    let open = world.open(ask.header("sec-fetch-site", "same-origin")).await;
    assert_eq!(open.status(), StatusCode::OK);
    let logout = Ask::post("/api/logout").header("cookie", &*cookie).header("origin", OWN);
    assert_eq!(world.status(logout).await, 200);
    axum::body::to_bytes(open.into_body(), 1 << 20).await.unwrap();
}
