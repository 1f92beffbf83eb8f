//! Which of these could be a project's name? `cargo run -p studio-ids --example names -- app ../up`
#![expect(clippy::print_stdout, reason = "it is what the example is for")]

use studio_ids::ProjectName;

fn main() {
    for text in std::env::args().skip(1) {
        match text.parse::<ProjectName>() {
            Ok(name) => println!("{name}: yes"),
            Err(error) => println!("{text:?}: no, {error}"),
        }
    }
}
