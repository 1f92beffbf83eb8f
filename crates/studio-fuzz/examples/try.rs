//! Tries files with a target: `cargo run -p studio-fuzz --example try -- requests FILE…`.
#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::error::Error;

use studio_fuzz::TARGETS;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let wanted = args.next().unwrap_or_default();
    let Some((name, target)) = TARGETS.iter().find(|(name, _)| *name == wanted) else {
        let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        return Err(format!("name a target first: {}", names.join(", ")).into());
    };
    for file in args {
        target(&std::fs::read(&file)?);
        println!("{name} holds with {file}");
    }
    Ok(())
}
