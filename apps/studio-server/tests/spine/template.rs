//! The app that a project begins with: as it lies in the sandbox it is checked, built and tested,
//! and its development server is what the studio sees running.

use serde_json::{Value, json};

use crate::{
    in_both,
    world::{Place, Session, World},
};

in_both! {
    the_app_of_a_new_project_is_built_and_passes_its_tests
}

/// A session of an app, its first turn over and the packages there.
async fn project(place: Place) -> (World, Session) {
    let world = World::start(place, "hello").await;
    let session = world.session_of(json!({ "description": "a list of things" })).await;
    let mut watch = world.watch(&session).await;
    watch.next("infra_config_prompt").await;
    world.tell(&session, "respond", json!({ "gate": "infra_config", "mode": "local" })).await;
    watch.turn_end().await;
    world.put_packages(&session).await;
    (world, session)
}

async fn the_app_of_a_new_project_is_built_and_passes_its_tests(place: Place) {
    let (world, session) = project(place).await;
    for (script, says) in [
        ("npm run check", "tsc --noEmit"),
        ("npm run build", "built in"),
        ("npm test", "1 passed"),
        ("npm run test:integration", "No test files found, exiting with code 0"),
        // What is installed and built is not committed.
        (
            "git init -q . && git add -A && git status --short >all && ! grep -E 'node_modules|dist/' all",
            "",
        ),
    ] {
        let script = format!("({script}) 2>&1; echo \"ended with $?\"");
        let said = world.shell(&session, &script).await;
        assert!(said.contains("ended with 0") && said.contains(says), "{script}:\n{said}");
    }
    if place == Place::Local {
        // A jail shares the ports of this machine with other tests.
        return;
    }

    let running = async || world.ask(&session, "app-status").await["running"].clone();
    assert_eq!(running().await, false);
    let said = world.shell(&session, "npm run dev:stop && npm run dev:start").await;
    assert!(said.contains("listens on port 5173"), "{said}");
    assert_eq!(running().await, true);
    // Under whatever name a preview is asked for.
    let port = world.ask(&session, "app-status").await["port"].clone();
    let page = world.server.client().get(format!("http://127.0.0.1:{port}/"));
    let page = page.header("host", "tea.preview.example").send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("<div id=\"root\">"));

    let said = world.shell(&session, "npm run dev:start").await;
    assert!(said.contains("runs already"), "{said}");
    let pid = "cat /tmp/dev-server.pid";
    let before = world.shell(&session, pid).await;
    let said = world.shell(&session, "npm run dev:restart").await;
    assert!(said.contains("listens on port 5173"), "{said}");
    assert_ne!(world.shell(&session, pid).await, before);
    world.shell(&session, "npm run dev:stop").await;
    assert_eq!(running().await, false);
    world.nothing_runs_with(&session, "vite").await;

    // One that cannot start says why, and leaves nothing.
    let broken = "mv vite.config.ts kept && echo '{' >vite.config.ts && npm run dev:start 2>&1; \
                  mv kept vite.config.ts";
    let said = world.shell(&session, broken).await;
    assert!(said.contains("did not start") && said.contains("vite.config.ts"), "{said}");
    assert_eq!(world.shell(&session, "ls /tmp/dev-server.pid 2>/dev/null || true").await, "");

    // The studio's own button starts the same app.
    let mut watch = world.watch(&session).await;
    let told = async |verb: &str| -> Value {
        world.post(&session.path(verb), &session.token, &json!({})).await.1
    };
    assert_eq!(told("start-app").await, json!({ "ok": true }));
    assert_eq!(watch.next("app_status").await.event["status"], "running");
    let said = world.shell(&session, "npm run dev:start 2>&1").await;
    assert!(said.contains("something else listens on port 5173"), "{said}");
    assert_eq!(told("stop-app").await, json!({ "success": true }));
    assert_eq!(running().await, false);
    world.is_sound();
}
