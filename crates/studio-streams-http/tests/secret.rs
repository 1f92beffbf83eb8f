//! The secret is sent to the service and is nowhere else.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A test fails by panicking.

mod support;

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::Method;
use bytes::Bytes;
use studio_streams::{Batch, CreateOptions, Offset, StreamPath, StreamStore};
use studio_streams_http::{ConnectError, HttpOptions, HttpStreams, Secret};

use support::{
    faulty::{Fault, Faulty},
    options,
};

const SECRET: &str = "sk-very-secret-0123456789";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_secret_is_in_no_error_and_in_no_line_of_the_log() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let faulty = Faulty::start().await;
    let options = HttpOptions {
        secret: Some(Secret::new(SECRET).unwrap()),
        deadline: Duration::from_secs(1),
        attempt: Duration::from_millis(300),
        ..options(&faulty.url)
    };
    let mut told = vec![format!("{options:?} {:?}", Secret::new(SECRET).unwrap())];
    let store = HttpStreams::connect(options.clone()).await.unwrap();
    told.push(format!("{store:?}"));
    let path: StreamPath = "session/a".parse().unwrap();
    store.create(&path, CreateOptions::default()).await.unwrap();
    let mut follow = store.follow(&path, Offset::Now).await.unwrap();
    let batch = || Batch::new(vec![Bytes::from_static(b"1")]).unwrap();
    let faults = [
        Fault::DoneThen(500),
        Fault::DoneThenBroken,
        Fault::Answer(401, None),
        Fault::Answer(403, None),
        Fault::Answer(418, None),
        Fault::Answer(302, None),
        Fault::Answer(400, None),
        Fault::Hang,
        Fault::Half,
        // A service that repeats what it was sent.
        Fault::Body("Bearer sk-very-secret-0123456789"),
    ];
    for fault in faults {
        for method in [Method::GET, Method::POST, Method::PUT, Method::HEAD, Method::DELETE] {
            faulty.next(method, "session/", fault.clone(), usize::MAX);
        }
        let other: StreamPath = "session/b".parse().unwrap();
        told.extend(store.append(&path, batch(), None).await.err().map(all_of));
        told.extend(store.read(&path, Offset::Start, 1).await.err().map(all_of));
        told.extend(store.head(&path).await.err().map(all_of));
        told.extend(store.create(&other, CreateOptions::default()).await.err().map(all_of));
        told.extend(store.delete(&other).await.err().map(all_of));
        drop(tokio::time::timeout(Duration::from_millis(50), follow.next()).await);
        told.push(format!("{:?}", store.state().borrow()));
        faulty.heal();
    }
    faulty.next(Method::PUT, "", Fault::Answer(401, None), usize::MAX);
    told.extend(HttpStreams::connect(options).await.err().map(all_of));
    store.stop().await;

    let seen = faulty.all_seen();
    assert!(seen.iter().all(|seen| seen.authorization == Some(format!("Bearer {SECRET}"))));
    assert!(seen.iter().all(|seen| !seen.uri.contains(SECRET)));
    assert!(20 < told.len());
    for text in &told {
        assert!(!text.contains(SECRET), "{text}");
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the streams service is in trouble"), "the log was listened to");
    let lines: Vec<_> = log.lines().filter(|line| line.contains(SECRET)).collect();
    assert_eq!(lines, Vec::<&str>::new());
}

fn all_of(error: impl std::error::Error) -> String {
    let mut text = format!("{error:?} {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(" {error:?} {error}"));
        source = error.source();
    }
    text
}

#[test]
fn what_cannot_be_a_secret_or_a_url_is_refused_without_being_told() {
    for bad in ["", "a b", "a\nb", "é"] {
        assert!(matches!(Secret::new(bad), Err(ConnectError::BadSecret)), "{bad:?}");
    }
}

#[tokio::test]
async fn a_secret_in_the_url_is_refused() {
    for bad in ["", "x", "ftp://host", "https://user:pass@host", "https://host?secret=x", "http:"] {
        let refused = HttpStreams::connect(HttpOptions::new(bad, "studio", None)).await;
        assert!(matches!(refused, Err(ConnectError::BadUrl(_))), "{bad}: {refused:?}");
    }
    for bad in ["", "a/b", "..", "a b"] {
        let refused = HttpStreams::connect(HttpOptions::new("http://host", bad, None)).await;
        assert!(matches!(refused, Err(ConnectError::BadService)), "{bad}: {refused:?}");
    }
}
