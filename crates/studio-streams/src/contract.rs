//! What every [`StreamStore`](crate::StreamStore) must do, as tests: one function per rule, each
//! for an empty store. [`store_contract!`](crate::store_contract) makes a test of each.
//!
//! Durability is not asked here (it takes a kill): a store brings its own crash test.

// These functions are tests; a panic is their way to fail.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod expire;
mod follow;
mod fork;
mod produce;
mod protocol;
mod read;
mod streams;

use std::{panic::AssertUnwindSafe, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;

pub use expire::*;
pub use follow::*;
pub use fork::*;
pub use produce::*;
pub use protocol::*;
pub use read::*;
pub use streams::*;

use crate::{
    Appended, Batch, CreateOptions, Follow, Offset, ProducerStamp, StreamError, StreamPath,
    StreamStore,
};

/// Makes a `#[tokio::test]` of every rule. `$make` is evaluated in each test (inside a runtime):
/// a future of `(Arc<dyn StreamStore>, guard)`; the guard lives as long as the test.
///
/// ```text
/// studio_streams::store_contract!(async {
///     (Arc::new(MemoryStreams::new()) as Arc<dyn StreamStore>, ())
/// });
/// ```
///
/// A store over somebody else's service may name rules that this service is known to break, each
/// with the reason: `store_contract!(make; broken { a_rule: "why", })`. Such a rule is tried too
/// and its test fails once it holds, so that the list cannot outlive the defects in it.
#[macro_export]
macro_rules! store_contract {
    ($make:expr) => {
        $crate::store_contract!($make; broken {});
    };
    ($make:expr; broken { $($broken:ident: $why:literal),* $(,)? }) => {
        // A name in the list is a name of a rule.
        #[allow(unused_imports)]
        mod broken { $(use $crate::contract::$broken as _;)* }
        $crate::store_contract!(@each $make; &[$((stringify!($broken), $why)),*];
            creating_twice_changes_nothing
            a_stream_can_be_created_with_its_first_records
            a_missing_stream_is_not_found
            appends_keep_their_order
            a_batch_is_read_whole_and_its_offset_is_the_tail
            concurrent_batches_never_mix
            a_closed_stream_takes_no_append
            a_deleted_stream_is_gone_and_deleting_again_is_success
            a_recreated_stream_is_new_and_empty
            listing_is_sorted_by_prefix_and_in_pages
            a_ready_store_says_so
            reading_from_every_offset_goes_on_after_it
            pages_are_bounded_by_count
            pages_are_bounded_by_bytes
            a_record_over_a_page_is_still_read
            reading_back_gives_the_last_records_in_order
            reading_back_reaches_the_start_page_by_page
            reading_from_now_is_empty_and_up_to_date
            an_offset_that_is_no_place_is_refused
            a_producers_retry_is_written_once
            a_producers_gap_is_refused
            a_newer_epoch_fences_the_older
            a_newer_epoch_begins_with_zero
            producers_and_plain_appends_do_not_disturb_each_other
            a_refused_append_changes_nothing
            concurrent_retries_of_one_stamp_write_once
            a_producer_is_known_per_stream
            a_writer_takes_over_and_the_old_one_is_fenced
            a_dropped_append_of_a_writer_is_settled_first
            a_follower_gets_old_and_new_records
            a_follower_from_now_gets_only_new_records
            following_under_concurrent_appends_has_no_gap_and_no_double
            a_follower_ends_when_the_stream_is_closed_and_read
            a_follower_of_a_deleted_stream_fails
            a_follower_does_not_see_a_recreated_stream
            a_dropped_wait_of_a_follower_loses_nothing
            followers_share_one_encoding_of_a_live_record
            the_last_records_and_the_end_are_one_write
            a_refused_append_says_where_a_closed_stream_ends
            a_producers_end_is_known_again_and_no_other
            a_duplicate_is_told_the_highest_sequence_number
            a_writers_own_order_must_grow
            a_refused_order_leaves_its_producer_alone
            a_stream_keeps_its_content_type
            a_stream_can_be_created_closed
            a_page_tells_the_stream_as_it_was
            a_recreated_stream_is_another_incarnation
            a_fork_has_what_its_source_had_and_goes_its_own_way
            a_fork_can_begin_at_every_place
            a_forks_pages_and_backwards_reads_cross_its_beginning
            a_follower_of_a_fork_gets_old_and_new_records
            a_fork_can_take_a_part_of_an_append
            a_fork_of_text_can_take_a_part_of_a_record
            a_fork_inherits_neither_the_end_nor_producers
            a_fork_is_made_once_and_only_in_its_own_way
            what_cannot_be_forked_is_refused_and_leaves_nothing
            a_deleted_source_is_gone_but_its_forks_read_on
            a_chain_of_forks_is_freed_from_its_end
            a_fork_has_its_sources_expiry_or_its_own
            a_stream_whose_time_is_over_is_gone_and_its_path_is_free
            a_follower_is_told_of_the_end_of_time
            a_stream_that_is_used_stays
            an_expired_source_keeps_its_forks
        );
    };
    (@each $make:expr; $broken:expr; $($rule:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let (store, _guard) = $make.await;
                let broken: &[(&str, &str)] = $broken;
                let kept = $crate::contract::$rule(store);
                match broken.iter().find(|(name, _)| *name == stringify!($rule)) {
                    None => kept.await,
                    Some((name, why)) => $crate::contract::is_broken(name, why, kept).await,
                }
            }
        )*
    };
}

/// Longest time that a broken rule may hang.
const BROKEN_WAIT: Duration = Duration::from_secs(30);

/// Fails when a rule that is said to be broken holds.
pub async fn is_broken(name: &str, why: &str, kept: impl Future<Output = ()>) {
    let mut kept = std::pin::pin!(kept);
    let caught = std::future::poll_fn(|context| {
        let poll = AssertUnwindSafe(|| kept.as_mut().poll(context));
        match std::panic::catch_unwind(poll) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(true),
            Err(_panic) => Poll::Ready(false),
        }
    });
    let holds = tokio::time::timeout(BROKEN_WAIT, caught).await == Ok(true);
    assert!(!holds, "{name} holds; it was said to be broken: {why}");
}

fn path(text: &str) -> StreamPath {
    text.parse().unwrap()
}

/// A record of this text: as it is if it is a JSON value, else as a JSON string. A service may
/// refuse anything else in a stream of JSON.
fn bytes(text: impl Into<String>) -> Bytes {
    let text = text.into();
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
    Bytes::from(if is_json { text } else { serde_json::Value::from(text).to_string() })
}

fn batch<T: Into<String>>(records: impl IntoIterator<Item = T>) -> Batch {
    Batch::new(records.into_iter().map(bytes).collect()).unwrap()
}

fn stamp(id: &str, epoch: u64, seq: u64) -> ProducerStamp {
    ProducerStamp { id: id.parse().unwrap(), epoch, seq }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// A stream with these records, one append each.
async fn stream_of(store: &Arc<dyn StreamStore>, name: &str, records: &[String]) -> StreamPath {
    let path = path(name);
    store.create(&path, CreateOptions::default()).await.unwrap();
    for record in records {
        store.append(&path, batch([record.clone()]), None).await.unwrap();
    }
    path
}

fn written(appended: Result<Appended, StreamError>) -> Offset {
    match appended.unwrap() {
        Appended::Written { next } => next,
        Appended::Duplicate { .. } => panic!("the append was taken for a duplicate"),
    }
}

/// What [`bytes`] made a record of.
fn text(data: &Bytes) -> String {
    let text = String::from_utf8(data.to_vec()).unwrap();
    serde_json::from_str::<String>(&text).unwrap_or(text)
}

/// Everything in the stream, read in small pages.
async fn all(store: &Arc<dyn StreamStore>, path: &StreamPath) -> Vec<String> {
    let mut from = Offset::Start;
    let mut found = Vec::new();
    loop {
        let page = store.read(path, from, 7).await.unwrap();
        assert!(page.records.len() <= 7, "a page of at most 7 held {}", page.records.len());
        if let Some(last) = page.records.last() {
            assert_eq!(last.offset, page.next, "a page goes on after its last record");
        }
        found.extend(page.records.iter().map(|record| text(&record.data)));
        if page.up_to_date {
            return found;
        }
        assert!(!page.records.is_empty(), "an empty page must be up to date");
        from = page.next;
    }
}

/// Follows until this many records were handed over.
async fn take(follow: &mut Follow, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        let frames = follow.next().await.unwrap().expect("the stream was closed too early");
        assert!(!frames.is_empty(), "a follower is handed at least one frame");
        found.extend(frames.iter().map(|frame| text(frame.data())));
    }
    found
}
