//! A JSON body as messages, without changing a byte of them.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::Problem;

/// How deep values may lie in each other. Most readers stop about here, and a message that
/// cannot be read back is worth nothing.
const DEPTH_MAX: usize = 128;

/// The messages of a body: the elements of an array, else the one value. The text of each is kept
/// as it was sent (numbers, escapes, order of fields), without the blanks around it.
pub(crate) fn messages(body: &[u8]) -> Result<Vec<Bytes>, Problem> {
    if DEPTH_MAX < depth(body) {
        let told = format!("values may lie at most {DEPTH_MAX} deep in each other");
        return Err(Problem::bad_request(told));
    }
    let bad =
        |error: serde_json::Error| Problem::bad_request(format!("the body is not JSON: {error}"));
    // Copied, so that a small message does not keep a large body.
    let message = |value: &RawValue| Bytes::copy_from_slice(value.get().as_bytes());
    if body.trim_ascii_start().starts_with(b"[") {
        let values: Vec<&RawValue> = serde_json::from_slice(body).map_err(bad)?;
        Ok(values.into_iter().map(message).collect())
    } else {
        let value: &RawValue = serde_json::from_slice(body).map_err(bad)?;
        Ok(vec![message(value)])
    }
}

/// How deep the brackets of a text go; of one that is JSON, how deep its values lie.
fn depth(body: &[u8]) -> usize {
    let (mut now, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' if !in_text => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flat(body: &str) -> Option<Vec<String>> {
        let messages = messages(body.as_bytes()).ok()?;
        Some(messages.iter().map(|m| String::from_utf8(m.to_vec()).unwrap()).collect())
    }

    #[test]
    fn one_level_of_array_is_taken_away() {
        assert_eq!(flat("[[1,2],[3]]").unwrap(), ["[1,2]", "[3]"]);
        assert_eq!(flat("[]").unwrap(), Vec::<String>::new());
        assert_eq!(flat("[[]]").unwrap(), ["[]"]);
        assert_eq!(flat(" {\"a\": 1} ").unwrap(), ["{\"a\": 1}"]);
        assert_eq!(flat("null").unwrap(), ["null"]);
    }

    #[test]
    fn the_text_of_a_message_is_kept() {
        for text in [
            "1.0",
            "1e400",
            "-0",
            "123456789012345678901234567890",
            "\"\\u00e9\\ud83d\"",
            "\"\"",
            "{\"b\":1,\"a\":2,\"b\":3}",
            "{ \"x\" :\r\n 1 }",
            "\"a\u{2028}b\"",
        ] {
            assert_eq!(flat(text).unwrap(), [text]);
            assert_eq!(flat(&format!("[ {text} , {text}]")).unwrap(), [text, text]);
        }
    }

    #[test]
    fn what_is_not_json_is_refused_whole() {
        for bad in [
            "",
            " ",
            "[1,",
            "[1,]",
            "[1 2]",
            "{a:1}",
            "1 2",
            "[1]x",
            "nul",
            "\"a",
            "\"\n\"",
            "01",
            "\u{feff}1",
            "[1],[2]",
            "NaN",
            "'a'",
        ] {
            assert_eq!(flat(bad), None, "{bad:?}");
        }
        assert!(messages(b"\"\xff\"").is_err());
        assert!(messages(b"[\"\xff\"]").is_err());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(flat(&nested(DEPTH_MAX)).is_some());
        assert!(flat(&nested(DEPTH_MAX + 1)).is_none());
        assert!(flat(&nested(100_000)).is_none());
        assert!(flat(&"[".repeat(100_000)).is_none());
        assert!(flat(&"{\"a\":".repeat(100_000)).is_none());
        assert!(flat(&format!("\"{}\"", "[".repeat(1_000))).is_some(), "brackets in a text");
        assert!(flat(&format!("\"\\\"{}\"", "[".repeat(1_000))).is_some());
    }

    proptest! {
        #[test]
        fn joined_again_the_messages_are_the_array(values in prop::collection::vec(
            prop_oneof![
                any::<i64>().prop_map(|n| n.to_string()),
                any::<f64>().prop_filter("no number", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
                any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
                Just("[1, [2]]".to_owned()),
                Just("{\"a\":[]}".to_owned()),
            ],
            0..20,
        )) {
            prop_assert_eq!(flat(&format!("[{}]", values.join(" ,\n"))).unwrap(), values);
        }

        #[test]
        fn no_bytes_are_more_than_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(found) = messages(&body) {
                for message in found {
                    prop_assert!(serde_json::from_slice::<&RawValue>(&message).is_ok());
                }
            }
        }
    }
}
