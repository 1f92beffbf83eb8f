//! A session as a file: read out page by page, and taken in again as a session that is over.

use std::sync::Arc;

use bytes::Bytes;
use studio_events::{
    EngineEvent, Imported, LogLevel, Phase, SessionEntry, SessionInfo, SessionPrivate,
    SessionStatus,
};
use studio_ids::SessionId;
use studio_streams::{Batch, CreateOptions, Offset, Record, StreamError, StreamPath, StreamStore};
use tokio::sync::mpsc;

use crate::{FlowError, Studio, inner::Inner, prepare::log};

/// Records read at a time.
const PAGE_RECORDS_MAX: usize = 500;

/// A session's log on its way out.
pub struct Export {
    /// The session as it was at the beginning.
    pub session: SessionInfo,
    streams: Arc<dyn StreamStore>,
    path: StreamPath,
    /// `None` = all is read.
    from: Option<Offset>,
}

impl Export {
    /// The next records, a mebibyte or so; `None` when the log's end at some moment was reached.
    pub async fn next(&mut self) -> Result<Option<Vec<Record>>, FlowError> {
        let Some(from) = self.from.take() else { return Ok(None) };
        let page = self.streams.read(&self.path, from, PAGE_RECORDS_MAX).await;
        let page = page.map_err(|source| FlowError::Read {
            session: self.session.id,
            source: Arc::new(source),
        })?;
        if !page.up_to_date {
            self.from = Some(page.next);
        }
        Ok(Some(page.records))
    }
}

/// What an import is made of, in order.
#[derive(Clone, Debug)]
pub enum ImportPiece {
    /// Events as they are to be kept: checked, one JSON object each.
    Events(Vec<Bytes>),
    /// That was all. Without it nothing is kept.
    End,
}

impl Studio {
    /// Begins to read a session out.
    pub fn export(&self, id: SessionId) -> Result<Export, FlowError> {
        let session = self.session(id)?;
        let (streams, path) = (Arc::clone(self.streams()), StreamPath::session(id));
        Ok(Export { session, streams, path, from: Some(Offset::Start) })
    }

    /// Takes a session in under a new id: over, and marked as imported. Kept when
    /// [`ImportPiece::End`] came; nothing is left of one that broke off.
    pub async fn import(
        &self,
        told: SessionInfo,
        pieces: mpsc::Receiver<ImportPiece>,
    ) -> Result<SessionInfo, FlowError> {
        self.whole(move |inner| async move { inner.import(told, pieces).await }).await
    }
}

impl Inner {
    async fn import(
        &self,
        told: SessionInfo,
        mut pieces: mpsc::Receiver<ImportPiece>,
    ) -> Result<SessionInfo, FlowError> {
        self.surely_ours().await?;
        let info = imported(told, self);
        let path = StreamPath::session(info.id);
        let stop = &self.stop;
        let taken = tokio::select! {
            () = stop.cancelled() => Err(self.stopping()),
            taken = self.take_in(&info, &path, &mut pieces) => taken,
        };
        if taken.is_err()
            && let Err(error) = self.parts.streams.delete(&path).await
            && !matches!(error, StreamError::NotFound { .. })
        {
            // The next start removes it: it belongs to no session.
            tracing::warn!(session.id = %info.id, "what was imported of a session could not be removed: {error}");
        }
        taken.map(|()| self.shown(&info))
    }

    async fn take_in(
        &self,
        info: &SessionInfo,
        path: &StreamPath,
        pieces: &mut mpsc::Receiver<ImportPiece>,
    ) -> Result<(), FlowError> {
        let failed = |source| FlowError::Write { session: info.id, source: Arc::new(source) };
        let from = info.imported.map(|imported| imported.from.to_string()).unwrap_or_default();
        let line = log(LogLevel::System, format!("Imported from session {from}"));
        // A first record of now: what is no session's and older than the server is swept away.
        let first = SessionEntry::<EngineEvent>::server(line, self.now()).to_json().into();
        let options =
            CreateOptions { initial: Batch::new(vec![first]).ok(), ..CreateOptions::default() };
        let created = self.parts.streams.create(path, options).await;
        created.map_err(|source| FlowError::CreateStream { source: Arc::new(source) })?;
        loop {
            match pieces.recv().await {
                None => return Err(FlowError::ImportBrokeOff),
                Some(ImportPiece::End) => break,
                Some(ImportPiece::Events(events)) => {
                    let batch = Batch::new(events).map_err(FlowError::BadImport)?;
                    self.parts.streams.append(path, batch, None).await.map_err(failed)?;
                }
            }
        }
        let private = SessionPrivate { phase: Phase::Ended, ..SessionPrivate::default() };
        let registered = self.registry.register(info.clone(), private).await;
        registered.map(drop).map_err(FlowError::registry)
    }
}

/// The session as it is here: what belongs to the machine that it comes from is left out.
fn imported(told: SessionInfo, inner: &Inner) -> SessionInfo {
    SessionInfo {
        id: SessionId::random(),
        imported: Some(Imported { from: told.id, at: inner.now() }),
        status: SessionStatus::Complete,
        sandbox_project_dir: String::new(),
        needs_input: None,
        last_coder_session_id: None,
        app_port: None,
        preview_url: None,
        claim_id: None,
        claude_session_id: None,
        archived: None,
        ..told
    }
}
