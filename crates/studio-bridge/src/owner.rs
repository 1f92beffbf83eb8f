use studio_agent_codec::Answer;
use studio_events::EngineEvent;
use studio_ids::{GateId, MessageId, RunId};
use studio_streams::Offset;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{AgentParts, AnswerRecord, Attached, BridgeError, BridgeState, Parts, Record, Waiting};

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, BridgeError>>;

/// All that can be asked of a bridge.
pub(crate) enum Command {
    Record { records: Vec<Record>, reply: Reply<Offset> },
    Launch { agent: Box<AgentParts>, reply: Reply<RunId> },
    Attach { agent: Box<AgentParts>, run: RunId, reply: Reply<Attached> },
    OpenRun { reply: Reply<Option<RunId>> },
    Say { text: String, sender: Option<String>, reply: Reply<MessageId> },
    SayHeld { reply: Reply<usize> },
    Answer { gate: GateId, answer: Answer, recorded: Box<AnswerRecord>, reply: Reply<()> },
    Interrupt { reply: Reply<()> },
    Queue { reply: Reply<Vec<Waiting>> },
    State { reply: Reply<BridgeState> },
    Finish { last: Vec<EngineEvent>, reply: Reply<()> },
    Detach { reply: Reply<()> },
}

/// The task that owns everything.
pub(crate) struct Owner;

impl Owner {
    pub(crate) async fn supervise(
        _parts: Parts,
        _commands: mpsc::Receiver<Command>,
        _stop: CancellationToken,
    ) {
    }
}
