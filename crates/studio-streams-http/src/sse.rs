//! Server-sent events in pieces.

use bytes::{Bytes, BytesMut};

/// Largest event that is gathered; what is larger is read as a page.
pub(crate) const EVENT_BYTES_MAX: usize = 24 * 1024 * 1024;

/// An event over [`EVENT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of over {EVENT_BYTES_MAX} bytes")]
pub(crate) struct EventTooLarge;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub name: String,
    pub data: Bytes,
}

/// Takes the bytes of an event stream as they come and gives its events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    buffer: BytesMut,
    /// Bytes at the buffer's front in which no line ends.
    scanned: usize,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    name: String,
    data: BytesMut,
    has_data: bool,
}

impl Events {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event; `None` = more bytes are needed.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, EventTooLarge> {
        while let Some(line) = self.line()? {
            if line.is_empty() {
                let name = std::mem::take(&mut self.name);
                let data = self.data.split().freeze();
                if std::mem::take(&mut self.has_data) {
                    return Ok(Some(Event { name, data }));
                }
                continue;
            }
            let (field, value) = match line.iter().position(|&b| b == b':') {
                Some(colon) => (&line[..colon], &line[colon + 1..]),
                None => (&line[..], &line[line.len()..]),
            };
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match field {
                b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
                b"data" => {
                    if std::mem::replace(&mut self.has_data, true) {
                        self.data.extend_from_slice(b"\n");
                    }
                    if EVENT_BYTES_MAX < self.data.len() + value.len() {
                        return Err(EventTooLarge);
                    }
                    self.data.extend_from_slice(value);
                }
                // `id`, `retry` and comments.
                _ => {}
            }
        }
        Ok(None)
    }

    fn line(&mut self) -> Result<Option<Bytes>, EventTooLarge> {
        if self.after_cr && !self.buffer.is_empty() {
            self.after_cr = false;
            if self.buffer[0] == b'\n' {
                drop(self.buffer.split_to(1));
            }
        }
        let end = self.buffer[self.scanned..].iter().position(|b| matches!(b, b'\n' | b'\r'));
        let Some(end) = end.map(|end| self.scanned + end) else {
            self.scanned = self.buffer.len();
            // Some more than the data, for the field's name.
            let too_large = EVENT_BYTES_MAX + 16 < self.scanned;
            return if too_large { Err(EventTooLarge) } else { Ok(None) };
        };
        self.scanned = 0;
        let line = self.buffer.split_to(end).freeze();
        self.after_cr = self.buffer.split_to(1)[0] == b'\r';
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&str]) -> Vec<(String, String)> {
        let mut parser = Events::default();
        let mut found = Vec::new();
        for piece in pieces {
            parser.feed(piece.as_bytes());
            while let Some(event) = parser.next().unwrap() {
                found.push((event.name, String::from_utf8(event.data.to_vec()).unwrap()));
            }
        }
        found
    }

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let text = ": hello\r\n\nevent: data\nid: 7\ndata:[1,\r\ndata: 2]\r\n\r\nretry: 5\n\n\
                    event: control\rdata: {}\r\revent: half\ndata: x";
        let expected = [("data", "[1,\n2]"), ("control", "{}")];
        let expected = expected.map(|(name, data)| (name.to_owned(), data.to_owned()));
        assert_eq!(events(&[text]), expected);
        let bytes: Vec<&str> = text.split_inclusive(|_| true).collect();
        assert_eq!(events(&bytes), expected);
    }

    #[test]
    fn an_endless_event_is_given_up() {
        for line in ["data: ".to_owned() + &"x".repeat(1024 * 1024) + "\n", "x".repeat(1 << 20)] {
            let mut parser = Events::default();
            let mut given_up = false;
            for _ in 0..=EVENT_BYTES_MAX / (1 << 20) {
                parser.feed(line.as_bytes());
                given_up |= parser.next().is_err();
            }
            assert!(given_up);
        }
    }
}
