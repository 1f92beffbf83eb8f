//! Tokens that are handed out again, each asked for once however many want it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use studio_ids::Repository;

use crate::{GitHubError, InstallationToken};

/// Repositories whose tokens are kept.
const KEPT_MAX: usize = 1_000;

type Asking = BoxFuture<'static, Result<InstallationToken, GitHubError>>;

enum Slot {
    Kept(InstallationToken),
    /// Being asked for by those who wait: when none is left, the request is dropped.
    Asked(WeakShared<Asking>),
}

#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<String, Slot>>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("kept", &self.lock().len()).finish()
    }
}

/// GitHub's names are the same in upper and lower case.
fn key(repository: &Repository) -> String {
    repository.to_string().to_ascii_lowercase()
}

impl Tokens {
    /// The kept token if `is_fresh`; else what the request that runs or `ask` brings.
    pub(crate) async fn get(
        &self,
        repository: &Repository,
        is_fresh: impl Fn(&InstallationToken) -> bool,
        ask: impl FnOnce() -> Asking,
    ) -> Result<InstallationToken, GitHubError> {
        let key = key(repository);
        let asking = {
            let mut slots = self.lock();
            let running = match slots.get(&key) {
                Some(Slot::Kept(token)) if is_fresh(token) => return Ok(token.clone()),
                // One that has come to its end serves nobody who comes after it.
                Some(Slot::Asked(asked)) => {
                    asked.upgrade().filter(|asking| asking.peek().is_none())
                }
                Some(Slot::Kept(_)) | None => None,
            };
            match running {
                Some(asking) => asking,
                None => {
                    let asking: Shared<Asking> = ask().shared();
                    if let Some(weak) = asking.downgrade() {
                        make_room(&mut slots, &is_fresh);
                        slots.insert(key.clone(), Slot::Asked(weak));
                    }
                    asking
                }
            }
        };
        let token = asking.clone().await?;
        let mut slots = self.lock();
        // Not if it was forgotten meanwhile, or asked for once more.
        let is_this = match slots.get(&key) {
            Some(Slot::Asked(asked)) => {
                asked.upgrade().is_some_and(|running| running.ptr_eq(&asking))
            }
            Some(Slot::Kept(_)) | None => false,
        };
        if is_this {
            slots.insert(key, Slot::Kept(token.clone()));
        }
        Ok(token)
    }

    /// Keeps it no more; the token, if it was there already.
    pub(crate) fn forget(&self, repository: &Repository) -> Option<InstallationToken> {
        match self.lock().remove(&key(repository))? {
            Slot::Kept(token) => Some(token),
            Slot::Asked(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        // Nothing here leaves the map half changed when it panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go what is of no use any more, and everything when that is not enough: a token can be
/// asked for again.
fn make_room(slots: &mut HashMap<String, Slot>, is_fresh: impl Fn(&InstallationToken) -> bool) {
    if slots.len() < KEPT_MAX {
        return;
    }
    slots.retain(|_, slot| match slot {
        Slot::Kept(token) => is_fresh(token),
        Slot::Asked(asked) => asked.upgrade().is_some(),
    });
    if KEPT_MAX <= slots.len() {
        slots.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use jiff::Timestamp;
    use studio_ids::Secret;
    use tokio::sync::Notify;

    use super::*;

    fn repository(name: &str) -> Repository {
        name.parse().unwrap()
    }

    fn token(text: &str) -> InstallationToken {
        InstallationToken { token: Secret::new(text), expires_at: Timestamp::UNIX_EPOCH }
    }

    #[tokio::test]
    async fn all_who_want_a_token_wait_for_one_request() {
        let (tokens, gate) = (Tokens::default(), Arc::new(Notify::new()));
        let asked = Arc::new(AtomicUsize::new(0));
        let get = |name: &str| {
            let (repository, gate, asked) = (repository(name), gate.clone(), asked.clone());
            let tokens = &tokens;
            async move {
                let ask = || {
                    async move {
                        asked.fetch_add(1, SeqCst);
                        gate.notified().await;
                        Ok(token("one"))
                    }
                    .boxed()
                };
                tokens.get(&repository, |_| true, ask).await.unwrap()
            }
        };
        let (one, other, third) = tokio::join!(get("a/b"), get("A/B"), async {
            gate.notify_one();
            token("one")
        });
        assert_eq!((&one, &other), (&third, &third));
        assert_eq!(get("a/b").await, third);
        assert_eq!(asked.load(SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_who_waited_and_to_nobody_else() {
        let tokens = Tokens::default();
        let no_app = || async { Err(GitHubError::NoApp) }.boxed();
        assert!(tokens.get(&repository("a/b"), |_| true, no_app).await.is_err());
        let good = || async { Ok(token("good")) }.boxed();
        assert_eq!(tokens.get(&repository("a/b"), |_| true, good).await.unwrap(), token("good"));
    }

    #[tokio::test]
    async fn a_caller_who_leaves_does_not_take_the_request_along() {
        let (tokens, gate) = (Tokens::default(), Arc::new(Notify::new()));
        let ask = |gate: Arc<Notify>| {
            move || {
                async move {
                    gate.notified().await;
                    Ok(token("one"))
                }
                .boxed()
            }
        };
        let repository = repository("a/b");
        let mut first = Box::pin(tokens.get(&repository, |_| true, ask(gate.clone())));
        assert!(futures::poll!(&mut first).is_pending());
        let never = || -> Asking { panic!("asked twice") };
        let mut second = Box::pin(tokens.get(&repository, |_| true, never));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        gate.notify_one();
        assert_eq!(second.await.unwrap(), token("one"));
    }

    #[tokio::test]
    async fn when_all_have_left_the_next_one_asks_anew() {
        let tokens = Tokens::default();
        let repository = repository("a/b");
        let stuck = || futures::future::pending().boxed();
        let mut first = Box::pin(tokens.get(&repository, |_| true, stuck));
        assert!(futures::poll!(&mut first).is_pending());
        drop(first);
        let good = || async { Ok(token("good")) }.boxed();
        assert_eq!(tokens.get(&repository, |_| true, good).await.unwrap(), token("good"));
    }

    #[tokio::test]
    async fn what_was_forgotten_or_is_old_is_asked_for_again() {
        let tokens = Tokens::default();
        let repository = repository("a/b");
        let get = async |text: &'static str, fresh: bool| {
            let ask = || async move { Ok(token(text)) }.boxed();
            tokens.get(&repository, |_| fresh, ask).await.unwrap()
        };
        assert_eq!(get("one", true).await, token("one"));
        assert_eq!(get("two", true).await, token("one"));
        assert_eq!(get("three", false).await, token("three"));
        tokens.forget(&repository);
        assert_eq!(get("four", true).await, token("four"));
    }
}
