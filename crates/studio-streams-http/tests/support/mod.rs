//! Services to test against: the studio's own, and the official one in a process of its own.
// Each test takes what it needs, and fails by panicking.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod faulty;

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use studio_streams::{MemoryStreams, StreamStore};
use studio_streams_http::{HttpOptions, HttpStreams};
use studio_streams_protocol::{ProtocolOptions, router};
use studio_testkit::{NodeTool, lasting_port};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
    sync::Mutex,
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
    child: Child,
    tool: NodeTool,
    on_disk: bool,
}

impl Official {
    pub async fn in_memory() -> Self {
        Self::start(false).await
    }

    pub async fn on_disk() -> Self {
        Self::start(true).await
    }

    /// One that all tests of the moment use, and a name that no other test has: to start one for
    /// each of them takes longer than all that they do.
    pub async fn shared(on_disk: bool) -> (Arc<Self>, String) {
        static SHARED: [Mutex<Weak<Official>>; 2] = [const { Mutex::const_new(Weak::new()) }; 2];
        static TESTS: AtomicUsize = AtomicUsize::new(0);
        let mut shared = SHARED[usize::from(on_disk)].lock().await;
        let official = match shared.upgrade() {
            Some(official) => official,
            None => Arc::new(Self::start(on_disk).await),
        };
        *shared = Arc::downgrade(&official);
        (official, format!("test-{}", TESTS.fetch_add(1, Ordering::Relaxed)))
    }

    async fn start(on_disk: bool) -> Self {
        let tool = NodeTool::durable_streams();
        // It is to come back at the same one.
        let port = lasting_port().to_string();
        let (child, url) = Self::run(&tool, on_disk, &port).await;
        Self { url, child, tool, on_disk }
    }

    /// Kills it as a machine that fails would, and starts it again with what it has on disk.
    pub async fn kill_and_start_again(&mut self) {
        self.child.kill().await.unwrap();
        let (_, port) = self.url.rsplit_once(':').unwrap();
        let (child, url) = Self::run(&self.tool, self.on_disk, port).await;
        assert_eq!(url, self.url);
        self.child = child;
    }

    async fn run(tool: &NodeTool, on_disk: bool, port: &str) -> (Child, String) {
        let mut node = Command::from(tool.node("server.mjs"));
        node.env("PORT", port);
        if on_disk {
            node.env("DATA_DIR", tool.dir().join("data"));
        }
        node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = node.spawn().expect("node could not be started: is it installed?");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.next_line().await.unwrap().expect("the official server did not start");
        (child, url)
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

/// As [`store()`], of a service of this name.
pub async fn store_of(url: &str, service: &str) -> Arc<dyn StreamStore> {
    let options =
        HttpOptions { deadline: Duration::from_secs(10), ..HttpOptions::new(url, service, None) };
    Arc::new(HttpStreams::connect(options).await.unwrap())
}
