/// Most bytes of one event; a server sends no larger ones.
const EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// Where to go on after it; empty when the server named no place.
    pub(crate) id: String,
    /// Its data.
    pub(crate) data: String,
}

/// Turns bytes, cut anywhere, into events. An event that was not ended is none.
#[derive(Debug, Default)]
pub(crate) struct SseReader {
    line: Vec<u8>,
    event: SseEvent,
    has_data: bool,
}

/// A line that does not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {EVENT_BYTES_MAX} bytes")]
pub(crate) struct TooLong;

impl SseReader {
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, TooLong> {
        let mut events = Vec::new();
        for part in bytes.split_inclusive(|&b| b == b'\n') {
            self.line.extend_from_slice(part);
            if EVENT_BYTES_MAX < self.line.len() + self.event.data.len() {
                return Err(TooLong);
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                events.extend(self.line_read(&line));
            }
        }
        Ok(events)
    }

    fn line_read(&mut self, line: &[u8]) -> Option<SseEvent> {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\n', '\r']);
        if line.is_empty() {
            let event = SseEvent { id: self.event.id.clone(), ..SseEvent::default() };
            let event = std::mem::replace(&mut self.event, event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.event.id = value.to_owned(),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut reader = SseReader::default();
        let read = |piece: &&[u8]| reader.read(piece).unwrap();
        pieces.iter().flat_map(read).map(|event| (event.id, event.data)).collect()
    }

    #[test]
    fn events_survive_being_cut_anywhere() {
        let text = "id:1\ndata:{\"a\":\"\u{e9}\"}\n\n: keep-alive\n\nid: 2\r\ndata: x\r\ndata:y\r\n\r\ndata:z\n\nid:9\ndata:never ended".as_bytes();
        let whole = events(&[text]);
        let expected = [("1", "{\"a\":\"\u{e9}\"}"), ("2", "x\ny"), ("2", "z")]
            .map(|(id, data)| (id.to_owned(), data.to_owned()));
        assert_eq!(whole, expected);
        for cut in 0..text.len() {
            assert_eq!(events(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
    }
}
