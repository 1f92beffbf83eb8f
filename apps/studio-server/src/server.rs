use std::{
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use studio_events::Timestamp;
use studio_flows::{Parts, Studio};
use studio_http::{HttpSettings, HttpState, ServeOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    Config, StartError,
    data_dir::DataDir,
    wire::{self, Streams},
};

/// How long the studio may take to let go of its agents.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// Serves until `stop`. `ready` is called once, with the address, when requests are answered.
///
/// Agents that run when this returns go on; the next server over the same data directory takes
/// them up.
pub async fn run(
    config: Config,
    stop: CancellationToken,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), StartError> {
    let listener = listen(config.listen).await?;
    let address = listener
        .local_addr()
        .map_err(|source| StartError::Listen { address: config.listen, source })?;

    let dir = DataDir::make(&config.data_dir)?;
    // The lock on the directory first: nobody else writes below it from here on.
    let streams = Streams::open(&config, &dir).await?;
    let keys = dir.keys(&config)?;
    let operator_token = dir.write_operator_token(&keys)?;
    let owner = streams.owner(&dir).await?;
    let provider = wire::provider(&config, &dir, &owner).await?;

    let tls = config.tls.config(&dir)?;

    let mut http = config.http.clone();
    let abilities = provider.abilities();
    tracing::info!(sandbox.runtime = provider.name(), "sandboxes: {}", abilities.notice);
    http.isolation = Some(abilities.notice);
    warn_of_what_is_missing(&config);

    let clock = Arc::new(|| Timestamp::from(SystemTime::now()));
    let parts = Parts {
        streams: streams.store(),
        provider,
        github: Some(wire::github(&config)?),
        databases: Some(wire::databases(&config)?),
        codec: wire::codec(),
        settings: config.studio.clone(),
        clock,
    };
    let studio = Studio::start(parts).await.map_err(StartError::Studio)?;

    let state = HttpState::new(studio.clone(), keys, http, stop.clone());
    tracing::info!("the operator's token is in {}", operator_token.display());
    let router = studio_http::router(state.clone());
    let options = ServeOptions::default();
    ready(address);
    tell_login(&state, &config, address, tls.is_some());
    match tls {
        Some(tls) => studio_http::serve_tls(listener, tls, router, options, stop).await,
        None => studio_http::serve(listener, router, options, stop).await,
    }

    let stopping = async {
        studio.stop().await;
        streams.stop().await;
    };
    // What was acknowledged is on the disk anyway; the rest is taken up by the next server.
    if tokio::time::timeout(STOP_PATIENCE, stopping).await.is_err() {
        tracing::warn!("the studio did not come to rest within {STOP_PATIENCE:?}");
    }
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| {
        if source.kind() == io::ErrorKind::AddrInUse {
            StartError::PortInUse { address }
        } else {
            StartError::Listen { address, source }
        }
    })
}

/// Tells a person at a terminal how to log a browser in. Nothing that is kept gets the link: its
/// code is a secret.
fn tell_login(state: &HttpState, config: &Config, address: SocketAddr, encrypted: bool) {
    let mut out = io::stdout();
    if !out.is_terminal() {
        return;
    }
    let scheme = if encrypted { "https" } else { "http" };
    let link = state.login_link(&format!("{scheme}://{}", reached_at(config, address)));
    // Nobody has to read it.
    let _ = writeln!(out, "Log a browser in, once, within ten minutes: {link}");
}

/// Under which name and port a browser finds this server: its address, or, where that is any of
/// the machine's, the first name that was set.
fn reached_at(config: &Config, address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return address.to_string();
    }
    let ours = HttpSettings::default().allowed_hosts;
    let set = config.http.allowed_hosts.iter().find(|host| !ours.contains(host));
    format!("{}:{}", set.map_or("localhost", String::as_str), address.port())
}

fn warn_of_what_is_missing(config: &Config) {
    let agent = &config.studio.agent;
    if agent.credentials.is_empty() && !agent.env.contains_key("ANTHROPIC_BASE_URL") {
        tracing::warn!(
            "no credential for agents: set ANTHROPIC_API_KEY (or CLAUDE_CODE_OAUTH_TOKEN), or \
             send `apiKey` with every session"
        );
    }
}
