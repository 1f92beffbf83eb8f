//! An engine that is of no help.

use std::process::Command;

use serde_json::json;
use studio_testkit::{containers_labelled, needs, remove_containers_labelled};

use crate::studio::{Session, is_sound, program, up_to};

struct Broom(String);

impl Drop for Broom {
    fn drop(&mut self) {
        remove_containers_labelled(&self.0);
    }
}

fn docker(words: &[&str]) {
    let output = Command::new("docker").args(words).output().unwrap();
    assert!(output.status.success(), "docker {words:?}: {output:?}");
}

/// D30-22, D30-51: a container that stands still holds up nobody else; what is asked of it is
/// answered in time, it goes on when it can, and it can be removed.
#[tokio::test]
async fn d30_22_d30_51_a_paused_container_holds_up_its_own_session_only() {
    let server = program()
        .env("SANDBOX_RUNTIME", "docker")
        .env("STUDIO_SANDBOX_IMAGE", needs::scripted_image())
        .env("ANTHROPIC_API_KEY", "dummy")
        .env("ANTHROPIC_BASE_URL", "http://127.0.0.1:8555/s/hello")
        .start()
        .await;
    let owner = std::fs::read_to_string(server.data_dir().join("owner")).unwrap();
    let _broom = Broom(format!("studio.instance={}", owner.trim()));
    let (still, other) =
        (Session::freeform(&server, "hello").await, Session::freeform(&server, "hello").await);
    let (mut watch, mut others) = (still.watch(&server).await, other.watch(&server).await);
    up_to(&mut watch, "session_end").await;
    up_to(&mut others, "session_end").await;
    let container = containers_labelled(&format!("studio.session={}", still.id)).remove(0);
    docker(&["pause", &container]);

    let words = json!({ "request": "hello again" });
    let (status, told) = still.tell(&server, "iterate", &words).await;
    assert_ne!(status, 500, "{told}");
    assert_eq!(other.tell(&server, "iterate", &words).await.0, 200);
    let end = up_to(&mut others, "session_end").await;
    assert_eq!(end.last().unwrap()["success"], true, "{end:#?}");
    let health = server.client().get(server.url("/api/health")).send().await.unwrap();
    assert_eq!(health.status(), 200);

    docker(&["unpause", &container]);
    if status != 200 {
        assert_eq!(still.tell(&server, "iterate", &words).await.0, 200, "it said {told} before");
    }
    let end = up_to(&mut watch, "session_end").await;
    assert_eq!(end.last().unwrap()["success"], true, "{end:#?}");

    docker(&["pause", &container]);
    assert_eq!(still.delete(&server).await.0, 200);
    let left = containers_labelled(&format!("studio.session={}", still.id));
    assert!(left.is_empty(), "{left:?}");
    is_sound(&server);
}
