//! Reading JSON of any shape: what is not there, or is something else, is absent.

use serde_json::{Map, Value};

/// Longest text of a log line that quotes an agent, in bytes.
pub(crate) const LOG_BYTES_MAX: usize = 2_000;
/// Longest heading that quotes an agent (a task's name, a tool's name), in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 200;

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// The text under `key`.
pub(crate) fn text<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

/// The text under `key`, if it is not empty.
pub(crate) fn some_text(object: &Object, key: &str) -> Option<String> {
    text(object, key).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The object under `key`.
pub(crate) fn object<'a>(object: &'a Object, key: &str) -> Option<&'a Object> {
    object.get(key).and_then(Value::as_object)
}

/// The elements of the list under `key`; none if it is no list.
pub(crate) fn list<'a>(object: &'a Object, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The whole number under `key`, also when it is written `7.0`.
pub(crate) fn whole(object: &Object, key: &str) -> Option<u64> {
    let value = object.get(key)?;
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        // 2^53: beyond it a float does not name one whole number.
        (0.0..=9_007_199_254_740_992.0).contains(&number).then_some(number as u64)
    })
}

/// `text` if it fits into `max` bytes, else its beginning and how much is missing.
pub(crate) fn clipped(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = boundary(text, max);
    format!("{}\n[… {} more bytes left out by the studio]", &text[..end], text.len() - end)
}

/// The last place between two characters at or before byte `max`.
fn boundary(text: &str, max: usize) -> usize {
    (0..=max.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// The first line of `text`, short enough for a heading.
pub(crate) fn heading(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let end = boundary(line, NAME_BYTES_MAX);
    if end < text.trim().len() { format!("{}…", &line[..end]) } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        assert_eq!(clipped("aü", 3), "aü");
        assert_eq!(clipped("aü", 2), "a\n[… 2 more bytes left out by the studio]");
    }

    #[test]
    fn a_heading_is_one_line() {
        assert_eq!(heading(" one \ntwo"), "one …");
        assert_eq!(heading("one"), "one");
        assert_eq!(heading(""), "");
    }
}
