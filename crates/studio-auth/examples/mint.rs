//! Makes a token and tries it on the wrong door: `cargo run -p studio-auth --example mint`.

use studio_auth::{Keys, Scope, ServerKey};
use studio_ids::SessionId;

#[expect(clippy::print_stdout, reason = "an example that shows something")]
fn main() -> Result<(), studio_auth::BadKey> {
    let keys = Keys::new(ServerKey::new("only for this example")?).with_reference_tokens(false);
    let (mine, other) = (SessionId::random(), SessionId::random());
    let now = 1_800_000_000;
    let token = keys.mint(Scope::Session(mine), now);
    println!("{token}");
    println!("mine:           {:?}", keys.check(Scope::Session(mine), &token, now));
    println!("another's:      {:?}", keys.check(Scope::Session(other), &token, now));
    println!("in half a year: {:?}", keys.check(Scope::Session(mine), &token, now + 15_552_000));
    Ok(())
}
