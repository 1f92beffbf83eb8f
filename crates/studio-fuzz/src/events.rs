use studio_streams_http::fuzzing;

/// The bytes of an event stream: however they are cut, the events are the same. The first byte
/// says how.
pub fn events(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let whole = fuzzing::events(std::iter::once(bytes));
    assert_eq!(fuzzing::events(bytes.chunks(1)), whole);
    assert_eq!(fuzzing::events(bytes.chunks(usize::from(*cut).max(1))), whole);
    let middle = usize::from(*cut).min(bytes.len());
    let (head, tail) = bytes.split_at(middle);
    assert_eq!(fuzzing::events([head, b"", tail].into_iter()), whole);
}
