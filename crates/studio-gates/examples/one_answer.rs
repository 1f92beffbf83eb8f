//! A question, two people who answer it, and the agent that waits.

use serde_json::json;
use studio_gates::{Claim, Gate, GateKind, Gates};
use studio_ids::SessionId;

#[tokio::main(flavor = "current_thread")]
#[expect(
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "an example shows what it does"
)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (gates, session) = (Gates::new(), SessionId::random());
    let gate = "toolu_1".parse()?;
    let asked = json!({"type": "ask_user_question", "question": "Which colour?"});
    // Whoever owns the session's stream has written the event before.
    let kind = GateKind::AskUserQuestion;
    gates.open(session, Gate { id: "toolu_1".parse()?, kind, deadline: None, asked });

    for answer in [json!("blue"), json!("red"), json!("blue")] {
        match gates.claim_in_turn(session, &gate, kind, &answer).await {
            // Deliver it and write it down here; then:
            Claim::Granted(ticket) => println!("{answer} is taken: {:?}", gates.settle(ticket)),
            refused => println!("{answer}: {refused:?}"),
        }
    }
    println!("the agent hears {:?}", gates.wait(session, &gate).await);
    Ok(())
}
