use studio_bridge::Record;
use studio_events::EngineEvent;
use studio_ids::SessionId;

use crate::{FlowError, Studio};

impl Studio {
    /// Writes an event that somebody outside tells as the session's agent would. Which events may
    /// be told so is the caller's to check: never one that resolves or opens anything (`D30-17`).
    pub async fn append(&self, id: SessionId, event: EngineEvent) -> Result<(), FlowError> {
        self.whole(move |inner| async move {
            let live = inner.live(id).await?;
            let written = live.bridge.record_all(vec![Record::Agent(event)]).await;
            written.map(drop).map_err(|error| FlowError::bridge(id, &error))
        })
        .await
    }
}
