//! Streams that are removed by themselves.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::*;
use crate::{Expiry, Fork};

/// Longest time that a stream with a short life may be there.
const LATE_MAX: Duration = Duration::from_secs(30);
/// How long a stream is to live: longer than a service on a busy machine takes to make it.
const SHORT_MILLIS: u64 = 3_000;

fn in_a_while(millis: u64) -> Option<Expiry> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Some(Expiry::AtMillis(u64::try_from(now.as_millis()).unwrap() + millis))
}

async fn stream(store: &Arc<dyn StreamStore>, name: &str, expiry: Option<Expiry>) -> StreamPath {
    let path = path(name);
    let options = CreateOptions { expiry, initial: Some(batch(["0"])), ..CreateOptions::default() };
    assert!(store.create(&path, options).await.unwrap().is_new());
    path
}

/// Asks, without putting it off, until the stream is not there any more.
async fn gone(store: &Arc<dyn StreamStore>, path: &StreamPath) {
    let deadline = Instant::now() + LATE_MAX;
    loop {
        match store.head(path).await {
            Err(StreamError::NotFound { .. }) => return,
            Ok(_) => assert!(Instant::now() < deadline, "{path} is still there"),
            Err(error) => panic!("{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn a_stream_whose_time_is_over_is_gone_and_its_path_is_free(store: Arc<dyn StreamStore>) {
    let kept = stream(&store, "kept", in_a_while(3_600_000)).await;
    let path = stream(&store, "short", in_a_while(SHORT_MILLIS)).await;
    assert_eq!(all(&store, &path).await, ["0"]);
    gone(&store, &path).await;
    let failures = [
        store.append(&path, batch(["1"]), None).await.err(),
        store.read(&path, Offset::Start, 1).await.err(),
        store.follow(&path, Offset::Start).await.err(),
    ];
    for failure in failures {
        assert!(matches!(failure, Some(StreamError::NotFound { .. })), "{failure:?}");
    }
    assert_eq!(store.list("", None, 10).await.unwrap(), std::slice::from_ref(&kept));
    assert!(store.create(&path, CreateOptions::default()).await.unwrap().is_new());
    assert_eq!(all(&store, &path).await, Vec::<String>::new());
    assert_eq!(all(&store, &kept).await, ["0"]);
}

pub async fn a_follower_is_told_of_the_end_of_time(store: Arc<dyn StreamStore>) {
    let path = stream(&store, "short", in_a_while(SHORT_MILLIS)).await;
    let mut follow = store.follow(&path, Offset::Now).await.unwrap();
    let ended = tokio::time::timeout(LATE_MAX, follow.next()).await.expect("it is still there");
    assert!(matches!(ended, Err(StreamError::NotFound { .. })), "{ended:?}");
}

pub async fn a_stream_that_is_used_stays(store: Arc<dyn StreamStore>) {
    let expiry = Some(Expiry::AfterSeconds(3));
    let path = stream(&store, "used", expiry).await;
    let began = Instant::now();
    let mut appended = 1;
    // Over twice its time, with something every now and then.
    while began.elapsed() < Duration::from_millis(6_600) {
        store.append(&path, batch(["1"]), None).await.unwrap();
        appended += 1;
        tokio::time::sleep(Duration::from_millis(150)).await;
        store.read(&path, Offset::Now, 1).await.unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(all(&store, &path).await.len(), appended);
    {
        // Who follows it uses it.
        let mut follow = store.follow(&path, Offset::Now).await.unwrap();
        let quiet = tokio::time::timeout(Duration::from_millis(4_500), follow.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    }
    assert_eq!(all(&store, &path).await.len(), appended);
    gone(&store, &path).await;
}

pub async fn an_expired_source_keeps_its_forks(store: Arc<dyn StreamStore>) {
    let source = stream(&store, "source", in_a_while(SHORT_MILLIS)).await;
    let copy = path("copy");
    let fork = Some(Fork::of(source.clone()));
    let expiry = in_a_while(3_600_000);
    store.create(&copy, CreateOptions { fork, expiry, ..CreateOptions::default() }).await.unwrap();
    let deadline = Instant::now() + LATE_MAX;
    while store.head(&source).await.is_ok() {
        assert!(Instant::now() < deadline, "the source is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(all(&store, &copy).await, ["0"]);
}
