//! An event as a browser gets it and as the stream keeps it: `cargo run -p studio-events --example entry`
#![expect(clippy::print_stdout, reason = "it is what the example is for")]

use std::time::SystemTime;

use studio_events::{EngineEvent, LogLevel, SessionEntry, Timestamp};

fn main() -> Result<(), serde_json::Error> {
    let event = EngineEvent::Log { level: LogLevel::System, message: "Project ready".to_owned() };
    let entry = SessionEntry::server(event, Timestamp::from(SystemTime::now()));
    println!("browser: {}", serde_json::to_string(&entry.stamped)?);
    println!("stream:  {}", String::from_utf8_lossy(&entry.to_json()));
    Ok(())
}
