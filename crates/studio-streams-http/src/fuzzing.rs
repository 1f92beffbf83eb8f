//! A door for `studio-fuzz` into the parser of events. Not for anybody else.

use crate::sse::Events;

/// The name and data of each event in these bytes, which come in these pieces. `None` = an event
/// is too large.
pub fn events<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<(String, Vec<u8>)>> {
    let (mut events, mut found) = (Events::default(), Vec::new());
    for piece in pieces {
        events.feed(piece);
        while let Some(event) = events.next().ok()? {
            found.push((event.name, event.data.to_vec()));
        }
    }
    Some(found)
}
