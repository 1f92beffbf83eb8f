//! A service that is killed again and again, and forgets in a crash what producers have written.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A test fails by panicking.

mod support;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use studio_streams::{
    Batch, CreateOptions, Offset, SessionWriter, StreamError, StreamPath, StreamStore,
};

use support::{Official, store};

const KILLS: u64 = 12;
/// Appends between two of them.
const BETWEEN: u64 = 20;

fn batch(number: u64) -> Batch {
    Batch::new(vec![Bytes::from(format!("{{\"number\":{number}}}"))]).unwrap()
}

/// Writes until it is in the stream, as whoever owns a session does.
async fn write(writer: &mut SessionWriter, number: u64) {
    let mut outcome = writer.append(batch(number)).await.map(Some);
    loop {
        match outcome {
            Ok(_) => return,
            // It may be there.
            Err(StreamError::Failed { .. }) => {
                outcome = writer.settle().await;
                assert!(!matches!(outcome, Ok(None)), "what is unsettled is kept");
            }
            // It is not.
            Err(StreamError::Busy | StreamError::ReadOnly { .. }) => {
                outcome = writer.append(batch(number)).await.map(Some);
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_and_a_follower_survive_every_kill_of_the_service() {
    let mut official = Official::on_disk().await;
    let store: Arc<dyn StreamStore> = store(&official.url).await;
    let path: StreamPath = "session/a".parse().unwrap();
    store.create(&path, CreateOptions::default()).await.unwrap();
    let mut follow = store.follow(&path, Offset::Start).await.unwrap();
    let first = Bytes::from_static(b"{\"number\":0}");
    let producer = "session:a".parse().unwrap();
    let mut writer =
        SessionWriter::take_over(store.clone(), path.clone(), producer, 1, first).await.unwrap();
    let last = KILLS * BETWEEN + BETWEEN;
    let (written, mut so_far) = tokio::sync::watch::channel(0);
    let writing = tokio::spawn(async move {
        for number in 1..=last {
            write(&mut writer, number).await;
            written.send_replace(number);
        }
    });
    for kill in 1..=KILLS {
        so_far.wait_for(|so_far| kill * BETWEEN <= *so_far).await.unwrap();
        // At another point of the next appends each time.
        tokio::time::sleep(Duration::from_micros(700 * kill)).await;
        official.kill_and_start_again().await;
    }
    tokio::time::timeout(Duration::from_secs(60), writing).await.unwrap().unwrap();

    let expected: Vec<String> = (0..=last).map(|n| format!("{{\"number\":{n}}}")).collect();
    let mut from = Offset::Start;
    let mut found = Vec::new();
    loop {
        let page = store.read(&path, from, 1_000).await.unwrap();
        found.extend(page.records.iter().map(|r| String::from_utf8(r.data.to_vec()).unwrap()));
        from = page.next;
        if page.up_to_date {
            break;
        }
    }
    assert_eq!(found, expected);
    let mut followed = Vec::new();
    let following = async {
        while followed.len() < expected.len() {
            let frames = follow.next().await.unwrap().unwrap();
            let text = |data: &Bytes| String::from_utf8(data.to_vec()).unwrap();
            followed.extend(frames.iter().map(|frame| text(frame.data())));
        }
    };
    tokio::time::timeout(Duration::from_secs(60), following).await.expect("records are missing");
    assert_eq!(followed, expected);
}
