use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use bytes::Bytes;
use studio_streams::{MemoryStreams, StreamStore};
use studio_streams_protocol::{ProtocolOptions, router};
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// Most of an answer that is read.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The protocol over a store in memory.
pub(crate) struct Service {
    pub(crate) store: MemoryStreams,
    router: Router,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl Service {
    pub(crate) fn new() -> Self {
        let store = MemoryStreams::new();
        let options = ProtocolOptions {
            long_poll: Duration::from_secs(1),
            sse_lifetime: Duration::from_secs(1),
            body_bytes_max: 64 * 1024,
            ..ProtocolOptions::default()
        };
        let router = router(Arc::new(store.clone()) as Arc<dyn StreamStore>, options);
        Self { store, router }
    }

    /// Sends a request; one that is none is not sent.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await.unwrap();
        Answer { status, body }
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_vec())).unwrap()).await
    }
}

/// Runs it with a clock that does not wait: timeouts pass at once when nothing else can happen.
pub(crate) fn block_on(future: impl Future<Output = ()>) {
    runtime().block_on(future);
}

/// As for [`block_on`], for more than one future.
pub(crate) fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap()
}
