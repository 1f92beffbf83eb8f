//! Whose hooks may tell, and which session a local agent's conversation is.

use studio_events::{HookProject, SessionPrivate};
use studio_ids::HookSecretId;
use studio_registry::{HOOK_PROJECTS_MAX, RegistryError};
use tokio::task::JoinSet;

use crate::world::{Disturbed, id, info, open};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test]
async fn one_conversation_is_one_session_whoever_claims_it_at_the_same_time() {
    let store = Disturbed::new();
    let registry = open(&store).await;
    let mut claims = JoinSet::new();
    for n in 0..64 {
        let registry = registry.clone();
        claims.spawn(async move {
            registry.claim(names(&["/t", "agent:a"]), info(n), SessionPrivate::default()).await
        });
    }
    let found: Vec<_> = claims.join_all().await.into_iter().map(|r| r.unwrap().info.id).collect();
    let one = found[0];
    assert_eq!(found, [one; 64]);
    for known in [names(&["/t"]), names(&["agent:a"])] {
        let again = registry.claim(known, info(65), SessionPrivate::default()).await.unwrap();
        assert_eq!(again.info.id, one);
    }
    assert_eq!(registry.len(), 1);
    registry.stop().await;

    let again = open(&store).await;
    assert_eq!(again.session_of_transcript("/t"), Some(one));
    let found = again.claim(names(&["agent:a", "/new"]), info(70), SessionPrivate::default());
    assert_eq!(found.await.unwrap().info.id, one);
    assert_eq!(again.session_of_transcript("/new"), Some(one), "it learned the other name");
}

#[tokio::test]
async fn a_name_whose_session_is_deleted_is_free() {
    let store = Disturbed::new();
    let registry = open(&store).await;
    let claim = |n| registry.claim(names(&["/t"]), info(n), SessionPrivate::default());
    claim(1).await.unwrap();
    let (deleted, claimed) = tokio::join!(registry.delete(id(1)), claim(2));
    deleted.unwrap();
    assert_eq!(claimed.unwrap().info.id, id(2));
    assert_eq!(registry.session_of_transcript("/t"), Some(id(2)));
}

#[tokio::test]
async fn a_projects_next_secret_takes_the_place_of_the_one_before() {
    let store = Disturbed::new();
    let registry = open(&store).await;
    let (first, second) = (HookSecretId::random(), HookSecretId::random());
    registry.set_hook_project("/home/me/app".to_owned(), first).await.unwrap();
    let project = registry.hook_project_of(first).unwrap();
    registry.set_hook_project("/home/me/app".to_owned(), second).await.unwrap();
    assert_eq!(registry.hook_project_of(first), None);
    assert_eq!(registry.hook_project_of(second).unwrap().id, project.id);
    registry.snapshot().await.unwrap();
    registry.stop().await;

    let again = open(&store).await;
    assert_eq!(again.hook_project_of(first), None);
    let known = again.hook_project_of(second).unwrap();
    assert_eq!((known.id, known.created_at), (project.id, project.created_at));
    again.revoke_hook_project(known.id).await.unwrap();
    again.revoke_hook_project(known.id).await.unwrap();
    assert_eq!(again.hook_project_of(second), None);
    let revoked = HookProject::clone(&again.hook_project(known.id).unwrap());
    assert_eq!(revoked.secret, None);
    again.stop().await;
    let last = open(&store).await;
    assert_eq!(last.hook_project(known.id).as_deref(), Some(&revoked));
}

#[tokio::test]
async fn there_are_only_so_many_projects_and_a_revoked_one_makes_room() {
    let store = Disturbed::new();
    let registry = open(&store).await;
    let set = |n: usize| registry.set_hook_project(format!("/p/{n}"), HookSecretId::random());
    for n in 0..HOOK_PROJECTS_MAX {
        set(n).await.unwrap();
    }
    assert!(matches!(set(HOOK_PROJECTS_MAX).await, Err(RegistryError::TooManyProjects)));
    set(3).await.unwrap();
    let some = registry.hook_projects()[7].clone();
    registry.revoke_hook_project(some.id).await.unwrap();
    set(HOOK_PROJECTS_MAX).await.unwrap();
    assert_eq!(registry.hook_project(some.id), None);
    assert_eq!(registry.hook_projects().len(), HOOK_PROJECTS_MAX);
}
