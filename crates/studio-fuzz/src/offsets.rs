use studio_streams::{
    Batch, CreateOptions, MemoryStreams, Offset, StreamError, StreamPath, StreamStore,
};

use crate::serve::block_on;

/// A text as an offset: what is one is the same as text again, and a store takes it for a place
/// or says that it is none.
pub fn offsets(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(offset) = text.parse::<Offset>() else { return };
    let again = offset.to_string();
    assert_eq!(again, text);
    assert_eq!(again.parse::<Offset>().unwrap(), offset);
    block_on(async {
        let store = MemoryStreams::new();
        let path: StreamPath = "a".parse().unwrap();
        let records = vec!["1".into(), "[22]".into(), "\"333\"".into()];
        let initial = Some(Batch::new(records).unwrap());
        store.create(&path, CreateOptions { initial, ..CreateOptions::default() }).await.unwrap();
        for read in [
            store.read(&path, offset.clone(), 10).await,
            store.read_back(&path, offset.clone(), 10).await,
        ] {
            match read {
                Ok(page) => assert!(page.records.len() <= 3),
                Err(error) => assert!(matches!(error, StreamError::BadOffset { .. }), "{error}"),
            }
        }
    });
}
