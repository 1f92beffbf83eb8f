//! Which token opens what.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use proptest::prelude::*;
use studio_auth::{Keys, Refused, Scope, ServerKey};
use studio_ids::{RoomId, SessionId};

const NOW: u64 = 1_800_000_000;
const ID: &str = "00000000-0000-4000-8000-000000000001";

fn keys(secret: &str) -> Keys {
    Keys::new(ServerKey::new(secret).unwrap())
}

fn session() -> SessionId {
    ID.parse().unwrap()
}

fn scopes() -> Vec<Scope> {
    let other = SessionId::from_bytes([7; 16]);
    let room: RoomId = ID.parse().unwrap();
    vec![
        Scope::Session(session()),
        Scope::Session(other),
        Scope::Hook(session()),
        Scope::Hook(other),
        Scope::Relay(session()),
        Scope::Room(room),
        Scope::Operator,
        Scope::Streams,
    ]
}

#[test]
fn the_reference_derivations_are_met() {
    let keys = keys("test-secret");
    let room: RoomId = ID.parse().unwrap();
    for (scope, token) in [
        (
            Scope::Session(session()),
            "4a43db783d667a63e60205a0e5005d58426dce968b72c8336b435501aae9ac12",
        ),
        (
            Scope::Hook(session()),
            "18b8f0bf741c08a0c620f73a61e371f1a39ad06b761450a31a4e6c672fc66059",
        ),
        (Scope::Room(room), "0a6a0e4d997b2030676f87a202037bc5b978f9c67e8f14af405aba4e0888495c"),
    ] {
        assert_eq!(keys.mint(scope, NOW), token);
        assert!(keys.opens(scope, token, NOW));
        assert!(keys.opens(scope, &token.to_uppercase(), NOW), "upper case counts too");
        let strict = keys.clone().with_reference_tokens(false);
        assert_eq!(strict.check(scope, token, NOW), Err(Refused::DoesNotFit));
    }
}

#[test]
fn a_token_opens_its_own_scope_and_no_other() {
    for reference in [true, false] {
        let keys = keys("test-secret").with_reference_tokens(reference);
        for (at, minted) in scopes().into_iter().enumerate() {
            let token = keys.mint(minted, NOW);
            for (door, scope) in scopes().into_iter().enumerate() {
                assert_eq!(keys.opens(scope, &token, NOW), at == door, "{minted:?} on {scope:?}");
            }
        }
    }
}

#[test]
fn a_token_of_the_own_form_expires_and_cannot_be_prolonged() {
    let keys = keys("test-secret").with_reference_tokens(false);
    let scope = Scope::Session(session());
    let token = keys.mint(scope, NOW);
    let end = NOW + Keys::LIFETIME_DEFAULT.as_secs();
    assert!(keys.opens(scope, &token, end - 1));
    assert_eq!(keys.check(scope, &token, end), Err(Refused::Expired));
    let prolonged = token.replace(&end.to_string(), &(end + 1).to_string());
    assert_eq!(keys.check(scope, &prolonged, NOW), Err(Refused::DoesNotFit));
    assert_eq!(keys.check(scope, &token, NOW - 3_600), Err(Refused::Expired), "from the future");
}

#[test]
fn a_key_can_be_followed_by_another_and_taken_away() {
    let old = ServerKey::new("the old key").unwrap();
    let token = Keys::new(old.clone()).mint(Scope::Operator, NOW);
    let both = keys("the new key").accepting(old);
    assert!(both.opens(Scope::Operator, &token, NOW));
    assert!(!keys("the new key").opens(Scope::Operator, &token, NOW));
}

#[test]
fn nothing_secret_is_printed() {
    let key = ServerKey::new("hunter2hunter2").unwrap();
    assert_eq!(format!("{key:?}"), "ServerKey(..)");
    assert!(!format!("{:?}", Keys::new(key)).contains("hunter2"));
    assert!(ServerKey::new("short").is_err());
}

proptest! {
    #[test]
    fn d30_11_no_text_opens_anything_or_panics(
        token in "\\PC{0,80}|[0-9a-fA-F]{64}|[!-~]{64}|st1\\.[a-z]\\.[0-9a-f]{8}\\.[0-9]{1,25}\\.[0-9]{1,25}\\.[0-9a-f]{64}|(st1\\.)*"
    ) {
        let keys = keys("test-secret");
        for scope in scopes() {
            prop_assert!(!keys.opens(scope, &token, NOW));
        }
    }

    #[test]
    fn one_changed_character_is_one_too_many(at in 0usize..64, with in "[0-9a-f]") {
        let keys = keys("test-secret");
        let scope = Scope::Session(session());
        let token = keys.mint(scope, NOW);
        let mut changed = token.clone();
        changed.replace_range(at..=at, &with);
        prop_assert_eq!(keys.opens(scope, &changed, NOW), changed == token);
    }
}
