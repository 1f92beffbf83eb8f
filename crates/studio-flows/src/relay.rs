//! The way back from inside a sandbox: hooks and helpers there reach the studio through the
//! provider's own exec channel, with no network and no token. What comes this way can tell
//! events and ask; it can never answer a gate.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use studio_assets::git::CREDENTIAL_VERB;
use studio_ids::SessionId;
use studio_sandbox::{Relay, RelayHandler, Sandbox, SandboxError};

use crate::{inner::Inner, live::Live, words::HookReply};

/// Wait before a lost relay is opened again, doubled each time up to [`AGAIN_MAX`].
const AGAIN_FIRST: Duration = Duration::from_millis(500);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// Takes what a session's sandbox says.
pub(crate) struct HookRelay {
    studio: Weak<Inner>,
    session: SessionId,
}

impl HookRelay {
    /// Serves the sandbox of a session as long as the session is in use.
    pub(crate) fn serve(studio: Weak<Inner>, live: &Arc<Live>, sandbox: Arc<dyn Sandbox>) {
        let Some(inner) = studio.upgrade() else { return };
        let handler: Arc<dyn RelayHandler> = Arc::new(Self { studio, session: live.id });
        let token = live.token.clone();
        live.jobs.spawn(inner.tasks.track_future(async move {
            let mut again = AGAIN_FIRST;
            loop {
                let served =
                    Relay::serve(Arc::clone(&sandbox), Arc::clone(&handler), token.clone()).await;
                match served {
                    Ok(()) if token.is_cancelled() => return,
                    Err(SandboxError::Gone { .. }) => return,
                    Ok(()) | Err(_) => {}
                }
                tokio::select! {
                    () = token.cancelled() => return,
                    () = tokio::time::sleep(again) => again = (again * 2).min(AGAIN_MAX),
                }
            }
        }));
    }
}

#[async_trait]
impl RelayHandler for HookRelay {
    async fn handle(&self, verb: &str, body: Bytes) -> Bytes {
        let Some(inner) = self.studio.upgrade() else { return reply(&error("the studio stops")) };
        if verb == CREDENTIAL_VERB {
            // Lines of git's, not JSON.
            return inner.git_credential(self.session, &body).await.into();
        }
        let Ok(body) = serde_json::from_slice::<Value>(&body) else {
            return reply(&error("the body is not JSON"));
        };
        match verb {
            "hook-event" => match inner.hook_event(self.session, body).await {
                Ok(HookReply::Ok) => reply(&json!({ "ok": true })),
                Ok(HookReply::Output(output)) => reply(&output),
                Err(failed) => reply(&error(&failed.to_string())),
            },
            _ => reply(&error("no such verb; there are: hook-event, git-credential")),
        }
    }
}

fn error(text: &str) -> Value {
    json!({ "error": text })
}

fn reply(value: &Value) -> Bytes {
    value.to_string().into()
}
