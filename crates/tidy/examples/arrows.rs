//! Draws who uses whom, as it is now: `cargo run -p tidy --example arrows`.
#![allow(clippy::print_stdout, reason = "an example speaks to a person")]

fn main() {
    let members = tidy::members();
    for member in &members {
        let mut uses = member.uses("dependencies");
        uses.retain(|used| members.iter().any(|other| other.name == *used));
        println!("{:24} -> {}", member.name, uses.join(", "));
    }
}
