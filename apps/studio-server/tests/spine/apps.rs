//! The app of a session over HTTP: started, told as it is observed, stopped with everything that
//! it started; and sandboxes by themselves.

use serde_json::{Value, json};
use studio_testkit::wait_for;

use crate::{
    in_both,
    world::{Place, SOON, Session, World},
};

in_both! {
    an_app_is_started_observed_and_stopped_whole
    an_app_that_does_not_start_says_why
    sandboxes_are_the_operators
}

/// A server whose `dev` script is a shell with a child of its own in a session of its own.
const PACKAGE: &str = r#"cat >package.json <<'END'
{"name": "app", "scripts": {"dev": "sh dev.sh"}}
END
cat >dev.sh <<'END'
setsid sleep 86399 &
exec node -e "require('http').createServer((q, a) => a.end('app')).listen(process.env.PORT)"
END"#;

async fn at_rest(place: Place) -> (World, Session) {
    let world = World::start(place, "hello").await;
    let session = world.session("say hello").await;
    world.watch(&session).await.turn_end().await;
    (world, session)
}

async fn told(world: &World, session: &Session, verb: &str) -> Value {
    let (status, told) = world.post(&session.path(verb), &session.token, &json!({})).await;
    assert_eq!(status, 200, "{verb}: {told}");
    told
}

async fn an_app_is_started_observed_and_stopped_whole(place: Place) {
    let (world, session) = at_rest(place).await;
    let mut watch = world.watch(&session).await;
    let status = async || world.ask(&session, "app-status").await;
    let port = status().await["port"].clone();
    assert_eq!(status().await, json!({ "running": false, "port": port }));
    assert_eq!(told(&world, &session, "stop-app").await, json!({ "success": true }));

    assert_eq!(world.shell(&session, PACKAGE).await, "");
    assert_eq!(told(&world, &session, "start-app").await, json!({ "ok": true }));
    let event = watch.next("app_status").await.event;
    assert_eq!((&event["status"], &event["port"]), (&json!("running"), &port));
    assert_eq!(status().await, json!({ "running": true, "port": port }));
    let url = format!("http://127.0.0.1:{port}/");
    let page = world.server.client().get(&url).send().await.unwrap().text().await.unwrap();
    assert_eq!(page, "app");
    // Again is no second one.
    assert_eq!(told(&world, &session, "start-app").await, json!({ "ok": true }));
    assert_eq!(world.shell(&session, "pgrep -fc '[s]leep 86399' || true").await.trim(), "1");

    assert_eq!(told(&world, &session, "stop-app").await, json!({ "success": true }));
    world.nothing_runs_with(&session, "86399").await;
    world.nothing_runs_with(&session, "createServer").await;
    assert_eq!(watch.next("app_status").await.event["status"], "stopped");
    assert_eq!(status().await["running"], false);

    // One that ends by itself is told, too.
    assert_eq!(told(&world, &session, "start-app").await, json!({ "ok": true }));
    assert_eq!(watch.next("app_status").await.event["status"], "running");
    let server = world.processes(&session).into_iter();
    let server = server.filter(|p| p.command.starts_with("node -e require('http')"));
    for process in server {
        world.signal(&session, process.pid, nix::sys::signal::Signal::SIGKILL);
    }
    assert_eq!(watch.next("app_status").await.event["status"], "stopped");
    assert_eq!(status().await["running"], false);
    world.is_sound();
}

/// In a container alone: on this machine the port is that of the test before.
#[tokio::test]
async fn an_app_that_serves_late_is_told_and_can_be_stopped() {
    let (world, session) = at_rest(Place::Docker).await;
    let mut watch = world.watch(&session).await;
    // Later than who starts it waits for, so whoever watches it tells of it.
    let late = PACKAGE.replace("exec node", "sleep 11; exec node").replace("86399", "86398");
    assert_eq!(world.shell(&session, &late).await, "");
    assert_eq!(told(&world, &session, "start-app").await, json!({ "ok": true }));
    assert_eq!(watch.next("app_status").await.event["status"], "running");
    assert_eq!(told(&world, &session, "stop-app").await, json!({ "success": true }));
    assert_eq!(watch.next("app_status").await.event["status"], "stopped");
    world.nothing_runs_with(&session, "createServer").await;
    world.is_sound();
}

async fn an_app_that_does_not_start_says_why(place: Place) {
    let (world, session) = at_rest(place).await;
    let mut watch = world.watch(&session).await;
    for (files, why) in [
        ("true", "the project has no package.json"),
        ("echo '{}' >package.json", "package.json has no script dev, start or dev:start"),
        ("echo '{' >package.json", "JSON"),
        (r#"echo '{"scripts":{"start":"echo sorry >&2; exit 3"}}' >package.json"#, "sorry"),
    ] {
        assert_eq!(world.shell(&session, files).await, "");
        assert_eq!(told(&world, &session, "start-app").await, json!({ "ok": false }), "{files}");
        let line = watch
            .until("why", |seen| {
                seen.is("log") && seen.text("message").contains("The app could not")
            })
            .await;
        assert!(line.text("message").contains(why), "{}", line.text("message"));
        assert_eq!(world.ask(&session, "app-status").await["running"], false);
    }
    world.is_sound();
}

async fn sandboxes_are_the_operators(place: Place) {
    let (world, session) = at_rest(place).await;
    let runtime = if place == Place::Docker { "docker" } else { "local" };
    // In development mode who sits at the machine is the operator.
    let (status, list) = world.get("/api/sandboxes", "").await;
    assert_eq!((status, list["sandboxes"].as_array().unwrap().len()), (200, 1), "{list}");
    let one = &list["sandboxes"][0];
    assert_eq!((&one["sessionId"], &one["runtime"]), (&json!(session.id), &json!(runtime)));
    assert_eq!(one["alive"], true);
    let path = format!("/api/sandboxes/{}", session.id);
    let (status, told) = world.get(&path, &session.token).await;
    assert_eq!((status, &told["appRunning"]), (200, &json!(false)), "{told}");
    assert_eq!(world.get(&path, "").await.0, 401);

    // An id that is in use is refused, and what is there stays.
    let taken = json!({ "sessionId": session.id });
    let (status, told) = world.post("/api/sandboxes", "", &taken).await;
    assert_eq!((status, &told["code"]), (409, &json!("sandbox_exists")));
    let body = json!({ "projectName": "alone", "infra": { "mode": "none" } });
    let (status, made) = world.post("/api/sandboxes", "", &body).await;
    assert_eq!(status, 201, "{made}");
    assert!(made["projectDir"].as_str().unwrap().ends_with("/alone"), "{made}");
    let again = json!({ "sessionId": made["sessionId"] });
    assert_eq!(world.post("/api/sandboxes", "", &again).await.0, 409);
    let (_, list) = world.get("/api/sandboxes", "").await;
    assert_eq!(list["sandboxes"].as_array().unwrap().len(), 2, "{list}");
    let alone = Session {
        id: made["sessionId"].as_str().unwrap().to_owned(),
        // Another session's token opens nothing of it.
        token: session.token.clone(),
    };
    let remove = async |id: &str, token: &str| {
        let url = world.server.url(&format!("/api/sandboxes/{id}"));
        let request = world.server.client().delete(url).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(remove(&alone.id, &alone.token).await, 401);
    let operator = std::fs::read_to_string(world.server.data_dir().join("operator-token"));
    let operator = operator.unwrap_or_default().trim().to_owned();
    assert_eq!(remove(&alone.id, &operator).await, 200);
    assert_eq!(remove(&alone.id, &operator).await, 404);
    world.leaves_nothing(&alone);

    // A session's own can be taken from under it; the session stays and says so.
    assert_eq!(remove(&session.id, &session.token).await, 200);
    assert_eq!(remove(&session.id, &session.token).await, 404);
    world.leaves_nothing(&session);
    let after = world.rests(&session).await;
    assert_eq!(after["status"], "complete");
    let (status, told) =
        world.try_to_tell(&session, "iterate", json!({ "request": "go on" })).await;
    assert_eq!((status, &told["error"]), (400, &json!("Container is not running")));
    wait_for("an empty list", SOON, async || {
        let (_, list) = world.get("/api/sandboxes", "").await;
        list["sandboxes"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
    world.is_sound();
}
