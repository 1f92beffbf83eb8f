//! How a program that outlives the studio is started, followed and fed, with any provider.

use std::sync::Arc;

use studio_ids::RunId;
use studio_sandbox::{Command, JournalState, JournaledProcess, Sandbox, SandboxError};

/// Starts the run unless an earlier studio did, and hands each new line to `hear` with the offset
/// at which the next studio has to go on.
async fn follow<F: FnMut(&[u8], u64)>(
    sandbox: Arc<dyn Sandbox>,
    run: RunId,
    from: u64,
    mut hear: F,
) -> Result<(), SandboxError> {
    let process = JournaledProcess::of(sandbox, run);
    if process.state().await? == JournalState::Absent {
        process.start(Command::new(["agent", "--both-ways"])).await?;
        process.write("prompt-1", "build it\n".into()).await?;
    }
    let mut lines = process.lines(from).await?;
    while let Some(line) = lines.next().await? {
        hear(&line.data, line.at);
    }
    Ok(())
}

fn main() {
    // Which sandbox is a matter of a provider's crate: see the example of studio-sandbox-local.
    let _ = follow::<fn(&[u8], u64)>;
}
