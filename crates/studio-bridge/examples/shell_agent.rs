//! A bridge around a very small agent, `sh` itself, in a jail of this machine: what it prints ends
//! up in the session's stream.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use studio_agent_codec::{AgentCodec, Answer, Ask, Heard, Launch, LaunchOptions};
use studio_bridge::{AgentParts, Bridge, BridgeSettings, Listener, Parts, Told};
use studio_events::{EngineEvent, SessionTotals};
use studio_ids::{MessageId, SessionId};
use studio_sandbox::{Limits, SandboxProvider, SandboxSpec};
use studio_sandbox_local::{LocalOptions, LocalProvider};
use studio_streams::{
    CreateOptions, MemoryStreams, Offset, SessionWriter, StreamPath, StreamStore,
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The language of a shell that answers every line with one line.
struct Shell;

impl AgentCodec for Shell {
    fn launch(&self, _options: &LaunchOptions) -> Launch {
        let argv = ["sh", "-c", "while read -r line; do echo \"you said $line\"; done"];
        Launch { argv: argv.map(str::to_owned).into(), env: BTreeMap::new() }
    }

    fn read_line(&mut self, line: &[u8]) -> Vec<Heard> {
        let text = String::from_utf8_lossy(line).into_owned();
        let said = EngineEvent::AssistantMessage { text, agent: None, parent_tool_use_id: None };
        let totals = SessionTotals::default();
        let end = EngineEvent::SessionEnd { success: true, totals, reason: None };
        let turn = [Heard::TurnStarted, Heard::Event(said), Heard::Event(end)];
        turn.into_iter().chain([Heard::TurnEnded { success: true }]).collect()
    }

    fn say(&self, _id: MessageId, text: &str) -> Vec<u8> {
        format!("{}\n", text.replace('\n', " ")).into_bytes()
    }

    fn answer(&self, _ask: &Ask, _answer: &Answer) -> Vec<u8> {
        Vec::new()
    }

    fn interrupt(&self, _request_id: &str) -> Vec<u8> {
        Vec::new()
    }

    fn take_back(&self, _request_id: &str, _message: MessageId) -> Option<Vec<u8>> {
        None
    }

    fn end(&self, _request_id: &str) -> Option<Vec<u8>> {
        None
    }
}

/// Passes on the ends of turns.
struct Ears(mpsc::UnboundedSender<()>);

impl Listener for Ears {
    fn told(&self, _session: SessionId, told: &Told) {
        if matches!(told, Told::TurnEnded { .. }) {
            // Nobody waits any more: fine.
            self.0.send(()).ok();
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = tempfile::tempdir()?;
    let provider = LocalProvider::open(root.path().to_owned(), LocalOptions::default()).await?;
    let session = SessionId::random();
    let spec = SandboxSpec {
        session,
        project: "app".parse()?,
        env: BTreeMap::new(),
        limits: Limits::default(),
        ports: Vec::new(),
        lease: 0,
    };
    let sandbox = provider.create(&spec, Arc::new(|_progress| {})).await?;

    let store: Arc<dyn StreamStore> = Arc::new(MemoryStreams::new());
    let path = StreamPath::session(session);
    store.create(&path, CreateOptions::default()).await?;
    let first = r#"{"source":"server","type":"writer_started"}"#.into();
    let producer = "studio".parse()?;
    let writer =
        SessionWriter::take_over(Arc::clone(&store), path.clone(), producer, 1, first).await?;

    let (ears, mut ends) = mpsc::unbounded_channel();
    let parts = Parts {
        session,
        writer,
        clock: Arc::new(|| SystemTime::now().into()),
        listener: Arc::new(Ears(ears)),
        settings: BridgeSettings::default(),
    };
    let bridge = Bridge::start(parts, &TaskTracker::new(), CancellationToken::new());
    let agent = AgentParts {
        cwd: sandbox.project_dir(),
        sandbox,
        codec: Arc::new(|| Box::new(Shell)),
        launch: LaunchOptions::default(),
        credentials: BTreeMap::new(),
        env: BTreeMap::new(),
    };
    bridge.launch(agent).await?;
    bridge.say("good morning".to_owned(), None).await?;
    ends.recv().await;
    bridge.finish(Vec::new()).await?;

    for record in store.read(&path, Offset::Start, 100).await?.records {
        #[expect(clippy::print_stdout, reason = "it is what the example is for")]
        {
            println!("{}", String::from_utf8_lossy(&record.data));
        }
    }
    Ok(())
}
