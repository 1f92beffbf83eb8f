use async_trait::async_trait;
use bytes::Bytes;
use studio_sandbox::{Exit, OutputChunk, Process, ProcessInput, ProcessOutput, SandboxError};
use tokio::io::AsyncWriteExt;

use crate::{
    engine::Engine,
    exec::{EngineInput, Link},
};

/// The two ends of a running program.
pub(crate) fn process(engine: &Engine, mut link: Link) -> Process {
    let input = Input { engine: engine.clone(), writer: link.input.take() };
    Process { input: Box::new(input), output: Box::new(Output { link }) }
}

struct Input {
    engine: Engine,
    writer: Option<EngineInput>,
}

#[async_trait]
impl ProcessInput for Input {
    async fn write(&mut self, data: Bytes) -> Result<(), SandboxError> {
        let Some(writer) = self.writer.as_mut() else {
            let closed = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
            return Err(broken(closed));
        };
        writer.write_all(&data).await.map_err(broken)?;
        writer.flush().await.map_err(broken)
    }

    async fn close(&mut self) -> Result<(), SandboxError> {
        match self.writer.as_mut() {
            Some(writer) => writer.shutdown().await.map_err(broken)?,
            None => return Ok(()),
        }
        self.writer = None;
        Ok(())
    }
}

impl Drop for Input {
    /// The engine is told about the end: a dropped half of a connection closes nothing.
    fn drop(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            self.engine.spawn(async move {
                let _closed_already = writer.shutdown().await;
            });
        }
    }
}

fn broken(source: std::io::Error) -> SandboxError {
    let tried = "writing to a program's input".to_owned();
    SandboxError::Vendor { tried, source: Box::new(source) }
}

struct Output {
    link: Link,
}

#[async_trait]
impl ProcessOutput for Output {
    async fn next(&mut self) -> Result<Option<OutputChunk>, SandboxError> {
        self.link.next().await
    }

    async fn exit(&mut self) -> Result<Exit, SandboxError> {
        self.link.exit().await
    }
}
