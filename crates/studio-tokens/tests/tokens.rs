//! What is void, over real streams: at once, at other servers, after a restart.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use studio_auth::{Grant, Keys, Minted, Refused, Scope, ServerKey};
use studio_ids::{SessionId, TokenId};
use studio_streams::{Batch, MemoryStreams, StreamPath, StreamStore};
use studio_streams_local::{LocalStreams, Options};
use studio_tokens::{TOKENS_OF_SESSION_MAX, Tokens, TokensError};
use tokio_util::sync::CancellationToken;

const NOW: u64 = 1_800_000_000;

fn session() -> SessionId {
    SessionId::from_bytes([7; 16])
}

async fn tokens(store: &Arc<dyn StreamStore>) -> Tokens {
    Tokens::open(Arc::clone(store), Arc::new(|| NOW)).await.unwrap()
}

fn memory() -> Arc<dyn StreamStore> {
    Arc::new(MemoryStreams::default())
}

/// A token that is good for an hour, given out, and what it says of itself.
async fn given(tokens: &Tokens, scope: Scope) -> (TokenId, Grant) {
    let keys = Keys::new(ServerKey::new("test-secret").unwrap());
    let now = tokens.issue_time(scope, NOW);
    let issued = keys.issue(scope, now, Duration::from_secs(3_600));
    let grant = keys.check(scope, &issued.token, now).unwrap();
    let (id, key_id) = (issued.claims.id, issued.claims.key_id);
    let (issued, expires) = (issued.claims.issued, issued.claims.expires);
    let minted = Minted { id, key_id, scope, label: None, issued, expires };
    tokens.give(minted).await.unwrap();
    (id, grant)
}

#[tokio::test]
async fn what_is_void_stays_void_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || LocalStreams::open(dir.path(), Options::default()).unwrap();
    let (mine, looks) = (Scope::Session(session()), Scope::Read(session()));
    let streams = open();
    let store: Arc<dyn StreamStore> = Arc::new(streams.clone());
    let before = tokens(&store).await;
    let (revoked, revoked_grant) = given(&before, looks).await;
    let (kept, kept_grant) = given(&before, looks).await;
    let (_, operators) = given(&before, Scope::Create).await;
    before.revoke(Some(session()), revoked).await.unwrap();
    drop(before);
    streams.stop().await;
    drop((store, streams));

    let streams = open();
    let store: Arc<dyn StreamStore> = Arc::new(streams.clone());
    let after = tokens(&store).await;
    assert_eq!(after.check(looks, &revoked_grant), Err(Refused::Revoked));
    assert_eq!(after.check(looks, &kept_grant), Ok(()));
    assert_eq!(after.check(mine, &Grant::Reference), Ok(()));
    let listed: Vec<_> = after.given(Some(session())).iter().map(|minted| minted.id).collect();
    assert_eq!(listed, [kept]);
    after.rotate(session()).await.unwrap();
    drop(after);

    let again = tokens(&store).await;
    for (scope, grant) in [(looks, &kept_grant), (mine, &Grant::Reference)] {
        assert_eq!(again.check(scope, grant), Err(Refused::Revoked));
    }
    assert_eq!(again.check(Scope::Create, &operators), Ok(()), "it is for no session");
    streams.stop().await;
}

#[tokio::test]
async fn what_is_open_ends_when_its_token_is_void_and_nothing_else_does() {
    let (store, stop) = (memory(), CancellationToken::new());
    let tokens = tokens(&store).await;
    let scope = Scope::Read(session());
    let (id, grant) = given(&tokens, scope).await;
    let (_, other) = given(&tokens, scope).await;
    let watched = tokens.watch(scope, grant.clone(), &stop);
    let others = tokens.watch(scope, other, &stop);
    tokens.revoke(Some(session()), id).await.unwrap();
    watched.over().await;
    assert!(!others.token().is_cancelled());
    assert!(tokens.watch(scope, grant, &stop).token().is_cancelled(), "void from the beginning");
    tokens.rotate(session()).await.unwrap();
    others.over().await;
    assert!(!stop.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn what_is_open_ends_when_its_token_expires() {
    let clock = Arc::new(AtomicU64::new(NOW));
    let now = {
        let clock = Arc::clone(&clock);
        move || clock.load(Ordering::Relaxed)
    };
    let tokens = Tokens::open(memory(), Arc::new(now)).await.unwrap();
    let scope = Scope::Session(session());
    let (_, grant) = given(&tokens, scope).await;
    let watched = tokens.watch(scope, grant, &CancellationToken::new());
    clock.store(NOW + 3_599, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(!watched.token().is_cancelled());
    clock.store(NOW + 3_600, Ordering::Relaxed);
    watched.over().await;
}

#[tokio::test]
async fn another_server_hears_of_it() {
    let (store, stop) = (memory(), CancellationToken::new());
    let (one, two) = (tokens(&store).await, tokens(&store).await);
    let scope = Scope::Session(session());
    let watched = two.watch(scope, Grant::Reference, &stop);
    one.rotate(session()).await.unwrap();
    watched.over().await;
    assert_eq!(two.check(scope, &Grant::Reference), Err(Refused::Revoked));
}

#[tokio::test]
async fn only_so_many_are_good_at_a_time_and_a_strangers_is_unknown() {
    let store = memory();
    let tokens = tokens(&store).await;
    let scope = Scope::Read(session());
    let (first, _) = given(&tokens, scope).await;
    for _ in 1..TOKENS_OF_SESSION_MAX {
        given(&tokens, scope).await;
    }
    let one_more = tokens.given(Some(session())).remove(0);
    let refused = tokens.give(Minted { id: TokenId::random(), ..one_more.clone() }).await;
    assert!(matches!(refused, Err(TokensError::TooMany { max: TOKENS_OF_SESSION_MAX })));
    for other in [None, Some(SessionId::random())] {
        let unknown = tokens.revoke(other, first).await;
        assert!(matches!(unknown, Err(TokensError::Unknown { .. })));
    }
    tokens.revoke(Some(session()), first).await.unwrap();
    tokens.give(Minted { id: TokenId::random(), ..one_more }).await.unwrap();
}

#[tokio::test]
async fn a_bad_entry_keeps_nothing_away() {
    let store = memory();
    let before = tokens(&store).await;
    let records = [&b"null"[..], br#"{"type":"of_tomorrow"}"#, br#"{"type":"token_minted"}"#];
    let records = records.map(|record| record.to_vec().into()).to_vec();
    store.append(&StreamPath::tokens(), Batch::new(records).unwrap(), None).await.unwrap();
    before.rotate(session()).await.unwrap();
    let after = tokens(&store).await;
    let refused = after.check(Scope::Hook(session()), &Grant::Reference);
    assert_eq!(refused, Err(Refused::Revoked));
}
