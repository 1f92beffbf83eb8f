//! What a client is told about a bad body: `cargo run -p studio-api --example validate`.

use studio_api::{Body, CreateSession, ProblemBody};

#[expect(clippy::print_stdout, reason = "an example that shows something")]
fn main() {
    let body = br#"{"description": "", "freeform": "yes", "apiKey": 7}"#;
    match CreateSession::from_bytes(body) {
        Ok(session) => println!("fine: {session:?}"),
        Err(error) => {
            let details = error.details().to_vec();
            let problem = ProblemBody::new(error.code(), error.to_string(), details);
            println!("{}", serde_json::to_string_pretty(&problem).unwrap_or_default());
        }
    }
}
