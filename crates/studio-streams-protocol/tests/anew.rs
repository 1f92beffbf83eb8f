//! A stream that is removed and made again while somebody begins to read it.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use axum::{body::Body, http::StatusCode};
use studio_streams::{
    CreateOptions, Created, Deleted, Follow, Head, MemoryStreams, Offset, Page, StreamError,
    StreamPath, StreamStore, Write, Written,
};
use studio_streams_protocol::{ProtocolOptions, router};
use support::get;
use tower::ServiceExt as _;

/// A store whose stream is another one by the time that it is followed.
struct MadeAnew {
    streams: MemoryStreams,
    armed: AtomicBool,
}

#[async_trait]
impl StreamStore for MadeAnew {
    async fn create(&self, path: &StreamPath, how: CreateOptions) -> Result<Created, StreamError> {
        self.streams.create(path, how).await
    }

    async fn write(&self, path: &StreamPath, write: Write) -> Result<Written, StreamError> {
        self.streams.write(path, write).await
    }

    async fn read(&self, path: &StreamPath, from: Offset, max: usize) -> Result<Page, StreamError> {
        self.streams.read(path, from, max).await
    }

    async fn read_back(
        &self,
        path: &StreamPath,
        before: Offset,
        max: usize,
    ) -> Result<Page, StreamError> {
        self.streams.read_back(path, before, max).await
    }

    async fn follow(&self, path: &StreamPath, from: Offset) -> Result<Follow, StreamError> {
        if self.armed.swap(false, Ordering::AcqRel) {
            self.streams.delete(path).await?;
            self.streams.create(path, CreateOptions::default()).await?;
        }
        self.streams.follow(path, from).await
    }

    async fn head(&self, path: &StreamPath) -> Result<Head, StreamError> {
        self.streams.head(path).await
    }

    async fn delete(&self, path: &StreamPath) -> Result<Deleted, StreamError> {
        self.streams.delete(path).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&StreamPath>,
        max: usize,
    ) -> Result<Vec<StreamPath>, StreamError> {
        self.streams.list(prefix, after, max).await
    }

    async fn ready(&self) -> Result<(), StreamError> {
        self.streams.ready().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_a_stream_that_is_made_anew_under_it_is_told_that_it_is_gone() {
    let streams = MemoryStreams::new();
    let path: StreamPath = "a".parse().unwrap();
    streams.create(&path, CreateOptions::default()).await.unwrap();
    for live in ["sse", "long-poll"] {
        let store = MadeAnew { streams: streams.clone(), armed: AtomicBool::new(true) };
        let app = router(Arc::new(store), ProtocolOptions::default());
        let ask = || get(&format!("a?offset=-1&live={live}")).build();
        let told = app.clone().oneshot(ask()).await.unwrap();
        assert_eq!(told.status(), StatusCode::NOT_FOUND, "{live}");
        drop::<Body>(told.into_body());
        // Who asks again reads the new one.
        let again = app.oneshot(ask()).await.unwrap();
        assert!(again.status().is_success(), "{live}: {}", again.status());
    }
}
