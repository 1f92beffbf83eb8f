//! Takes the place of `src/sync.rs`: each use is a moment at which the model may let another
//! thread go on.

pub(crate) use shuttle::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

/// As much of tokio's watch as is used, with its promises: a change after the last look wakes.
pub(crate) mod watch {
    use std::{
        marker::PhantomData,
        sync::Arc,
        task::{Poll, Waker},
    };

    use shuttle::sync::Mutex;

    #[derive(Debug, Default)]
    struct Shared(Mutex<(u64, Vec<Waker>)>);

    #[derive(Debug)]
    pub(crate) struct Sender<T>(Arc<Shared>, PhantomData<T>);

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(Arc<Shared>, u64, PhantomData<T>);

    impl Sender<()> {
        pub(crate) fn new((): ()) -> Self {
            Self(Arc::default(), PhantomData)
        }

        pub(crate) fn subscribe(&self) -> Receiver<()> {
            let version = self.0.0.lock().unwrap().0;
            Receiver(self.0.clone(), version, PhantomData)
        }

        pub(crate) fn send_replace(&self, (): ()) {
            let wakers = {
                let mut shared = self.0.0.lock().unwrap();
                shared.0 += 1;
                std::mem::take(&mut shared.1)
            };
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    impl Receiver<()> {
        pub(crate) fn mark_unchanged(&mut self) {
            self.1 = self.0.0.lock().unwrap().0;
        }

        pub(crate) async fn changed(&mut self) -> Result<(), ()> {
            std::future::poll_fn(|context| {
                let mut shared = self.0.0.lock().unwrap();
                if shared.0 == self.1 {
                    shared.1.push(context.waker().clone());
                    return Poll::Pending;
                }
                self.1 = shared.0;
                Poll::Ready(Ok(()))
            })
            .await
        }
    }
}
