//! A disk without room: what is refused says so, what was taken is there, and with room again
//! everything goes on.

use std::{path::Path, process::Command, time::Duration};

use serde_json::json;
use studio_testkit::SseReader;
use tokio::time::timeout;

use crate::studio::{SOON, hooked, is_sound, post, program};

struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=48m", "studio-server-test"])
            .arg(dir.path())
            .output()
            .unwrap();
        let why = String::from_utf8_lossy(&mount.stderr).into_owned();
        assert!(mount.status.success(), "this test mounts a small tmpfs as root: {why}");
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.path()).status().unwrap();
    }
}

/// D30-26, D30-27: a full disk is told as 503, in health too; nothing that was taken is lost.
#[tokio::test]
async fn d30_26_d30_27_a_full_disk_is_told_and_loses_nothing() {
    let disk = SmallDisk::mount();
    let builder = program().arg("--sandbox").arg("local").data_dir(disk.path().join("data"));
    let mut server = builder.start().await;
    let (session, hook) = hooked(&server).await;
    // Others fill the disk up.
    let ballast = disk.path().join("ballast");
    let fill = Command::new("dd")
        .args(["if=/dev/zero", "bs=64k", &format!("of={}", ballast.display())])
        .output()
        .unwrap();
    assert!(!fill.status.success(), "the disk is full");
    let text = "x".repeat(100_000);
    let event = json!({ "hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_use_id": "t",
        "tool_response": text });
    let mut taken = 0;
    let refused = loop {
        let (status, told) = post(&server, &session.path("hook-event"), &hook, &event).await;
        if status != 200 {
            break (status, told);
        }
        taken += 1;
        assert!(taken < 1_000, "a full disk takes everything");
    };
    assert_eq!(
        (refused.0, &refused.1["code"]),
        (503, &json!("streams_unavailable")),
        "{refused:?}"
    );
    let health = server.client().get(server.url("/api/health")).send().await.unwrap();
    assert_eq!(health.status(), 503, "{}", health.text().await.unwrap());
    let (status, _) = session.ask(&server, "").await;
    assert_eq!(status, 200, "reading goes on");
    let told = async |server: &studio_testkit::StudioServer, expected: usize| {
        let url = server.url(&session.path("events"));
        let request = server.client().get(url).bearer_auth(&session.token);
        let mut reader = SseReader::open(request, None).await.unwrap();
        let mut count = 0;
        // The stream does not end: once all is there, a moment of silence is its end here.
        let pause = |count| if count < expected { SOON } else { Duration::from_millis(700) };
        while let Ok(Ok(Some(event))) = timeout(pause(count), reader.next_event()).await {
            count += usize::from(event.json()["type"] == "post_tool_use");
        }
        count
    };
    assert_eq!(
        told(&server, taken).await,
        taken,
        "all that was taken, and nothing that was refused"
    );

    std::fs::remove_file(&ballast).unwrap();
    studio_testkit::wait_for("an append with room again", SOON, async || {
        let (status, _) = post(&server, &session.path("hook-event"), &hook, &event).await;
        (status == 200).then_some(())
    })
    .await;
    server.crash().await;
    server.restart().await;
    assert_eq!(told(&server, taken + 1).await, taken + 1);
    is_sound(&server);
}
