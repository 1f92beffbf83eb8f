//! Services to test against: the studio's own, and the official one in a process of its own.
// Each test takes what it needs, and fails by panicking.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod faulty;

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use studio_streams::{MemoryStreams, StreamStore};
use studio_streams_http::{HttpOptions, HttpStreams};
use studio_streams_protocol::{ProtocolOptions, router};
use studio_testkit::NodeTool;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// The studio's own protocol over a store in memory.
pub struct Studio {
    pub url: String,
    pub address: SocketAddr,
    pub stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Studio {
    pub async fn start() -> Self {
        Self::over(MemoryStreams::new(), (Ipv4Addr::LOCALHOST, 0).into()).await
    }

    pub async fn over(store: MemoryStreams, address: SocketAddr) -> Self {
        let options =
            ProtocolOptions { long_poll: Duration::from_secs(2), ..ProtocolOptions::default() };
        let stop = options.stop.clone();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = router(Arc::new(store), options);
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(async move {
            axum::serve(listener, app).with_graceful_shutdown(stopped).await.unwrap();
        });
        Self { url: format!("http://{address}"), address, stop, serving }
    }

    /// Ends all connections.
    pub async fn end(mut self) {
        self.stop.cancel();
        (&mut self.serving).await.unwrap();
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        self.stop.cancel();
        self.serving.abort();
    }
}

/// The official server.
pub struct Official {
    pub url: String,
    _child: Child,
    _tool: NodeTool,
}

impl Official {
    pub async fn in_memory() -> Self {
        let tool = NodeTool::durable_streams();
        let node = Command::from(tool.node("server.mjs"));
        Self::start(tool, node).await
    }

    pub async fn on_disk() -> Self {
        let tool = NodeTool::durable_streams();
        let mut node = Command::from(tool.node("server.mjs"));
        node.env("DATA_DIR", tool.dir().join("data"));
        Self::start(tool, node).await
    }

    async fn start(tool: NodeTool, mut node: Command) -> Self {
        node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = node.spawn().expect("node could not be started: is it installed?");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.next_line().await.unwrap().expect("the official server did not start");
        Self { url, _child: child, _tool: tool }
    }
}

pub fn options(url: &str) -> HttpOptions {
    HttpOptions { deadline: Duration::from_secs(10), ..HttpOptions::new(url, "studio", None) }
}

pub async fn connect(url: &str) -> HttpStreams {
    HttpStreams::connect(options(url)).await.unwrap()
}

pub async fn store(url: &str) -> Arc<dyn StreamStore> {
    Arc::new(connect(url).await)
}
