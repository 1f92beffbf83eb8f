//! A server and its sessions.

use std::{path::Path, time::Duration};

use studio_testkit::{ServerBuilder, StudioServer};
use tempfile::TempDir;

use crate::client::{Connection, request};

/// A session as who feeds and follows it knows it.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) hook: String,
}

impl Session {
    /// The request of a hook that tells of one call of a tool: an event of about 330 bytes.
    pub(crate) fn hook_request(&self) -> Vec<u8> {
        let output = "x".repeat(150);
        let body = format!(
            r#"{{"hook_event_name":"PostToolUse","session_id":"{}","tool_use_id":"toolu_01AbCdEfGhIjKlMnOpQrStUv","tool_name":"Bash","tool_input":{{"command":"ls"}},"tool_response":"{output}"}}"#,
            self.id
        );
        let path = format!("/api/sessions/{}/hook-event", self.id);
        request("POST", &path, Some(&self.hook), &body)
    }
}

/// A directory on the disk that is measured, for this program's own figures and the server's.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub(crate) fn server(dir: &Path) -> ServerBuilder {
    StudioServer::program(env!("CARGO_BIN_EXE_studio-server"))
        .data_dir(dir)
        .env("MAX_SESSIONS_PER_IP_PER_HOUR", "0")
}

/// Makes sessions whose events come from hooks.
pub(crate) async fn sessions(port: u16, count: usize) -> Vec<Session> {
    let mut making = tokio::task::JoinSet::new();
    let connections = count.min(64);
    for nth in 0..connections {
        let share = count / connections + usize::from(nth < count % connections);
        making.spawn(async move {
            let mut connection = Connection::open(port).await;
            let create = request("POST", "/api/sessions/local", None, "{}");
            let mut made = Vec::with_capacity(share);
            for _ in 0..share {
                let body = connection.ask_ok(&create).await;
                let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let text = |key: &str| body[key].as_str().unwrap().to_owned();
                made.push(Session {
                    id: text("sessionId"),
                    token: text("sessionToken"),
                    hook: text("hookToken"),
                });
            }
            made
        });
    }
    making.join_all().await.into_iter().flatten().collect()
}

/// Waits until the server says that it can work. Asks again at once, since every answer costs a
/// fraction of a millisecond.
pub(crate) async fn healthy(port: u16) {
    let ask = request("GET", "/api/health", None, "");
    let mut connection = Connection::open(port).await;
    let asking = async { while connection.ask(&ask).await.0 != 200 {} };
    let patience = Duration::from_secs(30);
    assert!(tokio::time::timeout(patience, asking).await.is_ok(), "not healthy in {patience:?}");
}
