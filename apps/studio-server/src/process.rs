use std::{error::Error, io::Write as _, iter, process::ExitCode, time::Duration};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{Config, ServeArgs, StartError, logging, run};

/// How long what still runs on the blocking pool may take after everything has stopped.
const LAST_GRACE: Duration = Duration::from_millis(100);

/// A whole server process: reads the environment, logs to stderr, says on stdout when it serves,
/// stops on SIGINT and SIGTERM, and at once on a second one.
pub fn main(args: ServeArgs) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn serve(args: ServeArgs) -> Result<(), Box<dyn Error>> {
    let config = Config::read(args, |name| std::env::var(name).ok())?;
    logging::start(&config)?;
    more_files();
    let scheme = config.tls.scheme();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served: Result<(), StartError> = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signals(stop.clone()));
        run(config, stop, |address| say(&format!("Agent Studio listens on {scheme}://{address}")))
            .await
    });
    runtime.shutdown_timeout(LAST_GRACE);
    Ok(served?)
}

async fn stop_on_signals(stop: CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be received: this server has to be killed");
        return;
    };
    either(&mut interrupt, &mut terminate).await;
    tracing::info!("stopping; agents go on");
    stop.cancel();
    either(&mut interrupt, &mut terminate).await;
    std::process::exit(130);
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

/// A thousand readers are a thousand sockets, and the usual soft limit is 1,024.
fn more_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::debug!("the limit of open files stays at {soft}: {error}");
    }
}

/// The one line that scripts wait for.
fn say(line: &str) {
    // Nobody has to listen.
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[expect(clippy::print_stderr, reason = "an error at start is told to the person at the terminal")]
fn tell(error: &dyn Error) {
    let chain = iter::successors(Some(error), |&error| error.source());
    let why: Vec<String> = chain.map(ToString::to_string).collect();
    eprintln!("error: {}", why.join(": "));
}
