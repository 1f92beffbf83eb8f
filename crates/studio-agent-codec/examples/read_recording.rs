//! What a recorded session comes to: `read_recording fixtures/claude/hello.jsonl`.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use std::{env, error::Error, fs};

use studio_agent_codec::lines::Lines;
use studio_agent_codec::{AgentCodec, Claude};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("name a file of claude's output")?;
    let (mut lines, mut claude) = (Lines::starting_at(0), Claude::new());
    for line in lines.push(&fs::read(path)?) {
        for heard in claude.read_line(&line.bytes) {
            println!("{:>8} {heard:?}", line.end);
        }
    }
    Ok(())
}
