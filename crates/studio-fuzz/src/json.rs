use serde_json::value::RawValue;

use crate::serve::{Service, block_on};

/// A body as JSON: what is taken is read again as the same values, an array as its elements; what
/// is no JSON, or empty, is refused and leaves nothing.
pub fn json(bytes: &[u8]) {
    block_on(async {
        let service = Service::new();
        let created =
            service.ask("PUT", "/v1/stream/a", &[("content-type", "application/json")], b"");
        assert_eq!(created.await.status, 201);
        let kind = [("content-type", "application/json")];
        let answer = service.ask("POST", "/v1/stream/a", &kind, bytes).await;
        let read = service.ask("GET", "/v1/stream/a?offset=-1", &[], b"").await;
        assert_eq!(read.status, 200);
        let there: Vec<&RawValue> = serde_json::from_slice(&read.body).unwrap();
        let there: Vec<&str> = there.into_iter().map(RawValue::get).collect();
        // As text: numbers that no program holds are JSON too.
        let meant = match bytes.trim_ascii_start().first() {
            Some(b'[') => serde_json::from_slice(bytes).unwrap_or_default(),
            _ => serde_json::from_slice(bytes).map_or(Vec::new(), |value| vec![value]),
        };
        let meant: Vec<&str> = meant.into_iter().map(RawValue::get).collect();
        if answer.status == 204 || answer.status == 200 {
            assert!(!meant.is_empty(), "{:?} was taken", String::from_utf8_lossy(bytes));
            assert_eq!(there, meant);
        } else {
            assert!((400..500).contains(&answer.status), "{}", answer.status);
            assert!(there.is_empty());
        }
    });
}
