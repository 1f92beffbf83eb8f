//! The smallest host of a studio: memory for streams, a jail of this machine for agents.
//! `ANTHROPIC_API_KEY=… cargo run -p studio-flows --example embed -- "say hello"`

use std::{collections::BTreeMap, error::Error, sync::Arc, time::SystemTime};

use studio_agent_codec::Claude;
use studio_events::Timestamp;
use studio_flows::{AgentSettings, Mode, Parts, Settings, Studio, words};
use studio_sandbox::Secret;
use studio_sandbox_local::{LocalOptions, LocalProvider};
use studio_streams::{MemoryStreams, Offset};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let task = std::env::args().nth(1).unwrap_or_else(|| "say hello".to_owned());
    let key = std::env::var("ANTHROPIC_API_KEY")?;
    let boxes = tempfile::tempdir()?;
    let agent = AgentSettings {
        credentials: BTreeMap::from([("ANTHROPIC_API_KEY".to_owned(), Secret::new(key))]),
        ..AgentSettings::default()
    };
    let studio = Studio::start(Parts {
        streams: Arc::new(MemoryStreams::default()),
        provider: Arc::new(
            LocalProvider::open(boxes.path().to_owned(), LocalOptions::default()).await?,
        ),
        github: None,
        databases: None,
        codec: Arc::new(|conversation| Box::new(Claude::of(conversation))),
        settings: Settings { mode: Mode::Dev, agent, ..Settings::default() },
        clock: Arc::new(|| Timestamp::from(SystemTime::now())),
    })
    .await?;

    let session = studio
        .create_session(words::NewSession {
            description: task,
            freeform: true,
            credentials: words::Credentials::default(),
            model: None,
            permissions: None,
            budget_usd: None,
        })
        .await?;
    let mut events = studio.watch(session.id, Offset::Start).await?;
    'events: while let Some(frames) = events.next().await? {
        for frame in frames {
            let event = String::from_utf8_lossy(frame.data()).into_owned();
            #[expect(clippy::print_stdout, reason = "it is what the example is for")]
            {
                println!("{event}");
            }
            if event.contains("\"type\":\"session_end\"") {
                break 'events;
            }
        }
    }
    studio.delete(session.id).await?;
    studio.stop().await;
    Ok(())
}
