//! The session writer over a store that loses answers.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use async_trait::async_trait;
use bytes::Bytes;
use studio_streams::{
    Appended, Batch, CreateOptions, Disturb, MemoryStreams, Offset, SessionWriter, StreamError,
    StreamPath, StreamStore, Write, Written,
};

/// Does every append, and then says of the next `losses` ones that they failed; before that, it
/// refuses the next `refusals` ones.
#[derive(Default)]
struct Unreliable {
    store: MemoryStreams,
    losses: AtomicUsize,
    refusals: AtomicUsize,
    /// Whether it crashes in each append whose answer it loses: the records are kept, and who
    /// wrote them is not.
    forgets: bool,
}

fn count_down(counter: &AtomicUsize) -> bool {
    counter.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[async_trait]
impl Disturb for Unreliable {
    fn inner(&self) -> &dyn StreamStore {
        &self.store
    }

    async fn on_write(&self, path: &StreamPath, mut write: Write) -> Result<Written, StreamError> {
        if count_down(&self.refusals) {
            return Err(StreamError::Busy);
        }
        let loses = count_down(&self.losses);
        write.by = write.by.filter(|_| !(loses && self.forgets));
        let written = self.store.write(path, write).await?;
        if loses {
            let source = "the answer was lost".into();
            return Err(StreamError::Failed { path: path.clone(), tried: "appended to", source });
        }
        Ok(written)
    }

    fn does_remember_producers(&self) -> bool {
        !self.forgets
    }
}

fn batch(record: &str) -> Batch {
    Batch::new(vec![Bytes::copy_from_slice(record.as_bytes())]).unwrap()
}

async fn writer() -> (Arc<Unreliable>, SessionWriter) {
    writer_over(Unreliable::default()).await
}

async fn writer_over(store: Unreliable) -> (Arc<Unreliable>, SessionWriter) {
    let store = Arc::new(store);
    let path: StreamPath = "session/a".parse().unwrap();
    store.create(&path, CreateOptions::default()).await.unwrap();
    let producer = "session:a".parse().unwrap();
    let first = Bytes::from_static(b"0");
    let writer = SessionWriter::take_over(store.clone(), path, producer, 1, first).await.unwrap();
    (store, writer)
}

async fn all(writer: &SessionWriter) -> Vec<String> {
    let page = writer.store().read(writer.path(), Offset::Start, 1_000).await.unwrap();
    let text = |data: &Bytes| String::from_utf8(data.to_vec()).unwrap();
    page.records.iter().map(|record| text(&record.data)).collect()
}

#[tokio::test(start_paused = true)]
async fn an_append_whose_answer_was_lost_is_written_once() {
    let (store, mut writer) = writer().await;
    store.losses.store(3, SeqCst);
    assert!(matches!(writer.append(batch("1")).await, Ok(Appended::Duplicate { .. })));
    assert!(matches!(writer.append(batch("2")).await, Ok(Appended::Written { .. })));
    assert_eq!(all(&writer).await, ["0", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_got_no_answer_at_all_is_settled_before_the_next() {
    let (store, mut writer) = writer().await;
    store.losses.store(1, SeqCst);
    // The answer is lost, and the second attempt finds the store busy.
    let busy = async { store.refusals.store(1, SeqCst) };
    let (lost, ()) = tokio::join!(writer.append(batch("1")), busy);
    assert!(matches!(lost, Err(StreamError::Failed { .. })), "{lost:?}");
    assert!(matches!(writer.settle().await, Ok(Some(Appended::Duplicate { .. }))));
    assert!(matches!(writer.settle().await, Ok(None)));
    writer.append(batch("2")).await.unwrap();
    assert_eq!(all(&writer).await, ["0", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_append_may_be_tried_again() {
    let (store, mut writer) = writer().await;
    store.refusals.store(1, SeqCst);
    assert!(matches!(writer.append(batch("1")).await, Err(StreamError::Busy)));
    assert!(matches!(writer.append(batch("1")).await, Ok(Appended::Written { .. })));
    assert_eq!(all(&writer).await, ["0", "1"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_forgets_who_wrote_what_still_has_it_once() {
    let forgetful = Unreliable { forgets: true, ..Unreliable::default() };
    let (store, mut writer) = writer_over(forgetful).await;
    writer.append(batch("1")).await.unwrap();
    for lost in ["2", "3", r#"{ "a" : 1.50 }"#] {
        store.losses.store(1, SeqCst);
        assert!(matches!(writer.append(batch(lost)).await, Ok(Appended::Duplicate { .. })));
    }
    // Now the store expects numbers that were written long ago.
    assert!(matches!(writer.append(batch("5")).await, Ok(Appended::Written { .. })));
    assert!(matches!(writer.append(batch("6")).await, Ok(Appended::Written { .. })));
    // The same record again is another record.
    assert!(matches!(writer.append(batch("6")).await, Ok(Appended::Written { .. })));
    store.losses.store(1, SeqCst);
    assert!(matches!(writer.append(batch("6")).await, Ok(Appended::Duplicate { .. })));
    assert_eq!(all(&writer).await, ["0", "1", "2", "3", r#"{ "a" : 1.50 }"#, "5", "6", "6", "6"]);
}

#[tokio::test(start_paused = true)]
async fn a_take_over_whose_answer_was_lost_is_written_once_too() {
    let store = Arc::new(Unreliable { forgets: true, ..Unreliable::default() });
    let path: StreamPath = "session/a".parse().unwrap();
    store.create(&path, CreateOptions::default()).await.unwrap();
    store.store.append(&path, batch("0"), None).await.unwrap();
    store.losses.store(1, SeqCst);
    let producer = "session:a".parse().unwrap();
    let first = Bytes::from_static(b"0");
    let mut writer =
        SessionWriter::take_over(store.clone(), path, producer, 1, first).await.unwrap();
    writer.append(batch("1")).await.unwrap();
    assert_eq!(all(&writer).await, ["0", "0", "1"]);
}
