//! A token is given out, a reader holds something open with it, and it is revoked:
//! `cargo run -p studio-tokens --example revoke`.
#![allow(clippy::print_stdout, reason = "an example speaks to a person")]

use std::{error::Error, sync::Arc, time::Duration};

use studio_auth::{Keys, Minted, Scope, ServerKey};
use studio_ids::SessionId;
use studio_streams::MemoryStreams;
use studio_tokens::Tokens;
use tokio_util::sync::CancellationToken;

const NOW: u64 = 1_800_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let keys = Keys::new(ServerKey::new("only for this example")?);
    let tokens = Tokens::open(Arc::new(MemoryStreams::default()), Arc::new(|| NOW)).await?;

    let session = SessionId::random();
    let scope = Scope::Read(session);
    let issued = keys.issue(scope, NOW, Duration::from_secs(3_600));
    let grant = keys.check(scope, &issued.token, NOW)?;
    let (id, key_id) = (issued.claims.id, issued.claims.key_id);
    let (issued, expires) = (issued.claims.issued, issued.claims.expires);
    tokens.give(Minted { id, key_id, scope, label: None, issued, expires }).await?;
    println!("given out: {:?}", tokens.given(Some(session)));

    let watched = tokens.watch(scope, grant.clone(), &CancellationToken::new());
    tokens.revoke(Some(session), id).await?;
    watched.over().await;
    println!("what was open has ended: {:?}", tokens.check(scope, &grant));
    Ok(())
}
