//! Which token opens what.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use proptest::prelude::*;
use studio_auth::{Code, Grant, Keys, Ledger, LedgerEntry, Minted, Refused, Scope, ServerKey};
use studio_ids::{HookSecretId, RoomId, SessionId};

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
        Scope::Read(session()),
        Scope::Read(other),
        Scope::Hook(session()),
        Scope::Hook(other),
        Scope::Relay(session()),
        Scope::Git(session()),
        Scope::ProjectHooks(HookSecretId::from_bytes(*session().as_bytes())),
        Scope::ProjectHooks(HookSecretId::from_bytes([7; 16])),
        Scope::AllHooks,
        Scope::Room(room),
        Scope::Operator,
        Scope::Create,
        Scope::Login,
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
        (Scope::AllHooks, "12884aa4ba96cc58ad8279e04b4e80b9297dfaeb29d07121bd1fd0992a4e6193"),
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

/// A token of the own form with its facts, as it is written down.
fn minted(keys: &Keys, scope: Scope, now: u64) -> (Grant, LedgerEntry) {
    let issued = keys.issue(scope, now, Keys::LIFETIME_DEFAULT);
    let grant = keys.check(scope, &issued.token, now).unwrap();
    let (claims, label) = (issued.claims, None);
    let (id, key_id) = (claims.id, claims.key_id);
    let (issued, expires) = (claims.issued, claims.expires);
    let entry = LedgerEntry::TokenMinted(Minted { id, key_id, scope, label, issued, expires });
    (grant, entry)
}

#[test]
fn a_revoked_token_opens_nothing_and_its_siblings_stay() {
    let (keys, scope) = (keys("test-secret"), Scope::Session(session()));
    let mut ledger = Ledger::default();
    let (one, entry) = minted(&keys, scope, NOW);
    ledger.apply(&entry);
    let (two, entry) = minted(&keys, scope, NOW);
    ledger.apply(&entry);
    let (id, expires) = (one.id().unwrap(), one.expires().unwrap());
    let revoked = LedgerEntry::TokenRevoked { id, expires };
    for _twice in 0..2 {
        ledger.apply(&revoked);
        assert_eq!(ledger.check(scope, &one), Err(Refused::Revoked));
        assert_eq!(ledger.check(scope, &two), Ok(()));
    }
    let listed: Vec<_> = ledger.of(Some(session())).map(|minted| minted.id).collect();
    assert_eq!(listed, [two.id().unwrap()]);
    ledger.purge(expires);
    assert_eq!(ledger.of(Some(session())).count(), 0, "what expired is forgotten");
}

#[test]
fn a_rotation_ends_all_tokens_of_its_session_and_no_others() {
    let keys = keys("test-secret");
    let (mine, hook) = (Scope::Session(session()), Scope::Hook(session()));
    let other = Scope::Session(SessionId::from_bytes([7; 16]));
    let mut ledger = Ledger::default();
    let (before, entry) = minted(&keys, mine, NOW);
    ledger.apply(&entry);
    let (others, _) = minted(&keys, other, NOW);
    // Twice in one second: what was made between the two is void as well.
    for _round in 0..2 {
        let (between, _) = minted(&keys, hook, ledger.issue_time(hook, NOW));
        ledger.apply(&ledger.rotation(session(), NOW));
        let void = [(mine, &before), (mine, &Grant::Reference), (hook, &Grant::Reference)];
        for (scope, grant) in void.into_iter().chain([(hook, &between)]) {
            assert_eq!(ledger.check(scope, grant), Err(Refused::Revoked));
        }
        assert_eq!(ledger.check(other, &others), Ok(()));
        assert_eq!(ledger.check(other, &Grant::Reference), Ok(()));
        let (after, _) = minted(&keys, mine, ledger.issue_time(mine, NOW));
        assert_eq!(ledger.check(mine, &after), Ok(()));
    }
    assert_eq!(ledger.of(Some(session())).count(), 0);
}

#[test]
fn facts_may_come_in_any_order_and_twice() {
    let (keys, scope) = (keys("test-secret"), Scope::Session(session()));
    let (one, minted_one) = minted(&keys, scope, NOW);
    let (two, minted_two) = minted(&keys, scope, NOW + 9);
    let (three, minted_three) = minted(&keys, scope, NOW + 9);
    let revoked = LedgerEntry::TokenRevoked { id: two.id().unwrap(), expires: NOW + 99 };
    let rotated = LedgerEntry::SessionRotated { session: session(), at: NOW };
    let facts = [minted_one, minted_two, minted_three, revoked, rotated];
    for first in 0..facts.len() {
        let mut ledger = Ledger::default();
        for (fact, _twice) in facts.iter().cycle().skip(first).zip(0..7) {
            ledger.apply(fact);
        }
        let left: Vec<_> = ledger.of(Some(session())).map(|minted| minted.id).collect();
        assert_eq!(left, [three.id().unwrap()], "from {first}");
        assert_eq!(ledger.check(scope, &one), Err(Refused::Revoked));
    }
}

#[test]
fn the_references_derivation_is_revoked_for_one_purpose() {
    let mut ledger = Ledger::default();
    ledger.apply(&LedgerEntry::ReferenceRevoked { scope: Scope::Hook(session()) });
    let refused = |scope| ledger.check(scope, &Grant::Reference);
    assert_eq!(refused(Scope::Hook(session())), Err(Refused::Revoked));
    assert_eq!(refused(Scope::Session(session())), Ok(()));
}

#[test]
fn nobody_is_given_more_than_they_have() {
    for holder in scopes() {
        for wanted in scopes() {
            let own = |id| [Scope::Read(id), Scope::Git(id)].contains(&wanted);
            let less = holder.session().is_some_and(own);
            let narrower = match holder.kind() {
                "operator" | "login" => true,
                "session" => wanted == holder || less,
                _ => wanted == holder,
            };
            assert_eq!(holder.covers(wanted), narrower, "{wanted:?} from {holder:?}");
        }
    }
}

#[test]
fn facts_are_kept_in_this_shape() {
    let id = ID.parse().unwrap();
    let (key_id, label) = ("0a1b2c3d".to_owned(), Some("laptop".to_owned()));
    let scope = Scope::Read(session());
    let minted = Minted { id, key_id, scope, label, issued: 1, expires: 2 };
    for (entry, kept) in [
        (
            LedgerEntry::TokenMinted(minted),
            format!(
                r#"{{"type":"token_minted","id":"{ID}","keyId":"0a1b2c3d","scope":{{"kind":"read","id":"{ID}"}},"label":"laptop","issued":1,"expires":2}}"#
            ),
        ),
        (
            LedgerEntry::TokenRevoked { id, expires: 2 },
            format!(r#"{{"type":"token_revoked","id":"{ID}","expires":2}}"#),
        ),
        (
            LedgerEntry::ReferenceRevoked { scope: Scope::Hook(session()) },
            format!(r#"{{"type":"reference_revoked","scope":{{"kind":"hook","id":"{ID}"}}}}"#),
        ),
        (
            LedgerEntry::SessionRotated { session: session(), at: 7 },
            format!(r#"{{"type":"session_rotated","session":"{ID}","at":7}}"#),
        ),
    ] {
        assert_eq!(serde_json::to_string(&entry).unwrap(), kept);
        assert_eq!(serde_json::from_str::<LedgerEntry>(&kept).unwrap(), entry);
    }
}

#[test]
fn a_code_is_long_and_never_twice_the_same() {
    let (one, other) = (Code::random(), Code::random());
    assert_eq!(one.expose().len(), 64);
    assert_ne!(Code::digest(one.expose()), Code::digest(other.expose()));
    assert_eq!(format!("{one:?}"), "Code(..)");
}

proptest! {
    #[test]
    fn d30_11_no_text_opens_anything_or_panics(
        token in "\\PC{0,80}|[0-9a-fA-F]{64}|[!-~]{64}|st2\\.[a-z]\\.[0-9a-f]{8}\\.[0-9a-f-]{36}\\.[0-9]{1,25}\\.[0-9]{1,25}\\.[0-9a-f]{64}|(st2\\.)*"
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
