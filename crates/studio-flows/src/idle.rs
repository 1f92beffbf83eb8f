//! Putting quiet sessions down: one that nobody used for a while costs a place in the registry
//! and nothing else. Its agent is ended (its conversation is kept and gone on with), its bridge
//! and relay go; the next request takes it up again.

use std::{sync::Arc, time::Duration};

use studio_bridge::Activity;

use crate::{inner::Inner, live::Live};

impl Inner {
    /// Looks for quiet sessions until the studio stops.
    pub(crate) async fn put_down_idle(self: Arc<Self>) {
        let after = self.parts.settings.idle_after;
        let every = (after / 4).clamp(Duration::from_millis(100), Duration::from_secs(60));
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            for live in self.all_live() {
                if live.idle_for() >= after && self.is_quiet(live.id) {
                    self.put_down_quiet(&live).await;
                }
            }
        }
    }

    /// Ends a session's agent, if nothing goes on; the next message starts it anew.
    pub(crate) async fn put_down_quiet(&self, live: &Arc<Live>) {
        // An agent that is being started is not quiet, however long that takes.
        let Ok(_launching) = live.launching.try_lock() else { return };
        match live.bridge.state().await {
            Ok(state) if state.activity != Activity::Idle => return,
            Ok(_) | Err(_) => {}
        }
        if let Err(error) = self.surely_ours().await {
            tracing::debug!(session.id = %live.id, "session {} is not put down: {error}", live.id);
            return;
        }
        live.token.cancel();
        live.jobs.close();
        live.jobs.wait().await;
        // An agent that waits for the next message costs hundreds of mebibytes: it is ended and
        // resumed when there is one.
        if let Err(error) = live.bridge.finish(Vec::new()).await {
            tracing::debug!(session.id = %live.id, "session {} was put down: {error}", live.id);
        }
        self.put_down_this(live);
        self.note(live.id, |u| u.run = Some(None));
    }
}
